from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from chainwarden.bus import Consumer, Producer
from chainwarden.errors import BusError, OffsetGone
from chainwarden.memory_bus import MemoryBus
from chainwarden.schema import ETHEREUM, TABLES, BlockBatch, BlocksAdded
from tests.bus.blocks import added, batches
from tests.bus.contracts import BusContract, Rig, drain, told


class MemoryRig:
    def __init__(self) -> None:
        self.chain = ETHEREUM
        self.bus = MemoryBus(capacity_events=64)

    def producer(self) -> Producer:
        """The bus."""
        return self.bus

    def consumer(self) -> Consumer:
        """The bus."""
        return self.bus

    def close(self) -> None:
        """Close it."""
        self.bus.close()


class TestMemoryBus(BusContract):
    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        """A bus of 64 events."""
        rig = MemoryRig()
        yield rig
        rig.close()


@settings(deadline=None, max_examples=60)
@given(batch=batches())
def test_any_batch_comes_back_exactly(batch: BlockBatch) -> None:
    """Every column of every table comes off the bus as it went on, in one chunk."""
    bus = MemoryBus()
    bus.publish(BlocksAdded(batch))
    (delivery,) = bus.poll(0.0, len(batch))
    assert isinstance(delivery.event, BlocksAdded)
    for name, schema in TABLES.items():
        came = getattr(delivery.event.batch, name)
        assert came.schema == schema
        assert came.to_pylist() == getattr(batch, name).to_pylist(), name
        assert all(column.num_chunks <= 1 for column in came.columns), name


def test_publishing_waits_for_room() -> None:
    """A full bus holds the publisher up until something was polled; nothing is lost."""
    bus = MemoryBus(capacity_events=2)
    thread = threading.Thread(target=lambda: bus.publish(added(1, 2, 3, 4, 5)))
    thread.start()
    try:
        time.sleep(0.2)
        assert bus.lag() == 2
        assert thread.is_alive()
        assert [n for _, n, _ in told(drain(bus, 5))] == [1, 2, 3, 4, 5]
    finally:
        bus.close()
        thread.join(timeout=5)
    assert not thread.is_alive()


def test_a_bus_nobody_reads_is_an_error() -> None:
    """Publishing to a full bus gives up after the timeout and says why."""
    bus = MemoryBus(capacity_events=1, timeout_seconds=0.1)
    bus.publish(added(1))
    with pytest.raises(BusError, match="full"):
        bus.publish(added(2))
    assert [n for _, n, _ in told(drain(bus, 1))] == [1]


def test_closing_frees_a_waiting_publisher() -> None:
    """A publisher held up by a full bus gets BusError when the bus is closed."""
    bus = MemoryBus(capacity_events=1)
    bus.publish(added(1))
    caught: list[BusError] = []

    def publish() -> None:
        try:
            bus.publish(added(2))
        except BusError as error:
            caught.append(error)

    thread = threading.Thread(target=publish)
    thread.start()
    time.sleep(0.1)
    bus.close()
    thread.join(timeout=5)
    assert "closed" in str(caught[0])
    assert [n for _, n, _ in told(drain(bus, 1))] == [1]


def test_the_past_is_bounded() -> None:
    """As many polled events are kept for seeking as the capacity says; older ones are gone."""
    bus = MemoryBus(capacity_events=4)
    first = None
    for number in range(1, 21):
        bus.publish(added(number))
        (delivery,) = bus.poll(1.0)
        first = first or delivery
    assert first is not None
    with pytest.raises(OffsetGone):
        bus.seek(first.offsets)
    bus.seek({})
    assert [n for _, n, _ in told(drain(bus, 4, max_events=9))] == [17, 18, 19, 20]


def test_many_threads_may_publish() -> None:
    """Blocks published by several threads at once are all there, each whole."""
    bus = MemoryBus(capacity_events=8)
    threads = [
        threading.Thread(target=lambda n=n: bus.publish(added(*range(n, n + 25))))
        for n in (100, 200, 300)
    ]
    for thread in threads:
        thread.start()
    seen = told(drain(bus, 75, max_events=5))
    for thread in threads:
        thread.join(timeout=5)
    assert sorted(n for _, n, _ in seen) == [
        n for start in (100, 200, 300) for n in range(start, start + 25)
    ]
