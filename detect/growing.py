"""Rows that come in at the end and go from the front, as a log's do, without copying the others."""

from __future__ import annotations

import numpy as np

from detect.compiled import Array


def first_of(rows: Array, count: int) -> Array:
    """The first ``count`` rows, without the room behind them where that is worth a copy."""
    return rows[:count] if 4 * count >= 3 * len(rows) else rows[:count].copy()


class Growing:
    """An array of rows that grows at its end and is cut at both.

    ``rows`` are a view, in one piece: to be read before the array changes. Adding costs as much as
    the rows that are added, amortised: the others are moved when there is no room behind them, to
    where there is room for as many again.
    """

    __slots__ = ("_room", "_start", "_stop")

    def __init__(self, rows: Array) -> None:
        self._room = rows.copy()
        self._start, self._stop = 0, len(rows)

    def __len__(self) -> int:
        return self._stop - self._start

    @property
    def rows(self) -> Array:
        """What is held."""
        return self._room[self._start : self._stop]

    def extend(self, rows: Array) -> None:
        """Add rows at the end."""
        stop = self._stop + len(rows)
        if stop > len(self._room):
            held = self.rows
            room = np.empty((2 * (len(held) + len(rows)), *held.shape[1:]), held.dtype)
            room[: len(held)] = held
            self._room, self._start, self._stop = room, 0, len(held)
            stop = len(held) + len(rows)
        self._room[self._stop : stop] = rows
        self._stop = stop

    def drop_first(self, count: int) -> None:
        """Drop so many rows at the front."""
        self._start += count

    def drop_last(self, count: int) -> None:
        """Drop so many rows at the end."""
        self._stop -= count
