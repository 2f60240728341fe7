"""An evaluation as one HTML file: no script, no request, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from typing import Final

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from chainwarden import __version__
from chainwarden.report import words
from chainwarden.report.charts import legend, score_chart, timeline_chart
from chainwarden.report.curve_charts import (
    calibration_chart,
    precision_recall_chart,
    roc_chart,
    saved_chart,
)
from chainwarden.report.facts import SCORE_BINS, TIMELINE_BINS, ScoreHistogram, Timeline
from detect.calibration import calibration, calibration_error
from detect.compiled import Array
from detect.evaluate import LIFE_SECONDS, NEVER, Detail, Figures, Window

_WIDE: Final = 980.0
_HALF: Final = 470.0
_NARROW: Final = 304.0


@dataclass(frozen=True, slots=True)
class EvaluationPage:
    """What the page is about: the stream's name, the window, the label delay, the figures.

    ``facts`` are the documented JSON object, ``notes`` what a reader must know first.
    """

    name: str
    window: Window
    delay_days: int
    figures: Figures
    facts: Mapping[str, object]
    notes: tuple[str, ...] = ()


def to_html(page: EvaluationPage) -> str:
    """The page, which needs nothing but itself. Every text in it is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"plain": words.plain, "moment": words.moment}
    folder = files("chainwarden.report")
    template = environment.from_string((folder / "evaluation.html").read_text(encoding="utf-8"))
    found, detail = page.figures, page.figures.detail
    groups = calibration(detail.scores, detail.outcomes)
    return template.render(
        name=page.name,
        window=page.window,
        delay_days=page.delay_days,
        notes=page.notes,
        version=__version__,
        css=Markup((folder / "page.css").read_text(encoding="utf-8")),
        tiles=[
            ("Average precision", f"{found.average_precision:.3f}"),
            ("Recall at precision 0.9", f"{found.recall_at_precision_0_9:.3f}"),
            ("Value saved per wallet", _shown(found.value_saved_per_wallet)),
            ("Alert precision", _shown(found.alert_precision)),
        ],
        figures=[(key.replace("_", " "), _shown(value)) for key, value in page.facts.items()],
        groups=groups,
        error=calibration_error(groups),
        calibration=_both(lambda key, width: calibration_chart(groups, key, width), "calibration"),
        verdicts=_verdicts(detail),
        **_curves(found),
        **_over_time(page.window, detail),
    )


def _curves(found: Figures) -> Mapping[str, object]:
    judged = found.detail.judged
    rate = found.positives / found.wallets
    alerts = found.detail.alerts_at != NEVER
    false = float(alerts[~judged.positive].mean())
    on_curve = (found.alert_recall, found.alert_precision or 0.0) if alerts.any() else None
    on_roc = (false, found.alert_recall) if alerts.any() else None
    return {
        "precision_recall": _both(
            lambda key, width: precision_recall_chart(found.curve, key, width, rate, on_curve),
            "pr",
        ),
        "roc": _both(lambda key, width: roc_chart(found.curve, key, width, on_roc), "roc"),
    }


def _verdicts(detail: Detail) -> list[Mapping[str, object]]:
    charts: list[Mapping[str, object]] = []
    for key, title, mask in (
        ("phishing", "Phishing wallets", detail.judged.positive),
        ("others", "Other wallets", ~detail.judged.positive),
    ):
        draw = partial(_verdict_chart, histogram(detail.judged.verdicts[mask]), title)
        charts.append({"title": title, **_both(draw, f"verdicts-{key}")})
    return charts


def _verdict_chart(scores: ScoreHistogram, title: str, key: str, width: float) -> Markup:
    return score_chart(scores, key, f"Verdicts: {title}", width)


def histogram(verdicts: Array) -> ScoreHistogram:
    """How verdicts are spread; those of wallets that were never scored are missing."""
    scored = verdicts[np.isfinite(verdicts)]
    counts, _ = np.histogram(np.clip(scored, 0.0, 1.0), SCORE_BINS, (0.0, 1.0))
    return ScoreHistogram(tuple(counts.tolist()), len(verdicts) - len(scored))


def _over_time(window: Window, detail: Detail) -> Mapping[str, object]:
    timeline, losses = alert_timeline(window, detail), detail.losses
    drawn: dict[str, object] = {"timeline": None, "legend": [], "saved": None}
    if timeline is not None:
        drawn["legend"] = legend(timeline)
        drawn["timeline"] = {
            "wide": timeline_chart(timeline, "time-wide", _WIDE, 48, 9),
            "narrow": timeline_chart(timeline, "time-narrow", _NARROW, 24, 4),
        }
    if len(losses.at):
        drawn["saved"] = {
            "wide": saved_chart(losses, "saved-wide", _WIDE, 9),
            "narrow": saved_chart(losses, "saved-narrow", _NARROW, 4),
        }
    return drawn


def alert_timeline(window: Window, detail: Detail) -> Timeline | None:
    """First alerts over the window and a life more, about phishing and other wallets."""
    first, last = window.start, window.end + LIFE_SECONDS
    series = []
    for name, mask in (
        ("phishing", detail.judged.positive),
        ("others", ~detail.judged.positive),
    ):
        at = detail.alerts_at[mask]
        counts, _ = np.histogram(at[at != NEVER], TIMELINE_BINS, (first, last))
        series.append((name, tuple(counts.tolist())))
    if not any(sum(counts) for _, counts in series):
        return None
    return Timeline(first, last, tuple(series))


def _both(draw: Callable[[str, float], Markup], key: str) -> dict[str, object]:
    """A drawing half as wide as a wide page, and one for a narrow page."""
    return {"wide": draw(f"{key}-wide", _HALF), "narrow": draw(f"{key}-narrow", _NARROW)}


def _shown(value: object) -> str:
    if value is None:
        return words.NONE
    if isinstance(value, float):
        return f"{value:.4f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
