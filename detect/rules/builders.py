"""Who builds the blocks: how concentrated that is, and whose blocks sanctioned calls get into.

The fee recipient of a block is its builder (before the merge, the pool that mined it), not the
validator that proposed it. A builder of more than half the blocks can keep transactions out for
long; it cannot fork the chain, for which it would have to be a third of the validators.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import Reason, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled
from detect.known.mixers import TORNADO
from detect.known.services import BUILDERS
from detect.rules.arrow_arrays import address_key, address_set, address_words, nulls
from detect.rules.block_log import BlockLog
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding, about_chain
from detect.scored import ScoredBatch

_ROW: Final = [
    ("serial", np.int64),
    ("builder", np.uint64),  # the first eight bytes of the fee recipient
    ("mixing", np.int32),  # transactions to Tornado Cash
    ("hhi", np.float64),  # of the day that ends here, NaN before there is one
    ("moved", np.bool_),  # it is far from that of the day before
]


@dataclass(frozen=True, slots=True)
class BuildersConfig:
    """``ring``: how many blocks are looked back, a day of them. ``share`` of them built by one is
    told; before the ring is full, and from ``known`` blocks, only where chance does not explain it
    (three standard errors). ``change`` of the Herfindahl index in a day is told.
    """

    ring: int = 7_200
    known: int = 600
    share: float = 0.5
    change: float = 0.05


class Builders(Journaled):
    """Finds ``builder_majority`` and ``builder_shift``, once as they are crossed.

    In constant time a block: the sum of squares moves by 2c + 1 for the block that enters the ring
    and 2c - 1 for the one that leaves it. Blocks whose source gives no fee recipient do not count.
    """

    id = "builders"
    version = 1

    def __init__(self, cache: ColumnCache, config: BuildersConfig | None = None) -> None:
        self._config = config or BuildersConfig()
        self._blocks = BlockLog(_ROW, self._config.ring + 1)
        super().__init__({"blocks": self._blocks})
        self._cache = cache
        self._mixers = address_set(TORNADO)
        self._counts: Counter[int] | None = None  # of the ring, None: to be counted anew

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one evaluated."""
        super().revert(serial)
        self._counts = None

    def restore(self, state: bytes) -> None:
        """Take over a state."""
        super().restore(state)
        self._counts = None

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        if columns.batch.blocks["miner"].null_count == len(columns.batch):
            return ()
        rows, start = self._blocks.followed_by(self._rows_of(columns))
        counts = self._counted(rows[:start])
        findings: list[Finding] = []
        ring = self._config.ring
        squares = sum(count * count for count in counts.values())
        total = counts.total()
        builders = rows["builder"]
        for place in range(start, len(rows)):
            builder = int(builders[place])
            was = counts[builder] - self._least(total)
            if place >= ring:
                leaving = int(builders[place - ring])
                squares -= 2 * counts[leaving] - 1
                counts[leaving] -= 1
                total -= 1
                if not counts[leaving]:
                    del counts[leaving]
            squares += 2 * counts[builder] + 1
            counts[builder] += 1
            total += 1
            if total == ring:
                rows["hhi"][place] = squares / (total * total)
            # Only the builder of the block that entered can have come to be the majority with it.
            now = counts[builder] - self._least(total)
            known = self._config.known
            if now > 0 and total >= known and (was <= 0 or total == known):
                share = counts[builder] / total
                row = int(rows["serial"][place]) - columns.first_serial
                findings.append(self._majority(columns, row, share, total))
        findings += self._shifts(columns, rows, start)
        self._blocks.append(rows[start:])
        return sorted(findings, key=lambda finding: (finding.block_row, finding.rule))

    def gauges(self) -> dict[str, float]:
        """Concentration over the ring, and which builder takes in what goes to Tornado Cash.

        ``nakamoto/50`` is the least number of builders that have more than half of the blocks
        together. Of builders known by name: ``builder_share`` is the share of the blocks, and
        ``sanctioned_inclusion`` that of such transactions over it: 1 where it makes no difference.
        """
        rows = self._blocks.rows[-self._config.ring :]
        if not len(rows):
            return {}
        _, counts = np.unique(rows["builder"], return_counts=True)
        shares = np.sort(counts)[::-1] / len(rows)
        together = np.cumsum(shares)
        out = {
            "builder_hhi": float((shares**2).sum()),
            "nakamoto/50": float(np.argmax(together > 0.5) + 1),
            "nakamoto/33": float(np.argmax(together > 1 / 3) + 1),
        }
        mixing = int(rows["mixing"].sum())
        for address, name in BUILDERS.items():
            mine = rows["builder"] == address_key(address)
            out[f"builder_share/{name}"] = float(mine.mean())
            if mixing and mine.any():
                included = float(rows["mixing"][mine].sum()) / mixing
                out[f"sanctioned_inclusion/{name}"] = included / float(mine.mean())
        return out

    def _rows_of(self, columns: Columns) -> Array:
        new = np.zeros(len(columns.block_numbers), self._blocks.kind)
        new["serial"] = np.arange(columns.first_serial, columns.first_serial + len(new))
        new["hhi"] = np.nan
        miners = columns.batch.blocks["miner"]
        words = address_words(miners)
        new["builder"] = words[:, 0].astype(np.uint64) << np.uint64(32) | words[:, 1]
        calls = columns.members("transactions", "to_address", self._mixers)
        if calls.any():
            blocks = columns.block_row(columns.tx_block[calls])
            new["mixing"] = np.bincount(blocks, minlength=len(new))
        return new if not miners.null_count else new[~nulls(miners)]

    def _counted(self, before: Array) -> Counter[int]:
        if self._counts is None:
            held = before["builder"][-self._config.ring :]
            self._counts = Counter(held.tolist())
        return self._counts

    def _least(self, total: int) -> float:
        """What a builder must have more than, of so many blocks."""
        least = self._config.share * total
        if total < self._config.ring:
            least += 3 * math.sqrt(self._config.share * (1 - self._config.share) * total)
        return least

    def _majority(self, columns: Columns, row: int, share: float, total: int) -> Finding:
        builder: bytes = columns.cells("blocks")["miner"][row]
        number = int(columns.block_numbers[row])
        known = BUILDERS.get(builder)
        name = f"{hex_of(builder)} ({known})" if known else hex_of(builder)
        return about_chain(
            "builder_majority",
            self.version,
            "consensus",
            Severity.MEDIUM,
            row,
            number,
            f"{name} has built {share:.1%} of the last {total} blocks up to {number}: what it "
            "leaves out waits.",
            (Reason("builder_share", share, 0.6, self._config.share),),
            builder,
        )

    def _shifts(self, columns: Columns, rows: Array, start: int) -> list[Finding]:
        ring, hhi = self._config.ring, rows["hhi"]
        findings = []
        for place in range(max(start, ring), len(rows)):
            change = float(hhi[place] - hhi[place - ring])
            if not abs(change) > self._config.change:
                continue
            rows["moved"][place] = True
            if rows["moved"][place - 1]:
                continue
            row = int(rows["serial"][place]) - columns.first_serial
            number = int(columns.block_numbers[row])
            findings.append(
                about_chain(
                    "builder_shift",
                    self.version,
                    "consensus",
                    Severity.LOW,
                    row,
                    number,
                    f"The Herfindahl index of builders moved by {change:+.3f} to "
                    f"{float(hhi[place]):.3f} in a day, up to block {number}.",
                    (Reason("hhi_change", change, 0.4, self._config.change),),
                )
            )
        return findings
