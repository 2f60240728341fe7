"""Delivery: takes what is due from the outbox to the receivers, each on a thread of its own.

A receiver that is slow or gone holds up nobody else. One that fails is left alone for a while:
after n failures in a row nothing is sent to it for 5 s, 10 s, 20 s … at most 5 min, or for as long
as its Retry-After says. When it answers again, what waited for it is sent at once. A receiver that
refuses one message (400, 413, 422 …) is not failing: only that message waits, and is put more
plainly the next time where the receiver has a plainer form.

No receiver is posted to more often than its rate allows, in any minute. When more lesser alerts
wait than the rate lets through in a minute, all of them are told in one digest; at most one digest
a minute. Nothing is sent to a disabled receiver (see ``store.receiver_table``).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from chainwarden.errors import DeliveryError, StoreError
from store.outbox import DIGEST, RETRY_AFTER_CAP, Failure, Outbox, OutboxRow
from store.pace import Pace
from store.payload import body_of
from store.webhook import Sender

log = logging.getLogger(__name__)

FIRST_HOLD: Final = 5.0
LONGEST_HOLD: Final = 300.0
CLOCK_SLACK: Final = 1.0
"""Seconds that clocks may be set back and nobody cares."""
_IDLE_SECONDS: Final = 0.5

Observe = Callable[[str, str, float], None]
"""Called with receiver, outcome (``delivered``, ``failed``, ``dead``), seconds since the commit."""


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What became of the attempts for one receiver; ``dead`` ones are among the failed.

    Latencies are seconds from the commit to the receiver's yes.
    """

    delivered: int = 0
    failed: int = 0
    dead: int = 0
    latency_seconds: float = 0.0
    latency_seconds_total: float = 0.0


@dataclass(slots=True)
class _Hold:
    """How a receiver has been doing: failures in a row, and until when it is left alone."""

    failures: int = 0
    until: float = 0.0
    disabled: bool = False


class Delivery:
    """Delivers an outbox through senders, in order per receiver and subject, at least once."""

    def __init__(
        self,
        outbox: Outbox,
        senders: Sequence[Sender],
        clock: Callable[[], float] = time.time,
        observe: Observe = lambda _receiver, _outcome, _seconds: None,
    ) -> None:
        self._outbox = outbox
        self._senders = tuple(senders)
        self._clock = clock
        self._observe = observe
        self._holds = {sender.name: _Hold() for sender in senders}
        self._paces = {sender.name: Pace(sender.rate_per_minute) for sender in senders}
        self._counts = {sender.name: DeliveryCounts() for sender in senders}
        self._seen: dict[str, float | None] = {sender.name: None for sender in senders}

    def counts(self) -> dict[str, DeliveryCounts]:
        """What was done so far, by receiver. Safe to read in any thread."""
        return dict(self._counts)

    def next_at(self, receiver: str) -> float | None:
        """When there may be something to send to a receiver, later than now; now if it is due.

        Its waits are counted, its hold after failures, and its pace. None where nothing waits for
        it, or it is disabled.
        """
        due = self._outbox.next_at(receiver)
        if due is None or self._outbox.state(receiver).disabled:
            return None
        now = self._clock()
        moments = [max(due, self._holds[receiver].until), *self._paces[receiver].moments()]
        return min((one for one in moments if one > now), default=now)

    def run(self, stop: threading.Event) -> None:
        """Deliver until ``stop`` is set; returns when the last attempt under way has ended."""
        threads = [
            threading.Thread(target=self._serve, args=(sender, stop), name=f"to {sender.name}")
            for sender in self._senders
        ]
        for thread in threads:
            thread.start()
        stop.wait()
        self._outbox.wake()
        for thread in threads:
            thread.join()

    def deliver_due(self) -> int:
        """Attempt everything that is due by the clock, in this thread. Returns the attempts."""
        attempts = 0
        for sender in self._senders:
            while done := self._round(sender):
                attempts += done
        return attempts

    def _serve(self, sender: Sender, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                idle = not self._round(sender, stop)
            except StoreError as error:
                log.error("delivery to %s: %s", sender.name, error)
                stop.wait(FIRST_HOLD)
                continue
            except Exception:
                # Whatever it is, the other alerts are not to be lost with this thread.
                log.exception("delivery to %s", sender.name)
                stop.wait(FIRST_HOLD)
                continue
            if idle:
                self._outbox.wait(_IDLE_SECONDS)

    def _round(self, sender: Sender, stop: threading.Event | None = None) -> int:
        """Attempt what is due for one receiver, until it fails. Returns the attempts."""
        attempts = 0
        self._notice_clock(sender.name)
        while self._may_speak_to(sender.name) and not (stop is not None and stop.is_set()):
            row = self._next(sender.name)
            if row is None:
                break
            attempts += 1
            self._attempt(sender, row)
        return attempts

    def _notice_clock(self, receiver: str) -> None:
        """Where the wall clock was set back, also while nothing ran, take all waits along."""
        now, seen = self._clock(), self._seen[receiver]
        if seen is None:
            seen = self._outbox.newest_at(receiver) or now
        self._seen[receiver] = now
        if now >= seen - CLOCK_SLACK:
            return
        seconds = seen - now
        log.warning(
            "the clock was set back by %.0f s: %s waits no longer for it", seconds, receiver
        )
        self._outbox.set_back(receiver, seconds, now)
        self._paces[receiver].set_back(seconds)
        self._holds[receiver].until -= seconds

    def _may_speak_to(self, receiver: str) -> bool:
        hold = self._holds[receiver]
        if self._outbox.state(receiver).disabled:
            hold.disabled = True
            return False
        if hold.disabled:  # somebody enabled it: what it did before counts no more
            hold.failures, hold.until, hold.disabled = 0, 0.0, False
        return hold.until <= self._clock()

    def _next(self, receiver: str) -> OutboxRow | None:
        """What the receiver is to be told now, if its pace leaves room for it."""
        now, pace = self._clock(), self._paces[receiver]
        if not pace.room(now, lesser=False):
            return None
        lesser = pace.room(now, lesser=True) > 0
        if not lesser and pace.may_digest(now) and self._flooded(receiver, now):
            held = self._outbox.collapse(receiver, now)
            pace.digested(now)
            log.warning("%s: %d alerts are told in one digest", receiver, held)
        # One at a time: what is taken but not attempted would be in doubt for nothing.
        rows = self._outbox.due(receiver, now, limit=1, lesser=lesser)
        if not rows:
            return None
        pace.posted(now, lesser=rows[0].lane == 0 and rows[0].kind != DIGEST)
        return rows[0]

    def _flooded(self, receiver: str, now: float) -> bool:
        return self._outbox.waiting(receiver, now) > self._paces[receiver].lesser

    def _attempt(self, sender: Sender, row: OutboxRow) -> None:
        try:
            sender.send(row.message_id, body_of(row), self._clock(), plain=row.refused)
        except DeliveryError as error:
            self._failed(sender, row, error)
        else:
            self._delivered(sender, row)

    def _delivered(self, sender: Sender, row: OutboxRow) -> None:
        now = self._clock()
        self._outbox.delivered(row, now)
        latency = max(0.0, now - row.enqueued_at)
        counts = self._counts[sender.name]
        self._counts[sender.name] = replace(
            counts,
            delivered=counts.delivered + 1,
            latency_seconds=latency,
            latency_seconds_total=counts.latency_seconds_total + latency,
        )
        self._observe(sender.name, "delivered", latency)
        hold = self._holds[sender.name]
        if hold.failures:
            hold.failures, hold.until = 0, 0.0
            self._outbox.hasten(sender.name, now)

    def _failed(self, sender: Sender, row: OutboxRow, error: DeliveryError) -> None:
        now = self._clock()
        refused = error.status is not None and _is_refusal(error.status)
        dead = self._outbox.failed(
            row,
            now,
            Failure(
                error.message,
                retry_after=error.retry_after_seconds,
                gone=not error.retriable,
                in_doubt=error.in_doubt,
                refused=refused,
            ),
        )
        counts = self._counts[sender.name]
        self._counts[sender.name] = replace(
            counts, failed=counts.failed + 1, dead=counts.dead + dead
        )
        self._observe(sender.name, "dead" if dead else "failed", max(0.0, now - row.enqueued_at))
        log.log(
            logging.ERROR if dead else logging.WARNING,
            "%s of %s, attempt %d: %s",
            row.kind,
            row.message_id,
            row.attempts + 1,
            error,
        )
        state = self._outbox.state(sender.name)
        if state.disabled:
            log.critical(
                "receiver %s is disabled: %s; what it is owed is kept (chainwarden deliveries "
                "enable %s)",
                sender.name,
                state.reason,
                sender.name,
            )
        if refused:
            return
        hold = self._holds[sender.name]
        hold.failures += 1
        wait = min(FIRST_HOLD * 2.0 ** min(hold.failures - 1, 16), LONGEST_HOLD)
        asked = min(error.retry_after_seconds or 0.0, RETRY_AFTER_CAP)
        hold.until = now + max(wait, asked)


def _is_refusal(status: int) -> bool:
    """Whether a status is about the message, not about the receiver or our right to speak to it."""
    return 400 <= status < 500 and status not in (401, 403, 404, 407, 408, 410, 425, 429)
