"""What a soak ends with: whether all is equal, and the table that says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from chainwarden.schema import ETHEREUM, BlockBatch
from store.lake import ORPHANED, Lake
from store.lake_blocks import read_orphans
from store.ledger import AlertFilter, AlertRecord, Ledger
from store.queries import MAX_LIMIT
from tests.rigs.receiver import WebhookReceiver

WARM_SECONDS: Final = 120.0
"""In which a process that may just have been started comes to all that it does, and grows: who
stands by loads a snapshot, and every newer one."""
MOST_GROWTH: Final = 1.0
"""MiB a minute, of a process whose state does not grow: more is a leak."""
_COMES_AND_GOES: Final = 32 << 20
"""Bytes by which the least of some minutes differs from that of others without a leak: a standby
holds a snapshot for a moment now and then, DuckDB its buffers. So minutes tell large leaks, and
hours small ones."""
NOT_IN_BLOCKS: Final = frozenset(
    ["double_spend", "dropped_by_reorg", "finality_delay", "inactivity_leak", "reorg_depth"]
)
"""Rules about forks and finality: the winning chain alone does not tell what they saw."""
_LONG_ENOUGH: Final = 120.0  # seconds, warm, without which a slope says nothing


@dataclass
class Verdict:
    """What was found of one deployment; ``problems`` empty: all is equal.

    ``deepest``: of how many blocks the longest branch was that it followed and left. ``slopes``: by
    how many MiB a minute the memory of each process grew, of those that were measured long enough.
    """

    name: str
    blocks: int = 0
    alerts: int = 0
    retracted: int = 0
    deepest: int = 0
    lost: int = 0
    duplicated: int = 0
    repeated: int = 0
    slopes: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def compare_states(verdict: Verdict, outcome: Any, replayed: Any) -> None:
    """The detector's state at a deployment's end and after a replay of the winning chain."""
    verdict.blocks, verdict.alerts = outcome["blocks"], outcome["alerts"]
    if outcome["state_digest"] != replayed["state_digest"]:
        verdict.problems.append("the detector's state differs from a replay's")


def compare_stores(verdict: Verdict, out: Path, replay_out: Path) -> list[AlertRecord]:
    """The alerts of the ledger and every row of the lake; returns the ledger's records.

    The ledger's audit chain must hold.
    """
    with Ledger.open(out / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        if faults := ledger.verify().faults:
            verdict.problems.append(f"{len(faults)} records are not as they were written")
    records, lake, verdict.deepest = _contents(out)
    expected, expected_lake, _ = _contents(replay_out)
    active = {
        record.alert.id: record.alert
        for record in records
        if record.retraction is None and record.alert.rule not in NOT_IN_BLOCKS
    }
    wanted = {record.alert.id: record.alert for record in expected}
    verdict.retracted = sum(record.retraction is not None for record in records)
    verdict.lost += len(wanted.keys() - active.keys())
    if extra := active.keys() - wanted.keys():
        verdict.problems.append(f"{len(extra)} alerts that a replay does not have")
    if changed := [i for i in active.keys() & wanted.keys() if active[i] != wanted[i]]:
        verdict.problems.append(f"{len(changed)} alerts say something else than in a replay")
    for dataset, table in expected_lake.items():
        if not lake[dataset].equals(table):
            verdict.problems.append(f"lake: {dataset} differ from a replay's")
    return records


def _contents(out: Path) -> tuple[list[AlertRecord], dict[str, pa.Table], int]:
    with Ledger.open(out / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        records: list[AlertRecord] = []
        page = AlertFilter(status="all", limit=MAX_LIMIT, oldest_first=True)
        while found := ledger.records(page):
            records += found
            page = AlertFilter(
                status="all", limit=MAX_LIMIT, oldest_first=True, after=found[-1].alert.id
            )
        lake, files = Lake(out / "lake", ETHEREUM), ledger.files()
        datasets = sorted({file.dataset for file in files} - set(ORPHANED))
        tables = {
            name: lake.read([file for file in files if file.dataset == name]).combine_chunks()
            for name in datasets
        }
        return records, tables, _longest_branch(read_orphans(lake, files))


def _longest_branch(orphans: Iterable[BlockBatch]) -> int:
    lengths: dict[bytes, int] = {}
    for block in sorted(orphans, key=lambda block: block.position(0).number):
        parent = block.blocks["parent_hash"][0].as_py()
        lengths[block.position(0).hash] = lengths.get(parent, 0) + 1
    return max(lengths.values(), default=0)


def compare_receiver(
    verdict: Verdict, receiver: WebhookReceiver, records: Sequence[AlertRecord]
) -> None:
    """What a receiver knows of every alert, once repeats are dropped by id, is the ledger's."""
    messages = receiver.accepted()
    verdict.repeated += sum(one.accepted for one in receiver.received) - len(messages)
    if unsigned := len(receiver.unsigned()):
        verdict.problems.append(f"{unsigned} messages with a wrong signature")
    known: dict[str, str] = {}
    raised: Counter[str] = Counter()
    for one in messages:
        alert, kind = one.message["data"]["id"], one.message["type"]
        known[alert] = kind
        raised[alert] += kind == "alert.raised"
    verdict.duplicated += sum(count > 1 for count in raised.values())
    for record in records:
        kind = known.pop(record.alert.id, None)
        if record.retraction is None:
            verdict.lost += kind not in ("alert.raised", "alert.moved")
        elif kind not in (None, "alert.retracted"):
            verdict.problems.append(f"{record.alert.id} was taken back and {kind} stands")
    if known:
        verdict.problems.append(f"{len(known)} messages about alerts that nobody raised")


def growth(memory: Sequence[tuple[float, int]]) -> float | None:
    """MiB a minute from when it was warm; None where it was not measured for long enough.

    By the least of the first third of the time and the least of the last: what garbage and buffers
    are for a moment rides on top of what is kept. 0 where the two are not more apart than that
    comes to.

    >>> growth([(second, (1000 + second % 30) << 20) for second in range(600)])
    0.0
    >>> round(growth([(second, (1000 << 20) + second * 204_800) for second in range(600)]), 2)
    11.74
    >>> growth([(second, (1000 << 20) + second * 51_200) for second in range(600)])
    0.0
    >>> round(growth([(second, (1000 << 20) + second * 51_200) for second in range(3600)]), 2)
    2.93
    >>> growth([(10.0, 1 << 20)]) is None
    True
    """
    warm = [(at, size) for at, size in memory if at >= memory[0][0] + WARM_SECONDS]
    seconds = warm[-1][0] - warm[0][0] if warm else 0.0
    if seconds < _LONG_ENOUGH:
        return None
    first = min(size for at, size in warm if at <= warm[0][0] + seconds / 3)
    last = min(size for at, size in warm if at >= warm[-1][0] - seconds / 3)
    if abs(last - first) <= _COMES_AND_GOES:
        return 0.0
    return (last - first) / (seconds * 2 / 3) * 60 / (1 << 20)


def show(injected: Counter[str], verdicts: Sequence[Verdict]) -> None:
    """The one table, and below it what is wrong."""
    console = Console(width=100)
    table = Table(title="soak", show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for kind, count in sorted(injected.items()):
        table.add_row(f"injected: {kind}", str(count))
    table.add_section()
    for verdict in verdicts:
        for what, figure in (
            ("blocks", verdict.blocks),
            ("alerts", verdict.alerts),
            ("lost", verdict.lost),
            ("duplicated", verdict.duplicated),
            ("retracted", verdict.retracted),
            ("deepest fork followed", verdict.deepest),
            ("repeated under the same id", verdict.repeated),
            *(
                (f"memory slope of {name}", f"{slope:+.2f} MiB/min")
                for name, slope in verdict.slopes.items()
            ),
            ("equal to a replay", "no" if verdict.problems else "yes"),
        ):
            table.add_row(f"{verdict.name}: {what}", str(figure))
        table.add_section()
    console.print(table)
    for verdict in verdicts:
        for problem in verdict.problems:
            console.print(f"{verdict.name}: {problem}", style="red", markup=False)
