"""Rows that were scored and wait for their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detect.compiled import Array
from detect.kernels.risk import PENDING, STAKE_UNKNOWN

ADDRESS_WORDS: Final = 5
BY_MODEL: Final = ("logits", "risks")


@dataclass(slots=True)
class HeldRows:
    """Rows as they were scored, in that order, with the time their label is due and what it was.

    ``bins`` (rows, features) uint8; ``keys`` (rows, 5) uint32 are addresses and ``hashed`` uint64
    their keyed hashes; ``logits`` (models, rows) before calibration and ``risks`` (models, rows)
    after it, NaN in warm-up; ``received`` the wallet's early income by then, ``stakes`` the share
    of it that was still to come, known when the row is learnt; ``outcomes`` as in
    ``detect.kernels.risk``.
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

    @classmethod
    def empty(cls, features: int, models: int) -> HeldRows:
        """No rows."""
        return cls(
            np.empty((0, features), np.uint8),
            np.empty((0, ADDRESS_WORDS), np.uint32),
            np.empty(0, np.uint64),
            np.empty(0, np.int64),
            np.empty((models, 0)),
            np.empty((models, 0)),
            np.empty(0),
            np.empty(0),
            np.empty(0, np.int8),
        )

    def extended(self, keys: Array, hashed: Array, due: Array) -> HeldRows:
        """With more rows at the end, whose bins and scores are still to be filled in."""
        more, models = len(due), len(self.logits)
        return HeldRows(
            np.concatenate([self.bins, np.zeros((more, self.bins.shape[1]), np.uint8)]),
            np.concatenate([self.keys, keys]),
            np.concatenate([self.hashed, hashed]),
            np.concatenate([self.due, due]),
            np.concatenate([self.logits, np.zeros((models, more))], axis=1),
            np.concatenate([self.risks, np.full((models, more), np.nan)], axis=1),
            np.concatenate([self.received, np.zeros(more)]),
            np.concatenate([self.stakes, np.full(more, STAKE_UNKNOWN)]),
            np.concatenate([self.outcomes, np.full(more, PENDING, np.int8)]),
        )

    def part(self, begin: int, end: int) -> HeldRows:
        """A copy of the rows from ``begin`` to ``end``."""
        return HeldRows(
            **{
                name: (a[:, begin:end] if name in BY_MODEL else a[begin:end]).copy()
                for name, a in self.arrays().items()
            }
        )

    def arrays(self) -> dict[str, Any]:
        """The columns by name."""
        return {name: getattr(self, name) for name in self.__slots__}
