"""What a rule keeps of the last block, for patterns that reach into the next one."""

from __future__ import annotations

from typing import Any


class BlockTail:
    """The bytes noted for the last block; those of earlier blocks only while they can come back.

    Undone exactly: after a revert the last block's bytes are its parent's again.
    """

    def __init__(self) -> None:
        self._kept: dict[int, bytes] = {}

    @property
    def last(self) -> bytes:
        """What was noted for the last block; empty before the first."""
        return self._kept[max(self._kept)] if self._kept else b""

    def put(self, serial: int, payload: bytes) -> None:
        """Note the bytes of a block, the last one so far."""
        self._kept[serial] = payload

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one noted."""
        self._kept.pop(serial, None)

    def forget(self, serial: int) -> None:
        """Drop what no revert of a block above that serial brings back."""
        old = sorted(s for s in self._kept if s <= serial)
        for each in old[:-1]:
            del self._kept[each]

    def dump(self) -> object:
        """The state, undo included."""
        return sorted(self._kept.items())

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self._kept = {int(serial): bytes(payload) for serial, payload in state}

    def content(self) -> bytes:
        """What was noted for the last block."""
        return self.last
