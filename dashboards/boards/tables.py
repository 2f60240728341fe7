"""Tables over the read API, asked by the Infinity data source, and where their cells lead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from grafana_foundation_sdk.builders import common as looks
from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import GraphDrawStyle
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from dashboards.boards.board import API, address
from dashboards.boards.panels import HEIGHT

TEXT: Final = "string"
NUMBER: Final = "number"
SECONDS: Final = "timestamp_epoch_s"  # since 1970, as all of the API's times


@dataclass(frozen=True, slots=True)
class Link:
    """Where a cell leads; ``${__value.raw}`` in it is what the cell says."""

    title: str
    url: str
    new_tab: bool = False


ALERT: Final = Link(
    "Alert", f"/d/{address('alert')}?var-alert=${{__value.raw}}&${{__url_time_range}}"
)
WALLET: Final = Link(
    "Wallet", f"/d/{address('wallet')}?var-address=${{__value.raw}}&${{__url_time_range}}"
)
ADDRESS: Final = Link("Block explorer", "${explorer}/address/${__value.raw}", True)
CONSOLE_ALERT: Final = Link("Console", "${console}/#/alerts/${__value.raw}", True)
CONSOLE_WALLET: Final = Link("Console", "${console}/#/wallets/${__value.raw}", True)
TRANSACTION: Final = Link("Block explorer", "${explorer}/tx/${__value.raw}", True)
BLOCK: Final = Link("Block explorer", "${explorer}/block/${__value.raw}", True)


def optional(root: str) -> str:
    """The place of a list below what may be null, where there are no rows then.

    To gjson nothing is below a null, and Infinity takes a root that is nowhere for an error. What
    is in brackets is left out where it is nowhere: of [] the rows are none, of [LIST] LIST's.
    """
    return f"[{root}]|@flatten"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: where it is in a row of the answer, its title, its type, where it leads."""

    selector: str
    title: str
    kind: str = TEXT
    links: tuple[Link, ...] = ()
    unit: str = ""


class InfinityQuery(Dataquery, Builder[Dataquery]):
    """Asks one path of the API and takes rows out of its answer, in Infinity's backend.

    ``root`` is the place of the rows, "" for the answer itself (one row), in gjson's words.
    """

    def __init__(self, path: str, root: str, columns: Sequence[Column]) -> None:
        self._path, self._root, self._columns = path, root, columns

    def build(self) -> Dataquery:
        """Itself: it is a query already."""
        return self

    def to_json(self) -> dict[str, object]:
        """The query as Infinity keeps it."""
        return {
            "refId": "A",
            "datasource": API,
            "type": "json",
            "parser": "backend",
            "source": "url",
            "format": "table",
            "url": self._path,
            "url_options": {"method": "GET", "data": ""},
            "root_selector": self._root,
            "columns": [
                {"selector": c.selector, "text": c.title, "type": c.kind} for c in self._columns
            ],
        }


def rows(
    title: str,
    about: str,
    path: str,
    root: str,
    columns: Sequence[Column],
    width: int = 24,
    height: int = HEIGHT,
) -> table.Panel:
    """A table of what the API says at a path; each column can be filtered."""
    panel = (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(API)
        .span(width)
        .height(height)
        .filterable(True)
        .no_value("nothing")
        .with_target(InfinityQuery(path, root, columns))
    )
    for column in columns:
        properties = _properties(column)
        if properties:
            panel = panel.override_by_name(column.title, properties)
    return panel


def points(
    title: str, about: str, path: str, root: str, columns: Sequence[Column], width: int = 24
) -> timeseries.Panel:
    """What the API says at a path as points in time: the first column is the time."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(API)
        .span(width)
        .height(HEIGHT)
        .draw_style(GraphDrawStyle.POINTS)
        .point_size(9)
        .tooltip(looks.VizTooltipOptions())
        .with_target(InfinityQuery(path, root, columns))
        # The API's pages begin with the newest; Grafana draws from the oldest on.
        .with_transformation(
            DataTransformerConfig("sortBy", options={"sort": [{"field": columns[0].title}]})
        )
    )
    for column in columns:
        properties = _properties(column)
        if properties:
            panel = panel.override_by_name(column.title, properties)
    return panel


def grouped(
    panel: table.Panel, by: str, figures: Sequence[tuple[str, str]], order: str
) -> table.Panel:
    """The table with one row for each value of a column, those with most of ``order`` first.

    ``figures`` are columns and how they are summed up.
    """
    fields: dict[str, object] = {by: {"operation": "groupby", "aggregations": []}}
    for name, how in figures:
        fields[name] = {"operation": "aggregate", "aggregations": [how]}
    return panel.with_transformation(
        DataTransformerConfig("groupBy", options={"fields": fields})
    ).with_transformation(
        DataTransformerConfig("sortBy", options={"sort": [{"field": order, "desc": True}]})
    )


def _properties(column: Column) -> list[DynamicConfigValue]:
    found = []
    if column.links:
        told = [
            {"title": link.title, "url": link.url, "targetBlank": link.new_tab}
            for link in column.links
        ]
        found.append(DynamicConfigValue("links", told))
    if column.unit:
        found.append(DynamicConfigValue("unit", column.unit))
    return found
