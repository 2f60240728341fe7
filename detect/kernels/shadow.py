"""A challenger's pass: it learns and scores the rows that the champion's pass has held."""

from __future__ import annotations

from detect.compiled import Array, compiled
from detect.kernels.boosting import copy
from detect.kernels.risk import Held, Learners, Mix, Rows, Weights, assess, is_learnt, teach


@compiled
def shadow_pass(
    model: Weights, mix: Mix, learners: Learners, journal_from: int, held: Held, begin: int,
    until: Array, rows: Rows,
) -> None:  # fmt: skip
    """Block by block: learn what is due, then score the rows that are held.

    After ``risk_pass`` over the same blocks, which has filled in the held rows' bins and stakes.
    """
    for b in range(len(until)):
        journalled = b >= journal_from
        if journalled:
            mark = b - journal_from
            copy(learners.risk_undo.marks[mark], learners.risk_undo.used)
            copy(learners.stake_undo.marks[mark], learners.stake_undo.used)
        for r in range(begin, until[b]):
            if is_learnt(model, held.outcomes[r]):
                teach(model, mix, learners, journalled, held, r)
        begin = until[b]
        for r in range(rows.starts[b], rows.starts[b + 1]):
            if rows.held[r] >= 0:
                assess(model, mix, learners, held, rows.held[r], rows.bins[r])
