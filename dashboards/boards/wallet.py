"""Wallet: all that is known of one address."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.boards.board import board, with_explorer
from dashboards.boards.fraud import ALERT_COLUMNS
from dashboards.boards.tables import ADDRESS, ALERT, NUMBER, SECONDS, Column, Link, points, rows

PATH: Final = "/api/v1/wallets/${address}?limit=1000"
NOBODY: Final = "0x0000000000000000000000000000000000000000"

_LABELS: Final = (
    Column("label", "Label"),
    Column("source", "Source"),
    Column("valid_from", "From", SECONDS),
    Column("valid_to", "Until", SECONDS),
    Column("author", "Who"),
    Column("note", "Why"),
    Column("alert_id", "Alert", links=(ALERT,)),
    Column("in_force_from", "In force from block", NUMBER),
)
_CHANGES: Final = (
    Column("said_at", "Said", SECONDS),
    Column("act", "Act"),
    Column("label", "Label"),
    Column("by", "Who"),
    Column("why", "Why"),
    Column("in_force_from", "In force from block", NUMBER),
)


def wallet() -> dashboard.Dashboard:
    """The board."""
    made = with_explorer(
        board("wallet", "chainwarden · Wallet", "All that is known of one address.", "now-30d", "")
    ).with_variable(dashboard.TextBoxVariable("address").label("Address").default_value(NOBODY))
    about = [c for c in ALERT_COLUMNS if c.title != "Wallet"]
    timed = (Column("block_timestamp", "Time", SECONDS), Column("score", "Score", NUMBER))
    explorer = Link(ADDRESS.title, "${explorer}/address/${address}", True)
    return (
        made.link(
            dashboard.DashboardLink(explorer.title).url(explorer.url).target_blank(explorer.new_tab)
        )
        .with_row(dashboard.Row("Alerts"))
        .with_panel(
            points(
                "Timeline", "The scores of its alerts, at the time of their blocks.",
                PATH, "alerts", timed,
            )
        )
        .with_panel(
            rows(
                "Alerts", "Its newest 1,000 alerts, of whatever time; those taken back, too.",
                PATH, "alerts", about, height=10,
            )
        )
        .with_row(dashboard.Row("Labels"))
        .with_panel(rows("Labels", "What lists and people say of it.", PATH, "labels", _LABELS))
        .with_panel(
            rows(
                "Who said what", "Labels given and withdrawn, the newest 1,000, oldest first.",
                "/api/v1/labels/history?address=${address}&limit=1000", "changes", _CHANGES,
            )
        )
    )  # fmt: skip
