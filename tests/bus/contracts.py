"""What every bus promises, whatever is underneath: subclass ``BusContract`` and give a rig."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Protocol

import pyarrow as pa
import pytest

from chainwarden.bus import Consumer, Delivery, Producer
from chainwarden.errors import BusError, OffsetGone
from chainwarden.schema import (
    ETHEREUM,
    TABLES,
    BlockBatch,
    BlocksAdded,
    Chain,
    ChainEvent,
)
from tests.bus.blocks import added, block_hash, finalized, plain_batch, position, reverted, story

WORST_LOGS = 34_168


class Rig(Protocol):
    """A bus of its own for one test."""

    chain: Chain

    def producer(self) -> Producer:
        """A producer; on a durable bus a new one each time."""
        ...

    def consumer(self) -> Consumer:
        """A consumer; on a durable bus a new one each time."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


def drain(
    consumer: Consumer, blocks: int, max_events: int = 1, seconds: float = 30.0
) -> list[Delivery]:
    """Deliveries until so many block events have come, then what else comes at once."""
    out: list[Delivery] = []
    deadline = time.monotonic() + seconds
    while len(story([one.event for one in out])) < blocks:
        assert time.monotonic() < deadline, f"only {story([one.event for one in out])}"
        out += consumer.poll(0.5, max_events)
    return out + consumer.poll(0.2, max_events)


def told(deliveries: list[Delivery]) -> list[tuple[str, int, bytes]]:
    """What the deliveries tell, one line for each block."""
    return story([one.event for one in deliveries])


def assert_same_blocks(deliveries: list[Delivery], events: list[ChainEvent]) -> None:
    """Every row of every table came through."""
    came = [d.event.batch for d in deliveries if isinstance(d.event, BlocksAdded)]
    went = [e.batch for e in events if isinstance(e, BlocksAdded)]
    for name, schema in TABLES.items():
        rows = [row for batch in came for row in getattr(batch, name).to_pylist()]
        assert rows == [row for batch in went for row in getattr(batch, name).to_pylist()], name
        assert all(getattr(batch, name).schema == schema for batch in came)


def worst_block(number: int) -> BlockBatch:
    """A block of one transaction with as many logs as 60 million gas can buy."""
    batch = plain_batch([number], transactions=1)
    row = {k: batch.transactions[k][0].as_py() for k in ("block_timestamp", "transaction_hash")}
    logs = [
        {
            **row,
            "block_number": number,
            "transaction_index": 0,
            "ordinal": 1 + at,
            "address": at.to_bytes(20, "big"),
            **{f"topic{n}": (at * 31 + n).to_bytes(32, "big") for n in range(4)},
            "data": (at * 77).to_bytes(64, "big"),
        }
        for at in range(WORST_LOGS)
    ]
    return BlockBatch.of(
        ETHEREUM,
        blocks=batch.blocks,
        transactions=batch.transactions,
        flows=batch.flows,
        logs=pa.Table.from_pylist(logs, schema=TABLES["logs"]),
    )


class BusContract:
    """The conformance suite."""

    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        """The bus under test."""
        raise NotImplementedError

    def publish(self, rig: Rig, *events: ChainEvent) -> list[ChainEvent]:
        """Publish events with one producer; they are returned as published."""
        producer = rig.producer()
        own = [self.on(rig, event) for event in events]
        for event in own:
            producer.publish(event)
        return own

    @staticmethod
    def on(rig: Rig, event: ChainEvent) -> ChainEvent:
        """The event on the rig's chain."""
        if isinstance(event, BlocksAdded):
            return replace(event, batch=replace(event.batch, chain=rig.chain))
        return event

    def test_events_come_in_the_order_they_were_published(self, rig: Rig) -> None:
        """Blocks, reverts and finality marks keep their order, and every row is the same."""
        consumer = rig.consumer()
        consumer.seek({})
        events = self.publish(
            rig,
            added(10, 11, gap=True),
            added(12),
            reverted(12),
            added(12, 13, fork=1),
            finalized(11),
        )
        deliveries = drain(consumer, 7)
        assert told(deliveries) == story(events)
        assert_same_blocks(deliveries, events)

    def test_a_producer_reads_what_is_behind_an_offset(self, rig: Rig) -> None:
        """Every event behind it block by block, without content, whoever published it."""
        first = rig.producer()
        first.publish(self.on(rig, added(10, 11, gap=True)))
        behind = first.end
        assert first.since(behind) == []
        second = rig.producer()
        assert second.end >= behind
        second.publish(self.on(rig, added(12, 13)))
        later = second.end
        for event in (reverted(13), finalized(11)):
            before = second.end
            second.publish(event)
            assert behind < later <= before < second.end
        marks = second.since(behind)
        assert [(one.event, one.position) for one in marks] == [
            ("added", position(12)),
            ("added", position(13)),
            ("reverted", position(13)),
            ("finalized", position(11)),
        ]
        assert [one.parent for one in marks] == [block_hash(11), block_hash(12), b"", b""]
        assert second.since(later) == marks[2:]
        assert [one.gap for one in second.since(0)] == [True, False, False, False, False, False]
        assert second.since(10**12) == []

    def test_a_gap_is_told(self, rig: Rig) -> None:
        """A block that starts anew says so, also behind others in one poll."""
        consumer = rig.consumer()
        consumer.seek({})
        self.publish(rig, added(10, 11), added(20, 21, gap=True))
        gaps = {
            delivery.event.batch.numbers()[0]: delivery.event.gap
            for delivery in drain(consumer, 4, max_events=10)
            if isinstance(delivery.event, BlocksAdded)
        }
        assert gaps.pop(20) is True
        assert set(gaps.values()) == {False}

    def test_numbers_may_fall_between_batches(self, rig: Rig) -> None:
        """Blocks of scattered files come through, each batch still rising."""
        consumer = rig.consumer()
        consumer.seek({})
        events = self.publish(rig, added(50), added(7, gap=True), added(8), added(3, gap=True))
        assert told(drain(consumer, 4, max_events=10)) == story(events)

    def test_a_repeated_event_is_dropped(self, rig: Rig) -> None:
        """A block, a revert or a mark that is published again is not handed on again."""
        consumer = rig.consumer()
        consumer.seek({})
        self.publish(
            rig,
            added(10, 11, gap=True),
            added(10, 11, gap=True),
            added(11, 12),
            reverted(12),
            reverted(12),
            finalized(10),
            finalized(10),
            added(12, fork=1),
        )
        numbers = [(kind, number) for kind, number, _ in told(drain(consumer, 6, max_events=3))]
        assert numbers == [
            ("added", 10),
            ("added", 11),
            ("added", 12),
            ("reverted", 12),
            ("finalized", 10),
            ("added", 12),
        ]

    def test_a_block_that_was_reverted_may_come_back(self, rig: Rig) -> None:
        """A chain that flips between two forks is told in full: that is no repeat."""
        consumer = rig.consumer()
        consumer.seek({})
        flip: list[ChainEvent] = [added(1), added(2)]
        for _ in range(3):
            flip += [reverted(2), added(2, fork=1), reverted(2, fork=1), added(2)]
        events = self.publish(rig, *flip)
        assert told(drain(consumer, len(flip), max_events=4)) == story(events)

    @pytest.mark.parametrize("max_events", [1, 3, 100])
    def test_a_delivery_s_offsets_are_where_the_rest_begins(
        self, rig: Rig, max_events: int
    ) -> None:
        """Seeking to any delivery's offsets reads exactly what comes after it."""
        consumer = rig.consumer()
        consumer.seek({})
        self.publish(
            rig,
            added(10, 11, 12, transactions=7),
            reverted(12),
            added(12, 13, fork=1, transactions=1),
            added(14, transactions=0),
            finalized(12, fork=1),
            added(15, transactions=9),
        )
        deliveries = drain(consumer, 9, max_events)
        whole = told(deliveries)
        assert len(whole) == 9
        for place, delivery in enumerate(deliveries):
            rest = whole[len(told(deliveries[: place + 1])) :]
            consumer.seek(delivery.offsets)
            assert told(drain(consumer, len(rest), max_events)) == rest

    def test_a_repeat_is_known_after_seeking(self, rig: Rig) -> None:
        """A reader that starts behind a block still knows it when it is published again."""
        consumer = rig.consumer()
        consumer.seek({})
        self.publish(rig, added(10), added(11))
        deliveries = drain(consumer, 2)
        consumer.seek(deliveries[-1].offsets)
        self.publish(rig, added(11), added(12))
        assert [number for _, number, _ in told(drain(consumer, 1))] == [12]

    def test_max_events_bounds_a_poll(self, rig: Rig) -> None:
        """A poll hands on no more blocks than asked for."""
        consumer = rig.consumer()
        consumer.seek({})
        self.publish(rig, added(*range(10, 20)))
        seen: list[int] = []
        while len(seen) < 10:
            own = [number for _, number, _ in told(consumer.poll(5.0, 3))]
            assert 1 <= len(own) <= 3
            seen += own
        assert seen == list(range(10, 20))

    def test_nothing_to_read_is_an_empty_list(self, rig: Rig) -> None:
        """A poll of an empty bus waits for its timeout and answers nothing."""
        consumer = rig.consumer()
        consumer.seek({})
        started = time.monotonic()
        assert consumer.poll(0.3) == []
        assert 0.2 < time.monotonic() - started < 3

    def test_a_block_without_transactions_passes(self, rig: Rig) -> None:
        """An empty block is a block."""
        consumer = rig.consumer()
        consumer.seek({})
        events = self.publish(rig, added(10, transactions=0), added(11))
        deliveries = drain(consumer, 2)
        assert told(deliveries) == story(events)
        assert_same_blocks(deliveries, events)

    def test_the_worst_block_passes(self, rig: Rig) -> None:
        """A transaction with every log that a block's gas can buy comes through whole."""
        consumer = rig.consumer()
        consumer.seek({})
        events = self.publish(rig, added(10), BlocksAdded(worst_block(11)), added(12))
        deliveries = drain(consumer, 3)
        assert told(deliveries) == story(events)
        batch = next(
            d.event.batch
            for d in deliveries
            if isinstance(d.event, BlocksAdded) and d.event.batch.numbers()[0] == 11
        )
        published = events[1]
        assert isinstance(published, BlocksAdded)
        assert batch.logs.equals(published.batch.logs)

    def test_lag_counts_down_to_nothing(self, rig: Rig) -> None:
        """What is published and not read is counted; when all is read nothing is."""
        consumer = rig.consumer()
        consumer.seek({})
        self.publish(rig, added(10, 11))
        deadline = time.monotonic() + 10  # a broker counts what it has marked committed
        while consumer.lag() < 2:
            assert time.monotonic() < deadline
        deliveries = drain(consumer, 2)
        assert consumer.lag() == 0
        consumer.commit(deliveries[-1].offsets)

    def test_offsets_of_another_bus_are_gone(self, rig: Rig) -> None:
        """Offsets beyond the end, or of other partitions, are refused."""
        consumer = rig.consumer()
        consumer.seek({})
        self.publish(rig, added(10))
        (delivery,) = drain(consumer, 1)
        for offsets in (
            {name: offset + 1000 for name, offset in delivery.offsets.items()},
            {"elsewhere/0": 0},
        ):
            with pytest.raises(OffsetGone):
                consumer.seek(offsets)

    def test_another_chain_s_block_is_refused(self, rig: Rig) -> None:
        """A bus carries one chain."""
        batch = replace(plain_batch([1]), chain=Chain("elsewhere", 99))
        with pytest.raises(BusError, match=rig.chain.name):
            rig.producer().publish(BlocksAdded(batch))


class DurableBusContract(BusContract):
    """What a bus promises besides that outlives its producers and consumers."""

    def test_a_restarted_reader_goes_on(self, rig: Rig) -> None:
        """A new consumer at the offsets of the last one misses and repeats nothing."""
        first = rig.consumer()
        first.seek({})
        self.publish(rig, added(10, 11), added(12))
        (*_, last) = drain(first, 3)
        first.close()
        self.publish(rig, added(13))
        second = rig.consumer()
        second.seek(last.offsets)
        assert [number for _, number, _ in told(drain(second, 1))] == [13]
        third = rig.consumer()
        third.seek({})
        assert [number for _, number, _ in told(drain(third, 4))] == [10, 11, 12, 13]

    def test_many_blocks_come_as_they_were_published(self, rig: Rig) -> None:
        """More than are decoded together: every row of them is the same, in the same order."""
        consumer = rig.consumer()
        consumer.seek({})
        events = self.publish(rig, *(added(*range(at, at + 50)) for at in range(1, 201, 50)))
        deliveries = drain(consumer, 200, 512)
        assert told(deliveries) == story(events)
        assert_same_blocks(deliveries, events)
