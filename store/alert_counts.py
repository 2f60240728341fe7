"""How many alerts there are by rule, severity and status: kept with each commit, never counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import pyarrow as pa

from store.alert_table import CountKey
from store.database import Transaction

_ROWS: Final = pa.schema(
    [
        ("chain", pa.string()),
        ("rule", pa.string()),
        ("severity", pa.int8()),
        ("status", pa.string()),
        ("alerts", pa.int64()),
    ]
)
_FEW: Final = 3  # above it, one statement for all of them is the faster way


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
    after = dict(counts)
    for key, change in changes.items():
        after[key] = after.get(key, 0) + change
    _update(tx, chain, [(*key, after[key]) for key in changes if key in counts])
    tx.insert("alert_counts", _ROWS, [(chain, *k, after[k]) for k in changes if k not in counts])
    return after


def _update(tx: Transaction, chain: str, rows: Sequence[tuple[str, int, str, int]]) -> None:
    """Put what the counts are now in place of what they were."""
    if len(rows) <= _FEW:
        for *key, count in rows:
            tx.cursor.execute(
                "UPDATE ledger.alert_counts SET alerts = ? "
                "WHERE chain = ? AND rule = ? AND severity = ? AND status = ?",
                [count, chain, *key],
            )
        return
    with tx.arrow(_ROWS, [(chain, *row) for row in rows]):
        tx.cursor.execute(
            "UPDATE ledger.alert_counts AS kept SET alerts = incoming.alerts FROM incoming "
            "WHERE kept.chain = incoming.chain AND kept.rule = incoming.rule "
            "AND kept.severity = incoming.severity AND kept.status = incoming.status"
        )
