"""How many alerts there are by rule, severity and status: kept with each commit, never counted."""

from __future__ import annotations

import duckdb

from store.alert_table import CountKey
from store.database import Transaction


def read(cursor: duckdb.DuckDBPyConnection, chain: str) -> dict[CountKey, int]:
    """The counts of a chain."""
    rows = cursor.execute(
        "SELECT rule, severity, status, alerts FROM ledger.alert_counts WHERE chain = ?", [chain]
    ).fetchall()
    return {(str(rule), int(severity), str(status)): int(n) for rule, severity, status, n in rows}


def write(
    tx: Transaction, chain: str, counts: dict[CountKey, int], changes: dict[CountKey, int]
) -> dict[CountKey, int]:
    """Keep by how much the counts changed. Returns what they are then."""
    counts = dict(counts)
    for key, change in changes.items():
        known = key in counts
        counts[key] = counts.get(key, 0) + change
        where = [chain, *key]
        if known:
            tx.cursor.execute(
                "UPDATE ledger.alert_counts SET alerts = ? "
                "WHERE chain = ? AND rule = ? AND severity = ? AND status = ?",
                [counts[key], *where],
            )
        else:
            tx.cursor.execute(
                "INSERT INTO ledger.alert_counts (alerts, chain, rule, severity, status) "
                "VALUES (?, ?, ?, ?, ?)",
                [counts[key], *where],
            )
    return counts
