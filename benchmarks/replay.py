"""The whole replay: Parquet in, features, models, rules, ledger and lake out.

The baselines are DuckDB on the same files, on as many threads as it likes (see ``wallet_sql``).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.chains import winning_chain
from benchmarks.table import Result
from benchmarks.wallet_sql import AS_OF_EACH_FLOW, BARE
from chainwarden.deployment import load_kernels, make_detector, new_book
from chainwarden.replay import replay
from chainwarden.schema import ETHEREUM, BlockBatch
from chainwarden.settings import Settings
from ingest.decode import decode_blocks
from ingest.simulate import SimulationConfig
from store.lake import Lake

BLOCKS: Final = 2_500
TRANSACTIONS_PER_BLOCK: Final = 36.0
REPEATS: Final = 3
WARM_UP: Final = 2  # batches, on one core: until then the system makes the tables' memory

# In a process of its own: duckdb is the store's, and its threads are not ours to keep.
BASELINE: Final = """
import duckdb, sys, time
began = time.perf_counter()
duckdb.sql(sys.argv[1])
print(time.perf_counter() - began)
"""


def run() -> list[Result]:
    """Flows a second on a simulated chain with every attack in it."""
    batches = winning_batches()
    flows = sum(batch.flows.num_rows for batch in batches)
    warm = sum(batch.flows.num_rows for batch in batches[WARM_UP:])
    whole, detecting, on_one_core, as_of_each, bare = [], [], [], [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "lake"
        for batch in batches:
            Lake(source, ETHEREUM).write(batch)
        load_kernels(Settings())
        for number in range(REPEATS):
            detecting.append(_detector_seconds(batches))
            on_one_core.append(_on_one_core(lambda: _detector_seconds(batches, WARM_UP)))
            result = replay(source, folder / f"out{number}", Settings(), batch_blocks=8192)
            assert result.flows == flows
            whole.append(result.seconds)
            as_of_each.append(_duckdb_seconds(AS_OF_EACH_FLOW, folder))
            bare.append(_duckdb_seconds(BARE, folder))
    detector = "Detector in memory: models, all rules, policy; two threads"
    replayed = "Replay, Parquet to ledger and lake"
    each, four = "DuckDB, SQL aggregates as of each flow", "DuckDB, four aggregates a wallet"

    def result_of(
        what: str,
        ours: list[float],
        baseline: str,
        theirs: list[float],
        asked: float | None = None,
        ratio: float | None = None,
        scored: int = flows,
    ) -> Result:
        return Result(
            benchmark="replay",
            what=what,
            unit="flows/s",
            value=scored / statistics.median(ours),
            baseline=baseline,
            baseline_value=flows / statistics.median(theirs),
            asked=asked,
            asked_ratio=ratio,
        )

    return [
        result_of(detector, detecting, each, as_of_each),
        result_of(
            f"the same on one core, behind the first {sum(map(len, batches[:WARM_UP])):,} blocks",
            on_one_core,
            each,
            as_of_each,
            asked=150_000,
            scored=warm,
        ),
        result_of(replayed, whole, each, as_of_each, asked=100_000, ratio=0.25),
        result_of(f"{replayed}; against the bare scan", whole, four, bare),
    ]


def winning_batches(
    blocks: int = BLOCKS, transactions_per_block: float = TRANSACTIONS_PER_BLOCK
) -> list[BlockBatch]:
    """The simulated chain without its orphans, in batches of 500 blocks."""
    config = SimulationConfig(blocks=blocks, transactions_per_block=transactions_per_block)
    chain = winning_chain(config)
    parts = [chain[start : start + 500] for start in range(0, len(chain), 500)]
    return [decode_blocks(ETHEREUM, part, [True] * len(part)) for part in parts]


def _detector_seconds(batches: Sequence[BlockBatch], warm_up: int = 0) -> float:
    """Those of the batches behind the first ``warm_up``."""
    detector = make_detector(Settings(), ETHEREUM, new_book()).detector
    for batch in batches[:warm_up]:
        detector.process(batch)
    began = time.perf_counter()
    for batch in batches[warm_up:]:
        detector.process(batch)
    return time.perf_counter() - began


def _on_one_core(measured: Callable[[], float]) -> float:
    """What it measures while this thread, and any that it starts, has one processor only."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        return measured()
    finally:
        os.sched_setaffinity(0, allowed)


def _duckdb_seconds(sql: str, folder: Path) -> float:
    """What DuckDB takes for a statement over the flows in the folder's lake."""
    query = sql.format(source=f"{folder}/lake/flows/*/*/*.parquet", target=folder / "sql.parquet")
    done = subprocess.run(
        [sys.executable, "-c", BASELINE, query], check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])  # a long query shows its progress before
