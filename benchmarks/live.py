"""A block as it comes live: from a node's JSON in hand to its alerts committed.

All that ``run`` does with it is on: every root and sender verified, the bus in memory, models,
rules and policy, the lake's files flushed, the ledger's transaction. The chain is simulated, with
every attack and without its orphans; what comes from a network, and snapshots, which are saved
between two blocks, are left out.

The baseline is what nobody can do without: the JSON decoded to plain objects, and one row committed
by DuckDB, which flushes it to disk.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from benchmarks.chains import winning_chain
from benchmarks.table import Result
from chainwarden.deployment import UNDO_BLOCKS
from chainwarden.detecting import Detecting, detecting
from chainwarden.live import accept_blocks, sender_process
from chainwarden.memory_bus import MemoryBus
from chainwarden.schema import ETHEREUM
from chainwarden.settings import ServerSettings, Settings, StoreSettings
from ingest.chain import ChainFollower
from ingest.jsonl import parse_block
from ingest.raw import RawBlock, RpcReceipt
from ingest.sender_process import SenderProcess
from ingest.simulate import SimulationConfig
from tests.ingest.made_blocks import worst_block

WARM_UP: Final = 70  # blocks: the models learn 64 below the head
BLOCKS: Final = 300
TRANSACTIONS_PER_BLOCK: Final = 200.0
WORST_BLOCKS: Final = 3

# In a process of its own: duckdb is the store's.
BASELINE: Final = """
import duckdb, json, msgspec, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
lines = (folder / "texts.jsonl").read_bytes().splitlines()
duckdb.sql(f"ATTACH '{folder}/baseline.duckdb' AS one; CREATE TABLE one.t (block BIGINT)")
seconds = []
for number in range(len(lines) // 2):
    began = time.perf_counter()
    msgspec.json.decode(lines[2 * number]), msgspec.json.decode(lines[2 * number + 1])
    duckdb.execute("INSERT INTO one.t VALUES (?)", [number])
    seconds.append(time.perf_counter() - began)
print(json.dumps(seconds))
"""

Text = tuple[bytes, bytes]
"""A block and its receipts."""


def run() -> list[Result]:
    """Milliseconds from JSON to commit: the median, one block in a hundred, and the worst."""
    config = SimulationConfig(
        blocks=WARM_UP + BLOCKS, transactions_per_block=TRANSACTIONS_PER_BLOCK
    )
    chain = winning_chain(config)
    usual, large = [_text(raw) for raw in chain], [_text(raw) for raw in _worst_after(chain[-1])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = Settings(
            store=StoreSettings(out=str(folder / "out")), server=ServerSettings(port=0)
        )
        with (
            detecting(settings, ETHEREUM, threading.Event()) as behind,
            sender_process() as senders,
        ):
            take = _taker(behind, senders)
            seconds = [take(*text) for text in usual][WARM_UP:]
            worst = [take(*text) for text in large]
            assert behind.pipeline.cursor.blocks == len(usual) + len(large)
        bare, bare_worst = (_baseline(folder, texts) for texts in (usual[WARM_UP:], large))
    baseline = "JSON decoded, one row committed by DuckDB"
    return [
        Result(
            benchmark="live",
            what=what,
            unit="ms",
            value=1000 * of(ours),
            baseline=baseline,
            baseline_value=1000 * of(theirs),
            less_is_better=True,
            asked=asked,
        )
        for what, of, ours, theirs, asked in (
            ("Live, 200-transaction block, JSON to commit, median", _median, seconds, bare, 40.0),
            ("the same, 99 of 100 blocks", _p99, seconds, bare, 150.0),
            ("the same, a block of 34,168 logs", _median, worst, bare_worst, 4000.0),
        )
    ]


def _taker(behind: Detecting, senders: SenderProcess | None) -> Callable[[bytes, bytes], float]:
    """Takes one block in as ``run`` does, and says how many seconds that took."""
    bus, follower = MemoryBus(chain=ETHEREUM), ChainFollower(UNDO_BLOCKS, linked=True)
    accept, receipts_decoder = (
        accept_blocks(ETHEREUM, behind.metrics, senders),
        msgspec.json.Decoder(list[RpcReceipt]),
    )

    def take(block_text: bytes, receipts_text: bytes) -> float:
        began = time.perf_counter()
        block, unknown = parse_block(block_text)
        receipts = receipts_decoder.decode(receipts_text)
        raw = RawBlock(block, receipts, None, "benchmark", unknown)
        for event in follower.add(accept(raw)):
            bus.publish(event)
        for delivery in bus.poll(0.0, 64):
            behind.pipeline.handle(delivery.event, last=True)
        behind.pipeline.flush()
        seconds = time.perf_counter() - began
        behind.observe()
        return seconds

    return take


def _text(raw: RawBlock) -> Text:
    return msgspec.json.encode(raw.block), msgspec.json.encode(raw.receipts)


def _worst_after(last: RawBlock) -> list[RawBlock]:
    """As many logs as gas pays for, in blocks that follow one another."""
    found = [last]
    for seed in range(1, WORST_BLOCKS + 1):
        block = found[-1].block
        number, timestamp = int(block.number, 16) + 1, int(block.timestamp, 16) + 12
        found.append(worst_block(number, block.hash, timestamp=timestamp, seed=seed))
    return found[1:]


def _baseline(folder: Path, texts: Sequence[Text]) -> list[float]:
    (folder / "texts.jsonl").write_bytes(b"\n".join(line for text in texts for line in text))
    (folder / "baseline.duckdb").unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", BASELINE, str(folder)], check=True, capture_output=True, text=True
    )
    seconds: list[float] = json.loads(done.stdout)
    return seconds


def _median(seconds: Sequence[float]) -> float:
    return statistics.median(seconds)


def _p99(seconds: Sequence[float]) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]
