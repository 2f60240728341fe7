"""Model quality: how good the models are on rows they had not seen, once the labels came."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard

from dashboards.boards.board import DRIFT, board
from dashboards.boards.panels import (
    Query,
    figure,
    in_range,
    in_step,
    labels_of,
    now,
    quantile,
    series,
)
from dashboards.boards.tables import NUMBER, SECONDS, WALLET, Column, rows

_CHALLENGE: Final = "The champion's is what alerts; the challenger scores in shadow."
_PROMOTIONS: Final = (
    Column("said_at", "Said", SECONDS),
    Column("by", "Who"),
    Column("why", "Why"),
    Column("in_force_from", "In force from block", NUMBER),
    Column("configuration", "Configuration"),
)
LABEL_CHANGES: Final = (
    Column("said_at", "Said", SECONDS),
    Column("act", "Act"),
    Column("address", "Wallet", links=(WALLET,)),
    Column("label", "Label"),
    Column("by", "Who"),
    Column("why", "Why"),
    Column("in_force_from", "In force from block", NUMBER),
)


def model_quality() -> dashboard.Dashboard:
    """The board."""
    made = board(
        "models", "chainwarden · Model quality",
        "Prequential: each row is judged as it was scored, once its label comes.", "now-30d", "5m",
    ).annotation(DRIFT)  # fmt: skip
    for part in (_judged, _compared, _watched, _words):
        made = part(made)
    return made


def _of_roles(name: str) -> Query:
    return Query(now(name), "{{role}}, {{span}}")


def _judged(made: dashboard.Dashboard) -> dashboard.Dashboard:
    both = "Of all rows, and of those of the last 30 to 60 days. " + _CHALLENGE
    return (
        made.with_row(dashboard.Row("The wallet risk model"))
        .with_panel(
            series(
                "Average precision", both, "percentunit",
                _of_roles("chainwarden_risk_average_precision"),
            )
        )
        .with_panel(
            series(
                "Precision and recall at the alert level", both, "percentunit",
                Query(now("chainwarden_risk_precision_ratio"), "precision, {{role}}, {{span}}"),
                Query(now("chainwarden_risk_recall_ratio"), "recall, {{role}}, {{span}}"),
            )
        )
        .with_panel(
            series(
                "Precision at 100", "Share that is bad of the hundred rows with the highest risk. "
                + both, "percentunit", _of_roles("chainwarden_risk_precision_at_100_ratio"),
            )
        )
        .with_panel(
            series(
                "Area under the ROC curve", both, "percentunit", _of_roles("chainwarden_risk_auroc")
            )
        )
        .with_panel(
            series(
                "Calibration", "Expected calibration error: how far what it says is from how often "
                "it is so. " + both, "percentunit",
                _of_roles("chainwarden_risk_calibration_error"),
            )
        )
        .with_panel(
            series(
                "Losses", "Less is better. " + both, "none",
                Query(now("chainwarden_risk_log_loss"), "log loss, {{role}}, {{span}}"),
                Query(now("chainwarden_risk_brier_score"), "Brier, {{role}}, {{span}}"),
            )
        )
        .with_panel(
            series(
                "Rows judged", "What the other figures rest on.", "none",
                Query(now("chainwarden_risk_rows_judged"), "{{role}}, {{span}}"),
                Query(now("chainwarden_risk_bad_rows_judged"), "bad, {{role}}, {{span}}"),
            )
        )
    )  # fmt: skip


def _compared(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Champion against challenger"))
        .with_panel(
            series(
                "Gain of the challenger", "How much lower its log loss is.", "none",
                Query(now("chainwarden_risk_challenger_gain"), "{{span}}"),
            )
        )
        .with_panel(
            series(
                "By chance", "How often chance alone does as much (Diebold and Mariano).",
                "percentunit", Query(now("chainwarden_risk_challenger_gain_p_value"), "{{span}}"),
            )
        )
        .with_panel(labels_of("Models", _CHALLENGE, now("chainwarden_risk_model_info")))
        .with_panel(
            rows(
                "Promotions", "Who made which challenger the champion.", "/api/v1/models",
                "promotions", _PROMOTIONS,
            )
        )
    )  # fmt: skip


def _watched(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Watched"))
        .with_panel(
            series(
                "Drift", "Found by ADWIN on scores, on the risk model's errors and features.",
                "none", Query(in_step("chainwarden_drift_total", "stream"), "{{stream}}"),
                bars=True,
            )
        )
        .with_panel(
            series(
                "Parting from the reference", "At 1 the risk model calls harmless what a copy of "
                "its earlier self calls risky: somebody may be teaching it.", "percentunit",
                Query(now("chainwarden_risk_reference_distance_ratio"), "how near an alarm is"),
                Query(in_step("chainwarden_risk_reference_alarms_total"), "alarms"),
            )
        )
        .with_panel(
            figure(
                "Reference", "When it was copied, by block time.", "dateTimeFromNow",
                Query(f"1000 * {now('chainwarden_risk_reference_timestamp_seconds')}", "copied"),
            )
        )
        .with_panel(
            figure(
                "Learns from", "Share of wallets; below 1 where more rows come than could wait "
                "for their labels.", "percentunit",
                Query(now("chainwarden_risk_sample_ratio"), "wallets"),
            )
        )
        .with_panel(
            figure(
                "Warm", "1 once a model gives scores.", "none",
                Query(now("chainwarden_model_warm"), "{{model}}"),
                Query(f"1 - {now('chainwarden_contract_model_warming_up')}", "contract"),
                levels=((None, "orange"), (1, "green")),
            )
        )
        .with_panel(
            series(
                "Codes of contracts", "Learnt, waiting for a label, bad.", "none",
                Query(now("chainwarden_contract_codes"), "{{kind}}"),
            )
        )
    )  # fmt: skip


def _words(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Labels"))
        .with_panel(
            series(
                "Labels that took force", "By people and by lists, and those that ended.", "none",
                Query(in_step("chainwarden_label_changes_total", "kind"), "{{kind}}"), bars=True,
            )
        )
        .with_panel(
            series(
                "Label lag", "Block time from when a person's label holds to when it took force.",
                "s", Query(quantile(0.5, "chainwarden_label_lag_seconds"), "median"),
                Query(quantile(0.9, "chainwarden_label_lag_seconds"), "90 %"),
            )
        )
        .with_panel(
            series(
                "Lead time", "Block time from a wallet's first alert to a person's label of it as "
                "bad.", "s", Query(quantile(0.5, "chainwarden_alert_lead_seconds"), "median"),
                Query(quantile(0.1, "chainwarden_alert_lead_seconds"), "10 %"),
            )
        )
        .with_panel(
            figure(
                "Bad labels", "Of the time shown, by whether an alert was before.", "none",
                Query(in_range("chainwarden_bad_labels_total", "alerted"), "alerted: {{alerted}}"),
            )
        )
        .with_panel(
            rows(
                "Who said what", "The newest 1,000, oldest first.",
                "/api/v1/labels/history?limit=1000", "changes", LABEL_CHANGES, width=20,
            )
        )
    )  # fmt: skip
