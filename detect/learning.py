"""Score at the head, learn at depth: one anomaly model with its undo, its quantile and its drift.

A block's rows are scored when the block comes, and learnt when the head is ``learn_depth`` blocks
above it, counted in blocks as processed, so a replay in large batches learns in the same order as
a live run. What was learnt at most ``undo_depth`` blocks ago can be taken back: a second copy of
the model, the *settled* one, stays that far behind, with the leaves of the rows in between (two
bytes a tree), and the state of any block in the window is the settled state and a few milliseconds
of counting. So a revert gives the bits that a run on the other branch alone would have.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chainwarden.errors import DeepReorg, DetectError
from detect.compiled import Array
from detect.drift import ScoreDrift
from detect.growing import Growing
from detect.kernels.learning import BINS, TOTAL, Quantile, advance, tally_many
from detect.kernels.trees import WINDOWS, learn_leaves
from detect.models import HalfSpaceTrees
from detect.snapshot import digest_of, pack, unpack

PARTS: Final = ("mass", "reference", "profile", "state")


@dataclass(frozen=True, slots=True)
class LearnerConfig:
    """An anomaly model and how it learns; scores stand out above their quantile ``level``."""

    n_trees: int = 25
    height: int = 8
    window_size: int = 1000
    seed: int = 1
    learn_depth: int = 64
    undo_depth: int = 64
    level: float = 0.9999
    generation: int = 65_536


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """Scores (NaN in warm-up) and the running quantile before each row (NaN: too early to tell)."""

    scores: Array
    thresholds: Array
    leaves: Array
    version: Array
    profiles: Array
    references: Array


class _Model:
    """The part of a learner that changes as blocks come: at the head, or settled."""

    def __init__(self, trees: HalfSpaceTrees) -> None:
        self.trees = trees
        self.quantile = Quantile(np.zeros((2, BINS), np.int64), np.zeros(4, np.int64))
        self.drift = ScoreDrift()

    def copy_state(self, other: _Model) -> None:
        self.trees.copy_state(other.trees)
        self.quantile.counts[...] = other.quantile.counts
        self.quantile.state[...] = other.quantile.state
        self.drift.copy_state(other.drift)

    def dump(self) -> tuple[dict[str, Any], dict[str, Array]]:
        meta, arrays = self.drift.dump()
        forest = self.trees.forest
        arrays |= {f"trees_{part}": getattr(forest, part) for part in PARTS}
        arrays |= {f"quantile_{n}": a for n, a in self.quantile._asdict().items()}
        return meta, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        self.drift.load(meta, arrays)
        for part in PARTS:
            getattr(self.trees.forest, part)[...] = arrays[f"trees_{part}"]
        for name, own in self.quantile._asdict().items():
            own[...] = arrays[f"quantile_{name}"]


class DepthLearner:
    """An anomaly model over a stream of blocks of rows."""

    def __init__(self, config: LearnerConfig, features: tuple[str, ...]) -> None:
        if min(config.learn_depth, config.undo_depth) < 0 or not 0.0 < config.level < 1.0:
            raise DetectError("depths are not negative, the level is between 0 and 1")
        self.config = config
        self.features = features
        trees = HalfSpaceTrees(
            n_trees=config.n_trees,
            height=config.height,
            window_size=config.window_size,
            seed=config.seed,
            features=features,
        )
        # Grown before it is copied: River grows trees slowly.
        _ = trees.forest
        self._head = _Model(trees)
        self._settled = _Model(copy.deepcopy(trees))
        self._settled_serial = -1
        # The rows of the blocks from serial _first on, which the settled model has not learnt.
        self._first = 0
        self._starts = np.zeros(1, np.int64)
        self._numbers = np.empty(0, np.int64)
        self._leaves = Growing(np.empty((0, config.n_trees), np.uint16))
        self._scores = Growing(np.empty(0))

    @property
    def head_serial(self) -> int:
        """The serial of the last block, -1 before the first."""
        return self._first + len(self._numbers) - 1

    @property
    def warming_up(self) -> bool:
        """Whether there are no scores yet."""
        return not self._head.trees.forest.state[WINDOWS]

    @property
    def drift(self) -> ScoreDrift:
        """The drift of the scores."""
        return self._head.drift

    @property
    def scored(self) -> int:
        """How many scores the running quantile is of."""
        return int(self._head.quantile.state[TOTAL])

    @property
    def undo_bytes(self) -> int:
        """The size of the rows kept to be learnt or undone."""
        return int(self._leaves.rows.nbytes + self._scores.rows.nbytes)

    def advance(self, X: Array, starts: Array, numbers: Array) -> ScoredRows:
        """Score whole blocks of rows, cut by ``starts``, and learn those that are deep enough.

        The blocks have the next serials; ``numbers`` are their block numbers.
        """
        config, head, known = self.config, self._head, len(self._numbers)
        old = int(self._starts[-1])
        self._leaves.extend(head.trees.leaves_many(X))
        self._scores.extend(np.empty(len(X)))
        leaves, scores = self._leaves.rows, self._scores.rows
        self._starts = np.concatenate([self._starts, old + np.asarray(starts[1:], np.int64)])
        self._numbers = np.concatenate([self._numbers, np.asarray(numbers, np.int64)])
        forest = head.trees.forest
        versions = 2 + min(len(numbers), len(leaves) // config.window_size)
        thresholds, version = np.empty(len(scores)), np.empty(len(scores), np.int32)
        kept = np.empty((2, versions, *forest.profile.shape), np.int64)
        advance(
            forest,
            head.quantile,
            self._sizes(),
            config.learn_depth,
            leaves,
            self._starts,
            known,
            scores,
            thresholds,
            version,
            kept[0],
            kept[1],
        )
        new = scores[old:].copy()
        head.drift.update_many(new, np.repeat(self._numbers[known:], np.diff(starts)))
        rows = ScoredRows(new, thresholds[old:], leaves[old:].copy(), version[old:], *kept)
        self._settle(self.head_serial - config.undo_depth)
        return rows

    def explain(self, rows: ScoredRows, row: int) -> Array:
        """Each feature's share of a row's score, the bias last; the shares sum to the score."""
        version = rows.version[row]
        return self._head.trees.explain_leaves(
            rows.leaves[row], rows.profiles[version], rows.references[version]
        )

    def revert(self, serial: int) -> None:
        """Undo the last block, which must have that serial. Raises DeepReorg if it is settled."""
        if serial != self.head_serial:
            raise DetectError(f"block serial {serial} is not the last one")
        if serial <= self._settled_serial:
            raise DeepReorg(f"block serial {serial} can no longer be undone")
        last = int(self._starts[-1] - self._starts[-2])
        self._leaves.drop_last(last)
        self._scores.drop_last(last)
        self._starts, self._numbers = self._starts[:-1], self._numbers[:-1]
        self._rebuild()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self._settle(min(serial, self.head_serial))

    def digest(self) -> str:
        """A digest of the state, undo excluded: model, quantile, drift, rows yet to be learnt."""
        meta, arrays = self._head.dump()
        from_block = max(0, len(self._numbers) - self.config.learn_depth)
        starts = self._starts[from_block:]
        return digest_of(
            repr(sorted(meta.items())).encode(),
            *arrays.values(),
            starts - starts[0],
            self._leaves.rows[starts[0] :],
        )

    def snapshot(self) -> bytes:
        """The state, undo included: the settled model and the rows since."""
        meta, arrays = self._settled.dump()
        meta |= {"first": self._first, "settled": self._settled_serial}
        arrays |= {
            "starts": self._starts,
            "numbers": self._numbers,
            "leaves": self._leaves.rows,
            "scores": self._scores.rows,
        }
        return pack("learner", self._schema(), meta, arrays)

    def restore(self, data: bytes) -> None:
        """Take over a snapshot. Raises SnapshotRefused for one of another model."""
        meta, arrays = unpack(data, "learner", self._schema(), {})
        self._settled.load(meta, arrays)
        self._first, self._settled_serial = int(meta["first"]), int(meta["settled"])
        self._starts, self._numbers = arrays["starts"], arrays["numbers"]
        self._leaves, self._scores = Growing(arrays["leaves"]), Growing(arrays["scores"])
        self._rebuild()

    def _schema(self) -> str:
        return digest_of(repr((self.config, self.features)).encode())

    def _sizes(self) -> tuple[int, int, int, float, float]:
        config = self.config
        top = float(self._head.trees._max_score)
        return config.height, config.window_size, config.generation, 1.0 - config.level, top

    def _settle(self, serial: int) -> None:
        """Let the settled model follow up to a block, and drop the rows nobody needs any more."""
        if serial > self._settled_serial:
            self._follow(self._settled, self._settled_serial + 1, serial)
            self._settled_serial = serial
        dropped = max(0, self._settled_serial - self.config.learn_depth + 1 - self._first)
        if dropped:
            at = int(self._starts[dropped])
            self._leaves.drop_first(at)
            self._scores.drop_first(at)
            self._starts = self._starts[dropped:] - at
            self._numbers = self._numbers[dropped:].copy()
            self._first += dropped

    def _rebuild(self) -> None:
        """The head as it is after the rows that are left."""
        self._head.copy_state(self._settled)
        self._follow(self._head, self._settled_serial + 1, self.head_serial)

    def _follow(self, model: _Model, first: int, last: int) -> None:
        """What the blocks ``first`` to ``last`` change of a model: they are scored already."""
        height, window, generation, rest, _ = self._sizes()
        begin, end = self._row(first), self._row(last + 1)
        scores = self._scores.rows
        tally_many(model.quantile, scores, begin, end, rest, generation)
        blocks = slice(max(0, first - self._first), max(0, last + 1 - self._first))
        counts = np.diff(self._starts)[blocks]
        model.drift.update_many(scores[begin:end], np.repeat(self._numbers[blocks], counts))
        depth = self.config.learn_depth
        begin, end = self._row(first - depth), self._row(last + 1 - depth)
        learn_leaves(model.trees.forest, height, window, self._leaves.rows, begin, end)

    def _row(self, serial: int) -> int:
        """Where a block's rows start; those from before the ring have none."""
        return int(self._starts[max(0, serial - self._first)])
