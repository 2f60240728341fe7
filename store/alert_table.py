"""The ledger's alerts: how an alert becomes a row and a row an alert, and what a commit does to it.

An alert is there once, by its id. It is told anew when its block changes: a retraction ends an
*instance* of it, the same alert raised in another block starts the next.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa

from chainwarden.schema import (
    Alert,
    Chain,
    Evidence,
    Hop,
    Position,
    Reason,
    Retraction,
    RetractionReason,
    Role,
    Severity,
    hex_of,
)
from store.audit_chain import Note, content_of
from store.audit_table import TRAILS
from store.database import Transaction

ACTIVE: Final = "active"
RETRACTED: Final = "retracted"

_INCOMING: Final = pa.schema(
    [
        ("id", pa.string()),
        ("serial", pa.int64()),
        ("chain", pa.string()),
        ("rule", pa.string()),
        ("rule_version", pa.int32()),
        ("typology", pa.string()),
        ("severity", pa.int8()),
        ("score", pa.float64()),
        ("subject", pa.binary()),
        ("role", pa.string()),
        ("block_number", pa.int64()),
        ("block_hash", pa.binary()),
        ("block_timestamp", pa.int64()),
        ("transaction_hash", pa.binary()),
        ("ordinal", pa.int64()),
        ("sentence", pa.string()),
        ("reasons", pa.string()),
        ("evidence", pa.string()),
        ("status", pa.string()),
        ("retraction", pa.string()),
        ("instance", pa.int32()),
        ("changed", pa.int64()),
    ]
)
COLUMNS: Final = tuple(_INCOMING.names)
_UPDATED: Final = tuple(name for name in COLUMNS if name not in ("id", "serial", "chain"))
_audited: Final = itemgetter(*map(COLUMNS.index, TRAILS["alert"].columns))
_LOOKUPS: Final = 1_000  # ids a query: found in the index, however many alerts there are


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """An alert with its place in the ledger.

    ``serial`` is the order of arrival; ``retraction`` says why it was taken back, if it was;
    ``instance`` counts how often it came back after that. ``changed`` is the number of the last
    change of it; they go up with every change of any alert.
    """

    alert: Alert
    serial: int
    retraction: RetractionReason | None
    instance: int
    changed: int

    @property
    def status(self) -> str:
        """``active`` or ``retracted``."""
        return ACTIVE if self.retraction is None else RETRACTED


CountKey = tuple[str, int, str]
"""Rule, severity, status."""


def record_of(row: Sequence[Any], chain: Chain) -> AlertRecord:
    """The alert in a row of ``COLUMNS``."""
    values = dict(zip(COLUMNS, row, strict=True))
    alert = Alert(
        id=values["id"].hex,
        chain=chain,
        rule=values["rule"],
        rule_version=values["rule_version"],
        typology=values["typology"],
        severity=Severity(values["severity"]),
        score=values["score"],
        subject=values["subject"],
        role=Role(values["role"]),
        position=Position(values["block_number"], values["block_hash"]),
        block_timestamp=values["block_timestamp"],
        transaction_hash=values["transaction_hash"],
        ordinal=values["ordinal"],
        sentence=values["sentence"],
        reasons=_reasons(values["reasons"]),
        evidence=_evidence(values["evidence"]),
    )
    retraction = values["retraction"]
    return AlertRecord(
        alert,
        values["serial"],
        None if retraction is None else RetractionReason(retraction),
        values["instance"],
        values["changed"],
    )


def find(
    cursor: duckdb.DuckDBPyConnection, chain: Chain, ids: Sequence[str]
) -> dict[str, AlertRecord]:
    """The alerts with these ids that the ledger has, by id."""
    found: dict[str, AlertRecord] = {}
    for start in range(0, len(ids), _LOOKUPS):
        part = [uuid.UUID(one) for one in ids[start : start + _LOOKUPS]]
        rows = cursor.execute(
            f"SELECT {', '.join(COLUMNS)} FROM ledger.alerts "
            f"WHERE id IN ({', '.join('?' * len(part))})",
            part,
        ).fetchall()
        for row in rows:
            record = record_of(row, chain)
            found[record.alert.id] = record
    return found


def known(cursor: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> list[str]:
    """Those of the ids that the ledger has, in a third of the time of ``find``.

    Nearly every commit's alerts are new, and DuckDB plans each column that it is asked for.
    """
    found: list[str] = []
    for start in range(0, len(ids), _LOOKUPS):
        part = [uuid.UUID(one) for one in ids[start : start + _LOOKUPS]]
        marks = ", ".join("?" * len(part))
        rows = cursor.execute(f"SELECT id FROM ledger.alerts WHERE id IN ({marks})", part)
        found += [key.hex for (key,) in rows.fetchall()]
    return found


def active_from(
    cursor: duckdb.DuckDBPyConnection, chain: Chain, number: int
) -> list[tuple[str, Position]]:
    """The active alerts of blocks from that number on, newest arrivals first: ids, and where."""
    rows = cursor.execute(
        "SELECT id, block_number, block_hash FROM ledger.alerts "
        "WHERE chain = ? AND status = ? AND block_number >= ? ORDER BY serial DESC",
        [chain.name, ACTIVE, number],
    ).fetchall()
    return [(key.hex, Position(number, hash_)) for key, number, hash_ in rows]


def changed_after(
    cursor: duckdb.DuckDBPyConnection, chain: Chain, number: int, limit: int
) -> list[AlertRecord]:
    """At most ``limit`` alerts that changed after a change, in the order of their last changes."""
    rows = cursor.execute(
        f"SELECT {', '.join(COLUMNS)} FROM ledger.alerts WHERE chain = ? AND changed > ? "
        "ORDER BY changed LIMIT ?",
        [chain.name, number, limit],
    ).fetchall()
    return [record_of(row, chain) for row in rows]


def touch(tx: Transaction, alert_id: str, number: int) -> None:
    """Note the number of a change that is in none of an alert's columns."""
    tx.cursor.execute(
        "UPDATE ledger.alerts SET changed = ? WHERE id = ?", [number, uuid.UUID(alert_id)]
    )


def apply(
    tx: Transaction, chain: Chain, retractions: Sequence[Retraction], alerts: Sequence[Alert]
) -> tuple[list[AlertRecord], dict[CountKey, int]]:
    """Apply alerts and retractions. Returns the records that changed, and by how much counts did.

    What happened to an alert in one block is netted: raised and retracted within the commit is
    retracted, retracted and raised again is active. A retraction for a block the alert is not in is
    about something long gone and does nothing, and so does an alert that is there already in the
    same block; one that was retracted, or is now in another block, starts its next instance.
    """
    ids = dict.fromkeys([*(r.alert_id for r in retractions), *(a.id for a in alerts)])
    before = find(tx.cursor, chain, known(tx.cursor, list(ids)))
    standing = {(key, r.alert.position): 1 for key, r in before.items() if r.retraction is None}
    for alert in alerts:
        place = (alert.id, alert.position)
        standing[place] = standing.get(place, 0) + 1
    reasons: dict[str, RetractionReason] = {}
    for retraction in retractions:
        place = (retraction.alert_id, retraction.position)
        if place in standing:
            standing[place] -= 1
            reasons[retraction.alert_id] = retraction.reason
    # The last telling that stands; where none does, the last one, which is then a retracted alert.
    latest = {alert.id: alert for alert in alerts}
    latest |= {alert.id: alert for alert in alerts if standing[alert.id, alert.position] > 0}
    added = [key for key in latest if key not in before]
    serials = dict(zip(added, tx.serials("alert_serial", len(added)), strict=True))
    changed: list[AlertRecord] = []
    for key in ids:
        old, told = before.get(key), latest.get(key)
        if old is not None and (told is None or _stands(old, standing)):
            told = old.alert
        if told is None:
            continue  # the retraction of an alert that never was
        stands = standing.get((key, told.position), 0) > 0
        reason = None if stands else reasons.get(key, RetractionReason.ORPHANED)
        record = _next(old, told, reason, serials.get(key, 0))
        if record != old:
            changed.append(record)
    numbers = tx.serials("alert_change_serial", len(changed))
    changed = [replace(one, changed=n) for one, n in zip(changed, numbers, strict=True)]
    rows = {record.alert.id: _row(record) for record in changed}
    _insert(tx, [row for key, row in rows.items() if key not in before])
    _update(tx, [row for key, row in rows.items() if key in before])
    tx.note(*(Note("alert", key, content_of(_audited(row))) for key, row in rows.items()))
    return changed, _count_changes(before, changed)


def _stands(record: AlertRecord, standing: dict[tuple[str, Position], int]) -> bool:
    """Whether an active alert stands where it stood, or does again."""
    alert = record.alert
    return record.retraction is None and standing[alert.id, alert.position] > 0


def _next(
    old: AlertRecord | None, told: Alert, retraction: RetractionReason | None, serial: int
) -> AlertRecord:
    """What the ledger holds about an alert after the commit."""
    if old is None:
        return AlertRecord(told, serial, retraction, 0, 0)
    if retraction is not None and old.retraction is not None:
        return old
    moved = old.alert.position != told.position
    again = retraction is None and (old.retraction is not None or moved)
    return AlertRecord(told, old.serial, retraction, old.instance + again, old.changed)


def _count_changes(
    before: dict[str, AlertRecord], changed: Iterable[AlertRecord]
) -> dict[CountKey, int]:
    counts: dict[CountKey, int] = {}
    for record in changed:
        old = before.get(record.alert.id)
        if old is not None:
            counts[_count_key(old)] = counts.get(_count_key(old), 0) - 1
        counts[_count_key(record)] = counts.get(_count_key(record), 0) + 1
    return counts


def _count_key(record: AlertRecord) -> CountKey:
    return record.alert.rule, int(record.alert.severity), record.status


def _insert(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    tx.insert("alerts", _INCOMING, rows)


def _update(tx: Transaction, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    # In place, never deleted and inserted again: the same key twice in one transaction is what
    # DuckDB's log replay has failed on.
    assignments = ", ".join(f"{name} = incoming.{name}" for name in _UPDATED)
    with tx.arrow(_INCOMING, rows):
        tx.cursor.execute(
            f"UPDATE ledger.alerts SET {assignments} FROM incoming "
            "WHERE ledger.alerts.id = incoming.id::UUID"
        )


def _row(record: AlertRecord) -> tuple[Any, ...]:
    alert = record.alert
    return (
        alert.id,
        record.serial,
        alert.chain.name,
        alert.rule,
        alert.rule_version,
        alert.typology,
        int(alert.severity),
        float(alert.score),
        alert.subject,
        alert.role.value,
        alert.position.number,
        alert.position.hash,
        alert.block_timestamp,
        alert.transaction_hash,
        alert.ordinal,
        storable(alert.sentence),
        storable(_reasons_text(alert.reasons)),
        _evidence_text(alert.evidence),
        record.status,
        None if record.retraction is None else record.retraction.value,
        record.instance,
        record.changed,
    )


def storable(text: str) -> str:
    """The text, with ``?`` for lone surrogates: UTF-8 has no form for them.

    >>> storable("name " + chr(0xd800))
    'name ?'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def _number(value: float) -> float | str:
    """JSON has no infinity and no NaN: they travel as text, and come back as what they were."""
    number = float(value)
    return number if math.isfinite(number) else repr(number)


def _reasons_text(reasons: Sequence[Reason]) -> str:
    rows = [
        (
            storable(reason.feature),
            _number(reason.value),
            _number(reason.contribution),
            None if reason.threshold is None else _number(reason.threshold),
        )
        for reason in reasons
    ]
    return msgspec.json.encode(rows).decode()


def _reasons(text: str) -> tuple[Reason, ...]:
    rows = msgspec.json.decode(text)
    return tuple(
        Reason(feature, float(value), float(share), None if limit is None else float(limit))
        for feature, value, share, limit in rows
    )


def _evidence_text(evidence: Evidence) -> str:
    # Amounts as decimal text: JSON readers turn integers above 2^53 into floats.
    tree = {
        "transactions": [hex_of(one) for one in evidence.transactions],
        "addresses": [hex_of(one) for one in evidence.addresses],
        "amounts": [(hex_of(token), str(amount)) for token, amount in evidence.amounts],
        "path": [
            (
                hex_of(hop.transaction),
                hex_of(hop.sender),
                hex_of(hop.receiver),
                hex_of(hop.token),
                str(hop.amount),
            )
            for hop in evidence.path
        ],
    }
    return msgspec.json.encode(tree).decode()


def _evidence(text: str) -> Evidence:
    tree = msgspec.json.decode(text)
    return Evidence(
        transactions=tuple(_bytes(one) for one in tree["transactions"]),
        addresses=tuple(_bytes(one) for one in tree["addresses"]),
        amounts=tuple((_optional(token), int(amount)) for token, amount in tree["amounts"]),
        # Rows from before alerts had paths have none.
        path=tuple(
            Hop(_optional(tx), _bytes(sender), _bytes(receiver), int(amount), _optional(token))
            for tx, sender, receiver, token, amount in tree.get("path", ())
        ),
    )


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def _optional(text: str | None) -> bytes | None:
    return None if text is None else _bytes(text)
