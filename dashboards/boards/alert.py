"""Alert: why it was raised, what to check it with, where the money went."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.boards.board import board, with_outside
from dashboards.boards.fraud import ALERT_COLUMNS
from dashboards.boards.tables import (
    ADDRESS,
    ALERT,
    CONSOLE_ALERT,
    CONSOLE_WALLET,
    NUMBER,
    SECONDS,
    TRANSACTION,
    WALLET,
    Column,
    optional,
    rows,
)

PATH: Final = "/api/v1/alerts/${alert}"
EXPLAINED: Final = f"{PATH}/explanation"

_REASONS: Final = (
    Column("feature", "Feature"),
    Column("value", "Value", NUMBER),
    Column("contribution", "Share of the score", NUMBER),
    Column("threshold", "Threshold", NUMBER),
)
_PATH: Final = (
    Column("from", "From", links=(WALLET, CONSOLE_WALLET, ADDRESS)),
    Column("to", "To", links=(WALLET, CONSOLE_WALLET, ADDRESS)),
    Column("amount", "Amount, exact"),
    Column("token", "Token; empty: the coin", links=(ADDRESS,)),
    Column("transaction", "Transaction", links=(TRANSACTION,)),
)
_AMOUNTS: Final = (
    Column("amount", "Amount, exact"),
    Column("token", "Token; empty: the coin", links=(ADDRESS,)),
)
_PARTNERS: Final = (
    Column("address", "Counterparty", links=(WALLET, CONSOLE_WALLET, ADDRESS)),
    Column("labels", "Labels"),
    Column("in_evidence", "In the evidence", "boolean"),
    Column("to_subject.count", "Paid the wallet, times", NUMBER),
    Column("from_subject.count", "Was paid, times", NUMBER),
)
_HISTORY: Final = (
    Column("address", "Wallet", links=(WALLET, CONSOLE_WALLET, ADDRESS)),
    Column("verdict_then", "Verdict then"),
    Column("history.first_time", "First seen", SECONDS),
    Column("history.flows", "Flows", NUMBER),
    Column("history.counterparties", "Counterparties", NUMBER),
)
_RELATED: Final = (
    Column("severity", "Severity"),
    Column("rule", "Rule"),
    Column("sentence", "What happened"),
    Column("block_number", "Block", NUMBER),
    Column("status", "Status"),
    Column("id", "Alert", links=(ALERT, CONSOLE_ALERT)),
)
_ABOUT: Final = (
    Column("about.what", "What it is"),
    Column("about.innocent", "What is innocent and looks like it"),
    Column("about.check", "What to check"),
)


def alert() -> dashboard.Dashboard:
    """The board."""
    made = with_outside(
        board("alert", "chainwarden · Alert", "Why an alert was raised.", "now-30d", "")
    ).with_variable(
        dashboard.TextBoxVariable("alert")
        .label("Alert")
        .description("its id, or the first digits of it")
        .default_value("0000")
    )
    return (
        made.with_row(dashboard.Row("What and why"))
        .with_panel(rows("Alert", "As it was raised.", PATH, "", ALERT_COLUMNS, height=4))
        .with_panel(rows("About the rule", "Before one acts.", EXPLAINED, "", _ABOUT, height=5))
        .with_panel(
            rows(
                "Reasons", "The features that moved the score; their shares sum to it.",
                PATH, "reasons", _REASONS, width=12,
            )
        )
        .with_panel(
            rows(
                "Other alerts", "About the wallet, or with one of the transactions.",
                EXPLAINED, "related", _RELATED, width=12,
            )
        )
        .with_row(dashboard.Row("The money"))
        .with_panel(
            rows(
                "Path", "The way the funds took, in the order of the chain.",
                PATH, "evidence.path", _PATH,
            )
        )
        .with_panel(
            rows("Amounts", "What was moved.", PATH, "evidence.amounts", _AMOUNTS, width=8)
        )
        .with_panel(
            rows(
                "The wallet", "What the lake knows of it.", EXPLAINED, "subject", _HISTORY,
                width=16, height=4,
            )
        )
        .with_panel(
            rows(
                "Its counterparties", "Those of the evidence, then the largest.",
                EXPLAINED, optional("subject.history.partners"), _PARTNERS,
            )
        )
    )  # fmt: skip
