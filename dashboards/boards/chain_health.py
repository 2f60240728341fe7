"""Chain health: forks, missed slots, finality, builders, fees."""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from dashboards.boards.board import board, with_outside
from dashboards.boards.fraud import ALERT_COLUMNS
from dashboards.boards.panels import Query, in_step, now, series
from dashboards.boards.tables import rows


def chain_health() -> dashboard.Dashboard:
    """The board."""
    made = with_outside(
        board("chain", "chainwarden · Chain health", "The chain itself, not those who use it.")
    )
    for part in (_consensus, _builders, _fees):
        made = part(made)
    return made


def _consensus(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Consensus"))
        .with_panel(
            series(
                "Reorgs", "Blocks taken back by forks.", "none",
                Query(in_step("chainwarden_reverted_blocks_total"), "blocks"), bars=True,
            )
        )
        .with_panel(
            series(
                "Orphaned transactions", "Taken away by forks, and what became of them.", "none",
                Query(in_step("chainwarden_orphaned_transactions_total", "outcome"), "{{outcome}}"),
                bars=True,
            )
        )
        .with_panel(
            series(
                "Missed slots", "Of the last 64 slots those without a block; of the last 225 those "
                "with an empty one.", "percentunit",
                Query(now("chainwarden_missed_slots_ratio"), "missed"),
                Query(now("chainwarden_empty_blocks_ratio"), "empty"),
            )
        )
        .with_panel(
            series(
                "Finality", "Blocks between the head and what is final; 64 to 96 are usual.",
                "none", Query(now("chainwarden_finality_delay_blocks"), "behind the head"),
            )
        )
        .with_panel(
            series(
                "Finality conflicts", "Blocks final for a node, and not on the chain that was "
                "followed.", "none",
                Query(in_step("chainwarden_finality_conflicts_total"), "conflicts"), bars=True,
            )
        )
        .with_panel(
            series(
                "Disruption ahead", "The chance that fees double or slots are missed within 250 "
                "blocks, with its 90 % interval.", "percentunit",
                Query(now("chainwarden_disruption_probability"), "{{bound}}"),
                Query(now("chainwarden_disruption_skill"), "skill over the base rate"),
            )
        )
        .with_panel(
            rows(
                "Findings about the chain", "The newest 1,000 alerts whose subject is nobody.",
                "/api/v1/alerts?status=all&subject=0x0000000000000000000000000000000000000000"
                "&since=${__from:date:seconds}&until=${__to:date:seconds}&limit=1000",
                "alerts", [c for c in ALERT_COLUMNS if c.title not in ("Wallet", "Role")],
            )
        )
    )  # fmt: skip


def _builders(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Builders"))
        .with_panel(
            series(
                "Share of the blocks", "Of a day's blocks, by builder.", "percentunit",
                Query(now("chainwarden_builder_share_ratio"), "{{builder}}"),
            )
        )
        .with_panel(
            series(
                "Concentration", "Herfindahl index of a day's blocks; the least builders that have "
                "more than that share together.", "none",
                Query(now("chainwarden_builder_hhi"), "Herfindahl index"),
                Query(now("chainwarden_builder_nakamoto"), "more than {{percent}} %"),
            )
        )
        .with_panel(
            series(
                "Calls to Tornado Cash", "A builder's share of them over its share of the blocks: "
                "1 where it makes no difference.", "none",
                Query(now("chainwarden_sanctioned_inclusion_ratio"), "{{builder}}"),
            )
        )
    )  # fmt: skip


def _fees(made: dashboard.Dashboard) -> dashboard.Dashboard:
    return (
        made.with_row(dashboard.Row("Fees"))
        .with_panel(
            series(
                "Base fee", "In gwei: of the next block, exact, and so many blocks ahead.", "none",
                Query(f"{now('chainwarden_next_base_fee_wei')} / 1e9", "next block"),
                Query(f"{now('chainwarden_fee_forecast_wei')} / 1e9", "{{blocks}} ahead"),
            )
        )
        .with_panel(
            series(
                "Blob base fee", "In gwei, of the next block, exact.", "none",
                Query(f"{now('chainwarden_next_blob_base_fee_wei')} / 1e9", "next block"),
            )
        )
        .with_panel(
            series(
                "Skill of the forecast", "Squared error saved over saying that nothing changes.",
                "percentunit", Query(now("chainwarden_fee_forecast_skill"), "{{blocks}} ahead"),
            )
        )
    )  # fmt: skip
