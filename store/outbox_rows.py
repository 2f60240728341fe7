"""Rows of the outbox: what each holds, and how it is read and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import pyarrow as pa

from chainwarden.schema import Chain, Position
from store.database import Transaction

RAISED: Final = "alert.raised"
RETRACTED: Final = "alert.retracted"
MOVED: Final = "alert.moved"
DIGEST: Final = "alert.digest"

PENDING: Final = "pending"
DELIVERED: Final = "delivered"
DEAD: Final = "dead"
CANCELLED: Final = "cancelled"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One thing a receiver is to be told. ``message_id`` is the same in every attempt.

    ``refused``: the last attempt reached a receiver that is well, and would not have this message.
    ``digest``: the serial of the digest that tells it, where it is not told on its own.
    """

    serial: int
    receiver: str
    subject: bytes
    lane: int
    alert_id: str
    kind: str
    message_id: str
    position: Position
    block_timestamp: int
    instance: int
    data: str
    state: str
    in_doubt: bool
    attempts: int
    next_at: float
    enqueued_at: float
    settled_at: float | None
    error: str
    refused: bool
    rule: str
    severity: int
    digest: int | None

    @property
    def open(self) -> bool:
        """Whether the receiver certainly has not got it, and it is still to come."""
        return self.state in (PENDING, DEAD) and not self.in_doubt

    @property
    def told(self) -> bool:
        """Whether the receiver knows it, or may."""
        return self.state == DELIVERED or (self.state in (PENDING, DEAD) and self.in_doubt)


_SCHEMA: Final = pa.schema(
    [
        ("serial", pa.int64()),
        ("receiver", pa.string()),
        ("subject", pa.binary()),
        ("lane", pa.int8()),
        ("alert_id", pa.string()),
        ("kind", pa.string()),
        ("message_id", pa.string()),
        ("block_number", pa.int64()),
        ("block_hash", pa.binary()),
        ("block_timestamp", pa.int64()),
        ("instance", pa.int32()),
        ("data", pa.string()),
        ("state", pa.string()),
        ("in_doubt", pa.bool_()),
        ("attempts", pa.int32()),
        ("next_at", pa.float64()),
        ("enqueued_at", pa.float64()),
        ("settled_at", pa.float64()),
        ("error", pa.string()),
        ("refused", pa.bool_()),
        ("rule", pa.string()),
        ("severity", pa.int8()),
        ("digest", pa.int64()),
        ("chain", pa.string()),
    ]
)
COLUMNS: Final = ", ".join(_SCHEMA.names[:-1])
"""What ``OutboxRow`` holds."""


def row_of(row: Sequence[Any]) -> OutboxRow:
    """The row that a query of ``COLUMNS`` gave."""
    head, (number, hash_), rest = row[:7], row[7:9], row[9:]
    serial, receiver, subject, lane, alert_id, kind, message_id = head
    return OutboxRow(
        serial, receiver, subject, lane, alert_id.hex, kind, message_id,
        Position(number, hash_), *rest,
    )  # fmt: skip


def rows_where(
    cursor: duckdb.DuckDBPyConnection, where: str, values: Sequence[Any]
) -> list[OutboxRow]:
    """The rows of a condition, which may end in an order and a limit."""
    query = f"SELECT {COLUMNS} FROM ledger.outbox WHERE {where}"
    return [row_of(row) for row in cursor.execute(query, list(values)).fetchall()]


def append_rows(tx: Transaction, chain: Chain, rows: Sequence[OutboxRow]) -> range:
    """Write new rows, under new serials, which are returned."""
    serials = tx.serials("outbox_serial", len(rows))
    tx.insert(
        "outbox",
        _SCHEMA,
        [
            (
                serial, row.receiver, row.subject, row.lane, row.alert_id, row.kind,
                row.message_id, row.position.number, row.position.hash, row.block_timestamp,
                row.instance, row.data, row.state, row.in_doubt, row.attempts, row.next_at,
                row.enqueued_at, row.settled_at, row.error, row.refused, row.rule, row.severity,
                row.digest, chain.name,
            )
            for row, serial in zip(rows, serials, strict=True)
        ],
    )  # fmt: skip
    return serials


def set_rows(
    tx: Transaction, rows: Sequence[OutboxRow], assignments: str, values: Sequence[Any] = ()
) -> None:
    """Change rows; what is told in a digest shares the digest's fate."""
    for row in rows:
        where, ours = "serial = ?", [row.serial]
        if row.kind == DIGEST:
            where, ours = "serial = ? OR (digest = ? AND state <> 'cancelled')", ours * 2
        tx.cursor.execute(f"UPDATE ledger.outbox SET {assignments} WHERE {where}", [*values, *ours])
