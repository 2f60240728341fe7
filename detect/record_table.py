"""A rule's compiled state: a hashed table of records, as one of its journaled parts.

For rules that nearly every flow touches: kernels read and write the table, and this keeps the undo
of each block, so that ``revert`` puts back every byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from detect.compiled import Array
from detect.kernels.table import COUNT, EVICTED, Table, TableUndo, find, rebuild_index, siphash
from detect.kernels.table import undo_block as take_back


@dataclass(slots=True)
class _Chunk:
    """The undo of the blocks ``first`` to ``first + blocks - 1``."""

    first: int
    blocks: int
    undo: TableUndo

    @property
    def last(self) -> int:
        return self.first + self.blocks - 1


class RecordTable:
    """At most ``capacity`` records of one type by 20-byte key; who is evicted the kernel decides.

    ``open`` a pass, give its undo to the kernels, ``close`` it: then ``revert`` undoes its blocks
    one by one. Records must have no padding: they are compared byte for byte. ``secret`` keys the
    hash that keys are placed by; it changes no result.
    """

    def __init__(self, capacity: int, kind: np.dtype[Any], secret: bytes = bytes(16)) -> None:
        if capacity < 1:
            raise ValueError("a table holds at least one record")
        self.capacity = capacity
        self.kind = kind
        self.table = Table(
            np.zeros((capacity, 5), np.uint32),
            np.zeros(capacity + 1, kind),
            np.zeros(1 << (2 * capacity).bit_length(), np.int32),
            np.zeros(capacity, np.int64),
            np.zeros(3, np.int64),
            np.frombuffer(secret, "<u8").copy(),
        )
        self._undo: list[_Chunk] = []

    def __len__(self) -> int:
        """How many records."""
        return int(self.table.state[COUNT])

    @property
    def evicted(self) -> int:
        """How many records were evicted to make room."""
        return int(self.table.state[EVICTED])

    def get(self, key: bytes) -> Any:
        """A copy of the record with that key, or None."""
        words = np.frombuffer(key, "<u4")
        row = find(
            self.table.keys,
            self.table.slots,
            words,
            np.uint64(siphash(self.table.secret, words)),
        )
        return None if row < 0 else self.table.rows[row].copy()

    def open(self, first_serial: int, blocks: int, records: int) -> TableUndo:
        """Room to undo a pass over whole blocks that changes at most ``records`` records."""
        undo = TableUndo(
            np.empty(records, np.int32),
            np.empty((records, 5), np.uint32),
            np.empty(records, self.kind),
            np.empty(records, np.bool_),
            np.zeros(1, np.int64),
            np.zeros((blocks, 4), np.int64),
        )
        self._undo.append(_Chunk(first_serial, blocks, undo))
        return undo

    def close(self) -> None:
        """The pass is over: keep of its undo what it needed."""
        chunk = self._undo[-1]
        chunk.undo = _part(chunk.undo, 0, 0)

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        if not self._undo or self._undo[-1].last != serial:
            return
        chunk = self._undo[-1]
        chunk.blocks -= 1
        take_back(self.table, chunk.undo, chunk.blocks)
        if not chunk.blocks:
            self._undo.pop()

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        kept = 0
        while kept < len(self._undo) and self._undo[kept].last <= serial:
            kept += 1
        del self._undo[:kept]
        if self._undo and self._undo[0].first <= serial:
            chunk = self._undo[0]
            dropped = serial + 1 - chunk.first
            start = int(chunk.undo.marks[dropped, 0])
            chunk.undo = _part(chunk.undo, start, dropped)
            chunk.first, chunk.blocks = serial + 1, chunk.blocks - dropped

    def dump(self) -> object:
        """The state, undo included."""
        undo = [
            [chunk.first, chunk.blocks, [array.tobytes() for array in chunk.undo]]
            for chunk in self._undo
        ]
        return [self.capacity, str(self.kind), *self._parts(), undo]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, of a table of the same capacity and type."""
        capacity, kind, counts, keys, rows, undo = state
        if (capacity, kind) != (self.capacity, str(self.kind)):
            raise ValueError(f"{capacity} records of {kind} do not fit this table")
        table = self.table
        table.state[:] = np.frombuffer(counts, np.int64)
        used = int(table.state[COUNT])
        if not 0 <= used <= capacity:
            raise ValueError(f"{used} records in a table of {capacity}")
        table.stamps[:] = 0
        table.keys[:used] = np.frombuffer(keys, np.uint32).reshape(used, 5)
        table.rows[:used] = np.frombuffer(rows, self.kind)
        rebuild_index(table)
        self._undo = [
            _Chunk(int(first), int(blocks), self._undo_of(parts, int(blocks)))
            for first, blocks, parts in undo
        ]

    def content(self) -> bytes:
        """The records and where the next eviction looks."""
        return msgspec.msgpack.encode(self._parts())

    def _parts(self) -> list[bytes]:
        table, used = self.table, len(self)
        return [table.state.tobytes(), table.keys[:used].tobytes(), table.rows[:used].tobytes()]

    def _undo_of(self, parts: list[bytes], blocks: int) -> TableUndo:
        slots, keys, rows, existed, used, marks = parts
        undo = TableUndo(
            np.frombuffer(slots, np.int32).copy(),
            np.frombuffer(keys, np.uint32).reshape(-1, 5).copy(),
            np.frombuffer(rows, self.kind).copy(),
            np.frombuffer(existed, np.bool_).copy(),
            np.frombuffer(used, np.int64).copy(),
            np.frombuffer(marks, np.int64).reshape(-1, 4).copy(),
        )
        places = undo.slots
        if len(undo.marks) < blocks or (
            len(places) and not 0 <= int(places.min()) <= int(places.max()) < self.capacity
        ):
            raise ValueError("the undo is not of this table")
        return undo


class JournaledArray:
    """An array of fixed shape, as one of a rule's journaled parts."""

    def __init__(self, values: Array) -> None:
        self.values = values
        self._undo: list[tuple[int, Array]] = []  # first serial, the values before each block

    def open(self, first_serial: int, blocks: int) -> Array:
        """Where a pass notes the values before each of its blocks."""
        before = np.empty((blocks, *self.values.shape), self.values.dtype)
        self._undo.append((first_serial, before))
        return before

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        if not self._undo or _behind(self._undo[-1]) != serial + 1:
            return
        first, before = self._undo.pop()
        self.values[...] = before[-1]
        if len(before) > 1:
            self._undo.append((first, before[:-1]))

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        kept = 0
        while kept < len(self._undo) and _behind(self._undo[kept]) <= serial + 1:
            kept += 1
        del self._undo[:kept]
        if self._undo and self._undo[0][0] <= serial:
            first, before = self._undo[0]
            self._undo[0] = (serial + 1, before[serial + 1 - first :].copy())

    def dump(self) -> object:
        """The state, undo included."""
        return [
            self.values.tobytes(),
            [[first, len(before), before.tobytes()] for first, before in self._undo],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, of an array of the same shape and type."""
        values, undo = state
        shape, kind = self.values.shape, self.values.dtype
        self.values[...] = np.frombuffer(values, kind).reshape(shape)
        self._undo = [
            (int(first), np.frombuffer(before, kind).reshape(blocks, *shape).copy())
            for first, blocks, before in undo
        ]

    def content(self) -> bytes:
        """The values."""
        return self.values.tobytes()


def _behind(undo: tuple[int, Array]) -> int:
    """The serial behind the last one of a pass."""
    first, before = undo
    return first + len(before)


def _part(undo: TableUndo, start: int, dropped: int) -> TableUndo:
    """The undo from entry ``start`` on, without its first ``dropped`` blocks and unused room."""
    used = int(undo.used[0])
    marks = undo.marks[dropped:].copy()
    marks[:, 0] -= start
    return TableUndo(
        undo.slots[start:used].copy(),
        undo.keys[start:used].copy(),
        undo.rows[start:used].copy(),
        undo.existed[start:used].copy(),
        np.array([used - start], np.int64),
        marks,
    )
