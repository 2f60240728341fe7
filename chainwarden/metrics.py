"""Every Prometheus metric, defined once, on an injected registry.

Names follow Prometheus' conventions: the ``chainwarden_`` prefix, base units, ``_total`` for
counters. Labels come from closed sets (chains, stages, rules, severities, reasons, receivers that
are configured), never an address or a hash, so that the number of series is bounded whatever is on
the chain.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from chainwarden import __version__
from chainwarden.errors import BadBlock
from chainwarden.schema import Alert, Position, Retraction

SCORE_BUCKETS: Final = tuple(round(0.05 * i, 2) for i in range(1, 21))
SECONDS_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
)  # fmt: skip
DAYS_BUCKETS: Final = (
    0.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0, 1_209_600.0, 2_592_000.0,
    7_776_000.0, 31_536_000.0,
)  # fmt: skip
LATENCY_BUCKETS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 60.0, 300.0, 3600.0)


class ScoreHistogram(Collector):
    """A histogram over [0, 1] that takes whole arrays: one ``np.histogram`` a batch.

    prometheus-client's own takes one value at a time, about a microsecond each, which at 100,000
    scores a second would be a tenth of a core.
    """

    def __init__(self, name: str, help_text: str, chain: str) -> None:
        self._name, self._help, self._chain = name, help_text, chain
        self._counts = np.zeros(len(SCORE_BUCKETS) + 1, np.int64)
        self._sum = 0.0

    def observe_many(self, scores: np.ndarray) -> None:
        """Count the finite values of an array."""
        finite = scores[np.isfinite(scores)]
        bins = np.searchsorted(SCORE_BUCKETS, finite, side="left")
        self._counts += np.bincount(bins, minlength=len(self._counts))
        self._sum += float(finite.sum())

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """The family, for the registry."""
        family = HistogramMetricFamily(self._name, self._help, labels=["chain"])
        cumulative = np.cumsum(self._counts)
        bounds = [*(str(b) for b in SCORE_BUCKETS), "+Inf"]
        family.add_metric(
            [self._chain],
            buckets=[(b, float(c)) for b, c in zip(bounds, cumulative, strict=True)],
            sum_value=self._sum,
        )
        yield family


class Metrics:
    """The metrics of one chain's pipeline.

    ``clock`` is the wall clock, in seconds since 1970: the one place where it enters, for lags and
    latencies only.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        chain: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.registry = registry
        self.chain = chain
        self.clock = clock
        self._heads: dict[str, tuple[int, int]] = {}  # stage -> number and time of its head
        self._totals: dict[tuple[int, tuple[str, ...]], float] = {}

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"chainwarden_{name}", text, ["chain", *labels], registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"chainwarden_{name}", text, ["chain", *labels], registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(
                f"chainwarden_{name}", text, ["chain", *labels], buckets=buckets, registry=registry
            )

        build = Gauge(
            "chainwarden_build_info", "The version that runs", ["version"], registry=registry
        )
        build.labels(__version__).set(1)
        # where it stands
        self.head_block = gauge("head_block", "Number of the newest block", "stage")
        self.head_timestamp = gauge(
            "head_timestamp_seconds", "Block time of the newest block", "stage"
        )
        self.lag_blocks = gauge("lag_blocks", "Blocks behind the stage before", "stage")
        self.lag_seconds = gauge("lag_seconds", "Now minus the newest block's time", "stage")
        self.bus_lag = gauge("bus_lag_records", "Records on the bus that are not read yet")
        self.bus_away = gauge("bus_away_seconds", "How long the bus has not answered; 0: it does")
        self.standby = gauge("standby", "1 while it waits to take over from another process")
        self.source_stalled = gauge(
            "source_stalled", "1 while a live source's position should move and does not"
        )
        self.source_restarts = counter(
            "source_restarts", "Times a source that stood was opened anew"
        )
        # throughput
        self.blocks = counter("blocks", "Blocks taken in", "outcome")
        self.transactions = counter("transactions", "Transactions scored")
        self.flows = counter("flows", "Flows scored")
        self.stage_seconds = histogram(
            "stage_duration_seconds", "Time a batch takes in a stage", SECONDS_BUCKETS, "stage"
        )
        self.rule_seconds = counter("rule_seconds", "Time spent in each rule", "rule")
        self.rule_over_budget = counter(
            "rule_over_budget", "Batches in which a rule took over a second a block", "rule"
        )
        # what was wrong
        self.verification_failures = counter(
            "verification_failures", "Blocks rejected, by what did not match", "reason"
        )
        self.reverted_blocks = counter("reverted_blocks", "Blocks taken back by a fork")
        self.rewinds = counter("rewinds", "Forks deeper than the undo, left by way of a snapshot")
        self.scoring_halted = gauge("scoring_halted", "1 while the state goes back to a snapshot")
        self.gaps = counter("gaps", "Places where the source has a hole")
        self.dead_letters = counter("dead_letters", "Records of the bus that cannot be decoded")
        self.backfilled = counter("backfilled_blocks", "Blocks that the bus lost and a node gave")
        self.rpc_requests = counter("rpc_requests", "Requests to nodes, by outcome", "outcome")
        self.node_calls = counter(
            "node_calls", "What rules asked a node about a block's state, by outcome", "outcome"
        )
        # detection
        self.flow_score = ScoreHistogram("chainwarden_flow_score", "Anomaly scores of flows", chain)
        self.wallet_score = ScoreHistogram(
            "chainwarden_wallet_score", "Anomaly scores of wallets", chain
        )
        registry.register(self.flow_score)
        registry.register(self.wallet_score)
        self.alerts = counter("alerts", "Alerts raised", "rule", "typology", "severity")
        self.alert_value = counter(
            "alert_value_wei", "Of the chain's coin, in the evidence of alerts raised", "rule"
        )
        self.retractions = counter("retractions", "Alerts taken back", "reason")
        self.suppressed = counter("alerts_suppressed", "Findings that became no alert", "reason")
        self.labels = gauge("labels", "Labels of lists and people that are known")
        self.label_changes = counter("label_changes", "Labels that took force or ended", "kind")
        self.label_lag = histogram(
            "label_lag_seconds",
            "Block time from when a person's label holds to when it took force",
            DAYS_BUCKETS,
        )
        self.alert_lead = histogram(
            "alert_lead_seconds",
            "Block time from the first alert about a wallet to a person's label of it as bad",
            DAYS_BUCKETS,
        )
        self.bad_labels = counter(
            "bad_labels",
            "People's labels of wallets as bad, by whether an alert was before",
            "alerted",
        )
        self.label_lists = counter("label_lists", "Label lists read again, by outcome", "outcome")
        self.drift = counter("drift", "Drifts found on scores, errors or a feature", "stream")
        self.warm = gauge("model_warm", "1 once a model gives scores", "model")
        self.risk_model = gauge("risk_model_info", "1 for each risk model", "role", "configuration")
        judged = "of scored rows whose labels came, of all or of the last 30 to 60 days"
        self.risk_rows = gauge("risk_rows_judged", f"Number {judged}", "role", "span")
        self.risk_bad_rows = gauge("risk_bad_rows_judged", f"Number {judged}: bad", "role", "span")
        self.risk_log_loss = gauge("risk_log_loss", f"Log loss {judged}", "role", "span")
        self.risk_brier = gauge("risk_brier_score", f"Brier score {judged}", "role", "span")
        self.risk_average_precision = gauge(
            "risk_average_precision", f"Average precision {judged}", "role", "span"
        )
        self.risk_precision_at_100 = gauge(
            "risk_precision_at_100_ratio",
            f"Share that is bad of the 100 highest, {judged}",
            "role",
            "span",
        )
        self.risk_auroc = gauge("risk_auroc", f"Area under the ROC curve {judged}", "role", "span")
        self.risk_calibration_error = gauge(
            "risk_calibration_error", f"Expected calibration error {judged}", "role", "span"
        )
        self.risk_precision = gauge(
            "risk_precision_ratio",
            f"Share that is bad at the alert level, {judged}",
            "role",
            "span",
        )
        self.risk_recall = gauge(
            "risk_recall_ratio", f"Share of the bad at the alert level, {judged}", "role", "span"
        )
        self.risk_sample = gauge(
            "risk_sample_ratio",
            "Share of wallets the risk model learns from: below 1 where more would not fit",
        )
        self.reference_alarms = counter(
            "risk_reference_alarms", "Times the risk model parted from its fixed reference"
        )
        self.reference_distance = gauge(
            "risk_reference_distance_ratio", "How near the next such alarm is, from 0 to 1"
        )
        self.reference_timestamp = gauge(
            "risk_reference_timestamp_seconds", "Block time at which the reference was copied"
        )
        self.risk_gain = gauge(
            "risk_challenger_gain", f"How much lower the challenger's log loss is, {judged}", "span"
        )
        self.risk_gain_p_value = gauge(
            "risk_challenger_gain_p_value", "How often chance alone does as much", "span"
        )
        self.bound_used = gauge("bound_used_ratio", "Share of a stated bound in use", "bound")
        # the chain itself
        self.missed_slots = gauge("missed_slots_ratio", "Share of the last 64 slots missed")
        self.finality_delay = gauge("finality_delay_blocks", "Head minus the finalized block")
        self.finality_conflicts = counter(
            "finality_conflicts", "Blocks final for a node and not on the chain that was followed"
        )
        self.orphans = counter(
            "orphaned_transactions", "Transactions taken away by forks, by outcome", "outcome"
        )
        self.next_base_fee = gauge("next_base_fee_wei", "Base fee of the next block, exact")
        self.next_blob_base_fee = gauge("next_blob_base_fee_wei", "The same of blob gas")
        self.builder_share = gauge(
            "builder_share_ratio", "Share of a day's blocks, of builders known by name", "builder"
        )
        self.builder_hhi = gauge("builder_hhi", "Herfindahl index of builders over a day")
        self.nakamoto = gauge(
            "builder_nakamoto", "Least builders with more than that percentage", "percent"
        )
        self.sanctioned_inclusion = gauge(
            "sanctioned_inclusion_ratio",
            "Share of the calls to Tornado Cash over share of the blocks",
            "builder",
        )
        self.empty_blocks = gauge("empty_blocks_ratio", "Share of 225 slots with empty blocks")
        self.fee_forecast = gauge("fee_forecast_wei", "Base fee so many blocks ahead", "blocks")
        self.fee_skill = gauge(
            "fee_forecast_skill", "Squared error saved over saying nothing changes", "blocks"
        )
        self.disruption = gauge(
            "disruption_probability", "That fees double or slots are missed in 250 blocks", "bound"
        )
        self.disruption_skill = gauge(
            "disruption_skill",
            "Brier score saved over the base rate",
        )
        self.contract_warm_up = gauge(
            "contract_model_warming_up", "1 while the contract model says nothing yet"
        )
        self.contract_codes = gauge(
            "contract_codes", "Codes that it learnt, that wait for a label, or are bad", "kind"
        )
        # what leaves
        self.commit_seconds = histogram(
            "commit_duration_seconds", "Lake files, ledger transaction, bus commit", SECONDS_BUCKETS
        )
        self.block_to_alert_seconds = histogram(
            "block_to_alert_seconds", "From a block's time to its alert's commit", LATENCY_BUCKETS
        )
        self.snapshot_timestamp = gauge("snapshot_timestamp_seconds", "When the newest was saved")
        self.snapshot_failures = counter("snapshot_failures", "Snapshots the disk did not take")
        self.deliveries = counter("deliveries", "Webhook posts, by outcome", "receiver", "outcome")
        self.outbox_pending = gauge("outbox_pending", "Notifications not yet delivered")
        self.outbox_dead = gauge("outbox_dead", "Notifications given up", "receiver")
        self.receiver_disabled = gauge(
            "receiver_disabled", "1 while nothing is sent to a receiver", "receiver"
        )
        self.suppressions = gauge("suppressions", "Suppressions that hold: receivers hear nothing")
        # Series that exist from the start: a rate over a series that appears with its first
        # increment misses that increment.
        for outcome in ("verified", "unverified", "rejected"):
            self.blocks.labels(chain, outcome)
        for reason in BadBlock.REASONS:
            self.verification_failures.labels(chain, reason)
        for plain in (self.transactions, self.flows, self.reverted_blocks, self.gaps, self.rewinds):
            plain.labels(chain)
        self.scoring_halted.labels(chain)
        self.snapshot_failures.labels(chain)
        self.dead_letters.labels(chain)
        self.backfilled.labels(chain)
        self.standby.labels(chain)
        self.finality_conflicts.labels(chain)

    def at_head(self, stage: str, position: Position, timestamp: int) -> None:
        """A stage has come to that block. Its lag in seconds grows until the next one."""
        known = stage in self._heads
        self._heads[stage] = (position.number, timestamp)
        self.head_block.labels(self.chain, stage).set(position.number)
        self.head_timestamp.labels(self.chain, stage).set(timestamp)
        if not known:
            self.lag_seconds.labels(self.chain, stage).set_function(
                lambda: max(0.0, self.clock() - self._heads[stage][1])
            )

    def behind(self, stage: str, head_number: int) -> None:
        """The stage before has come to that number: the lag in blocks follows."""
        if stage in self._heads:
            lag = max(0, head_number - self._heads[stage][0])
            self.lag_blocks.labels(self.chain, stage).set(lag)

    def behind_bus(self, newest: Callable[[], int | None], records: Callable[[], int]) -> None:
        """From now on the lag of ``detect`` is asked for when it is looked at.

        ``newest`` gives the number of the newest block on the bus, ``records`` how many lie there.
        """

        def blocks() -> float:
            ahead, head = newest(), self.head_of("detect")
            return math.nan if ahead is None or head is None else max(0, ahead - head)

        self.lag_blocks.labels(self.chain, "detect").set_function(blocks)
        self.bus_lag.labels(self.chain).set_function(records)

    def head_of(self, stage: str) -> int | None:
        """The number of the newest block of a stage, if there is one."""
        return self._heads[stage][0] if stage in self._heads else None

    def raised(self, alerts: Iterable[Alert]) -> None:
        """Those alerts were committed."""
        now = self.clock()
        for alert in alerts:
            kind = (alert.rule, alert.typology, alert.severity.text)
            self.alerts.labels(self.chain, *kind).inc()
            coin = sum(amount for token, amount in alert.evidence.amounts if token is None)
            self.alert_value.labels(self.chain, alert.rule).inc(coin)
            self.block_to_alert_seconds.labels(self.chain).observe(
                max(0.0, now - alert.block_timestamp)
            )

    def retracted(self, retractions: Iterable[Retraction]) -> None:
        """Those alerts were taken back."""
        for retraction in retractions:
            self.retractions.labels(self.chain, retraction.reason.value).inc()

    def raise_counter(self, counter: Counter, total: float, *labels: str) -> None:
        """Bring a counter up to a total that is counted elsewhere; there it is even at 0."""
        key, child = (id(counter), labels), counter.labels(self.chain, *labels)
        behind = total - self._totals.get(key, 0.0)
        if behind > 0:
            child.inc(behind)
            self._totals[key] = total
