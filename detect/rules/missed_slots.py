"""Missed slots: how far the chain is from making a block every slot.

On a chain with slots the time of a block tells its slot. One slot in 130 is missed on an ordinary
day. If each is missed on its own, that alone makes four missed of some 32 slots 33 times a year (8
times, if only whole epochs were looked at), five of 64 25 times (5), three in a row once and four
in a row once in a hundred years. An outage like that of December 2025, of 18.5 % of the slots,
makes four of 32 in 87 % of epochs and five of 64 nearly always.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from chainwarden.schema import ZERO_ADDRESS, Chain, Reason, Role, Severity
from detect.journal import Journaled, JournaledTable
from detect.known.slots import SLOT_CLOCKS
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)

WINDOW = 64
SHORT = 32  # slots: an epoch
_HEAD = b""  # the one row of the table: (number, hash, slot, window bits), newest slot lowest


@dataclass(frozen=True, slots=True)
class MissedSlotsConfig:
    """``clocks``: chain id -> (genesis time, seconds a slot, first slot that counts).

    ``of_32``: missed slots of the last 32 that make a low alert, ``of_64`` of the last 64 a medium
    one, ``of_64_severe`` a high one (the rate of the Prysm incident of December 2025);
    ``in_a_row`` and ``in_a_row_severe`` likewise.
    """

    clocks: dict[int, tuple[int, int, int]] = field(default_factory=lambda: dict(SLOT_CLOCKS))
    of_32: int = 4
    of_64: int = 5
    of_64_severe: int = 12
    in_a_row: int = 3
    in_a_row_severe: int = 4


class MissedSlots(Journaled):
    """Finds episodes of missed slots, once when a threshold is crossed.

    Only between a block and its child: a gap in the source is no missed slot. On a chain whose
    slots nobody told it of the rule stands aside and says so once.
    """

    id = "missed_slots"
    version = 2

    def __init__(
        self, chain: Chain, cache: ColumnCache, config: MissedSlotsConfig | None = None
    ) -> None:
        self._config = config or MissedSlotsConfig()
        self._head = JournaledTable(1)
        super().__init__({"head": self._head})
        self._cache = cache
        self._clock = self._config.clocks.get(chain.id)
        if self._clock is None:
            log.info("%s: no slot clock for %s, standing aside", self.id, chain.name)

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        if self._clock is None:
            return ()
        columns = self._cache.of(scored)
        genesis, seconds, first = self._clock
        since = columns.block_times - genesis
        slots = since // seconds
        slotted = (since % seconds == 0) & (slots >= first)
        if not slotted.any():
            # Nothing before the merge counts, and what comes next follows none of it.
            if len(self._head) and len(slots):
                self._head.remove(columns.first_serial, _HEAD)
            return ()
        findings = []
        hashes = columns.batch.blocks["block_hash"].to_pylist()
        parents = columns.batch.blocks["parent_hash"].to_pylist()
        for row in range(len(slots)):
            serial = columns.first_serial + row
            before = self._head.get(_HEAD)
            if not slotted[row]:
                if before is not None:
                    self._head.remove(serial, _HEAD)
                continue
            number, slot = int(columns.block_numbers[row]), int(slots[row])
            missed = _missed(before, number, slot, parents[row])
            if before is None or missed is None:
                bits = 0
            else:
                bits = ((before[3] << (missed + 1)) | (((1 << missed) - 1) << 1)) & (2**WINDOW - 1)
                finding = self._judge(row, number, slot, missed, before[3], bits)
                if finding is not None:
                    findings.append(finding)
            # msgpack integers are signed or unsigned 64-bit: 64 bits just fit.
            self._head.put(serial, _HEAD, (number, hashes[row] or b"", slot, bits))
        return findings

    def gauges(self) -> dict[str, float]:
        """The share of the last 64 slots that were missed."""
        head = self._head.get(_HEAD)
        return {} if head is None else {"missed_slots": head[3].bit_count() / WINDOW}

    def _judge(
        self, row: int, number: int, slot: int, missed: int, before: int, bits: int
    ) -> Finding | None:
        config = self._config
        was, now = before.bit_count(), bits.bit_count()
        was_short, now_short = ((b & (2**SHORT - 1)).bit_count() for b in (before, bits))
        severities = []
        if missed >= config.in_a_row_severe:
            severities.append(Severity.HIGH)
        elif missed >= config.in_a_row:
            severities.append(Severity.LOW)
        if was_short < config.of_32 <= now_short:
            severities.append(Severity.LOW)
        for threshold, severity in (
            (config.of_64, Severity.MEDIUM),
            (config.of_64_severe, Severity.HIGH),
        ):
            if was < threshold <= now:
                severities.append(severity)
        if not severities:
            return None
        severity = max(severities)
        score = {Severity.LOW: 0.4, Severity.MEDIUM: 0.6}.get(severity, 0.8)
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="consensus",
            severity=severity,
            score=score,
            subject=ZERO_ADDRESS,
            role=Role.SERVICE,
            block_row=row,
            transaction_index=-1,
            transaction_hash=None,
            ordinal=slot,
            sentence=(
                f"{now} of the last {WINDOW} slots were missed, {now_short} of the last {SHORT}, "
                f"{missed} in a row before block {number} (slot {slot}); about one in 130 is usual."
            ),
            reasons=(
                Reason("missed_of_32", float(now_short), score / 4, float(config.of_32)),
                Reason("missed_of_64", float(now), score / 4, float(config.of_64)),
                Reason("missed_in_a_row", float(missed), score / 2, float(config.in_a_row)),
            ),
        )


def _missed(
    before: tuple[int, bytes, int, int] | None, number: int, slot: int, parent: bytes | None
) -> int | None:
    # How many slots lie between a block and its parent; None where it is not the parent's child.
    if before is None or number != before[0] + 1 or slot <= before[2]:
        return None
    if parent and before[1] and parent != before[1]:
        return None
    return min(slot - before[2] - 1, WINDOW)
