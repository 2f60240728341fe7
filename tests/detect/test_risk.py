"""The risk model: learnt from late labels alone, in order, calibrated, undone exactly."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import DeepReorg, DetectError, SnapshotRefused
from chainwarden.schema import ETHEREUM
from detect.detector import Detector
from detect.features import FLOW_FEATURES
from detect.risk import RiskModel
from detect.risk_config import RiskConfig
from detect.risk_findings import contributions
from tests.detect.chains import batch_of
from tests.detect.plain.numbers import probability
from tests.detect.plain.pairs import BinsAndPairs
from tests.detect.risk_story import FEATURES, OWN, Story, coarse, risks, small, story
from tests.detect.runs import RISKY, EveryFinding, Run, blocks, detector

# scikit-learn has no types.
metrics = importlib.import_module("sklearn.metrics")
SMALL = small()


def is_odd(wallet: bytes, _now: int) -> bool:
    """Every second wallet is bad."""
    return wallet[0] % 2 == 1


def model(
    config: RiskConfig = SMALL, outcomes: Callable[[bytes, int], bool] = is_odd, undo: int = 8
) -> RiskModel:
    """A model that has seen nothing."""
    return RiskModel(config, FEATURES, len(OWN), undo, outcomes)


# --- what it computes --------------------------------------------------------------------------


def test_its_bins_and_pairs_are_a_plain_logistic_regression() -> None:
    """Alone, they score as plain AdaGrad does that is fed each row when it is due."""
    config = small(pairs=1.0, stake_weight=0.0)
    told, plain = story(3, 200), BinsAndPairs(config.rate, config.prior)
    waiting: list[tuple[int, list[int], float, int]] = []
    expected = []
    for b, now in enumerate(told.times.tolist()):
        while waiting and waiting[0][0] <= now:
            _, bins, scored, wallet = waiting.pop(0)
            if wallet % 2 == 1 or plain.bad:
                plain.learn(bins, scored, wallet % 2 == 1)
        for i in range(told.starts[b], told.starts[b + 1]):
            bins = coarse(told.own[i])
            scored = plain.logit(bins) if plain.bad else 0.0
            risk = probability(plain.calibrated(scored)) if plain.bad else float("nan")
            expected.append(risk)
            if told.ages[i] <= 60:
                waiting.append((now + 100, bins, scored, int(told.wallets[i])))
    warden = model(config)
    assert np.array_equal(risks(warden, told), expected, equal_nan=True)
    assert warden.waiting == len(waiting) > 0
    assert np.isnan(expected[:5]).all()
    assert np.isfinite(expected[-300:]).all()


def test_it_learns_what_there_is_to_learn_and_is_calibrated() -> None:
    """It ranks nearly as well as the truth can, and wallets are as often bad as it says."""
    rng, count = np.random.default_rng(4), 20_000
    own = rng.random((count, 3)).astype(np.float32)
    truth = 1 / (1 + np.exp(-8 * (own[:, 0] - 0.5) - 6 * (own[:, 1] - 0.5) * (own[:, 2] - 0.5)))
    wallets = 2 * rng.integers(0, 100, count) + (rng.random(count) < truth)
    times, starts = 1000 + np.arange(count), np.arange(count + 1)
    told = Story(own, wallets, times, np.zeros(count), starts, times)
    config = RiskConfig(delay_seconds=100, life_seconds=60, rate=0.03, stake_weight=0.0)
    scores, labels = risks(model(config), told)[-8000:], wallets[-8000:] % 2
    best = metrics.roc_auc_score(labels, truth[-8000:])
    assert metrics.roc_auc_score(labels, scores) > best - 0.01
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        there = (scores >= low) & (scores < low + 0.2)
        assert scores[there].mean() == pytest.approx(labels[there].mean(), abs=0.07)


def test_who_rises_to_a_level_is_told_of_with_what_moved_it() -> None:
    """The shares written down sum to the row's log odds, and as contributions to its risk."""
    warden, told = model(small(alert=0.6, grave=0.8)), story(5, 400)
    found = 0
    for first in range(0, 400, 50):
        rows = warden.advance(told.batch(first, first + 50))
        for n in range(int(rows.told_used[0])):
            row = int(rows.told_row[n])
            risk = float(rows.risks[row])
            assert risk >= 0.6
            logit = math.log(risk / (1 - risk))
            assert float(rows.told[n].sum()) == pytest.approx(logit, abs=1e-9)
            usual, parts = contributions(rows.told[n])
            assert usual + float(parts.sum()) == pytest.approx(risk, abs=1e-9)
            found += 1
    assert 10 < found < 200


# --- no look-ahead -----------------------------------------------------------------------------


def test_labels_are_asked_for_when_they_are_due_and_not_before() -> None:
    """Each row of a young wallet is asked about once, at the first block after its delay."""
    told, asked = story(6, 100), []

    def outcomes(wallet: bytes, now: int) -> bool:
        asked.append((int.from_bytes(wallet, "little"), now))
        return False

    risks(model(outcomes=outcomes), told)
    expected = []
    for i in np.flatnonzero(told.ages <= 60):
        blocks_after = told.times[told.times >= told.at[i] + 100]
        if len(blocks_after):
            expected.append((int(told.wallets[i]), int(blocks_after[0])))
    assert asked == expected


def test_a_score_depends_on_no_label_that_was_not_due() -> None:
    """Turning every label from some time on changes no score until then."""
    told, turn = story(7, 200), 2000
    straight = risks(model(), told)
    turned = risks(model(outcomes=lambda w, now: is_odd(w, now) != (now >= turn)), told)
    before = told.at < turn
    assert np.array_equal(straight[before], turned[before], equal_nan=True)
    assert not np.array_equal(straight[~before], turned[~before])


def test_it_knows_no_date_and_no_address() -> None:
    """Other times and other addresses, same order and labels: the same bits."""
    told = story(8, 150)
    later = dataclasses.replace(told, at=told.at + 94_694_400, times=told.times + 94_694_400)
    batch = later.batch()
    batch = dataclasses.replace(batch, keys=batch.keys + np.uint32(512))
    assert np.array_equal(risks(model(), told), model().advance(batch).risks, equal_nan=True)


def test_without_bad_wallets_there_are_no_scores() -> None:
    """Warm-up ends with bad rows learnt; before the first there is nothing to tell good from."""
    warden = model(outcomes=lambda _wallet, _now: False)
    assert np.isnan(risks(warden, story(9, 200))).all()
    assert warden.warming_up
    assert warden.learnt == (0, 0)


# --- bounds ------------------------------------------------------------------------------------


def test_rows_beyond_the_capacity_give_way_unlearnt() -> None:
    """No more wait than there is room for; the oldest go, and are never asked about."""
    told, asked = story(10, 100), []

    def outcomes(wallet: bytes, now: int) -> bool:
        asked.append(wallet)
        return is_odd(wallet, now)

    warden = model(small(capacity=5), outcomes)
    for b in range(100):
        warden.advance(told.batch(b, b + 1))
        assert warden.waiting <= 5
    assert 0 < len(asked) < int((told.ages <= 60).sum()) - 50


def test_one_block_with_more_rows_than_there_is_room_for() -> None:
    """What does not fit even within a block is scored and not learnt."""
    told = story(11, 100)
    whole = dataclasses.replace(
        told,
        at=np.full(len(told.at), 1000),
        starts=np.array([0, len(told.at)]),
        times=np.array([1000]),
    )
    warden = model(small(capacity=5), outcomes=lambda _wallet, _now: True)
    warden.advance(whole.batch())
    assert warden.waiting == 5
    none = dataclasses.replace(told, starts=np.zeros(2, np.int64), times=np.array([1200]))
    warden.advance(none.batch())
    assert warden.waiting == 0
    assert warden.learnt == (0, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay_seconds": -1},
        {"life_seconds": -1},
        {"capacity": 0},
        {"pairs": 1.5},
        {"rate": 0.0},
        {"prior": 0.0},
        {"warm_up": 0},
        {"alert": 0.95},
        {"stake_weight": -1.0},
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
    config = small(capacity=capacity)
    told, other = story(seed, 80), story(seed + 1, 20)
    warden, fresh = model(config), model(config)
    assert np.array_equal(risks(warden, told, *cuts), risks(fresh, told), equal_nan=True)
    assert warden.digest() == fresh.digest()
    # A fork that is taken back, then the chain again.
    for n in range(reverts):
        warden.advance(other.batch(n, n + 1))
    if restored:
        data, warden = warden.snapshot(), model(config)
        warden.restore(data)
        assert warden.snapshot() == data
    for n in range(reverts):
        warden.revert(79 + reverts - n)
    assert warden.digest() == fresh.digest()
    assert np.array_equal(risks(warden, other), risks(fresh, other), equal_nan=True)
    assert warden.digest() == fresh.digest()


def test_only_the_last_blocks_can_be_reverted() -> None:
    """The head alone, and no deeper than the undo depth or what is final."""
    warden = model()
    risks(warden, story(12, 30))
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
    risks(warden, story(13, 30))
    data = warden.snapshot()
    strangers = [
        model(RiskConfig()),
        model(undo=9),
        RiskModel(SMALL, (*FEATURES[:-1], "other"), len(OWN), 8, is_odd),
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
    plain, risky = detector(dataclasses.replace(RISKY, risk=None, challenger=None)), detector()
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
