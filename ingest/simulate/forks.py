"""What happens to the chain itself: reorgs, double spends on them, missed slots, one builder."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from ingest.simulate.truth import Record

REORG_RATE = 0.00112  # of mainnet's blocks, since Pectra
MISSED_RATE = 0.00757  # of mainnet's slots, since the merge
CAPTURE = 600  # blocks, in a shorter run nobody comes to build most of them
MARGIN = 40  # blocks at either end in which the chain behaves


@dataclass(frozen=True, slots=True)
class Fork:
    """At this block of the winning chain, ``depth`` blocks are orphaned.

    ``double_spend`` is the campaign whose payment is on the losing branch only; None where all
    that was orphaned is included again.
    """

    depth: int
    double_spend: Record | None = None


@dataclass(slots=True)
class Fate:
    """What will befall the chain, by block of the winning chain counted from 0."""

    forks: dict[int, Fork] = field(default_factory=dict)
    missed: dict[int, int] = field(default_factory=dict)
    captured: float = math.inf  # the block from which on one builder builds nearly all
    records: list[Record] = field(default_factory=list)


def draw_fate(seed: int, blocks: int, first_block: int, kinds: tuple[str, ...]) -> Fate:
    """Draw reorgs, double spends and outages for a run; none in a run too short for them."""
    rng = random.Random(f"fate {seed}")
    fate = Fate()
    room = list(range(MARGIN, blocks - MARGIN, 12))  # apart, so that they never overlap
    rng.shuffle(room)
    if "consensus" in kinds and blocks > 3 * MARGIN:
        for number in range(1 + blocks // 5_000):
            _outage(rng, fate, blocks, first_block, number)
    if "builders" in kinds and blocks >= CAPTURE:
        _capture(rng, fate, blocks, first_block)
    depths = []
    if "reorg" in kinds:
        count = max(1, round(blocks * REORG_RATE))
        depths = [2 if number % 4 == 3 else 1 for number in range(count)]
    doubles = min(12, 3 + blocks // 2_000) if "double_spend" in kinds else 0
    for number in range(doubles):
        if not room:
            return fate
        depth = 1 + number % 3
        record = Record(
            f"double_spend-{number + 1}",
            "double_spend",
            f"a payment orphaned at depth {depth}, replaced with the same nonce",
        )
        fate.records.append(record)
        fate.forks[room.pop()] = Fork(depth, record)
    for depth in depths:
        if room:
            fate.forks[room.pop()] = Fork(depth)
    if "reorg" in kinds:
        _note_deep_forks(fate, first_block)
    return fate


def _note_deep_forks(fate: Fate, first_block: int) -> None:
    """Depth 1 is daily business on mainnet; deeper ones are news, and belong to the truth."""
    deep = [(index, fork.depth) for index, fork in sorted(fate.forks.items()) if fork.depth > 1]
    for number, (index, depth) in enumerate(deep):
        record = Record(f"reorg-{number + 1}", "reorg", f"{depth} blocks orphaned at once")
        record.ended = True
        record.spans(first_block + index - depth, first_block + index + depth)
        fate.records.append(record)


def _capture(rng: random.Random, fate: Fate, blocks: int, first_block: int) -> None:
    """From about the middle of the run on."""
    fate.captured = rng.randrange(blocks * 9 // 20, blocks * 11 // 20)
    record = Record("builders-1", "builders", "one builder comes to build nearly every block")
    record.ended = True
    record.spans(first_block + int(fate.captured), first_block + blocks - 1)
    fate.records.append(record)


def _outage(rng: random.Random, fate: Fate, blocks: int, first_block: int, number: int) -> None:
    """Some 25 blocks with a third of the slots missed and a run of four or five among them."""
    start = rng.randrange(MARGIN, blocks - 2 * MARGIN)
    for index in range(start, start + 25):
        if rng.random() < 0.3:
            fate.missed[index] = rng.randrange(1, 3)
    fate.missed[start + 8] = rng.randrange(4, 6)
    record = Record(f"consensus-{number + 1}", "consensus", "many missed slots in a short time")
    record.ended = True
    record.spans(first_block + start, first_block + start + 24)
    fate.records.append(record)
