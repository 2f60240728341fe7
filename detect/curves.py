"""Figures of a ranking against the truth: what precision and recall each threshold gives.

All are functions of scores and labels alone, ties as one: a threshold takes all wallets with a
score at or above it. Scores may be infinite, never NaN. Equal to scikit-learn's on finite scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chainwarden.errors import DetectError
from detect.compiled import Array


class Curve(NamedTuple):
    """Precision and recall at each distinct score taken as the threshold, the highest first."""

    thresholds: Array
    precision: Array
    recall: Array
    false_alarms: Array  # share of the negatives at or above the threshold


@dataclass(frozen=True, slots=True)
class BestF1:
    """The highest F1, and where it is."""

    f1: float
    precision: float
    recall: float
    threshold: float


def curve_of(scores: Array, positive: Array) -> Curve:
    """The curve. Raises DetectError where nothing, or nothing positive, is ranked."""
    if len(scores) != len(positive) or np.isnan(scores).any():
        raise DetectError("every wallet that is ranked has a score and a label")
    positives = int(np.count_nonzero(positive))
    if not positives:
        raise DetectError("there is no positive to rank")
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.cumsum(positive[order], dtype=np.int64)
    # The last wallet of each run of equal scores.
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    taken, hits = last + 1, hits[last]
    negatives = len(scores) - positives
    return Curve(ranked[last], hits / taken, hits / positives, (taken - hits) / max(1, negatives))


def average_precision(curve: Curve) -> float:
    """Precision at each threshold, weighted by the recall that it adds."""
    return float(np.sum(np.diff(curve.recall, prepend=0.0) * curve.precision))


def auroc(curve: Curve) -> float:
    """The area under the ROC curve: how often a positive outranks a negative, ties half.

    Raises DetectError where there is no negative.
    """
    if curve.false_alarms[-1] == 0.0:
        raise DetectError("there is no negative to rank")
    return float(np.trapezoid(np.append(0.0, curve.recall), np.append(0.0, curve.false_alarms)))


def best_f1(curve: Curve) -> BestF1:
    """The highest harmonic mean of precision and recall; of equals the highest threshold."""
    total = curve.precision + curve.recall
    f1 = np.divide(
        2.0 * curve.precision * curve.recall, total, out=np.zeros_like(total), where=total > 0
    )
    at = int(np.argmax(f1))
    return BestF1(
        float(f1[at]),
        float(curve.precision[at]),
        float(curve.recall[at]),
        float(curve.thresholds[at]),
    )


def recall_at_precision(curve: Curve, precision: float) -> float:
    """The highest recall at which precision is at least that; 0 where it never is."""
    return float(np.max(curve.recall[curve.precision >= precision], initial=0.0))


def surely(share: Array, count: Array, errors: float) -> Array:
    """How high shares of so many are at least, so many standard errors down (Wilson, 1927)."""
    squared = errors * errors
    spread = errors * np.sqrt(share * (1.0 - share) / count + squared / (4.0 * count * count))
    return np.asarray((share + squared / (2.0 * count) - spread) / (1.0 + squared / count))


def threshold_for_precision(
    curve: Curve, precision: float, positives: int = 1, errors: float = 0.0
) -> float | None:
    """The lowest threshold at which precision is at least that; None where it never is.

    With ``errors`` it is so with that many standard errors to spare: ``positives`` says how many
    the curve is of.
    """
    found = curve.precision > 0.0
    taken = np.where(found, curve.recall * positives / np.where(found, curve.precision, 1.0), 1.0)
    enough = np.flatnonzero(surely(curve.precision, taken, errors) >= precision)
    return float(curve.thresholds[enough[-1]]) if len(enough) else None
