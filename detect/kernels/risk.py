"""The risk model's arithmetic: a logistic model over bins of features and of pairs of features."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from detect.compiled import Array, compiled

PENDING: Final = -1  # outcomes of a held row: it waits for its label,
SKIPPED: Final = 2  # or it gave way unlearnt; 0 and 1 are labels, and learnt

BIAS: Final = 0
SLOPE: Final = 1  # of the calibration, and its offset; then the sums of squared gradients
OFFSET: Final = 2
BIAS_SQUARES: Final = 3
SLOPE_SQUARES: Final = 4
OFFSET_SQUARES: Final = 5
STATE: Final = 6

NEGATIVES: Final = 0
POSITIVES: Final = 1


class Weights(NamedTuple):
    """A model: a weight for each bin of a feature, and of a pair (j, k), k < j, row by row of j."""

    single: Array  # float64 (features, bins)
    single_squares: Array
    paired: Array  # float64 (pairs, bins * bins)
    paired_squares: Array
    state: Array  # float64 (STATE,)
    counts: Array  # int64 (2,): rows learnt by label


@compiled
def fill_bins(X: Array, bins: int, out: Array) -> None:
    """Which of equal bins over [0, 1] each value is in; uint8."""
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = min(bins - 1, max(0, int(X[i, j] * bins)))


@compiled
def probability(logit: float) -> float:
    """The logistic function."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1.0 + odds)


@compiled
def raw_logit(model: Weights, row: Array) -> float:
    """The sum of the weights of a row's bins, before calibration."""
    bins, total, pair = model.single.shape[1], 0.0, 0
    total += model.state[BIAS]
    for j in range(len(row)):
        total += model.single[j, row[j]]
        at = row[j] * bins
        for k in range(j):
            total += model.paired[pair, at + row[k]]
            pair += 1
    return float(total)


@compiled
def learn_row(model: Weights, rate: float, row: Array, scored: float, label: float) -> None:
    """One AdaGrad step on a row; the calibration learns from the logit that was scored then."""
    bins, pair, state = model.single.shape[1], 0, model.state
    off = probability(state[SLOPE] * scored + state[OFFSET]) - label
    state[SLOPE_SQUARES] += (off * scored) ** 2
    state[OFFSET_SQUARES] += off * off
    state[SLOPE] -= rate * off * scored / math.sqrt(state[SLOPE_SQUARES])
    state[OFFSET] -= rate * off / math.sqrt(state[OFFSET_SQUARES])
    off = probability(raw_logit(model, row)) - label
    squared = off * off
    state[BIAS_SQUARES] += squared
    state[BIAS] -= rate * off / math.sqrt(state[BIAS_SQUARES])
    for j in range(len(row)):
        model.single_squares[j, row[j]] += squared
        model.single[j, row[j]] -= rate * off / math.sqrt(model.single_squares[j, row[j]])
        at = row[j] * bins
        for k in range(j):
            place = at + row[k]
            model.paired_squares[pair, place] += squared
            model.paired[pair, place] -= rate * off / math.sqrt(model.paired_squares[pair, place])
            pair += 1
    model.counts[POSITIVES if label > 0.0 else NEGATIVES] += 1


@compiled
def learn_held(
    model: Weights, rate: float, rows: Array, logits: Array, outcomes: Array, begin: int, end: int
) -> None:
    """Learn the held rows from ``begin`` to ``end``, but for those that gave way."""
    for r in range(begin, end):
        if outcomes[r] != SKIPPED:
            learn_row(model, rate, rows[r], logits[r], float(outcomes[r]))


@compiled
def schedule(
    due: Array, tails: Array, times: Array, begin: int, capacity: int, until: Array, asked: Array
) -> None:
    """When held rows leave: learnt at the first block that is not before they are due, in order,
    or skipped while more than ``capacity`` wait.

    ``tails`` is where the held rows end after each block, ``until`` (out) the first that still
    waits then, ``asked`` (out) the time at which a row is learnt, -1 for one that is not.
    """
    head, known = begin, tails[0]
    for b in range(len(times)):
        while head < known and due[head] <= times[b]:
            asked[head] = times[b]
            head += 1
        known = tails[b + 1]
        while known - head > capacity:
            head += 1
        until[b] = head


@compiled
def score_and_learn(
    model: Weights,
    rate: float,
    warm: int,
    held: tuple[Array, Array, Array],
    begin: int,
    until: Array,
    rows: Array,
    starts: Array,
    places: Array,
    scores: Array,
) -> None:
    """Block by block: learn what is due, then score the block's rows; NaN in warm-up.

    ``held`` are the bins, logits and outcomes of held rows, ``places`` where a new row is held (-1
    nowhere).
    """
    held_rows, logits, outcomes = held
    for b in range(len(until)):
        learn_held(model, rate, held_rows, logits, outcomes, begin, until[b])
        begin = until[b]
        for i in range(starts[b], starts[b + 1]):
            logit = raw_logit(model, rows[i])
            if places[i] >= 0:
                logits[places[i]] = logit
            scores[i] = math.nan
            if model.counts[POSITIVES] >= warm:
                scores[i] = probability(model.state[SLOPE] * logit + model.state[OFFSET])


@compiled
def contributions(model: Weights, row: Array, shares: Array) -> None:
    """Each feature's share of the calibrated logit, a pair's halved; the last is the bias."""
    bins, slope, pair = model.single.shape[1], model.state[SLOPE], 0
    shares[:] = 0.0
    shares[len(row)] = slope * model.state[BIAS] + model.state[OFFSET]
    for j in range(len(row)):
        shares[j] += slope * model.single[j, row[j]]
        at = row[j] * bins
        for k in range(j):
            half = 0.5 * slope * model.paired[pair, at + row[k]]
            shares[j] += half
            shares[k] += half
            pair += 1
