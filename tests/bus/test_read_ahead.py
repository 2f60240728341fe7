from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from chainwarden.bus import Consumer, Delivery, Producer
from chainwarden.errors import IncompleteBlock
from chainwarden.memory_bus import MemoryBus
from chainwarden.read_ahead import ReadAhead
from chainwarden.schema import ETHEREUM, Offsets
from tests.bus.blocks import added
from tests.bus.contracts import BusContract, Rig, drain, told


class AheadRig:
    def __init__(self) -> None:
        self.chain = ETHEREUM
        self.bus = MemoryBus(capacity_events=64)
        self.ahead = ReadAhead(self.bus)

    def producer(self) -> Producer:
        """The bus."""
        return self.bus

    def consumer(self) -> Consumer:
        """The one that reads ahead."""
        return self.ahead

    def close(self) -> None:
        """Close both."""
        self.ahead.close()


class TestReadAhead(BusContract):
    @pytest.fixture
    def rig(self) -> Iterator[Rig]:
        """A bus of 64 events, read ahead of the test."""
        rig = AheadRig()
        yield rig
        rig.close()


class Watched(MemoryBus):
    """Says when a poll has ended, and from where on one fails."""

    def __init__(self) -> None:
        super().__init__()
        self.polled = threading.Semaphore(0)
        self.lost_after = 1_000

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """As the bus does, or IncompleteBlock."""
        try:
            if self._read >= self.lost_after:
                raise IncompleteBlock("lost", number=7, block_hash=b"", offsets={})
            return super().poll(timeout_seconds, max_events)
        finally:
            self.polled.release()

    def seek(self, offsets: Offsets) -> None:
        """What was lost is there again."""
        self.lost_after = 1_000
        super().seek(offsets)


@pytest.fixture
def bus() -> Iterator[Watched]:
    """A bus with three blocks on it."""
    bus = Watched()
    bus.publish(added(1, 2, 3))
    yield bus
    bus.close()


def test_the_next_events_are_read_while_these_are_handled(bus: Watched) -> None:
    """One poll is ahead of the caller, and never two."""
    ahead = ReadAhead(bus)
    try:
        assert [n for _, n, _ in told(ahead.poll(5.0))] == [1]
        assert bus.polled.acquire(timeout=5)
        assert bus.polled.acquire(timeout=5)  # nobody asked for the second yet
        assert not bus.polled.acquire(timeout=0.2)
        assert bus.lag() == 1
        assert [n for _, n, _ in told(drain(ahead, 2))] == [2, 3]
    finally:
        ahead.close()


def test_what_was_read_ahead_is_thrown_away_by_a_seek(bus: Watched) -> None:
    """After a seek the events behind the offsets come, not those of before."""
    ahead = ReadAhead(bus)
    try:
        (first,) = ahead.poll(5.0)
        ahead.poll(5.0)
        ahead.seek(first.offsets)
        assert [n for _, n, _ in told(drain(ahead, 2))] == [2, 3]
    finally:
        ahead.close()


def test_an_error_comes_after_what_was_before_it_and_again_until_a_seek(bus: Watched) -> None:
    """What goes wrong ahead is raised by the poll that would have met it."""
    bus.lost_after = 1
    ahead = ReadAhead(bus)
    try:
        (first,) = ahead.poll(5.0)
        for _ in range(2):
            with pytest.raises(IncompleteBlock):
                ahead.poll(5.0)
        ahead.seek(first.offsets)
        assert [n for _, n, _ in told(drain(ahead, 2))] == [2, 3]
    finally:
        ahead.close()
