"""What the anomaly models report, and what they leave alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.schema import ETHEREUM, Alert, Severity
from detect.anomaly import AnomalyGates
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.kernels.learning import (
    ABOVE,
    BIN,
    BINS,
    TOTAL,
    Quantile,
    bin_of,
    tally_many,
    upper_edge,
)
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from tests.detect.chains import Shape, batch_of, random_block
from tests.detect.runs import EveryFinding


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 3000), rest=st.sampled_from([0.1, 0.003]))
def test_the_quantile_is_that_of_the_last_two_generations(
    seed: int, count: int, rest: float
) -> None:
    """The running bin is the lowest with at most its share of recent scores above it."""
    rng = np.random.default_rng(seed)
    scores = np.clip(1 - rng.exponential(0.1, count) * rng.random(), 0, 1)
    generation = 500
    quantile = Quantile(np.zeros((2, BINS), np.int64), np.zeros(4, np.int64))
    tally_many(quantile, scores, 0, count, rest, generation)
    first = max(0, count // generation - 1) * generation
    bins = sorted(bin_of(score) for score in scores[first:].tolist())
    assert quantile.state[TOTAL] == len(bins)
    allowed = int(rest * len(bins))
    place = next(k for k in [0, *bins] if sum(b > k for b in bins) <= allowed)
    assert quantile.state[BIN] == place
    assert quantile.state[ABOVE] == sum(b > place for b in bins)


def test_bins_cover_all_scores_in_order() -> None:
    """Every score is at most its bin's upper edge, and edges rise to 1."""
    scores = np.concatenate([np.linspace(0, 1, 5000), 1 - np.logspace(-7, -1, 500)])
    for score in scores.tolist():
        assert score <= upper_edge(bin_of(score)) + 1e-12
    edges = [upper_edge(k) for k in range(BINS)]
    assert edges == sorted(edges)
    assert edges[-1] == pytest.approx(1)


class Findings(EveryFinding):
    """A policy that keeps the findings."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Finding] = []

    def decide(self, findings: Sequence[Finding], scored: ScoredBatch) -> tuple[Alert, ...]:
        """Keep them, too."""
        self.found += findings
        return super().decide(findings, scored)


def found_in(config: DetectorConfig, seed: str = "odd") -> list[Finding]:
    """The findings in a few hundred random blocks."""
    policy = Findings()
    warden = Detector(ETHEREUM, config, (), policy)
    chain = [random_block(n, seed, Shape(wallets=40, transactions=8)) for n in range(300)]
    warden.process(batch_of(chain))
    return policy.found


LOOSE = DetectorConfig(
    wallets=1024,
    pairs=4096,
    window_size=100,
    flow_level=0.98,
    wallet_level=0.95,
    learn_depth=4,
    gates=AnomalyGates(flow_value=1e18, wallet_value=1e18, wallet_events=4),
)


def test_findings_explain_themselves() -> None:
    """Reasons sum to the score; there is a threshold, a sentence, evidence, and no alarmism."""
    findings = found_in(LOOSE)
    assert {f.rule for f in findings} == {"flow_anomaly", "wallet_anomaly"}
    for finding in findings:
        assert 0 < finding.score <= 1
        assert sum(r.contribution for r in finding.reasons) == pytest.approx(finding.score)
        assert finding.reasons[0].threshold is not None
        assert finding.score > finding.reasons[0].threshold
        assert finding.severity <= Severity.MEDIUM
        assert "0x" + finding.subject.hex() in finding.sentence
        assert finding.evidence.transactions == (finding.transaction_hash,)
        named = [r.contribution for r in finding.reasons[1:-1]]
        assert named == sorted(named, reverse=True)


def test_the_gates_keep_dust_and_beginners_out() -> None:
    """What is worth less than the gates ask for is never reported."""
    gates = AnomalyGates(flow_value=2e21, wallet_value=1e30, wallet_events=4)
    config = DetectorConfig(**{f: getattr(LOOSE, f) for f in LOOSE.__slots__} | {"gates": gates})
    findings = found_in(config)
    assert {f.rule for f in findings} == {"flow_anomaly"}
    assert all(f.evidence.amounts[0][1] >= 2 * 10**21 for f in findings)
    assert all(f.severity == Severity.MEDIUM for f in findings)


def test_nothing_is_reported_before_the_quantile_is_known() -> None:
    """With 99.99 % asked for and fewer than 10,000 scores, nothing stands out."""
    config = DetectorConfig(
        **{f: getattr(LOOSE, f) for f in LOOSE.__slots__}
        | {
            "flow_level": 0.9999,
            "wallet_level": 0.9999,
        }
    )
    assert found_in(config) == []
