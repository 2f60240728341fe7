"""What every board has: its data sources, its chain, its way to the other boards."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    DataSourceRef,
    VariableHide,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

PROMETHEUS: Final = DataSourceRef("prometheus", "${prometheus}")
API: Final = DataSourceRef("yesoreyeram-infinity-datasource", "${api}")
# What the provisioned data sources are called; see grafana/provisioning/datasources.
PROMETHEUS_UID: Final = "prometheus"
API_UID: Final = "chainwarden-api"
TAG: Final = "chainwarden"
EXPLORER: Final = "https://etherscan.io"
CONSOLE: Final = "http://127.0.0.1:9464"


class PrometheusEvents(AnnotationQuery, Builder[AnnotationQuery]):
    """Marks where an expression gives something, named by a label.

    The SDK's annotation has no title, text nor tags, which Grafana's Prometheus source reads.
    """

    def __init__(self, name: str, expr: str, title: str, text: str) -> None:
        super().__init__(name=name, datasource=PROMETHEUS, icon_color="orange", expr=expr)
        self._title, self._text = title, text

    def build(self) -> AnnotationQuery:
        """Itself: it is a model already."""
        return self

    def to_json(self) -> dict[str, object]:
        """What Grafana keeps."""
        more = {"titleFormat": self._title, "textFormat": self._text, "step": "60s"}
        return {**super().to_json(), **more}


DRIFT: Final = PrometheusEvents(
    "Drift",
    'sum by (stream) (increase(chainwarden_drift_total{chain="$chain"}[1m])) > 0',
    "drift",
    "{{stream}} is not distributed as before",
)


def board(
    uid: str, title: str, description: str, since: str = "now-6h", refresh: str = "30s"
) -> dashboard.Dashboard:
    """An empty board of the set, ``chainwarden-UID``, over the time from ``since`` to now."""
    return (
        dashboard.Dashboard(title)
        .uid(address(uid))
        .description(description)
        .tags([TAG])
        .time(since, "now")
        .refresh(refresh)
        .timezone("utc")
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Boards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .keep_time(True)
        )
        .with_variable(_source("prometheus", "Prometheus", "prometheus", PROMETHEUS_UID))
        .with_variable(_source("api", "API", str(API.type_val), API_UID))
        .with_variable(
            dashboard.QueryVariable("chain")
            .label("Chain")
            .datasource(PROMETHEUS)
            .query(
                {
                    "qryType": 1,
                    "query": "label_values(chainwarden_head_block, chain)",
                    "refId": "chain",
                }
            )
            .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
            .sort(VariableSort.ALPHABETICAL_ASC)
        )
    )


def with_outside(made: dashboard.Dashboard) -> dashboard.Dashboard:
    """The board with fields for where else its links lead: a block explorer, the console."""
    return made.with_variable(
        dashboard.TextBoxVariable("explorer")
        .label("Block explorer")
        .description("where /address/, /tx/ and /block/ are")
        .default_value(EXPLORER)
    ).with_variable(
        dashboard.TextBoxVariable("console")
        .label("Console")
        .description("of the process that has the ledger, as your browser reaches it")
        .default_value(CONSOLE)
    )


def address(uid: str) -> str:
    """The uid of a board of the set."""
    return f"{TAG}-{uid}"


def _source(name: str, label: str, plugin: str, uid: str) -> dashboard.DatasourceVariable:
    return (
        dashboard.DatasourceVariable(name)
        .label(label)
        .type(plugin)
        .hide(VariableHide.HIDE_VARIABLE)
        .current(VariableOption(text=label, value=uid))
    )
