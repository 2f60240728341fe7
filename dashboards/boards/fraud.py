"""Fraud overview: what was found, of what kind, how bad, how much, about whom."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.dashboard import VariableOption

from chainwarden.schema import Severity
from dashboards.boards.board import DRIFT, board, with_outside
from dashboards.boards.panels import (
    EVERY_RULE,
    FRAUD_BY_RULE,
    Query,
    distribution,
    figure,
    from_block_to_alert,
    in_range,
    in_step,
    series,
)
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
    grouped,
    rows,
)
from detect.about import ABOUT

ALERTS_PATH: Final = (
    "/api/v1/alerts?severity=${severity}"
    "&since=${__from:date:seconds}&until=${__to:date:seconds}&limit=1000${rule}"
)
ALERT_COLUMNS: Final = (
    Column("block_timestamp", "Time", SECONDS),
    Column("severity", "Severity"),
    Column("rule", "Rule"),
    Column("sentence", "What happened"),
    Column("subject", "Wallet", links=(WALLET, CONSOLE_WALLET, ADDRESS)),
    Column("role", "Role"),
    Column("score", "Score", NUMBER),
    Column("status", "Status"),
    Column("block_number", "Block", NUMBER, (BLOCK,)),
    Column("transaction_hash", "Transaction", links=(TRANSACTION,)),
    Column("id", "Alert", links=(ALERT, CONSOLE_ALERT)),
)


def fraud() -> dashboard.Dashboard:
    """The board."""
    made = with_outside(
        board("fraud", "chainwarden · Fraud overview", "What was found, and about whom.", "now-24h")
    )
    made = made.with_variable(_severity()).with_variable(_rule()).annotation(DRIFT)
    for part in (_found, _scores, _tables):
        made = part(made)
    return made


def _severity() -> dashboard.CustomVariable:
    levels = [level.text for level in Severity]
    return (
        dashboard.CustomVariable("severity")
        .label("Severity, at least")
        .values(",".join(levels))
        .current(VariableOption(text=levels[0], value=levels[0]))
    )


def _rule() -> dashboard.CustomVariable:
    # Parameters as they are asked for: a rule that is every rule would be one that none is called.
    values = [
        f"every rule : {EVERY_RULE}",
        *(f"{rule} : {EVERY_RULE}&rule={rule}" for rule in sorted(ABOUT)),
    ]
    return (
        dashboard.CustomVariable("rule")
        .label("Rule, in tables")
        .values(",".join(values))
        .current(VariableOption(text="every rule", value=EVERY_RULE))
    )


def _found(made: dashboard.Dashboard) -> dashboard.Dashboard:
    alerts, link = "chainwarden_alerts_total", ("Alerts of this rule", FRAUD_BY_RULE)
    wei = in_range("chainwarden_alert_value_wei_total")
    return (
        made.with_row(dashboard.Row("Found"))
        .with_panel(
            figure(
                "Raised", "In the time shown, by severity.", "none",
                Query(in_range(alerts, "severity"), "{{severity}}"), width=14,
            )
        )
        .with_panel(
            figure(
                "Value at risk", "Ether that moved in what the alerts of the time shown are about.",
                "none", Query(f"{wei} / 1e18", "ether"), width=5,
            )
        )
        .with_panel(
            figure(
                "Taken back", "Alerts whose block is not on the chain any more.", "none",
                Query(in_range("chainwarden_retractions_total", "reason"), "{{reason}}"), width=5,
            )
        )
        .with_panel(
            series(
                "By severity", "Alerts raised.", "none",
                Query(in_step(alerts, "severity"), "{{severity}}"), bars=True,
            )
        )
        .with_panel(
            series(
                "By typology", "Alerts raised, by the kind of fraud.", "none",
                Query(in_step(alerts, "typology"), "{{typology}}"), bars=True,
            )
        )
        .with_panel(
            series(
                "By rule", "Alerts raised; a rule leads to its alerts.", "none",
                Query(in_step(alerts, "rule"), "{{rule}}"), link=link, bars=True,
            )
        )
        .with_panel(
            series(
                "Value at risk by rule", "Ether that moved in what the alerts are about.", "none",
                Query(f"{in_step('chainwarden_alert_value_wei_total', 'rule')} / 1e18", "{{rule}}"),
                link=link, bars=True,
            )
        )
        .with_panel(
            series(
                "Findings that became no alert", "By what the policy has against them.", "none",
                Query(in_step("chainwarden_alerts_suppressed_total", "reason"), "{{reason}}"),
                bars=True,
            )
        )
        .with_panel(from_block_to_alert())
    )  # fmt: skip


def _scores(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Scores"))
        .with_panel(
            distribution(
                "Scores of flows", "Anomaly scores; marks say where their distribution drifted.",
                "chainwarden_flow_score",
            )
        )
        .with_panel(
            distribution(
                "Scores of wallets", "Anomaly scores; marks say where their distribution drifted.",
                "chainwarden_wallet_score",
            )
        )
    )  # fmt: skip


def _tables(made: dashboard.Dashboard) -> dashboard.Dashboard:
    top = rows(
        "Top wallets", "Those with the most of the newest 1,000 alerts of the time shown.",
        ALERTS_PATH, "alerts",
        [c for c in ALERT_COLUMNS if c.title in ("Time", "Wallet", "Rule", "Score", "Alert")],
        width=24,
    )  # fmt: skip
    how = [("Alert", "count"), ("Rule", "allUniqueValues"), ("Score", "max"), ("Time", "max")]
    return (
        made.with_row(dashboard.Row("Alerts and wallets"))
        .with_panel(
            rows(
                "Alerts", "The newest 1,000 of the time shown, by block time. An id leads to its "
                "reasons, a wallet to all that is known of it.",
                ALERTS_PATH, "alerts", ALERT_COLUMNS, height=14,
            )
        )
        .with_panel(grouped(top, "Wallet", how, "Alert (count)"))
    )  # fmt: skip
