"""The wallet risk model: scored at milestones, learnt when labels are due, corrected when they
change."""

from __future__ import annotations

import dataclasses
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from detect.features import RISK_FEATURES, WALLET_FEATURES
from detect.risk_config import RiskConfig
from tests.detect.chains import Flow
from tests.detect.plain.boosting import BINS, BoostedTrees
from tests.detect.plain.numbers import probability, single
from tests.detect.plain.pairs import OFFSET, SLOPE, BinsAndPairs
from tests.detect.plain.relations import Relation, Relations, relation_features
from tests.detect.plain.sample import WalletSample
from tests.detect.plain.state import Wallet

COARSE = 16
OWN = len(WALLET_FEATURES)


@dataclass(frozen=True)
class Milestone:
    """A wallet at a flow of its own: its side, its features, its anomaly score."""

    wallet: Wallet
    sends: bool
    own: dict[str, float]
    anomaly: float | None


@dataclass
class Held:
    """A row as it was scored, until its label is due and for a while after."""

    address: bytes
    hashed: int
    bins: Sequence[int]
    due: int
    received: float  # early income by then
    logit: float = 0.0
    stake: float | None = None  # share of the early income that was still to come
    outcome: bool | None = None
    copied: bool = False  # a correction of another row
    said: bool | None = None  # what the last correction of this row said


@dataclass(frozen=True)
class Rated:
    """What is said of a wallet: features, risk, and what moved it where it reached a level."""

    features: dict[str, float]
    risk: float | None
    shares: list[float] | None = None


class RiskModel:
    """Bins and pairs, boosted trees, and the stake, added in log odds."""

    def __init__(self, config: RiskConfig, outcomes: Callable[[bytes, int], bool]) -> None:
        self.config, self.outcomes = config, outcomes
        self.relations = Relations(config.wallets)
        self.pairs = BinsAndPairs(config.rate, config.prior)
        self.trees = BoostedTrees(config.trees, len(RISK_FEATURES))
        self.stakes = BoostedTrees(config.stake, len(RISK_FEATURES))
        self.waiting: deque[Held] = deque()
        self.past: deque[Held] = deque(maxlen=config.remembered)
        self.sample = WalletSample(config)

    # --- learning, before a block's flows -------------------------------------------------------

    def learn_due(self, now: int, turned: Iterable[bytes] = ()) -> None:
        """Learn the rows whose labels are due at a block, corrections of ``turned`` wallets first.

        The latter are asked for once more: their rows that were learnt with another label, and
        those that wait while it is known to be bad, are learnt as well.
        """
        self._correct({wallet: self.outcomes(wallet, now) for wallet in turned}, now)
        while self.waiting and self.waiting[0].due <= now:
            row = self.waiting.popleft()
            if row.copied:
                row.outcome = row.said
            else:
                bad = self.outcomes(row.address, now)
                row.outcome = None if bad == row.said else bad
            if row.outcome or (row.outcome is False and self.pairs.bad):
                self._learn(row)
            self.past.append(row)

    def end_block(self, now: int) -> None:
        """Rows for which there is no room give way unlearnt, the oldest first."""
        self.sample.end_block(now)
        while len(self.waiting) > self.config.capacity:
            self.past.append(self.waiting.popleft())

    def _correct(self, labels: dict[bytes, bool], now: int) -> None:
        copies = []
        for row in [*self.past, *self.waiting] if labels else ():
            if row.copied or row.address not in labels:
                continue
            bad = labels[row.address]
            known = row.outcome if row.said is None else row.said
            if (known is None and bad) or (known is not None and known != bad):
                row.said = bad
                copies.append(dataclasses.replace(row, due=now, copied=True))
        self.waiting.extendleft(reversed(copies))

    def _learn(self, row: Held) -> None:
        bad = bool(row.outcome)
        relation = self.relations.get(row.hashed)
        if relation is not None and relation.early_value > 0.0 and not row.copied:
            total = relation.early_value
            row.stake = min(1.0, max(0.0, (total - row.received) / total))
        self.pairs.learn(_coarse(row.bins), row.logit, bad)
        self.trees.learn(row.bins, float(bad), rare=bad)
        if row.stake is not None:
            self.stakes.learn(row.bins, row.stake, rare=bad)
        if relation is not None:
            if bad:
                relation.is_bad = True
            elif row.copied:
                relation.is_bad = False

    # --- scores ---------------------------------------------------------------------------------

    def relate(
        self, x: Flow, value: float, s: Wallet | None, r: Wallet | None, met: bool
    ) -> tuple[Relation | None, Relation | None]:
        """Learn a flow's relations; those of its parties."""
        hashes = (None if s is None else s.hashed, None if r is None else r.hashed)
        early = r is None or x.time - r.first_seen <= self.config.life_seconds
        return self.relations.learn(x, value, hashes, met, early)

    def rate(
        self, at: Milestone, x: Flow, value: float, flow: dict[str, float], score: float | None,
        mine: Relation, other: Relation | None,
    ) -> Rated:  # fmt: skip
        """The risk of a wallet at a milestone, which its relations remember."""
        f = at.own | relation_features(mine, other, at.sends, value, x.time)
        f["wallet_anomaly"] = 0.5 if at.anomaly is None else at.anomaly
        f["flow_anomaly"] = 0.5 if score is None else single(score)
        f |= {f"flow_{name}": v for name, v in flow.items()}
        f = {name: f[name] for name in RISK_FEATURES}
        bins = [min(BINS - 1, max(0, int(v * BINS))) for v in f.values()]
        logit = risk = shares = None
        if self.pairs.bad:
            logit = self._logit(bins)
        if logit is not None and self.pairs.bad >= self.config.warm_up:
            risk = probability(self.pairs.calibrated(logit))
            before = mine.top_risk
            if risk >= self.config.alert > before or risk >= self.config.grave > before:
                shares = self._shares(bins)
            mine.risk = single(risk)
            mine.top_risk = max(before, single(risk))
        wallet = at.wallet
        young = x.time - wallet.first_seen <= self.config.life_seconds
        if young and self.sample.has(wallet.hashed):
            due = x.time + self.config.delay_seconds
            held = Held(wallet.address, wallet.hashed, bins, due, mine.early_value, logit or 0.0)
            self.waiting.append(held)
        return Rated(f, risk, shares)

    def _stake(self, bins: Sequence[int]) -> float:
        return math.log(max(0.005, probability(self.stakes.logit(bins))))

    def _logit(self, bins: Sequence[int]) -> float:
        c = self.config
        return (
            c.pairs * self.pairs.logit(_coarse(bins))
            + (1.0 - c.pairs) * self.trees.logit(bins)
            + c.stake_weight * self._stake(bins)
        )

    def _shares(self, bins: Sequence[int]) -> list[float]:
        """What each feature adds to the log odds, then the stake, then what is nobody's."""
        c, slope = self.config, self.pairs.weights[SLOPE]
        shares = [0.0] * (len(bins) + 2)
        self.pairs.shares(_coarse(bins), c.pairs * slope, shares)
        self.trees.shares(bins, (1.0 - c.pairs) * slope, shares)
        shares[-2] = slope * c.stake_weight * self._stake(bins)
        shares[-1] += self.pairs.weights.get(OFFSET, 0.0)
        return shares


def _coarse(bins: Sequence[int]) -> list[int]:
    """The wallet's own features, in coarser bins."""
    return [b * COARSE // BINS for b in bins[:OWN]]
