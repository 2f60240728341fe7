"""Blocks read back from the lake: what a restart and a rebuild start from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache

import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import StoreError
from chainwarden.schema import TABLES, BlockBatch, LakeFile, Position
from store.lake import ORPHANED, Lake
from store.ledger import Ledger


def read_blocks(
    lake: Lake, manifest: Sequence[LakeFile], after: int | None = None
) -> Iterator[BlockBatch]:
    """The blocks of a manifest in order of their numbers, a batch for each file of blocks.

    ``after`` leaves out blocks up to and including that number. Raises StoreError where a file
    cannot be read, or where a block's rows are not all there.
    """
    by_dataset = {name: [file for file in manifest if file.dataset == name] for name in TABLES}

    @lru_cache(maxsize=2 * len(TABLES))
    def read(file: LakeFile) -> pa.Table:
        return lake.read([file])

    for blocks_file in sorted(by_dataset["blocks"], key=lambda file: file.first.number):
        blocks = _between(read(blocks_file), after, None)
        if not blocks.num_rows:
            continue
        low, high = blocks["block_number"][0].as_py(), blocks["block_number"][-1].as_py()
        tables = {"blocks": blocks.cast(TABLES["blocks"])}
        for name in list(TABLES)[1:]:
            parts = [
                _between(read(file), low - 1, high)
                for file in by_dataset[name]
                if file.first.number <= high and file.last.number >= low
            ]
            if parts:
                tables[name] = pa.concat_tables(parts).cast(TABLES[name])
        batch = BlockBatch.of(lake.chain, **tables)
        expected = pc.sum(batch.blocks["transaction_count"]).as_py()
        if batch.transactions.num_rows != expected:
            raise StoreError(
                f"the lake has {batch.transactions.num_rows} of the {expected} transactions of "
                f"blocks {low} to {high}",
                hint="fetch these blocks again and rebuild",
            )
        yield batch


def read_branch(
    lake: Lake, manifest: Sequence[LakeFile], branch: Collection[Position]
) -> Iterator[BlockBatch]:
    """Some blocks of a manifest, by number, file by file.

    Raises StoreError at the end where one is not there.
    """
    numbers = [position.number for position in branch]
    low, high = min(numbers), max(numbers)
    near = [f for f in manifest if f.first.number <= high and f.last.number >= low]
    missing = set(branch)
    for batch in read_blocks(lake, near, after=low - 1):
        start = 0
        for row, found in enumerate([*batch.positions(), None]):
            if found in missing:
                missing.discard(found)
                continue
            if row > start:
                yield batch.slice(start, row)
            start = row + 1
    if missing:
        raise StoreError(
            f"block {min(missing, key=lambda p: p.number)} is not in the lake",
            hint="run `chainwarden rebuild`",
        )


def is_in_lake(lake: Lake, manifest: Sequence[LakeFile], position: Position) -> bool:
    """Whether a block is among those of a manifest."""
    for file in manifest:
        if file.dataset != "blocks" or not (
            file.first.number <= position.number <= file.last.number
        ):
            continue
        table = lake.read([file], columns=["block_number", "block_hash"])
        found = table.filter(pc.equal(table["block_number"], position.number))["block_hash"]
        if position.hash in [hash_ or b"" for hash_ in found.to_pylist()]:
            return True
    return False


def read_orphans(
    lake: Lake, manifest: Sequence[LakeFile], after: int | None = None
) -> list[BlockBatch]:
    """The orphaned blocks of a manifest, one by one, with their transactions and no other rows.

    ``after`` leaves out blocks up to and including that number.
    """
    orphans: dict[Position, BlockBatch] = {}  # one may have been orphaned twice
    blocks_name, transactions_name = ORPHANED
    wanted = [f for f in manifest if after is None or f.last.number > after]
    for file in (f for f in wanted if f.dataset == blocks_name):
        parts = {"blocks": lake.read([file]).cast(TABLES["blocks"])}
        for other in wanted:
            if other.dataset == transactions_name and (other.first, other.last) == (
                file.first,
                file.last,
            ):
                parts["transactions"] = lake.read([other]).cast(TABLES["transactions"])
        for block in BlockBatch.of(lake.chain, **parts).split():
            if after is None or block.position(0).number > after:
                orphans.setdefault(block.position(0), block)
    return list(orphans.values())


def recent_positions(lake: Lake, manifest: Sequence[LakeFile], count: int) -> list[Position]:
    """The positions of the newest ``count`` blocks of a manifest, oldest first."""
    positions: list[Position] = []
    files = [file for file in manifest if file.dataset == "blocks"]
    for file in sorted(files, key=lambda file: -file.last.number):
        if len(positions) >= count:
            break
        table = lake.read([file], columns=["block_number", "block_hash"])
        rows = zip(table["block_number"].to_pylist(), table["block_hash"].to_pylist(), strict=True)
        positions[:0] = [Position(number, hash_ or b"") for number, hash_ in rows]
    return positions[-count:]


def head_time(ledger: Ledger, lake: Lake) -> int:
    """The block time of the newest block of a ledger's lake; wall clock where there is none."""
    files = ledger.files("blocks")
    if not files:
        return int(ledger.now())
    newest = max(files, key=lambda file: file.last.number)
    return int(pc.max(lake.read([newest], columns=["block_timestamp"])["block_timestamp"]).as_py())


def _between(table: pa.Table, after: int | None, last: int | None) -> pa.Table:
    """The rows whose block number is above ``after`` and at most ``last``."""
    numbers = table["block_number"]
    if after is not None:
        table = table.filter(pc.greater(numbers, after))
        numbers = table["block_number"]
    if last is not None:
        table = table.filter(pc.less_equal(numbers, last))
    return table
