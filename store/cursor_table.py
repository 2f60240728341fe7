"""Where the pipeline stands: one row a chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import duckdb
import msgspec

from chainwarden.schema import Cursor, Position
from store.database import Transaction
from store.results import first

COLUMNS: Final = "head_number, head_hash, offsets, blocks, transactions, flows"


def begin(tx: Transaction, chain: str) -> None:
    """The row of a chain of which nothing was committed yet."""
    tx.cursor.execute(
        f"INSERT INTO ledger.cursors (chain, {COLUMNS}) VALUES (?, NULL, NULL, '', 0, 0, 0)",
        [chain],
    )


def read(cursor: duckdb.DuckDBPyConnection, chain: str) -> Cursor | None:
    """Where the last commit left the pipeline, None before the first."""
    row = first(
        cursor.execute(
            f"SELECT {COLUMNS}, finalized_number, finalized_hash FROM ledger.cursors "
            "WHERE chain = ?",
            [chain],
        )
    )
    # Without offsets text nothing was ever committed; "{}" is a cursor without a bus.
    if row is None or not row[2]:
        return None
    number, hash_ = row[6:]
    final = None if number is None else Position(number, hash_)
    return replace(cursor_of(row[:6]), finalized=final)


def write(tx: Transaction, chain: str, cursor: Cursor) -> None:
    """Note where a commit leaves the pipeline."""
    final = cursor.finalized
    tx.cursor.execute(
        "UPDATE ledger.cursors SET head_number = ?, head_hash = ?, offsets = ?, blocks = ?, "
        "transactions = ?, flows = ?, finalized_number = ?, finalized_hash = ? WHERE chain = ?",
        [
            *values_of(cursor),
            None if final is None else final.number,
            None if final is None else final.hash,
            chain,
        ],
    )


def values_of(cursor: Cursor) -> list[Any]:
    """The values of ``COLUMNS``."""
    head = cursor.head
    return [
        None if head is None else head.number,
        None if head is None else head.hash,
        msgspec.json.encode(cursor.offsets, order="sorted").decode(),
        cursor.blocks,
        cursor.transactions,
        cursor.flows,
    ]


def cursor_of(row: Sequence[Any]) -> Cursor:
    """What a row of ``COLUMNS`` says."""
    number, hash_, offsets, blocks, transactions, flows = row
    head = None if number is None else Position(number, hash_)
    return Cursor(
        head, msgspec.json.decode(offsets, type=dict[str, int]), blocks, transactions, flows
    )


def identity(cursor: duckdb.DuckDBPyConnection) -> str:
    """Eight hex digits of the file's own."""
    row = first(cursor.execute("SELECT id FROM ledger.identity"))
    assert row is not None, "a migration wrote it"
    return str(row[0].hex[:8])
