"""Operations: whether it keeps up, what it refuses, what it delivers, how full it is."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards.boards.board import board
from dashboards.boards.panels import (
    Query,
    figure,
    from_block_to_alert,
    in_range,
    in_step,
    now,
    per_second,
    quantile,
    series,
)
from dashboards.boards.tables import NUMBER, SECONDS, Column, rows

GOOD_OR_BAD = ((None, "green"), (1, "red"))


def operations() -> dashboard.Dashboard:
    """The board."""
    made = board("operations", "chainwarden · Operations", "Whether chainwarden itself is well.")
    for part in (_standing, _throughput, _intake, _delivery, _bounds):
        made = part(made)
    return made


def _standing(made: dashboard.Dashboard) -> dashboard.Dashboard:
    behind = ((None, "green"), (60, "orange"), (300, "red"))
    return (
        made.with_row(dashboard.Row("Where it stands"))
        .with_panel(
            figure(
                "Head", "The newest block of each stage.", "none",
                Query(now("chainwarden_head_block"), "{{stage}}"), width=5,
            )
        )
        .with_panel(
            figure(
                "Block time", "How long ago the newest block was made.", "dateTimeFromNow",
                Query(f"1000 * {now('chainwarden_head_timestamp_seconds')}", "{{stage}}"), width=5,
            )
        )
        .with_panel(
            figure(
                "Lag", "Now minus the newest block's time; 12 s is one slot.", "s",
                Query(now("chainwarden_lag_seconds"), "{{stage}}"), width=4, levels=behind,
            )
        )
        .with_panel(
            figure(
                "Halted", "A source that stands; scoring on its way back to a snapshot.", "none",
                Query(f"max({now('chainwarden_source_stalled')})", "source"),
                Query(f"max({now('chainwarden_scoring_halted')})", "scoring"), width=4,
                levels=GOOD_OR_BAD,
            )
        )
        .with_panel(
            figure(
                "Standby", "1 while the process waits to take over from another.", "none",
                Query(now("chainwarden_standby"), "{{job}}"), width=3,
            )
        )
        .with_panel(
            figure(
                "Version", "What runs.", "none",
                Query("count by (version) (chainwarden_build_info)", "{{version}}"), width=3,
                named=True,
            )
        )
        .with_panel(
            series(
                "Lag in seconds", "Now minus the newest block's time, by stage.", "s",
                Query(now("chainwarden_lag_seconds"), "{{stage}}"),
            )
        )
        .with_panel(
            series(
                "Lag in blocks", "Blocks behind the stage before.", "none",
                Query(now("chainwarden_lag_blocks"), "{{stage}}"),
            )
        )
        .with_panel(
            series(
                "Bus", "Records that are not read yet, and how long the bus has not answered.",
                "none",
                Query(now("chainwarden_bus_lag_records"), "records not read"),
                Query(now("chainwarden_bus_away_seconds"), "{{job}}, seconds without an answer"),
            )
        )
    )  # fmt: skip


def _throughput(made: dashboard.Dashboard) -> dashboard.Dashboard:
    stages = "chainwarden_stage_duration_seconds"
    return (
        made.with_row(dashboard.Row("Throughput"))
        .with_panel(
            series(
                "Scored", "Transactions and flows a second.", "ops",
                Query(per_second("chainwarden_transactions_total"), "transactions"),
                Query(per_second("chainwarden_flows_total"), "flows"),
            )
        )
        .with_panel(
            series(
                "Time of a batch", "Live, a batch is one block.", "s",
                Query(quantile(0.5, stages, "stage"), "{{stage}}, median"),
                Query(quantile(0.95, stages, "stage"), "{{stage}}, 95 %"),
                Query(quantile(0.95, "chainwarden_commit_duration_seconds"), "commit, 95 %"),
            )
        )
        .with_panel(
            series(
                "Dearest rules", "Share of a core that each of the ten takes.", "percentunit",
                Query(f"topk(10, {per_second('chainwarden_rule_seconds_total', 'rule')})",
                      "{{rule}}"),
            )
        )
        .with_panel(
            series(
                "Rules over budget", "Batches in which a rule took over a second a block.", "none",
                Query(in_step("chainwarden_rule_over_budget_total", "rule"), "{{rule}}"),
                bars=True,
            )
        )
        .with_panel(from_block_to_alert())
        .with_panel(
            series(
                "Snapshots", "Age of the newest: what a restart has to do again.", "s",
                Query(f"time() - {now('chainwarden_snapshot_timestamp_seconds')}", "age"),
                Query(in_step("chainwarden_snapshot_failures_total"), "refused by the disk"),
            )
        )
    )  # fmt: skip


def _intake(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Intake and forks"))
        .with_panel(
            series(
                "Blocks", "By whether every root they commit to was recomputed.", "none",
                Query(in_step("chainwarden_blocks_total", "outcome"), "{{outcome}}"), bars=True,
            )
        )
        .with_panel(
            series(
                "Verification failures", "Blocks rejected, by what did not match.", "none",
                Query(in_step("chainwarden_verification_failures_total", "reason"), "{{reason}}"),
                bars=True,
            )
        )
        .with_panel(
            series(
                "Forks", "Blocks taken back, and forks that were deeper than the undo.", "none",
                Query(in_step("chainwarden_reverted_blocks_total"), "blocks taken back"),
                Query(in_step("chainwarden_rewinds_total"), "by way of a snapshot"), bars=True,
            )
        )
        .with_panel(
            series(
                "Requests to nodes", "By outcome; those of rules apart.", "reqps",
                Query(per_second("chainwarden_rpc_requests_total", "outcome"), "{{outcome}}"),
                Query(per_second("chainwarden_node_calls_total", "outcome"),
                      "of rules, {{outcome}}"),
            )
        )
        .with_panel(
            series(
                "What was lost", "Holes of the source, records that cannot be decoded, blocks "
                "that the bus lost and a node gave, sources opened anew.", "none",
                Query(in_step("chainwarden_gaps_total"), "gaps"),
                Query(in_step("chainwarden_dead_letters_total"), "dead letters"),
                Query(in_step("chainwarden_backfilled_blocks_total"), "blocks fetched again"),
                Query(in_step("chainwarden_source_restarts_total"), "source opened anew"),
                bars=True,
            )
        )
        .with_panel(
            series(
                "Labels", "Those that are known; changes that took force.", "none",
                Query(now("chainwarden_labels"), "known"),
                Query(in_step("chainwarden_label_changes_total", "kind"), "{{kind}}"),
                Query(in_step("chainwarden_label_lists_total", "outcome"), "lists {{outcome}}"),
            )
        )
    )  # fmt: skip


def _delivery(made: dashboard.Dashboard) -> dashboard.Dashboard:
    receivers = (
        Column("name", "Receiver"),
        Column("pending", "Waiting", NUMBER),
        Column("dead", "Given up", NUMBER),
        Column("disabled", "Disabled", "boolean"),
        Column("reason", "Why"),
        Column("failing_since", "Failing since", SECONDS),
        Column("next_attempt", "Next attempt", SECONDS),
    )
    suppressed = (
        Column("id", "Number", NUMBER),
        Column("rule", "Rule"),
        Column("subject", "Wallet"),
        Column("until", "Until", SECONDS),
        Column("by", "Said by"),
        Column("note", "Why"),
    )
    return (
        made.with_row(dashboard.Row("Delivery"))
        .with_panel(
            series(
                "Posts", "By receiver and outcome.", "none",
                Query(in_step("chainwarden_deliveries_total", "receiver, outcome"),
                      "{{receiver}}, {{outcome}}"), bars=True,
            )
        )
        .with_panel(
            series(
                "Outbox", "What waits or was given up, and suppressions that hold.", "none",
                Query(now("chainwarden_outbox_pending"), "waiting"),
                Query(now("chainwarden_outbox_dead"), "{{receiver}}, given up"),
                Query(now("chainwarden_suppressions"), "suppressions"),
            )
        )
        .with_panel(
            figure(
                "Receivers disabled", "1 while nothing is sent to a receiver.", "none",
                Query(now("chainwarden_receiver_disabled"), "{{receiver}}"), width=4,
                levels=GOOD_OR_BAD,
            )
        )
        .with_panel(
            figure(
                "Delivered", "In the time shown.", "none",
                Query(in_range('chainwarden_deliveries_total', "outcome"), "{{outcome}}"), width=4,
            )
        )
        .with_panel(
            rows(
                "Receivers", "chainwarden deliveries enables, and sends again.",
                "/api/v1/deliveries?limit=1", "receivers", receivers,
            )
        )
        .with_panel(
            rows(
                "Suppressed", "Receivers hear nothing of these; chainwarden suppressions ends it.",
                "/api/v1/suppressions", "suppressions", suppressed,
            )
        )
    )  # fmt: skip


def _bounds(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Bounds"))
        .with_panel(
            series(
                "Bounds in use", "Share of each stated bound; at 1 the least telling goes.",
                "percentunit", Query(now("chainwarden_bound_used_ratio"), "{{bound}}"), width=24,
            )
        )
    )  # fmt: skip
