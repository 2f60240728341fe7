"""Waiting for a broker that is away, so long and no longer, with a reason that others can see.

A broker that restarts or hangs for a while is no reason to die: what was to be published is
published again until it is taken. One that stays away ends the process with the last error, so that
whoever supervises it sees an exit code and not a process that does nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from chainwarden.errors import BlocksLost, BusError, Fenced

log = logging.getLogger(__name__)

LONGEST_PAUSE_SECONDS: Final = 2.0
_FIRST_PAUSE_SECONDS: Final = 0.1


class Patience:
    """Does something again while the bus refuses it, for ``seconds``, or until ``stop`` is set.

    ``reason`` is empty while all is well, else why it is waiting; safe to read in any thread.
    """

    def __init__(
        self,
        seconds: float,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds = seconds
        self._stop = stop
        self._clock = clock
        self._since = 0.0
        self._why = ""

    @property
    def away_seconds(self) -> float:
        """How long the bus has refused; 0 while it does not."""
        return self._clock() - self._since if self._why else 0.0

    def reason(self) -> str:
        """Why it is waiting, for ``/readyz``."""
        why = self._why
        return f"waiting for the bus for {self.away_seconds:.0f} s: {why}" if why else ""

    def until_taken(self, work: Callable[[], None]) -> None:
        """Do it until it raises no BusError. Raises the last one when patience is at its end.

        Fenced is raised at once: another process took over, and trying again would take from it.
        So is BlocksLost: nothing but a new start mends it.
        """
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                work()
            except (Fenced, BlocksLost):
                raise
            except BusError as error:
                self._refused(error)
                if self.away_seconds >= self._seconds or self._stop.wait(pause):
                    raise
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            else:
                self._taken()
                return

    def _refused(self, error: BusError) -> None:
        if not self._why:
            self._since = self._clock()
            log.warning("the bus takes nothing, trying for %g s: %s", self._seconds, error)
        self._why = error.message

    def _taken(self) -> None:
        if self._why:
            log.warning("the bus takes blocks again, after %.0f s", self.away_seconds)
        self._why = ""
