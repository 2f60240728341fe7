"""Rows of Parquet files by block number: sorted, whole blocks at a time, read ahead."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chainwarden.errors import FileFormatError
from ingest.columns import Index

Item = TypeVar("Item")

# A row group above the first bound is read in pieces if it is sorted; what is not sorted is read
# whole and sorted, up to the second bound.
PIECE_ROWS: Final = 2**17
MAX_SORT_ROWS: Final = 2**21


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows as a file has them, and where each came from: ``files[file[i]]``, row ``row[i]``."""

    table: pa.Table
    files: Sequence[Path]
    file: Index
    row: Index
    numbers: Index  # the block number of every row

    def __len__(self) -> int:
        return len(self.numbers)

    def slice(self, start: int, stop: int) -> Chunk:
        """The rows from ``start`` up to ``stop``."""
        return Chunk(
            self.table.slice(start, stop - start),
            self.files,
            self.file[start:stop],
            self.row[start:stop],
            self.numbers[start:stop],
        )

    def take(self, order: Index) -> Chunk:
        """The rows in another order."""
        return Chunk(
            self.table.take(pa.array(order)),
            self.files,
            self.file[order],
            self.row[order],
            self.numbers[order],
        )

    def where(self, row: int) -> str:
        """The file and row of a row, for a message."""
        return f"{self.files[int(self.file[row])]}, row {int(self.row[row])}"

    @staticmethod
    def concat(chunks: Sequence[Chunk]) -> Chunk:
        """Chunks of one data set, one behind the other."""
        if len(chunks) == 1:
            return chunks[0]
        try:
            table = pa.concat_tables(
                [chunk.table for chunk in chunks], promote_options="permissive"
            )
        except pa.ArrowException as error:
            names = sorted({str(chunk.files[int(f)]) for chunk in chunks for f in chunk.file[:1]})
            raise FileFormatError(f"{', '.join(names)}: columns differ: {error}") from error
        return Chunk(
            table.combine_chunks(),
            chunks[0].files,
            np.concatenate([chunk.file for chunk in chunks]),
            np.concatenate([chunk.row for chunk in chunks]),
            np.concatenate([chunk.numbers for chunk in chunks]),
        )


@dataclass(frozen=True, slots=True)
class _Group:
    """A row group: which, how many rows, which block numbers, and its first row in the file."""

    file: int
    index: int
    rows: int
    first_row: int
    low: int
    high: int


class SortedRows:
    """The rows of one data set, over all its files, in order of their block numbers.

    Row groups are read in order of their lowest block; groups whose blocks overlap, and groups that
    are not sorted within, are read whole and sorted, if they are not more than 2,097,152 rows.
    """

    def __init__(self, files: Sequence[Path], key: str, columns: Sequence[str]) -> None:
        self._files = tuple(files)
        self._key = key
        self._columns = [key, *(name for name in columns if name != key)]
        self._chunks = read_ahead(self._pieces())
        self._held: list[Chunk] = []
        self._done = False

    def next_blocks(self) -> Chunk | None:
        """Some more whole blocks, at least one; None after the last."""
        while not self._done:
            piece = next(self._chunks, None)
            if piece is None:
                self._done = True
                break
            self._hold(piece)
            whole = Chunk.concat(self._held)
            cut = int(np.searchsorted(whole.numbers, whole.numbers[-1], "left"))
            self._held = [whole.slice(cut, len(whole))]
            if cut:
                return whole.slice(0, cut)
        held, self._held = self._held, []
        return Chunk.concat(held) if held else None

    def through(self, number: int) -> Chunk | None:
        """All rows up to and including that block number; None where there are none."""
        while not self._done and not (self._held and self._held[-1].numbers[-1] > number):
            piece = next(self._chunks, None)
            if piece is None:
                self._done = True
            else:
                self._hold(piece)
        if not self._held:
            return None
        whole = Chunk.concat(self._held)
        cut = int(np.searchsorted(whole.numbers, number, "right"))
        self._held = [whole.slice(cut, len(whole))] if cut < len(whole) else []
        return whole.slice(0, cut) if cut else None

    def close(self) -> None:
        """Stop reading ahead. Harmless when repeated."""
        self._chunks.close()

    def _hold(self, piece: Chunk) -> None:
        if self._held and self._held[-1].numbers[-1] > piece.numbers[0]:
            raise FileFormatError(
                f"{piece.where(0)}: block {int(piece.numbers[0])} comes after block "
                f"{int(self._held[-1].numbers[-1])}, and too far from it to be sorted",
                hint="sort the file by block_number",
            )
        self._held.append(piece)

    # --- reading -------------------------------------------------------------------------------

    def _pieces(self) -> Iterator[Chunk]:
        for cluster in _clusters(self._groups()):
            if len(cluster) == 1:
                yield from self._pieces_of(cluster[0])
                continue
            rows = sum(group.rows for group in cluster)
            if rows > MAX_SORT_ROWS:
                first, last = cluster[0], cluster[-1]
                low = min(group.low for group in cluster)
                raise FileFormatError(
                    f"{self._files[first.file]}, row {first.first_row}: blocks {low} to "
                    f"{max(group.high for group in cluster)} are spread over {rows} rows up to "
                    f"{self._files[last.file]}, row {last.first_row + last.rows - 1}: too many to "
                    f"sort",
                    hint="sort the files by block_number",
                )
            yield _sorted(Chunk.concat([self._read(group) for group in cluster]))

    def _pieces_of(self, group: _Group) -> Iterator[Chunk]:
        if group.rows <= PIECE_ROWS:
            yield _sorted(self._read(group))
            return
        with self._naming(group):
            file = self._open(group.file)
            numbers = _numbers(file.read_row_group(group.index, [self._key])[self._key])
        falls = np.flatnonzero(np.diff(numbers) < 0)
        if not len(falls):
            yield from self._in_pieces(file, group)
        elif group.rows <= MAX_SORT_ROWS:
            yield _sorted(self._read(group))
        else:
            raise FileFormatError(
                f"{self._files[group.file]}, row {group.first_row + int(falls[0]) + 1}: block "
                f"numbers fall in a row group of {group.rows} rows: too many to sort",
                hint="sort the file by block_number",
            )

    def _in_pieces(self, file: pq.ParquetFile, group: _Group) -> Iterator[Chunk]:
        first = group.first_row
        pieces = file.iter_batches(PIECE_ROWS, [group.index], self._columns, use_threads=False)
        while True:
            with self._naming(group):
                piece = next(pieces, None)
            if piece is None:
                return
            yield self._chunk(pa.Table.from_batches([piece]), group.file, first)
            first += len(piece)

    @contextmanager
    def _naming(self, group: _Group) -> Iterator[None]:
        """Errors of reading as FileFormatError, with the file and row they concern."""
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise FileFormatError(
                f"{self._files[group.file]}, row {group.first_row}: cannot be read: {error}"
            ) from error

    def _read(self, group: _Group) -> Chunk:
        with self._naming(group):
            table = self._open(group.file).read_row_group(
                group.index, self._columns, use_threads=False
            )
        return self._chunk(table, group.file, group.first_row)

    def _chunk(self, table: pa.Table, file: int, first_row: int) -> Chunk:
        rows = np.arange(first_row, first_row + table.num_rows)
        if table[self._key].null_count:
            row = first_row + int(np.argmax(np.asarray(pc.is_null(table[self._key]))))
            raise FileFormatError(f"{self._files[file]}, row {row}: {self._key} is null")
        numbers = _numbers(table[self._key])
        return Chunk(table, self._files, np.full(len(rows), file), rows, numbers)

    def _open(self, file: int) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self._files[file])
        except (pa.ArrowException, OSError) as error:
            raise FileFormatError(f"{self._files[file]}: cannot be read: {error}") from error

    def _groups(self) -> list[_Group]:
        groups = []
        for number, path in enumerate(self._files):
            file = self._open(number)
            column = file.schema_arrow.names.index(self._key)
            if not pa.types.is_integer(file.schema_arrow.field(self._key).type):
                raise FileFormatError(f"{path}: {self._key} is no whole number")
            first = 0
            for index in range(file.metadata.num_row_groups):
                meta = file.metadata.row_group(index)
                if meta.num_rows:
                    low, high = _range(file, index, self._key, column)
                    groups.append(_Group(number, index, meta.num_rows, first, low, high))
                first += meta.num_rows
        return groups


def _range(file: pq.ParquetFile, index: int, key: str, column: int) -> tuple[int, int]:
    statistics = _flat_statistics(file, index, key, column)
    if statistics is not None and statistics.has_min_max:
        return int(statistics.min), int(statistics.max)
    try:
        extremes = pc.min_max(file.read_row_group(index, [key], use_threads=False)[key]).as_py()
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{key} cannot be read: {error}") from error
    return int(extremes["min"] or 0), int(extremes["max"] or 0)


def _flat_statistics(
    file: pq.ParquetFile, index: int, key: str, column: int
) -> pq.Statistics | None:
    meta = file.metadata.row_group(index)
    # Nested columns shift the leaves: look for the one that is named so.
    for leaf in range(column, meta.num_columns):
        chunk = meta.column(leaf)
        if chunk.path_in_schema == key:
            return chunk.statistics
    return None


def _clusters(groups: Sequence[_Group]) -> Iterator[list[_Group]]:
    """The groups in order of their blocks; together those that cannot be read one by one.

    Rows of one block keep the order of the files. So groups that touch are taken in that order, and
    cut only where all blocks before the cut come before all behind it, or are the same one.
    """
    touching: list[_Group] = []
    high = 0
    for group in sorted(groups, key=lambda g: g.low):
        if touching and group.low > high:
            yield from _cut(touching)
            touching = []
        high = max(high, group.high) if touching else group.high
        touching.append(group)
    yield from _cut(touching)


def _cut(touching: list[_Group]) -> Iterator[list[_Group]]:
    ordered = sorted(touching, key=lambda g: (g.file, g.index))
    lowest_behind = [group.low for group in ordered]
    for i in range(len(ordered) - 2, -1, -1):
        lowest_behind[i] = min(lowest_behind[i], lowest_behind[i + 1])
    cluster: list[_Group] = []
    high = 0
    for group, low in zip(ordered, lowest_behind, strict=True):
        if cluster and high <= low:
            yield cluster
            cluster = []
        high = max(high, group.high)
        cluster.append(group)
    if cluster:
        yield cluster


def _sorted(chunk: Chunk) -> Chunk:
    if not np.any(np.diff(chunk.numbers) < 0):
        return chunk
    return chunk.take(np.argsort(chunk.numbers, kind="stable"))


def _numbers(column: pa.ChunkedArray) -> Index:
    if column.type == pa.uint64() and (pc.max(column).as_py() or 0) >= 2**63:
        raise FileFormatError("a block number needs more than 63 bits")
    return np.asarray(column.cast(pa.int64()).to_numpy())


def read_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """The same items, the next one made by another thread while this one is worked on."""
    pool = ThreadPoolExecutor(1, "read-ahead")
    try:
        following = pool.submit(next, items, None)
        while (item := following.result()) is not None:
            following = pool.submit(next, items, None)
            yield item
    finally:
        # Not waited for: an abandoned generator may be collected in the very thread that reads.
        pool.shutdown(wait=False, cancel_futures=True)
