"""Puts together what is known of an alert: from the ledger, the lake, the labels, the rule."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Final

from chainwarden.errors import StoreError
from chainwarden.explain.history import Amounts, History, history_of
from chainwarden.explain.reading import deadline
from chainwarden.explain.words import words_of
from chainwarden.report.facts import Counterparty, Transfers
from chainwarden.schema import ZERO_ADDRESS, Alert, Label, Role, hex_of
from detect.about import ABOUT
from detect.label_words import Verdict
from detect.labels import LabelBook
from store.answers import alert_answer, label_to_dict, no_alert, whole_id
from store.evidence import bundle
from store.lake import Lake
from store.lake_rows import rows_of
from store.ledger import AlertFilter, Ledger

RELATED: Final = 20
_TRANSACTIONS: Final = 16  # of the evidence for which other alerts are looked up

Answer = dict[str, Any]


class Explainer:
    """Explains the alerts of one ledger. It only reads, and may be asked from any thread.

    ``labels`` is the book that the alerts were decided with.
    """

    def __init__(self, ledger: Ledger, lake: Lake, labels: LabelBook) -> None:
        self._ledger = ledger
        self._lake = lake
        self._labels = labels

    def explain(self, alert_id: str) -> Answer:
        """The documented JSON object; four digits of an id may do.

        Raises RequestRefused for an id that is no alert's, or more than one's.
        """
        found = whole_id(self._ledger, alert_id)
        alert = self._ledger.alert(found)
        if alert is None:
            raise no_alert(found)
        about = ABOUT.get(alert.rule)
        suspect = suspect_of(alert)
        return {
            "alert": alert_answer(self._ledger, found),
            "subject": None if alert.subject == ZERO_ADDRESS else self._subject(alert),
            "related": self._related(alert),
            "about": None
            if about is None
            else {"what": about.what, "innocent": list(about.innocent), "check": about.check},
            "suspect": hex_of(suspect),
            "bad_label": about.label if about is not None and suspect is not None else "",
        }

    def evidence(self, alert_id: str) -> tuple[str, bytes]:
        """The alert's whole id, and the evidence for it as one file; see ``store.evidence``.

        The lake is looked through for a few seconds; what was not found by then is named in it.
        Raises RequestRefused for an id that is no alert's, or more than one's.
        """
        explanation = self.explain(alert_id)
        alert = self._ledger.alert(explanation["alert"]["id"])
        assert alert is not None, "it was explained, of the same moment"
        named = [alert.transaction_hash, *alert.evidence.transactions]
        hashes = {one for one in named if one is not None}
        manifest, highest = self._ledger.files(), alert.position.number
        found = rows_of(self._lake, manifest, hashes, highest, deadline())
        return alert.id, bundle(self._ledger, alert, explanation, found)

    def _subject(self, alert: Alert) -> Answer:
        evidence = frozenset(alert.evidence.addresses)
        history, problem = None, ""
        try:
            manifest = self._ledger.files()
            words = partial(words_of, self._labels)
            history = history_of(self._lake, manifest, alert.subject, evidence, words)
        except StoreError as error:  # files are merged while somebody reads them
            problem = f"cannot be read just now: {error.message}"
        now = alert.block_timestamp
        verdict = self._labels.verdict_at(alert.subject, now, self._ledger.chain.name)
        return {
            "address": hex_of(alert.subject),
            "verdict_then": Verdict(verdict).name.lower(),
            "labels": [self._label(label, now) for label in self._labels.labels_of(alert.subject)],
            "history": None if history is None else history_answer(history),
            "history_error": problem,
        }

    def _label(self, label: Label, then: int) -> Answer:
        return {**label_to_dict(label, None), "held_then": label.holds_at(then)}

    def _related(self, alert: Alert) -> list[Answer]:
        """Other alerts about the wallet or with one of the transactions, the newest first."""
        hashes = dict.fromkeys([alert.transaction_hash, *alert.evidence.transactions])
        wanted = [
            AlertFilter(transaction_hash=one, status="all", limit=RELATED)
            for one in list(hashes)[:_TRANSACTIONS]
            if one is not None
        ]
        if alert.subject != ZERO_ADDRESS:
            wanted.append(AlertFilter(subject=alert.subject, status="all", limit=RELATED + 1))
        found = {
            record.serial: record
            for one in wanted
            for record in self._ledger.records(one)
            if record.alert.id != alert.id
        }
        return [
            {
                "id": record.alert.id,
                "rule": record.alert.rule,
                "severity": record.alert.severity.text,
                "block_number": record.alert.position.number,
                "status": record.status,
                "same_subject": record.alert.subject == alert.subject,
                "sentence": record.alert.sentence,
            }
            for _, record in sorted(found.items(), reverse=True)[:RELATED]
        ]


def suspect_of(alert: Alert) -> bytes | None:
    """Whom to label if the alert is right: who did it to a victim, else the subject.

    None where the alert is about the chain itself.
    """
    if alert.role == Role.VICTIM:
        others = [address for address in alert.evidence.addresses if address != alert.subject]
        return others[0] if others else None
    return None if alert.subject == ZERO_ADDRESS else alert.subject


def history_answer(history: History) -> Answer:
    """The documented JSON form of a history."""
    return {
        "whole": history.whole,
        "since_block": history.since,
        "first_block": history.first_block,
        "first_time": history.first_time,
        "last_block": history.last_block,
        "last_time": history.last_time,
        "flows": history.flows,
        "flows_in": history.flows_in,
        "flows_out": history.flows_out,
        "counterparties": len(history.partners) + history.others,
        "received": _amounts(history.received),
        "sent": _amounts(history.sent),
        "partners": [_partner(one) for one in history.partners],
    }


def _partner(one: Counterparty) -> Answer:
    return {
        "address": hex_of(one.address),
        "labels": list(one.labels),
        "in_evidence": one.in_evidence,
        "to_subject": _transfers(one.to_subject),
        "from_subject": _transfers(one.from_subject),
    }


def _transfers(transfers: Transfers | None) -> Answer | None:
    if transfers is None:
        return None
    return {"count": transfers.count, "amounts": _amounts(transfers.amounts)}


def _amounts(amounts: Amounts | Iterable[tuple[bytes | None, int]]) -> list[Answer]:
    return [{"token": hex_of(token), "amount": str(amount)} for token, amount in amounts]
