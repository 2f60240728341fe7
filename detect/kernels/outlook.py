"""The compiled pass of the fee forecast: features, forecasts, errors, learning, block by block."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detect.compiled import Array, compiled

HORIZONS: Final = (25, 75, 150, 250)  # blocks ahead: 5, 15, 30 and 50 minutes of slots
STEP: Final = 5  # blocks between two forecasts
LONGEST: Final = 250
HORIZON_COUNT: Final = 4

# --- columns of a block: what is carried from block to block, …
LOG_FEE: Final = 0
FAST: Final = 1  # moving averages of the log fee, over 25 and 250 blocks …
SLOW: Final = 2
SPREAD: Final = 3  # … and of its squared distance from the slow one
CUSUM: Final = 4  # of missed slots above the usual
EMPTY: Final = 5  # moving share of empty blocks
FULL: Final = 6  # moving share of the gas limit that is used
BAD: Final = 7  # 1 where five or more of 64 slots were missed
# … what was known when a forecast was made, …
FEATURES: Final = 8
FEATURE_COUNT: Final = 7
SIGNS: Final = FEATURES + FEATURE_COUNT
SIGN_COUNT: Final = 6
# … and what was forecast: log fee changes, the raw and the calibrated chance of a disruption.
AHEAD: Final = SIGNS + SIGN_COUNT
RAW: Final = AHEAD + HORIZON_COUNT
CHANCE: Final = RAW + 1
MADE: Final = RAW + 2  # 1 where a forecast was made
COLUMNS: Final = RAW + 3

# --- the model: weights and intercepts, decayed squared errors, and the chance's calibration.
WEIGHTS: Final = 0
INTERCEPTS: Final = WEIGHTS + HORIZON_COUNT * FEATURE_COUNT
ERRORS: Final = INTERCEPTS + HORIZON_COUNT
CHANGES: Final = ERRORS + HORIZON_COUNT  # the squared errors of persistence
LOGIT: Final = CHANGES + HORIZON_COUNT
BINS: Final = 8
SEEN: Final = LOGIT + SIGN_COUNT + 1
CAME: Final = SEEN + BINS
BRIER: Final = CAME + BINS
CLIMATE: Final = BRIER + 1  # the Brier score of the base rate
OUTCOMES: Final = CLIMATE + 1
EVENTS: Final = OUTCOMES + 1
MODEL_SIZE: Final = EVENTS + 1

# 1 / 2C of PA-II, by block ahead: forecasts of which many are under way at once learn slower.
SOFTNESS: Final = 10.0
MEMORY: Final = 0.9995  # a step: half a day's forecasts weigh as much as all before
CLIPPED: Final = 3.0
WIDTH: Final = 0.3  # of what log fees usually move by: features are of about one size
USUAL_MISSED: Final = 0.02
RATE: Final = 0.02
PRIOR_SEEN: Final = 200.0  # steps that the base rate counts for in a bin
PRIOR_RATE: Final = 0.05
DOUBLED: Final = math.log(2.0)


@compiled
def clip(value: float, most: float) -> float:
    """The value, within that distance of 0; 0 for NaN."""
    if value != value:
        return 0.0
    return min(most, max(-most, value))


@compiled
def base_rate(model: Array) -> float:
    """The share of forecasts that a disruption followed, from a prior of 5 %."""
    came = model[EVENTS] + PRIOR_RATE * PRIOR_SEEN
    return float(came / (model[OUTCOMES] + PRIOR_SEEN))


@compiled
def bin_of(raw: float) -> int:
    """Which bin of the calibration a raw chance falls in: eight, even in log odds."""
    raw = min(1.0 - 1e-9, max(1e-9, raw))
    place = math.floor((math.log(raw / (1.0 - raw)) + 6.0) / 1.5)
    return min(BINS - 1, max(0, place))


@compiled
def calibrated(model: Array, raw: float) -> float:
    """What share of forecasts like this a disruption followed."""
    at = bin_of(raw)
    came = model[CAME + at] + PRIOR_SEEN * base_rate(model)
    return float(came / (model[SEEN + at] + PRIOR_SEEN))


@compiled
def carry(
    cells: Array, row: int, linked: bool, missed: int, bits: Array, used: float, empty: float
) -> None:
    """Carry averages, CUSUM and missed slots on to a block, or begin them anew there."""
    cell, fee = cells[row], cells[row, LOG_FEE]
    if not linked:
        cell[FAST], cell[SLOW], cell[SPREAD] = fee, fee, 0.01
        cell[CUSUM], cell[EMPTY], cell[FULL] = 0.0, 0.0, used
        bits[row] = 0
        return
    before = cells[row - 1]
    cell[FAST] = before[FAST] + (fee - before[FAST]) / 13.0
    cell[SLOW] = before[SLOW] + (fee - before[SLOW]) / 125.0
    cell[SPREAD] = before[SPREAD] + ((fee - cell[SLOW]) ** 2 - before[SPREAD]) / 125.0
    cell[CUSUM] = min(10.0, max(0.0, before[CUSUM] + missed - USUAL_MISSED))
    cell[EMPTY] = before[EMPTY] + (empty - before[EMPTY]) / 64.0
    cell[FULL] = before[FULL] + (used - before[FULL]) / 3.0
    one = np.uint64(1)
    kept = bits[row - 1]
    for _ in range(min(missed, 64)):
        kept = (kept << one) | one
    kept = kept << one
    bits[row] = kept
    count = 0
    while kept != 0:
        kept &= kept - one
        count += 1
    cell[BAD] = 1.0 if count >= 5 else 0.0


@compiled
def describe(cells: Array, row: int, time: int, builders: Array) -> None:
    """What a forecast from that block knows; at least 25 blocks are behind it."""
    cell = cells[row]
    fee = cell[LOG_FEE]
    hour = 2.0 * math.pi * (time % 86_400) / 86_400.0
    cell[FEATURES] = clip((fee - cells[row - 5, LOG_FEE]) / WIDTH, CLIPPED)
    cell[FEATURES + 1] = clip((fee - cells[row - 25, LOG_FEE]) / WIDTH, CLIPPED)
    cell[FEATURES + 2] = clip((fee - cell[FAST]) / WIDTH, CLIPPED)
    cell[FEATURES + 3] = clip((fee - cell[SLOW]) / WIDTH, CLIPPED)
    cell[FEATURES + 4] = 2.0 * cell[FULL] - 1.0
    cell[FEATURES + 5] = WIDTH * math.sin(hour)
    cell[FEATURES + 6] = WIDTH * math.cos(hour)
    # The builder of most of the last 25 blocks: how much more of them than of the blocks before.
    most, change = 0, 0.0
    for one in range(row - 24, row + 1):
        same = 0
        for two in range(row - 24, row + 1):
            same += builders[one] == builders[two]
        if same > most and builders[one] != 0:
            most, before, total = same, 0, 0
            for two in range(max(0, row - LONGEST), row - 24):
                before += builders[one] == builders[two]
                total += 1
            change = same / 25.0 - (before / total if total else same / 25.0)
    cell[SIGNS] = cell[CUSUM] / 3.0
    cell[SIGNS + 1] = clip((fee - cell[SLOW]) / math.sqrt(cell[SPREAD] + 1e-6), 5.0) / 3.0
    cell[SIGNS + 2] = change
    cell[SIGNS + 3] = min(1.0, 20.0 * cell[EMPTY])
    cell[SIGNS + 4] = 2.0 * cell[FULL] - 1.0
    cell[SIGNS + 5] = cell[BAD]


@compiled
def foretell(cells: Array, row: int, model: Array) -> None:
    """The forecasts from that block, by the model as it is."""
    cell = cells[row]
    for h in range(HORIZON_COUNT):
        total = model[INTERCEPTS + h]
        for f in range(FEATURE_COUNT):
            total += model[WEIGHTS + h * FEATURE_COUNT + f] * cell[FEATURES + f]
        cell[AHEAD + h] = total
    odds = model[LOGIT + SIGN_COUNT] - 3.0
    for s in range(SIGN_COUNT):
        odds += model[LOGIT + s] * cell[SIGNS + s]
    cell[RAW] = 1.0 / (1.0 + math.exp(-clip(odds, 30.0)))
    cell[CHANCE] = calibrated(model, cell[RAW])
    cell[MADE] = 1.0


@compiled
def learn(cells: Array, row: int, run: int, model: Array) -> None:
    """Hold the forecasts that were for that block against it, and learn from each.

    Passive-aggressive regression (PA-II, Crammer and others, 2006) on the change of the log fee;
    logistic regression by stochastic gradient on whether a disruption followed.
    """
    fee = cells[row, LOG_FEE]
    for h in range(HORIZON_COUNT):
        ahead = HORIZONS[h]
        if run <= ahead or cells[row - ahead, MADE] == 0.0:
            continue
        old = cells[row - ahead]
        change = fee - old[LOG_FEE]
        error = change - old[AHEAD + h]
        model[ERRORS + h] = MEMORY * model[ERRORS + h] + error * error
        model[CHANGES + h] = MEMORY * model[CHANGES + h] + change * change
        # By the weights of now, as River's learner does: what was forecast is judged, not taught.
        # (River 0.26's PARegressor holds forecasts against 2y - 1, which is right for classes.)
        now, norm = model[INTERCEPTS + h], 0.0
        for f in range(FEATURE_COUNT):
            now += model[WEIGHTS + h * FEATURE_COUNT + f] * old[FEATURES + f]
            norm += old[FEATURES + f] ** 2
        step = clip((change - now) / (norm + SOFTNESS * ahead), CLIPPED)
        for f in range(FEATURE_COUNT):
            model[WEIGHTS + h * FEATURE_COUNT + f] += step * old[FEATURES + f]
        model[INTERCEPTS + h] += step
    if run <= LONGEST or cells[row - LONGEST, MADE] == 0.0:
        return
    old, came = cells[row - LONGEST], 0.0
    for later in range(row - LONGEST + 1, row + 1):
        # An outage that was there before is not one that came.
        new_outage = cells[later, BAD] > 0.0 and old[BAD] == 0.0
        if new_outage or cells[later, LOG_FEE] - old[LOG_FEE] >= DOUBLED:
            came = 1.0
            break
    rate = base_rate(model)
    model[BRIER] = MEMORY * model[BRIER] + (old[CHANCE] - came) ** 2
    model[CLIMATE] = MEMORY * model[CLIMATE] + (rate - came) ** 2
    at = bin_of(old[RAW])
    model[SEEN + at] = MEMORY * model[SEEN + at] + 1.0
    model[CAME + at] = MEMORY * model[CAME + at] + came
    model[OUTCOMES] += 1.0
    model[EVENTS] += came
    gradient = RATE * (came - old[RAW])
    for s in range(SIGN_COUNT):
        model[LOGIT + s] += gradient * old[SIGNS + s]
    model[LOGIT + SIGN_COUNT] += gradient


@compiled
def look_ahead(
    start: int,
    numbers: Array,
    times: Array,
    runs: Array,
    missed: Array,
    builders: Array,
    used: Array,
    cells: Array,
    bits: Array,
    model: Array,
    models: Array,
) -> int:
    """Take in the blocks from row ``start`` on; ``models`` gets the model after each step.

    Returns how many steps there were: the blocks whose number is a multiple of ``STEP``.
    """
    steps = 0
    for row in range(start, len(numbers)):
        linked = runs[row] > 1 and row > 0
        empty = 1.0 if used[row] == 0.0 else 0.0
        carry(cells, row, linked, missed[row], bits, used[row], empty)
        if numbers[row] % STEP != 0:
            continue
        run = min(runs[row], row + 1)
        learn(cells, row, run, model)
        if run > 25:
            describe(cells, row, times[row], builders)
            foretell(cells, row, model)
        for place in range(len(model)):
            models[steps, place] = model[place]
        steps += 1
    return steps
