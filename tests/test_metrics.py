from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from benchmarks.detection.simulated import run
from chainwarden.deployment import make_detector, new_book
from chainwarden.errors import BadBlock, SettingsError
from chainwarden.metrics import Metrics, ScoreHistogram
from chainwarden.observe import observe_chain, observe_detection, observe_watch
from chainwarden.schema import ETHEREUM, Position
from chainwarden.server import MetricsServer
from chainwarden.settings import DetectSettings, Settings
from detect.risk import RiskModel
from ingest.simulate import SimulationConfig
from tests.conftest import ROOT
from tests.detect.build import Block, Build, Tx, wallet
from tests.detect.risk_story import FEATURES, OWN, risks, small, story
from tests.detect.test_risk import is_odd
from tests.store.made import alert


@pytest.fixture
def metrics() -> Metrics:
    """Metrics on a registry of their own, at a fixed wall clock."""
    return Metrics(CollectorRegistry(), ETHEREUM.name, clock=lambda: 1_000.0)


@pytest.fixture
def server(metrics: Metrics) -> Iterator[MetricsServer]:
    """A server on a free port, ready unless told otherwise."""
    server = MetricsServer("127.0.0.1", 0, metrics.registry, lambda: metrics_reason[0])
    yield server
    server.close()


metrics_reason = [""]


def fetched(server: MetricsServer, path: str) -> tuple[int, str]:
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(f"http://{server.address}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_scores_are_counted_in_cumulative_buckets(metrics: Metrics) -> None:
    """Whole arrays fall into buckets as single values would; NaN (warm-up) is not counted."""
    metrics.flow_score.observe_many(np.array([0.0, 0.05, 0.051, 0.5, 1.0, np.nan]))
    value = metrics.registry.get_sample_value

    def bucket(le: str) -> float | None:
        return value("chainwarden_flow_score_bucket", {"chain": "ethereum", "le": le})

    assert [bucket("0.05"), bucket("0.1"), bucket("0.5"), bucket("+Inf")] == [2, 3, 4, 5]
    assert value("chainwarden_flow_score_sum", {"chain": "ethereum"}) == pytest.approx(1.601)


def test_lag_is_wall_clock_minus_block_time(metrics: Metrics) -> None:
    """The lag in seconds grows while no block comes, and is never negative."""
    metrics.at_head("detect", Position(7, b""), 990)
    labels = {"chain": "ethereum", "stage": "detect"}
    assert metrics.registry.get_sample_value("chainwarden_lag_seconds", labels) == 10
    metrics.clock = lambda: 1_030.0
    assert metrics.registry.get_sample_value("chainwarden_lag_seconds", labels) == 40
    metrics.at_head("detect", Position(8, b""), 1_035)
    assert metrics.registry.get_sample_value("chainwarden_lag_seconds", labels) == 0


def test_lag_in_blocks_is_behind_the_stage_before(metrics: Metrics) -> None:
    """The lag in blocks is the number of the stage before minus the stage's own."""
    labels = {"chain": "ethereum", "stage": "detect"}
    metrics.behind("detect", 9)
    assert metrics.registry.get_sample_value("chainwarden_lag_blocks", labels) is None
    metrics.at_head("detect", Position(7, b""), 990)
    metrics.behind("detect", 9)
    assert metrics.registry.get_sample_value("chainwarden_lag_blocks", labels) == 2
    metrics.behind("detect", 6)
    assert metrics.registry.get_sample_value("chainwarden_lag_blocks", labels) == 0


def test_alerts_are_counted_by_kind_and_worth(metrics: Metrics) -> None:
    """Rule, typology and severity; the coin of the evidence in wei, and no token of strangers."""
    for number in (1, 2):
        metrics.raised([alert(number)])
    value = metrics.registry.get_sample_value
    kind = {"rule": "mixer_touch", "typology": "mixer", "severity": "high"}
    assert value("chainwarden_alerts_total", {"chain": "ethereum", **kind}) == 2
    rule = {"chain": "ethereum", "rule": "mixer_touch"}
    assert value("chainwarden_alert_value_wei_total", rule) == 2e18


def test_a_counter_follows_a_total_kept_elsewhere(metrics: Metrics) -> None:
    """raise_counter brings the counter to the total; at 0 it is there, so no rise is missed."""
    labels = {"chain": "ethereum", "reason": "cool_down"}
    for total in (0, 3, 3, 5):
        metrics.raise_counter(metrics.suppressed, total, "cool_down")
        told = metrics.registry.get_sample_value("chainwarden_alerts_suppressed_total", labels)
        assert told == total


def test_every_reason_to_refuse_a_block_is_there_from_the_start(metrics: Metrics) -> None:
    """A rate over a series that appears with its first failure would miss that failure."""
    for reason in BadBlock.REASONS:
        labels = {"chain": "ethereum", "reason": reason}
        value = metrics.registry.get_sample_value("chainwarden_verification_failures_total", labels)
        assert value == 0
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "ingest").glob("*.py"))
    given = set(re.findall(r'(?:\breason=|Mismatch\()"(\w+)"', text))
    assert len(given) > 5
    assert given <= set(BadBlock.REASONS)


def test_pages(server: MetricsServer) -> None:
    """Metrics, health and readiness answer; readiness says why not; other paths are 404."""
    assert "chainwarden_build_info" in fetched(server, "/metrics")[1]
    assert fetched(server, "/healthz") == (200, "ok\n")
    assert fetched(server, "/readyz") == (200, "ready\n")
    metrics_reason[0] = "no block for 300 s"
    assert fetched(server, "/readyz") == (503, "no block for 300 s\n")
    metrics_reason[0] = ""
    assert fetched(server, "/nothing")[0] == 404


def test_a_port_in_use_is_a_clear_error(server: MetricsServer, metrics: Metrics) -> None:
    """A port that is taken is named, with what to do."""
    port = int(server.address.rsplit(":", 1)[1])
    with pytest.raises(SettingsError, match=f"{port}.*free port"):
        MetricsServer("127.0.0.1", port, metrics.registry, lambda: "")


def test_every_metric_is_fed(metrics: Metrics) -> None:
    """Each metric that is defined is touched somewhere in the product."""
    kinds = (MetricWrapperBase, ScoreHistogram)
    defined = {name for name, value in vars(metrics).items() if isinstance(value, kinds)}
    assert len(defined) > 20
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in sorted((ROOT / "chainwarden").rglob("*.py"))
    )
    fed = {name for name in defined if re.search(rf"(metrics|self)\.{name}\b(?! =)", text)}
    assert defined - fed == set()


def test_every_figure_of_a_rule_has_its_metric(metrics: Metrics) -> None:
    """What rules measure of the chain over a simulated one can all be shown."""
    chain = SimulationConfig(seed=4, blocks=80, transactions_per_block=3.0, campaigns=())
    stats = run(chain).stats
    shown = {key for key in stats if key.startswith("chain.")}
    assert len(shown) > 10
    observe_chain(metrics, stats)


@pytest.mark.parametrize("summaries", [0, 8])
def test_bounds_in_use_are_told(metrics: Metrics, summaries: int) -> None:
    """How full wallets and their summaries are; nothing of summaries where none are kept."""
    settings = Settings(detect=DetectSettings(wallets=16, summaries=summaries, risk=False))
    detection = make_detector(settings, ETHEREUM, new_book())
    txs = [Tx(wallet(2 * n + 1), wallet(2 * n + 2), 10**18) for n in range(20)]
    detection.detector.process(Build().batch(Block(txs)).batch)
    observe_detection(metrics, detection.detector, detection.policy)

    def used(bound: str) -> float | None:
        labels = {"chain": "ethereum", "bound": bound}
        return metrics.registry.get_sample_value("chainwarden_bound_used_ratio", labels)

    assert used("wallets") == 1.0
    assert used("summaries") == (1.0 if summaries else None)


def test_what_watches_the_risk_model_is_told(metrics: Metrics) -> None:
    """Alarms and age of the reference, and drifts of errors and features, are the model's own."""
    model = RiskModel(small(), FEATURES, len(OWN), 8, is_odd)
    risks(model, story(6, 200))
    watched = model.watched()
    observe_watch(metrics, watched)
    value, chain = metrics.registry.get_sample_value, {"chain": "ethereum"}
    alarms = value("chainwarden_risk_reference_alarms_total", chain)
    assert alarms == watched["risk_reference_alarms"] > 0
    assert value("chainwarden_risk_reference_timestamp_seconds", chain) == float(
        watched["risk_reference_time"]
    )
    assert value("chainwarden_risk_sample_ratio", chain) == 1.0
    observe_watch(
        metrics,
        {**watched, "risk_error_drifts": 2.0, "feature_drifts.a": 3.0, "risk_learns_one_in": 4.0},
    )
    assert value("chainwarden_risk_sample_ratio", chain) == 0.25
    for stream, drifts in (("risk_error", 2), ("feature.a", 3)):
        labels = {**chain, "stream": stream}
        assert value("chainwarden_drift_total", labels) == drifts
    observe_watch(metrics, {})  # no risk model: nothing to tell
