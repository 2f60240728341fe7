"""What an attacker can do to the detector itself, each with the bound that it must keep.

The numbers of the attacks (A1, A2, A6 to A9) are those of the project's fault matrix; tests hold
the same bounds on smaller scales.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.detection import floods, framing, worst_block
from benchmarks.detection.section import Cell, Section
from ingest.simulate import SimulationConfig

TITLE: Final = "Attacks on the detector itself"
COLUMNS: Final = ("attack", "figure", "is", "at most", "at least", "holds")
KEY: Final = bytes(range(16))
OTHER_KEY: Final = bytes(range(1, 17))

RECALL_KEPT: Final = 0.95
MEMORY_GROWN: Final = 1.1
SLOWED_DOWN: Final = 2.0
BLOCK_SECONDS: Final = 12.0


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of each attack: fast enough to run often, large enough to mean something."""

    blocks: int
    capacity: int
    aimed: int
    noise_per_block: int
    framed: int


FULL: Final = Scale(900, 100_000, 20_000, 50, 10_000)
QUICK: Final = Scale(330, 20_000, 5_000, 50, 2_000)

Line = tuple[Cell, ...]


def section(quick: bool) -> Section:
    """The table; ``quick`` is a fifth of the scale."""
    scale = QUICK if quick else FULL
    began, rows = time.perf_counter(), []
    parts: dict[str, Callable[[Scale], list[Line]]] = {
        "A1": fresh_wallets,
        "A2": aimed_addresses,
        "A6": drowned_alerts,
        "A7": phony_logs,
        "A8": tainted_dust,
        "A9": worst_blocks,
    }
    for name, part in parts.items():
        sys.stderr.write(f"  {name} …\n")
        rows += part(scale)
    notes = (
        f"A1 is the flood of 10 million wallets against room for 1 million, at"
        f" 1:{1_000_000 // scale.capacity}; A2 crowds {floods.CROWDED} slots with"
        f" {scale.aimed:,} addresses",
        "a replay's hash key is all zeros; live each installation has a secret one of its own",
    )
    return Section("hardness", TITLE, COLUMNS, rows, notes, time.perf_counter() - began)


def fresh_wallets(scale: Scale) -> list[Line]:
    """A1."""
    config = SimulationConfig(seed=5, blocks=scale.blocks)
    found = floods.fresh_wallets(config, scale.capacity)
    name = f"A1 {found.wallets:,} fresh wallets"
    return [
        at_least(name, "campaigns found, of those without", found.kept, RECALL_KEPT),
        at_most(name, "rows of the wallet table", found.rows, scale.capacity),
        at_most(name, "memory, of that when full", found.grown, MEMORY_GROWN),
        at_most(name, "alerts about them", found.flood_alerts, None),
    ]


def aimed_addresses(scale: Scale) -> list[Line]:
    """A2."""
    addresses = floods.aimed(KEY, scale.capacity, scale.aimed)
    name = f"A2 {scale.aimed:,} addresses that collide"
    unknown, known = (floods.slow_down(addresses, key, scale.capacity) for key in (OTHER_KEY, KEY))
    return [
        at_most(name, "slower, the key being secret", unknown, SLOWED_DOWN),
        at_most(name, "slower, the key being known", known, None),
    ]


def drowned_alerts(scale: Scale) -> list[Line]:
    """A6."""
    config = SimulationConfig(seed=6, blocks=scale.blocks)
    found = floods.drown(config, scale.noise_per_block)
    name = f"A6 {found.noise:,} alerts of nothing"
    kept = len(found.criticals & found.criticals_in_noise) / max(1, len(found.criticals))
    return [
        at_least(name, f"of {len(found.criticals)} critical alerts delivered", kept, 1.0),
        at_most(name, "alerts below critical in an hour", found.busiest_hour, found.budget),
        at_most(name, "of the noise in no alert and no digest", found.lost, found.last_hour),
    ]


def phony_logs(scale: Scale) -> list[Line]:
    """A7."""
    found = framing.phony_logs(scale.framed)
    name = f"A7 {found.attempts:,} phony logs"
    return [at_most(name, "more alerts about those named in them", found.brought, 0)]


def tainted_dust(scale: Scale) -> list[Line]:
    """A8."""
    found = framing.tainted_dust(scale.framed)
    name = f"A8 tainted dust for {found.wallets:,} wallets"
    return [at_most(name, "more alerts about them", found.brought, 0)]


def worst_blocks(scale: Scale) -> list[Line]:
    """A9, at full scale always: it is one block."""
    del scale
    rows = []
    for shape, made in worst_block.shapes().items():
        cost = worst_block.cost(*made())
        what = f"seconds, {cost.rule} {cost.rule_seconds:.2f} of them"
        rows.append(at_most(f"A9 {worst_block.LOGS:,} {shape}", what, cost.seconds, BLOCK_SECONDS))
    return rows


def at_most(attack: str, figure: str, value: float, bound: float | None) -> Line:
    """A row whose figure must not be above its bound; None: only told."""
    return attack, figure, value, bound, None, None if bound is None else _word(value <= bound)


def at_least(attack: str, figure: str, value: float, bound: float) -> Line:
    """A row whose figure must not be below its bound."""
    return attack, figure, value, None, bound, _word(value >= bound)


def _word(holds: bool) -> str:
    return "yes" if holds else "NO"
