"""Where a pipeline stands, and which files of the lake belong to that."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainwarden.schema.blocks import Position

Offsets = dict[str, int]
"""The next offset to read, by ``topic/partition``."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a pipeline has come: the head, the bus offsets behind it, and running totals.

    ``finalized`` is the newest block it was told to be final: that is in no block, and a restart
    has to know it.
    """

    head: Position | None
    offsets: Offsets = field(default_factory=dict)
    blocks: int = 0
    transactions: int = 0
    flows: int = 0
    finalized: Position | None = None


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A published Parquet file: relative path, dataset, the blocks and rows it holds."""

    path: str
    dataset: str
    first: Position
    last: Position
    rows: int
    size_bytes: int
