"""The risk model: learnt from late labels alone, in order, calibrated, undone exactly."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import DeepReorg, DetectError, SnapshotRefused
from chainwarden.schema import ETHEREUM
from detect.compiled import Array
from detect.detector import Detector
from detect.features import FLOW_FEATURES
from detect.risk import RiskConfig, RiskModel, WalletRows
from tests.detect.chains import batch_of
from tests.detect.runs import RISKY, EveryFinding, Run, blocks, detector

# scikit-learn has no types.
metrics = importlib.import_module("sklearn.metrics")
FEATURES = ("a", "b", "c")
SMALL = RiskConfig(delay_seconds=100, life_seconds=60, capacity=1000, bins=4, rate=0.1, warm_up=1)


def address(n: int) -> bytes:
    """The n-th wallet."""
    return n.to_bytes(20, "little")


def is_odd(wallet: bytes, _now: int) -> bool:
    """Every second wallet is bad."""
    return wallet[0] % 2 == 1


def model(
    config: RiskConfig = SMALL, outcomes: Callable[[bytes, int], bool] = is_odd, undo: int = 8
) -> RiskModel:
    """A model that has seen nothing."""
    return RiskModel(config, FEATURES, undo, outcomes)


def row_blocks(seed: int, count: int, step: int = 15) -> WalletRows:
    """Blocks of up to four rows; the first feature leans towards odd wallets."""
    rng = np.random.default_rng(seed)
    starts = np.append(0, np.cumsum(rng.integers(0, 5, count)))
    wallets = rng.integers(0, 256, starts[-1])
    X = rng.random((starts[-1], 3)).astype(np.float32)
    X[:, 0] = np.clip(0.6 * X[:, 0] + 0.4 * (wallets % 2), 0, 1)
    times = 1000 + step * np.arange(count)
    keys = np.zeros((starts[-1], 5), np.uint32)
    keys[:, 0] = wallets
    at = np.repeat(times, np.diff(starts))
    return WalletRows(X, keys, at, rng.integers(0, 80, starts[-1]), starts, times)


def part(rows: WalletRows, first: int, stop: int) -> WalletRows:
    """Some of the blocks."""
    a, b = rows.starts[first], rows.starts[stop]
    return WalletRows(
        rows.features[a:b],
        rows.keys[a:b],
        rows.at[a:b],
        rows.ages[a:b],
        rows.starts[first : stop + 1] - a,
        rows.times[first:stop],
    )


# --- what it computes --------------------------------------------------------------------------


class Plain:
    """The same model, a dictionary of weights and one row at a time."""

    def __init__(self, config: RiskConfig) -> None:
        self.config = config
        self.weights: dict[object, float] = {"slope": 1.0}
        self.squares: dict[object, float] = {}
        self.bad = 0

    def cells(self, x: Array) -> list[object]:
        """The bias, the bins, the pairs of bins."""
        bins = list(enumerate(min(self.config.bins - 1, int(v * self.config.bins)) for v in x))
        return [None, *bins, *itertools.combinations(bins, 2)]

    def logit(self, x: Array) -> float:
        """Before calibration."""
        return sum(self.weights.get(cell, 0.0) for cell in self.cells(x))

    def calibrated(self, logit: float) -> float:
        """The probability."""
        z = self.weights["slope"] * logit + self.weights.get("offset", 0.0)
        return 1 / (1 + math.exp(-z))

    def learn(self, x: Array, scored: float, label: bool) -> None:
        """AdaGrad on the calibration, then on the weights."""
        off = self.calibrated(scored) - label
        gradients: dict[object, float] = {"slope": off * scored, "offset": off}
        self.step(gradients)
        self.step(dict.fromkeys(self.cells(x), 1 / (1 + math.exp(-self.logit(x))) - label))
        self.bad += label

    def step(self, gradients: dict[object, float]) -> None:
        """One step."""
        for cell, g in gradients.items():
            self.squares[cell] = self.squares.get(cell, self.config.prior) + g * g
            move = self.config.rate * g / math.sqrt(self.squares[cell])
            self.weights[cell] = self.weights.get(cell, 0.0) - move


def test_it_is_the_model_it_says_it_is() -> None:
    """Scores are those of a plain AdaGrad logistic regression fed each row when it is due."""
    rows, plain = row_blocks(3, 200), Plain(SMALL)
    waiting: list[tuple[int, Array, float, int]] = []
    expected = []
    for b, now in enumerate(rows.times.tolist()):
        while waiting and waiting[0][0] <= now:
            _, x, scored, wallet = waiting.pop(0)
            plain.learn(x, scored, wallet % 2 == 1)
        for i in range(rows.starts[b], rows.starts[b + 1]):
            scored = plain.logit(rows.features[i])
            expected.append(plain.calibrated(scored) if plain.bad >= 1 else float("nan"))
            if rows.ages[i] <= 60:
                waiting.append((now + 100, rows.features[i], scored, int(rows.keys[i, 0])))
    warden = model()
    assert warden.advance(rows) == pytest.approx(np.array(expected), abs=1e-9, nan_ok=True)
    assert warden.waiting == len(waiting) > 0
    assert np.isnan(expected[:5]).all()
    assert np.isfinite(expected[-300:]).all()


def test_it_learns_what_there_is_to_learn_and_is_calibrated() -> None:
    """It ranks nearly as well as the truth can, and wallets are as often bad as it says."""
    rng, count = np.random.default_rng(4), 20_000
    X = rng.random((count, 3)).astype(np.float32)
    truth = 1 / (1 + np.exp(-8 * (X[:, 0] - 0.5) - 6 * (X[:, 1] - 0.5) * (X[:, 2] - 0.5)))
    keys = np.zeros((count, 5), np.uint32)
    keys[:, 0] = rng.random(count) < truth
    times, starts = 1000 + np.arange(count), np.arange(count + 1)
    rows = WalletRows(X, keys, times, np.zeros(count), starts, times)
    config = RiskConfig(delay_seconds=100, life_seconds=60, bins=8, rate=0.03)
    scores, labels = model(config).advance(rows)[-8000:], keys[-8000:, 0]
    best = metrics.roc_auc_score(labels, truth[-8000:])
    assert metrics.roc_auc_score(labels, scores) > best - 0.01
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        there = (scores >= low) & (scores < low + 0.2)
        assert scores[there].mean() == pytest.approx(labels[there].mean(), abs=0.07)


def test_an_explanation_sums_to_the_log_odds() -> None:
    """The shares of features and bias add up; what decides the label weighs most."""
    warden, rows = model(), row_blocks(5, 400)
    warden.advance(rows)
    last = WalletRows(
        rows.features[:1],
        rows.keys[:1],
        rows.at[-1:],
        np.zeros(1),
        np.array([0, 1]),
        rows.times[-1:],
    )
    x = last.features[0]
    shares = warden.explain(x)
    score = float(warden.advance(last)[0])
    assert sum(shares.values()) == pytest.approx(math.log(score / (1 - score)), abs=1e-9)
    assert list(shares) == [*FEATURES, None]
    low, high = (warden.explain(np.array([v, 0.5, 0.5], np.float32))["a"] for v in (0.05, 0.95))
    assert high - low > 2


# --- no look-ahead -----------------------------------------------------------------------------


def test_labels_are_asked_for_when_they_are_due_and_not_before() -> None:
    """Each row of a young wallet is asked about once, at the first block after its delay."""
    rows, asked = row_blocks(6, 100), []

    def outcomes(wallet: bytes, now: int) -> bool:
        asked.append((int.from_bytes(wallet, "little"), now))
        return False

    model(outcomes=outcomes).advance(rows)
    expected = []
    for i in np.flatnonzero(rows.ages <= 60):
        blocks_after = rows.times[rows.times >= rows.at[i] + 100]
        if len(blocks_after):
            expected.append((int(rows.keys[i, 0]), int(blocks_after[0])))
    assert asked == expected


def test_a_score_depends_on_no_label_that_was_not_due() -> None:
    """Turning every label from some time on changes no score until then."""
    rows, turn = row_blocks(7, 200), 2000
    straight = model().advance(rows)
    turned = model(outcomes=lambda w, now: is_odd(w, now) != (now >= turn)).advance(rows)
    before = rows.at < turn
    assert np.array_equal(straight[before], turned[before], equal_nan=True)
    assert not np.array_equal(straight[~before], turned[~before])


def test_it_knows_no_date_and_no_address() -> None:
    """Other times and other addresses, same order and labels: the same bits."""
    rows = row_blocks(8, 150)
    moved = WalletRows(
        rows.features,
        rows.keys + np.uint32(512),
        rows.at + 94_694_400,
        rows.ages,
        rows.starts,
        rows.times + 94_694_400,
    )
    assert np.array_equal(model().advance(rows), model().advance(moved), equal_nan=True)


def test_without_bad_wallets_there_are_no_scores() -> None:
    """Warm-up ends with bad rows learnt, however many good ones there are."""
    warden = model(outcomes=lambda _wallet, _now: False)
    assert np.isnan(warden.advance(row_blocks(9, 200))).all()
    assert warden.warming_up
    assert warden.learnt[0] > 100


# --- bounds ------------------------------------------------------------------------------------


def test_rows_beyond_the_capacity_give_way_unlearnt() -> None:
    """No more wait than there is room for; the oldest go, and are never asked about."""
    rows, asked = row_blocks(10, 100), []

    def outcomes(wallet: bytes, now: int) -> bool:
        asked.append(wallet)
        return is_odd(wallet, now)

    warden = model(RiskConfig(delay_seconds=100, life_seconds=60, capacity=5, warm_up=1), outcomes)
    for b in range(100):
        warden.advance(part(rows, b, b + 1))
        assert warden.waiting <= 5
    assert 0 < len(asked) < int((rows.ages <= 60).sum()) - 50


def test_one_block_with_more_rows_than_there_is_room_for() -> None:
    """What does not fit even within a block is scored and not learnt."""
    rows = row_blocks(11, 100)
    whole = WalletRows(
        rows.features,
        rows.keys,
        np.full(len(rows.at), 1000),
        rows.ages,
        np.array([0, len(rows.at)]),
        np.array([1000]),
    )
    warden = model(RiskConfig(delay_seconds=10, capacity=5))
    warden.advance(whole)
    assert warden.waiting == 5
    warden.advance(
        dataclasses.replace(part(rows, 0, 0), starts=np.zeros(2, np.int64), times=np.array([1010]))
    )
    assert warden.waiting == 0
    assert sum(warden.learnt) == 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay_seconds": -1},
        {"life_seconds": -1},
        {"capacity": 0},
        {"bins": 1},
        {"bins": 257},
        {"rate": 0.0},
        {"prior": 0.0},
        {"warm_up": 0},
    ],
)
def test_a_configuration_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """Each value has its range."""
    with pytest.raises(DetectError):
        RiskConfig(**wrong)


# --- one result for a chain of blocks ------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(1, 79), max_size=6),
    capacity=st.sampled_from([3, 20, 1000]),
    reverts=st.integers(0, 8),
    restored=st.booleans(),
)
def test_batches_reverts_and_snapshots_leave_no_trace(
    seed: int, cuts: list[int], capacity: int, reverts: int, restored: bool
) -> None:
    """Scores and digest are those of one run over the blocks that stayed."""
    config = RiskConfig(delay_seconds=100, life_seconds=60, capacity=capacity, bins=4, warm_up=1)
    rows, other = row_blocks(seed, 80), row_blocks(seed + 1, 20)
    warden, scores = model(config), []
    for first, stop in itertools.pairwise(sorted({0, *cuts, 80})):
        scores.append(warden.advance(part(rows, first, stop)))
    fresh = model(config)
    assert np.array_equal(np.concatenate(scores), fresh.advance(rows), equal_nan=True)
    assert warden.digest() == fresh.digest()
    # A fork that is taken back, then the chain again.
    for n in range(reverts):
        warden.advance(part(other, n, n + 1))
    if restored:
        data, warden = warden.snapshot(), model(config)
        warden.restore(data)
        assert warden.snapshot() == data
    for n in range(reverts):
        warden.revert(79 + reverts - n)
    assert warden.digest() == fresh.digest()
    again, expected = warden.advance(other), fresh.advance(other)
    assert np.array_equal(again, expected, equal_nan=True)
    assert warden.digest() == fresh.digest()


def test_only_the_last_blocks_can_be_reverted() -> None:
    """The head alone, and no deeper than the undo depth or what is final."""
    warden = model()
    warden.advance(row_blocks(12, 30))
    with pytest.raises(DetectError):
        warden.revert(28)
    warden.forget(27)
    warden.revert(29)
    warden.revert(28)
    with pytest.raises(DeepReorg):
        warden.revert(27)


def test_a_snapshot_of_another_model_is_refused() -> None:
    """Other settings or features, or damage: SnapshotRefused, nothing unpickled."""
    warden = model()
    warden.advance(row_blocks(13, 30))
    data = warden.snapshot()
    strangers = [
        model(RiskConfig()),
        model(undo=9),
        RiskModel(SMALL, ("a", "b", "d"), 8, is_odd),
    ]
    for stranger in strangers:
        with pytest.raises(SnapshotRefused):
            stranger.restore(data)
    with pytest.raises(SnapshotRefused):
        model().restore(data[:-40] + bytes(8) + data[-32:])


# --- in the detector -----------------------------------------------------------------------------


def test_the_detector_scores_wallets_at_their_milestones() -> None:
    """Risks are null in warm-up and where no wallet is at a milestone, else probabilities."""
    run = Run()
    run.add(blocks(5, 0, 60))
    risks = [f[side].to_numpy() for f, _ in run.said for side in ("from_risk", "to_risk") if len(f)]
    every = np.concatenate(risks)
    known = every[np.isfinite(every)]
    assert 20 < len(known) < len(every)
    assert ((known > 0) & (known < 1)).all()
    assert np.isnan(np.concatenate(risks[:6])).all()
    stats = run.detector.stats()
    assert stats["risk_warming_up"] == 0
    assert stats["risk_rows_learnt_bad"] >= 2
    assert 0 < stats["risk_rows_waiting"] <= 40


def test_the_risk_model_changes_nothing_else() -> None:
    """Without it, features and anomaly scores are the same; a snapshot knows the difference."""
    plain, risky = detector(dataclasses.replace(RISKY, risk=None)), detector()
    batch = batch_of(blocks(6, 0, 60))
    one, two = plain.process(batch).features, risky.process(batch).features
    names = ["flow_score", "from_score", "to_score", *FLOW_FEATURES]
    assert one.select(names).equals(two.select(names))
    assert one["from_risk"].null_count == len(one)
    with pytest.raises(SnapshotRefused):
        plain.restore(risky.snapshot())


def test_a_risk_model_needs_somebody_to_ask() -> None:
    """Without outcomes it would learn that everybody is good."""
    with pytest.raises(DetectError):
        Detector(ETHEREUM, RISKY, [], EveryFinding())
