"""Blocks from Parquet files: our lake, ethereum-etl, cryo, the AWS public data set, streams."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chainwarden.errors import FileFormatError
from chainwarden.schema import TABLES, BlockBatch, Chain
from ingest import shapes
from ingest.batches import our_batch, stream_batch
from ingest.chaintables import chain_batch
from ingest.columns import MAX_INT64
from ingest.rows import Chunk, SortedRows

logger = logging.getLogger(__name__)

MAX_BATCH_ROWS: Final = 65_000

_OURS: Final = "ours:"
# What leads through a shape: every block with rows in another data set has rows in this one, but
# for blocks without transactions.
_LEADERS: Final[tuple[str, ...]] = ("flows", "stream", "transactions", "blocks")


class ParquetSource:
    """A ``TableSource`` over one Parquet file, several, or a folder with any number of them.

    Which data set a file holds is told by its columns (see ``ingest.shapes``); files of other kinds
    are left aside. Nothing is verified, and columns that the files lack are null. Raises
    FileFormatError, with file, column and row where there is one, for what cannot be read.
    """

    def __init__(self, path: Path | Sequence[Path], chain: Chain) -> None:
        self.chain = chain
        paths = [path] if isinstance(path, Path) else list(path)
        self._sets = _data_sets(_files(paths, chain))
        self._ours = "flows" in self._sets  # no other shape has them

    def block_count(self) -> int | None:
        """How many blocks there are; None where no table of blocks is among the data sets."""
        files = self._sets.get("blocks")
        return None if files is None else sum(pq.read_metadata(file).num_rows for file in files)

    def batches(self, batch_blocks: int) -> Iterator[BlockBatch]:
        """Every block in order of number, at most ``batch_blocks`` and about 65,000 flows at once.

        Lazy; the next rows are read while a batch is used.
        """
        readers = {
            name: SortedRows(files, self._key(files), self._wanted(name))
            for name, files in self._sets.items()
        }
        try:
            yield from self._joined(readers, batch_blocks)
        finally:
            for reader in readers.values():
                reader.close()

    def _joined(self, readers: Mapping[str, SortedRows], batch_blocks: int) -> Iterator[BlockBatch]:
        """The data sets brought together, by the blocks of the one that leads."""
        leader = next(name for name in _LEADERS if name in readers)
        while (chunk := readers[leader].next_blocks()) is not None:
            last = int(chunk.numbers[-1])
            chunks: dict[str, Chunk] = {leader: chunk}
            for name, reader in readers.items():
                rows = None if name == leader else reader.through(last)
                if rows is not None:
                    chunks[name] = rows
            yield from _cut(self._batch(chunks), batch_blocks)
        yield from self._behind(leader, readers, batch_blocks)

    def _behind(
        self, leader: str, readers: Mapping[str, SortedRows], batch_blocks: int
    ) -> Iterator[BlockBatch]:
        """The blocks behind the last one with transactions; nothing else may be there."""
        for name, reader in readers.items():
            if name not in (leader, "blocks") and (rows := reader.through(MAX_INT64)) is not None:
                raise FileFormatError(
                    f"{rows.where(0)}: {name} of block {rows.numbers[0]}, which has no {leader}"
                )
        if leader != "blocks" and "blocks" in readers:
            while (rows := readers["blocks"].next_blocks()) is not None:
                yield from _cut(self._batch({"blocks": rows}), batch_blocks)

    def _key(self, files: Sequence[Path]) -> str:
        return "block_number" if self._ours else _number_column(files)

    def _wanted(self, name: str) -> Sequence[str]:
        """The columns to read of a data set."""
        return TABLES[name].names if self._ours else shapes.WANTED[name]

    def _batch(self, chunks: Mapping[str, Chunk]) -> BlockBatch:
        if "stream" in chunks:
            return stream_batch(self.chain, chunks["stream"])
        if self._ours:
            return our_batch(self.chain, chunks)
        return chain_batch(self.chain, chunks)


def _cut(batch: BlockBatch, batch_blocks: int) -> Iterator[BlockBatch]:
    """The same blocks in batches that are not too large; a block is never cut."""
    numbers = batch.numbers()
    rows = np.asarray(batch.flows["block_number"])
    behind = np.searchsorted(rows, numbers, "right")
    start = 0
    while start < len(numbers):
        before = int(behind[start - 1]) if start else 0
        most = int(np.searchsorted(behind, before + MAX_BATCH_ROWS, "right"))
        stop = min(start + batch_blocks, max(most, start + 1))
        yield batch.slice(start, stop)
        start = stop


def _files(paths: Sequence[Path], chain: Chain) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        inside = [each for each in sorted(path.rglob("*.parquet")) if _is_of(each, path, chain)]
        if not inside:
            raise FileFormatError(f"{path}: there are no Parquet files of {chain.name} here")
        files += inside
    if not files:
        raise FileFormatError("no Parquet file is named")
    return files


def _is_of(file: Path, folder: Path, chain: Chain) -> bool:
    """Whether a file below a folder is of that chain, and neither hidden nor unfinished.

    Orphaned blocks, which our lake keeps in data sets of their own, are not of it.
    """
    parts = file.relative_to(folder).parts
    if any(part.startswith((".", "_", "orphaned_")) for part in parts):
        return False
    return all(part == f"chain={chain.name}" for part in parts if part.startswith("chain="))


def _data_sets(files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files by the data set they hold, of one shape."""
    found: dict[str, list[Path]] = {}
    for path in files:
        names = frozenset(_schema(path).names)
        name = shapes.data_set_of(names)
        if name is None:
            logger.info("%s is left aside: no data set has its columns", path)
            names_shown = ", ".join(sorted(names)[:30])
            found.setdefault("", []).append(Path(f"{path} ({names_shown})"))
        else:
            found.setdefault(name, []).append(path)
    unknown = found.pop("", [])
    if f"{_OURS}flows" in found:
        return {name.removeprefix(_OURS): ps for name, ps in found.items() if name[:5] == _OURS}
    # Some of our tables without the flows are a chain of transactions like others'.
    for name in ("transactions", "blocks"):
        if f"{_OURS}{name}" in found:
            found.setdefault(name, []).extend(found.pop(f"{_OURS}{name}"))
    found = {name: ps for name, ps in found.items() if not name.startswith(_OURS)}
    if "stream" in found and len(found) > 1:
        raise FileFormatError(
            f"{found['stream'][0]} is a stream of movements, beside other data sets",
            hint="name only the files of one shape",
        )
    if not any(name in found for name in _LEADERS):
        rest = [path for paths in found.values() for path in paths] or unknown
        raise FileFormatError(
            f"{rest[0] if rest else files[0]}: there are neither transactions nor flows nor blocks",
            hint="columns of ours, ethereum-etl, cryo or the AWS public data set are understood",
        )
    return found


def _schema(path: Path) -> pa.Schema:
    try:
        if not path.stat().st_size:
            raise FileFormatError(f"{path} is empty")
        return pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(f"{path}: is no Parquet file: {error}") from error


def _number_column(files: Sequence[Path]) -> str:
    columns = {shapes.number_column(frozenset(_schema(path).names)) for path in files}
    if len(columns) > 1 or None in columns:
        raise FileFormatError(f"{files[0]}: not all files of the data set name the block number")
    return str(columns.pop())
