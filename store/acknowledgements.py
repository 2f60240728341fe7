"""Who has an alert in hand: a trail of words, the last of which about an alert holds.

Rows are only added. An acknowledgement is of the alert, wherever its block is: it outlives the
alert's being taken back, moved, and made anew by a rebuild.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from store.alert_table import storable
from store.audit_table import note_record
from store.database import Transaction

_COLUMNS: Final = "alert_id, said_at, said_by, why, withdrawn, changed"

IN_FORCE: Final = (
    "SELECT alert_id FROM ledger.acknowledgements WHERE chain = ? "
    "GROUP BY alert_id HAVING NOT arg_max(withdrawn, serial)"
)
"""The ids of the alerts of a chain that somebody has in hand."""


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Somebody's word that he has an alert in hand or, ``withdrawn``, that nobody has any more.

    ``said_at`` is wall clock, in seconds since 1970. ``changed`` is the number of the change of the
    alert that it was, 0 where it was taken over from another ledger.
    """

    alert_id: str
    said_at: float
    by: str
    why: str
    withdrawn: bool
    changed: int


def add(tx: Transaction, chain: str, said: Acknowledgement) -> None:
    """Add a row."""
    (serial,) = tx.serials("triage_serial", 1)
    tx.cursor.execute(
        f"INSERT INTO ledger.acknowledgements (serial, chain, {_COLUMNS}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            serial,
            chain,
            uuid.UUID(said.alert_id),
            said.said_at,
            storable(said.by),
            storable(said.why),
            said.withdrawn,
            said.changed,
        ],
    )
    tx.totals["acknowledgements"] += 1
    note_record(tx, "acknowledgement", serial)


def latest(
    cursor: duckdb.DuckDBPyConnection, chain: str, alert_ids: Sequence[str]
) -> dict[str, Acknowledgement]:
    """What was said last of each of some alerts, of which something was."""
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM ledger.acknowledgements "
        "WHERE chain = ? AND alert_id IN (SELECT unnest(?::UUID[])) "
        "QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY serial DESC) = 1",
        [chain, list(alert_ids)],
    ).fetchall()
    return {said.alert_id: said for said in map(_row, rows)}


def trail(cursor: duckdb.DuckDBPyConnection, chain: str) -> list[Acknowledgement]:
    """All that was said, oldest first."""
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM ledger.acknowledgements WHERE chain = ? ORDER BY serial", [chain]
    ).fetchall()
    return [_row(row) for row in rows]


def _row(row: Sequence[Any]) -> Acknowledgement:
    key, *rest = row
    return Acknowledgement(key.hex, *rest)
