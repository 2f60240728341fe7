"""The fixed reference and drift: poison shows, learning does not, and all of it is undone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from chainwarden.errors import DetectError
from chainwarden.schema import Severity
from detect.compiled import Array
from detect.kernels.boosting import BINS
from detect.reference import Alarm
from detect.risk import RiskModel
from detect.risk_config import ReferenceConfig, RiskConfig
from detect.risk_watch import parting_findings
from detect.watch import CHUNK, DELTA, Watch
from tests.detect.build import Block, Build
from tests.detect.risk_story import FEATURES, OWN, Story, small, story
from tests.detect.test_risk import is_odd

ROWS = 16_000
POISON_FROM = 6_000
CONFIG = RiskConfig(
    delay_seconds=100,
    life_seconds=60,
    rate=0.03,
    stake_weight=0.0,
    reference=ReferenceConfig(every_seconds=10**9, warm_up=1_000, sample=4),
)


def learnable(seed: int) -> tuple[Story, Array]:
    """Rows, one a second, whose wallets are bad as two features have it; how likely each was."""
    rng = np.random.default_rng(seed)
    own = rng.random((ROWS, 3)).astype(np.float32)
    truth = 1 / (1 + np.exp(-14 * (own[:, 0] - 0.6) - 6 * (own[:, 1] - 0.5)))
    wallets = 2 * rng.integers(0, 100, ROWS) + (rng.random(ROWS) < truth)
    times, starts = 1000 + np.arange(ROWS), np.arange(ROWS + 1)
    return Story(own, wallets, times, np.zeros(ROWS), starts, times), truth


def whitewashed(wallet: bytes, now: int) -> bool:
    """Odd wallets are bad; more and more of them are said to be good, in the end nine of ten."""
    share = np.clip((now - 1100 - POISON_FROM) / 6_000, 0.0, 0.9)
    return is_odd(wallet, now) and (wallet[0] // 2 % 10) / 10 >= share


def watched(told: Story, outcomes: Callable[[bytes, int], bool]) -> tuple[RiskModel, list[int]]:
    """A model that saw it all in parts, and the blocks of the alarms."""
    one = RiskModel(CONFIG, FEATURES, len(OWN), 8, outcomes)
    alarms = []
    for first in range(0, ROWS, 1_000):
        one.advance(told.batch(first, first + 1_000))
        alarms += [first + alarm.block for alarm in one.alarms]
    return one, alarms


@pytest.mark.parametrize("seed", [1, 2])
def test_slow_poisoning_parts_the_model_from_its_reference(seed: int) -> None:
    """Labels that turn false bit by bit raise the alarm within a third of their turning; no alarm
    before, and none at all where labels stay true."""
    told, _ = learnable(seed)
    clean, alarms = watched(told, is_odd)
    assert alarms == []
    assert clean.watched()["risk_reference_alarms"] == 0
    assert 1000 <= clean.watched()["risk_reference_time"] < 1000 + POISON_FROM
    poisoned, alarms = watched(told, whitewashed)
    assert alarms
    assert POISON_FROM < alarms[0] < POISON_FROM + 6_000
    assert poisoned.watched()["risk_reference_alarms"] == len(alarms)
    assert poisoned.watched()["risk_reference_time"] == clean.watched()["risk_reference_time"]


def test_errors_that_change_are_a_drift() -> None:
    """Labels that turn from one day to the next; none where they stay."""
    told, _ = learnable(3)
    clean, _ = watched(told, is_odd)
    turned, _ = watched(told, lambda w, now: is_odd(w, now) != (now > 1000 + POISON_FROM))
    assert clean.watched()["risk_error_drifts"] == 0
    assert turned.watched()["risk_error_drifts"] > 0


def test_a_reference_is_copied_anew_when_it_is_old_and_silent() -> None:
    """After its time, counted from the last alarm; before it, and without bad rows, not at all."""
    told = story(4, 300)
    patient = small()
    for every, silent in ((300, True), (10**9, False)):
        reference = dataclasses.replace(
            patient.reference, every_seconds=every, limit=1e9 if silent else 1.0
        )
        config = dataclasses.replace(patient, reference=reference)
        one = RiskModel(config, FEATURES, len(OWN), 8, is_odd)
        copied, last = [], -1.0
        for b in range(300):
            before = one.learnt[1]
            one.advance(told.batch(b, b + 1))
            time = one.watched()["risk_reference_time"]
            if time != last:
                assert before >= 5
                copied.append(int(time))
                last = time
        gaps = np.diff(copied)
        assert len(copied) > 5 if silent else len(copied) == 1
        assert (gaps >= 300).all()


def test_a_promoted_model_is_held_against_itself() -> None:
    """With the next block the reference is copied from the new champion, after a revert once more;
    that it scores otherwise than the old one raises no alarm."""
    told, _ = learnable(6)
    timid = dataclasses.replace(CONFIG, pairs=1.0, rate=0.001)
    one = RiskModel(CONFIG, FEATURES, len(OWN), 8, is_odd, timid)
    one.advance(told.batch(0, 8_000))
    assert one.watched()["risk_reference_time"] < told.times[7_999]
    assert one.promote(timid.digest)
    for _ in range(2):
        one.advance(told.batch(8_000, 8_001))
        assert one.watched()["risk_reference_time"] == told.times[8_000]
        one.revert(8_000)
    one.advance(told.batch(8_000))
    assert one.watched()["risk_reference_time"] == told.times[8_000]
    assert one.watched()["risk_reference_alarms"] == 0


def test_alarms_keep_the_reference() -> None:
    """While alarms are raised nothing new is copied, however old it is."""
    told, _ = learnable(5)
    short = dataclasses.replace(CONFIG.reference, every_seconds=3_000, sample=1, limit=5.0)
    one = RiskModel(
        dataclasses.replace(CONFIG, reference=short), FEATURES, len(OWN), 8, whitewashed
    )
    alarms: list[int] = []
    for b in range(0, ROWS, 50):
        before = one.watched()["risk_reference_time"]
        one.advance(told.batch(b, b + 50))
        now = one.watched()["risk_reference_time"]
        if now != before and alarms:
            assert now - (1000 + alarms[-1]) >= 3_000
        alarms += [b + alarm.block for alarm in one.alarms]
    assert alarms


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 199), max_size=8), reverts=st.integers(0, 8))
def test_alarms_and_copies_do_not_hang_on_batches_or_forks(cuts: list[int], reverts: int) -> None:
    """The same alarms in the same blocks, the same copies, the same drifts."""
    told, other = story(6, 200), story(7, 20)

    def run(*places: int) -> tuple[RiskModel, list[tuple[int, float]]]:
        one = RiskModel(small(), FEATURES, len(OWN), 8, is_odd)
        said, ends = [], sorted({0, *places, 200})
        for a, b in itertools.pairwise(ends):
            one.advance(told.batch(a, b))
            said += [(a + alarm.block, alarm.mean) for alarm in one.alarms]
        return one, said

    (whole, expected), (parts, said) = run(), run(*cuts)
    assert said == expected
    assert len(said) == 3
    for n in range(reverts):
        parts.advance(other.batch(n, n + 1))
    for n in range(reverts):
        parts.revert(199 + reverts - n)
    assert parts.watched() == whole.watched()
    assert parts.digest() == whole.digest()


# --- drift of features ---------------------------------------------------------------------------


def shifting(seed: int) -> Array:
    """Bins of three features; the second shifts in the middle."""
    rng = np.random.default_rng(seed)
    bins = rng.integers(0, BINS, (60_000, 3))
    bins[30_000:, 1] = np.minimum(BINS - 1, bins[30_000:, 1] + 12)
    return bins.astype(np.uint8)


@settings(deadline=None, max_examples=10)
@given(cuts=st.lists(st.integers(1, 59_999), max_size=10))
def test_each_feature_goes_through_adwin(cuts: list[int]) -> None:
    """Means of 64 rows, River's own detector, the same in any batching and restored anywhere; only
    the feature that shifts drifts."""
    bins = shifting(1)
    untyped: Any = drift
    expected = []
    for n in range(3):
        theirs, found = untyped.ADWIN(delta=DELTA / 3), 0
        for start in range(0, len(bins) - CHUNK + 1, CHUNK):
            theirs.update(int(bins[start : start + CHUNK, n].astype(int).sum()) / (CHUNK * BINS))
            found += theirs.drift_detected
        expected.append(found)
    ours, ends = Watch(3, ReferenceConfig()), sorted({0, *cuts, len(bins)})
    for a, b in itertools.pairwise(ends):
        ours.follow(bins[a:b], np.full(b - a, np.nan), np.zeros(b - a, np.int64))
        again = Watch(3, ReferenceConfig())
        again.copy_state(ours)
        assert again.digest() == ours.digest()
        ours = again
    assert ours.drifts.tolist() == expected
    assert expected[1] > 0
    assert expected[0] == expected[2] == 0


# --- told ----------------------------------------------------------------------------------------


def test_an_alarm_is_a_finding_about_the_model() -> None:
    """High, of nobody's wallet, in its block; its only reason is its score."""
    scored = Build().batch(Block(), Block())
    (one,) = parting_findings(scored, [Alarm(1, -3.0)])
    assert (one.severity, one.subject, one.block_row) == (Severity.HIGH, bytes(20), 1)
    assert one.score == sum(reason.contribution for reason in one.reasons) == 0.75
    assert "3.0 log odds" in one.sentence


@pytest.mark.parametrize(
    "wrong", [{"every_seconds": 0}, {"sample": 0}, {"limit": 0.0}, {"least": 1.0}]
)
def test_a_reference_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    """Each value has its range."""
    with pytest.raises(DetectError):
        ReferenceConfig(**wrong)
