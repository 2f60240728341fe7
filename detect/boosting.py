"""Gradient-boosted trees, online: they learn row by row, forget the oldest, and undo exactly.

Rows that were learnt are kept, the newest of two kinds (of a risk model the bad are the rare ones).
After every so many of them each member grows one tree on the gradients of the log loss over those
rows, and gives up its oldest where there are as many as there may be. So the model follows what is
new without ever being trained anew, at a bounded cost a row.

References
----------
Friedman, 2001. Greedy function approximation: a gradient boosting machine.
Chen and Guestrin, 2016. XGBoost: a scalable tree boosting system. (Newton steps, histograms)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from chainwarden.errors import DetectError
from detect.compiled import Array
from detect.kernels.boosting import (
    BINS,
    COMMON,
    GROWN,
    NO_SPLIT,
    RARE,
    STATE,
    TOGETHER,
    Boosted,
    Growth,
    Regrowth,
    undo_boosted,
)
from detect.snapshot import digest_of


@dataclass(frozen=True, slots=True)
class BoostingConfig:
    """How many rows are kept and trees grown, and how they grow.

    ``every``: rows learnt from one tree of each member to the next. A tree is fitted to all rare
    rows kept and about ``sample`` of the ``common`` ones, on ``columns`` of the features.
    """

    members: int = 2
    trees: int = 400
    depth: int = 6
    every: int = 256
    common: int = 49_152
    rare: int = 16_384
    sample: int = 6_000
    columns: float = 0.5
    rate: float = 0.1
    shrinkage: float = 1.0
    least: float = 1.0
    warm_up: int = 20
    seed: int = 1

    def __post_init__(self) -> None:
        counts = (self.members, self.trees, self.every, self.common, self.rare, self.sample)
        if min(counts) < 1 or not 1 <= self.depth <= 8:
            raise DetectError("a boosted model needs members, trees, rows, and a depth of 1 to 8")
        if not 0.0 < self.columns <= 1.0 or min(self.rate, self.shrinkage) <= 0.0:
            raise DetectError("the share of columns is in (0, 1], rates are positive")


class BoostedTrees:
    """The state of a boosted model; its kernels are in ``detect.kernels.boosting``.

    What the last blocks changed is kept so that it can be undone, block by block.
    """

    def __init__(self, config: BoostingConfig, features: int) -> None:
        self.config = config
        rows, members, trees = config.common + config.rare, config.members, config.trees
        splits = 2**config.depth - 1
        self.model = Boosted(
            np.zeros((rows, features), np.uint8),
            np.zeros(rows, np.float32),
            np.zeros((members, rows), np.int64),
            np.full((members, trees, splits), NO_SPLIT, np.int16),
            np.zeros((members, trees, splits), np.uint8),
            np.zeros((members, trees, 2 * splits + 1), np.int32),
            np.zeros(STATE, np.int64),
        )
        leaves = splits + 1
        self.growth = Growth(
            config.every,
            config.warm_up,
            config.common,
            config.sample,
            config.columns,
            config.rate,
            config.shrinkage,
            config.least,
            config.seed,
            np.empty(rows, np.int32),
            np.empty(rows, np.float32),
            np.empty(rows, np.float32),
            np.empty(rows, np.int32),
            np.empty(features, np.int32),
            np.empty((features, rows), np.uint8),
            np.empty((TOGETHER, leaves, BINS, 2)),
            np.empty(leaves),
        )
        self._undo: list[tuple[int, int, Regrowth]] = []  # first serial, blocks, what to put back

    @property
    def grown(self) -> int:
        """How many trees each member has grown so far."""
        return int(self.model.state[GROWN])

    def room(self, rows: int, blocks: int) -> Regrowth:
        """Room for the undo of so many rows, in that many blocks."""
        m, trees = self.model, rows // self.config.every + 1
        return Regrowth(
            np.empty(rows, np.int64),
            np.empty((rows, m.rows.shape[1]), np.uint8),
            np.empty(rows, np.float32),
            np.empty((rows, STATE), np.int64),
            np.empty((trees, m.feature.shape[0], m.feature.shape[2]), np.int16),
            np.empty((trees, m.feature.shape[0], m.feature.shape[2]), np.uint8),
            np.empty((trees, m.value.shape[0], m.value.shape[2]), np.int32),
            np.zeros(2, np.int64),
            np.zeros((blocks, 2), np.int64),
        )

    def journal(self, first: int, undo: Regrowth) -> None:
        """Keep the undo of blocks that a kernel filled in; ``first`` is the serial of the first."""
        if len(undo.marks):
            self._undo.append((first, len(undo.marks), _trimmed(undo)))

    def revert(self, serial: int) -> None:
        """Undo the last block, which has that serial."""
        first, blocks, undo = self._undo[-1]
        if first + blocks - 1 != serial:
            raise DetectError(f"block serial {serial} is not the last one")
        rows, trees = (int(n) for n in undo.marks[blocks - 1])
        undo_boosted(self.model, self.config.common, undo, rows, trees)
        self._undo[-1] = (first, blocks - 1, undo)
        if blocks == 1:
            self._undo.pop()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self._undo = [u for u in self._undo if u[0] + u[1] - 1 > serial]

    def digest(self) -> str:
        """A digest of what scores depend on, undo excluded."""
        return digest_of(*self._content().values())

    def dump(self) -> tuple[list[list[int]], dict[str, Array]]:
        """The state, undo included, as a snapshot holds it."""
        arrays = self._content()
        for number, (_, _, undo) in enumerate(self._undo):
            arrays |= {f"{number}.{name}": a for name, a in undo._asdict().items()}
        return [[first, blocks] for first, blocks, _ in self._undo], arrays

    def load(self, undone: list[list[int]], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave, of a model of the same configuration."""
        common = self.config.common
        for name in ("rows", "targets"):
            own = getattr(self.model, name)
            own[: len(arrays[f"common_{name}"])] = arrays[f"common_{name}"]
            own[common : common + len(arrays[f"rare_{name}"])] = arrays[f"rare_{name}"]
        for name in ("feature", "threshold", "value", "state"):
            getattr(self.model, name)[...] = arrays[name]
        kept = len(arrays["common_rows"])
        self.model.sums[:, :kept] = arrays["common_sums"]
        self.model.sums[:, common : common + len(arrays["rare_rows"])] = arrays["rare_sums"]
        self._undo = []
        for number, (first, blocks) in enumerate(undone):
            undo = Regrowth(*(arrays[f"{number}.{name}"] for name in Regrowth._fields))
            self._undo.append((first, blocks, undo))

    def _content(self) -> dict[str, Array]:
        m, common = self.model, self.config.common
        kept = {
            "common": slice(0, int(m.state[COMMON])),
            "rare": slice(common, common + int(m.state[RARE])),
        }
        content = {
            f"{kind}_{name}": getattr(m, name)[part]
            for kind, part in kept.items()
            for name in ("rows", "targets")
        }
        content |= {f"{kind}_sums": m.sums[:, part] for kind, part in kept.items()}
        names = ("feature", "threshold", "value", "state")
        return content | {name: getattr(m, name) for name in names}


def _trimmed(undo: Regrowth) -> Regrowth:
    """The undo without the room it did not need."""
    rows, trees = (int(n) for n in undo.used)
    cut: dict[str, Any] = {n: getattr(undo, n)[:rows].copy() for n in Regrowth._fields[:4]}
    cut |= {n: getattr(undo, n)[:trees].copy() for n in ("feature", "threshold", "value")}
    return undo._replace(**cut)
