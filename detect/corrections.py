"""Labels that came late, early, or were taken back: what the risk model learns again.

A wallet whose verdict has changed is asked for once more with the next block. Every row of it that
was learnt with another label, and is remembered, is learnt again with the new one; so is every row
that waits for a label and got a bad one before its time. Undone with the block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detect.compiled import Array
from detect.held import UNSAID, HeldQueue, HeldRows


@dataclass(slots=True)
class Corrections:
    """Wallets to ask for again, and what undoes the corrections of blocks.

    ``waiting`` are asked for with the next block. ``asked`` holds (serial, address) of those that
    were, ``changed`` (serial, row, label before) of the rows they changed: rows are counted from
    the first there ever was.
    """

    waiting: set[bytes] = field(default_factory=set)
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    changed: list[tuple[int, int, int]] = field(default_factory=list)

    def make(
        self,
        queue: HeldQueue,
        head: int,
        remembered: int,
        is_bad: Callable[[bytes], bool],
        serial: int,
        now: int,
    ) -> int:
        """Put the rows that are to be learnt again at the head of the queue; how many there are.

        ``head`` is the first row that waits, ``now`` the time of the block with that serial.
        """
        oldest = max(0, head - remembered)
        found: list[Array] = []
        labels: list[Array] = []
        for address in sorted(self.waiting):
            places, bad = _wrong(queue.rows, oldest, address, is_bad(address))
            found.append(places)
            labels.append(np.full(len(places), bad, np.int8))
            self.asked.append((serial, address))
        self.waiting.clear()
        if not found:
            return 0
        places, said = np.concatenate(found), np.concatenate(labels)
        order = np.argsort(places, kind="stable")
        places, said = places[order], said[order]
        copies = queue.rows.at(places)
        copies.due[:], copies.copied[:], copies.said[:] = now, True, said
        copies.risks[:, places < head] = np.nan  # those were counted when they were learnt
        moved = np.where(places < head, places, places + len(places))
        before = queue.rows.said[places]
        queue.rows.said[places] = said
        queue.insert(head, copies)
        first = queue.dropped
        self.changed += [
            (serial, first + place, label)
            for place, label in zip(moved.tolist(), before.tolist(), strict=True)
        ]
        return len(places)

    def revert(self, queue: HeldQueue, serial: int) -> None:
        """Have the rows say what they said before that block, and its wallets asked for again."""
        while self.changed and self.changed[-1][0] == serial:
            _, row, label = self.changed.pop()
            queue.rows.said[row - queue.dropped] = label
        while self.asked and self.asked[-1][0] == serial:
            self.waiting.add(self.asked.pop()[1])

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted."""
        self.asked = [entry for entry in self.asked if entry[0] > serial]
        self.changed = [entry for entry in self.changed if entry[0] > serial]

    def digest(self) -> str:
        """What later results depend on."""
        return ",".join(address.hex() for address in sorted(self.waiting))

    def dump(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "waiting": _hex(sorted(self.waiting)),
            "asked": [[serial, address.hex()] for serial, address in self.asked],
            "changed": [list(entry) for entry in self.changed],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over what ``dump`` gave."""
        self.waiting = {bytes.fromhex(address) for address in state["waiting"]}
        self.asked = [(serial, bytes.fromhex(address)) for serial, address in state["asked"]]
        self.changed = [(serial, row, label) for serial, row, label in state["changed"]]


def _wrong(rows: HeldRows, oldest: int, address: bytes, bad: bool) -> tuple[Array, bool]:
    # The rows of a wallet, from the oldest remembered on, that have another label, or need one.
    words = np.frombuffer(address, "<u4").astype(np.uint32)
    mine = (rows.keys[oldest:] == words).all(axis=1) & ~rows.copied[oldest:]
    places = oldest + np.flatnonzero(mine)
    outcomes, said = rows.outcomes[places], rows.said[places]
    learnt = np.where((outcomes == 0) | (outcomes == 1), outcomes, UNSAID)
    label = np.where(said == UNSAID, learnt, said)
    return places[np.where(label == UNSAID, bad, label != bad)], bad


def _hex(addresses: Iterable[bytes]) -> list[str]:
    return [address.hex() for address in addresses]
