"""A rule's compiled table: records by address, bounded, undone exactly, block by block.

A kernel of the rule's own passes over a batch's events, in chain order, and writes rows through
``detect.kernels.rows``. Around it, ``begin`` gives the undo to journal into and ``end`` keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from detect.compiled import Array
from detect.growing import first_of
from detect.kernels.rows import row_of
from detect.kernels.table import COUNT, Table, TableUndo, rebuild_index, undo_block

WORDS: Final = 5  # an address as big-endian uint32 words, as ``Columns`` gives them

Secret = tuple[int, int]
DEFAULT_SECRET: Final[Secret] = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
"""Places addresses where nobody gave a random pair."""


@dataclass(slots=True)
class _Pass:
    """The undo of the blocks ``first`` to ``first + blocks - 1``."""

    first: int
    blocks: int
    undo: TableUndo

    @property
    def last(self) -> int:
        return self.first + self.blocks - 1


class RecordTable:
    """At most ``capacity`` records; a full table gives up those longest unwritten.

    ``kind`` has a field ``at`` (block time of the last write) and no padding: rows are compared
    byte for byte. ``secret`` keys the hash that places addresses. Memory is touched as rows come
    into use.
    """

    def __init__(self, capacity: int, kind: np.dtype[Any], secret: Secret = DEFAULT_SECRET) -> None:
        if capacity < 1:
            raise ValueError("a table holds at least one row")
        if kind.itemsize != sum(kind[name].itemsize for name in kind.names or ()):
            raise ValueError("a record has padding")
        self.capacity = capacity
        self.table = Table(
            np.zeros((capacity, WORDS), np.uint32),
            np.zeros(capacity + 1, kind),
            np.zeros(1 << (2 * capacity - 1).bit_length(), np.int32),
            np.zeros(capacity, np.int64),
            np.zeros(3, np.int64),
            np.array(secret, np.uint64),
        )
        self._kind = kind
        self._passes: list[_Pass] = []

    def __len__(self) -> int:
        return int(self.table.state[COUNT])

    def get(self, address: bytes) -> Any:
        """The record of an address (a copy), or None."""
        row = row_of(self.table, key_of(address))
        return None if row < 0 else self.table.rows[row].copy()

    def begin(self, blocks: int, changes: int) -> TableUndo:
        """The undo for a pass over so many blocks that changes at most so many rows in all."""
        marks = np.zeros((blocks, 4), np.int64)
        marks[:, 1:] = self.table.state  # what a kernel that sees no event leaves as it is
        return TableUndo(
            np.empty(changes, np.int32),
            np.empty((changes, WORDS), np.uint32),
            np.empty(changes, self._kind),
            np.empty(changes, np.bool_),
            np.zeros(1, np.int64),
            marks,
        )

    def end(self, undo: TableUndo, first_serial: int) -> None:
        """Keep the undo of a pass over the blocks from that serial on."""
        used = int(undo.used[0])
        kept = TableUndo(
            first_of(undo.slots, used),
            first_of(undo.keys, used),
            first_of(undo.rows, used),
            first_of(undo.existed, used),
            undo.used,
            undo.marks,
        )
        self._passes.append(_Pass(first_serial, len(undo.marks), kept))

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        if not self._passes or serial != self._passes[-1].last:
            return  # no event of it came here
        last = self._passes[-1]
        last.blocks -= 1
        undo_block(self.table, last.undo, last.blocks)
        if not last.blocks:
            self._passes.pop()

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        kept = 0
        while kept < len(self._passes) and self._passes[kept].last <= serial:
            kept += 1
        del self._passes[:kept]
        if self._passes and self._passes[0].first <= serial:
            self._passes[0] = _since(self._passes[0], serial + 1)

    def dump(self) -> object:
        """The rows in use and the undo."""
        passes = [[p.first, p.blocks, [part.tobytes() for part in p.undo]] for p in self._passes]
        return [self.capacity, str(self._kind), *self._content(), passes]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, of a table of the same size, record and secret."""
        capacity, kind, secret, counts, keys, rows, passes = state
        table = self.table
        if (capacity, kind, secret) != (self.capacity, str(self._kind), table.secret.tobytes()):
            raise ValueError("a table of another size, record or secret")
        state_ = np.frombuffer(counts, np.int64)
        used = int(state_[COUNT])
        if not 0 <= used <= capacity or len(state_) != 3:
            raise ValueError("a table that is not whole")
        table.keys[:used] = np.frombuffer(keys, np.uint32).reshape(used, WORDS)
        table.rows[:used] = np.frombuffer(rows, self._kind)
        table.state[:] = state_
        table.stamps[:] = 0
        rebuild_index(table)
        self._passes = [_Pass(int(a), int(n), self._undo_of(parts, n)) for a, n, parts in passes]

    def content(self) -> bytes:
        """The rows in use."""
        return msgspec.msgpack.encode(self._content())

    def _content(self) -> list[bytes]:
        table, used = self.table, len(self)
        return [
            table.secret.tobytes(),
            table.state.tobytes(),
            table.keys[:used].tobytes(),
            table.rows[:used].tobytes(),
        ]

    def _undo_of(self, parts: list[bytes], blocks: int) -> TableUndo:
        slots, keys, rows, existed, used, marks = parts
        count = len(slots) // 4
        undo = TableUndo(
            np.frombuffer(slots, np.int32),
            np.frombuffer(keys, np.uint32).reshape(count, WORDS),
            np.frombuffer(rows, self._kind),
            np.frombuffer(existed, np.bool_),
            np.frombuffer(used, np.int64).copy(),
            np.frombuffer(marks, np.int64).reshape(-1, 4),
        )
        inside = ((undo.slots >= 0) & (undo.slots < self.capacity)).all()
        if not inside or len(undo.rows) != count or len(undo.marks) < blocks:
            raise ValueError("an undo that is not whole")
        return undo


def key_of(address: bytes) -> Array:
    """An address as the tables' kernels see it."""
    return np.frombuffer(address, ">u4").astype(np.uint32)


def address_of(words: Array) -> bytes:
    """The address of five such words.

    >>> address_of(key_of(bytes(range(20)))) == bytes(range(20))
    True
    """
    return words.astype(">u4").tobytes()


def _since(held: _Pass, serial: int) -> _Pass:
    """A pass without the undo of the blocks before that serial."""
    gone = serial - held.first
    start = int(held.undo.marks[gone, 0])
    if not start:
        return _Pass(held.first, held.blocks, held.undo)
    undo = held.undo
    marks = undo.marks.copy()
    marks[:, 0] -= start
    used = undo.used - start
    slots, keys, rows, existed = (
        part[start:].copy() for part in (undo.slots, undo.keys, undo.rows, undo.existed)
    )
    kept = TableUndo(slots, keys, rows, existed, used, marks)
    return _Pass(held.first, held.blocks, kept)
