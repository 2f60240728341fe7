"""Writes a simulated chain as the files that a node's answers would be kept in."""

from __future__ import annotations

import csv
import gzip
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from ingest.raw import RpcReceipt
from ingest.simulate.labels import COLUMNS
from ingest.simulate.simulation import FIRST_BLOCK, Simulation, SimulationConfig

BLOCKS_FILE: Final = "chain.blocks.jsonl.gz"
RECEIPTS_FILE: Final = "chain.receipts.jsonl.gz"
TRUTH_FILE: Final = "truth.json"
LABELS_FILE: Final = "labels.csv"


class ReceiptsLine(msgspec.Struct, rename="camel"):
    """A line of the receipts file: all receipts of the block with that number and hash."""

    block_number: str
    block_hash: str
    receipts: list[RpcReceipt]


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
    folder.mkdir(parents=True, exist_ok=True)
    simulation = Simulation(config)
    names = (RECEIPTS_FILE, TRUTH_FILE, LABELS_FILE, BLOCKS_FILE)
    temporary = {name: folder / f".{name}.{os.getpid()}.tmp" for name in names}
    try:
        counts = _write_blocks(
            simulation, temporary[BLOCKS_FILE], temporary[RECEIPTS_FILE], progress
        )
        truth = simulation.truth()
        temporary[TRUTH_FILE].write_bytes(
            msgspec.json.format(msgspec.json.encode(truth.campaigns), indent=1) + b"\n"
        )
        _write_labels(simulation, temporary[LABELS_FILE])
        for name in names:
            os.replace(temporary[name], folder / name)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)
    blocks, transactions, logs = counts
    return Written(
        folder=folder,
        blocks_file=folder / BLOCKS_FILE,
        receipts_file=folder / RECEIPTS_FILE,
        truth_file=folder / TRUTH_FILE,
        labels_file=folder / LABELS_FILE,
        blocks=blocks,
        orphaned=blocks - config.blocks,
        transactions=transactions,
        logs=logs,
        campaigns=len(truth.campaigns),
    )


def _write_blocks(
    simulation: Simulation,
    blocks_path: Path,
    receipts_path: Path,
    progress: Callable[[int, int], None] | None,
) -> tuple[int, int, int]:
    """Stream the blocks into the two files; returns how many blocks, transactions and logs."""
    encoder = msgspec.json.Encoder()
    blocks = transactions = logs = done = 0
    total = simulation.config.blocks
    with _gzip(blocks_path) as blocks_file, _gzip(receipts_path) as receipts_file:
        for raw in simulation.blocks():
            receipts = raw.receipts or []
            blocks_file.write(encoder.encode(raw.block) + b"\n")
            line = ReceiptsLine(raw.block.number, raw.block.hash, receipts)
            receipts_file.write(encoder.encode(line) + b"\n")
            blocks += 1
            transactions += len(receipts)
            logs += sum(len(receipt.logs) for receipt in receipts)
            if progress is not None:
                # A losing branch is no progress, and the winning one begins below it.
                done = max(done, int(raw.block.number, 16) - FIRST_BLOCK + 1)
                progress(done, total)
    return blocks, transactions, logs


@contextmanager
def _gzip(path: Path) -> Iterator[gzip.GzipFile]:
    """A gzip file without name and time in it, so that equal content is equal bytes."""
    with (
        path.open("wb") as plain,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=plain, mtime=0) as packed,
    ):
        yield packed


def _write_labels(simulation: Simulation, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(simulation.labels())
