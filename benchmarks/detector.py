"""The detector without rules: features, facts and both models, on a synthetic chain.

The baseline does with River, row by row, the part of it that River has: it scores and learns the
same flow features. ``plain`` compares with all of it in plain Python.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from river import anomaly

from benchmarks.chains import binary, table_of
from benchmarks.table import Result
from chainwarden.schema import ETHEREUM, Alert, BlockBatch, FlowKind
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.features import FLOW_FEATURES
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

FLOWS: Final = 200_000
WALLETS: Final = 50_000
FLOWS_A_BLOCK: Final = 20
BATCH_BLOCKS: Final = 1_000
RIVER_ROWS: Final = 3_000
REPEATS: Final = 3


class NoPolicy:
    """A policy without alerts, so that only the detector's core is measured."""

    def decide(self, findings: Sequence[Finding], scored: ScoredBatch) -> tuple[Alert, ...]:
        """None."""
        del findings, scored
        return ()

    def revert(self, serial: int) -> tuple[str, ...]:
        """None."""
        del serial
        return ()

    def forget(self, serial: int) -> None:
        """Nothing is kept."""

    def snapshot(self) -> bytes:
        """Nothing."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing."""

    def digest(self) -> str:
        """Nothing."""
        return ""


def run() -> list[Result]:
    """Flows scored a second by the detector's core, in replay and block by block."""
    chain = synthetic_chain()
    batches = [chain.slice(at, at + BATCH_BLOCKS) for at in range(0, len(chain), BATCH_BLOCKS)]
    single = list(chain.slice(0, 500).split())
    _process(single[:2])  # compiles, or loads what was compiled
    replay, live, features = [], [], pa.table({})
    for _ in range(REPEATS):
        seconds, features = _process(batches)
        replay.append(seconds)
        live.append(_process(single)[0])
    river_rate = _river_rate(features)
    replayed = chain.flows.num_rows / statistics.median(replay)
    return [
        Result(
            benchmark="detector",
            what="Detector core, replay",
            unit="flows/s",
            value=replayed,
            baseline="River's trees alone",
            baseline_value=river_rate,
        ),
        Result(
            benchmark="detector",
            what=f"Detector core, live, {FLOWS_A_BLOCK} flows a block",
            unit="blocks/s",
            value=len(single) / statistics.median(live),
        ),
    ]


def synthetic_chain() -> BlockBatch:
    """Native flows between wallets of very different activity, from a fixed seed."""
    rng = np.random.default_rng(0)
    addresses = rng.integers(0, 256, (WALLETS, 20), np.uint8)
    blocks = np.arange(FLOWS // FLOWS_A_BLOCK)
    at = np.repeat(blocks, FLOWS_A_BLOCK)
    value = rng.lognormal(40.0, 2.5, FLOWS)
    exact = np.zeros((FLOWS, 4), ">u8")
    exact[:, 3] = np.minimum(value, 2.0**63).astype(np.uint64)
    columns = {
        "block_number": at,
        "block_timestamp": 1_600_000_000 + 12 * at,
        "transaction_index": np.tile(np.arange(FLOWS_A_BLOCK), len(blocks)),
        "ordinal": np.zeros(FLOWS),
        "batch_index": np.zeros(FLOWS),
        "kind": np.full(FLOWS, FlowKind.NATIVE),
        "from_address": binary(addresses[rng.zipf(1.3, FLOWS) % WALLETS], 20),
        "to_address": binary(addresses[rng.zipf(1.3, FLOWS) % WALLETS], 20),
        "value": binary(exact.view(np.uint8), 32),
        "value_f64": value,
        "status": np.ones(FLOWS),
    }
    heads = {
        "block_number": blocks,
        "block_timestamp": 1_600_000_000 + 12 * blocks,
        "transaction_count": np.full(len(blocks), FLOWS_A_BLOCK),
        "verified": np.zeros(len(blocks), np.bool_),
    }
    return BlockBatch.of(
        ETHEREUM, blocks=table_of("blocks", heads), flows=table_of("flows", columns)
    )


def _process(batches: Sequence[BlockBatch]) -> tuple[float, pa.Table]:
    detector = Detector(ETHEREUM, DetectorConfig(), (), NoPolicy())
    detector.process(BlockBatch.of(ETHEREUM))
    features = pa.table({})
    began = time.perf_counter()
    for batch in batches:
        features = detector.process(batch).features
    return time.perf_counter() - began, features


def _river_rate(features: pa.Table) -> float:
    """Rows a second that River scores and learns of the same features."""
    rows = features.select(list(FLOW_FEATURES)).slice(0, RIVER_ROWS).to_pylist()
    model: Any = anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=1000, seed=1)
    began = time.perf_counter()
    for x in rows:
        model.score_one(x)
        model.learn_one(x)
    return len(rows) / (time.perf_counter() - began)
