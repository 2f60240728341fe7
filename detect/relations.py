"""What the risk model remembers of wallets: amounts, timing, and the risk of those they deal with.

One record of 208 bytes a wallet, in a table of a fixed size, undone exactly block by block.
"""

from __future__ import annotations

import numpy as np

from chainwarden.errors import DetectError
from detect.compiled import Array
from detect.features import RELATION
from detect.growing import first_of
from detect.kernels.relations import WAYS, Related, RelationUndo, undo_relations
from detect.snapshot import digest_of


class Relations:
    """The table and the undo of the last blocks. Sets of four: see ``detect.kernels.relations``."""

    def __init__(self, capacity: int) -> None:
        if capacity < WAYS or capacity & (capacity - 1):
            raise DetectError("the relation table's size must be a power of two")
        self.related = Related(
            np.zeros(capacity, np.uint64),
            np.zeros(capacity, np.int32),
            np.zeros(capacity, np.int32),
            np.zeros(capacity, RELATION),
            np.zeros(1, np.int64),
        )
        self.blank: Array = np.zeros(1, RELATION)
        self._undo: list[tuple[int, int, RelationUndo]] = []  # first serial, blocks, undo

    def room(self, rows: int, blocks: int) -> RelationUndo:
        """Room for the undo of so many changes, in that many blocks."""
        return RelationUndo(
            np.empty(rows, np.int64),
            np.empty(rows, RELATION),
            np.zeros(1, np.int64),
            np.zeros(blocks, np.int64),
        )

    def journal(self, first: int, undo: RelationUndo) -> None:
        """Keep the undo of blocks that a kernel filled in; ``first`` is the serial of the first."""
        if len(undo.marks):
            n = int(undo.used[0])
            kept = undo._replace(places=first_of(undo.places, n), rows=first_of(undo.rows, n))
            self._undo.append((first, len(undo.marks), kept))

    @property
    def undo_bytes(self) -> int:
        """The size of the undo."""
        return sum(u.rows.nbytes + u.places.nbytes for _, _, u in self._undo)

    def revert(self, serial: int) -> None:
        """Undo the last block, which has that serial."""
        first, blocks, undo = self._undo[-1]
        if first + blocks - 1 != serial:
            raise DetectError(f"block serial {serial} is not the last one")
        undo_relations(self.related, undo, blocks - 1)
        self._undo[-1] = (first, blocks - 1, undo)
        if blocks == 1:
            self._undo.pop()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self._undo = [u for u in self._undo if u[0] + u[1] - 1 > serial]

    def digest(self) -> str:
        """A digest of what is remembered, undo excluded."""
        return digest_of(*self._content())

    def dump(self) -> tuple[list[list[int]], dict[str, Array]]:
        """The state, undo included, as a snapshot holds it."""
        places, rows = self._content()
        arrays = {"places": places, "relation_rows": rows}
        for number, (_, _, undo) in enumerate(self._undo):
            arrays |= {
                f"undo.{number}.places": undo.places,
                f"undo.{number}.relation_rows": undo.rows,
                f"undo.{number}.used": undo.used,
                f"undo.{number}.marks": undo.marks,
            }
        return [[first, blocks] for first, blocks, _ in self._undo], arrays

    def load(self, undone: list[list[int]], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave, of a table of the same size."""
        related, places = self.related, arrays["places"]
        taken, count = int(related.used[0]), len(places)
        related.rows[:taken] = self.blank[0]
        related.keys[:], related.row[:] = 0, 0
        related.rows[:count] = arrays["relation_rows"]
        related.keys[places] = arrays["relation_rows"]["key"]
        related.row[places] = np.arange(1, count + 1)
        related.place[:count] = places
        related.used[0] = count
        self._undo = []
        for number, (first, blocks) in enumerate(undone):
            names = ("places", "relation_rows", "used", "marks")
            undo = RelationUndo(*(arrays[f"undo.{number}.{name}"] for name in names))
            self._undo.append((first, blocks, undo))

    def _content(self) -> tuple[Array, Array]:
        places = np.flatnonzero(self.related.keys)
        return places, self.related.rows[self.related.row[places] - 1]
