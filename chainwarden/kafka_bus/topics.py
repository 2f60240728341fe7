"""Where the broker is, which topics a chain has, and what must be installed to use them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAlreadyExistsError

from chainwarden.errors import BusError
from chainwarden.schema import Chain

_MAX_MESSAGE_BYTES: Final = 1_048_588  # Kafka's own default, made explicit
_OPEN_SECONDS: Final = 2.0  # a transaction of ours is open for less


@dataclass(frozen=True)
class KafkaConfig:
    """Where the broker is, for which chain, and how topics are made that are missing.

    ``group`` only names the offsets that ``commit`` shows to monitoring. ``incomplete_seconds`` is
    how long a block may lack records, with nothing arriving, before it counts as incomplete for
    good. ``buffer_bytes`` bounds the transaction records that are read ahead. ``timeout_seconds``
    bounds one request; ``patience_seconds`` is how long a broker may be away before that is an
    error.
    """

    bootstrap_servers: str
    chain: Chain
    client_id: str = "chainwarden"
    group: str = "chainwarden"
    partitions: int = 4
    replication_factor: int = 1
    retention_hours: float = 168.0
    compression: str = "lz4"
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    timeout_seconds: float = 60.0
    patience_seconds: float = 600.0
    incomplete_seconds: float = 30.0
    buffer_bytes: int = 128 * 1024 * 1024

    @property
    def transactions_topic(self) -> str:
        """Where transaction records go."""
        return f"chainwarden.{self.chain.name}.transactions"

    @property
    def blocks_topic(self) -> str:
        """Where block records go."""
        return f"chainwarden.{self.chain.name}.blocks"

    @property
    def dead_letters_topic(self) -> str:
        """Where it is said which records could not be decoded."""
        return f"chainwarden.{self.chain.name}.dead_letters"

    def client(self) -> dict[str, Any]:
        """What every Kafka client of this configuration is given."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers.split(","),
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
            "bootstrap_timeout_ms": int(min(30.0, self.timeout_seconds) * 1000),
            "request_timeout_ms": int(min(30.0, self.timeout_seconds / 2) * 1000),
            # kafka-python's 30 s would be the least that a restart of the broker costs.
            "reconnect_backoff_max_ms": 2000,
        }
        if self.sasl_mechanism:
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        if self.ca_file:
            options["ssl_cafile"] = self.ca_file
        return options


def require_codecs() -> None:
    """Raise BusError unless what kafka-python needs to be fast and to decompress is installed."""
    missing = [n for n in ("crc32c", "lz4", "zstandard") if importlib.util.find_spec(n) is None]
    if missing:
        raise BusError(
            f"kafka-python runs without {', '.join(missing)} here: 4 to 6 times slower",
            hint="pip install 'kafka-python[crc32c,lz4,zstd]'",
        )


def ensure_topics(config: KafkaConfig) -> None:
    """Create the chain's topics where they are missing; those that exist stay as they are."""
    settings = _settings(config)
    topics = _topics(config)
    with broker_errors(config, "topics cannot be created"):
        admin = KafkaAdminClient(**config.client())
        try:
            there = set(admin.list_topics())
            for name in [one for one in topics if one not in there]:
                options = {
                    "num_partitions": topics[name],
                    "replication_factor": config.replication_factor,
                    "configs": settings,
                }
                with suppress(TopicAlreadyExistsError):  # another process was faster
                    admin.create_topics({name: options}, wait_for_metadata=True)
        finally:
            admin.close()


@dataclass(frozen=True, slots=True)
class TopicReport:
    """Topics that are not there, what is wrong with those that are, a line each, and where readers
    come no further because somebody's transaction does not end."""

    missing: tuple[str, ...]
    wrong: tuple[str, ...]
    open: tuple[str, ...]


def inspect_topics(config: KafkaConfig) -> TopicReport:
    """Compare the chain's topics with how they would be made. Raises BusError without a broker.

    Larger limits and longer retention than ours are fine.
    """
    with broker_errors(config, "the broker cannot be asked"):
        admin = KafkaAdminClient(**config.client())
        try:
            there = set(admin.list_topics())
            names = [name for name in _topics(config) if name in there]
            shown = admin.describe_topics(names) if names else []
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
            found = admin.describe_configs(resources, config_filter="all") if names else {}
        finally:
            admin.close()
    partitions = {one["name"]: len(one["partitions"]) for one in shown}
    values = {name: options for kind in found.values() for name, options in kind.items()}
    wrong: list[str] = []
    for name in names:
        if name != config.transactions_topic and partitions[name] != 1:
            wrong.append(f"{name} has {partitions[name]} partitions, not 1: order is lost")
        for key, wanted in _settings(config).items():
            value = str(values[name].get(key, {}).get("value"))
            if not _suffices(key, value, wanted):
                wrong.append(f"{name}: {key} is {value}, not {wanted}")
    missing = tuple(name for name in _topics(config) if name not in there)
    with broker_errors(config, "the topics' ends cannot be read"):
        places = [TopicPartition(name, n) for name in names for n in range(partitions[name])]
        stuck = tuple(_open_transactions(config, places)) if places else ()
    return TopicReport(missing, tuple(wrong), stuck)


def _open_transactions(config: KafkaConfig, places: Sequence[TopicPartition]) -> list[str]:
    """Where what readers of committed records see ends before the topic does, and stays there."""
    with (
        closing(KafkaConsumer(**config.client())) as writers,
        closing(KafkaConsumer(**config.client(), isolation_level="read_committed")) as readers,
    ):
        seen, ends = readers.end_offsets(places), writers.end_offsets(places)
        behind = [where for where in places if seen[where] < ends[where]]
        if behind:
            time.sleep(_OPEN_SECONDS)
            later = readers.end_offsets(behind)
            behind = [where for where in behind if later[where] == seen[where]]
    return [f"{where.topic}/{where.partition} from offset {seen[where]}" for where in behind]


def _topics(config: KafkaConfig) -> dict[str, int]:
    """The chain's topics and how many partitions each is made with."""
    return {
        config.transactions_topic: config.partitions,
        config.blocks_topic: 1,
        config.dead_letters_topic: 1,
    }


def _settings(config: KafkaConfig) -> dict[str, str]:
    return {
        "cleanup.policy": "delete",
        "compression.type": "producer",
        "max.message.bytes": str(_MAX_MESSAGE_BYTES),
        "min.insync.replicas": str(max(1, config.replication_factor - 1)),
        "retention.ms": str(int(config.retention_hours * 3_600_000)),
    }


def _suffices(key: str, value: str, wanted: str) -> bool:
    """Whether a topic's setting is at least ours.

    >>> [_suffices("retention.ms", v, "100") for v in ("-1", "100", "99", "None")]
    [True, True, False, False]
    """
    if not wanted.isdecimal():
        return value == wanted
    if key == "retention.ms" and value == "-1":
        return True
    return value.isdecimal() and int(value) >= int(wanted)


@contextmanager
def broker_errors(config: KafkaConfig, what: str) -> Iterator[None]:
    """Turn the client's errors into BusError, naming the broker."""
    try:
        yield
    except (KafkaError, OSError) as error:
        raise BusError(
            f"{what}: {type(error).__name__}: {error}",
            hint=f"is a Kafka broker at {config.bootstrap_servers}?",
        ) from error
