"""What costs more as things grow: a flow in a large block, a ledger with ten million alerts."""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from benchmarks.crowd import acquaintances, strangers
from benchmarks.table import Result
from chainwarden.deployment import compile_kernels, make_detector, new_book
from chainwarden.schema import ETHEREUM, Cursor
from chainwarden.settings import Settings
from store.database import Database
from store.ledger import AlertFilter, Commit, Ledger

WALLETS: Final = 100_000
FLOWS: Final = 20_000
SMALL_BLOCK: Final = 100
LARGE_BLOCK: Final = 10_000
FEW_ALERTS: Final = 1_000
MANY_ALERTS: Final = 10_000_000
REPEATS: Final = 3

ALERTS: Final = """
    INSERT INTO ledger.alerts SELECT
        printf('%08x-0000-4000-8000-000000000000', i)::UUID, i, 'ethereum', 'taint', 1, 'taint', 2,
        0.7, unhex(printf('%040x', i)), 'attacker', i // 10, unhex(printf('%064x', i // 10)),
        1600000000 + i, unhex(printf('%064x', i)), 0, 'It received what was stolen.',
        '[["amount",1.0,0.7,0.5]]',
        '{"transactions":[],"addresses":[],"amounts":[],"path":[]}', 'active', NULL, 0, i
    FROM range(1, ? + 1) alert(i)
"""

AUDIT: Final = """
    INSERT INTO ledger.audit SELECT
        i, 'alert', printf('%08x000040008000000000000000', i), unhex(sha256('content' || i)),
        unhex(sha256('digest' || i))
    FROM range(1, ? + 1) entry(i)
"""


def run() -> list[Result]:
    """Microseconds a flow by size of block; seconds to open a ledger by its alerts."""
    compile_kernels(Settings())
    small, large = _block_cost(SMALL_BLOCK), _block_cost(LARGE_BLOCK)
    with tempfile.TemporaryDirectory() as folder:
        few = _ledger_seconds(Path(folder) / "few", FEW_ALERTS)
        many = _ledger_seconds(Path(folder) / "many", MANY_ALERTS)
    return [
        Result(
            benchmark="growth",
            what=f"a flow, block by block, {LARGE_BLOCK:,} flows a block, everything on",
            unit="µs a flow",
            value=large,
            baseline=f"{SMALL_BLOCK} flows a block",
            baseline_value=small,
            less_is_better=True,
            asked_ratio=1.0,
        ),
        *(
            Result(
                benchmark="growth",
                what=f"a ledger with {MANY_ALERTS // 10**6} million alerts: {step}",
                unit="s",
                value=slow,
                baseline=f"with {FEW_ALERTS:,}",
                baseline_value=fast,
                less_is_better=True,
                asked=1.0,
            )
            for step, fast, slow in zip(
                ("opened", "newest 50 alerts", "first commit"), few, many, strict=True
            )
        ),
    ]


def _block_cost(flows_a_block: int) -> float:
    """Processor time a flow of a detector that is given one block after another."""
    detector = make_detector(Settings(), ETHEREUM, new_book()).detector
    for batch in strangers(WALLETS, LARGE_BLOCK, 1):
        detector.process(batch)
    seconds = []
    for repeat in range(REPEATS):
        first = 10**6 * (1 + repeat)
        batch = acquaintances(WALLETS, flows_a_block, FLOWS // flows_a_block, first, repeat)
        blocks = list(batch.split())
        began = time.process_time()
        for block in blocks:
            detector.process(block)
        seconds.append(time.process_time() - began)
    return 1e6 * statistics.median(seconds) / FLOWS


def _ledger_seconds(folder: Path, alerts: int) -> tuple[float, float, float]:
    """Seconds to open a ledger with so many alerts, to ask it for the newest, to commit one."""
    path = folder / "ledger.duckdb"
    Ledger.open(path, ETHEREUM).close()
    database = Database(path)
    with database.transaction() as tx:
        tx.cursor.execute(ALERTS, [alerts])
        tx.cursor.execute(AUDIT, [alerts])
        tx.totals["alerts"] = tx.totals["alert_serial"] = tx.totals["audit"] = alerts
        tx.cursor.execute(
            "INSERT INTO ledger.alert_counts (chain, rule, severity, status, alerts) "
            "VALUES ('ethereum', 'taint', 2, 'active', ?)",
            [alerts],
        )
    database.close()
    took: list[tuple[float, float, float]] = []
    for number in range(3):
        began = time.perf_counter()
        with Ledger.open(path, ETHEREUM) as ledger:
            opened = time.perf_counter()
            newest = ledger.alerts(AlertFilter(limit=50))
            asked = time.perf_counter()
            alert = replace(newest[0], id=f"{number:032x}", rule="dusting")
            ledger.commit(Commit(Cursor(alert.position, {}, number, 0, 0), alerts=[alert]))
            took.append((opened - began, asked - opened, time.perf_counter() - asked))
    first, second, third = (statistics.median(step) for step in zip(*took, strict=True))
    return first, second, third
