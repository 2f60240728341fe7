"""Figures of judged alerts and of the risk model, as every format shows them."""

from __future__ import annotations

from typing import Final

import numpy as np

from chainwarden.report import words
from chainwarden.report.facts import Judged, Report
from detect.calibration import Group, calibration
from detect.curves import Curve, curve_of

RECALLS: Final = (0.25, 0.5, 0.75, 1.0)
_SMALLEST: Final = 5  # alerts in a group: of fewer, a share says nothing
_NAMES: Final = {
    "rows": "Rows judged",
    "positives": "Of them bad",
    "average_precision": "Average precision",
    "auroc": "AUROC",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "calibration_error": "Calibration error",
}


def curve_over(judged: Judged) -> Curve:
    """Precision over recall of the alerts, ranked by their scores."""
    return curve_of(np.array(judged.scores), np.array(judged.right))


def groups_of(judged: Judged) -> tuple[Group, ...]:
    """The calibration of the scores, in at most ten groups of about equal size."""
    groups = max(1, min(10, len(judged.right) // _SMALLEST))
    return calibration(np.array(judged.scores), np.array(judged.right), groups)


def precision_at(curve: Curve, recall: float) -> float:
    """The best precision with at least that recall."""
    return float(curve.precision[curve.recall >= recall - 1e-12].max())


def risk_rows(report: Report) -> list[tuple[str, str]] | None:
    """The figures of the risk model by name, None where it judged nothing."""
    if report.risk is None:
        return None
    return [(name, words.decimal(report.risk[key])) for key, name in _NAMES.items()]
