"""The files of one commit while they grow: threads encode and flush, the caller goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from chainwarden.schema import TABLES, BlockBatch, Chain, LakeFile, Position, column
from store.durable import put_in_place, refusals, temporary_beside
from store.encoding import ROW_GROUP_ROWS, open_new, parquet_writer
from store.encoding_process import EncodingProcess

# Files that are encoded, and flushed, at the same time: flushes that meet cost the disk one.
WORKERS: Final = 4
# Up to so many rows, as a block at the head has them, a file is a matter of Python more than of
# encoding: one thread does one after the other, and the thread that scores waits less often for it.
FEW_ROWS: Final = 4_096


def crew() -> ThreadPoolExecutor:
    """The threads that encode and flush, for writers one after another."""
    return ThreadPoolExecutor(WORKERS, "lake")


@dataclass(slots=True)
class _Growing:
    """A file that does not have its name yet; it is opened with its first rows."""

    temporary: Path
    file: pa.OSFile | None = None
    writer: pq.ParquetWriter | None = None
    rows: int = 0
    size: int = 0


_Part = tuple[_Growing, pa.Table]
"""More rows of a file."""


class LakeWriter:
    """One file for each table, of blocks that come in batches; nobody sees them before ``end``.

    ``append`` returns while the batch is written by other threads, and waits while the one before
    it is, so that at most one is held. The last batch may come before its features, by
    ``conclude``. ``end`` returns while the files are flushed, which ``finish`` waits for. What went
    wrong is raised by the next call (DiskFull, StoreError): nothing is there then but files in no
    manifest. One caller at a time.

    ``encoder`` writes a commit of few rows, when it can; the threads do what it does not.
    """

    def __init__(
        self,
        folder: Path,
        chain: Chain,
        crew: ThreadPoolExecutor,
        encoder: EncodingProcess | None = None,
    ) -> None:
        self._folder = folder
        self._chain = chain
        self._crew = crew
        self._encoder = encoder
        self._sent: list[_Part] | None = None  # to the encoder; None: it is not asked
        self._working: list[Future[None]] = []
        self._files: dict[str, _Growing] = {}
        self._timestamp = 0
        self._first: Position | None = None
        self._last: Position | None = None
        self._blocks: list[pa.Table] = []
        self._counts: dict[str, int] = {}
        self._paths: dict[str, Path] = {}

    def append(self, batch: BlockBatch, features: pa.Table | None = None) -> None:
        """Add blocks that follow those before, as row groups of every table that has rows."""
        if len(batch):
            with self._whole_or_not():
                self._settle()
                parts = self._take(batch)
                if features is not None:
                    parts += self._parts({"features": features})
                for part in parts:
                    self._working.append(self._crew.submit(_grow, [part]))

    def conclude(self, batch: BlockBatch) -> None:
        """Add the last blocks; their features, if any, follow by ``conclude_features``."""
        if len(batch):
            with self._whole_or_not():
                self._settle()
                whole = not self._files
                parts = self._take(batch)
                if not _few(parts):
                    for part in parts:
                        self._working.append(self._crew.submit(_grow, [part]))
                    return
                if whole and self._encoder is not None and self._encoder.begin():
                    self._sent = []
                self._write(parts)

    def conclude_features(self, features: pa.Table) -> None:
        """Add the features of the last blocks."""
        with self._whole_or_not():
            self._write(self._parts({"features": features}))

    def end(self) -> None:
        """Have all put on disk under their names, by other threads. Nothing can be added then."""
        if self._first is None or self._last is None or self._paths:
            return
        with self._whole_or_not():
            content = content_of(pa.concat_tables(self._blocks), self._counts)
            span = self._first, self._last
            self._paths = {
                dataset: path_of(self._chain, dataset, span, self._timestamp, content)
                for dataset in (*TABLES, "features")
                if dataset in self._files
            }
            if self._encoder is not None and self._sent:
                self._working.append(self._crew.submit(_settle_sent, self._encoder, self._sent))
            written = tuple(self._working)
            self._working += [
                self._crew.submit(_put, written, self._files[dataset], self._folder / path)
                for dataset, path in self._paths.items()
            ]

    def finish(self) -> tuple[LakeFile, ...]:
        """The files, when all are on disk under their names. Nothing can be added then."""
        self.end()
        if self._first is None or self._last is None:
            return ()
        with self._whole_or_not():
            self._settle()
        span = self._first, self._last
        return tuple(
            LakeFile(str(path), dataset, *span, growing.rows, growing.size)
            for dataset, path in self._paths.items()
            for growing in [self._files[dataset]]
        )

    def discard(self) -> None:
        """Leave nothing behind: what was written has no name yet."""
        for one in self._working:
            one.cancel()
        wait(self._working)
        self._working = []
        if self._encoder is not None and self._sent:
            self._encoder.sizes()  # it is done with them then
        for growing in self._files.values():
            for open_ in (growing.writer, growing.file):
                if open_ is not None:
                    with suppress(OSError, pa.ArrowException):
                        open_.close()
            with suppress(OSError):  # what went wrong is told, whatever this says
                growing.temporary.unlink(missing_ok=True)

    @contextmanager
    def _whole_or_not(self) -> Iterator[None]:
        """Delete what has no name yet if anything goes wrong."""
        try:
            yield
        except BaseException:
            self.discard()
            raise

    def _take(self, batch: BlockBatch) -> list[_Part]:
        """Take in blocks, and give what of them is to be written."""
        if self._first is None:
            self._first = batch.position(0)
            self._timestamp = int(batch.blocks["block_timestamp"][0].as_py())
        self._last = batch.position(-1)
        self._blocks.append(batch.blocks)
        for name, table in batch.tables.items():
            self._counts[name] = self._counts.get(name, 0) + table.num_rows
        return self._parts(batch.tables)

    def _parts(self, tables: Mapping[str, pa.Table]) -> list[_Part]:
        """The rows that there are, with their files."""
        parts = []
        for name, table in tables.items():
            if not table.num_rows:
                continue
            if name not in self._files:
                assert self._first is not None
                alone = self._first, self._first
                path = path_of(self._chain, name, alone, self._timestamp, "unfinished")
                self._files[name] = _Growing(temporary_beside(self._folder / path))
            parts.append((self._files[name], table))
        return parts

    def _write(self, parts: list[_Part]) -> None:
        """Have all rows of some files written, where they are few by the encoder if it can."""
        here = [part for part in parts if not self._send(part)]
        if here:
            self._working.append(self._crew.submit(_grow, here))

    def _send(self, part: _Part) -> bool:
        """Whether the encoder takes all rows of a file."""
        growing, table = part
        if self._encoder is None or self._sent is None:
            return False
        sent = self._encoder.write(growing.temporary, table)
        if sent:
            self._sent.append(part)
        return sent

    def _settle(self) -> None:
        """Wait for what is under way, and raise what went wrong there."""
        wait(self._working)
        working, self._working = self._working, []
        for one in working:
            one.result()


def _few(parts: list[_Part]) -> bool:
    return all(table.num_rows < FEW_ROWS for _, table in parts)


def _settle_sent(encoder: EncodingProcess, parts: list[_Part]) -> None:
    """Wait for what the encoder writes; write it here where it did not."""
    sizes = encoder.sizes()
    if sizes is None:
        _grow(parts)
        return
    for (growing, table), size in zip(parts, sizes, strict=True):
        growing.rows, growing.size = table.num_rows, size


def _grow(parts: list[_Part]) -> None:
    for growing, table in parts:
        with refusals(growing.temporary):
            if growing.writer is None:
                growing.file = open_new(growing.temporary)
                few = table.num_rows < FEW_ROWS
                growing.writer = parquet_writer(table.schema, growing.file, quickly=few)
            growing.writer.write_table(table, ROW_GROUP_ROWS)
        growing.rows += table.num_rows


def _put(written: Sequence[Future[None]], growing: _Growing, path: Path) -> None:
    """End a file, have it on disk, and give it its name; none has one before all are written."""
    # They were submitted before, so each has a thread already: nobody waits here for ever.
    for one in written:
        one.result()
    with refusals(path):
        if growing.writer is not None and growing.file is not None:  # else it is ended elsewhere
            growing.writer.close()
            growing.size = growing.file.tell()
            os.fsync(growing.file.fileno())
            growing.file.close()
        put_in_place(growing.temporary, path)


def path_of(
    chain: Chain, dataset: str, span: tuple[Position, Position], timestamp: int, content: str
) -> Path:
    """Where a file goes in the lake: its name says what it holds, its folder the day it begins."""
    date = datetime.fromtimestamp(timestamp, UTC).date().isoformat()
    first, last = span
    name = f"{dataset}__{chain.name}__{first.number}-{last.number}__{content}.parquet"
    return Path(dataset, f"chain={chain.name}", f"date={date}", name)


def content_of(blocks: pa.Table, counts: Mapping[str, int]) -> str:
    """A short digest of which blocks these are: hashes where there are, numbers, times, sizes.

    ``counts`` is how many rows every table has.
    """
    digest = hashlib.blake2b(digest_size=8)
    for name in ("block_number", "block_timestamp", "transaction_count"):
        digest.update(np.ascontiguousarray(column(blocks, name)).tobytes())
    hashes = blocks["block_hash"].combine_chunks()
    if hashes.null_count < len(hashes):
        digest.update(b"".join(one or b"" for one in hashes.to_pylist()))
    for name, rows in counts.items():
        digest.update(f"{name}:{rows};".encode())
    return digest.hexdigest()
