"""How good models were, prequentially: each row judged as it was scored, once its label came.

One or two models over the same rows. Counts and sums only, so that the state is small (about 100 kB
for two) and exact in any batching: rows by label and by bin of the log odds, of which average
precision, area under the ROC curve and calibration follow. What two scores that share a bin (1/16
of log odds) would add is lost: a figure of the curve is that of the binned scores.

Two spans: all rows since the start, and recent ones: those of the window under way and of the one
before. A window is 30 days of the times at which labels were due.

References
----------
Dawid, 1984. Present position and potential developments: the prequential approach.
Gama, Sebastiao and Rodrigues, 2013. On evaluating stream learning algorithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from detect.compiled import Array
from detect.held import HeldRows
from detect.kernels.prequential import (
    ALL,
    BATCHES,
    BEFORE,
    BINS,
    BRIER,
    FIRST_ALONE,
    LOG_LOSS,
    MEANS,
    NOW,
    PAIRED,
    SECOND_ALONE,
    SINCE,
    SPANS,
    SQUARES,
    STATE,
    SUMS,
    Figures,
    count_rows,
)
from detect.paired import Comparison, compared
from detect.snapshot import digest_of

WINDOW_SECONDS: Final = 30 * 86_400
GROUPS: Final = 10
SPAN_NAMES: Final = ("all", "recent")


@dataclass(frozen=True, slots=True)
class ModelFigures:
    """One model over one span; None where there are no rows, or none of one label.

    ``precision`` and ``recall`` are of rows at or above the alert level, ``precision_at_100`` is of
    the hundred highest. ``calibration_error`` is
    the expected one, over ten groups of about equal size by rank.
    """

    rows: int
    positives: int
    log_loss: float | None
    brier: float | None
    average_precision: float | None
    precision_at_100: float | None
    auroc: float | None
    calibration_error: float | None
    alerts: int
    precision: float | None
    recall: float | None

    def to_dict(self) -> dict[str, float | None]:
        """The documented JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


class Prequential:
    """The figures of one or two models; ``alerts`` are their alert levels."""

    def __init__(self, alerts: tuple[float, ...]) -> None:
        models = len(alerts)
        self._alerts = np.array(alerts)
        self._figures = Figures(
            np.zeros((SPANS, models, 2, BINS), np.int64),
            np.zeros((SPANS, models, BINS)),
            np.zeros((SPANS, models, 2), np.int64),
            np.zeros((SPANS, models, SUMS)),
            np.zeros((SPANS, PAIRED)),
            np.zeros(STATE),
        )
        self._figures.state[SINCE] = -1.0

    def count(self, held: HeldRows, begin: int, end: int) -> None:
        """Count the held rows from ``begin`` to ``end``, in order, whose labels are known."""
        count_rows(
            self._figures,
            np.ascontiguousarray(held.risks[:, begin:end]),
            self._alerts,
            held.outcomes[begin:end],
            held.due[begin:end],
            WINDOW_SECONDS,
            0,
            end - begin,
        )

    def of(self, model: int, span: str) -> ModelFigures:
        """The figures of a model over a span, ``all`` or ``recent``."""
        f = self._figures
        by_label = _sum(f.counts, span)[model]
        bad, rows = int(by_label[1].sum()), int(by_label.sum())
        good_over, bad_over = (int(n) for n in _sum(f.over, span)[model])
        sums = _sum(f.sums, span)[model]
        return ModelFigures(
            rows=rows,
            positives=bad,
            log_loss=_ratio(float(sums[LOG_LOSS]), rows),
            brier=_ratio(float(sums[BRIER]), rows),
            average_precision=average_precision(by_label),
            precision_at_100=precision_at(by_label, 100),
            auroc=auroc(by_label),
            calibration_error=calibration_error(by_label, _sum(f.said, span)[model]),
            alerts=good_over + bad_over,
            precision=_ratio(bad_over, good_over + bad_over),
            recall=_ratio(bad_over, bad),
        )

    def comparison(self, first: int, span: str) -> Comparison:
        """Model ``first`` against the other one over a span; only of two."""
        paired = _sum(self._figures.paired, span)
        sign, alone = (1.0, (FIRST_ALONE, SECOND_ALONE))
        if first == 1:
            sign, alone = -1.0, (SECOND_ALONE, FIRST_ALONE)
        return compared(
            int(paired[BATCHES]),
            sign * float(paired[MEANS]),
            float(paired[SQUARES]),
            int(paired[alone[0]]),
            int(paired[alone[1]]),
        )

    def copy_state(self, other: Prequential) -> None:
        """Take over the figures of another over the same models."""
        for own, theirs in zip(self._figures, other._figures, strict=True):
            own[...] = theirs

    def digest(self) -> str:
        """A digest of all that was counted."""
        return digest_of(*self._figures)

    def dump(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The state, as a snapshot holds it."""
        return {}, dict(self._figures._asdict())

    def load(self, _meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave."""
        for name, own in self._figures._asdict().items():
            own[...] = arrays[name]


def average_precision(by_label: Array) -> float | None:
    """Average precision of binned scores (2, bins), the good before the bad; None without bad."""
    good, bad = (np.cumsum(counts[::-1]) for counts in by_label)
    if not bad[-1]:
        return None
    told = np.maximum(1, good + bad)
    return float((np.diff(bad, prepend=0) / bad[-1] * (bad / told)).sum())


def precision_at(by_label: Array, k: int) -> float | None:
    """Share of the bad among the ``k`` rows with the highest scores; None for fewer rows.

    Of rows that share a bin with the last of them: as many as are wanted, drawn at random, that is
    their share. How many of a day's work of an analyst's would have been worth it.
    """
    good, bad = by_label[:, ::-1].astype(float)
    told = np.cumsum(good + bad)
    if told[-1] < k:
        return None
    last = int(np.searchsorted(told, k))
    before = told[last] - good[last] - bad[last]
    part = (k - before) / (good[last] + bad[last])
    return float((bad[:last].sum() + part * bad[last]) / k)


def auroc(by_label: Array) -> float | None:
    """Area under the ROC curve of binned scores, ties half; None where a label has no rows."""
    good, bad = by_label[0].astype(float), by_label[1].astype(float)
    if not good.sum() or not bad.sum():
        return None
    below = np.cumsum(good) - good
    return float((bad * (below + 0.5 * good)).sum() / (good.sum() * bad.sum()))


def calibration_error(by_label: Array, said: Array) -> float | None:
    """Expected calibration error over ten groups of bins of about equal size; None for no rows.

    ``said`` are the sums of the probabilities by bin. Naeini, Cooper and Hauskrecht, 2015.
    """
    rows = by_label.sum(axis=0)
    total = int(rows.sum())
    if not total:
        return None
    middle = np.cumsum(rows) - 0.5 * rows
    group = np.minimum(GROUPS - 1, (middle * GROUPS / total).astype(np.int64))
    off = np.bincount(group, said - by_label[1], minlength=GROUPS)
    return math.fsum(np.abs(off).tolist()) / total


def _sum(sums: Array, span: str) -> Array:
    total: Array = sums[ALL] if span == "all" else sums[NOW] + sums[BEFORE]
    return total


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None
