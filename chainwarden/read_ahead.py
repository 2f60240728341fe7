"""A consumer that reads on while what it read is handled."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from chainwarden.bus import Consumer, Delivery
from chainwarden.schema import Offsets


class ReadAhead:
    """A ``Consumer`` over another, which one thread of its own has to itself.

    While the caller handles what a poll brought, the next poll is under way, with the same bounds
    as the one before; nothing more is ever held. What it raises is raised by the caller's next
    poll. A bus that brought nothing is left alone until it is polled.
    """

    def __init__(self, bus: Consumer) -> None:
        self._bus = bus
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._ahead: Future[list[Delivery]] | None = None

    def seek(self, offsets: Offsets) -> None:
        """Start from a delivery's offsets; what was read ahead is thrown away."""
        self._throw_away()
        self._thread.submit(self._bus.seek, offsets).result()

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """What was read ahead; else what comes within the timeout."""
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            ahead = self._thread.submit(self._bus.poll, timeout_seconds, max_events)
        found = ahead.result()
        if found:
            self._ahead = self._thread.submit(self._bus.poll, timeout_seconds, max_events)
        return found

    def commit(self, offsets: Offsets) -> None:
        """Tell the bus how far the caller is, when the poll under way has ended.

        Where it does not take that, nobody is told: a start goes on from offsets of the caller's.
        """
        self._thread.submit(self._bus.commit, offsets)

    def lag(self) -> int:
        """How much is behind what was read, what was read ahead included."""
        return self._thread.submit(self._bus.lag).result()

    def close(self) -> None:
        """Wait for the poll under way, and release what is held."""
        self._throw_away()
        self._thread.shutdown()
        self._bus.close()

    def _throw_away(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            _ended(ahead)


def _ended(ahead: Future[Any]) -> None:
    """Wait for it. What it raises is about what nobody wants any more."""
    with suppress(Exception):
        ahead.result()
