"""Writes a simulated chain as the files that a node's answers would be kept in."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ingest.record import BlockRecorder, whole_file
from ingest.simulate.labels import COLUMNS
from ingest.simulate.simulation import FIRST_BLOCK, Simulation, SimulationConfig

CHAIN_NAME: Final = "chain"
TRUTH_FILE: Final = "truth.json"
LABELS_FILE: Final = "labels.csv"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written: the folder and its four files, and how much is in them."""

    folder: Path
    blocks_file: Path
    receipts_file: Path
    truth_file: Path
    labels_file: Path
    blocks: int  # orphaned ones included
    orphaned: int
    transactions: int  # in all blocks, orphaned ones included
    logs: int
    campaigns: int


def write_chain(
    config: SimulationConfig,
    folder: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Written:
    """Simulate and write ``folder``; ``progress`` is told (blocks done, blocks in all) on the way.

    Every file appears whole or not at all: they are written under temporary names, then renamed,
    the blocks last. The same config gives the same bytes. An OSError is passed on, and leaves no
    temporary file.
    """
    simulation = Simulation(config)
    with BlockRecorder(folder / CHAIN_NAME) as recorder:
        done = 0  # a fork goes back, progress does not
        for raw in simulation.blocks():
            recorder.write(raw)
            done = max(done, int(raw.block.number, 16) - FIRST_BLOCK + 1)
            if progress is not None:
                progress(done, config.blocks)
        truth = simulation.truth()
        with whole_file(folder / TRUTH_FILE) as file:
            file.write(msgspec.json.format(msgspec.json.encode(truth.campaigns), indent=1) + b"\n")
        with whole_file(folder / LABELS_FILE) as file:
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows(simulation.labels())
            file.write(text.getvalue().encode())
    return Written(
        folder=folder,
        blocks_file=recorder.blocks_file,
        receipts_file=recorder.receipts_file,
        truth_file=folder / TRUTH_FILE,
        labels_file=folder / LABELS_FILE,
        blocks=recorder.blocks,
        orphaned=recorder.blocks - config.blocks,
        transactions=recorder.transactions,
        logs=recorder.logs,
        campaigns=len(truth.campaigns),
    )
