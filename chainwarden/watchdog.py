"""Whether a live source still moves; if it does not, the alarm, and a fresh start.

A node that stands, a fork that is walked in circles, a socket that never answers: from outside they
look alike. The position does not rise though the chain should. After a minute that is said, in the
log, in ``/readyz`` and as a metric; after five the source is closed and opened anew, and goes on
from the last position that was published. Nothing is ever taken back because nothing comes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from chainwarden.metrics import Metrics
from chainwarden.schema import BlockReverted, BlocksAdded, ChainEvent
from ingest.rpc import RpcSource

log = logging.getLogger(__name__)

_BLOCKS_TIMED: Final = 128


@dataclass(frozen=True, slots=True)
class WatchdogConfig:
    """How long a position may stand before the alarm and before a fresh start, in seconds.

    Where the chain's blocks come seldom it is ``alarm_block_times`` of them, if that is longer, and
    so much longer until the fresh start. ``look_seconds`` is between two looks.
    """

    alarm_seconds: float = 60.0
    restart_seconds: float = 300.0
    alarm_block_times: float = 5.0
    look_seconds: float = 1.0


@dataclass(slots=True)
class _Progress:
    """How far the source has come: a position counts when it is the highest of its life so far.

    ``since`` is when that was, ``begun`` when it was opened, ``number`` the newest block now.
    """

    since: float
    begun: float
    number: int = -1
    highest: int = -1
    alarmed: bool = False
    times: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=_BLOCKS_TIMED))

    def block_seconds(self) -> float:
        """The mean time between blocks, by their own timestamps; 0 where it is not known."""
        if len(self.times) < 2:
            return 0.0
        (first, began), (last, ended) = self.times[0], self.times[-1]
        return max(0.0, (ended - began) / (last - first)) if last > first else 0.0


class Watchdog:
    """Watches one live source, from a thread of its own while its events are taken."""

    def __init__(
        self,
        metrics: Metrics,
        config: WatchdogConfig = WatchdogConfig(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metrics = metrics
        self._reason = ""
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._progress = _Progress(clock(), clock())
        self._over = threading.Event()  # ends a life of the source
        metrics.source_stalled.labels(metrics.chain).set(0)
        metrics.source_restarts.labels(metrics.chain)

    def reason(self) -> str:
        """Why the source is thought to stand; empty while it moves, for ``Health.others``."""
        return self._reason

    def watch(
        self,
        source: RpcSource,
        begin: Callable[[threading.Event], Iterator[ChainEvent]],
        stop: threading.Event,
        start: int | None = None,
    ) -> Iterator[ChainEvent]:
        """The events that ``begin`` gives until its event is set, begun anew when they stall.

        An event counts when the next one is asked for: then it was published. A source whose head
        is below ``start`` waits, and that is no stall. Ends when ``stop`` is set.
        """
        self._progress = _Progress(self._clock(), self._clock())
        ended = threading.Event()
        patrol = threading.Thread(
            target=self._patrol,
            args=(source, stop, ended, start),
            name="chainwarden-watchdog",
            daemon=True,  # an exception of who takes the events leaves this open, and must end all
        )
        patrol.start()
        try:
            while True:
                self._over = over = threading.Event()
                if stop.is_set():  # it may have been set before this life was known
                    return
                for event in begin(over):
                    yield event
                    self.moved(event)
                if stop.is_set():
                    return
                source.restart()
                self._restarted()
        finally:
            ended.set()
            patrol.join()

    def look(self, head_number: int, start: int | None = None) -> bool:
        """Judge by the clock. True says that it is time for a fresh start."""
        with self._lock:
            progress, now = self._progress, self._clock()
            if progress.number < 0 and start is not None and 0 <= head_number < start:
                progress.since = progress.begun = now
                return False
            stood, alarm = now - progress.since, self._config.alarm_seconds
            if head_number <= progress.number:  # nothing to take in, as far as is known
                alarm = max(alarm, self._config.alarm_block_times * progress.block_seconds())
            if stood < alarm:
                return False
            self._alarm(_reason(progress.number, head_number, stood))
            longest = alarm * self._config.restart_seconds / self._config.alarm_seconds
            return min(stood, now - progress.begun) >= longest

    def _patrol(
        self, source: RpcSource, stop: threading.Event, ended: threading.Event, start: int | None
    ) -> None:
        while not ended.is_set():
            if stop.wait(self._config.look_seconds):
                self._over.set()
                return
            if self.look(source.head_number, start):
                self._over.set()

    def moved(self, event: ChainEvent) -> None:
        """Note an event that was published."""
        with self._lock:
            progress = self._progress
            if isinstance(event, BlockReverted):
                progress.number = event.position.number - 1
            if not isinstance(event, BlocksAdded):
                return
            progress.number = event.batch.position(-1).number
            if progress.number <= progress.highest:
                return
            progress.highest, progress.since = progress.number, self._clock()
            timestamp = event.batch.blocks["block_timestamp"][-1].as_py()
            progress.times.append((progress.number, timestamp))
            self._recovered()

    def _alarm(self, reason: str) -> None:
        self._reason = reason
        if not self._progress.alarmed:
            self._progress.alarmed = True
            self._metrics.source_stalled.labels(self._metrics.chain).set(1)
            log.error("the source stands: %s", reason)

    def _recovered(self) -> None:
        self._reason = ""
        if self._progress.alarmed:
            self._progress.alarmed = False
            self._metrics.source_stalled.labels(self._metrics.chain).set(0)
            log.warning("the source moves again, at block %d", self._progress.number)

    def _restarted(self) -> None:
        """The source was opened anew. From here on, every block above the newest is progress."""
        with self._lock:
            self._progress.begun, self._progress.highest = self._clock(), self._progress.number
        self._metrics.source_restarts.labels(self._metrics.chain).inc()
        log.warning("the source was opened anew, to go on after block %d", self._progress.number)


def _reason(number: int, head_number: int, seconds: float) -> str:
    if number < 0 and head_number < 0:
        return f"no node has told of a head for {seconds:.0f} s"
    if head_number > number:
        last = f"block {number}, taken in" if number >= 0 else "nothing was taken in, begun"
        return f"the nodes are at block {head_number}, the last one is {last} {seconds:.0f} s ago"
    return f"no block after {number} for {seconds:.0f} s"
