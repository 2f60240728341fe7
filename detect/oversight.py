"""Who looks on while a risk model learns: its fixed reference, and the drift of its features.

See ``detect.reference`` and ``detect.watch`` for what they are. Undone exactly: what was seen of
the blocks since the settled one is kept, and seen again when one of them is taken back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from detect.compiled import Array
from detect.held import HeldRows
from detect.kernels.risk import Rows
from detect.reference import Alarm, References
from detect.risk_config import ReferenceConfig
from detect.risk_learner import RiskLearner, within
from detect.snapshot import digest_of
from detect.watch import RecentRows, Watch


class Oversight:
    """Looks on, batch by batch: ``begin``, then ``see`` part by part, then ``end``.

    ``alarms`` are those of the last batch: where the champion and its reference parted ways.
    """

    def __init__(
        self, features: tuple[str, ...], config: ReferenceConfig, delay_seconds: int
    ) -> None:
        self.alarms: list[Alarm] = []
        self._features = features
        self._delay = delay_seconds
        self._references = References(config)
        self._watch = Watch(len(features), config)
        self._settled = Watch(len(features), config)
        self._recent = RecentRows(len(features))
        self._tails = np.zeros(1, np.int64)
        self._apart = np.empty(0)

    def begin(self, tails: Array) -> None:
        """A batch whose blocks' held rows are between ``tails`` (blocks + 1,)."""
        self.alarms = []
        self._tails = tails
        self._apart = np.full(int(tails[-1] - tails[0]), np.nan)

    def next_copy(self, times: Array, bad: Array, at: int, column: int) -> int:
        """Before which block from ``at`` on a copy is due, as things are: see ``References``."""
        last_alarm = self._watch.last_alarm_due - self._delay
        return self._references.next_due(times, bad, last_alarm, at, column)

    def copy(self, model: RiskLearner, serial: int, time: int) -> None:
        """Copy a model before the block with that serial and time."""
        self._references.freeze(model, serial, time)

    def see(self, rows: Rows, held: HeldRows, at: int, stop: int) -> None:
        """The blocks from ``at`` to ``stop``, now that they are scored."""
        tails, apart = self._tails, self._apart
        self._references.compare(rows, held.hashed, int(tails[0]), apart)
        begin, end = int(tails[at]), int(tails[stop])
        part, first = held.part(begin, end), begin - int(tails[0])
        found = self._watch.follow(part.bins, apart[first : first + len(part)], part.due)
        for row, mean in found:
            block = int(np.searchsorted(tails, begin + row, "right")) - 1
            self.alarms.append(Alarm(block, mean))

    def end(self, held: HeldRows) -> None:
        """Keep what was seen until it is settled."""
        new = held.part(int(self._tails[0]), int(self._tails[-1]))
        self._recent.extend(new.bins, self._apart, new.due, self._tails)

    def revert(self, serial: int) -> None:
        """Undo the last block, which has that serial; ``rebuild`` must follow."""
        self._references.revert(serial)
        self._recent.revert()

    def rebuild(self) -> None:
        """As after the blocks that are left."""
        self._watch.copy_state(self._settled)
        self._recent.follow(self._watch)

    def settle(self, serial: int, blocks: int) -> None:
        """The next ``blocks`` blocks, up to that serial, will never be reverted."""
        self._recent.settle(self._settled, blocks)
        self._references.forget(serial)

    def digest(self) -> str:
        """A digest of what alarms depend on."""
        return digest_of((self._references.digest() + self._watch.digest()).encode())

    def dump(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The settled state and what was seen since, as a snapshot holds it."""
        meta: dict[str, Any] = {}
        arrays: dict[str, Array] = {}
        for name, part in self._parts():
            meta[name], content = part.dump()
            arrays |= {f"{name}.{key}": a for key, a in content.items()}
        return meta, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave; ``rebuild`` must follow."""
        for name, part in self._parts():
            part.load(meta[name], within(arrays, f"{name}."))

    def told(self) -> dict[str, float]:
        """Drifts of each feature; the reference: alarms so far, how near the next one is (0 to 1),
        and the block time at which it was copied, -1 for none."""
        watch, newest = self._watch, self._references.newest
        return {
            "risk_reference_alarms": float(watch.alarms),
            "risk_reference_distance": watch.distance,
            "risk_reference_time": -1.0 if newest is None else float(newest.time),
            **{
                f"feature_drifts.{name}": float(drifts)
                for name, drifts in zip(self._features, watch.drifts.tolist(), strict=True)
            },
        }

    def _parts(self) -> tuple[tuple[str, References | Watch | RecentRows], ...]:
        return ("references", self._references), ("watch", self._settled), ("recent", self._recent)
