"""The lake: what was scored, as Parquet files that joining tools can read.

    <dataset>/chain=<chain>/date=<YYYY-MM-DD>/<dataset>__<chain>__<first>-<last>__<content>.parquet

A file holds whole blocks. It is written beside its final name, flushed, renamed and its folder
flushed, so a file that has the final name is whole. Whether it *counts* only the ledger's manifest
says: what a crash left behind is in no manifest and is swept. The name follows from the blocks in
the file; writing the same blocks again replaces the file by itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chainwarden.errors import StoreError
from chainwarden.schema import TABLES, BlockBatch, Chain, LakeFile, Position, column
from store.durable import TEMPORARY, replace_file
from store.encoding import write_parquet
from store.encoding_process import EncodingProcess
from store.lake_writer import LakeWriter, content_of, crew, path_of

log = logging.getLogger(__name__)

ORPHANED: Final = ("orphaned_blocks", "orphaned_transactions")
DATASETS: Final = (*TABLES, "features", *ORPHANED)
COMPACT_ROWS: Final = 1_000_000


class Lake:
    """The Parquet files of one chain under a folder. Nothing it publishes ever changes in place.

    It deletes a file only in ``remove`` and ``sweep``: call them after the commit that takes the
    file out of the manifest.
    """

    def __init__(self, folder: Path, chain: Chain) -> None:
        self.folder = folder
        self.chain = chain
        self._crew = crew()
        self.encoder: EncodingProcess | None = None
        """Writes the files of a block at the head; without, threads do."""
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, batch: BlockBatch, features: pa.Table | None = None) -> tuple[LakeFile, ...]:
        """Publish a batch: one file for each table that has rows. All are on disk afterwards.

        ``features`` needs a column ``block_number``. Raises DiskFull; what was written by then is
        in no manifest.
        """
        writer = self.writer()
        writer.append(batch, features)
        return writer.finish()

    def writer(self) -> LakeWriter:
        """Files that grow while more batches come, for what one ``write`` would have at once."""
        return LakeWriter(self.folder, self.chain, self._crew, self.encoder)

    def write_orphans(self, branch: BlockBatch) -> tuple[LakeFile, ...]:
        """Publish reverted blocks and their transactions in data sets of their own.

        They are evidence of what the losing branch said, and what a restart needs to know a double
        spend that is completed after it.
        """
        span = branch.position(0), branch.position(-1)
        timestamp = int(branch.blocks["block_timestamp"][0].as_py())
        content = content_of(branch.blocks, _counts(branch))
        return tuple(
            self._publish(dataset, table, span, timestamp, content)
            for dataset, table in zip(ORPHANED, (branch.blocks, branch.transactions), strict=True)
            if table.num_rows
        )

    def without(
        self, files: Sequence[LakeFile], positions: Sequence[Position]
    ) -> tuple[tuple[LakeFile, ...], tuple[LakeFile, ...]]:
        """Files like these, but without reverted blocks: ``(added, removed)`` for the commit.

        A file of one block is only removed; from a larger one the other blocks are kept in a new
        file. The positions are of blocks that are on the chain as the files have it.
        """
        added: list[LakeFile] = []
        removed: list[LakeFile] = []
        for file in files:
            numbers = sorted({p.number for p in positions if _may_hold(file, p)})
            if not numbers:
                continue
            if file.first == file.last:
                removed.append(file)
                continue
            table = self._read_one(file)
            reverted = pc.is_in(table["block_number"], pa.array(numbers, pa.int64()))
            rest = table.filter(pc.invert(reverted))
            if rest.num_rows == table.num_rows and not _touches(file, numbers):
                continue
            removed.append(file)
            if rest.num_rows:
                added.append(self._publish_rest(file, rest))
        return tuple(added), tuple(removed)

    def compact(
        self, files: Sequence[LakeFile], max_rows: int = COMPACT_ROWS
    ) -> tuple[tuple[LakeFile, ...], tuple[LakeFile, ...]]:
        """Merge small files of one dataset and date: ``(added, removed)`` for the commit.

        Give it files of finalized blocks only. Rows keep their order by block; a merged file has at
        most ``max_rows`` rows.
        """
        added: list[LakeFile] = []
        removed: list[LakeFile] = []
        for group in _groups(files, max_rows):
            table = pa.concat_tables([self._read_one(file) for file in group])
            digest = hashlib.sha256("\n".join(file.path for file in group).encode())
            first, last = group[0].first, max((f.last for f in group), key=lambda p: p.number)
            added.append(
                self._publish(
                    group[0].dataset,
                    table,
                    (first, last),
                    date_of(group[0].path),
                    digest.hexdigest()[:16],
                )
            )
            removed.extend(group)
        return tuple(added), tuple(removed)

    def read(self, files: Sequence[LakeFile], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of files of one dataset, in the order of the files."""
        if not files:
            raise StoreError("no files to read")
        return pa.concat_tables([self._read_one(file, columns) for file in files])

    @contextmanager
    def opened(self, file: LakeFile) -> Iterator[pq.ParquetFile]:
        """A file, for who wants some of its row groups. Raises StoreError where it is not whole."""
        path = self.folder / file.path
        try:
            with pq.ParquetFile(path) as parquet:
                yield parquet
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error

    def remove(self, files: Sequence[LakeFile]) -> None:
        """Delete files that the manifest does not name any more. A missing one is fine."""
        for file in files:
            (self.folder / file.path).unlink(missing_ok=True)

    def sweep(self, manifest: Sequence[LakeFile]) -> tuple[Path, ...]:
        """Delete this chain's files that the manifest does not name, and unfinished ones.

        For a start after a crash, before anything is written. Returns what was deleted.
        """
        named = {self.folder / file.path for file in manifest}
        swept = []
        for path in self._paths():
            if path not in named:
                path.unlink()
                swept.append(path)
        if swept:
            log.warning("swept %d files that no manifest names", len(swept))
        return tuple(swept)

    def verify(self, manifest: Sequence[LakeFile]) -> tuple[str, ...]:
        """What is wrong with the files of a manifest, one line each; nothing is, if it is empty.

        Sizes, footers and row counts are compared, not every page.
        """
        return tuple(problem for file in manifest if (problem := self._problem(file)))

    # --- inside --------------------------------------------------------------------------------

    def _publish(
        self,
        dataset: str,
        table: pa.Table,
        span: tuple[Position, Position],
        timestamp: int,
        content: str,
    ) -> LakeFile:
        path = path_of(self.chain, dataset, span, timestamp, content)
        with replace_file(self.folder / path) as temporary:
            write_parquet(table, temporary)
            size = temporary.stat().st_size
        return LakeFile(str(path), dataset, *span, int(table.num_rows), size)

    def _publish_rest(self, file: LakeFile, rest: pa.Table) -> LakeFile:
        numbers = column(rest.combine_chunks(), "block_number")
        low, high = int(numbers.min()), int(numbers.max())
        first = file.first if file.first.number <= low else Position(low, b"")
        # Without its head the file ends at a block whose hash only the blocks dataset has.
        last = file.last if file.last.number == high else self._position(file, rest, high)
        digest = hashlib.sha256(f"{file.path} up to {high}, {rest.num_rows} rows".encode())
        return self._publish(
            file.dataset, rest, (first, last), date_of(file.path), digest.hexdigest()[:16]
        )

    def _position(self, file: LakeFile, rest: pa.Table, number: int) -> Position:
        if file.dataset != "blocks":
            return Position(number, b"")
        row = pc.index(rest["block_number"], number).as_py()
        return Position(number, rest["block_hash"][row].as_py() or b"")

    def _read_one(self, file: LakeFile, columns: Sequence[str] | None = None) -> pa.Table:
        path = self.folder / file.path
        try:
            return pq.read_table(
                path, columns=None if columns is None else list(columns), partitioning=None
            )
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(path, error) from error

    def _paths(self) -> Iterator[Path]:
        for dataset in DATASETS:
            root = self.folder / dataset / f"chain={self.chain.name}"
            for pattern in ("*/*.parquet", f"*/*{TEMPORARY}"):
                yield from sorted(root.glob(pattern))

    def _problem(self, file: LakeFile) -> str:
        path = self.folder / file.path
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            return f"{file.path}: missing"
        if size != file.size_bytes:
            return f"{file.path}: {size} bytes, not {file.size_bytes}"
        try:
            rows = pq.read_metadata(path).num_rows
        except (OSError, pa.ArrowException) as error:
            return f"{file.path}: {error}"
        return "" if rows == file.rows else f"{file.path}: {rows} rows, not {file.rows}"


def _unreadable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"{path} cannot be read: {error}", hint="where it stays so, run `chainwarden rebuild`"
    )


def _counts(batch: BlockBatch) -> dict[str, int]:
    return {name: table.num_rows for name, table in batch.tables.items()}


def _may_hold(file: LakeFile, position: Position) -> bool:
    if not file.first.number <= position.number <= file.last.number:
        return False
    for end in (file.first, file.last):
        # Another block at this height: this file is of another branch.
        if end.number == position.number and end.hash and position.hash:
            return end.hash == position.hash
    return True


def _touches(file: LakeFile, numbers: Sequence[int]) -> bool:
    """Whether one of the blocks is an end of the file, which then does not end there any more."""
    return file.first.number in numbers or file.last.number in numbers


def _groups(files: Sequence[LakeFile], max_rows: int) -> Iterator[list[LakeFile]]:
    """Runs of two or more files that together make a file of at most ``max_rows`` rows."""

    def place(file: LakeFile) -> tuple[str, str]:
        return file.dataset, Path(file.path).parent.name

    ordered = sorted(files, key=lambda f: (*place(f), f.first.number, f.path))
    for _, same in groupby(ordered, place):
        group: list[LakeFile] = []
        rows = 0
        for file in same:
            if group and rows + file.rows > max_rows:
                if len(group) > 1:
                    yield group
                group, rows = [], 0
            group.append(file)
            rows += file.rows
        if len(group) > 1:
            yield group


def date_of(path: str) -> int:
    """The start of the day that a path is filed under, in seconds since 1970."""
    date = Path(path).parent.name.removeprefix("date=")
    return int(datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp())
