"""Compiled estimators that are River estimators: the same verbs, the same numbers, and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from river.anomaly.hst import HalfSpaceTrees as RiverTrees

from chainwarden.errors import DetectError, SnapshotRefused
from detect.compiled import Array
from detect.kernels.trees import (
    COUNTER,
    WINDOWS,
    Forest,
    Growing,
    attribute,
    find_leaves,
    grow,
    learn_leaves,
    node_masses,
    score_leaves,
    tabulate,
)
from detect.snapshot import digest_of, pack, unpack

PADDING: Final = 0.15  # River's: how far a split keeps from its node's borders


class HalfSpaceTrees(RiverTrees):
    """Half-Space Trees, compiled: a River estimator that gives River's numbers to the last bit.

    The same parameters, the same seed, the same observations in the same order: the same scores,
    as ``river.anomaly.HalfSpaceTrees`` 0.26 gives them, missing and emerging features included.
    Beside River's verbs it has verbs for arrays, whose columns are ``features``.

    In warm-up, before the first window is full, ``score_one`` returns 0 as River's does; the array
    verbs say that there is no score yet: NaN.

    Parameters
    ----------
    n_trees
        Number of trees.
    height
        Height of each tree; at most 15.
    window_size
        Number of observations after which the masses become the reference.
    limits
        Range of each feature, [0, 1] by default.
    seed
        Random number seed.
    features
        The columns of arrays. By default the sorted features of the first observation, which is
        what River splits on; declared, the trees are known before anything is learnt.

    References
    ----------
    [^1]: Tan, S.C., Ting, K.M. and Liu, T.F., 2011. Fast anomaly detection for streaming data.
    """

    def __init__(
        self,
        n_trees: int = 10,
        height: int = 8,
        window_size: int = 250,
        limits: dict[Any, tuple[float, float]] | None = None,
        seed: int | None = None,
        features: tuple[Any, ...] | None = None,
    ) -> None:
        if not 0 <= height <= 15:
            raise DetectError(f"the height of a half-space tree is 0 to 15, not {height}")
        super().__init__(n_trees, height, window_size, limits, seed)
        self.features = features
        self._columns: tuple[Any, ...] = ()
        self._forest: Forest | None = None

    # --- River's verbs -------------------------------------------------------------------------

    def learn_one(self, x: Mapping[Any, float]) -> None:
        """Learn one observation; features that it lacks go where most went before, as in River."""
        forest = self._grown(sorted(x))
        learn_leaves(forest, self.height, self.window_size, self._leaves_of(x), 0, 1)

    def score_one(self, x: Mapping[Any, float]) -> float:
        """The anomaly score, high for anomalies; 0 until the first window is full."""
        if self._forest is None or not self._forest.state[WINDOWS]:
            return 0
        score = np.empty(1)
        score_leaves(self._forest, float(self._max_score), self._leaves_of(x), 0, 1, score)
        return float(score[0])

    # --- arrays --------------------------------------------------------------------------------

    def leaves_many(self, X: Array) -> Array:
        """Where each row ends in each tree, (rows, trees): all that is needed to learn or score."""
        forest = self._ready()
        if X.ndim != 2 or X.shape[1] != len(self._columns):
            raise DetectError(f"expected {len(self._columns)} columns, got an array {X.shape}")
        leaves = np.empty((len(X), self.n_trees), np.uint16)
        find_leaves(forest.feature, forest.threshold, self.height, np.ascontiguousarray(X), leaves)
        return leaves

    def score_many(self, X: Array) -> Array:
        """The scores of the rows of ``X``, float64, NaN in warm-up; nothing is learnt."""
        scores = np.empty(len(X))
        top = float(self._max_score)
        score_leaves(self._ready(), top, self.leaves_many(X), 0, len(X), scores)
        return scores

    def learn_many(self, X: Array) -> None:
        """Learn the rows of ``X``, in order."""
        leaves = self.leaves_many(X)
        learn_leaves(self._ready(), self.height, self.window_size, leaves, 0, len(X))

    def score_learn_many(self, X: Array) -> Array:
        """Score each row, then learn it, in order; NaN in warm-up."""
        forest, leaves = self._ready(), self.leaves_many(X)
        scores, top = np.empty(len(X)), float(self._max_score)
        start = 0
        while start < len(X):
            stop = min(len(X), start + self.window_size - int(forest.state[COUNTER]))
            score_leaves(forest, top, leaves, start, stop, scores)
            learn_leaves(forest, self.height, self.window_size, leaves, start, stop)
            start = stop
        return scores

    def explain_one(self, x: Mapping[Any, float]) -> dict[Any, float]:
        """Each feature's share of the score, and under ``None`` what every row shares.

        The shares sum to the score. Raises DetectError in warm-up.
        """
        forest = self._ready()
        if not forest.state[WINDOWS]:
            raise DetectError("there is no score to explain in warm-up")
        leaves = self._leaves_of(x)[0]
        shares = self.explain_leaves(leaves, forest.profile, forest.reference)
        return dict(zip((*self._columns, None), shares.tolist(), strict=True))

    def explain_leaves(self, leaves: Array, profile: Array, reference: Array) -> Array:
        """The shares of a row's score under a given profile: one per column, the bias last."""
        forest = self._ready()
        shares = np.empty(len(self._columns) + 1)
        top = float(self._max_score)
        attribute(forest, self.height, top, profile, reference, leaves, shares)
        return shares

    @property
    def forest(self) -> Forest:
        """The arrays, for kernels."""
        return self._ready()

    # --- state ---------------------------------------------------------------------------------

    def snapshot(self) -> bytes:
        """The state as bytes, without pickle; ``restore`` on equal parameters continues exactly."""
        forest = self._ready()
        arrays = {name: a for name, a in forest._asdict().items() if name != "nodes"}
        return pack("half-space trees", self._parameters(), {}, arrays)

    def restore(self, data: bytes) -> None:
        """Take over a snapshot. Raises SnapshotRefused for one of other parameters."""
        forest = self._ready()
        _, arrays = unpack(data, "half-space trees", self._parameters(), {})
        for name, array in arrays.items():
            own = getattr(forest, name)
            if own.shape != array.shape or own.dtype != array.dtype:
                raise SnapshotRefused(f"the snapshot's {name} is {array.dtype} {array.shape}")
            own[...] = array

    def digest(self) -> str:
        """A digest of the state: equal digests, equal future scores."""
        return digest_of(*self._ready()[:4], self._ready().state)

    def copy_state(self, other: HalfSpaceTrees) -> None:
        """Take over the masses of a model with the same trees."""
        own, theirs = self._ready(), other._ready()
        for name in ("mass", "reference", "profile", "state"):
            getattr(own, name)[...] = getattr(theirs, name)

    def _parameters(self) -> str:
        parameters = (self.n_trees, self.height, self.window_size, self.seed, self._columns)
        limits = [self.limits[name] for name in self._columns]
        return digest_of(repr((parameters, limits)).encode())

    # --- trees ---------------------------------------------------------------------------------

    def _ready(self) -> Forest:
        if self._forest is None and self.features is None:
            raise DetectError("arrays need declared features, or a first observation")
        return self._grown(())

    def _grown(self, first: Sequence[Any]) -> Forest:
        """The trees, grown at their first use exactly as River grows them."""
        if self._forest is None:
            self._columns = tuple(self.features if self.features is not None else first)
            splits, leaves = 2**self.height - 1, 2**self.height
            forest = Forest(
                np.zeros((self.n_trees, splits), np.int16),
                np.zeros((self.n_trees, splits)),
                np.zeros((self.n_trees, leaves), np.int64),
                np.zeros((self.n_trees, leaves), np.int64),
                np.zeros((self.n_trees, leaves), np.int64),
                np.zeros((2, splits + leaves), np.int64),
                np.zeros(2, np.int64),
            )
            grow(forest, PADDING, self._growing(splits))
            tabulate(forest, self.height, self.size_limit)
            self._forest = forest
        return self._forest

    def _growing(self, splits: int) -> Growing:
        """What trees grow from; the random numbers are drawn as River draws them, tree by tree."""
        names = sorted(self._columns)
        limits = np.array([self.limits[name] for name in names], np.float64).reshape(-1, 2)
        total = float((limits[:, 1] - limits[:, 0]).sum())
        if splits and not 0.0 < total < np.inf:
            raise DetectError(f"the widths of the limits add up to {total}: nothing can be split")
        draws = [self.rng.random() for _ in range(2 * splits * self.n_trees)]
        return Growing(
            columns=np.array([self._columns.index(name) for name in names], np.int16),
            limits=limits,
            draws=np.array(draws).reshape(self.n_trees, splits, 2),
            bounds=np.empty((splits, len(names), 2)),
            turns=np.empty(splits, np.int64),
            widths=np.empty(len(names)),
        )

    def _leaves_of(self, x: Mapping[Any, float]) -> Array:
        """Where one observation ends in each tree."""
        forest = self._grown(())
        if all(name in x for name in self._columns):
            row = np.array([[_number(x[name]) for name in self._columns]])
            leaves = np.empty((1, self.n_trees), np.uint16)
            find_leaves(forest.feature, forest.threshold, self.height, row, leaves)
            return leaves
        return np.array([[self._walk(t, x) for t in range(self.n_trees)]], np.uint16)

    def _walk(self, t: int, x: Mapping[Any, float]) -> int:
        """The way down one tree for an observation that lacks features."""
        forest = self._grown(())
        masses = forest.nodes[0]
        node_masses(forest.mass[t], self.height, masses)
        node = 0
        for _ in range(self.height):
            name = self._columns[forest.feature[t, node]]
            left = 2 * node + 1
            if name in x:
                goes_left = x[name] < forest.threshold[t, node]
            else:
                goes_left = masses[left] >= masses[left + 1]
            node = left if goes_left else left + 1
        return int(node - (2**self.height - 1))


def _number(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats, on its side of every threshold
        return float("inf") if value > 0 else float("-inf")
