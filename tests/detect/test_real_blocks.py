"""The detector's core on real blocks and on the labelled stream."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chainwarden.schema import ETHEREUM, BlockBatch, Severity
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.features import FLOW_FEATURES
from ingest.decode import decode_blocks
from ingest.jsonl import JsonlSource
from ingest.parquet import ParquetSource
from ingest.raw import RawBlock
from tests.detect.test_anomaly import Findings

pytestmark = pytest.mark.data


def mainnet(shared_data: Path) -> BlockBatch:
    """25 blocks of 2023 with receipts and internal calls."""
    source = JsonlSource(shared_data / "blocks" / "run.blocks.jsonl.gz", ETHEREUM)
    raws = [raw for raw in source.blocks() if isinstance(raw, RawBlock)]
    raws.sort(key=lambda raw: int(raw.block.number, 16))
    return decode_blocks(ETHEREUM, raws, [True] * len(raws))


def test_real_blocks_are_scored_alike_one_by_one_and_at_once(shared_data: Path) -> None:
    """On blocks with every kind of flow, batching, reverting and adding again change nothing."""
    batch = mainnet(shared_data)
    config = DetectorConfig(learn_depth=3, window_size=250)
    whole, single = (Detector(ETHEREUM, config, (), Findings()) for _ in range(2))
    features = whole.process(batch).features
    for block in batch.split():
        single.process(block)
    assert single.digest() == whole.digest()
    for row in range(len(batch) - 1, 9, -1):
        single.revert(batch.position(row))
    single.process(batch.slice(10, len(batch)))
    assert single.digest() == whole.digest()
    X = np.array([features[name].to_numpy() for name in FLOW_FEATURES])
    assert np.isfinite(X).all()
    assert X.min() >= 0
    assert X.max() <= 1
    varied = {n for n, x in zip(FLOW_FEATURES, X, strict=True) if x.min() < x.max()}
    assert varied == set(FLOW_FEATURES)


def test_anomalies_on_the_stream_are_few_and_never_alarming(shared_data: Path) -> None:
    """At most one finding in 20,000 flows, none above medium, all explained."""
    policy = Findings()
    detector = Detector(ETHEREUM, DetectorConfig(), (), policy)
    flows = 0
    source = ParquetSource(shared_data / "labelled" / "stream.parquet", ETHEREUM)
    for batch in source.batches(20_000):
        flows += batch.flows.num_rows
        detector.process(batch)
    assert flows == 320_881
    assert 0 < len(policy.found) <= flows / 20_000
    for finding in policy.found:
        assert finding.severity <= Severity.MEDIUM
        assert sum(r.contribution for r in finding.reasons) == pytest.approx(finding.score)
