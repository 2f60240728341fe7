"""Figures of a ranking, against scikit-learn."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import DetectError
from detect.compiled import Array
from detect.curves import (
    auroc,
    average_precision,
    best_f1,
    curve_of,
    recall_at_precision,
    surely,
    threshold_for_precision,
)

# scikit-learn has no types.
metrics = importlib.import_module("sklearn.metrics")

# Few distinct scores, so that ties are the rule.
rankings = st.lists(
    st.tuples(st.integers(-3, 6).map(float), st.booleans()), min_size=2, max_size=60
).filter(lambda rows: len({label for _, label in rows}) == 2)


def arrays(rows: list[tuple[float, bool]]) -> tuple[Array, Array]:
    """Scores and labels."""
    return np.array([s for s, _ in rows]), np.array([p for _, p in rows])


@settings(deadline=None)
@given(rows=rankings)
def test_the_curve_is_scikit_learns(rows: list[tuple[float, bool]]) -> None:
    """Thresholds, precision and recall agree at every distinct score, ties as one."""
    scores, positive = arrays(rows)
    curve = curve_of(scores, positive)
    precision, recall, thresholds = metrics.precision_recall_curve(positive, scores)
    assert curve.thresholds[::-1].tolist() == thresholds.tolist()
    assert curve.precision[::-1] == pytest.approx(precision[:-1], abs=1e-12)
    assert curve.recall[::-1] == pytest.approx(recall[:-1], abs=1e-12)


@settings(deadline=None)
@given(rows=rankings)
def test_the_figures_are_scikit_learns(rows: list[tuple[float, bool]]) -> None:
    """Average precision, AUROC and the best F1 over all thresholds agree."""
    scores, positive = arrays(rows)
    curve, best = curve_of(scores, positive), best_f1(curve_of(scores, positive))
    expected = metrics.average_precision_score(positive, scores)
    assert average_precision(curve) == pytest.approx(expected, abs=1e-12)
    assert auroc(curve) == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-12)
    every = [metrics.f1_score(positive, scores >= t, zero_division=0) for t in np.unique(scores)]
    assert best.f1 == pytest.approx(max(every), abs=1e-12)
    assert metrics.f1_score(positive, scores >= best.threshold) == pytest.approx(best.f1, abs=1e-12)


@settings(deadline=None)
@given(rows=rankings, wanted=st.sampled_from([0.1, 0.5, 0.7, 0.9, 1.0]))
def test_precision_that_was_asked_for_is_kept(
    rows: list[tuple[float, bool]], wanted: float
) -> None:
    """The recall and the threshold are the best of all thresholds that reach the precision."""
    scores, positive = arrays(rows)
    curve = curve_of(scores, positive)
    reach = [
        t
        for t in np.unique(scores)
        if metrics.precision_score(positive, scores >= t) >= wanted - 1e-12
    ]
    assert threshold_for_precision(curve, wanted) == (min(reach) if reach else None)
    cautious = threshold_for_precision(curve, wanted, int(positive.sum()), errors=1.0)
    assert cautious is None or cautious >= min(reach)
    recalls = [positive[scores >= t].sum() / positive.sum() for t in reach]
    assert recall_at_precision(curve, wanted) == pytest.approx(max(recalls, default=0.0))


def test_wallets_that_were_never_scored_come_last() -> None:
    """Minus infinity is a score like any other: the lowest."""
    curve = curve_of(np.array([-np.inf, 0.2, -np.inf, 0.9]), np.array([True, False, False, True]))
    assert curve.recall.tolist() == [0.5, 0.5, 1.0]
    assert curve.precision.tolist() == [1.0, 0.5, 0.5]
    assert average_precision(curve) == 0.75


@pytest.mark.parametrize(
    ("scores", "positive"),
    [([], []), ([1.0], [False]), ([float("nan")], [True]), ([1.0, 2.0], [True])],
)
def test_what_cannot_be_ranked_is_refused(scores: list[float], positive: list[bool]) -> None:
    """No rows, no positive, NaN, or more scores than labels: DetectError."""
    with pytest.raises(DetectError):
        curve_of(np.array(scores, float), np.array(positive, bool))
    with pytest.raises(DetectError):
        auroc(curve_of(np.array([1.0, 2.0]), np.array([True, True])))


def test_shares_are_surely_less_than_they_were() -> None:
    """Wilson's lower bound, as published for 7 of 10 and 70 of 100; without errors the share."""
    share, count = np.array([0.7, 0.7]), np.array([10.0, 100.0])
    assert surely(share, count, 1.96) == pytest.approx([0.3968, 0.6042], abs=1e-4)
    assert surely(share, count, 0.0) == pytest.approx(share)
