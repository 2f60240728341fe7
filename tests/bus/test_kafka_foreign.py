"""What somebody else writes on the topics, or takes from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaTimeoutError

from chainwarden.errors import IncompleteBlock
from chainwarden.kafka_bus import BlockConsumer
from chainwarden.schema import BlocksAdded
from chainwarden.wire import encode_blocks
from tests.bus.blocks import added, finalized, plain_batch, position, story
from tests.bus.contracts import DurableBusContract, drain, told
from tests.bus.kafka_rig import KafkaRig, numbers, put

pytestmark = pytest.mark.broker


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
