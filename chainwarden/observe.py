"""What the parts count, brought into the metrics."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from chainwarden.kafka_bus import BusWatch
from chainwarden.metrics import Metrics
from chainwarden.schema import Offsets
from detect.alerts import AlertPolicy
from detect.detector import Detector
from ingest.node_calls import NodeCallsStats
from store.delivery import Delivery
from store.ledger import Ledger


def observe_detection(metrics: Metrics, detector: Detector, policy: AlertPolicy) -> None:
    """Bounds in use, drift, warm-up, suppressed findings, time of each rule."""
    stats = detector.stats()
    for bound in ("wallets", "summaries", "tokens"):
        if capacity := stats[f"{bound}_capacity"]:
            metrics.bound_used.labels(metrics.chain, bound).set(stats[bound] / capacity)
    for model in ("flow", "wallet"):
        warm = 1.0 - stats[f"{model}_model_warming_up"]
        metrics.warm.labels(metrics.chain, model).set(warm)
        metrics.raise_counter(metrics.drift, stats[f"{model}_score_drifts"], f"{model}_score")
    for name, value in stats.items():
        if name.startswith("rule_seconds."):
            metrics.raise_counter(metrics.rule_seconds, value, name.partition(".")[2])
        if name.startswith("rule_over_budget."):
            metrics.raise_counter(metrics.rule_over_budget, value, name.partition(".")[2])
    observe_chain(metrics, stats)
    observe_models(metrics, detector.models())
    observe_watch(metrics, stats)
    for reason, count in policy.suppressed.items():
        metrics.raise_counter(metrics.suppressed, count, reason)


def observe_watch(metrics: Metrics, stats: Mapping[str, float]) -> None:
    """Drift of the risk model's errors and features, whom it learns from, how far from the
    reference it is."""
    if "risk_reference_alarms" not in stats:
        return
    metrics.raise_counter(metrics.drift, stats["risk_error_drifts"], "risk_error")
    for name, value in stats.items():
        if name.startswith("feature_drifts."):
            metrics.raise_counter(metrics.drift, value, f"feature.{name.partition('.')[2]}")
    chain = metrics.chain
    metrics.risk_sample.labels(chain).set(1.0 / stats["risk_learns_one_in"])
    metrics.reference_alarms.labels(chain)
    metrics.raise_counter(metrics.reference_alarms, stats["risk_reference_alarms"])
    metrics.reference_distance.labels(chain).set(stats["risk_reference_distance"])
    if stats["risk_reference_time"] >= 0:
        metrics.reference_timestamp.labels(chain).set(stats["risk_reference_time"])


def observe_models(metrics: Metrics, told: Mapping[str, Any] | None) -> None:
    """The risk models' figures, by role; what is not known is NaN."""
    gauges = {
        "rows": metrics.risk_rows,
        "positives": metrics.risk_bad_rows,
        "log_loss": metrics.risk_log_loss,
        "brier": metrics.risk_brier,
        "average_precision": metrics.risk_average_precision,
        "precision_at_100": metrics.risk_precision_at_100,
        "auroc": metrics.risk_auroc,
        "calibration_error": metrics.risk_calibration_error,
        "precision": metrics.risk_precision,
        "recall": metrics.risk_recall,
    }
    metrics.risk_model.clear()  # roles change
    for role in ("champion", "challenger"):
        model = told[role] if told else None
        if model is None:
            continue
        metrics.risk_model.labels(metrics.chain, role, model["configuration"]).set(1)
        for span, figures in model["figures"].items():
            for name, gauge in gauges.items():
                gauge.labels(metrics.chain, role, span).set(_known(figures[name]))
    for span, found in ((told or {}).get("comparison") or {}).items():
        metrics.risk_gain.labels(metrics.chain, span).set(_known(found["difference"]))
        metrics.risk_gain_p_value.labels(metrics.chain, span).set(_known(found["p_value"]))


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def observe_chain(metrics: Metrics, stats: Mapping[str, float]) -> None:
    """What rules measure of the chain itself: ``chain.NAME`` or ``chain.NAME/LABEL``."""
    gauges = {
        "missed_slots": metrics.missed_slots,
        "finality_delay": metrics.finality_delay,
        "builder_hhi": metrics.builder_hhi,
        "builder_share": metrics.builder_share,
        "nakamoto": metrics.nakamoto,
        "sanctioned_inclusion": metrics.sanctioned_inclusion,
        "empty_blocks": metrics.empty_blocks,
        "fee_forecast": metrics.fee_forecast,
        "fee_skill": metrics.fee_skill,
        "disruption": metrics.disruption,
        "disruption_skill": metrics.disruption_skill,
        "next_base_fee": metrics.next_base_fee,
        "next_blob_base_fee": metrics.next_blob_base_fee,
        "contract_model_warming_up": metrics.contract_warm_up,
        "contract_codes": metrics.contract_codes,
    }
    for key, value in stats.items():
        if not key.startswith("chain."):
            continue
        name, _, label = key.removeprefix("chain.").partition("/")
        labels = (label,) if label else ()
        if name == "orphans":
            metrics.raise_counter(metrics.orphans, value, *labels)
        else:
            gauges[name].labels(metrics.chain, *labels).set(value)


def observe_delivery(metrics: Metrics, delivery: Delivery, ledger: Ledger) -> None:
    """Posts by outcome, what waits, was given up or is suppressed, and who is disabled."""
    dead = ledger.outbox.dead()
    for receiver, counts in delivery.counts().items():
        disabled = ledger.outbox.state(receiver).disabled
        metrics.receiver_disabled.labels(metrics.chain, receiver).set(disabled)
        metrics.outbox_dead.labels(metrics.chain, receiver).set(dead.get(receiver, 0))
        metrics.raise_counter(metrics.deliveries, counts.delivered, receiver, "delivered")
        metrics.raise_counter(metrics.deliveries, counts.failed - counts.dead, receiver, "failed")
        metrics.raise_counter(metrics.deliveries, counts.dead, receiver, "dead")
    metrics.outbox_pending.labels(metrics.chain).set(sum(ledger.outbox.pending().values()))
    metrics.suppressions.labels(metrics.chain).set(len(ledger.triage.holding()))


def observe_node_calls(metrics: Metrics, stats: NodeCallsStats) -> None:
    """What rules asked a node, by how it ended."""
    for outcome in ("answered", "cached", "failed", "over_bound", "paused"):
        metrics.raise_counter(metrics.node_calls, getattr(stats, outcome), outcome)


def observe_bus(metrics: Metrics, watch: BusWatch, offsets: Callable[[], Offsets]) -> None:
    """Show in the metrics how far a detector at these offsets is behind the bus."""
    metrics.behind_bus(
        lambda: watch.newest.number if watch.newest else None, lambda: watch.behind(offsets())
    )
    metrics.bus_away.labels(metrics.chain).set_function(lambda: watch.silent_seconds)
