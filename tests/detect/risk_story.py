"""Rows for the risk model, told without a detector: one flow for each wallet at a milestone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from detect.boosting import BoostingConfig
from detect.compiled import Array
from detect.features import RELATION_FEATURES
from detect.kernels.risk import COARSE, Flows, Rows
from detect.risk import RiskModel, WalletRows
from detect.risk_config import ReferenceConfig, RiskConfig

OWN = ("a", "b", "c")
FLOW = ("flow_a", "flow_b")
FEATURES = (*OWN, *RELATION_FEATURES, *FLOW)
# So small that rows and trees are overwritten all the time.
TREES = BoostingConfig(
    members=2, trees=3, depth=2, every=5, common=24, rare=12, sample=16, warm_up=1, least=0.01
)
STAKES = BoostingConfig(
    members=1, trees=2, depth=2, every=7, common=24, rare=12, sample=16, warm_up=1, least=0.01
)


# Copied again and again, and hardly allowed to be apart.
REFERENCE = ReferenceConfig(
    every_seconds=200, warm_up=5, sample=2, least=0.2, allowance=0.05, limit=1.0
)


def small(
    capacity: int = 1000, wallets: int = 64, remembered: int = 65_536, **changes: Any
) -> RiskConfig:
    """A model with little room, that learns soon."""
    return RiskConfig(
        delay_seconds=100,
        life_seconds=60,
        capacity=capacity,
        wallets=wallets,
        remembered=remembered,
        rate=0.1,
        warm_up=1,
        trees=TREES,
        stake=STAKES,
        reference=REFERENCE,
        **changes,
    )


@dataclass(frozen=True)
class Story:
    """Wallets at milestones, in blocks cut by ``starts``; each pays somebody one ether."""

    own: Array  # float32 (rows, 3)
    wallets: Array  # int
    at: Array
    ages: Array
    starts: Array
    times: Array

    def batch(self, first: int = 0, stop: int | None = None) -> WalletRows:
        """Some of the blocks, nothing filled in yet."""
        stop = len(self.times) if stop is None else stop
        a, b = int(self.starts[first]), int(self.starts[stop])
        count, wallets, at = b - a, self.wallets[a:b], self.at[a:b].astype(np.int64)
        starts = (self.starts[first : stop + 1] - a).astype(np.int64)
        keys = np.zeros((count, 5), np.uint32)
        keys[:, 0] = wallets
        hashed = (wallets + 1).astype(np.uint64) << np.uint64(8)
        sends = wallets % 3 > 0
        other = ((wallets * 7 + 3) % 11 + 1).astype(np.uint64) << np.uint64(40)
        features = np.stack([self.own[a:b, 0], 1 - self.own[a:b, 2]], axis=1)
        flows = Flows(
            starts=starts,
            at=at,
            sender=np.where(sends, hashed, other),
            receiver=np.where(sends, other, hashed),
            no_sender=np.zeros(count, np.bool_),
            no_receiver=wallets % 13 == 5,
            value=np.full(count, 1e18) * (1 + wallets % 4),
            is_coin=wallets % 5 > 0,
            moved=wallets % 17 > 0,
            met=wallets % 2 == 0,
            early=self.ages[a:b] <= 60,
            features=features.astype(np.float32),
            scores=np.full(count, np.nan),
        )
        flows = flows._replace(no_receiver=flows.no_receiver & sends)
        rows = Rows(
            starts=starts,
            flow=np.arange(count, dtype=np.int32),
            sends=sends,
            own=np.ascontiguousarray(self.own[a:b]),
            anomaly=np.full(count, np.nan),
            held=np.full(count, -1, np.int64),
            features=np.empty((count, len(FEATURES)), np.float32),
            bins=np.empty((count, len(FEATURES)), np.uint8),
            risks=np.empty(count),
            told=np.empty((count, len(FEATURES) + 2)),
            told_row=np.empty(count, np.int64),
            told_used=np.zeros(1, np.int64),
        )
        return WalletRows(flows, rows, keys, hashed, at, self.ages[a:b], self.times[first:stop])


def story(seed: int, count: int, step: int = 15) -> Story:
    """Blocks of up to four rows; the first feature leans towards odd wallets."""
    rng = np.random.default_rng(seed)
    starts = np.append(0, np.cumsum(rng.integers(0, 5, count)))
    wallets = rng.integers(0, 256, starts[-1])
    own = rng.random((starts[-1], 3)).astype(np.float32)
    own[:, 0] = np.clip(0.6 * own[:, 0] + 0.4 * (wallets % 2), 0, 1)
    times = 1000 + step * np.arange(count)
    at = np.repeat(times, np.diff(starts))
    return Story(own, wallets, at, rng.integers(0, 80, starts[-1]), starts, times)


def coarse(own: Array) -> list[int]:
    """A row's own features in the bins of the pairs."""
    return [min(COARSE - 1, int(value * COARSE)) for value in own.tolist()]


def risks(model: RiskModel, told: Story, *cuts: int) -> Array:
    """What the model says of every row, the blocks given in batches cut at those places."""
    ends = sorted({0, *cuts, len(told.times)})
    parts = [model.advance(told.batch(a, b)).risks for a, b in itertools.pairwise(ends)]
    return np.concatenate(parts)
