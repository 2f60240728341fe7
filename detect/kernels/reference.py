"""How far the online risk model is from a frozen copy of it, row by row, and for how long."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.boosting import Boosted
from detect.kernels.risk import Mix, Rows, Weights, log_odds
from detect.kernels.scaling import probability

SUMMED: Final = 0  # state: by how much online was below the reference beyond the allowance, summed
ROWS: Final = 1  # rows since that was 0, and the sum of their differences
SUM: Final = 2
ALARMS: Final = 3  # alarms so far, and when the last row to raise one was due, negative for none
LAST: Final = 4
STATE: Final = 5

FARTHEST: Final = 4.0  # log odds apart that one row may count for
_HALF: Final = np.uint64(32)


@compiled
def compare_rows(
    model: Weights, mix: Mix, trees: Boosted, stakes: Boosted, rows: Rows, hashed: Array,
    first: int, sample: int, least: float, apart: Array,
) -> None:  # fmt: skip
    """Fill in how far apart the two are on sampled rows that the reference thinks risky.

    ``apart`` is of held rows from the place ``first`` on: online's log odds less the reference's.
    Wallets are sampled by their keyed hashes, one in ``sample``; a row counts where the reference's
    risk reaches ``least``.
    """
    for r in range(rows.starts[0], rows.starts[len(rows.starts) - 1]):
        place, risk = rows.held[r], rows.risks[r]
        if place < 0 or math.isnan(risk) or (hashed[place] >> _HALF) % np.uint64(sample) != 0:
            continue
        frozen = log_odds(model, mix, trees, stakes, rows.bins[r])
        if probability(frozen) >= least:
            online = math.log(max(1e-12, risk) / max(1e-12, 1.0 - risk))
            apart[place - first] = min(FARTHEST, max(-FARTHEST, online - frozen))


@compiled
def follow_parting(
    state: Array, apart: Array, due: Array, allowance: float, limit: float, alarms: Array,
    means: Array,
) -> int:  # fmt: skip
    """Sum up some rows; how many alarms they raised.

    An alarm is raised by the row with which the sum reaches ``limit``; it begins anew then.
    ``alarms`` (out) are those rows, ``means`` (out) the mean differences that led to them.
    """
    found = 0
    for r in range(len(apart)):
        if math.isnan(apart[r]):
            continue
        state[ROWS] += 1.0
        state[SUM] += apart[r]
        state[SUMMED] = max(0.0, state[SUMMED] - apart[r] - allowance)
        if state[SUMMED] >= limit:
            alarms[found] = r
            means[found] = state[SUM] / state[ROWS]
            found += 1
            state[ALARMS] += 1.0
            state[LAST] = due[r]
            state[SUMMED] = 0.0
        if state[SUMMED] == 0.0:
            state[ROWS] = 0.0
            state[SUM] = 0.0
    return found
