"""Which wallets have dealt with one another: a bounded memory of pairs, undone exactly.

The same sets of four as the wallet table's pairs (``detect.kernels.update``): where a set is full,
the pair with the fewest flows gives way. A rule's kernel writes it between ``begin`` and ``end``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from detect.features import PAIR
from detect.kernels.update import WAYS, Pairs, PairUndo, undo_pairs


@dataclass(slots=True)
class _Pass:
    """The undo of the blocks ``first`` to ``first + blocks - 1``."""

    first: int
    blocks: int
    undo: PairUndo


class Acquaintances:
    """At most ``capacity`` pairs (a power of two), of 24 bytes each."""

    def __init__(self, capacity: int) -> None:
        if capacity < WAYS or capacity & (capacity - 1):
            raise ValueError("the number of pairs must be a power of two")
        self.pairs = Pairs(np.zeros(capacity, PAIR))
        self._passes: list[_Pass] = []

    def __len__(self) -> int:
        return int(np.count_nonzero(self.pairs.rows["key"]))

    def begin(self, blocks: int, changes: int) -> PairUndo:
        """The undo for a pass over so many blocks with at most so many changes."""
        return PairUndo(
            np.empty(changes, np.int64),
            np.empty(changes, PAIR),
            np.zeros(1, np.int64),
            np.zeros(blocks, np.int64),
        )

    def end(self, undo: PairUndo, first_serial: int) -> None:
        """Keep the undo of a pass over the blocks from that serial on."""
        used = int(undo.used[0])
        kept = undo._replace(places=undo.places[:used].copy(), rows=undo.rows[:used].copy())
        self._passes.append(_Pass(first_serial, len(undo.marks), kept))

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        if not self._passes or serial != self._passes[-1].first + self._passes[-1].blocks - 1:
            return
        last = self._passes[-1]
        last.blocks -= 1
        undo_pairs(self.pairs, last.undo, last.blocks)
        if not last.blocks:
            self._passes.pop()

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        kept = [p for p in self._passes if p.first + p.blocks - 1 > serial]
        self._passes = [_since(p, serial + 1) if p.first <= serial else p for p in kept]

    def dump(self) -> object:
        """The pairs and the undo."""
        passes = [[p.first, p.blocks, [part.tobytes() for part in p.undo]] for p in self._passes]
        return [len(self.pairs.rows), *self._content(), passes]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, of a memory of the same size."""
        capacity, places, rows, passes = state
        if capacity != len(self.pairs.rows):
            raise ValueError("a memory of another size")
        loaded = []
        for first, blocks, parts in passes:
            at, before, used, marks = parts
            undo = PairUndo(
                _places(at, capacity),
                np.frombuffer(before, PAIR),
                np.frombuffer(used, np.int64).copy(),
                np.frombuffer(marks, np.int64),
            )
            if len(undo.places) != len(undo.rows) or len(undo.marks) < blocks:
                raise ValueError("an undo that is not whole")
            loaded.append(_Pass(int(first), int(blocks), undo))
        held = _places(places, capacity)
        self.pairs.rows[:] = np.zeros((), PAIR)
        self.pairs.rows[held] = np.frombuffer(rows, PAIR)
        self._passes = loaded

    def content(self) -> bytes:
        """The pairs and where they are."""
        return msgspec.msgpack.encode(self._content())

    def _content(self) -> list[bytes]:
        places = np.flatnonzero(self.pairs.rows["key"])
        return [places.tobytes(), self.pairs.rows[places].tobytes()]


def _places(data: bytes, capacity: int) -> Any:
    places = np.frombuffer(data, np.int64)
    if len(places) and not (places.min() >= 0 and places.max() < capacity):
        raise ValueError("pairs outside the memory")
    return places


def _since(held: _Pass, serial: int) -> _Pass:
    """A pass without the undo of the blocks before that serial."""
    start = int(held.undo.marks[serial - held.first])
    undo = held.undo
    kept = PairUndo(
        undo.places[start:].copy(), undo.rows[start:].copy(), undo.used - start, undo.marks - start
    )
    return _Pass(held.first, held.blocks, kept)
