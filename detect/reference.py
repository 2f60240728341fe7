"""A fixed reference beside the online risk model: slow poisoning shows as the two parting ways.

Whoever gets false labels believed moves the online model step by step, each step too small to be
noticed. A copy of the champion, frozen, does not move with it. One wallet in ``sample`` is scored
by both; where the reference says that it is risky, what the online model is below it in log odds is
summed beyond an allowance (a one-sided CUSUM), and an alarm is raised when the sum reaches its
limit: one row counts for at most 4 log odds, so it takes a while of standing apart, not an odd row.

The copy is made when ``warm_up`` bad rows were learnt, anew where another model is made the
champion, and anew after ``every_seconds`` of block time, by when the world may have changed. While
alarms are raised it is kept: anew only when they have been silent for as long. So poison cannot
have it refreshed, and no person need do it.

References
----------
Page, 1954. Continuous inspection schemes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from detect.compiled import Array
from detect.kernels.boosting import Boosted
from detect.kernels.reference import compare_rows
from detect.kernels.risk import Mix, Rows, Weights
from detect.risk_config import ReferenceConfig
from detect.risk_learner import RiskLearner, within
from detect.snapshot import digest_of

_TREES: Final = ("feature", "threshold", "value", "state")


class Alarm(NamedTuple):
    """The two parted ways with a row of block ``block`` of the batch, by ``mean`` log odds."""

    block: int
    mean: float


@dataclass(frozen=True, slots=True)
class Frozen:
    """What a model was before the block with that serial and time; ``column`` says which model."""

    serial: int
    time: int
    column: int
    mix: Mix
    weights: Weights
    trees: Boosted
    stakes: Boosted

    @classmethod
    def of(cls, model: RiskLearner, serial: int, time: int) -> Frozen:
        """A copy of a model, without what it only needs to learn."""
        return cls(
            serial,
            time,
            model.column,
            model.mix,
            Weights(*(part.copy() for part in model.head)),
            _only_trees(model.trees.model),
            _only_trees(model.stakes.model),
        )

    def arrays(self) -> dict[str, Array]:
        """What a snapshot holds of it."""
        arrays = {f"weights.{name}": a for name, a in self.weights._asdict().items()}
        for name, trees in (("trees", self.trees), ("stakes", self.stakes)):
            arrays |= {f"{name}.{part}": getattr(trees, part) for part in _TREES}
        return arrays


class References:
    """The copy that rows are compared with, and those that a revert may bring back.

    Undone exactly: a copy goes with the block before which it was made.
    """

    def __init__(self, config: ReferenceConfig) -> None:
        self.config = config
        self._kept: list[Frozen] = []  # oldest first

    @property
    def newest(self) -> Frozen | None:
        """What rows are compared with; None before the first copy."""
        return self._kept[-1] if self._kept else None

    def next_due(self, times: Array, bad: Array, last_alarm: int, first: int, column: int) -> int:
        """Before which block, from ``first`` on, the next copy is due; ``len(times)`` for none.

        ``times`` are the blocks' times, ``bad`` the bad rows learnt before each, ``last_alarm`` a
        block time, negative for none, ``column`` the champion's.
        """
        ready = bad[first:] >= self.config.warm_up
        if self._kept and self._kept[-1].column == column:
            since = max(self._kept[-1].time, last_alarm)
            ready &= times[first:] >= since + self.config.every_seconds
        found = np.flatnonzero(ready)
        return first + int(found[0]) if len(found) else len(times)

    def freeze(self, model: RiskLearner, serial: int, time: int) -> None:
        """Copy a model before the block with that serial."""
        self._kept.append(Frozen.of(model, serial, time))

    def compare(self, rows: Rows, hashed: Array, first: int, apart: Array) -> None:
        """Fill in how far apart the two are on the sampled ones of some rows.

        ``hashed`` is of all held rows, ``apart`` of those from the place ``first`` on.
        """
        frozen = self.newest
        if frozen is not None:
            compare_rows(
                frozen.weights,
                frozen.mix,
                frozen.trees,
                frozen.stakes,
                rows,
                hashed,
                first,
                self.config.sample,
                self.config.least,
                apart,
            )

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one."""
        while self._kept and self._kept[-1].serial >= serial:
            self._kept.pop()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        older = sum(1 for frozen in self._kept if frozen.serial <= serial)
        del self._kept[: max(0, older - 1)]

    def digest(self) -> str:
        """A digest of what rows are compared with."""
        newest = self.newest
        if newest is None:
            return ""
        return digest_of(bytes([newest.column]), *newest.arrays().values())

    def dump(self) -> tuple[list[Any], dict[str, Array]]:
        """The copies, as a snapshot holds them."""
        arrays: dict[str, Array] = {}
        for n, frozen in enumerate(self._kept):
            arrays |= {f"{n}.{name}": a for name, a in frozen.arrays().items()}
        kept = [[one.serial, one.time, one.column, list(one.mix)] for one in self._kept]
        return kept, arrays

    def load(self, meta: list[Any], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave."""
        self._kept = []
        for n, (serial, time, column, mix) in enumerate(meta):
            mine = within(arrays, f"{n}.")
            self._kept.append(
                Frozen(
                    int(serial),
                    int(time),
                    int(column),
                    Mix(*mix),
                    Weights(**within(mine, "weights.")),
                    _made_of(within(mine, "trees.")),
                    _made_of(within(mine, "stakes.")),
                )
            )


def _only_trees(model: Boosted) -> Boosted:
    return _made_of({name: getattr(model, name).copy() for name in _TREES})


def _made_of(trees: dict[str, Array]) -> Boosted:
    members = len(trees["feature"])
    return Boosted(
        np.empty((0, 0), np.uint8),
        np.empty(0, np.float32),
        np.empty((members, 0), np.int64),
        trees["feature"],
        trees["threshold"],
        trees["value"],
        trees["state"],
    )
