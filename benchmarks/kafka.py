"""The way over Kafka, on a real broker on loopback: publishing, reading, detecting.

The topics are filled by our own publisher, one record for each transaction, with a simulated chain
that has every attack in it. The baselines are kafka-python's own loops over the same records: what
its consumer polls, with nothing decoded, and what its producer sends, with no Kafka transaction.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition

from benchmarks.chains import winning_chain
from benchmarks.table import Result
from chainwarden.deployment import kafka_config
from chainwarden.detecting import detecting
from chainwarden.kafka_bus import BlockConsumer, BlockProducer, ConsumerProcess, KafkaConfig
from chainwarden.live import MAX_EVENTS, DetectOptions, Health, detect_loop
from chainwarden.schema import ETHEREUM, BlockBatch, BlocksAdded
from chainwarden.settings import BusSettings, ServerSettings, Settings, StoreSettings
from ingest.decode import decode_blocks
from ingest.simulate import SimulationConfig
from tests.kafka_broker import BrokerMissing, start_node

BLOCKS: Final = 4_800  # seconds of work: a reader that catches up is not one that starts
BLOCKS_AT_ONCE: Final = 64  # as ``ingest`` publishes what lies behind the head
REPEATS: Final = 3
PATIENCE_SECONDS: Final = 60.0


def run() -> list[Result]:
    """Records a second: published, read, and detected."""
    chain = winning_chain(SimulationConfig(blocks=BLOCKS))
    parts = [chain[at : at + BLOCKS_AT_ONCE] for at in range(0, len(chain), BLOCKS_AT_ONCE)]
    batches = [decode_blocks(ETHEREUM, part, [True] * len(part)) for part in parts]
    records = len(chain) + sum(batch.transactions.num_rows for batch in batches)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            node = start_node(folder)
        except BrokerMissing as why:
            sys.stderr.write(f"kafka: no broker: {why}\n")
            return []
        try:
            seconds = _measured(node.bootstrap, folder, batches, records)
        finally:
            node.stop()
    rates = {name: records / statistics.median(taken) for name, taken in seconds.items()}
    baseline = "kafka-python's bare consumer"
    return [
        Result(
            benchmark="kafka",
            what=what,
            unit="records/s",
            value=rates[ours],
            baseline=baseline,
            baseline_value=rates[theirs],
            asked_ratio=asked,
        )
        for what, ours, baseline, theirs, asked in (
            ("Kafka, detect from a full topic", "detected", baseline, "polled", 0.6),
            ("our consumer alone, whole blocks decoded", "read", baseline, "polled", None),
            ("blocks published", "published", "kafka-python's bare producer", "sent", None),
        )
    ]


def _measured(
    bootstrap: str, folder: Path, batches: Sequence[BlockBatch], records: int
) -> dict[str, list[float]]:
    """Seconds for all records, in turn, by what was done with them."""
    bus = BusSettings(kind="kafka", bootstrap_servers=bootstrap)
    config = kafka_config(Settings(bus=bus), ETHEREUM)
    blocks = sum(map(len, batches))
    seconds: dict[str, list[float]] = {
        name: [] for name in ("published", "sent", "polled", "read", "detected")
    }
    seconds["published"].append(_publish(config, batches))
    pairs = _pairs(config, records)
    for number in range(REPEATS):
        seconds["sent"].append(_send(config, f"bare-{number}", pairs))
        seconds["polled"].append(_poll(config, records))
        seconds["read"].append(_read(config, blocks))
        out = StoreSettings(out=str(folder / f"out{number}"))
        settings = Settings(bus=bus, store=out, server=ServerSettings(port=0))
        seconds["detected"].append(_detect(config, settings, blocks))
    return seconds


def _publish(config: KafkaConfig, batches: Sequence[BlockBatch]) -> float:
    with closing(BlockProducer(config)) as producer:
        began = time.perf_counter()
        for batch in batches:
            producer.publish(BlocksAdded(batch))
        return time.perf_counter() - began


def _send(config: KafkaConfig, topic: str, pairs: Sequence[tuple[Any, Any]]) -> float:
    """The same keys and values, sent and acknowledged."""
    admin = KafkaAdminClient(**config.client())
    admin.create_topics(
        {topic: {"num_partitions": config.partitions, "replication_factor": 1}},
        wait_for_metadata=True,
    )
    admin.close()
    producer = KafkaProducer(**config.client(), acks="all", compression_type=config.compression)
    began = time.perf_counter()
    for key, value in pairs:
        producer.send(topic, value, key)
    producer.flush()
    seconds = time.perf_counter() - began
    producer.close()
    return seconds


def _bare_consumer(config: KafkaConfig) -> Any:
    """At the beginning of every partition, with kafka-python's defaults but for what is read."""
    consumer = KafkaConsumer(**config.client(), isolation_level="read_committed")
    topics = (config.transactions_topic, config.blocks_topic)
    places = [TopicPartition(t, p) for t in topics for p in consumer.partitions_for_topic(t) or ()]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    return consumer


def _poll(config: KafkaConfig, records: int) -> float:
    consumer, count = _bare_consumer(config), 0
    began = time.perf_counter()
    while count < records:
        count += sum(map(len, consumer.poll(1000).values()))
        assert time.perf_counter() - began < PATIENCE_SECONDS, f"{count} of {records} records"
    seconds = time.perf_counter() - began
    consumer.close()
    return seconds


def _pairs(config: KafkaConfig, records: int) -> list[tuple[Any, Any]]:
    """The keys and values of all records."""
    pairs: list[tuple[Any, Any]] = []
    consumer = _bare_consumer(config)
    while len(pairs) < records:
        for some in consumer.poll(1000).values():
            pairs += [(record.key, record.value) for record in some]
    consumer.close()
    return pairs


def _read(config: KafkaConfig, blocks: int) -> float:
    with closing(BlockConsumer(config)) as consumer:
        consumer.seek({})
        began, count = time.perf_counter(), 0
        while count < blocks:
            for delivery in consumer.poll(1.0, MAX_EVENTS):
                assert isinstance(delivery.event, BlocksAdded)
                count += len(delivery.event.batch)
        return time.perf_counter() - began


def _detect(config: KafkaConfig, settings: Settings, blocks: int) -> float:
    """As ``chainwarden detect`` does, until the last block is committed."""
    ended = 0.0
    with (
        closing(ConsumerProcess(config)) as consumer,
        detecting(settings, ETHEREUM, threading.Event(), consumer.commit) as behind,
    ):

        def stop() -> bool:
            nonlocal ended
            ended = time.perf_counter()
            return behind.pipeline.cursor.blocks >= blocks

        consumer.seek({})
        began = time.perf_counter()
        detect_loop(consumer, behind.pipeline, stop, Health(), DetectOptions(), behind.observe)
    return ended - began
