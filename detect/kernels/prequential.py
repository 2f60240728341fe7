"""Prequential figures: every scored row is counted once, when its label comes, as it was scored."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from detect.compiled import Array, compiled, inlined

BINS: Final = 512  # of the log odds, 1/16 wide, from -16 to 16; what is beyond is in the last ones
PER_UNIT: Final = 16
TOP: Final = 16.0
LEAST: Final = 1e-12  # a probability is no nearer to 0 or 1 for the log loss

ALL: Final = 0  # spans: since the start, the window under way, the one before
NOW: Final = 1
BEFORE: Final = 2
SPANS: Final = 3

LOG_LOSS: Final = 0  # Figures.sums
BRIER: Final = 1
SUMS: Final = 2

BATCH: Final = 256  # rows whose mean difference is one observation of the test
BATCHES: Final = 0  # Figures.paired: observations, their sum, their sum of squares
MEANS: Final = 1
SQUARES: Final = 2
FIRST_ALONE: Final = 3  # rows that only the first model, or only the second, had right
SECOND_ALONE: Final = 4
PAIRED: Final = 5

PENDING_ROWS: Final = 0  # Figures.state: rows in the batch under way, the sum of their differences
PENDING_SUM: Final = 1
SINCE: Final = 2  # when the window under way began, negative for never
STATE: Final = 3


class Figures(NamedTuple):
    """What is counted, for each span and each of one or two models."""

    counts: Array  # int64 (SPANS, models, 2, BINS): rows by label and bin of the log odds
    said: Array  # float64 (SPANS, models, BINS): sum of the probabilities
    over: Array  # int64 (SPANS, models, 2): rows at or above the alert level, by label
    sums: Array  # float64 (SPANS, models, SUMS)
    paired: Array  # float64 (SPANS, PAIRED): of the first two models' differences
    state: Array  # float64 (STATE,)


@inlined
def bin_of(risk: float) -> int:
    """The bin of a probability."""
    p = min(1.0 - LEAST, max(LEAST, risk))
    # What is below 0 is cut to 0 by int and by max alike.
    return min(BINS - 1, max(0, int((math.log(p / (1.0 - p)) + TOP) * PER_UNIT)))


@inlined
def log_loss(risk: float, label: int) -> float:
    """The log loss of a probability."""
    return -math.log(max(LEAST, risk if label == 1 else 1.0 - risk))


@inlined
def move_on(sums: Array, m: int, n: int) -> None:
    """Make one sum of the window under way that of the window before."""
    sums[BEFORE, m, n] = sums[NOW, m, n]
    sums[NOW, m, n] = 0


@compiled
def shift(figures: Figures) -> None:
    """Begin a new window: that under way is the one before."""
    for m in range(figures.counts.shape[1]):
        for label in range(2):
            move_on(figures.over, m, label)
            for place in range(BINS):
                figures.counts[BEFORE, m, label, place] = figures.counts[NOW, m, label, place]
                figures.counts[NOW, m, label, place] = 0
        for place in range(BINS):
            move_on(figures.said, m, place)
        for n in range(SUMS):
            move_on(figures.sums, m, n)
    for n in range(PAIRED):
        figures.paired[BEFORE, n] = figures.paired[NOW, n]
        figures.paired[NOW, n] = 0.0


@inlined
def count_one(figures: Figures, m: int, risk: float, alert: float, label: int) -> float:
    """Count what a model said of a row; its log loss."""
    place, loss = bin_of(risk), log_loss(risk, label)
    for span in (ALL, NOW):
        figures.counts[span, m, label, place] += 1
        figures.said[span, m, place] += risk
        figures.over[span, m, label] += risk >= alert
        figures.sums[span, m, LOG_LOSS] += loss
        figures.sums[span, m, BRIER] += (risk - label) ** 2
    return loss


@inlined
def compare(figures: Figures, difference: float, first: bool, second: bool) -> None:
    """Count a difference of log losses, and who was right at its alert level."""
    state = figures.state
    if first != second:
        for span in (ALL, NOW):
            figures.paired[span, FIRST_ALONE if first else SECOND_ALONE] += 1.0
    state[PENDING_ROWS] += 1.0
    state[PENDING_SUM] += difference
    if state[PENDING_ROWS] == BATCH:
        mean = state[PENDING_SUM] / BATCH
        for span in (ALL, NOW):
            figures.paired[span, BATCHES] += 1.0
            figures.paired[span, MEANS] += mean
            figures.paired[span, SQUARES] += mean * mean
        state[PENDING_ROWS] = 0.0
        state[PENDING_SUM] = 0.0


@compiled
def count_rows(
    figures: Figures, risks: Array, alerts: Array, outcomes: Array, due: Array, window: int,
    begin: int, end: int,
) -> None:  # fmt: skip
    """Count the rows from ``begin`` to ``end`` that every model scored and whose label is known.

    ``risks`` (models, rows); ``alerts`` are the models' alert levels; a window lasts ``window``
    seconds from the first row due in it.
    """
    models, state = len(risks), figures.state
    for r in range(begin, end):
        label = outcomes[r]
        known = label == 0 or label == 1
        for m in range(models):
            known = known and not math.isnan(risks[m, r])
        if not known:
            continue
        if state[SINCE] < 0.0 or due[r] >= state[SINCE] + window:
            if state[SINCE] >= 0.0:
                shift(figures)
            state[SINCE] = due[r]
        first = count_one(figures, 0, risks[0, r], alerts[0], label)
        if models > 1:
            second = count_one(figures, 1, risks[1, r], alerts[1], label)
            compare(
                figures, first - second, (risks[0, r] >= alerts[0]) == (label == 1),
                (risks[1, r] >= alerts[1]) == (label == 1),
            )  # fmt: skip
