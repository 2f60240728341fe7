from __future__ import annotations

import gc
import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import InvalidRequestError, KafkaTimeoutError

from chainwarden.bus import Delivery
from chainwarden.errors import BlocksLost, BusError, IncompleteBlock, OffsetGone
from chainwarden.kafka_bus import (
    PART_BYTES,
    BlockConsumer,
    BlockProducer,
    BusWatch,
    KafkaConfig,
)
from chainwarden.schema import BlockBatch, BlocksAdded, Chain, ChainEvent, hex_of
from chainwarden.wire import encode_blocks
from ingest.decode import decode_blocks
from ingest.files import open_source
from ingest.raw import RawBlock
from ingest.source import BlockSource
from tests.bus.blocks import added, block_hash, finalized, plain_batch, position, reverted, story
from tests.bus.contracts import DurableBusContract, Rig, drain, told
from tests.conftest import ROOT
from tests.kafka_broker import BrokerMissing, start_node

pytestmark = pytest.mark.broker

CHAINS = count(1)


class KafkaRig:
    """A chain of its own, so topics of its own, on the broker of the session."""

    def __init__(self, bootstrap: str, **options: Any) -> None:
        self.bootstrap = bootstrap
        number = next(CHAINS)
        self.chain = Chain(f"test{number}-{time.time_ns()}", number)
        self.config = KafkaConfig(bootstrap, self.chain, **options)
        self._open: list[BlockProducer | BlockConsumer] = []

    def producer(self) -> BlockProducer:
        """A new producer."""
        producer = BlockProducer(self.config)
        self._open.append(producer)
        return producer

    def consumer(self, **options: Any) -> BlockConsumer:
        """A new consumer."""
        consumer = BlockConsumer(replace(self.config, **options))
        self._open.append(consumer)
        return consumer

    def foreign(self, topic: str, value: bytes | None, partition: int = 0, **more: Any) -> int:
        """Somebody else writes on a topic; the offset of the record."""
        producer = KafkaProducer(bootstrap_servers=[self.bootstrap], **more)
        try:
            sent = producer.send(topic, value, b"key", partition=partition)
            return int(sent.get(timeout=10).offset)
        finally:
            producer.close(timeout=5)

    def records(self, topic: str, **options: Any) -> list[Any]:
        """Every record of a topic as any client sees it."""
        consumer = KafkaConsumer(bootstrap_servers=[self.bootstrap], **options)
        try:
            where = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)]
            consumer.assign(where)
            consumer.seek_to_beginning()
            out: list[Any] = []
            ends = consumer.end_offsets(where)
            while any(consumer.position(one) < ends[one] for one in where):
                out += [r for own in consumer.poll(1000).values() for r in own]
            return out
        finally:
            consumer.close()

    def close(self) -> None:
        """Close what was opened."""
        for one in self._open:
            one.close()


@pytest.fixture
def rig(kafka_bootstrap: str) -> Iterator[KafkaRig]:
    """A chain of its own on the real broker."""
    rig = KafkaRig(kafka_bootstrap, timeout_seconds=20.0, incomplete_seconds=1.0)
    yield rig
    rig.close()


class TestKafkaBus(DurableBusContract):
    @pytest.fixture
    def rig(self, kafka_bootstrap: str) -> Iterator[Rig]:
        """A chain of its own on the real broker."""
        rig = KafkaRig(kafka_bootstrap, timeout_seconds=20.0)
        yield rig
        rig.close()


def put(rig: KafkaRig, *events: Any) -> BlockProducer:
    """Publish events on the rig's chain."""
    producer = rig.producer()
    for event in events:
        producer.publish(DurableBusContract.on(rig, event))
    return producer


def numbers(deliveries: list[Delivery]) -> list[int]:
    """The block numbers told."""
    return [number for _, number, _ in told(deliveries)]


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


# --- crashes -------------------------------------------------------------------------------------

KILLED = """
import sys, time
from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.schema import Chain
from tests.bus.blocks import added
from tests.bus.contracts import BusContract

class Rig: pass
rig = Rig()
rig.chain = Chain(sys.argv[2], 1)
producer = BlockProducer(KafkaConfig(sys.argv[1], rig.chain, timeout_seconds=20.0))
producer.publish(BusContract.on(rig, added(1, transactions=40)))

def stop_before_the_commit():
    print("half", flush=True)
    time.sleep(60)

producer._commit_in_time = stop_before_the_commit
producer.publish(BusContract.on(rig, added(2, transactions=40)))
"""


def test_a_block_whose_producer_was_killed_is_never_seen(rig: KafkaRig) -> None:
    """SIGKILL between the records and the commit: readers see nothing of it, then the rest."""
    consumer = rig.consumer()
    consumer.seek({})
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, rig.bootstrap, rig.chain.name],
        cwd=ROOT,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    with child.stdout:
        assert child.stdout.readline() == b"half\n"
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=10)
    raw = rig.records(rig.config.blocks_topic, isolation_level="read_uncommitted")
    assert len(raw) == 2  # the records of the second block are on the broker
    assert numbers(drain(consumer, 1)) == [1]
    producer = rig.producer()
    for event in (added(2, fork=1, transactions=40), added(3, fork=1)):
        producer.publish(DurableBusContract.on(rig, event))
    rest = drain(consumer, 2)
    assert told(rest) == story([added(2, fork=1), added(3, fork=1)])
    late = rig.consumer()
    late.seek({})
    assert numbers(drain(late, 3)) == [1, 2, 3]


def test_a_second_producer_takes_over(rig: KafkaRig) -> None:
    """The producer that was fenced off says so, and says so again; nothing of it is committed."""
    first = put(rig, added(1))
    second = put(rig, added(2))
    for _ in range(2):
        with pytest.raises(BusError, match="fenced"):
            first.publish(DurableBusContract.on(rig, added(3, fork=1)))
    second.publish(DurableBusContract.on(rig, added(3)))
    consumer = rig.consumer()
    consumer.seek({})
    assert told(drain(consumer, 3)) == story([added(1), added(2), added(3)])


def test_a_producer_goes_on_after_a_failure(rig: KafkaRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A publish that failed raises BusError; publishing again works and is read once."""
    producer = rig.producer()

    def fail(*_: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(producer, "_commit_in_time", fail)
    with pytest.raises(BusError, match="InvalidRequestError"):
        producer.publish(DurableBusContract.on(rig, added(1)))
    monkeypatch.undo()
    producer.publish(DurableBusContract.on(rig, added(1)))
    consumer = rig.consumer()
    consumer.seek({})
    assert numbers(drain(consumer, 1)) == [1]


def test_a_commit_that_the_broker_forgot_is_made_again(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acknowledged, then lost by a broker that was killed: it is found when the client is new."""
    producer = put(rig, added(1, transactions=40))
    monkeypatch.setattr(producer, "_commit_in_time", lambda: None)
    producer.publish(DurableBusContract.on(rig, added(2, transactions=40)))
    monkeypatch.undo()
    producer._drop(timeout=0.0)  # as after any failure
    producer.publish(DurableBusContract.on(rig, added(3)))
    consumer = rig.consumer()
    consumer.seek({})
    events: list[ChainEvent] = [added(1, transactions=40), added(2, transactions=40), added(3)]
    assert told(drain(consumer, 3)) == story(events)
    producer._drop(timeout=0.0)
    producer.publish(DurableBusContract.on(rig, added(4)))
    assert [mark.position for mark in producer.since(0)] == list(map(position, range(1, 5)))


def test_a_topic_that_ends_earlier_than_it_did_is_an_error(rig: KafkaRig) -> None:
    """Blocks are gone that were committed long ago: this one cannot know which."""
    producer = put(rig, added(1, 2))
    producer._drop(timeout=0.0)
    producer.end += 2  # the mark of the commit is there as well
    for _ in range(2):
        with pytest.raises(BlocksLost, match=r"ends at 3, not at 4.*start ingest again"):
            producer.publish(DurableBusContract.on(rig, added(3)))


def test_a_consumer_whose_client_raises_goes_on(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception out of the client's poll: it is built anew and nothing is lost or repeated."""
    producer = put(rig, added(1, 2))
    consumer = rig.consumer()
    consumer.seek({})
    seen = consumer.poll(10.0, 2)
    assert numbers(seen) == [1, 2]
    broken = consumer._consumer

    def fail(*_: Any, **__: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(broken, "poll", fail)
    producer.publish(DurableBusContract.on(rig, added(3, 4)))
    while len(numbers(seen)) < 4:
        seen += consumer.poll(5.0)
    assert numbers(seen) == [1, 2, 3, 4]
    assert consumer._consumer is not broken


def test_a_client_that_keeps_raising_is_an_error(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading does not try for ever, only for as long as its patience."""
    consumer = rig.consumer(patience_seconds=1.0)
    consumer.seek({})

    def fail(*_: Any, **__: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(KafkaConsumer, "poll", fail)
    started = time.monotonic()
    with pytest.raises(BusError, match="InvalidRequestError"):
        consumer.poll(20.0)
    assert 1.0 <= time.monotonic() - started < 10.0


NO_BROKER = """
from chainwarden.errors import BusError
from chainwarden.kafka_bus import BlockProducer, KafkaConfig
from chainwarden.schema import Chain
try:
    BlockProducer(KafkaConfig("127.0.0.1:1", Chain("nowhere", 1), timeout_seconds=1.0))
except BusError as error:
    print(error)
"""


def test_no_broker_is_a_clear_error() -> None:
    """Without a broker the error names the address.

    In a process of its own: kafka-python leaves refused sockets to the garbage collector.
    """
    done = subprocess.run(
        [sys.executable, "-c", NO_BROKER], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "is a Kafka broker at 127.0.0.1:1?" in done.stdout


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_broker_that_hangs_is_an_error_and_then_goes_on(tmp_path: Path) -> None:
    """A frozen broker: publishing raises in bounded time; once it is back nothing is repeated."""
    try:
        node = start_node(tmp_path)
    except BrokerMissing as why:
        pytest.skip(f"no Kafka broker: {why}")
    rig = KafkaRig(node.bootstrap, timeout_seconds=4.0)
    try:
        producer = put(rig, added(1))
        consumer = rig.consumer()
        consumer.seek({})
        assert numbers(drain(consumer, 1)) == [1]
        node.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(BusError):
            producer.publish(DurableBusContract.on(rig, added(2)))
        assert time.monotonic() - started < 15
        assert consumer.poll(0.5) == []
        node.process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 30
        while True:
            try:
                producer.publish(DurableBusContract.on(rig, added(2, 3)))
            except BusError:
                assert time.monotonic() < deadline
            else:
                break
        assert numbers(drain(consumer, 2)) == [2, 3]
    finally:
        rig.close()
        node.stop()
        gc.collect()  # kafka-python leaves sockets that hung to the garbage collector


def test_a_broker_that_is_away_for_a_while_is_no_error(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting again may fail as well: reading goes on once it works."""
    producer = put(rig, added(1))
    consumer = rig.consumer()
    consumer.seek({})
    assert numbers(drain(consumer, 1)) == [1]
    connect, refusals = consumer._connect, [BusError("refused"), BusError("refused")]

    def connect_at_last() -> Any:
        if refusals:
            raise refusals.pop()
        return connect()

    def fail(*_: Any, **__: Any) -> None:
        raise InvalidRequestError

    monkeypatch.setattr(consumer, "_connect", connect_at_last)
    monkeypatch.setattr(consumer._consumer, "poll", fail)
    producer.publish(DurableBusContract.on(rig, added(2)))
    assert numbers(drain(consumer, 1)) == [2]
    assert not refusals


def test_the_lag_is_known_within_a_second_without_reading(rig: KafkaRig) -> None:
    """Who reads nothing for a while still knows the newest block, and how much lies before it."""
    producer = put(rig, added(1))
    consumer = rig.consumer()
    consumer.seek({})
    (first,) = drain(consumer, 1)
    with BusWatch(rig.config) as watch:
        for event in (added(2, 3), reverted(3), added(*range(4, 300))):
            producer.publish(DurableBusContract.on(rig, event))
        deadline = time.monotonic() + 1.0
        while watch.newest is None or watch.newest.number < 299:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert watch.newest.timestamp == added(299).batch.blocks["block_timestamp"][0].as_py()
        assert watch.behind(first.offsets) == consumer.lag() > 4 * 298
        assert not watch.reason()
        watch.check()


# --- what others write ---------------------------------------------------------------------------


def letters(rig: KafkaRig, consumer: BlockConsumer) -> list[dict[str, Any]]:
    """The dead letters, once they are flushed."""
    consumer.close()
    return [
        msgspec.json.decode(record.value) for record in rig.records(rig.config.dead_letters_topic)
    ]


POISON = [b"", b"\xff\xfe", b"{", b'{"version":1}', b"[" * 5000, b'{"version":2}', None]


def test_poison_is_buried_and_the_stream_goes_on(rig: KafkaRig) -> None:
    """Whatever bytes stand on the topics: blocks come whole, the bytes are named, not copied."""
    producer = put(rig, added(1))
    expected = []
    for topic in (rig.config.transactions_topic, rig.config.blocks_topic):
        for value in POISON:
            offset = rig.foreign(topic, value)
            expected.append((topic, 0, offset, hashlib.sha256(value or b"").hexdigest()))
    producer.publish(DurableBusContract.on(rig, added(2)))
    consumer = rig.consumer()
    consumer.seek({})
    deliveries = drain(consumer, 2)
    assert numbers(deliveries) == [1, 2]
    assert consumer.dead_letters == len(expected)
    found = letters(rig, consumer)
    assert sorted((f["topic"], f["partition"], f["offset"], f["sha256"]) for f in found) == sorted(
        expected
    )
    assert all(
        set(f) == {"version", "topic", "partition", "offset", "reason", "sha256"} for f in found
    )


def test_copies_by_somebody_else_change_nothing(rig: KafkaRig) -> None:
    """Records copied by a mirror or a careless hand, with their headers, are dropped as repeats."""
    producer = put(rig, added(1))
    event = encode_blocks(BlocksAdded(replace(plain_batch([1]), chain=rig.chain)), 0)[0]
    for _, value in event.transactions:
        for partition in range(rig.config.partitions):
            rig.foreign(rig.config.transactions_topic, value, partition)
    rig.foreign(rig.config.blocks_topic, event.block)
    producer.publish(DurableBusContract.on(rig, added(2)))
    consumer = rig.consumer()
    consumer.seek({})
    deliveries = drain(consumer, 2, max_events=10)
    assert numbers(deliveries) == [1, 2]
    assert consumer.dead_letters == 0


def spoil(
    rig: KafkaRig, spoiler: Callable[[list[bytes]], list[bytes]], *, later: bool = True
) -> None:
    """Publish block 2 of blocks 1 to 3 by hand, with its transaction values changed.

    Without ``later`` it is the last.
    """
    put(rig, added(1)).close()
    client = KafkaProducer(bootstrap_servers=[rig.bootstrap])
    end = KafkaConsumer(bootstrap_servers=[rig.bootstrap])
    where = TopicPartition(rig.config.blocks_topic, 0)
    sequence = end.end_offsets([where])[where]
    end.close()
    event = encode_blocks(BlocksAdded(replace(plain_batch([2]), chain=rig.chain)), sequence)[0]
    for value in spoiler([value for _, value in event.transactions]):
        client.send(rig.config.transactions_topic, value, partition=0)
    client.send(rig.config.blocks_topic, event.block, partition=0)
    client.close(timeout=5)
    if later:
        put(rig, added(3, transactions=40), finalized(1))


@pytest.mark.parametrize("later", [True, False])
def test_a_block_that_lacks_a_record_is_an_error_with_a_way_on(rig: KafkaRig, later: bool) -> None:
    """What is before it is handed on, it is named at every poll, and behind it the stream goes on.

    Whether later blocks prove that nothing comes any more, or the wait is over.
    """
    spoil(rig, lambda values: [values[0], b"poison", values[2]])
    consumer = rig.consumer(incomplete_seconds=1.0 if not later else 600.0)
    consumer.seek({})
    assert numbers(consumer.poll(10.0, 10)) == [1]
    for _ in range(2):
        with pytest.raises(IncompleteBlock, match=r"block 2 \(0x0000.*1 of 3") as caught:
            consumer.poll(10.0, 10)
    assert (caught.value.number, caught.value.block_hash) == (2, position(2).hash)
    assert consumer.dead_letters == 1
    consumer.seek(caught.value.offsets)
    assert told(drain(consumer, 2)) == story([added(3), finalized(1)])


def test_the_silence_of_a_broker_proves_no_gap(
    rig: KafkaRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block that lacks records is not given up while the broker cannot say that none are left."""
    spoil(rig, lambda values: values[:2], later=False)
    consumer = rig.consumer(incomplete_seconds=0.2)
    consumer.seek({})
    assert numbers(consumer.poll(10.0, 10)) == [1]

    def silent(*_: Any, **__: Any) -> None:
        raise KafkaTimeoutError

    monkeypatch.setattr(consumer._consumer, "end_offsets", silent)
    assert consumer.poll(2.0, 10) == []
    monkeypatch.undo()
    with pytest.raises(IncompleteBlock, match="block 2"):
        consumer.poll(10.0, 10)


def test_a_record_that_fits_no_column_is_found_and_buried(rig: KafkaRig) -> None:
    """A record that reads as JSON but not as a row: its block is the error, the record named."""
    spoil(rig, lambda values: [values[0], values[1].replace(b'"0xcafe"', b'"0xcaf"'), values[2]])
    consumer = rig.consumer()
    consumer.seek({})
    assert numbers(consumer.poll(10.0, 10)) == [1]
    with pytest.raises(IncompleteBlock, match="transaction 1") as caught:
        consumer.poll(10.0, 10)
    consumer.seek(caught.value.offsets)
    assert numbers(drain(consumer, 2)) == [3, 1]
    (letter,) = letters(rig, consumer)
    assert letter["topic"] == rig.config.transactions_topic
    assert "transaction 1" in letter["reason"]


def test_a_lost_block_record_is_an_error(rig: KafkaRig) -> None:
    """Transactions whose block record is not there are not passed over in silence."""
    put(rig, added(1)).close()
    event = encode_blocks(BlocksAdded(replace(plain_batch([2]), chain=rig.chain)), 2)[0]
    for _, value in event.transactions:
        rig.foreign(rig.config.transactions_topic, value)
    rig.foreign(rig.config.blocks_topic, b"was the block record")
    put(rig, added(3))
    consumer = rig.consumer()
    consumer.seek({})
    assert numbers(consumer.poll(10.0)) == [1]
    with pytest.raises(IncompleteBlock, match=r"block 2.*block record is missing") as caught:
        consumer.poll(10.0)
    consumer.seek(caught.value.offsets)
    assert numbers(drain(consumer, 1)) == [3]


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
    admin = KafkaAdminClient(bootstrap_servers=[rig.bootstrap])
    shown = admin.list_group_offsets({rig.config.group: None})[rig.config.group]
    admin.close()
    assert {f"{p.topic}/{p.partition}": o.offset for p, o in shown.items() if o.offset >= 0} | (
        last.offsets
    ) == {f"{p.topic}/{p.partition}": o.offset for p, o in shown.items() if o.offset >= 0}
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
