"""The wallet risk model: the probability that a wallet is bad, learnt online from late labels.

A wallet's features are scored at its milestones and held, as scored, until its label can be known:
``delay_seconds`` of block time later. Then the model learns them, in the order in which they were
scored, so nothing is learnt before its time. Inputs are the declared wallet features alone: no
date, no block number, no address. The address is kept beside them only to ask for the label.

The model is logistic regression on equal bins of each feature and of each pair of features, fitted
by AdaGrad one row at a time (a generalised additive model with pairwise interactions, GA2M, made
online), so its explanation is exact. Two more weights, learnt from the logits as they were scored,
calibrate it (Platt scaling).

References
----------
Lou et al., 2013. Accurate intelligible models with pairwise interactions.
Duchi, Hazan and Singer, 2011. Adaptive subgradient methods for online learning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chainwarden.errors import DeepReorg, DetectError
from detect.compiled import Array
from detect.kernels.risk import (
    BIAS_SQUARES,
    PENDING,
    POSITIVES,
    SKIPPED,
    SLOPE,
    STATE,
    Weights,
    contributions,
    fill_bins,
    learn_held,
    schedule,
    score_and_learn,
)
from detect.snapshot import digest_of, pack, unpack

ADDRESS_WORDS: Final = 5
MAX_BINS: Final = 256

Outcomes = Callable[[bytes, int], bool]
"""Whether a wallet (20 bytes) is known to be bad at a block time, asked once its label is due."""


@dataclass(frozen=True, slots=True)
class RiskConfig:
    """When labels come, how many rows wait for theirs at most, and how the model learns.

    A wallet's features are learnt from while it is no older than ``life_seconds``. There are no
    scores before ``warm_up`` bad rows are learnt. ``prior`` is what AdaGrad's sums start from.
    """

    delay_seconds: int = 30 * 86_400
    life_seconds: int = 30 * 86_400
    capacity: int = 262_144
    bins: int = 16
    rate: float = 0.01
    prior: float = 1.0
    warm_up: int = 20

    def __post_init__(self) -> None:
        if min(self.delay_seconds, self.life_seconds) < 0:
            raise DetectError("the label delay and the life of a wallet are not negative")
        if min(self.capacity, self.warm_up) < 1:
            raise DetectError("the capacity and the warm-up are positive")
        if not 2 <= self.bins <= MAX_BINS or self.rate <= 0.0 or self.prior <= 0.0:
            raise DetectError(f"2 to {MAX_BINS} bins; the learning rate and prior are positive")


@dataclass(frozen=True, slots=True)
class WalletRows:
    """Wallets at their milestones, in whole blocks cut by ``starts`` (blocks + 1,).

    ``features`` (rows, features) are in [0, 1]; ``keys`` (rows, 5) uint32 are the addresses, ``at``
    the block times of the rows, ``ages`` the wallets' ages in seconds; ``times`` (blocks,) are the
    block times.
    """

    features: Array
    keys: Array
    at: Array
    ages: Array
    starts: Array
    times: Array


class RiskModel:
    """The probability of badness over a stream of blocks of wallet rows, undone exactly.

    As with ``DepthLearner``, a settled copy of the weights stays ``undo_depth`` blocks behind; what
    the blocks since then have learnt is learnt again when one of them is taken back. If more than
    ``capacity`` rows wait for labels, those that waited longest give way unlearnt.
    """

    def __init__(
        self, config: RiskConfig, features: tuple[str, ...], undo_depth: int, outcomes: Outcomes
    ) -> None:
        self.config = config
        self.features = features
        self.undo_depth = undo_depth
        self._outcomes = outcomes
        self._head = _weights(config, len(features))
        self._settled = _weights(config, len(features))
        self._settled_serial = -1
        # Held rows from the first that the settled model has not passed. _until and _tails say of
        # the settled block and each since: the first row that waits then, and where rows end.
        self._held = _Held.empty(len(features))
        self._until = np.zeros(1, np.int64)
        self._tails = np.zeros(1, np.int64)

    @property
    def head_serial(self) -> int:
        """The serial of the last block, -1 before the first."""
        return self._settled_serial + len(self._until) - 1

    @property
    def waiting(self) -> int:
        """How many rows wait for their labels."""
        return int(self._tails[-1] - self._until[-1])

    @property
    def learnt(self) -> tuple[int, int]:
        """How many rows were learnt: of good wallets and of bad ones."""
        return int(self._head.counts[0]), int(self._head.counts[1])

    @property
    def warming_up(self) -> bool:
        """Whether there are no scores yet."""
        return int(self._head.counts[POSITIVES]) < self.config.warm_up

    def advance(self, rows: WalletRows) -> Array:
        """The rows' probabilities (float64, NaN in warm-up), after learning what is due by then.

        The blocks have the next serials.
        """
        bins = np.empty(rows.features.shape, np.uint8)
        fill_bins(np.ascontiguousarray(rows.features), self.config.bins, bins)
        keep = rows.ages <= self.config.life_seconds
        due = rows.at[keep] + self.config.delay_seconds
        begin, tail = int(self._until[-1]), int(self._tails[-1])
        self._held = held = self._held.extended(bins[keep], rows.keys[keep], due)
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(keep, dtype=np.int64)])
        tails = tail + counts[rows.starts]
        places = np.where(keep, tail + counts[:-1], -1)
        until = np.empty(len(rows.times), np.int64)
        asked = np.full(len(held.due), -1, np.int64)
        times = np.ascontiguousarray(rows.times, np.int64)
        schedule(held.due, tails, times, begin, self.config.capacity, until, asked)
        self._ask(begin, int(until[-1]) if len(until) else begin, asked)
        scores = np.empty(len(bins))
        score_and_learn(
            self._head,
            self.config.rate,
            self.config.warm_up,
            (held.bins, held.logits, held.outcomes),
            begin,
            until,
            bins,
            np.ascontiguousarray(rows.starts, np.int64),
            places,
            scores,
        )
        self._until = np.concatenate([self._until, until])
        self._tails = np.concatenate([self._tails, tails[1:]])
        self._settle(self.head_serial - self.undo_depth)
        return scores

    def explain(self, features: Array) -> dict[str | None, float]:
        """Each feature's share of the log odds of one row as of now; under None the bias.

        The shares sum to the logit of the probability; a pair's is halved between its two.
        """
        bins = np.empty((1, len(self.features)), np.uint8)
        fill_bins(np.ascontiguousarray(features).reshape(1, -1), self.config.bins, bins)
        shares = np.empty(len(self.features) + 1)
        contributions(self._head, bins[0], shares)
        return dict(zip((*self.features, None), shares.tolist(), strict=True))

    def revert(self, serial: int) -> None:
        """Undo the last block, which must have that serial. Raises DeepReorg if it is settled."""
        if serial != self.head_serial:
            raise DetectError(f"block serial {serial} is not the last one")
        if serial <= self._settled_serial:
            raise DeepReorg(f"block serial {serial} can no longer be undone")
        self._until, self._tails = self._until[:-1], self._tails[:-1]
        self._held = self._held.part(0, int(self._tails[-1]))
        self._held.outcomes[self._until[-1] :] = PENDING
        self._rebuild()

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self._settle(min(serial, self.head_serial))

    def digest(self) -> str:
        """A digest of the weights and the rows that wait, undo excluded."""
        waiting = self._held.part(int(self._until[-1]), int(self._tails[-1]))
        return digest_of(*self._head, *waiting.arrays().values())

    def snapshot(self) -> bytes:
        """The state, undo included, as plain arrays: the settled weights and the rows since."""
        arrays = {f"weights_{name}": a for name, a in self._settled._asdict().items()}
        arrays |= {f"held_{name}": a for name, a in self._held.arrays().items()}
        arrays |= {"until": self._until, "tails": self._tails}
        return pack("risk", self._schema(), {"settled": self._settled_serial}, arrays)

    def restore(self, data: bytes) -> None:
        """Take over a snapshot. Raises SnapshotRefused for one of another model."""
        meta, arrays = unpack(data, "risk", self._schema(), {})
        for name, own in self._settled._asdict().items():
            own[...] = arrays[f"weights_{name}"]
        self._held = _Held(**{n: arrays[f"held_{n}"] for n in _Held.__slots__})
        self._until, self._tails = arrays["until"], arrays["tails"]
        self._settled_serial = int(meta["settled"])
        self._rebuild()

    def _schema(self) -> str:
        return digest_of(repr((self.config, self.features, self.undo_depth)).encode())

    def _ask(self, begin: int, end: int, asked: Array) -> None:
        """Ask for the labels of the rows that leave the queue."""
        held, outcomes = self._held, self._outcomes
        held.outcomes[begin:end] = SKIPPED
        keys = held.keys[begin:end].astype("<u4").tobytes()
        for n, now in enumerate(asked[begin:end].tolist()):
            if now >= 0:
                address = keys[n * 4 * ADDRESS_WORDS : (n + 1) * 4 * ADDRESS_WORDS]
                held.outcomes[begin + n] = bool(outcomes(address, now))

    def _settle(self, serial: int) -> None:
        """Let the settled weights follow up to a block, and drop the rows that nobody needs."""
        blocks = serial - self._settled_serial
        if blocks <= 0:
            return
        self._follow(self._settled, blocks)
        passed = int(self._until[blocks])
        self._held = self._held.part(passed, int(self._tails[-1]))
        self._until, self._tails = self._until[blocks:] - passed, self._tails[blocks:] - passed
        self._settled_serial = serial

    def _rebuild(self) -> None:
        """The head's weights as they are after the blocks that are left."""
        for own, settled in zip(self._head, self._settled, strict=True):
            own[...] = settled
        self._follow(self._head, len(self._until) - 1)

    def _follow(self, model: Weights, blocks: int) -> None:
        """Learn again what the first ``blocks`` blocks after the settled one learnt."""
        held = self._held
        begin, end = int(self._until[0]), int(self._until[blocks])
        rate = self.config.rate
        learn_held(model, rate, held.bins, held.logits, held.outcomes, begin, end)


@dataclass(slots=True)
class _Held:
    # Rows as they were scored, with the time their label is due, and what it was.

    bins: Array
    keys: Array
    due: Array
    logits: Array
    outcomes: Array

    @classmethod
    def empty(cls, features: int) -> _Held:
        return cls(
            np.empty((0, features), np.uint8),
            np.empty((0, ADDRESS_WORDS), np.uint32),
            np.empty(0, np.int64),
            np.empty(0),
            np.empty(0, np.int8),
        )

    def extended(self, bins: Array, keys: Array, due: Array) -> _Held:
        return _Held(
            np.concatenate([self.bins, bins]),
            np.concatenate([self.keys, keys]),
            np.concatenate([self.due, due]),
            np.concatenate([self.logits, np.zeros(len(bins))]),
            np.concatenate([self.outcomes, np.full(len(bins), PENDING, np.int8)]),
        )

    def part(self, begin: int, end: int) -> _Held:
        return _Held(**{name: a[begin:end].copy() for name, a in self.arrays().items()})

    def arrays(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def _weights(config: RiskConfig, features: int) -> Weights:
    pairs, cells = features * (features - 1) // 2, config.bins * config.bins
    state = np.zeros(STATE)
    state[SLOPE] = 1.0
    state[BIAS_SQUARES:] = config.prior
    return Weights(
        np.zeros((features, config.bins)),
        np.full((features, config.bins), config.prior),
        np.zeros((pairs, cells)),
        np.full((pairs, cells), config.prior),
        state,
        np.zeros(2, np.int64),
    )
