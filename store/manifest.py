"""The ledger's manifest: which files of the lake are good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import duckdb
import pyarrow as pa

from chainwarden.schema import LakeFile, Position
from store.database import Transaction

_FILES: Final = pa.schema(
    [
        ("path", pa.string()),
        ("dataset", pa.string()),
        ("first_number", pa.int64()),
        ("first_hash", pa.binary()),
        ("last_number", pa.int64()),
        ("last_hash", pa.binary()),
        ("rows", pa.int64()),
        ("size_bytes", pa.int64()),
        ("chain", pa.string()),
    ]
)
_COLUMNS: Final = ", ".join(_FILES.names[:-1])


def select(cursor: duckdb.DuckDBPyConnection, chain: str, dataset: str | None) -> list[LakeFile]:
    """The files of a chain, or of one of its data sets, by data set, in the order of blocks."""
    conditions, values = "chain = ?", [chain]
    if dataset is not None:
        conditions += " AND dataset = ?"
        values.append(dataset)
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM ledger.lake_files WHERE {conditions} "
        "ORDER BY dataset, first_number, path",
        values,
    ).fetchall()
    return [_file_of(row) for row in rows]


def write(
    tx: Transaction, chain: str, head: int, added: Sequence[LakeFile], removed: Sequence[LakeFile]
) -> None:
    """Add files and remove others. ``head`` is the last block so far, -1 before the first."""
    # A file that is written again has the same name: its old row goes first. Nothing is there yet
    # of the blocks above the head, which is what nearly every commit brings.
    again = [file for file in added if file.first.number <= head]
    gone = [file.path for file in (*removed, *again)]
    for start in range(0, len(gone), 256):
        part = gone[start : start + 256]
        deleted = tx.cursor.execute(
            "DELETE FROM ledger.lake_files WHERE chain = ? "
            f"AND path IN ({', '.join('?' * len(part))}) RETURNING path",
            [chain, *part],
        ).fetchall()
        tx.totals["lake_files"] -= len(deleted)
    tx.insert("lake_files", _FILES, [(*_values(file), chain) for file in added])


def _values(file: LakeFile) -> tuple[Any, ...]:
    return (
        file.path, file.dataset, file.first.number, file.first.hash, file.last.number,
        file.last.hash, file.rows, file.size_bytes,
    )  # fmt: skip


def _file_of(row: Sequence[Any]) -> LakeFile:
    path, dataset, first_number, first_hash, last_number, last_hash, rows, size = row
    first, last = Position(first_number, first_hash), Position(last_number, last_hash)
    return LakeFile(path, dataset, first, last, rows, size)
