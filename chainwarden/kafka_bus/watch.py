"""How far the bus is, and whether its broker answers: asked from a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from chainwarden.errors import BusError
from chainwarden.kafka_bus.parts import Parts
from chainwarden.kafka_bus.topics import KafkaConfig
from chainwarden.schema import Offsets
from chainwarden.wire import BlockRecord, decode_block

log = logging.getLogger(__name__)

EVERY_SECONDS: Final = 0.5
SILENT_SECONDS: Final = 5.0
"""So long without an answer, the broker counts as away."""

_TAIL_RECORDS: Final = 64
_TAIL_SECONDS: Final = 1.0


class NewestBlock(NamedTuple):
    """The newest block on the bus: its number, and its time."""

    number: int
    timestamp: int


class BusWatch:
    """Asks the broker twice a second where its topics end, and reads the newest block record.

    A detector that is far behind, or busy with one block for seconds, still shows how far behind it
    is; and a client whose broker froze hears nothing of it: its polls just bring no records. Every
    property is safe in any thread. Close it, or use it as a context.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self.newest: NewestBlock | None = None
        self._config = config
        self._ends: Offsets = {}
        self._answered = time.monotonic()
        self._why = ""
        self._position = -1  # in the blocks topic, of the next record to read
        self._parts = Parts()
        self._no_more = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bus watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> BusWatch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ask no more."""
        self._no_more.set()
        self._thread.join(self._config.timeout_seconds)

    @property
    def silent_seconds(self) -> float:
        """How long ago the broker answered last, as far as that is longer than it should be."""
        seconds = time.monotonic() - self._answered
        return seconds if seconds >= SILENT_SECONDS else 0.0

    def reason(self) -> str:
        """Why the bus brings nothing, for ``/readyz``; empty while the broker answers."""
        seconds = self.silent_seconds
        if not seconds:
            return ""
        where, why = self._config.bootstrap_servers, f" ({self._why})" if self._why else ""
        return f"the Kafka broker at {where} has not answered for {seconds:.0f} s{why}"

    def check(self) -> None:
        """Raise BusError once the broker has been away for ``patience_seconds``."""
        if self.silent_seconds >= self._config.patience_seconds:
            raise BusError(
                self.reason(), hint="start the broker, then this process: it goes on where it was"
            )

    def behind(self, offsets: Offsets) -> int:
        """How many records, markers included, lie on the bus beyond these offsets."""
        return sum(max(0, end - offsets.get(name, 0)) for name, end in self._ends.items())

    # --- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        client: Any = None
        while not self._no_more.is_set():
            try:
                if client is None:
                    client = self._connect()
                self._ask(client)
                self._why = ""
            except (KafkaError, OSError, RuntimeError, ValueError) as error:
                self._why = type(error).__name__
                log.debug("the bus cannot be watched: %r", error)
                _close(client)
                client = None
            self._no_more.wait(EVERY_SECONDS)
        _close(client)

    def _connect(self) -> Any:
        options = self._config.client()
        # A frozen broker takes connections and answers nothing: do not wait for it long.
        wait = int(min(SILENT_SECONDS, self._config.timeout_seconds / 2) * 1000)
        options |= {"bootstrap_timeout_ms": wait, "request_timeout_ms": wait}
        self._parts = Parts()
        return KafkaConsumer(
            **options,
            enable_auto_commit=False,
            auto_offset_reset="none",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            allow_auto_create_topics=False,
        )

    def _ask(self, client: Any) -> None:
        config = self._config
        numbers = sorted(client.partitions_for_topic(config.transactions_topic) or ())
        blocks = TopicPartition(config.blocks_topic, 0)
        every = [blocks, *(TopicPartition(config.transactions_topic, n) for n in numbers)]
        ends = client.end_offsets(every)
        self._ends = {f"{where.topic}/{where.partition}": end for where, end in ends.items()}
        self._answered = time.monotonic()
        self._read_tail(client, blocks, ends[blocks])

    def _read_tail(self, client: Any, blocks: TopicPartition, end: int) -> None:
        """Read what is new in the blocks topic; of much, only the last."""
        if self._position == end:
            return
        first = client.beginning_offsets([blocks])[blocks]
        if not max(first, end - _TAIL_RECORDS) <= self._position <= end:
            self._position = max(first, end - _TAIL_RECORDS)
        client.assign([blocks])
        client.seek(blocks, self._position)
        deadline = time.monotonic() + _TAIL_SECONDS
        while client.position(blocks) < end and time.monotonic() < deadline:
            for record in client.poll(100).get(blocks, ()):
                self._see(record)
        self._position = client.position(blocks)

    def _see(self, record: Any) -> None:
        with suppress(ValueError):  # whoever reads the stream buries what does not decode
            whole = self._parts.add(record.offset, record.value, record.headers)
            if whole is not None:
                self._note(decode_block(whole[1], self._config.chain.name))

    def _note(self, block: BlockRecord) -> None:
        if block.event == "added":
            self.newest = NewestBlock(block.block_number, block.block_timestamp)


def _close(client: Any) -> None:
    if client is not None:
        with suppress(KafkaError, OSError, RuntimeError):
            client.close(autocommit=False, timeout_ms=1000)
