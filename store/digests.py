"""Digests: one message in place of thousands, with exact counts.

What more than a receiver's rate allows has piled up, lesser alerts are told together: how many of
each kind, rule and severity. The rows stay in the outbox as members of the digest's row and share
its fate, so what the receiver knows of each alert, and what it must be told later, follows as ever.
A member that the chain takes back before the digest was sent leaves it, and the counts follow.
Critical alerts are never told so.

At most one digest of a receiver is under way. It holds of each subject what comes first, so no
alert is told out of its order; what comes later waits for the digest.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

import msgspec

from chainwarden.schema import Chain, Position, Severity
from store.database import Transaction
from store.outbox_rows import DIGEST, PENDING, OutboxRow, append_rows

LISTED: Final = 100
"""Of how many alerts a digest gives the id."""

# What may join: due, lesser, certainly not told yet, and nothing that was refused on its own.
_MAY_JOIN: Final = (
    f"lane = 0 AND severity < {int(Severity.CRITICAL)} AND kind <> '{DIGEST}' AND digest IS NULL "
    "AND NOT in_doubt AND NOT refused AND next_at <= ?"
)
WAITING: Final = (
    "SELECT count(*) FROM ledger.outbox "
    f"WHERE receiver = ? AND chain = ? AND state = 'pending' AND {_MAY_JOIN}"
)
"""How many rows could join a digest now, by receiver, chain and time."""


def collapse(tx: Transaction, chain: Chain, receiver: str, now: float) -> int:
    """Have everything that may be told in a digest told in one. Returns how many alerts that is.

    None while another digest of the receiver is under way.
    """
    under_way = tx.cursor.execute(
        "SELECT 1 FROM ledger.outbox WHERE receiver = ? AND chain = ? AND state = 'pending' "
        "AND kind = ? LIMIT 1",
        [receiver, chain.name, DIGEST],
    ).fetchall()
    if under_way:
        return 0
    (serial,) = append_rows(tx, chain, [_empty(receiver, now)])
    joined = tx.cursor.execute(
        f"""UPDATE ledger.outbox SET digest = ? WHERE serial IN (
            SELECT serial FROM (
                SELECT *, min(CASE WHEN {_MAY_JOIN} THEN NULL ELSE serial END)
                    OVER (PARTITION BY subject, lane) AS blocker
                FROM ledger.outbox WHERE receiver = ? AND chain = ? AND state = 'pending'
            ) WHERE {_MAY_JOIN} AND (blocker IS NULL OR serial < blocker)
        ) RETURNING serial""",
        [serial, now, receiver, chain.name, now],
    ).fetchall()
    refresh(tx, serial)
    return len(joined)


def refresh(tx: Transaction, serial: int) -> None:
    """Bring a digest in line with its members; one without any is cancelled."""
    members = "FROM ledger.outbox WHERE digest = ? AND state <> 'cancelled'"
    (row,) = tx.cursor.execute(
        "SELECT count(*), count(DISTINCT subject), min(block_number), max(block_number), "
        "max(block_timestamp), min(enqueued_at), max(severity), arg_max(block_hash, block_number), "
        f"md5(string_agg(message_id, ',' ORDER BY serial)) {members}",
        [serial],
    ).fetchall()
    total, subjects, first, last, time, enqueued, severity, hash_, key = row
    if not total:
        tx.cursor.execute("UPDATE ledger.outbox SET state = 'cancelled' WHERE serial = ?", [serial])
        return
    listed = tx.cursor.execute(
        f"SELECT alert_id {members} ORDER BY severity DESC, serial LIMIT {LISTED}", [serial]
    ).fetchall()
    data = {
        "id": f"digest-{key}",
        "total": total,
        "counts": _counts(tx, serial),
        "subjects": subjects,
        "first_block": first,
        "last_block": last,
        "severity": Severity(severity).text,
        "alerts": [one.hex for (one,) in listed],
    }
    tx.cursor.execute(
        "UPDATE ledger.outbox SET message_id = ?, alert_id = ?, data = ?, block_number = ?, "
        "block_hash = ?, block_timestamp = ?, enqueued_at = ?, severity = ? WHERE serial = ?",
        [
            data["id"], uuid.UUID(key), msgspec.json.encode(data).decode(), last, hash_, time,
            enqueued, severity, serial,
        ],
    )  # fmt: skip


def _counts(tx: Transaction, serial: int) -> dict[str, dict[str, dict[str, int]]]:
    """How many members there are, by kind, rule and severity."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    found = tx.cursor.execute(
        "SELECT kind, rule, severity, count(*) FROM ledger.outbox "
        "WHERE digest = ? AND state <> 'cancelled' GROUP BY ALL ORDER BY ALL",
        [serial],
    ).fetchall()
    for kind, rule, severity, count in found:
        counts.setdefault(kind, {}).setdefault(rule, {})[Severity(severity).text] = count
    return counts


def _empty(receiver: str, now: float) -> OutboxRow:
    values: dict[str, Any] = {
        "serial": 0,
        "receiver": receiver,
        "subject": b"",
        "lane": 0,
        "alert_id": uuid.UUID(int=0).hex,
        "kind": DIGEST,
        "message_id": "",
        "position": Position(0, b""),
        "block_timestamp": 0,
        "instance": 0,
        "data": "{}",
        "state": PENDING,
        "in_doubt": False,
        "attempts": 0,
        "next_at": now,
        "enqueued_at": now,
        "settled_at": None,
        "error": "",
        "refused": False,
        "rule": "",
        "severity": 0,
        "digest": None,
    }
    return OutboxRow(**values)
