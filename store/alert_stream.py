"""Who listens to alerts, and what each is told: raised, moved, retracted, taken in hand.

Every change of an alert has a number, and an alert keeps that of its last one. A listener's place
is the number up to which it was told, so what a listener missed is whatever has a higher one, be
that a second ago or before a restart: each alert that changed meanwhile comes once, as it is now,
and none is left out. Nothing is kept for a listener but that number.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from chainwarden.errors import RequestRefused
from chainwarden.schema import Severity
from chainwarden.server.events import event, place
from store.acknowledgements import Acknowledgement
from store.alert_table import AlertRecord
from store.answers import Answer, record_answers
from store.ledger import Ledger

MAX_LISTENERS: Final = 32
PAGE: Final = 100
RESET: Final = "reset"
_PLACE: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which alerts a listener is told of; what is None does not narrow."""

    rule: str | None = None
    min_severity: Severity | None = None
    subject: bytes | None = None

    def takes(self, record: AlertRecord) -> bool:
        """Whether it is one of them."""
        alert = record.alert
        return (
            (self.rule is None or alert.rule == self.rule)
            and (self.min_severity is None or alert.severity >= self.min_severity)
            and (self.subject is None or alert.subject == self.subject)
        )


Ask = Callable[[Callable[[Ledger], "Page"]], Awaitable["Page"]]
"""Asks the ledger from a thread that may, of one moment."""


@dataclass(frozen=True, slots=True)
class Page:
    """What changed next: by whom it is to be told, and the place after it."""

    changes: list[tuple[str, Answer]]
    after: int


class Listeners:
    """The listeners of one ledger, at most ``MAX_LISTENERS``. For one event loop at a time."""

    def __init__(self, ledger: Ledger, ask: Ask) -> None:
        self._ledger = ledger
        self._ask = ask
        self._feeds: dict[AlertFeed, asyncio.AbstractEventLoop] = {}
        self._unwatch = ledger.watch(self._committed)

    def __len__(self) -> int:
        return len(self._feeds)

    def close(self) -> None:
        """Hear no more of commits."""
        self._unwatch()

    def admit(self, wanted: Wanted, last_event_id: str) -> AlertFeed:
        """A feed from the place where a listener was, from now on where that is empty.

        Raises RequestRefused: 422 for what is no place, 503 where there are too many.
        """
        found = _PLACE.fullmatch(last_event_id)
        if last_event_id and found is None:
            raise RequestRefused(
                f"{last_event_id[:64]!r} is no id of an event",
                422,
                hint="leave it out to begin now",
            )
        if len(self._feeds) >= MAX_LISTENERS:
            raise RequestRefused(
                f"{MAX_LISTENERS} listen already", 503, hint="try later", retry_after_seconds=30
            )
        newest, told = self._ledger.last_change, 0
        # Another ledger's number, or one from after a copy was put back, says nothing here.
        lost = found is not None and (found[1] != self._ledger.identity or int(found[2]) > newest)
        told = newest if found is None or lost else int(found[2])
        feed = AlertFeed(self._ask, self._ledger.identity, wanted, told, lost=lost)
        self._feeds[feed] = asyncio.get_running_loop()
        return feed

    def leave(self, feed: AlertFeed) -> None:
        """A listener has gone."""
        self._feeds.pop(feed, None)

    def _committed(self) -> None:
        """Alerts changed. Called in the thread that committed."""
        for feed, loop in list(self._feeds.items()):
            with suppress(RuntimeError):  # the loop has closed: nobody listens any more
                loop.call_soon_threadsafe(feed.wake)


class AlertFeed:
    """What one listener is told; see ``chainwarden.server.events.Feed``."""

    def __init__(self, ask: Ask, identity: str, wanted: Wanted, told: int, *, lost: bool) -> None:
        self._ask = ask
        self._identity = identity
        self._wanted = wanted
        self._told = told
        self._news = asyncio.Event()
        here = self._id(told)
        self._first = event(RESET, here, b"{}") if lost else place(here)

    def wake(self) -> None:
        """There may be more to tell."""
        self._news.set()

    async def changed(self) -> None:
        """Return as soon as there may be more to tell."""
        await self._news.wait()

    async def read(self) -> bytes:
        """The next events, at most ``PAGE``; empty where there are none."""
        if self._first:
            first, self._first = self._first, b""
            return first
        self._news.clear()  # before the ledger is asked: what is committed meanwhile wakes again
        told, wanted = self._told, self._wanted
        page = await self._ask(lambda ledger: changes_after(ledger, told, wanted))
        if page.after == told:
            return b""
        self._told = page.after
        events = [
            event(name, self._id(_number(answer)), msgspec.json.encode(answer))
            for name, answer in page.changes
        ]
        return b"".join([*events, place(self._id(page.after))])

    def _id(self, number: int) -> str:
        return f"{self._identity}-{number}"


def changes_after(ledger: Ledger, told: int, wanted: Wanted) -> Page:
    """The next page of changed alerts, in the order in which they changed last."""
    records = ledger.alert_changes(told, PAGE)
    kept = [record for record in records if wanted.takes(record)]
    answers = record_answers(ledger, kept)
    said = ledger.triage.latest([record.alert.id for record in kept])
    named = [
        (_name(record, said.get(record.alert.id)), {**answer, "change": record.changed})
        for record, answer in zip(kept, answers, strict=True)
    ]
    return Page(named, records[-1].changed if records else told)


def _name(record: AlertRecord, said: Acknowledgement | None) -> str:
    """What happened to it last, where the chain did it in the words of the webhooks."""
    if said is not None and said.changed == record.changed:
        return "alert.unacknowledged" if said.withdrawn else "alert.acknowledged"
    if record.retraction is not None:
        return "alert.retracted"
    return "alert.moved" if record.instance else "alert.raised"


def _number(answer: Answer) -> int:
    number = answer["change"]
    assert isinstance(number, int)
    return number
