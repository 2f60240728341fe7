"""Charts of an evaluation as SVG: curves over 0 to 1, calibration, what was saved over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup

from chainwarden.report.axes import count_marks, time_marks
from chainwarden.report.charts import Frame, count_axis, mark
from chainwarden.report.svg import dot, label, path, picture
from chainwarden.report.words import moment
from detect.calibration import Group
from detect.compiled import Array
from detect.curves import Curve
from detect.evaluate import Losses

POINTS: Final = 400
"""Of a curve, at most: a drawing shows no more."""

LOWEST: Final = -4.0
"""Power of ten where a logarithmic axis of probabilities begins; what is below is drawn there."""


def precision_recall_chart(
    curve: Curve, key: str, width: float, base_rate: float, alerts: tuple[float, float] | None
) -> Markup:
    """Precision over recall, chance, and where alerts are given (recall, precision)."""
    x, y = thinned(curve.recall, curve.precision)
    words = (
        f"Precision over recall: {_at(x, y, 0.25)} at a quarter of the positives, "
        f"{_at(x, y, 0.5)} at half, {_at(x, y, 0.75)} at three quarters, {_at(x, y, 1.0)} at all; "
        f"chance gives {base_rate:.3f}."
    )
    return _unit_chart(
        key, "Precision and recall", words, width, ("recall", "precision"), (x, y),
        ((0.0, base_rate), (1.0, base_rate)), alerts,
    )  # fmt: skip


def roc_chart(curve: Curve, key: str, width: float, alerts: tuple[float, float] | None) -> Markup:
    """Found of the positives over false alarms of the negatives."""
    x, y = thinned(np.append(0.0, curve.false_alarms), np.append(0.0, curve.recall))
    words = (
        f"Found over false alarms: {_at(x, y, 0.01)} at 1 % of the negatives, "
        f"{_at(x, y, 0.05)} at 5 %, {_at(x, y, 0.2)} at 20 %."
    )
    return _unit_chart(
        key, "ROC", words, width, ("false alarms", "recall"), (x, y),
        ((0.0, 0.0), (1.0, 1.0)), alerts,
    )  # fmt: skip


def even_calibration_chart(groups: Sequence[Group], key: str, width: float) -> Markup:
    """What was said and what was, group by group, on even axes; on the line is right."""
    frame = Frame(width, 300.0, bottom=42.0)
    fifths = [n / 5 for n in range(6)]
    parts = count_axis(frame, [(part, f"{part:.1f}") for part in fifths])
    for part in fifths:
        parts += mark(frame, part, f"{part:.1f}")
    parts.append(label(frame.x(0.5), frame.height - 6, "score", "middle"))
    parts.append(label(frame.x(0.0) + 6, frame.top + 12, "share right"))
    parts.append(path([(frame.x(0.0), frame.y(0.0)), (frame.x(1.0), frame.y(1.0))], "chance"))
    for group in groups:
        tip = f"said {group.said:.3f}, was {group.was:.3f}: {group.size:,}"
        parts.append(dot(frame.x(group.said), frame.y(group.was), 5, "s0", tip))
    words = "; ".join(f"said {g.said:.3f}, was {g.was:.3f}" for g in groups)
    return picture(key, "Calibration", f"By rank: {words}.", (frame.width, frame.height), parts)


def calibration_chart(groups: Sequence[Group], key: str, width: float) -> Markup:
    """What was said and what was, group by group, on logarithmic axes; on the line is right."""
    frame = Frame(width, 300.0, left=58.0)
    parts = count_axis(frame, [(_power(10.0**n), f"{10.0**n:g}") for n in range(int(LOWEST), 1)])
    for power in range(int(LOWEST), 1):
        parts += mark(frame, _power(10.0**power), f"{10.0**power:g}")
    parts.append(path([(frame.x(0.0), frame.y(0.0)), (frame.x(1.0), frame.y(1.0))], "chance"))
    for group in groups:
        tip = f"said {group.said:.4f}, was {group.was:.4f}: {group.size:,} scores"
        parts.append(dot(frame.x(_power(group.said)), frame.y(_power(group.was)), 5, "s0", tip))
    words = "; ".join(f"said {g.said:.4f}, was {g.was:.4f}" for g in groups)
    return picture(key, "Calibration", f"By tenths: {words}.", (frame.width, frame.height), parts)


def saved_chart(losses: Losses, key: str, width: float, marks: int) -> Markup:
    """What phishing wallets received, summed over time, and what of it came after an alert."""
    frame = Frame(width, 220.0, left=58.0)
    received = np.cumsum(losses.coins)
    saved = np.cumsum(np.where(losses.late, losses.coins, 0.0))
    first, last = int(losses.at[0]), int(losses.at[-1])
    ticks = count_marks(int(np.ceil(received[-1] / COIN)))
    parts = count_axis(frame, [(n / ticks[-1], f"{n:,}") for n in ticks])
    for time, text in time_marks(first, last, marks):
        parts += mark(frame, (time - first) / max(1, last - first), text)
    for total, class_ in ((received, "c1"), (saved, "c0")):
        x, y = thinned((losses.at - first) / max(1, last - first), total / COIN / ticks[-1])
        points = zip(x.tolist(), y.tolist(), strict=True)
        parts.append(path([(frame.x(a), frame.y(b)) for a, b in points], class_))
    words = (
        f"From {moment(first)} to {moment(last)} UTC {received[-1] / COIN:,.0f} coins arrived, "
        f"{saved[-1] / COIN:,.0f} of them after the wallet's first alert."
    )
    return picture(key, "Losses over time", words, (frame.width, frame.height), parts)


COIN: Final = 1e18


def thinned(x: Array, y: Array) -> tuple[Array, Array]:
    """At most ``POINTS`` of the points of a curve, its first and last among them."""
    if len(x) <= POINTS:
        return x, y
    # Apart by way along the curve, so that no corner is cut however unevenly points lie.
    way = np.append(0.0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    picked = np.searchsorted(way, np.linspace(0.0, way[-1], POINTS - 1))
    kept = np.unique(np.append(picked, len(x) - 1))
    return x[kept], y[kept]


def _unit_chart(
    key: str,
    title: str,
    words: str,
    width: float,
    axes: tuple[str, str],
    curve: tuple[Array, Array],
    chance: Sequence[tuple[float, float]],
    alerts: tuple[float, float] | None,
) -> Markup:
    frame = Frame(width, 300.0, bottom=42.0)
    fifths = [n / 5 for n in range(6)]
    parts = count_axis(frame, [(part, f"{part:.1f}") for part in fifths])
    for part in fifths:
        parts += mark(frame, part, f"{part:.1f}")
    parts.append(label(frame.x(0.5), frame.height - 6, axes[0], "middle"))
    parts.append(label(frame.x(0.0) + 6, frame.top + 12, axes[1]))
    parts.append(path([(frame.x(a), frame.y(b)) for a, b in chance], "chance"))
    points = zip(curve[0].tolist(), curve[1].tolist(), strict=True)
    parts.append(path([(frame.x(a), frame.y(b)) for a, b in points], "c0"))
    if alerts is not None:
        tip = f"the alert threshold: {axes[0]} {alerts[0]:.3f}, {axes[1]} {alerts[1]:.3f}"
        parts.append(dot(frame.x(alerts[0]), frame.y(alerts[1]), 5, "s1", tip))
        words += f" At the alert threshold {axes[0]} is {alerts[0]:.3f}, {axes[1]} {alerts[1]:.3f}."
    return picture(key, title, words, (frame.width, frame.height), parts)


def _power(probability: float) -> float:
    """The place of a probability on the logarithmic axis, 0 to 1."""
    if probability <= 10.0**LOWEST:
        return 0.0
    return float(1.0 - np.log10(probability) / LOWEST)


def _at(x: Array, y: Array, place: float) -> str:
    return f"{y[min(len(y) - 1, int(np.searchsorted(x, place - 1e-12)))]:.3f}"
