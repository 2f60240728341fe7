"""Rows of a hashed table that rules keep: found or made, journalled, the stalest giving way.

For tables (see ``table``) whose record has a field ``at``, the block time of its last write. Who
calls ``row_for`` sets it. A full table gives up, of eight rows in turn, the one longest unwritten.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.table import (
    CANDIDATES,
    COUNT,
    HAND,
    Table,
    TableUndo,
    find,
    journal,
    open_block,
    place_row,
    siphash,
)

Record = Any
"""One record of a table, as kernels see it: a view, its fields by name."""


@compiled
def row_of(table: Table, key: Array) -> int:
    """The row of an address, or -1."""
    return find(table.keys, table.slots, key, np.uint64(siphash(table.secret, key)))


@compiled
def stalest(table: Table) -> int:
    """Of the rows at the hand, the one longest unwritten."""
    capacity = len(table.keys)
    best = table.state[HAND] % capacity
    for step in range(1, min(CANDIDATES, capacity)):
        row = (table.state[HAND] + step) % capacity
        if table.rows[row].at < table.rows[best].at:
            best = row
    return int(best)


@compiled
def row_for(table: Table, undo: TableUndo, stamp: int, key: Array) -> int:
    """The row of an address, zeroed where it had none, journalled for a change to come."""
    hashed = np.uint64(siphash(table.secret, key))
    row = find(table.keys, table.slots, key, hashed)
    if row >= 0:
        journal(table, undo, row, stamp)
        return row
    evicted = -1 if table.state[COUNT] < len(table.keys) else stalest(table)
    return place_row(table, undo, stamp, key, hashed, evicted)


@compiled
def open_blocks(table: Table, undo: TableUndo, first: int, stop: int) -> None:
    """Note where the journalled blocks from ``first`` to ``stop - 1`` start: here."""
    for block in range(first, stop):
        open_block(table, undo, block)


@compiled
def same_key(a: Array, b: Array) -> bool:
    """Whether two addresses are one."""
    return bool(a[0] == b[0] and a[1] == b[1] and a[2] == b[2] and a[3] == b[3] and a[4] == b[4])


@compiled
def set_key(target: Array, key: Array) -> None:
    """Copy an address, word by word, since compiled code has no memory to allocate."""
    for word in range(5):
        target[word] = key[word]
