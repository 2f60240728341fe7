"""Wallet: all that is known of one address."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.boards.board import board, with_outside
from dashboards.boards.fraud import ALERT_COLUMNS
from dashboards.boards.model_quality import LABEL_CHANGES
from dashboards.boards.tables import (
    ADDRESS,
    ALERT,
    BLOCK,
    CONSOLE_ALERT,
    CONSOLE_WALLET,
    NUMBER,
    SECONDS,
    TRANSACTION,
    WALLET,
    Column,
    Link,
    grouped,
    optional,
    points,
    rows,
)

PATH: Final = "/api/v1/wallets/${address}?limit=1000"
FLOWS_PATH: Final = (
    "/api/v1/wallets/${address}/flows"
    "?since=${__from:date:seconds}&until=${__to:date:seconds}&limit=1000"
)
NOBODY: Final = "0x0000000000000000000000000000000000000000"

_LABELS: Final = (
    Column("label", "Label"),
    Column("source", "Source"),
    Column("valid_from", "From", SECONDS),
    Column("valid_to", "Until", SECONDS),
    Column("author", "Who"),
    Column("note", "Why"),
    Column("alert_id", "Alert", links=(ALERT, CONSOLE_ALERT)),
    Column("in_force_from", "In force from block", NUMBER),
)
_STANDING: Final = (
    Column("verdict", "Verdict"),
    Column("score.value", "Anomaly score", NUMBER),
    Column("risk.value", "Risk", NUMBER),
    Column("history.first_time", "First seen", SECONDS),
    Column("history.last_block", "Last seen in block", NUMBER, (BLOCK,)),
    Column("history.flows", "Flows", NUMBER),
    Column("history.counterparties", "Counterparties", NUMBER),
)
_FLOWS: Final = (
    Column("block_timestamp", "Time", SECONDS),
    Column("direction", "Direction"),
    Column("kind", "Kind"),
    Column("counterparty", "Counterparty", links=(WALLET, CONSOLE_WALLET, ADDRESS)),
    Column("counterparty_label", "Its label"),
    Column("counterparty_risk", "Its risk", NUMBER),
    Column("value", "Value"),
    Column("symbol", "Of"),
    Column("token", "Token", links=(ADDRESS,)),
    Column("score", "Score", NUMBER),
    Column("transaction", "Transaction", links=(TRANSACTION,)),
)
_OF_PARTNERS: Final = frozenset(
    ["Time", "Direction", "Counterparty", "Its label", "Its risk", "Transaction"]
)
_FEATURES: Final = (
    Column("feature", "Feature"),
    Column("value", "Value", NUMBER),
    Column("meaning", "What it is"),
)


def wallet() -> dashboard.Dashboard:
    """The board."""
    made = with_outside(
        board("wallet", "chainwarden · Wallet", "All that is known of one address.", "now-30d", "")
    ).with_variable(dashboard.TextBoxVariable("address").label("Address").default_value(NOBODY))
    explorer = Link(ADDRESS.title, "${explorer}/address/${address}", True)
    made = made.link(
        dashboard.DashboardLink(explorer.title).url(explorer.url).target_blank(explorer.new_tab)
    )
    for part in (_alerts, _money, _features, _labels):
        made = part(made)
    return made


def _alerts(made: dashboard.Dashboard) -> dashboard.Dashboard:
    about = [c for c in ALERT_COLUMNS if c.title != "Wallet"]
    timed = (Column("block_timestamp", "Time", SECONDS), Column("score", "Score", NUMBER))
    return (
        made.with_row(dashboard.Row("What it is thought to be"))
        .with_panel(
            rows("Standing", "As of the newest block.", PATH, "", _STANDING, height=4)
        )
        .with_panel(
            points(
                "Timeline of alerts", "Their scores, at the time of their blocks.",
                PATH, "alerts", timed, width=12,
            )
        )
        .with_panel(
            points(
                "Timeline of flows", "Their anomaly scores.", FLOWS_PATH, "flows", timed, width=12,
            )
        )
        .with_panel(
            rows(
                "Alerts", "Its newest 1,000 alerts, of whatever time; those taken back, too.",
                PATH, "alerts", about, height=10,
            )
        )
    )  # fmt: skip


def _money(made: dashboard.Dashboard) -> dashboard.Dashboard:
    by_partner = rows(
        "Counterparties", "Of the flows shown below, those with the most first.",
        FLOWS_PATH, "flows", [c for c in _FLOWS if c.title in _OF_PARTNERS], width=24,
    )  # fmt: skip
    how = [
        ("Transaction", "count"), ("Direction", "allUniqueValues"), ("Its label", "last"),
        ("Its risk", "max"), ("Time", "max"),
    ]  # fmt: skip
    return (
        made.with_row(dashboard.Row("The money"))
        .with_panel(grouped(by_partner, "Counterparty", how, "Transaction (count)"))
        .with_panel(
            rows(
                "Flows", "The newest 1,000 of the time shown. Exact; the lake's.",
                FLOWS_PATH, "flows", _FLOWS, height=14,
            )
        )
    )  # fmt: skip


def _features(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return made.with_row(dashboard.Row("What the models see")).with_panel(
        rows(
            "Features", "Of its newest flow, as they were read before the flow itself was learnt.",
            PATH, optional("features.values"), _FEATURES, height=12,
        )
    )  # fmt: skip


def _labels(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("What is said of it"))
        .with_panel(rows("Labels", "Of lists and people.", PATH, "labels", _LABELS))
        .with_panel(
            rows(
                "Who said what", "Labels given and withdrawn, the newest 1,000, oldest first.",
                "/api/v1/labels/history?address=${address}&limit=1000", "changes",
                [c for c in LABEL_CHANGES if c.title != "Wallet"],
            )
        )
    )  # fmt: skip
