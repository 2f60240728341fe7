"""Alerts of which nobody is to be told for a while: of a rule, about a wallet, or both.

They are raised and kept like any others; only receivers hear nothing. Rows are never removed: who
wanted to hear nothing, of what, from when to when and why, can be looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from chainwarden.schema import Alert
from store.alert_table import storable
from store.audit_table import note_record
from store.database import Transaction

_COLUMNS: Final = "serial, rule, subject, until, said_at, said_by, why, ended_at, ended_by"


@dataclass(frozen=True, slots=True)
class Suppression:
    """Of which alerts nobody is told, and until when: of a rule, about a wallet, or both.

    What is None does not narrow; one of the two is given. Times are wall clock, in seconds since
    1970. ``ended_at`` is when somebody ended it early, None where nobody did.
    """

    serial: int
    rule: str | None
    subject: bytes | None
    until: float
    said_at: float
    by: str
    why: str
    ended_at: float | None = None
    ended_by: str = ""

    def holds(self, now: float) -> bool:
        """Whether it is neither over nor ended."""
        return self.ended_at is None and now < self.until

    def covers(self, alert: Alert) -> bool:
        """Whether the alert is one of those."""
        return (self.rule is None or self.rule == alert.rule) and (
            self.subject is None or self.subject == alert.subject
        )


def add(tx: Transaction, chain: str, said: Suppression) -> int:
    """Add a row; its serial is given here, and returned."""
    (serial,) = tx.serials("triage_serial", 1)
    tx.cursor.execute(
        f"INSERT INTO ledger.suppressions ({_COLUMNS}, chain) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            serial,
            said.rule,
            said.subject,
            said.until,
            said.said_at,
            storable(said.by),
            storable(said.why),
            said.ended_at,
            storable(said.ended_by),
            chain,
        ],
    )
    tx.totals["suppressions"] += 1
    note_record(tx, "suppression", serial)
    return serial


def end(tx: Transaction, chain: str, serial: int, now: float, by: str) -> None:
    """Note that somebody ended it."""
    tx.cursor.execute(
        "UPDATE ledger.suppressions SET ended_at = ?, ended_by = ? WHERE chain = ? AND serial = ?",
        [now, storable(by), chain, serial],
    )
    note_record(tx, "suppression", serial)


def holding(cursor: duckdb.DuckDBPyConnection, chain: str, now: float) -> tuple[Suppression, ...]:
    """Those that hold at a time, oldest first."""
    where = "chain = ? AND ended_at IS NULL AND until > ? ORDER BY serial"
    return tuple(_where(cursor, where, [chain, now]))


def page(
    cursor: duckdb.DuckDBPyConnection, chain: str, limit: int, before: int | None
) -> list[Suppression]:
    """At most ``limit`` of all there ever were, newest first, of those before a serial."""
    where, values = "chain = ?", [chain, limit]
    if before is not None:
        where, values = "chain = ? AND serial < ?", [chain, before, limit]
    return _where(cursor, f"{where} ORDER BY serial DESC LIMIT ?", values)


def _where(
    cursor: duckdb.DuckDBPyConnection, where: str, values: Sequence[Any]
) -> list[Suppression]:
    query = f"SELECT {_COLUMNS} FROM ledger.suppressions WHERE {where}"
    return [Suppression(*row) for row in cursor.execute(query, list(values)).fetchall()]
