from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from chainwarden.errors import BlocksLost, BusError, Fenced
from chainwarden.patience import Patience


class Waiting(threading.Event):
    """A stop signal on which to wait takes no time but the clock's."""

    def __init__(self, stops_at: float = 1e9) -> None:
        super().__init__()
        self.now = 0.0
        self.pauses: list[float] = []
        self._stops_at = stops_at

    def wait(self, timeout: float | None = None) -> bool:
        """Let that much time pass."""
        assert timeout is not None
        self.pauses.append(timeout)
        self.now += timeout
        return self.now >= self._stops_at


def failing(times: int, error: Exception) -> tuple[Callable[[], None], list[int]]:
    """Work that fails so often, and a list that grows with every attempt."""
    attempts: list[int] = []

    def work() -> None:
        attempts.append(1)
        if len(attempts) <= times:
            raise error

    return work, attempts


def test_what_the_bus_refuses_is_tried_until_it_is_taken() -> None:
    """With pauses that grow to two seconds; while it waits it says why, afterwards nothing."""
    stop = Waiting()
    patience = Patience(60.0, stop, lambda: stop.now)
    reasons: list[str] = []
    work, attempts = failing(7, BusError("no broker"))

    def watched() -> None:
        reasons.append(patience.reason())
        work()

    patience.until_taken(watched)
    assert len(attempts) == 8
    assert stop.pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    assert reasons[0] == ""
    assert reasons[-1] == "waiting for the bus for 7 s: no broker"
    assert patience.reason() == ""
    assert patience.away_seconds == 0.0


def test_patience_ends() -> None:
    """After so many seconds the last error is raised; the next outage has all of them again."""
    stop = Waiting()
    patience = Patience(10.0, stop, lambda: stop.now)
    with pytest.raises(BusError, match="no broker"):
        patience.until_taken(failing(1000, BusError("no broker"))[0])
    assert 10.0 <= stop.now < 13.0
    patience.until_taken(lambda: None)
    began = stop.now
    with pytest.raises(BusError):
        patience.until_taken(failing(1000, BusError("again"))[0])
    assert stop.now - began >= 10.0


@pytest.mark.parametrize("final", [Fenced("another one"), BlocksLost("an older disk")])
def test_who_is_fenced_off_or_told_to_stop_does_not_try_again(final: BusError) -> None:
    """Another publisher took over, blocks are gone, or somebody wants this process to end."""
    stop = Waiting(stops_at=0.5)
    patience = Patience(60.0, stop, lambda: stop.now)
    work, attempts = failing(1000, final)
    with pytest.raises(type(final)):
        patience.until_taken(work)
    assert len(attempts) == 1
    with pytest.raises(BusError, match="away"):
        patience.until_taken(failing(1000, BusError("away"))[0])
    assert stop.now < 1.0
