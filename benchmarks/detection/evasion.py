"""What evasion and poisoning cost the wallet risk model: its figures on rewritten streams.

References: faults.md's A3 and A4 in the figures' names are the attacks of the same numbers there.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from benchmarks.detection import rewrites
from benchmarks.detection.rewrites import HOSTILE, Movements, attackers, read_movements
from benchmarks.detection.section import Cell, Section
from benchmarks.detection.stream import NO_DATA, STREAM, WINDOW, read_phishing, read_stream, score
from chainwarden.schema import BlockBatch
from detect.evaluate import Figures, Record, figures

TITLE: Final = "Evasion: the risk model on streams whose attackers behave otherwise"
COLUMNS: Final = (
    "the attacker", "wallets", "AP", "AUROC", "R at P 0.9", "alert P", "alert R", "points of R",
    "VS per wallet",
)  # fmt: skip
HOSTILE_FLOWS: Final = 1_000
POISON: Final = 0.2
SLOW: Final = ("splits, waits and warms up", "splits each payout in 5")
WORST: Final = (float("nan"), float("inf"), float(2**256 - 1))


@dataclass(frozen=True, slots=True)
class Attack:
    """A rewritten stream and who is phishing in it; ``spoil`` changes its batches once read.

    Wallets ``apart`` are scored and learnt as any other, and not judged: what counts is what their
    being there does to the others.
    """

    moves: Movements
    phishing: frozenset[bytes]
    apart: frozenset[bytes] = frozenset()
    spoil: Callable[[BlockBatch], BlockBatch] = lambda batch: batch


def section(quick: bool) -> Section:
    """The table; ``quick`` leaves out what costs most and tells least."""
    if not STREAM.exists():
        return Section("evasion", TITLE, skipped=NO_DATA)
    began = time.perf_counter()
    rows: list[tuple[Cell, ...]] = []
    usual: Figures | None = None
    for name, attack in attacks().items():
        if quick and name in SLOW:
            continue
        sys.stderr.write(f"  {name} …\n")
        found = judged(attack())
        usual = usual or found
        rows.append(_line(name, found, usual))
    worst = min(rows[1:], key=lambda row: float(row[7] or 0.0))
    costly = min(rows[1:], key=lambda row: float(row[5] or 0.0))
    notes = (
        "only wallets first seen in the window change; the model learns of them 30 days late",
        f"weakest where the attacker {worst[0]}: {worst[7]:+.1f} points of recall at the alert"
        " threshold",
        f"most false alarms where the attacker {costly[0]}: alert precision {costly[5]:.2f}",
    )
    return Section("evasion", TITLE, COLUMNS, rows, notes, time.perf_counter() - began)


def attacks() -> dict[str, Callable[[], Attack]]:
    """By what the attacker does; each is made when it is asked for, and takes 200 MB."""
    moves, phishing = read_movements(), read_phishing()
    first = attackers(moves, phishing)
    wallets = sorted(first)

    def same(changed: Movements) -> Attack:
        return Attack(changed, phishing)

    def vanity() -> Attack:
        changed, renamed = rewrites.vanity(moves, wallets)
        names = {bytes.fromhex(a[2:]): bytes.fromhex(b[2:]) for a, b in renamed.items()}
        return Attack(changed, frozenset(names.get(a, a) for a in phishing))

    def together() -> Movements:
        changed = rewrites.wait(rewrites.split(moves, wallets), wallets)
        return rewrites.warm_up(changed, first)

    def spread() -> Attack:
        changed, others = rewrites.spread(moves, wallets)
        more = {bytes.fromhex(name[2:]) for names in others.values() for name in names}
        return Attack(changed, phishing | more)

    def washed() -> Attack:
        changed, made = rewrites.wash(moves, everybody, POISON)
        return Attack(changed, phishing, apart=made)

    everybody = sorted("0x" + address.hex() for address in phishing)
    return {
        "does as ever": lambda: same(moves),
        "splits each payout in 5": lambda: same(rewrites.split(moves, wallets)),
        "waits 14 days to cash out": lambda: same(rewrites.wait(moves, wallets)),
        "warms up like a good wallet for 3 days": lambda: same(rewrites.warm_up(moves, first)),
        "spreads victims over 3 wallets": spread,
        "has lookalike addresses": vanity,
        "splits, waits and warms up": lambda: same(together()),
        "sends NaN, inf and 2^256-1 (A3)": lambda: Attack(
            rewrites.hostile(moves, HOSTILE_FLOWS), phishing, spoil=spoilt
        ),
        "washes: 20 % of the shape is good (A4)": washed,
    }


def judged(attack: Attack) -> Figures:
    """The figures of the window on the rewritten stream."""
    with tempfile.TemporaryDirectory() as folder:
        path = attack.moves.write(Path(folder) / "stream.parquet")
        batches = [attack.spoil(batch) for batch in read_stream(path)]
    scored = score(batches, attack.phishing)
    return figures(without(scored.record, attack.apart), scored.phishing, WINDOW)


def without(record: Record, apart: frozenset[bytes]) -> Record:
    """A record without the flows of some wallets, and without those who have no others."""
    if not apart:
        return record
    gone = np.zeros(len(record.addresses), np.bool_)
    gone[list(record.number_of(apart).values())] = True
    kept = ~gone[record.events].any(axis=1)
    numbers, events = np.unique(record.events[kept], return_inverse=True)
    return Record(
        record.addresses[numbers],
        events.reshape(-1, 2),
        record.at[kept],
        record.coins[kept],
        record.risks[kept],
    )


def spoilt(batch: BlockBatch) -> BlockBatch:
    """The batch, its ``HOSTILE`` amounts turned into NaN, infinity and 2^256-1 in turn.

    The exact amounts become 2^256-1: no uint256 is anything else than a number.
    """
    flows = batch.flows
    value = flows["value_f64"].to_numpy()
    rows = np.flatnonzero(value == HOSTILE * 1e18)
    if not len(rows):
        return batch
    value = value.copy()
    value[rows] = np.resize(WORST, len(rows))
    exact = flows["value"].to_pylist()
    for row in rows.tolist():
        exact[row] = b"\xff" * 32
    tables = batch.tables
    for name, values in (("value_f64", value), ("value", exact)):
        place = flows.schema.get_field_index(name)
        field = flows.schema.field(name)
        flows = flows.set_column(place, field, pa.array(values, field.type))
    tables["flows"] = flows
    return BlockBatch.of(batch.chain, **tables)


def _line(name: str, found: Figures, usual: Figures) -> tuple[Cell, ...]:
    return (
        name,
        found.positives,
        found.average_precision,
        found.auroc,
        found.recall_at_precision_0_9,
        found.alert_precision,
        found.alert_recall,
        100.0 * (found.alert_recall - usual.alert_recall),
        found.value_saved_per_wallet,
    )
