"""The lake's rows of some transactions, and of their blocks, orphaned ones included.

There is no index by hash: the hashes of the transactions are looked through from a block down,
until all are found or whoever asks says that it has taken long enough.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chainwarden.schema import TABLES, LakeFile
from store.lake import ORPHANED, Lake

MOST_ROWS: Final = 5_000
"""Rows of one table that are kept: a transaction that fills a block has fewer."""

_NUMBERS: Final = frozenset(["value", "token_id", "chain_id"])
_TRANSACTIONS: Final = ("transactions", ORPHANED[1])

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Rows by data set, as JSON can hold them, in the order of the chain; hashes not found.

    ``left_out`` counts, by data set, the rows beyond ``MOST_ROWS``.
    """

    rows: dict[str, list[Row]]
    missing: list[bytes]
    left_out: dict[str, int]


def rows_of(
    lake: Lake,
    manifest: Sequence[LakeFile],
    hashes: Collection[bytes],
    highest: int,
    over: Callable[[], bool],
) -> FoundRows:
    """Every row of transactions in blocks up to ``highest``, and the rows of the blocks.

    Raises StoreError where a file cannot be read.
    """
    missing, blocks = set(hashes), {highest}
    tables: dict[str, list[pa.Table]] = {}
    for dataset in _TRANSACTIONS:
        for part in _groups(lake, manifest, dataset, 0, highest):
            if not missing or over():
                break
            found = _with_hashes(part, missing)
            if found is not None:
                tables.setdefault(dataset, []).append(found)
                missing -= set(found["transaction_hash"].to_pylist())
                blocks |= set(found["block_number"].to_pylist())
    wanted = set(hashes) - missing
    low, high = min(blocks), max(blocks)
    for dataset in (*TABLES, ORPHANED[0]):
        if dataset in _TRANSACTIONS:
            continue
        for part in _groups(lake, manifest, dataset, low, high, blocks):
            of_block = dataset in ("blocks", ORPHANED[0])
            found = _of_blocks(part, blocks) if of_block else _with_hashes(part, wanted)
            if found is not None:
                tables.setdefault(dataset, []).append(found)
    rows = {name: _rows(reversed(parts)) for name, parts in sorted(tables.items())}
    return FoundRows(
        {name: found[:MOST_ROWS] for name, found in rows.items()},
        sorted(missing),
        {name: len(found) - MOST_ROWS for name, found in rows.items() if len(found) > MOST_ROWS},
    )


@dataclass(frozen=True, slots=True)
class _Group:
    parquet: pq.ParquetFile
    number: int

    def read(self, columns: list[str] | None = None) -> pa.Table:
        return self.parquet.read_row_group(self.number, columns=columns)


def _groups(
    lake: Lake,
    manifest: Sequence[LakeFile],
    dataset: str,
    low: int,
    high: int,
    blocks: Collection[int] | None = None,
) -> Iterator[_Group]:
    """The row groups of a data set that may have some blocks, from the newest down."""
    files = [
        file
        for file in manifest
        if file.dataset == dataset
        and file.first.number <= high
        and file.last.number >= low
        and (
            blocks is None
            or any(file.first.number <= number <= file.last.number for number in blocks)
        )
    ]
    for file in sorted(files, key=lambda f: (-f.last.number, f.path)):
        with lake.opened(file) as parquet:
            for number in reversed(range(parquet.num_row_groups)):
                yield _Group(parquet, number)


def _with_hashes(group: _Group, hashes: Collection[bytes]) -> pa.Table | None:
    column = group.read(["transaction_hash"])["transaction_hash"]
    return _taken(group, pc.is_in(column, value_set=pa.array(sorted(hashes), column.type)))


def _of_blocks(group: _Group, blocks: Collection[int]) -> pa.Table | None:
    column = group.read(["block_number"])["block_number"]
    return _taken(group, pc.is_in(column, value_set=pa.array(sorted(blocks), column.type)))


def _taken(group: _Group, mask: pa.ChunkedArray) -> pa.Table | None:
    places = pc.indices_nonzero(mask)
    return group.read().take(places) if len(places) else None


def _rows(parts: Iterator[pa.Table]) -> list[Row]:
    return [
        {name: _plain(name, value) for name, value in row.items()}
        for part in parts
        for row in part.to_pylist()
    ]


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    return str(int.from_bytes(value, "big")) if name in _NUMBERS else "0x" + value.hex()
