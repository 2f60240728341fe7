"""Hashed tables of records with a fixed capacity, and the undo of what a block did to them.

A table is an array of rows, filled in the order of arrival, and an open-addressing index (linear
probing, at most half full) from 20-byte addresses to rows. Addresses are attackers' to choose, so
they are placed by SipHash-1-3 under a secret key. Addresses are seen as five little-endian uint32.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled

COUNT: Final = 0  # Table.state: rows in use
HAND: Final = 1  # where the next search for a row to evict starts
EVICTED: Final = 2  # rows evicted so far
CANDIDATES: Final = 8  # rows compared at each eviction


class Table(NamedTuple):
    """What a kernel sees of a table. ``capacity`` rows; ``slots`` is a power of two."""

    keys: Array  # uint32 (capacity, 5)
    rows: Array  # records (capacity + 1,): the last stays zero
    slots: Array  # int32: row + 1, 0 for empty
    stamps: Array  # int64 (capacity,): serial + 1 of the block that last journalled the row
    state: Array  # int64 (3,)
    secret: Array  # uint64 (2,)


class TableUndo(NamedTuple):
    """Rows as they were before the blocks of one pass changed them, block by block."""

    slots: Array  # int32
    keys: Array  # uint32 (n, 5)
    rows: Array  # records
    existed: Array  # bool
    used: Array  # int64 (1,)
    marks: Array  # int64 (blocks, 4): first entry, then the table's state, at the block's start


_M32 = np.uint64(32)
_LENGTH = np.uint64(20 << 56)
_V0 = np.uint64(0x736F6D6570736575)
_V1 = np.uint64(0x646F72616E646F6D)
_V2 = np.uint64(0x6C7967656E657261)
_V3 = np.uint64(0x7465646279746573)
_R13, _R16, _R17, _R21 = np.uint64(13), np.uint64(16), np.uint64(17), np.uint64(21)
_R51, _R48, _R47, _R43 = np.uint64(51), np.uint64(48), np.uint64(47), np.uint64(43)
_FF = np.uint64(0xFF)
_ONE = np.uint64(1)


@compiled
def _sip_round(
    v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    v0 += v1
    v1 = ((v1 << _R13) | (v1 >> _R51)) ^ v0
    v0 = (v0 << _M32) | (v0 >> _M32)
    v2 += v3
    v3 = ((v3 << _R16) | (v3 >> _R48)) ^ v2
    v0 += v3
    v3 = ((v3 << _R21) | (v3 >> _R43)) ^ v0
    v2 += v1
    v1 = ((v1 << _R17) | (v1 >> _R47)) ^ v2
    v2 = (v2 << _M32) | (v2 >> _M32)
    return v0, v1, v2, v3


@compiled
def siphash(secret: Array, key: Array) -> np.uint64:
    """SipHash-1-3 of a 20-byte address (Aumasson and Bernstein, 2012)."""
    k0, k1 = secret[0], secret[1]
    v0, v1, v2, v3 = k0 ^ _V0, k1 ^ _V1, k0 ^ _V2, k1 ^ _V3
    for word in range(3):
        if word < 2:
            m = np.uint64(key[2 * word]) | (np.uint64(key[2 * word + 1]) << _M32)
        else:
            m = np.uint64(key[4]) | _LENGTH
        v3 ^= m
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
        v0 ^= m
    v2 ^= _FF
    for _ in range(3):
        v0, v1, v2, v3 = _sip_round(v0, v1, v2, v3)
    return np.uint64(v0 ^ v1 ^ v2 ^ v3)


@compiled
def is_zero(key: Array) -> bool:
    """Whether it is the zero address, which stands for mints, burns and withdrawals."""
    return bool(key[0] == 0 and key[1] == 0 and key[2] == 0 and key[3] == 0 and key[4] == 0)


@compiled
def find(keys: Array, slots: Array, key: Array, hashed: np.uint64) -> int:
    """The row of an address in a table's keys and slots, or -1."""
    mask = np.uint64(len(slots) - 1)
    place = hashed & mask
    while True:
        row = slots[place] - 1
        if row < 0:
            return -1
        if (
            keys[row, 0] == key[0]
            and keys[row, 1] == key[1]
            and keys[row, 2] == key[2]
            and keys[row, 3] == key[3]
            and keys[row, 4] == key[4]
        ):
            return int(row)
        place = (place + _ONE) & mask


@compiled
def index(table: Table, row: int, hashed: np.uint64) -> None:
    """Enter a row whose address is not in the index."""
    mask = np.uint64(len(table.slots) - 1)
    place = hashed & mask
    while table.slots[place] != 0:
        place = (place + _ONE) & mask
    table.slots[place] = row + 1


@compiled
def unindex(table: Table, row: int) -> None:
    """Take a row out of the index, moving later ones back so that no probe is cut short."""
    mask = np.uint64(len(table.slots) - 1)
    hole = siphash(table.secret, table.keys[row]) & mask
    while table.slots[hole] != row + 1:
        hole = (hole + _ONE) & mask
    place = hole
    while True:
        place = (place + _ONE) & mask
        other = table.slots[place]
        if other == 0:
            break
        home = siphash(table.secret, table.keys[other - 1]) & mask
        # It may move into the hole unless its home lies behind the hole, up to where it is.
        if ((place - home) & mask) >= ((place - hole) & mask):
            table.slots[hole] = other
            hole = place
    table.slots[hole] = 0


@compiled
def copy_key(keys: Array, row: int, key: Array) -> None:
    """``keys[row] = key``; word by word, since compiled code has no memory to allocate."""
    for word in range(5):
        keys[row, word] = key[word]


@compiled
def open_block(table: Table, undo: TableUndo, block: int) -> None:
    """Note where a journalled block starts."""
    undo.marks[block, 0] = undo.used[0]
    undo.marks[block, 1] = table.state[COUNT]
    undo.marks[block, 2] = table.state[HAND]
    undo.marks[block, 3] = table.state[EVICTED]


@compiled
def journal(table: Table, undo: TableUndo, row: int, stamp: int) -> None:
    """Copy a row before its first change within a block. ``stamp`` 0: nothing is journalled."""
    if stamp == 0 or table.stamps[row] == stamp:
        return
    table.stamps[row] = stamp
    at = undo.used[0]
    undo.slots[at] = row
    copy_key(undo.keys, at, table.keys[row])
    undo.rows[at] = table.rows[row]
    undo.existed[at] = row < table.state[COUNT]
    undo.used[0] = at + 1


@compiled
def place_row(
    table: Table, undo: TableUndo, stamp: int, key: Array, hashed: np.uint64, evicted: int
) -> int:
    """A zeroed row for an address that has none: a new one, or that of row ``evicted``."""
    capacity = len(table.keys)
    row = table.state[COUNT]
    if evicted < 0:
        journal(table, undo, row, stamp)
        table.state[COUNT] = row + 1
    else:
        row = evicted
        table.state[HAND] = (table.state[HAND] + 1) % capacity
        table.state[EVICTED] += 1
        journal(table, undo, row, stamp)
        unindex(table, row)
    copy_key(table.keys, row, key)
    table.rows[row] = table.rows[capacity]
    index(table, row, hashed)
    return int(row)


@compiled
def undo_block(table: Table, undo: TableUndo, block: int) -> None:
    """Take back what a block did: the last one of the undo that is not taken back yet."""
    first, last = undo.marks[block, 0], undo.used[0]
    for at in range(first, last):
        unindex(table, undo.slots[at])
    for at in range(first, last):
        row = undo.slots[at]
        table.rows[row] = undo.rows[at]
        copy_key(table.keys, row, undo.keys[at])
        table.stamps[row] = 0
        if undo.existed[at]:
            index(table, row, siphash(table.secret, table.keys[row]))
    table.state[COUNT] = undo.marks[block, 1]
    table.state[HAND] = undo.marks[block, 2]
    table.state[EVICTED] = undo.marks[block, 3]
    undo.used[0] = first


@compiled
def rebuild_index(table: Table) -> None:
    """Index all rows afresh."""
    table.slots[:] = 0
    for row in range(table.state[COUNT]):
        index(table, row, siphash(table.secret, table.keys[row]))
