"""The chain of a soak: simulated blocks that nodes show one after the other, and forks on top."""

from __future__ import annotations

import csv
import random
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from ingest.codec import logs_bloom
from ingest.raw import RawBlock
from ingest.record import BlockRecorder
from ingest.simulate import Simulation, SimulationConfig
from ingest.simulate.labels import COLUMNS
from tests.ingest.made_blocks import reseal
from tests.rigs.liar import Recording

DEEPEST_FORK: Final = 150
"""More than twice what detectors keep to undo."""
FINAL: Final = 200
"""Blocks below the head that are final, and written for the replay."""
_KEPT: Final = 2_000  # so many blocks a node still has for whoever is behind
_MOST_BLOCKS: Final = 200_000


class GrowingChain:
    """Blocks of a simulation, added to ``recording`` one by one, and the winning ones to a file.

    Use it as a context: at its end ``blocks_file`` holds the winning chain, for the replay.
    ``labels_file`` has what an analyst would have known before.
    """

    def __init__(self, seed: int, folder: Path) -> None:
        simulation = Simulation(
            SimulationConfig(seed=seed, blocks=_MOST_BLOCKS, transactions_per_block=12.0)
        )
        self.recording = Recording()
        self.orphaned = 0
        self.labels_file = folder / "labels.csv"
        with self.labels_file.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *simulation.labels()])
        self._recorder = BlockRecorder(folder / "winning")
        self._blocks: Iterator[RawBlock] = simulation.blocks()
        self._random = random.Random(f"forks {seed}")
        self._winning: deque[RawBlock] = deque()
        self._shown = 0
        self.extend()
        self.first = self.number

    def __enter__(self) -> GrowingChain:
        self._recorder.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for raw in self._winning:
            self._recorder.write(raw)
        self._recorder.__exit__(*error)

    @property
    def blocks_file(self) -> Path:
        """Where the winning chain is written."""
        return self._recorder.blocks_file

    @property
    def number(self) -> int:
        """The number of the winning chain's newest block."""
        return int(self._winning[-1].block.number, 16)

    @property
    def shown(self) -> int:
        """The number of the block that nodes call their head."""
        return self._shown

    def extend(self) -> None:
        """The next block becomes the head. Where it is on another branch, so are its ancestors."""
        raw = next(self._blocks)
        while self._winning and self._winning[-1].block.hash != raw.block.parent_hash:
            self._winning.pop()
            self.orphaned += 1
        self._winning.append(raw)
        self._show(self._winning)
        while len(self._winning) > FINAL:
            self._recorder.write(self._winning.popleft())

    def fork(self, depth: int) -> int:
        """The last ``depth`` blocks give way to others that hold nearly the same transactions.

        Of the first of them some transactions are missing. The next ``extend`` takes all of it
        back. Returns how many blocks were orphaned.
        """
        branch = self.branch(depth)
        self._show(branch)
        self.orphaned += len(branch)
        return len(branch)

    def branch(self, depth: int) -> list[RawBlock]:
        """What a fork of the last ``depth`` blocks shows instead of them."""
        depth = min(depth, DEEPEST_FORK, len(self._winning) - 1)
        parent, name = self._winning[-1 - depth].block.hash, self._random.randbytes(4)
        branch = []
        for number, raw in enumerate(list(self._winning)[-depth:]):
            count = len(raw.block.transactions)
            kept = count if number else self._random.randint(min(1, count), count)
            sibling = _sibling(raw, parent, name, kept)
            branch.append(sibling)
            parent = sibling.block.hash
        return branch

    def flip(self, branch: Sequence[RawBlock]) -> None:
        """Show this branch if the winning one is shown, and the winning one if not."""
        away = self.recording.by_number[self._shown] != branch[-1].block.hash
        self._show(branch if away else list(self._winning)[-len(branch) :])
        self.orphaned += away * len(branch)

    def _show(self, branch: Iterable[RawBlock]) -> None:
        """From its first block on, by number, a node gives this branch."""
        recording = self.recording
        numbers = set()
        for raw in branch:
            number = int(raw.block.number, 16)
            numbers.add(number)
            if recording.by_number.get(number) != raw.block.hash:
                recording.add(msgspec.to_builtins(raw.block), msgspec.to_builtins(raw.receipts))
        self._shown = max(numbers)
        recording.forget_below(self._shown - _KEPT)


def random_depth(rng: random.Random) -> int:
    """How deep a fork is: mostly 1 or 2, now and then beyond what can be undone in memory."""
    return min(DEEPEST_FORK, int(rng.paretovariate(0.8)))


def _sibling(raw: RawBlock, parent: str, name: bytes, kept: int) -> RawBlock:
    """The block with another parent and extra data, and only its first ``kept`` transactions.

    The last of these uses the gas of those that are missing: the base fee of the next block follows
    from it.
    """
    copy = msgspec.json.decode(msgspec.json.encode(raw), type=RawBlock)
    block, receipts = copy.block, copy.receipts or []
    block.parent_hash, block.extra_data = parent, "0x" + name.hex()
    del block.transactions[kept:], receipts[kept:]
    if receipts:
        last = receipts[-1]
        missing = int(block.gas_used, 16) - int(last.cumulative_gas_used, 16)
        last.gas_used = hex(int(last.gas_used, 16) + missing)
        last.cumulative_gas_used = block.gas_used
    block.logs_bloom = "0x" + logs_bloom([log for one in receipts for log in one.logs]).hex()
    reseal(copy)
    return copy
