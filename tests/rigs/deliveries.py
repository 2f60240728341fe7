"""A ledger on virtual time, its alerts on their way to real receivers, and what these then know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chainwarden.schema import ETHEREUM, Alert, Cursor, Retraction
from store.delivery import Delivery
from store.ledger import AlertFilter, Commit, Ledger
from store.outbox import DIGEST, RETRACTED
from store.webhook import Receiver, WebhookSender
from tests.rigs.clock import VirtualClock
from tests.rigs.receiver import LOOPBACK, SECRET, Received, WebhookReceiver

LONGEST: Final = 10 * 86_400.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """How a rig's senders are set up."""

    timeout: float = 5.0
    rate: int = 60


class Rig:
    """A ledger on virtual time, and real receivers that are told of its alerts over HTTP."""

    def __init__(
        self, path: Path, names: tuple[str, ...] = ("ops",), tuning: Tuning | None = None
    ) -> None:
        self.clock = VirtualClock()
        self.path = path
        self.names = names
        self.tuning = tuning or Tuning()
        self.secrets: tuple[str, ...] = (SECRET,)
        self.receivers = {name: WebhookReceiver() for name in names}
        for receiver in self.receivers.values():
            receiver.start()
        self.open()

    def open(self) -> None:
        """Open the ledger and set up delivery, as a new process would."""
        self.ledger = Ledger.open(self.path, ETHEREUM, receivers=self.names, clock=self.clock)
        self.senders = [
            WebhookSender(
                Receiver(
                    name, receiver.url, self.secrets, LOOPBACK, self.tuning.timeout,
                    rate_per_minute=self.tuning.rate,
                )
            )
            for name, receiver in self.receivers.items()
        ]  # fmt: skip
        self.delivery = Delivery(self.ledger.outbox, self.senders, self.clock)

    def close(self) -> None:
        """Close the ledger and the connections; the receivers go on."""
        for sender in self.senders:
            sender.close()
        self.ledger.close()

    def end(self) -> None:
        """Close everything."""
        self.close()
        for receiver in self.receivers.values():
            receiver.stop()

    def raise_(self, *alerts: Alert) -> None:
        """Commit alerts."""
        self.ledger.commit(Commit(Cursor(None), alerts=alerts))

    def retract(self, one: Alert) -> None:
        """Commit a retraction."""
        self.ledger.commit(Commit(Cursor(None), retractions=[Retraction(one.id, one.position)]))

    def told(self, name: str = "ops") -> list[tuple[str, str]]:
        """What a receiver accepted: type and alert, in order, each message once."""
        receiver = self.receivers[name]
        assert receiver.unsigned() == []
        return [(one.message["type"], one.message["data"]["id"]) for one in receiver.accepted()]

    # --- time ------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Let time pass and deliver whenever there may be something to deliver."""
        end = self.clock.now + seconds
        while True:
            self.delivery.deliver_due()
            moment = min((self._next(name) for name in self.names), default=end)
            if moment >= end:
                break
            self.clock.reach(moment)
        self.clock.reach(end)
        self.delivery.deliver_due()

    def settle(self, done: Callable[[], bool] | None = None) -> float:
        """Deliver until nothing waits, or ``done``; returns how many seconds that took."""
        began = self.clock.now
        while self.ledger.outbox.pending() if done is None else not done():
            assert self.clock.now - began < LONGEST, self.ledger.outbox.pending()
            soonest = min((self._next(name) for name in self.names), default=0.0)
            self.run(max(60.0, min(soonest, began + LONGEST) - self.clock.now))
        return self.clock.now - began

    def _next(self, name: str) -> float:
        """When there may be something to deliver to a receiver, later than now."""
        moment = self.delivery.next_at(name)
        if moment is None:
            return float("inf")
        return moment if moment > self.clock.now else self.clock.now + 1.0

    def patience(self, name: str, seconds: float) -> None:
        """How long an attempt may take, in real time."""
        self.senders[self.names.index(name)]._poster.timeout = seconds

    # --- what a receiver knows -------------------------------------------------------------------

    def truth(self) -> dict[str, str]:
        """The block of every alert that is active in the ledger, by id."""
        records = self.ledger.records(AlertFilter(limit=100_000))
        return {one.alert.id: "0x" + one.alert.position.hash.hex() for one in records}

    def singles(self, name: str) -> dict[str, str]:
        """The block of every alert that a receiver holds for active, by its single messages."""
        known: dict[str, str] = {}
        for one in self.receivers[name].accepted():
            kind, data = one.message["type"], one.message["data"]
            if kind == DIGEST:
                continue
            if kind == RETRACTED:
                known.pop(data["id"], None)
            else:
                known[data["id"]] = data["block_hash"]
        return known

    def digests(self, name: str) -> list[Received]:
        """The digests that a receiver accepted."""
        return [one for one in self.receivers[name].accepted() if one.message["type"] == DIGEST]


def counted(digests: list[Received]) -> Mapping[tuple[str, str, str], int]:
    """How many alerts digests tell of, by type, rule and severity."""
    counts: dict[tuple[str, str, str], int] = {}
    for digest in digests:
        data = digest.message["data"]
        for kind, rules in data["counts"].items():
            for rule, severities in rules.items():
                for severity, count in severities.items():
                    key = (kind, rule, severity)
                    counts[key] = counts.get(key, 0) + count
        total = sum(n for r in data["counts"].values() for s in r.values() for n in s.values())
        assert total == data["total"]
    return counts


def busiest_minute(received: list[Received]) -> int:
    """The most posts that any minute of virtual time saw; every post says when it was sent."""
    times = sorted(int(one.headers["webhook-timestamp"]) for one in received)
    most, first = 0, 0
    for last, time in enumerate(times):
        while times[first] <= time - 60:
            first += 1
        most = max(most, last - first + 1)
    return most
