"""What the ledger says when it is asked: the documented JSON forms, for the API and the command.

Both print what is made here, so an alert looks the same whether it was read from the file or asked
of the process that writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from chainwarden.errors import RequestRefused
from chainwarden.schema import Label, alert_to_dict, hex_of
from store.ledger import AlertFilter, AlertRecord, Ledger

ANALYST: Final = "analyst"
MAX_LABELS: Final = 1_000_000
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9 _.:-]{0,63}")
_MOST: Final[Mapping[str, int]] = {"author": 100, "note": 2000}

Answer = dict[str, object]


def alerts_answer(ledger: Ledger, wanted: AlertFilter) -> Answer:
    """``{total, alerts, next}``: a page of alerts, and the id after which the next one begins.

    ``total`` counts all active alerts, whatever the filter. ``next`` is None on the last page.
    """
    records = ledger.records(replace(wanted, limit=wanted.limit + 1))
    page, more = records[: wanted.limit], len(records) > wanted.limit
    labels = ledger.label_words([record.alert.subject for record in page])
    counts = ledger.alert_counts()
    return {
        "total": sum(n for (_, _, status), n in counts.items() if status == "active"),
        "alerts": [_alert(record, labels.get(record.alert.subject, [])) for record in page],
        "next": page[-1].alert.id if more else None,
    }


def alert_answer(ledger: Ledger, alert_id: str) -> Answer:
    """One alert, retracted or not. Raises RequestRefused (404) where there is none."""
    record = ledger.record(alert_id)
    if record is None:
        raise no_alert(alert_id)
    return _alert(record, [label.label for label in ledger.labels(record.alert.subject)])


def wallet_answer(ledger: Ledger, address: bytes, limit: int) -> Answer:
    """What is known of a wallet: its newest alerts of any status, and its labels."""
    found = alerts_answer(ledger, AlertFilter(subject=address, status="all", limit=limit))
    return {
        "address": hex_of(address),
        "labels": [_label(label) for _, label in ledger.label_page(limit, 0, address)],
        "alerts": found["alerts"],
        "next": found["next"],
    }


def labels_answer(ledger: Ledger, limit: int, after: int, address: bytes | None) -> Answer:
    """``{labels, next}``: a page of labels, oldest first, and the serial it ends with, if any."""
    rows = ledger.label_page(limit + 1, after, address)
    return {
        "labels": [_label(label) for _, label in rows[:limit]],
        "next": rows[limit - 1][0] if len(rows) > limit else None,
    }


def status_answer(ledger: Ledger) -> Answer:
    """Chain, cursor, alerts by rule, severity and status, and how much each receiver is owed."""
    cursor = ledger.cursor()
    head = cursor.head if cursor else None
    return {
        "chain": {"name": ledger.chain.name, "id": ledger.chain.id},
        "head": None if head is None else {"number": head.number, "hash": hex_of(head.hash)},
        "blocks": cursor.blocks if cursor else 0,
        "transactions": cursor.transactions if cursor else 0,
        "flows": cursor.flows if cursor else 0,
        "offsets": cursor.offsets if cursor else {},
        "alerts": [
            {"rule": rule, "severity": severity.text, "status": status, "count": count}
            for (rule, severity, status), count in ledger.alert_counts().items()
        ],
        "outbox_pending": ledger.outbox.pending(),
    }


def set_label(ledger: Ledger, said: Label) -> Answer:
    """Keep an analyst's label. Raises RequestRefused for one that cannot be kept."""
    said = _checked(said)
    if said.alert_id and ledger.alert(said.alert_id) is None:
        raise no_alert(said.alert_id, 422)
    if ledger.label_count() >= MAX_LABELS:
        raise RequestRefused(f"the ledger has {MAX_LABELS:,} labels: no more are kept", 507)
    new = ledger.add_label(said)
    return {"address": hex_of(said.address), "label": said.label, "status": "labelled", "new": new}


def withdraw_label(ledger: Ledger, said: Label) -> Answer:
    """Take an analyst's label back. Raises RequestRefused (404) where there is none."""
    if not ledger.withdraw_label(said):
        raise RequestRefused(
            f"{hex_of(said.address)} has no label {said.label!r} of an analyst", 404
        )
    return {"address": hex_of(said.address), "label": said.label, "status": "withdrawn"}


def analyst_label(ledger: Ledger, address: bytes, word: str, valid_from: int) -> Label:
    """An analyst's word about a wallet on the ledger's chain."""
    return Label(address, word.strip().lower(), ANALYST, valid_from, chain=ledger.chain.name)


def no_alert(alert_id: str, status: int = 404) -> RequestRefused:
    """The refusal for an id that no alert has."""
    return RequestRefused(
        f"no alert has the id {alert_id[:64]}", status, hint="chainwarden alerts --json shows ids"
    )


def _alert(record: AlertRecord, labels: list[str]) -> Answer:
    return {
        **alert_to_dict(record.alert),
        "status": record.status,
        "retraction_reason": None if record.retraction is None else record.retraction.value,
        "labels": labels,
    }


def _label(label: Label) -> Answer:
    return {
        "address": hex_of(label.address),
        "label": label.label,
        "source": label.source,
        "valid_from": label.valid_from,
        "valid_to": label.valid_to,
        "chain": label.chain,
        "author": label.author,
        "note": label.note,
        "alert_id": label.alert_id,
    }


def _checked(said: Label) -> Label:
    if not _WORD.fullmatch(said.label):
        raise RequestRefused(
            f"{said.label[:64]!r} is no label",
            422,
            hint="a lower-case word of letters, digits, and - _ . : up to 64 characters",
        )
    for name, most in _MOST.items():
        text = getattr(said, name)
        if len(text) > most or not text.replace("\n", " ").isprintable():
            raise RequestRefused(
                f"the {name} is above {most} characters, or some cannot be printed", 422
            )
    return said
