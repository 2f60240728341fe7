"""The whole replay: Parquet in, features, models, rules, ledger and lake out.

The baseline is DuckDB reading the same files and computing four aggregates per wallet, on as many
threads as it likes: about the least that any answer about wallets costs.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.table import Result
from chainwarden.deployment import load_kernels, make_detector, new_book
from chainwarden.replay import replay
from chainwarden.schema import ETHEREUM, BlockBatch
from chainwarden.settings import Settings
from ingest.decode import decode_blocks
from ingest.raw import RawBlock
from ingest.simulate import Simulation, SimulationConfig
from store.lake import Lake

BLOCKS: Final = 2_500
TRANSACTIONS_PER_BLOCK: Final = 36.0
REPEATS: Final = 3

# In a process of its own: duckdb is the store's, and its threads are not ours to keep.
BASELINE: Final = """
import duckdb, sys, time
began = time.perf_counter()
duckdb.sql(f\"\"\"
    WITH sides AS (
        SELECT from_address AS wallet, value_f64, block_timestamp FROM '{sys.argv[1]}'
        UNION ALL
        SELECT to_address, value_f64, block_timestamp FROM '{sys.argv[1]}'
    )
    SELECT wallet, count(*), sum(value_f64), max(value_f64), min(block_timestamp)
    FROM sides GROUP BY wallet
\"\"\").fetchall()
print(time.perf_counter() - began)
"""


def run() -> list[Result]:
    """Flows a second on a simulated chain with every attack in it."""
    batches = winning_chain()
    flows = sum(batch.flows.num_rows for batch in batches)
    whole, detecting, scanning = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "lake"
        for batch in batches:
            Lake(source, ETHEREUM).write(batch)
        load_kernels(Settings())
        for number in range(REPEATS):
            detecting.append(_detector_seconds(batches))
            result = replay(source, Path(folder) / f"out{number}", Settings(), batch_blocks=8192)
            assert result.flows == flows
            whole.append(result.seconds)
            scanning.append(_duckdb_seconds(source))
    return [
        Result(
            benchmark="replay",
            what=what,
            unit="flows/s",
            value=flows / statistics.median(seconds),
            baseline="DuckDB, four aggregates per wallet",
            baseline_value=flows / statistics.median(scanning),
        )
        for what, seconds in (
            ("whole detector in memory: models, all rules, policy", detecting),
            ("whole replay, Parquet to ledger and lake", whole),
        )
    ]


def winning_chain(
    blocks: int = BLOCKS, transactions_per_block: float = TRANSACTIONS_PER_BLOCK
) -> list[BlockBatch]:
    """The simulated chain without its orphans, in batches of 500 blocks."""
    simulation = Simulation(
        SimulationConfig(blocks=blocks, transactions_per_block=transactions_per_block)
    )
    raws = {raw.block.hash: raw for raw in simulation.blocks()}
    winning: list[RawBlock] = []
    raw = next(reversed(raws.values()), None)
    while raw is not None:  # from the last block back along the parents
        winning.append(raw)
        raw = raws.get(raw.block.parent_hash)
    winning.reverse()
    parts = [winning[start : start + 500] for start in range(0, len(winning), 500)]
    return [decode_blocks(ETHEREUM, part, [True] * len(part)) for part in parts]


def _detector_seconds(batches: Sequence[BlockBatch]) -> float:
    detector = make_detector(Settings(), ETHEREUM, new_book()).detector
    began = time.perf_counter()
    for batch in batches:
        detector.process(batch)
    return time.perf_counter() - began


def _duckdb_seconds(lake: Path) -> float:
    pattern = f"{lake}/flows/*/*/*.parquet"
    done = subprocess.run(
        [sys.executable, "-c", BASELINE, pattern], check=True, capture_output=True, text=True
    )
    return float(done.stdout)
