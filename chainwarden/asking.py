"""Asking a ledger: its file where that is free, else the process that has it open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from chainwarden.api_client import ApiClient, Unreachable
from chainwarden.errors import LedgerLocked, StoreError
from chainwarden.explain import Explainer, WalletPages
from chainwarden.ledgers import open_ledger
from chainwarden.recorded_labels import recorded_book
from chainwarden.schema import hex_of
from chainwarden.server.whereabouts import find
from chainwarden.settings import Settings
from detect.labels import LabelBook
from store.answers import alert_answer, alerts_answer, wallet_answer
from store.audit_answers import head_answer, verification_answer
from store.backup import back_up, default_name
from store.delivery_answers import (
    EnableWord,
    LetterFilter,
    ReplayWord,
    deliveries_answer,
    enable,
    replay,
)
from store.label_answers import AnalystWord, label_history_answer, set_label, withdraw_label
from store.label_archive import LabelArchive
from store.lake import Lake
from store.lake_blocks import head_time
from store.ledger import AlertFilter, Ledger
from store.model_answers import PromotionWord, models_answer, promote
from store.parameters import MAX_PAGE, YES_OR_NO
from store.triage_answers import (
    AcknowledgeWord,
    SuppressWord,
    acknowledge,
    end_suppression,
    suppress,
    suppressions_answer,
    unacknowledge,
)

_ALERTS: Final = "/api/v1/alerts"
_WALLETS: Final = "/api/v1/wallets"
_LABELS: Final = "/api/v1/labels"
_MODELS: Final = "/api/v1/models"
_DELIVERIES: Final = "/api/v1/deliveries"
_AUDIT: Final = "/api/v1/audit"
_SUPPRESSIONS: Final = "/api/v1/suppressions"
_BACKUPS: Final = "/api/v1/backups"
_PAUSE_SECONDS: Final = 0.2


class Asked(Protocol):
    """Whoever answers for a ledger. What it answers is the same for every one of them."""

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        """``{total, alerts}``; see ``store.answers``."""
        ...

    def alert(self, alert_id: str) -> dict[str, Any]:
        """One alert, retracted or not."""
        ...

    def explain(self, alert_id: str) -> dict[str, Any]:
        """All that is known of an alert; see ``chainwarden.explain``."""
        ...

    def wallet(self, address: bytes, limit: int) -> dict[str, Any]:
        """What is known of a wallet, ``more``: whether it has more alerts than ``limit``.

        See ``chainwarden.explain.WalletPages``.
        """
        ...

    def label(self, said: AnalystWord) -> dict[str, Any]:
        """Keep an analyst's label."""
        ...

    def withdraw(self, said: AnalystWord) -> dict[str, Any]:
        """Take an analyst's label back."""
        ...

    def label_history(self, address: bytes | None, limit: int) -> dict[str, Any]:
        """``{changes, lists}``; see ``store.label_answers``."""
        ...

    def acknowledge(self, said: AcknowledgeWord) -> dict[str, Any]:
        """Note who has an alert in hand."""
        ...

    def unacknowledge(self, said: AcknowledgeWord) -> dict[str, Any]:
        """Note that nobody has it in hand any more."""
        ...

    def suppress(self, said: SuppressWord) -> dict[str, Any]:
        """Have nobody told of some alerts for a while."""
        ...

    def end_suppression(self, serial: int, author: str) -> dict[str, Any]:
        """Have people told again."""
        ...

    def suppressions(self, limit: int, *, holding: bool) -> dict[str, Any]:
        """``{suppressions, more}``; see ``store.triage_answers``."""
        ...

    def models(self) -> dict[str, Any]:
        """The risk models; see ``store.model_answers``."""
        ...

    def promote(self, said: PromotionWord) -> dict[str, Any]:
        """Make the challenger the champion."""
        ...

    def audit(self, entries: int | None = None) -> dict[str, Any]:
        """The end of the audit chain; see ``store.audit_answers``."""
        ...

    def verify(self) -> dict[str, Any]:
        """Whether every record still is what was written."""
        ...

    def back_up(self, name: str, keep: int | None) -> dict[str, Any]:
        """Copy the installation; see ``store.backup``. Empty: the moment is its name."""
        ...

    def deliveries(self, wanted: LetterFilter) -> dict[str, Any]:
        """``{receivers, letters, more}``; see ``store.delivery_answers``."""
        ...

    def replay(self, said: ReplayWord) -> dict[str, Any]:
        """Try letters again."""
        ...

    def enable(self, said: EnableWord) -> dict[str, Any]:
        """Send to a disabled receiver again."""
        ...


@contextmanager
def ask(settings: Settings) -> Iterator[Asked]:
    """Whoever answers for the ledger in the folder of the settings.

    Raises LedgerLocked where another process has it open that does not answer.
    """
    out = Path(settings.store.out)
    try:
        ledger = open_ledger(out, settings)
    except LedgerLocked as locked:
        yield _running(out, settings, locked)
    else:
        with ledger:
            yield _File(ledger, out)


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
    """A ledger that this process opened. What only asks can write nothing."""

    def __init__(self, ledger: Ledger, out: Path) -> None:
        self._ledger = ledger
        self._out = out
        self._lake = Lake(out / "lake", ledger.chain)

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        with self._ledger.reading():
            found = alerts_answer(self._ledger, wanted)
        return {"total": found["total"], "alerts": found["alerts"]}

    def alert(self, alert_id: str) -> dict[str, Any]:
        with self._ledger.reading():
            return alert_answer(self._ledger, alert_id)

    def explain(self, alert_id: str) -> dict[str, Any]:
        with self._ledger.reading():
            return Explainer(self._ledger, self._lake, self._labels()).explain(alert_id)

    def wallet(self, address: bytes, limit: int) -> dict[str, Any]:
        with self._ledger.reading():
            known = wallet_answer(self._ledger, address, limit)
        about = WalletPages(self._ledger, self._lake, self._labels()).about(address)
        return _with_more(known | about)

    def label(self, said: AnalystWord) -> dict[str, Any]:
        return set_label(self._ledger, said, head_time(self._ledger, self._lake))

    def withdraw(self, said: AnalystWord) -> dict[str, Any]:
        return withdraw_label(self._ledger, said)

    def label_history(self, address: bytes | None, limit: int) -> dict[str, Any]:
        with self._ledger.reading():
            return label_history_answer(self._ledger, limit, address)

    def acknowledge(self, said: AcknowledgeWord) -> dict[str, Any]:
        return acknowledge(self._ledger, said)

    def unacknowledge(self, said: AcknowledgeWord) -> dict[str, Any]:
        return unacknowledge(self._ledger, said)

    def suppress(self, said: SuppressWord) -> dict[str, Any]:
        return suppress(self._ledger, said)

    def end_suppression(self, serial: int, author: str) -> dict[str, Any]:
        return end_suppression(self._ledger, serial, author)

    def suppressions(self, limit: int, *, holding: bool) -> dict[str, Any]:
        with self._ledger.reading():
            found = suppressions_answer(self._ledger, limit, None, holding=holding)
        return _with_more(found)

    def models(self) -> dict[str, Any]:
        with self._ledger.reading():
            return models_answer(self._ledger)

    def promote(self, said: PromotionWord) -> dict[str, Any]:
        return promote(self._ledger, said)

    def audit(self, entries: int | None = None) -> dict[str, Any]:
        with self._ledger.reading():
            return head_answer(self._ledger, entries)

    def verify(self) -> dict[str, Any]:
        with self._ledger.reading():
            return verification_answer(self._ledger)

    def back_up(self, name: str, keep: int | None) -> dict[str, Any]:
        name = name or default_name(self._ledger.now())
        return dict(msgspec.to_builtins(back_up(self._ledger, self._out, name, keep)))

    def deliveries(self, wanted: LetterFilter) -> dict[str, Any]:
        return _with_more(deliveries_answer(self._ledger, wanted))

    def replay(self, said: ReplayWord) -> dict[str, Any]:
        return replay(self._ledger, said)

    def enable(self, said: EnableWord) -> dict[str, Any]:
        return enable(self._ledger, said)

    def _labels(self) -> LabelBook:
        return recorded_book(self._ledger, LabelArchive(self._out / "label-lists"))


class _Running:
    """A process that has the ledger open."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    def alerts(self, wanted: AlertFilter) -> dict[str, Any]:
        severity = None if wanted.min_severity is None else wanted.min_severity.text
        in_hand = wanted.acknowledged
        acknowledged = None if in_hand is None else YES_OR_NO[0 if in_hand else 1]
        query = {
            "rule": wanted.rule,
            "severity": severity,
            "subject": hex_of(wanted.subject),
            "label": wanted.label,
            "since": wanted.since,
            "until": wanted.until,
            "first_block": wanted.first_block,
            "last_block": wanted.last_block,
            "status": wanted.status,
            "acknowledged": acknowledged,
            "after": wanted.after,
        }
        given: dict[str, object] = {k: v for k, v in query.items() if v is not None}
        page = self._client.get(_ALERTS, given | {"limit": min(wanted.limit, MAX_PAGE)})
        total, alerts = page["total"], page["alerts"]
        while page["next"] and len(alerts) < wanted.limit:
            page = self._client.get(page["next"])
            alerts += page["alerts"]
        return {"total": total, "alerts": alerts[: wanted.limit]}

    def alert(self, alert_id: str) -> dict[str, Any]:
        return self._client.get(_alert_path(alert_id))

    def explain(self, alert_id: str) -> dict[str, Any]:
        return self._client.get(f"{_alert_path(alert_id)}/explanation")

    def wallet(self, address: bytes, limit: int) -> dict[str, Any]:
        query = {"limit": min(limit, MAX_PAGE)}
        return _with_more(self._client.get(f"{_WALLETS}/{hex_of(address)}", query))

    def label(self, said: AnalystWord) -> dict[str, Any]:
        body = {
            "address": hex_of(said.address),
            "label": said.word,
            "author": said.author,
            "note": said.note,
            "from_alert": said.alert_id,
            "valid_from": said.valid_from,
            "valid_to": said.valid_to,
            "every_chain": said.every_chain,
        }
        return self._client.post(_LABELS, body)

    def withdraw(self, said: AnalystWord) -> dict[str, Any]:
        query = {"label": said.word, "author": said.author, "note": said.note}
        return self._client.delete(_LABELS, {"address": hex_of(said.address), **query})

    def label_history(self, address: bytes | None, limit: int) -> dict[str, Any]:
        query: dict[str, object] = {"limit": min(limit, MAX_PAGE)}
        if address is not None:
            query["address"] = hex_of(address)
        return self._client.get(f"{_LABELS}/history", query)

    def acknowledge(self, said: AcknowledgeWord) -> dict[str, Any]:
        body = {"author": said.author, "note": said.note}
        return self._client.post(f"{_alert_path(said.alert_id)}/acknowledgement", body)

    def unacknowledge(self, said: AcknowledgeWord) -> dict[str, Any]:
        query: dict[str, object] = {"author": said.author, "note": said.note}
        return self._client.delete(f"{_alert_path(said.alert_id)}/acknowledgement", query)

    def suppress(self, said: SuppressWord) -> dict[str, Any]:
        body = {
            "until": said.until,
            "rule": said.rule,
            "subject": hex_of(said.subject) or "",
            "author": said.author,
            "note": said.note,
        }
        return self._client.post(_SUPPRESSIONS, body)

    def end_suppression(self, serial: int, author: str) -> dict[str, Any]:
        return self._client.delete(f"{_SUPPRESSIONS}/{serial}", {"author": author})

    def suppressions(self, limit: int, *, holding: bool) -> dict[str, Any]:
        status = "holding" if holding else "all"
        query: dict[str, object] = {"status": status, "limit": min(limit, MAX_PAGE)}
        return _with_more(self._client.get(_SUPPRESSIONS, query))

    def models(self) -> dict[str, Any]:
        return self._client.get(_MODELS)

    def promote(self, said: PromotionWord) -> dict[str, Any]:
        return self._client.post(f"{_MODELS}/promotions", msgspec.structs.asdict(said))

    def audit(self, entries: int | None = None) -> dict[str, Any]:
        return self._client.get(_AUDIT, {} if entries is None else {"entries": entries})

    def verify(self) -> dict[str, Any]:
        return self._client.get(f"{_AUDIT}/verification")

    def back_up(self, name: str, keep: int | None) -> dict[str, Any]:
        name = self._client.post(_BACKUPS, {"name": name, "keep": keep})["name"]
        while (found := self._client.get(_BACKUPS))["under_way"] == name:
            time.sleep(_PAUSE_SECONDS)
        failed = found["failed"] or {"name": "", "reason": ""}
        if failed["name"] == name:
            raise StoreError(f"backup {name} failed: {failed['reason']}")
        for made in found["backups"]:
            if made["name"] == name:
                return dict(made)
        raise StoreError(f"backup {name} was not made: the log of the process says why")

    def deliveries(self, wanted: LetterFilter) -> dict[str, Any]:
        given: dict[str, object] = {
            name: value
            for name, value in (("receiver", wanted.receiver), ("state", wanted.state))
            if value is not None
        }
        query = given | {"after": wanted.after, "limit": min(wanted.limit, MAX_PAGE)}
        return _with_more(self._client.get(_DELIVERIES, query))

    def replay(self, said: ReplayWord) -> dict[str, Any]:
        return self._client.post(f"{_DELIVERIES}/replay", msgspec.structs.asdict(said))

    def enable(self, said: EnableWord) -> dict[str, Any]:
        return self._client.post(f"{_DELIVERIES}/enable", msgspec.structs.asdict(said))


def _alert_path(alert_id: str) -> str:
    return f"{_ALERTS}/{quote(alert_id, safe='')}"


def _with_more(page: dict[str, Any]) -> dict[str, Any]:
    """A page without where the next one begins, which depends on who was asked."""
    return {name: value for name, value in page.items() if name != "next"} | {
        "more": bool(page["next"])
    }
