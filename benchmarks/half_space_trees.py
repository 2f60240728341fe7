"""Our compiled Half-Space Trees against River's own, on the same rows in the same run."""

from __future__ import annotations

import statistics
import time
from typing import Any, Final

import numpy as np
from river import anomaly

from benchmarks.table import Result
from detect.models import HalfSpaceTrees

NAMES: Final = tuple(f"x{number:02d}" for number in range(20))
PARAMETERS: Final[dict[str, Any]] = {"n_trees": 25, "height": 8, "window_size": 250, "seed": 1}
RIVER_ROWS: Final = 3_000
ROWS: Final = 100_000
REPEATS: Final = 5


def run() -> list[Result]:
    """Rows scored and learnt a second, 25 trees of height 8 over 20 features."""
    X = np.random.default_rng(0).random((ROWS, len(NAMES)))
    observations = [dict(zip(NAMES, row, strict=True)) for row in X[:RIVER_ROWS].tolist()]
    expected: list[float] = []

    def rivers() -> float:
        model: Any = anomaly.HalfSpaceTrees(**PARAMETERS)
        expected[:] = [model.score_one(observations[0])]
        model.learn_one(observations[0])  # grows the trees
        began = time.perf_counter()
        for x in observations[1:]:
            expected.append(model.score_one(x))
            model.learn_one(x)
        return time.perf_counter() - began

    HalfSpaceTrees(**PARAMETERS, features=NAMES).score_learn_many(X[:1000])  # compiles, or loads
    slow, fast, got = [], [], np.empty(0)
    for _ in range(REPEATS):
        slow.append(rivers())
        model = HalfSpaceTrees(**PARAMETERS, features=NAMES)
        model.leaves_many(X[:1])  # grows the trees
        began = time.perf_counter()
        got = model.score_learn_many(X)
        fast.append(time.perf_counter() - began)
    difference = np.abs(np.nan_to_num(got[:RIVER_ROWS]) - np.array(expected)).max()
    return [
        Result(
            benchmark="half_space_trees",
            what="Half-Space Trees, score and learn",
            unit="rows/s",
            value=ROWS / statistics.median(fast),
            baseline="River",
            baseline_value=(RIVER_ROWS - 1) / statistics.median(slow),
            asked_ratio=60,
            difference=float(difference),
        )
    ]
