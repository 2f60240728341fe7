"""How far the chain's finality is behind: the one measure of consensus that a node tells.

Two epochs and a part, 64 to 96 blocks, are usual. Without finality for more than four epochs the
beacon chain begins to drain the validators that are absent (``MIN_EPOCHS_TO_INACTIVITY_PENALTY``):
a third of them or more is gone, or on another chain.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from chainwarden.schema import Chain, Position, Reason, Severity
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable, Undoable
from detect.known.slots import SLOT_CLOCKS
from detect.rules.block_log import HEADER, BlockLog
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding, about_chain
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)

SLOTS_PER_EPOCH: Final = 32
REMEMBERED: Final = 1_024  # blocks whose slot is known when they become final
SILENCE: Final = 256  # blocks without a word of finality, after which that is said
_LEVEL: Final = b""  # the one row: (how bad it was the last time it was told,)


@dataclass(frozen=True, slots=True)
class FinalityConfig:
    """``blocks``: a delay above it is told; ``epochs``: the beacon chain's own limit.

    ``clocks``: chain id -> (genesis time, seconds a slot, first slot that counts). Elsewhere
    finality means something else, and the rule stands aside.
    """

    clocks: dict[int, tuple[int, int, int]] = field(default_factory=lambda: dict(SLOT_CLOCKS))
    blocks: int = 128
    epochs: int = 4


class FinalityDelay(Journaled):
    """Finds ``finality_delay`` and ``inactivity_leak``, each once until finality is back.

    Finality is told by an event and is in no block, so everything here is outside the digest: the
    same blocks and the same events give the same findings, and a replay, which has no such events,
    has none and says so once. What was told in a block that is reverted is told again.
    """

    id = "finality_delay"
    version = 1

    def __init__(
        self, chain: Chain, cache: ColumnCache, config: FinalityConfig | None = None
    ) -> None:
        self._config = config or FinalityConfig()
        self._final = _Final()
        self._told = JournaledTable(1)
        self._blocks = BlockLog(HEADER, REMEMBERED)
        parts: dict[str, Undoable] = {
            "final": self._final,
            "told": self._told,
            "blocks": self._blocks,
        }
        super().__init__(parts, outside=frozenset(parts))
        self._cache = cache
        self._clock = self._config.clocks.get(chain.id)
        self._silent = 0
        if self._clock is None:
            log.info("%s: no epochs known for %s, standing aside", self.id, chain.name)

    def finalize(self, position: Position) -> None:
        """That block and all below it are final."""
        if self._clock is None or position.number <= self._final.number:
            return
        rows = self._blocks.rows
        at = int(np.searchsorted(rows["number"], position.number))
        known = at < len(rows) and rows["number"][at] == position.number
        time = int(rows["time"][at]) if known else -1
        self._final.number, self._final.time = position.number, time

    def gauges(self) -> dict[str, float]:
        """How many blocks the head is ahead of what is final."""
        head = self._blocks.last
        if head is None or self._final.number < 0:
            return {}
        return {"finality_delay": float(max(0, int(head["number"]) - self._final.number))}

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        if self._clock is None:
            return ()
        columns = self._cache.of(scored)
        genesis, seconds, first = self._clock
        if not (columns.block_times >= genesis + first * seconds).any():
            return ()  # before the merge nothing is final
        rows, start = self._blocks.follow(columns.headers)
        rows = rows[start:]
        self._blocks.append(rows)
        if self._final.number < 0:
            self._say_that_nothing_is_heard(len(rows))
            return ()
        findings: list[Finding] = []
        levels = self._levels(rows)
        (told,) = self._told.get(_LEVEL) or (0,)
        changes = np.flatnonzero(np.diff(levels, prepend=told))
        for row in changes.tolist():
            level = int(levels[row])
            (told,) = self._told.get(_LEVEL) or (0,)
            if 0 < level <= told or level == told:
                continue  # as bad as it was told, or on its way back
            self._told.put(scored.first_serial + row, _LEVEL, (level,))
            findings += [self._finding(row, rows[row], n) for n in range(told + 1, level + 1)]
        return findings

    def _levels(self, rows: Array) -> Array:
        """0 where finality is in time, 1 where it is late, 2 where absence is punished."""
        assert self._clock is not None
        genesis, seconds, _ = self._clock
        behind = rows["number"] - self._final.number
        slots = (rows["time"] - genesis) // seconds
        # Missed slots only lengthen the way: without the block's own time this is too low.
        final = (self._final.time - genesis) // seconds if self._final.time >= 0 else slots - behind
        # What is final is the last block before an epoch's first slot, or in it.
        epoch = -(-final // SLOTS_PER_EPOCH)
        delay = slots // SLOTS_PER_EPOCH - 1 - epoch  # from the epoch before, as the spec counts
        return np.where(
            behind <= self._config.blocks, 0, np.where(delay > self._config.epochs, 2, 1)
        )

    def _finding(self, row: int, block: Array, level: int) -> Finding:
        number, config = int(block["number"]), self._config
        behind = number - self._final.number
        leak = level == 2
        score = 1.0 if leak else 0.6
        meaning = (
            f"none for more than {config.epochs} epochs, and absent validators are drained"
            if leak
            else "64 to 96 are usual"
        )
        return about_chain(
            "inactivity_leak" if leak else self.id,
            self.version,
            "consensus",
            Severity.CRITICAL if leak else Severity.MEDIUM,
            row,
            self._final.number,
            f"Finality is {behind} blocks behind at block {number}: {meaning}.",
            (Reason("blocks_behind", float(behind), score, float(config.blocks)),),
        )

    def _say_that_nothing_is_heard(self, blocks: int) -> None:
        before, self._silent = self._silent, self._silent + blocks
        if before <= SILENCE < self._silent:
            log.info("%s: no finality in this stream, nothing to judge", self.id)


class _Final:
    # The newest block that is final, and its time if that is known. What is final stays final.

    def __init__(self) -> None:
        self.number = self.time = -1

    def revert(self, serial: int) -> None:
        pass

    def forget(self, serial: int) -> None:
        pass

    def dump(self) -> object:
        return [self.number, self.time]

    def load(self, state: Any) -> None:
        number, time = state
        self.number, self.time = int(number), int(time)

    def content(self) -> bytes:
        return b""
