"""Champion and challenger: the same rows, figures that are exact, a promotion that is replayed."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import DetectError, SnapshotRefused
from detect.challenger import models_told
from detect.compiled import Array
from detect.held import HeldRows
from detect.kernels.prequential import BATCH, BINS
from detect.paired import CHANCE, EARLY, WORSE, compared, mcnemar
from detect.prequential import GROUPS, WINDOW_SECONDS, Prequential, precision_at
from detect.risk import RiskModel
from detect.risk_config import RiskConfig
from tests.detect.risk_story import FEATURES, OWN, Story, risks, small, story
from tests.detect.runs import RISKY, detector
from tests.detect.test_risk import is_odd, model

# scikit-learn and SciPy have no types.
metrics = importlib.import_module("sklearn.metrics")
stats = importlib.import_module("scipy.stats")

SMALL = small()
OTHER = dataclasses.replace(SMALL, rate=0.4, pairs=0.8, alert=0.3)


def pair(config: RiskConfig = SMALL, challenger: RiskConfig = OTHER) -> RiskModel:
    """A champion and a challenger that have seen nothing."""
    return RiskModel(config, FEATURES, len(OWN), 8, is_odd, challenger)


# --- in shadow ---------------------------------------------------------------------------------


def test_a_challenger_changes_nothing_that_the_champion_says() -> None:
    """Scores, and who is told of with what, are those of the champion alone, bit for bit."""
    told = story(1, 300)
    alone, both = model().advance(told.batch()), pair().advance(told.batch())
    assert np.array_equal(alone.risks, both.risks, equal_nan=True)
    used = int(alone.told_used[0])
    assert used == int(both.told_used[0]) > 0
    assert np.array_equal(alone.told[:used], both.told[:used])


def test_a_challenger_scores_as_it_would_as_a_champion() -> None:
    """On features that hang on nobody's risk, what is held of it is what a champion would say."""
    plain = small(stake_weight=0.0)
    own = dataclasses.replace(plain, rate=0.3, pairs=1.0)
    told, both = story(2, 200), pair(plain, own)
    both.advance(told.batch())
    shadow = both.challenger
    assert shadow is not None
    held = told.ages <= 60
    said = both._queue.rows.risks[shadow.column]
    assert np.array_equal(said, risks(model(own), told)[held][-len(said) :], equal_nan=True)


def test_a_promoted_challenger_says_what_it_held() -> None:
    """From the promotion on the rows' scores are the challenger's, and the figures stay its own."""
    told, both = story(3, 200), pair()
    both.advance(told.batch(0, 150))
    before = models_told(both)
    assert both.promote(OTHER.digest)
    after = models_told(both)
    assert after["champion"] == before["challenger"]
    assert after["challenger"] == before["champion"]
    rows = both.advance(told.batch(150, 200))
    leading = both.champion
    assert leading.config is OTHER
    held = both._queue.rows.risks[leading.column]
    said = rows.risks[rows.held >= 0][-len(held) :]
    assert np.array_equal(held[-len(said) :], said, equal_nan=True)
    assert np.isfinite(said).all()
    assert not both.promote("0" * 12)
    assert both.champion is leading


@pytest.mark.parametrize(
    "challenger",
    [
        SMALL,
        dataclasses.replace(OTHER, delay_seconds=5),
        dataclasses.replace(OTHER, capacity=7),
        dataclasses.replace(OTHER, warm_up=3),
    ],
)
def test_a_challenger_that_cannot_be_compared_is_refused(challenger: RiskConfig) -> None:
    """Another configuration, on the same rows with the same labels at the same times."""
    with pytest.raises(DetectError):
        pair(SMALL, challenger)


def test_a_challenger_needs_a_champion() -> None:
    """Alone it would score for nobody."""
    with pytest.raises(DetectError):
        detector(dataclasses.replace(RISKY, risk=None))


# --- figures -----------------------------------------------------------------------------------


def judged(told: Story, both: RiskModel) -> tuple[Array, Array]:
    """What was said of each row that was scored (rows, 2), and its label, once that came."""
    waiting: list[tuple[int, Array, int]] = []
    rows: list[tuple[Array, int]] = []
    for b, now in enumerate(told.times.tolist()):
        kept = both.advance(told.batch(b, b + 1)).held >= 0
        while waiting and waiting[0][0] <= now:
            _, said, wallet = waiting.pop(0)
            if np.isfinite(said).all():
                rows.append((said, wallet % 2))
        wallets = told.wallets[told.starts[b] : told.starts[b + 1]][kept].tolist()
        newest = both._queue.rows.risks[:, len(both._queue.rows.due) - len(wallets) :].T.copy()
        waiting += [(now + 100, newest[n], wallet) for n, wallet in enumerate(wallets)]
    return np.array([said for said, _ in rows]), np.array([label for _, label in rows])


def binned(said: Array) -> Array:
    """Scores as the figures see them."""
    logits: Array = np.log(said / (1 - said))
    bins: Array = np.clip(np.floor((logits + 16) * 16), 0, BINS - 1)
    return bins


def expected_at(k: int, scores: Array, labels: Array) -> float:
    """The share of the bad among the ``k`` highest, over all orders of rows that score the same."""
    least = np.sort(scores)[-k]
    above, same = scores > least, scores == least
    wanted = k - above.sum()
    return float((labels[above].sum() + wanted * labels[same].mean()) / k)


def test_precision_at_k_wants_k_rows() -> None:
    """Of fewer nothing is said; of exactly as many, the share of the bad; ties count in part."""
    by_label = np.zeros((2, 8), np.int64)
    by_label[:, 7], by_label[:, 3] = (1, 2), (4, 1)
    assert precision_at(by_label, 9) is None
    assert precision_at(by_label, 8) == 3 / 8
    assert precision_at(by_label, 3) == 2 / 3
    assert precision_at(by_label, 1) == pytest.approx(2 / 3)
    assert precision_at(by_label, 5) == pytest.approx((2 + 2 / 5) / 5)


def test_figures_are_those_of_scores_when_labels_came() -> None:
    """Each row counts once, as it was scored; scikit-learn says the same of these rows."""
    both = pair()
    every, labels = judged(story(4, 700), both)
    told = models_told(both)
    assert len(labels) > 700
    for column, (role, alert) in enumerate((("champion", 0.5), ("challenger", 0.3))):
        said, found = every[:, column], told[role]["figures"]["all"]
        assert found["rows"] == len(labels)
        assert found["positives"] == labels.sum()
        assert found["log_loss"] == pytest.approx(metrics.log_loss(labels, said), abs=1e-9)
        assert found["brier"] == pytest.approx(((said - labels) ** 2).mean(), abs=1e-9)
        average = metrics.average_precision_score(labels, binned(said))
        assert found["average_precision"] == pytest.approx(average, abs=1e-12)
        assert found["average_precision"] == pytest.approx(
            metrics.average_precision_score(labels, said), abs=0.02
        )
        assert found["precision_at_100"] == pytest.approx(expected_at(100, binned(said), labels))
        area = metrics.roc_auc_score(labels, binned(said))
        assert found["auroc"] == pytest.approx(area, abs=1e-12)
        over = said >= alert
        assert found["alerts"] == over.sum()
        assert found["precision"] == pytest.approx(labels[over].mean())
        assert found["recall"] == pytest.approx(over[labels == 1].mean())


def test_the_comparison_is_that_of_the_same_rows() -> None:
    """Diebold and Mariano's test on means of 256 rows; McNemar's on rows only one had right."""
    both = pair()
    said, labels = judged(story(5, 900), both)
    losses = -np.log(np.where(labels[:, None] == 1, said, 1 - said))
    differences = losses[:, 0] - losses[:, 1]
    whole = len(differences) // BATCH
    means = differences[: whole * BATCH].reshape(whole, BATCH).mean(axis=1)
    right = (said >= np.array([0.5, 0.3])) == (labels == 1)[:, None]
    told = models_told(both)["comparison"]["all"]
    assert told["observations"] == whole >= 3
    assert told["difference"] == pytest.approx(means.mean(), abs=1e-12)
    assert told["standard_error"] == pytest.approx(means.std(ddof=1) / math.sqrt(whole), abs=1e-9)
    z = means.mean() / (means.std(ddof=1) / math.sqrt(whole))
    assert told["p_value"] == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-6)
    assert told["first_alone"] == (right[:, 0] & ~right[:, 1]).sum()
    assert told["second_alone"] == (right[:, 1] & ~right[:, 0]).sum()
    assert told["verdict"] == EARLY
    # Seen from the other side once the two have changed places.
    both.promote(OTHER.digest)
    turned = models_told(both)["comparison"]["all"]
    assert turned["difference"] == -told["difference"]
    assert turned["first_alone"] == told["second_alone"]


@pytest.mark.parametrize(("one", "other"), [(1, 9), (0, 3), (500, 480), (700, 500), (5, 5)])
def test_mcnemar_is_the_binomial_test(one: int, other: int) -> None:
    """Exact up to a thousand rows, near it beyond."""
    expected = stats.binomtest(one, one + other).pvalue
    tolerance = 1e-9 if one + other <= 1000 else 1e-3
    assert mcnemar(one, other) == pytest.approx(expected, abs=tolerance)


def test_a_difference_is_told_only_beyond_chance() -> None:
    """Models of one skill are called no better but for one time in a hundred; a real one is."""
    rng, called = np.random.default_rng(6), 0
    for _ in range(400):
        means = rng.normal(0.0, 1.0, 40)
        found = compared(40, float(means.sum()), float((means**2).sum()), 0, 0)
        assert found.verdict in ("better", WORSE, CHANCE)
        called += found.verdict != CHANCE
    assert called < 16
    means = rng.normal(-1.0, 1.0, 40)
    assert compared(40, float(means.sum()), float((means**2).sum()), 0, 0).verdict == WORSE


def test_recent_figures_forget() -> None:
    """Recent rows are those of the window under way and of the one before; older ones only count
    in all."""
    told, one = story(7, 300), model()
    days = WINDOW_SECONDS // 86_400
    day = dataclasses.replace(
        told,
        times=told.times[0] + 86_400 * np.arange(300),
        at=told.times[0] + 86_400 * np.repeat(np.arange(300), np.diff(told.starts)),
    )
    seen = []
    for b in range(300):
        one.advance(day.batch(b, b + 1))
        seen.append((one.figures.of(0, "all").rows, one.figures.of(0, "recent").rows))
    every, recent = np.array(seen).T
    assert (np.diff(every) >= 0).all()
    first = int(np.flatnonzero(every)[0])
    assert (every[: first + 2 * days] == recent[: first + 2 * days]).all()
    # A window may begin some days late, with the first row due in it.
    for b in range(first + 2 * days + 5, 300):
        assert every[b] - every[b - days + 1] <= recent[b] <= every[b] - every[b - 2 * days - 5]
        assert recent[b] < every[b]


def test_calibration_error_is_the_distance_by_groups_of_rank() -> None:
    """0 for a model that is as often right as it says; what it is off by for one that is not."""
    rng, count = np.random.default_rng(8), 200_000
    said = rng.random(count)
    for shift, expected in ((0.0, 0.0), (0.1, 0.095)):
        labels = rng.random(count) < np.clip(said - shift, 0, 1)
        counted = Prequential((0.5,))
        held = dataclasses.replace(
            HeldRows.empty(1, 1),
            risks=said[None],
            outcomes=labels.astype(np.int8),
            due=np.zeros(count, np.int64),
        )
        counted.count(held, 0, count)
        assert counted.of(0, "all").calibration_error == pytest.approx(expected, abs=0.01)
    assert GROUPS == 10


def test_without_rows_there_are_no_figures() -> None:
    """Nothing is None, not 0."""
    told: dict[str, Any] = models_told(pair())
    found = told["champion"]["figures"]["all"]
    assert found["rows"] == found["alerts"] == 0
    assert {found[n] for n in ("log_loss", "average_precision", "auroc", "precision")} == {None}
    assert told["comparison"]["recent"]["verdict"] == EARLY
    assert models_told(model())["challenger"] is None


# --- one result for a chain of blocks ------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(1, 79), max_size=6),
    capacity=st.sampled_from([3, 20, 1000]),
    promoted=st.sampled_from([None, 10, 40, 80]),
    reverts=st.integers(0, 8),
    restored=st.booleans(),
)
def test_batches_reverts_and_snapshots_leave_no_trace(
    seed: int,
    cuts: list[int],
    capacity: int,
    promoted: int | None,
    reverts: int,
    restored: bool,
) -> None:
    """Scores, figures and digest of both models are those of one run over the blocks that stayed,
    with the same promotion."""
    configs = small(capacity=capacity), dataclasses.replace(OTHER, capacity=capacity)
    told, other = story(seed, 80), story(seed + 1, 20)
    warden, fresh = pair(*configs), pair(*configs)

    def run(one: RiskModel, *places: int) -> Array:
        ends = sorted({0, *places, *([] if promoted is None else [promoted]), 80})
        said = []
        for a, b in itertools.pairwise(ends):
            if a == promoted:
                one.promote(configs[1].digest)
            said.append(one.advance(told.batch(a, b)).risks)
        if promoted == 80:
            one.promote(configs[1].digest)
        return np.concatenate(said)

    assert np.array_equal(run(warden, *cuts), run(fresh), equal_nan=True)
    assert warden.digest() == fresh.digest()
    for n in range(reverts):
        warden.advance(other.batch(n, n + 1))
    if restored:
        data, warden = warden.snapshot(), pair(*configs)
        warden.restore(data)
        assert warden.snapshot() == data
    for n in range(reverts):
        warden.revert(79 + reverts - n)
    assert warden.digest() == fresh.digest()
    assert models_told(warden) == models_told(fresh)
    assert np.array_equal(risks(warden, other), risks(fresh, other), equal_nan=True)
    assert warden.digest() == fresh.digest()


def test_a_snapshot_knows_who_is_the_champion() -> None:
    """Restored, the promoted one still is; without a challenger the snapshot is refused."""
    warden = pair()
    risks(warden, story(9, 30))
    warden.promote(OTHER.digest)
    data, again = warden.snapshot(), pair()
    again.restore(data)
    assert again.champion.config == OTHER
    assert again.digest() == warden.digest()
    with pytest.raises(SnapshotRefused):
        model().restore(data)
