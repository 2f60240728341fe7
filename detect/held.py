"""Rows that were scored: those that wait for their labels, and the last that had theirs.

A label may come, change or be withdrawn after a row was learnt, or long before it is due. Then the
row is learnt as it was scored, with the label that it has now: a copy of it goes to the head of the
queue, so that what is learnt stays a sequence of rows, and can be undone as one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detect.compiled import Array
from detect.kernels.risk import PENDING, STAKE_UNKNOWN

ADDRESS_WORDS: Final = 5
BY_MODEL: Final = ("logits", "risks")
UNSAID: Final = -1


@dataclass(slots=True)
class HeldRows:
    """Rows as they were scored, in that order, with the time their label is due and what it was.

    ``bins`` (rows, features) uint8; ``keys`` (rows, 5) uint32 are addresses and ``hashed`` uint64
    their keyed hashes; ``logits`` (models, rows) before calibration and ``risks`` (models, rows)
    after it, NaN in warm-up; ``received`` the wallet's early income by then, ``stakes`` the share
    of it that was still to come, known when the row is learnt; ``outcomes`` as in
    ``detect.kernels.risk``. ``copied`` rows are corrections of others; ``said`` is the label that
    the last correction of a row gave it, UNSAID where there was none.
    """

    bins: Array
    keys: Array
    hashed: Array
    due: Array
    logits: Array
    risks: Array
    received: Array
    stakes: Array
    outcomes: Array
    copied: Array
    said: Array

    @classmethod
    def empty(cls, features: int, models: int, rows: int = 0) -> HeldRows:
        """Rows of which nothing is known."""
        return cls(
            np.zeros((rows, features), np.uint8),
            np.zeros((rows, ADDRESS_WORDS), np.uint32),
            np.zeros(rows, np.uint64),
            np.zeros(rows, np.int64),
            np.zeros((models, rows)),
            np.full((models, rows), np.nan),
            np.zeros(rows),
            np.full(rows, STAKE_UNKNOWN),
            np.full(rows, PENDING, np.int8),
            np.zeros(rows, np.bool_),
            np.full(rows, UNSAID, np.int8),
        )

    def part(self, begin: int, end: int) -> HeldRows:
        """The rows from ``begin`` to ``end``; what is written there is written here."""
        return HeldRows(**{name: a[..., begin:end] if name in BY_MODEL else a[begin:end]
                           for name, a in self})  # fmt: skip

    def at(self, places: Array) -> HeldRows:
        """Copies of the rows at those places."""
        return HeldRows(**{name: a[..., places] if name in BY_MODEL else a[places]
                           for name, a in self})  # fmt: skip

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The columns, by name."""
        for name in self.__slots__:
            yield name, getattr(self, name)

    def __len__(self) -> int:
        """How many rows."""
        return len(self.due)


class HeldQueue:
    """Held rows from the oldest to the youngest, in arrays that grow; ``rows`` are all of them.

    Adding a row or dropping one costs the same however many there are.
    """

    def __init__(self, features: int, models: int) -> None:
        self._features, self._models = features, models
        self._blank = HeldRows.empty(features, models, 1)
        self._room = HeldRows.empty(features, models)
        self._begin = self._end = 0
        self.rows = self._room
        self.dropped = 0
        """How many rows were let go of at the front, so far."""

    def __len__(self) -> int:
        """How many rows there are."""
        return self._end - self._begin

    def extend(self, keys: Array, hashed: Array, due: Array) -> None:
        """More rows at the end, whose bins and scores are still to be filled in."""
        self._insert(len(self), len(due))
        new = self.rows.part(len(self) - len(due), len(self))
        _fill(new, self._blank)
        new.keys[:], new.hashed[:], new.due[:] = keys, hashed, due

    def insert(self, place: int, rows: HeldRows) -> None:
        """Rows before the one at that place."""
        self._insert(place, len(rows))
        _fill(self.rows.part(place, place + len(rows)), rows)

    def drop_first(self, count: int) -> None:
        """Let go of the oldest."""
        self._begin += count
        self.dropped += count
        self.rows = self._room.part(self._begin, self._end)

    def drop(self, place: int, count: int) -> None:
        """Let go of the rows from a place on."""
        after = self.rows.part(place + count, len(self))
        _fill(self.rows.part(place, place + len(after)), after.at(np.arange(len(after))))
        self._end -= count
        self.rows = self._room.part(self._begin, self._end)

    def load(self, rows: HeldRows, dropped: int) -> None:
        """These rows and no others."""
        self._begin = self._end = 0
        self.dropped = dropped
        self.rows = self._room.part(0, 0)
        self.insert(0, rows)

    def _insert(self, place: int, count: int) -> None:
        old, length = self.rows, len(self)
        if self._end + count > len(self._room):
            if 4 * (length + count) > 3 * len(self._room):
                size = max(256, 3 * length // 2 + count)
                self._room = HeldRows.empty(self._features, self._models, size)
            # Where enough was dropped at the front there is room: never two of these at once.
            _fill(self._room.part(0, length), old)
            self._begin, self._end = 0, length
        self._end += count
        self.rows = self._room.part(self._begin, self._end)
        if place < length:
            after = self.rows.part(place, length)
            _fill(self.rows.part(place + count, length + count), after.at(np.arange(len(after))))


def _fill(target: HeldRows, rows: HeldRows) -> None:
    for (_, to), (_, given) in zip(target, rows, strict=True):
        to[...] = given
