"""For each alerting rule the series on which it fires, and such on which it must not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

CHAIN: Final = {"chain": "ethereum", "job": "detect", "instance": "detect:9464"}


@dataclass(frozen=True, slots=True)
class Case:
    """A metric with more labels than ``CHAIN``; its values a minute apart, in promtool's words.

    ``ill`` fires at the end of ``minutes``, with ``summary``; ``well`` does not, however long.
    ``fires_with`` are the labels of the alert, where they are not the series' own.
    """

    alert: str
    metric: str
    ill: str
    well: str
    minutes: int
    severity: str
    summary: str
    labels: Mapping[str, str] = field(default_factory=dict)
    fires_with: Mapping[str, str] | None = None


def _counts(alert: str, metric: str, severity: str, summary: str, **labels: str) -> Case:
    """A counter that rises once, and one that is as high and does not."""
    name = f"chainwarden_{metric}_total"
    return Case(alert, name, "0x8 1x6", "1x14", 10, severity, summary, labels)


CASES: Final = (
    Case(
        "ChainwardenDown", "up", "1x3 0x9", "1x5 0 1x9", 10, "critical",
        "detect at detect:9464 does not answer",
    ),
    # Block times are those of a chain that begins at 0 and stops, or goes on.
    Case(
        "ChainwardenStalled", "chainwarden_head_timestamp_seconds", "0+60x4 240x20", "0+60x24",
        15, "critical", "detect of ethereum has had no new block for 5 minutes",
        {"stage": "detect"},
    ),
    Case(
        "ChainwardenLate", "chainwarden_lag_seconds", "12x4 90x10", "12x4 90 12x9",
        12, "warning", "ingest of ethereum is 1m 30s behind the clock", {"stage": "ingest"},
    ),
    Case(
        "ChainwardenSourceStalled", "chainwarden_source_stalled", "0x4 1x9", "0x14", 10,
        "critical", "the position of ethereum does not move: /readyz of its process says why",
    ),
    _counts(
        "ChainwardenSourceRestarted", "source_restarts", "warning",
        "the source of ethereum stood for minutes and was opened anew",
    ),
    _counts(
        "ChainwardenVerificationFailures", "verification_failures", "warning",
        "a node's block of ethereum did not match its receipts_root", reason="receipts_root",
    ),
    _counts(
        "ChainwardenBlocksUnverified", "blocks", "warning",
        "blocks of ethereum have fields or types that nobody knows: they were taken unverified",
        outcome="unverified",
    ),
    _counts(
        "ChainwardenGap", "gaps", "warning",
        "the source of ethereum has a hole: what was in it is not scored",
    ),
    _counts(
        "ChainwardenFinalityConflict", "finality_conflicts", "critical",
        "a block that is final for a node is not on the ethereum that was followed",
    ),
    Case(
        "ChainwardenFinalityStalled", "chainwarden_finality_delay_blocks", "70+10x14", "96x14",
        12, "warning", "finality of ethereum is 190 blocks behind",
    ),
    _counts(
        "ChainwardenDeepFork", "rewinds", "critical",
        "a fork of ethereum was deeper than the undo: scoring went back to a snapshot",
    ),
    Case(
        "ChainwardenDeepFork", "chainwarden_scoring_halted", "0x4 1x9", "0x14", 10, "critical",
        "a fork of ethereum was deeper than the undo: scoring went back to a snapshot",
    ),
    Case(
        "ChainwardenRuleTooSlow", "chainwarden_rule_over_budget_total", "0x4 1+1x9", "0x4 3x9",
        12, "warning", "sybil takes more than a second a block of ethereum", {"rule": "sybil"},
    ),
    _counts(
        "ChainwardenRiskModelParted", "risk_reference_alarms", "critical",
        "the risk model of ethereum forgets what it knew was bad: see who labelled what",
    ),
    Case(
        "ChainwardenScoresDrift", "chainwarden_drift_total", "0x4 1x4 3x9", "0x4 1x9", 12,
        "warning",
        "flow_score of ethereum drifted more than once in a day: alert volumes may follow",
        {"stream": "flow_score"}, {"chain": "ethereum", "stream": "flow_score"},
    ),
    _counts(
        "ChainwardenRiskErrorsDrift", "drift", "warning",
        "the risk model of ethereum errs otherwise than before", stream="risk_error",
    ),
    _counts(
        "ChainwardenLabelListRefused", "label_lists", "warning",
        "a label list of ethereum cannot be used: the labels of before stay in force",
        outcome="refused",
    ),
    _counts(
        "ChainwardenNoSnapshot", "snapshot_failures", "warning",
        "the disk takes no snapshot of ethereum: a restart has more and more to do",
    ),
    Case(
        "ChainwardenSnapshotOld", "chainwarden_snapshot_timestamp_seconds", "0x90", "0+60x90",
        80, "warning", "the newest snapshot of ethereum is 1h 20m 0s old",
    ),
    Case(
        "ChainwardenDeliveryFailing", "chainwarden_deliveries_total", "0x4 2+2x9", "0x4 2x9",
        12, "warning", "receiver ops refuses notifications",
        {"receiver": "ops", "outcome": "failed"},
    ),
    Case(
        "ChainwardenReceiverDisabled", "chainwarden_receiver_disabled", "0x4 1x9", "0x14", 10,
        "critical",
        "nothing is sent to receiver ops: chainwarden deliveries says why, and enables it",
        {"receiver": "ops"},
    ),
    Case(
        "ChainwardenNotificationsGivenUp", "chainwarden_outbox_dead", "0x4 3x9", "0x14", 10,
        "warning", "3 notifications of ops were given up: see chainwarden deliveries",
        {"receiver": "ops"},
    ),
    Case(
        "ChainwardenOutboxGrowing", "chainwarden_outbox_pending", "1200x20", "1200x9 10x20", 18,
        "warning", "1200 notifications of ethereum wait",
    ),
    Case(
        "ChainwardenBoundNearlyFull", "chainwarden_bound_used_ratio", "0.96x20", "0.94x20", 18,
        "warning", "labels of ethereum is nearly full: what comes then is refused",
        {"bound": "labels"},
    ),
    Case(
        "ChainwardenEvicting", "chainwarden_bound_used_ratio", "1x70", "1x30 0.9x40", 65, "info",
        "wallets of ethereum is full: the least telling are forgotten", {"bound": "wallets"},
    ),
    Case(
        "ChainwardenBusAway", "chainwarden_bus_away_seconds", "0x4 60+60x9", "0x4 30 0x9", 10,
        "critical", "the bus of ethereum has not answered detect for a minute",
    ),
    Case(
        "ChainwardenBehind", "chainwarden_lag_blocks", "0x4 30x9", "0x4 30 0x9", 12, "warning",
        "detect of ethereum is 30 blocks behind", {"stage": "detect"},
    ),
    _counts(
        "ChainwardenDeadLetters", "dead_letters", "warning",
        "records on the bus of ethereum cannot be decoded",
    ),
)  # fmt: skip
