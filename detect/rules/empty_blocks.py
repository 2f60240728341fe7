"""Blocks with nothing in them: proposers that cannot, or will not, include anything."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from chainwarden.schema import Chain, Reason, Severity
from detect.journal import Journaled
from detect.known.slots import SLOT_CLOCKS
from detect.rules.block_log import HEADER, BlockLog
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding, about_chain
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)

WINDOW: Final = 225  # slots, 45 minutes


@dataclass(frozen=True, slots=True)
class EmptyBlocksConfig:
    """More than ``share`` of the last 225 slots empty is told; ``clocks``: see ``missed_slots``."""

    clocks: dict[int, tuple[int, int, int]] = field(default_factory=lambda: dict(SLOT_CLOCKS))
    share: float = 0.01


class EmptyBlocks(Journaled):
    """Finds the block that makes it more than 1 % of 225 slots without gas used.

    Where blocks come without a clock, or are empty for want of users (a test network), it would say
    nothing of use: on a chain whose slots nobody told it of the rule stands aside and says so once.
    """

    id = "empty_blocks"
    version = 1

    def __init__(
        self, chain: Chain, cache: ColumnCache, config: EmptyBlocksConfig | None = None
    ) -> None:
        self._config = config or EmptyBlocksConfig()
        self._blocks = BlockLog([*HEADER, ("empty", np.bool_)], WINDOW)
        super().__init__({"blocks": self._blocks})
        self._cache = cache
        self._clock = self._config.clocks.get(chain.id)
        if self._clock is None:
            log.info("%s: no slot clock for %s, standing aside", self.id, chain.name)

    def gauges(self) -> dict[str, float]:
        """The share of the last 225 slots whose block is empty."""
        rows = self._blocks.rows
        if self._clock is None or not len(rows):
            return {}
        recent = rows["time"] > rows["time"][-1] - WINDOW * self._clock[1]
        return {"empty_blocks": float(rows["empty"][recent].sum()) / WINDOW}

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        if self._clock is None:
            return ()
        genesis, seconds, first = self._clock
        columns = self._cache.of(scored)
        slotted = np.flatnonzero(columns.block_times >= genesis + first * seconds)
        if not len(slotted):
            return ()
        rows, start = self._blocks.follow(columns.headers[slotted])
        new = rows[start:]
        new["empty"] = new["gas_used"] == 0
        self._blocks.append(new)
        findings = []
        for place in np.flatnonzero(new["empty"]).tolist():
            here = start + place
            window = rows[max(0, here - WINDOW + 1) : here + 1]
            recent = window["time"] > rows["time"][here] - WINDOW * seconds
            count = int((window["empty"] & recent).sum())
            # Told by the block that makes it too many, and not by those after it.
            if not count - 1 <= self._config.share * WINDOW < count:
                continue
            number = int(rows["number"][here])
            findings.append(
                about_chain(
                    self.id,
                    self.version,
                    "consensus",
                    Severity.LOW,
                    int(slotted[place]),
                    number,
                    f"{count} of the last {WINDOW} slots have empty blocks, up to block {number}.",
                    (Reason("empty_blocks", float(count), 0.4, self._config.share * WINDOW),),
                )
            )
        return findings
