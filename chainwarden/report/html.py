"""A report as one HTML file: no script, no request, light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from chainwarden import __version__
from chainwarden.report import words
from chainwarden.report.charts import legend, score_chart, timeline_chart
from chainwarden.report.curve_charts import even_calibration_chart, precision_recall_chart
from chainwarden.report.facts import Case, Judged, Report, Timeline, Transfers
from chainwarden.report.figures import curve_over, groups_of, risk_rows
from chainwarden.report.graph import narrow_graph, wide_graph
from chainwarden.schema import Severity
from detect.calibration import calibration_error
from detect.curves import average_precision

LISTED: Final = 50
"""Rows of a list; what is beyond is counted, and is in the CSV."""

SHORT: Final = 12
"""Rows of a list that is open from the start; longer ones are folded."""

_WIDE: Final = 980.0
_HALF: Final = 470.0
_NARROW: Final = 304.0
_TILES: Final = ("Blocks", "Flows", "Wallets", "Alerts")


def to_html(report: Report) -> str:
    """The report as a page that needs nothing but itself. Every text in it is escaped."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "plain": words.plain,
        "short": words.short,
        "moment": words.moment,
        "share": words.share,
        "decimal": words.decimal,
        "transfers": _transfers,
    }
    folder = files("chainwarden.report")
    page = environment.from_string((folder / "page.html").read_text(encoding="utf-8"))
    summary = [row for row in words.summary_rows(report.summary) if row[0] not in _TILES[1:]]
    counts = {
        "Blocks": report.summary.blocks,
        "Flows": report.summary.flows,
        "Wallets": report.summary.wallets,
        "Alerts": report.summary.alerts,
    }
    return page.render(
        report=report,
        version=__version__,
        css=Markup((folder / "page.css").read_text(encoding="utf-8")),
        tiles=[(name, words.count_of(counts[name])) for name in _TILES],
        summary=summary,
        severities=sorted(Severity, reverse=True),
        totals={
            severity: sum(one.by_severity.get(severity, 0) for one in report.rules)
            for severity in Severity
        },
        listed=LISTED,
        amount_text=words.amount_text,
        brief_amount=words.brief_amount,
        short_list=SHORT,
        cases=[_case(case, number) for number, case in enumerate(report.cases, 1)],
        score_charts=_score_charts(report),
        judged=None if report.judged is None else _judged(report.judged),
        risk=risk_rows(report),
        **_timeline(report.timeline),
    )


def _timeline(timeline: Timeline | None) -> Mapping[str, object]:
    if timeline is None:
        return {"timeline_wide": "", "timeline_narrow": "", "legend": []}
    return {
        "timeline_wide": timeline_chart(timeline, "time-wide", _WIDE, 48, 9),
        "timeline_narrow": timeline_chart(timeline, "time-narrow", _NARROW, 24, 4),
        "legend": legend(timeline),
    }


def _score_charts(report: Report) -> list[Mapping[str, object]]:
    charts: list[Mapping[str, object]] = []
    for key, title, scores in (
        ("flows", "Flows", report.flow_scores),
        ("wallets", "Wallets", report.wallet_scores),
    ):
        if scores is not None:
            name = f"Scores of {key}"
            charts.append(
                {
                    "title": title,
                    "scores": scores,
                    "wide": score_chart(scores, f"{key}-wide", name, _HALF),
                    "narrow": score_chart(scores, f"{key}-narrow", name, _NARROW),
                }
            )
    return charts


def _judged(judged: Judged) -> Mapping[str, object]:
    curve, groups, right = curve_over(judged), groups_of(judged), sum(judged.right)
    rate = right / len(judged.right)
    view: dict[str, object] = {
        "by": judged.by,
        "count": len(judged.right),
        "right": right,
        "unjudged": judged.unjudged,
        "average_precision": average_precision(curve),
        "groups": groups,
        "error": calibration_error(groups),
    }
    for key, width in (("wide", _HALF), ("narrow", _NARROW)):
        view[f"curve_{key}"] = precision_recall_chart(curve, f"pr-{key}", width, rate, None)
        view[f"calibration_{key}"] = even_calibration_chart(groups, f"said-{key}", width)
    return view


def _case(case: Case, number: int) -> Mapping[str, object]:
    view: dict[str, object] = {
        "subject": case.subject,
        "labels": case.labels,
        "alerts": case.alerts,
        "lead": case.lead,
        "near": case.neighbourhood,
        "moves": case.moves,
    }
    if case.subject is not None and case.neighbourhood is not None:
        drawn = (case.subject, case.lead.role.value, case.neighbourhood)
        view["wide"] = wide_graph(*drawn, f"graph-{number}-wide")
        view["narrow"] = narrow_graph(*drawn, f"graph-{number}-narrow")
    return view


def _transfers(transfers: Transfers | None) -> str:
    if transfers is None:
        return words.NONE
    ending = "" if transfers.count == 1 else "s"
    return f"{words.all_amounts(transfers.amounts)} in {transfers.count:,} transfer{ending}"
