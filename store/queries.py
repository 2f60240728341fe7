"""What the ledger is asked: alerts by filter, with bound parameters only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import duckdb

from chainwarden.schema import Chain, Severity
from store.acknowledgements import IN_FORCE
from store.alert_table import COLUMNS, AlertRecord, record_of
from store.database import Database
from store.results import first

MAX_LIMIT: Final = 100_000


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are asked for; what is None does not narrow.

    Times are block times, ``since`` included, ``until`` not; blocks are both included. ``label`` is
    a word that somebody gave to the subject and did not take back; ``acknowledged``, whether
    somebody has the alert in hand. ``after`` is the id of the last alert of the page before; pages
    go from the newest arrival to the oldest, or the other way with ``oldest_first``.
    """

    rule: str | None = None
    min_severity: Severity | None = None
    subject: bytes | None = None
    label: str | None = None
    transaction_hash: bytes | None = None
    since: int | None = None
    until: int | None = None
    first_block: int | None = None
    last_block: int | None = None
    status: Literal["active", "retracted", "all"] = "active"
    acknowledged: bool | None = None
    limit: int = 100
    after: str | None = None
    oldest_first: bool = False


def select_alerts(
    cursor: duckdb.DuckDBPyConnection, chain: Chain, wanted: AlertFilter
) -> list[AlertRecord]:
    """The alerts that a filter lets through, at most ``limit`` (and ``MAX_LIMIT``)."""
    conditions: list[str] = ["chain = ?"]
    values: list[Any] = [chain.name]
    for condition, value in (
        ("rule = ?", wanted.rule),
        ("severity >= ?", None if wanted.min_severity is None else int(wanted.min_severity)),
        ("subject = ?", wanted.subject),
        (
            "subject IN (SELECT address FROM ledger.labels WHERE label = ? AND NOT withdrawn)",
            wanted.label,
        ),
        ("transaction_hash = ?", wanted.transaction_hash),
        ("block_timestamp >= ?", wanted.since),
        ("block_timestamp < ?", wanted.until),
        ("block_number >= ?", wanted.first_block),
        ("block_number <= ?", wanted.last_block),
        ("status = ?", None if wanted.status == "all" else wanted.status),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    if wanted.acknowledged is not None:
        conditions.append(f"id {'' if wanted.acknowledged else 'NOT '}IN ({IN_FORCE})")
        values.append(chain.name)
    if wanted.after is not None:
        serial = _serial_of(cursor, wanted.after)
        if serial is None:
            return []
        conditions.append("serial > ?" if wanted.oldest_first else "serial < ?")
        values.append(serial)
    order = "ASC" if wanted.oldest_first else "DESC"
    query = (
        f"SELECT {', '.join(COLUMNS)} FROM ledger.alerts WHERE {' AND '.join(conditions)} "
        f"ORDER BY serial {order} LIMIT ?"
    )
    values.append(max(0, min(wanted.limit, MAX_LIMIT)))
    return [record_of(row, chain) for row in cursor.execute(query, values).fetchall()]


def ids_with_prefix(
    cursor: duckdb.DuckDBPyConnection, chain: Chain, prefix: str, limit: int
) -> list[str]:
    """The ids of alerts that begin with some hex digits, in their order, at most ``limit``."""
    digits = prefix.replace("-", "").lower()
    low, high = key_of(digits.ljust(32, "0")), key_of(digits.ljust(32, "f"))
    if low is None or high is None:
        return []
    rows = cursor.execute(
        "SELECT id FROM ledger.alerts WHERE chain = ? AND id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        [chain.name, low, high, limit],
    ).fetchall()
    return [row[0].hex for row in rows]


def chains_of(path: Path) -> list[Chain]:
    """The chains a ledger file holds, by name. Raises LedgerLocked while another process has it."""
    database = Database(path)
    try:
        rows = database.cursor().execute("SELECT name, id FROM ledger.chains ORDER BY name")
        return [Chain(str(name), int(id_)) for name, id_ in rows.fetchall()]
    finally:
        database.close()


def _serial_of(cursor: duckdb.DuckDBPyConnection, alert_id: str) -> int | None:
    key = key_of(alert_id)
    if key is None:
        return None
    row = first(cursor.execute("SELECT serial FROM ledger.alerts WHERE id = ?", [key]))
    return None if row is None else int(row[0])


def key_of(alert_id: str) -> uuid.UUID | None:
    """The stored form of an alert id, or None if no alert can have that id.

    >>> key_of("00" * 16)
    UUID('00000000-0000-0000-0000-000000000000')
    >>> key_of("'; DROP TABLE alerts") is None
    True
    """
    try:
        return uuid.UUID(alert_id)
    except ValueError:
        return None
