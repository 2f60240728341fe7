"""The contract model's arithmetic: a logistic regression on which features a code has."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from detect.compiled import Array, compiled
from detect.kernels.scaling import probability

INTERCEPT: Final = 0  # CodeWeights.state
SLOPE: Final = 1  # of the calibration, and its offset; then their sums of squared gradients
OFFSET: Final = 2
SLOPE_SQUARES: Final = 3
OFFSET_SQUARES: Final = 4
STATE: Final = 5


class CodeWeights(NamedTuple):
    """A model of ``features`` columns."""

    weights: Array  # float64 (features,)
    squares: Array  # float64 (features,): AdaGrad's sums
    state: Array  # float64 (STATE,)


class CodeSettings(NamedTuple):
    """Rates: AdaGrad's and its epsilon, the intercept's, the calibration's."""

    rate: float
    epsilon: float
    intercept_rate: float
    calibration_rate: float


@compiled
def raw_logit(model: CodeWeights, row: Array) -> float:
    """The log odds of a row before calibration. A row is its features, uint16, in order."""
    total = 0.0
    for k in row:
        total += model.weights[k]
    return float(total / math.sqrt(max(1, len(row))) + model.state[INTERCEPT])


@compiled
def calibrated(model: CodeWeights, logit: float) -> float:
    """Log odds after Platt scaling."""
    return float(model.state[SLOPE] * logit + model.state[OFFSET])


@compiled
def learn_row(model: CodeWeights, settings: CodeSettings, row: Array, label: int) -> None:
    """One AdaGrad step on a row; presences are scaled to unit length."""
    length = math.sqrt(max(1, len(row)))
    off = probability(raw_logit(model, row)) - label
    model.state[INTERCEPT] -= settings.intercept_rate * off
    gradient = off / length
    for k in row:
        model.squares[k] += gradient * gradient
        step = settings.rate / math.sqrt(model.squares[k] + settings.epsilon)
        model.weights[k] -= step * gradient


@compiled
def calibrate(model: CodeWeights, settings: CodeSettings, scored: float, label: int) -> None:
    """Learn from the raw logit of a row, as it was scored, how far logits are to be believed."""
    state = model.state
    off = probability(calibrated(model, scored)) - label
    state[SLOPE_SQUARES] += (off * scored) ** 2
    state[OFFSET_SQUARES] += off * off
    state[SLOPE] -= settings.calibration_rate * off * scored / math.sqrt(state[SLOPE_SQUARES])
    state[OFFSET] -= settings.calibration_rate * off / math.sqrt(state[OFFSET_SQUARES])


@compiled
def shares(model: CodeWeights, row: Array, out: Array) -> None:
    """The share of each of the row's features in the calibrated log odds; last, that of all rows.

    ``out`` is float64 (n + 1,).
    """
    slope, length = model.state[SLOPE], math.sqrt(max(1, len(row)))
    for n in range(len(row)):
        out[n] = slope * model.weights[row[n]] / length
    out[len(row)] = slope * model.state[INTERCEPT] + model.state[OFFSET]
