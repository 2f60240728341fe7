"""Reference wallet-risk models: boosted trees trained offline, and River's own learners online.

All see the rows that our model sees, in the same order, and the same labels at the same times. The
offline ones may use a wallet's rows once its label is known, ``delay`` after its first event; the
online ones, like ours, learn a row ``delay`` after it was scored. Only wallets that will be judged
are scored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from river import forest, linear_model, optim, preprocessing, tree

from benchmarks.detection.stream import DELAY, Rows
from detect.compiled import Array
from detect.evaluate import LIFE_SECONDS, Window
from detect.features import RISK_FEATURES

RETRAINED_EVERY: Final = 30 * 86_400
TREES: Final = 400

Reference = Callable[[Rows, Window], Array]
"""The scores of all rows, NaN where a wallet is not judged."""


def judged_rows(rows: Rows, window: Window) -> Array:
    """Which rows are of wallets of the window, or of the 30 days that set the alert threshold."""
    born = rows.born
    return np.asarray((born >= window.start - LIFE_SECONDS) & (born < window.end))


def trained_once(rows: Rows, window: Window) -> Array:
    """Trees trained at the window's start; others, a month older, for the alert threshold."""
    return _boosted(rows, window, [window.start - LIFE_SECONDS, window.start])


def retrained(rows: Rows, window: Window) -> Array:
    """Trees trained anew every 30 days on everything known by then."""
    last = int(rows.at[-1])
    return _boosted(
        rows, window, list(range(window.start - LIFE_SECONDS, last + 1, RETRAINED_EVERY))
    )


def _boosted(rows: Rows, window: Window, trained_at: list[int]) -> Array:
    from lightgbm import LGBMClassifier

    scores, judged = np.full(len(rows), np.nan), judged_rows(rows, window)
    for time, until in zip(trained_at, [*trained_at[1:], np.inf], strict=True):
        known = (rows.born + DELAY <= time) & (rows.ages <= LIFE_SECONDS)
        model: Any = LGBMClassifier(
            n_estimators=TREES, learning_rate=0.05, random_state=1, n_jobs=1, verbose=-1,
            deterministic=True, force_row_wise=True,
        )  # fmt: skip
        model.fit(rows.features[known], rows.bad[known])
        now = judged & (rows.at >= time) & (rows.at < until)
        if now.any():
            scores[now] = model.predict_proba(rows.features[now], validate_features=False)[:, 1]
    return scores


def _online(make: Callable[[], Any]) -> Reference:
    def run(rows: Rows, window: Window) -> Array:
        model, scores = make(), np.full(len(rows), np.nan)
        judged = judged_rows(rows, window)
        # Rows go by time, and so do their labels: one row behind the other is due.
        due, learnt = rows.at + DELAY, 0
        young, bad = rows.ages <= LIFE_SECONDS, rows.bad

        def features(row: int) -> dict[str, float]:
            return dict(zip(RISK_FEATURES, rows.features[row].tolist(), strict=True))

        for row in np.flatnonzero(judged).tolist():
            while due[learnt] <= rows.at[row]:
                if young[learnt]:
                    model.learn_one(features(learnt), bool(bad[learnt]))
                learnt += 1
            scores[row] = float(model.predict_proba_one(features(row)).get(True, 0.0))
        return scores

    return run


REFERENCES: Final[dict[str, Reference]] = {
    f"LightGBM, {TREES} trees, trained every 30 days": retrained,
    f"LightGBM, {TREES} trees, trained once": trained_once,
    "River ARFClassifier, 10 trees, online": _online(
        lambda: forest.ARFClassifier(n_models=10, seed=1)
    ),
    "River HoeffdingTreeClassifier, online": _online(tree.HoeffdingTreeClassifier),
    "River LogisticRegression, AdaGrad, online": _online(
        lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.AdaGrad(0.1))
    ),
}
SLOW: Final = frozenset({"River ARFClassifier, 10 trees, online"})
"""What takes minutes."""
