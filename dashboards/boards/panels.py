"""Panels over Prometheus: series, single figures, distributions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Final
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as looks
from grafana_foundation_sdk.builders import dashboard, heatmap, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
    VisibilityMode,
)
from grafana_foundation_sdk.models.dashboard import Threshold, ThresholdsMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.boards.board import PROMETHEUS, address

HEIGHT: Final = 8
STAT_HEIGHT: Final = 4
STEP: Final = "1m"
"""The least step of what counts by steps: a counter grows between two scrapes, not within one."""

EVERY_RULE: Final = "&status=all"
"""What the variable ``rule`` of the fraud board is unless it is one rule's."""

FRAUD_BY_RULE: Final = (
    f"/d/{address('fraud')}?var-rule={quote(EVERY_RULE)}%26rule%3D${{__field.labels.rule}}"
    "&${__url_time_range}"
)


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what its series are called, such as ``{{stage}}``."""

    expr: str
    legend: str = ""


def per_second(name: str, by: str = "") -> str:
    """The rate of a counter, summed by labels."""
    return _summed(f'rate({name}{{chain="$chain"}}[$__rate_interval])', by)


def in_range(name: str, by: str = "") -> str:
    """How much a counter grew over the board's time."""
    return _summed(f'increase({name}{{chain="$chain"}}[$__range])', by)


def in_step(name: str, by: str = "") -> str:
    """How much a counter grew between two points, for bars."""
    return _summed(f'increase({name}{{chain="$chain"}}[$__interval])', by)


def quantile(q: float, name: str, by: str = "") -> str:
    """A quantile of a histogram."""
    inner = per_second(f"{name}_bucket", f"le, {by}" if by else "le")
    return f"histogram_quantile({q}, {inner})"


def now(name: str) -> str:
    """A gauge of the chain."""
    return f'{name}{{chain="$chain"}}'


def series(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    width: int = 8,
    link: tuple[str, str] | None = None,
    bars: bool = False,
) -> timeseries.Panel:
    """A panel of lines, or of stacked bars; ``link`` is a title and where a point leads."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(HEIGHT)
        .legend(
            looks.VizLegendOptions()
            .display_mode(LegendDisplayMode.LIST)
            .placement(LegendPlacement.BOTTOM)
            .show_legend(True)
        )
        .tooltip(
            looks.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
        )
        .show_points(VisibilityMode.AUTO)
        .line_width(1)
        .fill_opacity(60 if bars else 8)
    )
    if bars:
        panel = panel.draw_style(GraphDrawStyle.BARS).stacking(
            looks.StackingConfig().mode(StackingMode.NORMAL)
        )
    if any("$__interval" in query.expr for query in queries):
        panel = panel.interval(STEP)
    if link is not None:
        panel = panel.data_links([dashboard.DashboardLink(link[0]).url(link[1])])
    for query, letter in zip(queries, ascii_uppercase, strict=False):
        panel = panel.with_target(_target(query, letter).range())
    return panel


def from_block_to_alert() -> timeseries.Panel:
    """How late alerts are: what both who runs it and who acts on them asks first."""
    seconds = "chainwarden_block_to_alert_seconds"
    return series(
        "From block to alert",
        "From a block's time to its alert's commit.",
        "s",
        Query(quantile(0.5, seconds), "median"),
        Query(quantile(0.95, seconds), "95 %"),
    )


def figure(
    title: str,
    about: str,
    unit: str,
    *queries: Query,
    width: int = 4,
    levels: Sequence[tuple[float | None, str]] = ((None, "text"),),
    named: bool = False,
) -> stat.Panel:
    """One figure for each series; ``levels`` are values from which on a colour holds.

    ``named``: what counts is what a series is called, and not its value.
    """
    panel = (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .unit(unit)
        .span(width)
        .height(STAT_HEIGHT)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(looks.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(
            dashboard.ThresholdsConfig()
            .mode(ThresholdsMode.ABSOLUTE)
            .steps([Threshold(value, colour) for value, colour in levels])
        )
    )
    if named:
        panel = panel.text_mode(BigValueTextMode.NAME)
    for query, letter in zip(queries, ascii_uppercase, strict=False):
        panel = panel.with_target(_target(query, letter).instant())
    return panel


def distribution(title: str, about: str, name: str, width: int = 12) -> heatmap.Panel:
    """How the values of a histogram are distributed, over time."""
    query = Query(in_step(f"{name}_bucket", "le"), "{{le}}")
    return (
        heatmap.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .span(width)
        .height(HEIGHT)
        .calculate(False)
        .interval(STEP)
        .with_target(_target(query, "A").range().format(PromQueryFormat.HEATMAP))
    )


def labels_of(title: str, about: str, expr: str, width: int = 8) -> table.Panel:
    """A table of the labels of series, for what is in them and not in their value."""
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .span(width)
        .height(HEIGHT)
        .with_target(_target(Query(expr), "A").instant().format(PromQueryFormat.TABLE))
    )


def _summed(inner: str, by: str) -> str:
    return f"sum by ({by}) ({inner})" if by else f"sum({inner})"


def _target(query: Query, letter: str) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .ref_id(letter)
        .expr(query.expr)
        .legend_format(query.legend or "__auto")
        .datasource(PROMETHEUS)
    )
