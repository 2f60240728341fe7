"""Following a ledger's alerts: what is new since the last look, and what was taken back."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

from chainwarden.api_client import Unreachable
from chainwarden.asking import ask
from chainwarden.errors import ChainwardenError, LedgerLocked, RequestRefused
from chainwarden.logs import escaped
from chainwarden.settings import Settings
from store.database import witness_of
from store.ledger import AlertFilter

MOST: Final = 10_000
"""Alerts that are remembered, the newest: of those before them no retraction is told."""

DEEPEST_FORK: Final = 10_000
"""Blocks: so far down a fork may have moved an alert before it was taken back."""

POLL_SECONDS: Final = 0.5
LONGEST_SECONDS: Final = 60.0
"""A look is taken so often even where nothing says that there was a commit."""

_PAGE: Final = 500
_BUSY: Final = (429, 503)

News = dict[str, Any]


class Answers(Protocol):
    """Whoever answers for the ledger at the moment of a look."""

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        """``{total, alerts}``, the newest arrivals first."""
        ...

    def alert(self, alert_id: str) -> dict[str, Any]:
        """One alert, retracted or not."""
        ...


class AlertFollower:
    """Tells every alert that a filter lets through once, and once more whenever its status changes.

    The first look tells the newest ``wanted.limit`` that are there, and remembers a page. Each
    later one tells all that arrived since, however many there are, the oldest first, then what was
    taken back or came back.
    An alert that was taken back and came back between two looks is not told again: it is as it was.
    ``page`` is how many alerts are asked for at a time.
    """

    def __init__(self, wanted: AlertFilter, page: int = _PAGE) -> None:
        self._wanted = wanted
        self._every = replace(wanted, status="all", limit=page, after=None)
        # By id, the oldest arrival first: the status that was told last, and the block.
        self._told: dict[str, tuple[str, int]] = {}
        self._begun = False

    def look(self, asked: Answers) -> list[News]:
        """What changed, as alerts in their documented form, in the order in which to tell it."""
        if self._begun:
            changed = self._changed(asked)
            news = [*self._arrived(asked), *changed]
        else:
            # The newest of all is where arrivals begin, also where the filter leaves it out.
            # Of those before it a page is remembered, too: they may be taken back.
            before = asked.alerts(self._every)["alerts"][::-1]
            news = asked.alerts(self._wanted)["alerts"][::-1]
            self._remember(before)
            self._begun = True
        self._remember(news)
        if self._wanted.status == "retracted":
            return [one for one in news if one["status"] == "retracted"]
        return news

    def _remember(self, news: list[News]) -> None:
        for one in news:
            self._told[one["id"]] = (one["status"], one["block_number"])
        for old in list(self._told)[: max(0, len(self._told) - MOST)]:
            del self._told[old]

    def _arrived(self, asked: Answers) -> list[News]:
        """What arrived after all that was told. Arrivals are never put in between."""
        found: list[News] = []
        for one in _walk(asked, self._every):
            if one["id"] in self._told:
                break
            found.append(one)
        return found[::-1]

    def _changed(self, asked: Answers) -> list[News]:
        """What was told with another status than it has now."""
        if not self._told:
            return []
        lowest = min(block for _, block in self._told.values())
        first = max(0, lowest - DEEPEST_FORK)
        wanted = replace(self._every, status="retracted", first_block=first)
        retracted = {one["id"]: one for one in _walk(asked, wanted)}
        changed = [
            one
            for key, one in retracted.items()
            if key in self._told and self._told[key][0] == "active"
        ]
        for key, (status, _) in self._told.items():
            if status == "retracted" and key not in retracted:
                now = asked.alert(key)  # in another block, perhaps below the first
                if now["status"] == "active":
                    changed.append(now)
        return sorted(changed, key=lambda one: (one["block_number"], one["id"]))


def _walk(asked: Answers, wanted: AlertFilter) -> Iterator[News]:
    """Every alert of a filter, the newest first, asked for page by page."""
    while True:
        page = asked.alerts(wanted)["alerts"]
        yield from page
        if len(page) < wanted.limit:
            return
        wanted = replace(wanted, after=page[-1]["id"])


def follow(
    settings: Settings,
    wanted: AlertFilter,
    tell: Callable[[list[News]], None],
    wait: Callable[[float], None] = time.sleep,
) -> NoReturn:
    """Tell what comes, for ever: of the process that has the ledger, or of the folder between two.

    A look is taken when the ledger says that something was committed. It is opened only meanwhile,
    so that another process can take it. Raises what the first look raises; later a process that
    goes away, or a ledger that is taken by one without an API, is waited for.
    """
    follower, seen, silent, quiet = AlertFollower(wanted), b"", 0.0, False
    begun = False
    while True:
        # Noted after the commit, and read before the look: nothing falls in between.
        commits = _commits_of(Path(settings.store.out))
        if not begun or commits != seen or silent >= LONGEST_SECONDS:
            try:
                with ask(settings) as asked:
                    news = follower.look(asked)
            except (LedgerLocked, Unreachable, RequestRefused) as error:
                if not begun or not _passes(error):
                    raise
                if not quiet:
                    sys.stderr.write(f"chainwarden: waiting: {escaped(error.message)}\n")
                quiet = True
            else:
                tell(news)
                seen, silent, begun, quiet = commits, 0.0, True, False
        wait(POLL_SECONDS)
        silent += POLL_SECONDS


def _passes(error: ChainwardenError) -> bool:
    """Whether it may be gone with the next look: all but a refusal for what was asked."""
    return not isinstance(error, RequestRefused) or error.status in _BUSY


def _commits_of(out: Path) -> bytes:
    """What changes with every commit to the ledger in a folder."""
    try:
        return witness_of(out / "ledger.duckdb").read_bytes()
    except OSError:
        return b""
