"""How deep the chain reorganised: depth 1 happens daily, 2 a few times a year, 7 once in 2022."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chainwarden.schema import ZERO_ADDRESS, Reason, Role, Severity
from detect.journal import Journaled
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

REMEMBERED = 1024  # announced reorgs that can still be announced again


@dataclass(frozen=True, slots=True)
class ReorgDepthConfig:
    """From which depth a reorg is told, is worth a look, and is an emergency."""

    info: int = 2
    medium: int = 3
    critical: int = 7


class ReorgDepth(Journaled):
    """Finds reorgs of depth 2 and more, told with the first block of the new branch.

    What it knows is what was reverted, so by design it survives reverts, is outside the digest,
    and says nothing in a replay of the winning chain. When the new branch goes too, the depth is
    that of all that went.
    """

    id = "reorg_depth"
    version = 1

    def __init__(self, cache: ColumnCache, config: ReorgDepthConfig | None = None) -> None:
        self._memory = _Reverted()
        super().__init__({"reverted": self._memory}, outside=frozenset({"reverted"}))
        self._cache = cache
        self._config = config or ReorgDepthConfig()

    def orphaned(self, depth: int) -> None:
        """The next block begins another branch than one of so many blocks."""
        self._memory.orphaned(depth)

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The finding about the reorg that the batch's first block ended, if there was one."""
        columns = self._cache.of(scored)
        if not len(columns.block_numbers):
            return ()
        depth = self._memory.resume(columns.first_serial)
        config = self._config
        if depth < config.info:
            return ()
        severity, score = Severity.INFO, 0.3
        if depth >= config.critical:
            severity, score = Severity.CRITICAL, 1.0
        elif depth >= config.medium:
            severity, score = Severity.MEDIUM, 0.6
        number = int(columns.block_numbers[0])
        return (
            Finding(
                rule=self.id,
                rule_version=self.version,
                typology="consensus",
                severity=severity,
                score=score,
                subject=ZERO_ADDRESS,
                role=Role.SERVICE,
                block_row=0,
                transaction_index=-1,
                transaction_hash=None,
                ordinal=number,
                sentence=f"{depth} blocks were orphaned; the new branch starts at block {number}.",
                reasons=(Reason("depth", float(depth), score, float(config.medium)),),
            ),
        )


class _Reverted:
    # How many blocks have been reverted since the last one was added, and what was announced
    # where, so that an announcement whose block is reverted is made again.

    def __init__(self) -> None:
        self._pending = 0
        self._announced: dict[int, int] = {}  # serial -> depth

    def resume(self, serial: int) -> int:
        depth, self._pending = self._pending, 0
        if depth:
            self._announced[serial] = depth
            while len(self._announced) > REMEMBERED:
                del self._announced[min(self._announced)]
        return depth

    def orphaned(self, depth: int) -> None:
        self._pending = max(self._pending, depth)

    def revert(self, serial: int) -> None:
        self._pending = max(self._pending + 1, self._announced.pop(serial, 0))

    def forget(self, serial: int) -> None:
        for old in [s for s in self._announced if s <= serial]:
            del self._announced[old]

    def dump(self) -> object:
        return [self._pending, sorted(self._announced.items())]

    def load(self, state: Any) -> None:
        pending, announced = state
        self._announced = {int(serial): int(depth) for serial, depth in announced}
        self._pending = int(pending)

    def content(self) -> bytes:
        return b""
