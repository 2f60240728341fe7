"""The detector's core against the same in plain Python with River, on the same flows.

The plain one (``tests/detect/plain``) takes an event at a time: features, flow and wallet model,
relations and risk model, with River's own Half-Space Trees and ADWIN. Neither runs rules or a
policy. Both are one thread; processor time is measured. The plain one's events are made of the
tables before its clock starts, our arrays after.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Final

import pyarrow as pa

from benchmarks.detector import NoPolicy
from benchmarks.replay import winning_batches
from benchmarks.table import Result
from chainwarden.schema import ETHEREUM, BlockBatch
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.risk_config import RiskConfig
from tests.detect.plain.comparison import differences
from tests.detect.plain.detector import PlainDetector, Said
from tests.detect.plain.events import Told, told

# Of fewer blocks much of ours would be what a call costs, however many flows there are; of more the
# plain one, which grows its trees in Python, would take minutes.
BLOCKS: Final = 160
WARM: Final = 30  # of them before the clock starts: models learn, tables fill
TRANSACTIONS_PER_BLOCK: Final = 12.0
REPEATS: Final = 5
PLAIN_REPEATS: Final = 3

# Room for this chain and little more: a table's first touch is the machine's cost, not a flow's.
# Blocks and labels are learnt soon, so that most of what is scored is learnt.
CORE: Final = DetectorConfig(wallets=16_384, tokens=4_096, pairs=65_536, learn_depth=8)
RISK: Final = RiskConfig(delay_seconds=120, warm_up=5, wallets=1 << 14)


def run() -> list[Result]:
    """Flows a second of the core with and without its risk model, on a simulated chain."""
    (chain,) = winning_batches(BLOCKS, TRANSACTIONS_PER_BLOCK)
    batches = [chain.slice(0, WARM), chain.slice(WARM, BLOCKS)]
    blocks = told(chain)
    return [
        _compared("features, flow and wallet models", CORE, batches, blocks),
        _compared("the same and risk model", replace(CORE, risk=RISK), batches, blocks),
    ]


def _compared(
    parts: str, config: DetectorConfig, batches: list[BlockBatch], blocks: list[Told]
) -> Result:
    _process(config, batches)  # compiles, or loads what was compiled
    fast, features = zip(*(_process(config, batches) for _ in range(REPEATS)), strict=True)
    slow, said = zip(*(_plainly(config, blocks) for _ in range(PLAIN_REPEATS)), strict=True)
    flows = batches[-1].flows.num_rows
    return Result(
        benchmark="plain",
        what=f"detector core, {parts}; rules on neither side",
        unit="flows/s",
        value=flows / statistics.median(fast),
        baseline="plain Python with River, an event at a time",
        baseline_value=flows / statistics.median(slow),
        asked_ratio=60,
        difference=max(differences(features[0], said[0]).values()),
    )


def _process(config: DetectorConfig, batches: list[BlockBatch]) -> tuple[float, pa.Table]:
    """Processor seconds of the last batch, and the features of all."""
    detector, features, spent = Detector(ETHEREUM, config, (), NoPolicy(), is_bad), [], 0.0
    for batch in batches:
        began = time.process_time()
        features.append(detector.process(batch).features)
        spent = time.process_time() - began
    return spent, pa.concat_tables(features)


def _plainly(config: DetectorConfig, blocks: list[Told]) -> tuple[float, list[Said]]:
    """Processor seconds of the blocks after the warm ones, and what is said of all."""
    detector = PlainDetector(config, is_bad)
    said = [one for block in blocks[:WARM] for one in detector.process(block)]
    began = time.process_time()
    said += [one for block in blocks[WARM:] for one in detector.process(block)]
    return time.process_time() - began, said


def is_bad(wallet: bytes, now: int) -> bool:
    """One wallet in seven, for whatever it did."""
    del now
    return wallet[0] % 7 == 0
