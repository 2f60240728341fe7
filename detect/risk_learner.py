"""What one configuration of the risk model has learnt: bins and pairs, trees, the stake's trees.

A champion and its challenger are two of these over the same held rows, each with its own column of
scores. Trees keep an undo journal. Of the bins and pairs, which change all over at once, a settled
copy stays behind the head (see ``detect.risk``).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from detect.boosting import BoostedTrees
from detect.compiled import Array
from detect.drift import ScoreDrift
from detect.held import HeldRows
from detect.kernels.risk import (
    BIAS_SQUARES,
    COARSE,
    SLOPE,
    STATE,
    Held,
    Learners,
    Mix,
    Weights,
    learn_held,
)
from detect.risk_config import RiskConfig
from detect.snapshot import digest_of

LOSS_CAP: Final = 4.0
"""Log losses above it are as bad as it, for drift of the errors."""


class RiskLearner:
    """The learners of one configuration, and how they are added.

    ``head`` are the weights of bins and pairs as of the last block, ``settled`` those that can no
    longer be reverted. ``column`` is where the held rows keep what it said of them. ``errors`` is
    the drift of its log losses, by the times at which labels were due.
    """

    def __init__(self, config: RiskConfig, features: int, own: int, column: int) -> None:
        self.config = config
        self.column = column
        self.head = _weights(config, own)
        self.settled = _weights(config, own)
        self.trees = BoostedTrees(config.trees, features)
        self.stakes = BoostedTrees(config.stake, features)
        self.errors, self._settled_errors = ScoreDrift(), ScoreDrift()
        self.mix = Mix(
            config.rate,
            config.warm_up,
            config.pairs,
            config.stake_weight,
            config.alert,
            config.grave,
        )

    def columns(self, held: HeldRows) -> Held:
        """The held rows as the kernels take them, with what this model said of them."""
        return Held(
            held.bins,
            held.hashed,
            held.logits[self.column],
            held.risks[self.column],
            held.received,
            held.stakes,
            held.outcomes,
            held.copied,
        )

    def room(self, rows: int, blocks: int) -> Learners:
        """The learners, with room for the undo of so many rows in that many blocks."""
        trees, stakes = self.trees, self.stakes
        return Learners(
            trees.model,
            trees.growth,
            trees.room(rows, blocks),
            stakes.model,
            stakes.growth,
            stakes.room(rows, blocks),
        )

    def journal(self, first: int, learners: Learners) -> None:
        """Keep the undo of blocks that a kernel filled in; ``first`` is the serial of the first."""
        self.trees.journal(first, learners.risk_undo)
        self.stakes.journal(first, learners.stake_undo)

    def revert(self, serial: int) -> None:
        """Undo the trees of the last block; ``rebuild`` does the rest."""
        self.trees.revert(serial)
        self.stakes.revert(serial)

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self.trees.forget(serial)
        self.stakes.forget(serial)

    def settle(self, held: HeldRows, begin: int, end: int) -> None:
        """Let the settled weights follow over those held rows."""
        self._follow(self.settled, held, begin, end)
        self._judge(self._settled_errors, held, begin, end)

    def judge(self, held: HeldRows, begin: int, end: int) -> None:
        """Look for drift in the errors of those held rows, whose labels came."""
        self._judge(self.errors, held, begin, end)

    def rebuild(self, held: HeldRows, begin: int, end: int) -> None:
        """The head's weights anew: the settled ones, and those held rows."""
        for own, settled in zip(self.head, self.settled, strict=True):
            own[...] = settled
        self._follow(self.head, held, begin, end)
        self.errors.copy_state(self._settled_errors)
        self._judge(self.errors, held, begin, end)

    def digest(self) -> str:
        """A digest of what scores depend on, undo excluded."""
        parts = self.trees.digest() + self.stakes.digest() + self.errors.digest()
        return digest_of(parts.encode(), *self.head)

    def dump(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The settled state and the trees' undo, as a snapshot holds them."""
        meta: dict[str, Any] = {}
        meta["errors"], errors = self._settled_errors.dump()
        arrays = {f"errors.{name}": a for name, a in errors.items()}
        arrays |= {f"weights.{name}": a for name, a in self.settled._asdict().items()}
        for name, part in (("trees", self.trees), ("stakes", self.stakes)):
            meta[name], content = part.dump()
            arrays |= {f"{name}.{key}": a for key, a in content.items()}
        return meta, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave; ``rebuild`` must follow."""
        for name, own in self.settled._asdict().items():
            own[...] = arrays[f"weights.{name}"]
        self._settled_errors.load(meta["errors"], within(arrays, "errors."))
        for name, part in (("trees", self.trees), ("stakes", self.stakes)):
            part.load(meta[name], within(arrays, f"{name}."))

    def _judge(self, errors: ScoreDrift, held: HeldRows, begin: int, end: int) -> None:
        risks, labels = held.risks[self.column, begin:end], held.outcomes[begin:end]
        known = np.isfinite(risks) & ((labels == 0) | (labels == 1))
        right = np.where(labels == 1, risks, 1.0 - risks)[known]
        # ADWIN wants values in [0, 1].
        losses = np.minimum(1.0, -np.log(np.maximum(right, 1e-12)) / LOSS_CAP)
        errors.update_many(losses, held.due[begin:end][known])

    def _follow(self, weights: Weights, held: HeldRows, begin: int, end: int) -> None:
        logits = held.logits[self.column]
        learn_held(weights, self.config.rate, held.bins, logits, held.outcomes, begin, end)


def within(arrays: dict[str, Array], prefix: str) -> dict[str, Array]:
    """The arrays whose names begin so, by the rest of their names."""
    return {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}


def _weights(config: RiskConfig, features: int) -> Weights:
    pairs, cells = features * (features - 1) // 2, COARSE * COARSE
    state = np.zeros(STATE)
    state[SLOPE] = 1.0
    state[BIAS_SQUARES:] = config.prior
    return Weights(
        np.zeros((features, COARSE)),
        np.full((features, COARSE), config.prior),
        np.zeros((pairs, cells)),
        np.full((pairs, cells), config.prior),
        state,
        np.zeros(2, np.int64),
    )
