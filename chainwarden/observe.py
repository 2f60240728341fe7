"""What the parts count, brought into the metrics."""

from __future__ import annotations

from collections.abc import Mapping

from chainwarden.metrics import Metrics
from detect.alerts import AlertPolicy
from detect.detector import Detector
from ingest.node_calls import NodeCallsStats
from store.delivery import Delivery
from store.ledger import Ledger


def observe_detection(metrics: Metrics, detector: Detector, policy: AlertPolicy) -> None:
    """Bounds in use, drift, warm-up, suppressed findings, time of each rule."""
    stats = detector.stats()
    for bound in ("wallets", "tokens"):
        used = stats[bound] / stats[f"{bound}_capacity"]
        metrics.bound_used.labels(metrics.chain, bound).set(used)
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
    for reason, count in policy.suppressed.items():
        metrics.raise_counter(metrics.suppressed, count, reason)


def observe_chain(metrics: Metrics, stats: Mapping[str, float]) -> None:
    """What rules measure of the chain itself: ``chain.NAME`` or ``chain.NAME/LABEL``."""
    gauges = {
        "missed_slots": metrics.missed_slots,
        "finality_delay": metrics.finality_delay,
        "builder_hhi": metrics.builder_hhi,
        "nakamoto": metrics.nakamoto,
        "sanctioned_inclusion": metrics.sanctioned_inclusion,
        "empty_blocks": metrics.empty_blocks,
        "fee_forecast": metrics.fee_forecast,
        "fee_skill": metrics.fee_skill,
        "disruption": metrics.disruption,
        "disruption_skill": metrics.disruption_skill,
        "next_base_fee": metrics.next_base_fee,
        "next_blob_base_fee": metrics.next_blob_base_fee,
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
    """Posts by outcome, and how much waits."""
    for receiver, counts in delivery.counts().items():
        metrics.raise_counter(metrics.deliveries, counts.delivered, receiver, "delivered")
        metrics.raise_counter(metrics.deliveries, counts.failed - counts.dead, receiver, "failed")
        metrics.raise_counter(metrics.deliveries, counts.dead, receiver, "dead")
    metrics.outbox_pending.labels(metrics.chain).set(sum(ledger.outbox.pending().values()))


def observe_node_calls(metrics: Metrics, stats: NodeCallsStats) -> None:
    """What rules asked a node, by how it ended."""
    for outcome in ("answered", "cached", "failed", "over_bound", "paused"):
        metrics.raise_counter(metrics.node_calls, getattr(stats, outcome), outcome)
