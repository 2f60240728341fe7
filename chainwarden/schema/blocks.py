"""Blocks as they travel: where they are, what they hold, and what happened to the chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from chainwarden.schema.tables import TABLES


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain: its name, as in topics, paths and metrics, and its EIP-155 id."""

    name: str
    id: int


ETHEREUM: Final = Chain("ethereum", 1)


@dataclass(frozen=True, slots=True)
class Position:
    """A place on a chain: a number and a hash, never a number alone.

    ``hash`` is 32 bytes, or empty where the source has none (a table of transactions without
    block hashes).
    """

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number} (0x{self.hash.hex()})" if self.hash else str(self.number)


@dataclass(frozen=True, slots=True)
class BlockBatch:
    """One or more whole blocks as Arrow tables, in chain order.

    Block numbers strictly increase within a batch, and the rows of every table are in chain order.
    How blocks are batched never changes a result.
    """

    chain: Chain
    blocks: pa.Table
    transactions: pa.Table
    flows: pa.Table
    approvals: pa.Table
    creations: pa.Table
    logs: pa.Table
    authorizations: pa.Table

    @classmethod
    def of(cls, chain: Chain, **tables: pa.Table) -> BlockBatch:
        """A batch of the given tables; those not given are empty. Raises on a wrong schema."""
        full = {}
        for name, schema in TABLES.items():
            table = tables.pop(name, None)
            if table is None:
                table = schema.empty_table()
            if not table.schema.equals(schema):
                raise ValueError(f"{name}: expected {schema}, got {table.schema}")
            full[name] = table.combine_chunks()
        if tables:
            raise ValueError(f"no such table: {', '.join(tables)}")
        return cls(chain, **full)

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The tables by name, in the order of ``TABLES``."""
        return {name: getattr(self, name) for name in TABLES}

    def __len__(self) -> int:
        """How many blocks."""
        return int(self.blocks.num_rows)

    def numbers(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The block numbers, int64."""
        return column(self.blocks, "block_number")

    def positions(self) -> list[Position]:
        """The position of every block, in order."""
        hashes = self.blocks["block_hash"].to_pylist()
        return [Position(int(n), h or b"") for n, h in zip(self.numbers(), hashes, strict=True)]

    def position(self, row: int) -> Position:
        """The position of block ``row`` (negative counts from the end)."""
        row = range(len(self))[row]
        return Position(
            self.blocks["block_number"][row].as_py(), self.blocks["block_hash"][row].as_py() or b""
        )

    def slice(self, start: int, stop: int) -> BlockBatch:
        """The blocks ``start`` up to, not including, ``stop``, by row; no data is copied."""
        if start == 0 and stop >= len(self):
            return self
        numbers = self.numbers()[start:stop]
        if not len(numbers):
            return BlockBatch.of(self.chain)
        low, high = numbers[0], numbers[-1]
        tables = {"blocks": self.blocks.slice(start, stop - start)}
        for name in list(TABLES)[1:]:
            table = getattr(self, name)
            keys = column(table, "block_number")
            first, last = np.searchsorted(keys, low, "left"), np.searchsorted(keys, high, "right")
            tables[name] = table.slice(int(first), int(last - first))
        return replace(self, **tables)

    def split(self) -> Iterator[BlockBatch]:
        """The same blocks, one to a batch."""
        for row in range(len(self)):
            yield self.slice(row, row + 1)

    @staticmethod
    def concat(batches: Sequence[BlockBatch], *, combine: bool = True) -> BlockBatch:
        """The blocks of several batches as one. Raises where numbers do not increase.

        ``combine`` copies each column into one chunk, as the detector needs it; without, no data
        is copied, and columns have a chunk for each batch.
        """
        if len(batches) == 1:
            return batches[0]
        tables = {name: pa.concat_tables([getattr(b, name) for b in batches]) for name in TABLES}
        if combine:
            tables = {name: table.combine_chunks() for name, table in tables.items()}
        joined = BlockBatch(batches[0].chain, **tables)
        if np.any(np.diff(joined.numbers()) <= 0):
            raise ValueError("block numbers must increase within a batch")
        return joined


def column(table: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """An integer column without nulls as a NumPy array; no copy where it is one chunk."""
    chunked = table[name]
    if chunked.num_chunks == 1:
        return np.asarray(chunked.chunk(0).to_numpy(zero_copy_only=True))
    return np.asarray(chunked.to_numpy())


# --- chain events ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlocksAdded:
    """One or more blocks extend the chain; the first is the child of the head, or starts anew.

    ``gap`` says that the first block does not follow the head (a source with holes): what came
    before it can no longer be reverted.
    """

    batch: BlockBatch
    gap: bool = False


@dataclass(frozen=True, slots=True)
class BlockReverted:
    """The head block was orphaned; its parent is the head again."""

    position: Position


@dataclass(frozen=True, slots=True)
class BlockFinalized:
    """This block and all below it will never be reverted."""

    position: Position


ChainEvent = BlocksAdded | BlockReverted | BlockFinalized
