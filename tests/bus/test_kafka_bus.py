"""The contract over a real broker, offsets, bounds and settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from chainwarden.errors import BusError, OffsetGone
from chainwarden.kafka_bus import (
    PART_BYTES,
    BlockConsumer,
    BlockProducer,
    KafkaConfig,
)
from chainwarden.schema import BlockBatch, BlocksAdded, Chain, hex_of
from ingest.decode import decode_blocks
from ingest.files import open_source
from ingest.raw import RawBlock
from ingest.source import BlockSource
from tests.bus.blocks import added, block_hash, plain_batch, position
from tests.bus.contracts import DurableBusContract, Rig, drain
from tests.bus.kafka_rig import KafkaRig, numbers, put

pytestmark = pytest.mark.broker


class TestKafkaBus(DurableBusContract):
    @pytest.fixture
    def rig(self, kafka_bootstrap: str) -> Iterator[Rig]:
        """A chain of its own on the real broker."""
        rig = KafkaRig(kafka_bootstrap, timeout_seconds=20.0)
        yield rig
        rig.close()


def test_a_producer_reads_past_what_is_no_record(rig: KafkaRig) -> None:
    """Bytes of others, and a block whose parent is no hash, are passed over when it looks back."""
    producer = put(rig, added(1))
    (record,) = rig.records(rig.config.blocks_topic, isolation_level="read_committed")
    parent = hex_of(block_hash(0))
    assert parent is not None
    for value in (b"{", b"null", record.value.replace(parent.encode(), b"0xnonsense")):
        rig.foreign(rig.config.blocks_topic, value)
    producer.publish(DurableBusContract.on(rig, added(2)))
    assert [mark.position for mark in producer.since(0)] == [position(1), position(2)]


# --- offsets -------------------------------------------------------------------------------------


def delete_before(rig: KafkaRig, offsets: dict[tuple[str, int], int]) -> None:
    """Delete records as retention would."""
    admin = KafkaAdminClient(bootstrap_servers=[rig.bootstrap])
    try:
        admin.delete_records(
            {TopicPartition(topic, number): at for (topic, number), at in offsets.items()}
        )
    finally:
        admin.close()


def test_deleted_offsets_are_gone_not_reset(rig: KafkaRig) -> None:
    """Where retention deleted what comes next, OffsetGone: never a silent jump."""
    put(rig, added(1), added(2), added(3))
    consumer = rig.consumer()
    consumer.seek({})
    first, *_ = drain(consumer, 3)
    delete_before(rig, {(rig.config.blocks_topic, 0): 4})
    with pytest.raises(OffsetGone, match="rebuild"):
        consumer.seek(first.offsets)


def test_a_torn_beginning_is_passed_over(rig: KafkaRig) -> None:
    """From the beginning of topics that retention cut unevenly, whole blocks come and no others."""
    put(rig, added(*range(1, 9), transactions=20))
    consumer = rig.consumer()
    consumer.seek({})
    deliveries = drain(consumer, 8)
    cut = deliveries[3].offsets
    name = f"{rig.config.transactions_topic}/1"
    delete_before(
        rig,
        {
            (rig.config.blocks_topic, 0): 2,
            (rig.config.transactions_topic, 1): cut[name],
        },
    )
    consumer.seek({})
    assert numbers(drain(consumer, 4)) == [5, 6, 7, 8]


def test_the_group_shows_where_the_reader_is(rig: KafkaRig) -> None:
    """Committed offsets are visible to monitoring, and nothing starts from them."""
    put(rig, added(1, 2))
    consumer = rig.consumer()
    consumer.seek({})
    (*_, last) = drain(consumer, 2)
    consumer.commit(last.offsets)
    shown = rig.group_offsets()
    assert shown | last.offsets == shown
    consumer.seek({})
    assert numbers(drain(consumer, 2)) == [1, 2]


# --- bounds, settings, wire ----------------------------------------------------------------------


def test_reading_ahead_is_bounded(rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a small buffer the reader holds partitions back, and still everything comes."""
    monkeypatch.setattr("chainwarden.kafka_bus.consumer.FETCH_RECORDS", 50)
    put(rig, added(*range(1, 101), transactions=30))
    consumer = rig.consumer(buffer_bytes=100_000)
    consumer.seek({})
    seen: list[int] = []
    held = 0
    while len(seen) < 100:
        seen += numbers(consumer.poll(10.0))
        assert consumer._assembly is not None
        held = max(held, consumer._assembly.size)
    assert seen == list(range(1, 101))
    assert held < 300_000  # 3,000 records of some 600 bytes are 1.8 MB


def test_topics_are_made_with_their_settings(rig: KafkaRig) -> None:
    """Partitions, retention and size limits are those of the configuration, not the broker's."""
    rig.config = replace(rig.config, partitions=3, retention_hours=2.0)
    rig.consumer()
    admin = KafkaAdminClient(bootstrap_servers=[rig.bootstrap])
    names = {
        rig.config.transactions_topic: 3,
        rig.config.blocks_topic: 1,
        rig.config.dead_letters_topic: 1,
    }
    shown = admin.describe_topics(list(names))
    configs = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, n) for n in names])
    admin.close()
    assert {topic["name"]: len(topic["partitions"]) for topic in shown} == names
    text = str(configs)
    assert text.count("7200000") >= 3


def test_transactions_read_as_documented(rig: KafkaRig) -> None:
    """Anybody's consumer finds one JSON record for each transaction, keyed by its sender."""
    put(rig, added(1))
    records = rig.records(rig.config.transactions_topic, isolation_level="read_committed")
    values = [(record.key.decode(), msgspec.json.decode(record.value)) for record in records]
    assert len(values) == 3
    assert all(key == value["from_address"] for key, value in values)
    assert all(value["chain"] == rig.chain.name for _, value in values)


def test_no_record_is_larger_than_brokers_take(rig: KafkaRig) -> None:
    """A large transaction stands in parts, in one partition, that join to its record."""
    batch = replace(plain_batch([1], transactions=1, data=bytes(700_000)), chain=rig.chain)
    put(rig, BlocksAdded(batch))
    records = rig.records(rig.config.transactions_topic)
    assert [record.headers for record in records] == [
        [("part", f"{n}/3".encode())] for n in range(3)
    ]
    assert all(len(record.value) <= PART_BYTES for record in records)
    whole = msgspec.json.decode(b"".join(record.value for record in records))
    assert whole["input"] == "0x" + "00" * 700_000


def test_parts_out_of_order_are_buried(rig: KafkaRig) -> None:
    """A part whose first is missing is a dead letter; the stream goes on."""
    producer = put(rig, added(1))
    client = KafkaProducer(bootstrap_servers=[rig.bootstrap])
    for header in (b"1/3", b"0/2", b"x", b"5/4", b"0/2"):
        client.send(rig.config.transactions_topic, b"{", headers=[("part", header)], partition=0)
    client.send(rig.config.transactions_topic, b"}", headers=[("trace", b"1")], partition=0)
    client.close(timeout=5)
    producer.publish(DurableBusContract.on(rig, added(2)))
    consumer = rig.consumer()
    consumer.seek({})
    assert numbers(drain(consumer, 2)) == [1, 2]
    assert consumer.dead_letters == 5


def test_without_crc32c_nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """kafka-python without its compiled checksum is refused with the line that installs it."""
    monkeypatch.setitem(sys.modules, "crc32c", None)
    config = KafkaConfig("127.0.0.1:1", Chain("nowhere", 1))
    for make in (BlockProducer, BlockConsumer):
        with pytest.raises(BusError, match=r"crc32c.*pip install 'kafka-python\[crc32c"):
            make(config)


def test_the_password_is_never_shown() -> None:
    """The configuration can be logged."""
    config = KafkaConfig("127.0.0.1:1", Chain("nowhere", 1), username="u", password="hunter2")
    assert "hunter2" not in repr(config)


@pytest.mark.data
def test_the_real_run_comes_through_whole(rig: KafkaRig, shared_data: Path) -> None:
    """25 real blocks published at once and read at once are the same tables."""
    source = open_source(shared_data / "blocks" / "run.blocks.jsonl.gz", rig.chain)
    assert isinstance(source, BlockSource)
    raws = [raw for raw in source.blocks() if isinstance(raw, RawBlock)]
    raws.sort(key=lambda raw: int(raw.block.number, 16))
    batch = decode_blocks(rig.chain, raws, [True] * len(raws))
    put(rig, BlocksAdded(batch))
    consumer = rig.consumer()
    consumer.seek({})
    deliveries = drain(consumer, len(batch), max_events=100)
    came = BlockBatch.concat(
        [one.event.batch for one in deliveries if isinstance(one.event, BlocksAdded)]
    )
    for name, table in batch.tables.items():
        assert came.tables[name].equals(table), name
