"""Asking a ledger: its file where that is free, else the process that has it open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from chainwarden.api_client import ApiClient, Unreachable
from chainwarden.errors import LedgerLocked
from chainwarden.ledgers import open_ledger
from chainwarden.schema import hex_of
from chainwarden.server.whereabouts import find
from chainwarden.settings import Settings
from store.answers import alerts_answer, analyst_label, set_label, withdraw_label
from store.api import MAX_PAGE
from store.ledger import AlertFilter, Ledger

_ALERTS: Final = "/api/v1/alerts"
_LABELS: Final = "/api/v1/labels"


class Asked(Protocol):
    """Whoever answers for a ledger. What it answers is the same for every one of them."""

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        """``{total, alerts}``; see ``store.answers``."""
        ...

    def label(
        self, address: bytes, word: str, author: str, note: str, alert_id: str
    ) -> dict[str, Any]:
        """Keep an analyst's label."""
        ...

    def withdraw(self, address: bytes, word: str) -> dict[str, Any]:
        """Take an analyst's label back."""
        ...


@contextmanager
def ask(out: Path, settings: Settings) -> Iterator[Asked]:
    """Whoever answers for the ledger in a folder.

    Raises LedgerLocked where another process has it open that does not answer.
    """
    try:
        ledger = open_ledger(out, settings)
    except LedgerLocked as locked:
        yield _running(out, settings, locked)
    else:
        with ledger:
            yield _File(ledger)


def _running(out: Path, settings: Settings, locked: LedgerLocked) -> Asked:
    """The process that has the ledger open, once it has answered."""
    place = find(out)
    if place is None or place.pid != locked.pid:  # what an earlier process left behind
        raise locked
    client = ApiClient(*place.reachable, settings.server.token)
    try:
        client.get("/api/v1/status")
    except Unreachable as error:
        raise locked from error
    return _Running(client)


class _File:
    """A ledger that this process opened."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        found = alerts_answer(self._ledger, wanted)
        return {"total": found["total"], "alerts": found["alerts"]}

    def label(
        self, address: bytes, word: str, author: str, note: str, alert_id: str
    ) -> dict[str, Any]:
        said = analyst_label(self._ledger, address, word, int(time.time()))
        return set_label(self._ledger, replace(said, author=author, note=note, alert_id=alert_id))

    def withdraw(self, address: bytes, word: str) -> dict[str, Any]:
        return withdraw_label(self._ledger, analyst_label(self._ledger, address, word, 0))


class _Running:
    """A process that has the ledger open."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        severity = None if wanted.min_severity is None else wanted.min_severity.text
        query = {
            "rule": wanted.rule,
            "severity": severity,
            "subject": hex_of(wanted.subject),
            "status": wanted.status,
        }
        given: dict[str, object] = {k: v for k, v in query.items() if v is not None}
        page = self._client.get(_ALERTS, given | {"limit": min(wanted.limit, MAX_PAGE)})
        total, alerts = page["total"], page["alerts"]
        while page["next"] and len(alerts) < wanted.limit:
            page = self._client.get(page["next"])
            alerts += page["alerts"]
        return {"total": total, "alerts": alerts[: wanted.limit]}

    def label(
        self, address: bytes, word: str, author: str, note: str, alert_id: str
    ) -> dict[str, Any]:
        said = {"label": word, "author": author, "note": note, "from_alert": alert_id}
        return self._client.post(_LABELS, {"address": hex_of(address), **said})

    def withdraw(self, address: bytes, word: str) -> dict[str, Any]:
        return self._client.delete(_LABELS, {"address": hex_of(address), "label": word})
