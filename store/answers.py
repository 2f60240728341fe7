"""What the ledger says when it is asked: the documented JSON forms, for the API and the command.

Both print what is made here, so an alert looks the same whether it was read from the file or asked
of the process that writes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from chainwarden import __version__
from chainwarden.errors import RequestRefused
from chainwarden.schema import Label, alert_to_dict, hex_of
from chainwarden.server import Ready
from store.acknowledgements import Acknowledgement
from store.ledger import AlertFilter, AlertRecord, Ledger

Answer = dict[str, object]
SHORTEST_PREFIX: Final = 4
_SHOWN: Final = 4


def alerts_answer(ledger: Ledger, wanted: AlertFilter) -> Answer:
    """``{total, alerts, next}``: a page of alerts, and the id after which the next one begins.

    ``total`` counts all active alerts, whatever the filter. ``next`` is None on the last page.
    """
    records = ledger.records(replace(wanted, limit=wanted.limit + 1))
    page, more = records[: wanted.limit], len(records) > wanted.limit
    counts = ledger.alert_counts()
    return {
        "total": sum(n for (_, _, status), n in counts.items() if status == "active"),
        "alerts": record_answers(ledger, page),
        "next": page[-1].alert.id if more else None,
    }


def record_answers(ledger: Ledger, records: Sequence[AlertRecord]) -> list[Answer]:
    """The documented form of alerts, with the labels of their subjects."""
    labels = ledger.label_words([record.alert.subject for record in records])
    said = ledger.triage.latest([record.alert.id for record in records])
    return [
        {
            **_alert(record, labels.get(record.alert.subject, [])),
            "acknowledged": _in_hand(said.get(record.alert.id)),
            "suppressed_until": ledger.triage.suppressed_until(record.alert),
        }
        for record in records
    ]


def alert_answer(ledger: Ledger, alert_id: str) -> Answer:
    """One alert, retracted or not. Raises RequestRefused (404) where there is none."""
    record = ledger.record(whole_id(ledger, alert_id))
    if record is None:
        raise no_alert(alert_id)
    (answer,) = record_answers(ledger, [record])
    return answer


def wallet_answer(ledger: Ledger, address: bytes, limit: int) -> Answer:
    """What is known of a wallet: its newest alerts of any status, and its labels."""
    found = alerts_answer(ledger, AlertFilter(subject=address, status="all", limit=limit))
    return {
        "address": hex_of(address),
        "labels": [
            label_to_dict(one, number) for _, one, number in ledger.label_page(limit, 0, address)
        ],
        "alerts": found["alerts"],
        "next": found["next"],
    }


def health_answer(ledger: Ledger, ready: str, head_timestamp: int | None) -> Answer:
    """Whether the process does its work, where its head is, what waits. See ``HealthForm``.

    ``ready`` is why it is not, or as what it is ``Ready``.
    """
    cursor = ledger.cursor()
    head = cursor.head if cursor else None
    at = None if head is None else head_timestamp
    waits = bool(ready) and not isinstance(ready, Ready)
    return {
        "status": "not_ready" if waits else "ready",
        "reason": str(ready),
        "version": __version__,
        "chain": {"name": ledger.chain.name, "id": ledger.chain.id},
        "ledger": ledger.identity,
        "head": None if head is None else {"number": head.number, "hash": hex_of(head.hash)},
        "head_timestamp": at,
        "behind_seconds": None if at is None else max(0.0, ledger.now() - at),
        "outbox_pending": ledger.outbox.pending(),
        "receivers_disabled": sorted(
            name for name, state in ledger.outbox.states().items() if state.disabled
        ),
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


def whole_id(ledger: Ledger, prefix: str, status: int = 404) -> str:
    """The id of the one alert whose id begins so. Raises RequestRefused where that is not one."""
    found = ledger.alert_ids(prefix, _SHOWN + 1) if len(prefix) >= SHORTEST_PREFIX else []
    if not found:
        raise no_alert(prefix, status)
    if len(found) > 1:
        more = " …" if len(found) > _SHOWN else ""
        raise RequestRefused(
            f"more than one alert's id begins with {prefix[:64]}",
            422,
            hint=f"one of {', '.join(found[:_SHOWN])}{more}",
        )
    return found[0]


def no_alert(alert_id: str, status: int = 404) -> RequestRefused:
    """The refusal for an id that no alert has."""
    return RequestRefused(
        f"no alert has the id {alert_id[:64]}",
        status,
        hint=f"chainwarden alerts --json shows ids; {SHORTEST_PREFIX} digits of one are enough",
    )


def _alert(record: AlertRecord, labels: list[str]) -> Answer:
    return {
        **alert_to_dict(record.alert),
        "status": record.status,
        "retraction_reason": None if record.retraction is None else record.retraction.value,
        "labels": labels,
    }


def _in_hand(said: Acknowledgement | None) -> Answer | None:
    if said is None or said.withdrawn:
        return None
    return {"at": said.said_at, "by": said.by, "note": said.why}


def label_to_dict(label: Label, in_force_from: int | None) -> Answer:
    """The documented JSON form of a label."""
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
        "in_force_from": in_force_from,
    }
