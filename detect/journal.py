"""What every rule's state is made of: bounded tables whose blocks can be undone exactly.

A write names the serial of the block it belongs to. ``revert(serial)`` puts back, bit for bit,
what was there before the block; ``forget(serial)`` drops what is needed for that. Nothing in a
table depends on the order of a dict: age is a stamp, so state that was reverted, restored or
replayed is the same state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, KeysView
from typing import Any, Final, Protocol

import msgspec

from chainwarden.errors import SnapshotRefused

Scalar = int | float | str | bytes | bool | None
Value = tuple[Any, ...]
"""A row: a tuple of scalars, or of tuples of them; integers fit 64 bits."""

FORMAT: Final = 1
EVICTED_SHARE: Final = (
    8  # a full table drops its oldest eighth at once: O(log n) a write, amortised
)


class Undoable(Protocol):
    """A part of a rule's state."""

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        ...

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        ...

    def dump(self) -> object:
        """The state, undo included, as msgpack can hold it."""
        ...

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave. May raise anything for what it did not."""
        ...

    def content(self) -> bytes:
        """The state, undo excluded: equal bytes, equal behaviour."""
        ...


class JournaledTable:
    """At most ``capacity`` rows by key; the rows longest unwritten make room for new ones.

    >>> table = JournaledTable(capacity=2)
    >>> table.put(0, b"a", (1,)); table.put(1, b"a", (2,)); table.revert(1); table.get(b"a")
    (1,)
    """

    __slots__ = ("_rows", "_stamp", "_undo", "capacity")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a table holds at least one row")
        self.capacity = capacity
        self._rows: dict[bytes, tuple[int, Value]] = {}
        self._stamp = 0
        # serial -> (stamp before the block, key -> row before the block)
        self._undo: dict[int, tuple[int, dict[bytes, tuple[int, Value] | None]]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, key: bytes) -> bool:
        return key in self._rows

    def __iter__(self) -> Iterator[bytes]:
        """The keys, longest unwritten first."""
        return iter(sorted(self._rows, key=lambda key: self._rows[key][0]))

    def keys(self) -> KeysView[bytes]:
        """The keys in no order that may matter."""
        return self._rows.keys()

    @property
    def stamp(self) -> int:
        """Goes up with every write, and back with every revert."""
        return self._stamp

    def get(self, key: bytes) -> Value | None:
        """The row, or None."""
        row = self._rows.get(key)
        return None if row is None else row[1]

    def put(self, serial: int, key: bytes, value: Value) -> None:
        """Write a row, in the name of the block with that serial."""
        before = self._before(serial)
        if key not in before:
            before[key] = self._rows.get(key)
        self._stamp += 1
        self._rows[key] = (self._stamp, value)
        if len(self._rows) > self.capacity:
            self._evict(before)

    def remove(self, serial: int, key: bytes) -> None:
        """Drop a row if it is there, in the name of the block with that serial."""
        if key in self._rows:
            before = self._before(serial)
            if key not in before:
                before[key] = self._rows[key]
            self._stamp += 1
            del self._rows[key]

    def touched(self, serial: int) -> tuple[bytes, ...]:
        """The keys that block wrote, while its undo is kept."""
        entry = self._undo.get(serial)
        return tuple(sorted(entry[1])) if entry else ()

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        entry = self._undo.pop(serial, None)
        if entry is None:
            return
        self._stamp, before = entry
        for key, row in before.items():
            if row is None:
                self._rows.pop(key, None)
            else:
                self._rows[key] = row

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        if self._undo:
            for old in [s for s in self._undo if s <= serial]:
                del self._undo[old]

    def dump(self) -> object:
        """The state, undo included."""
        undo = [
            [serial, stamp, sorted(rows.items())] for serial, (stamp, rows) in self._undo.items()
        ]
        return [self.capacity, self._stamp, self._sorted(), undo]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, of a table of the same capacity."""
        capacity, stamp, rows, undo = state
        if capacity != self.capacity or len(rows) > capacity:
            raise ValueError(f"a table of {capacity} rows does not fit one of {self.capacity}")
        loaded = {bytes(key): (int(at), _tuples(value)) for key, at, value in rows}
        journal = {
            int(serial): (
                int(at),
                {bytes(k): None if r is None else (int(r[0]), _tuples(r[1])) for k, r in before},
            )
            for serial, at, before in undo
        }
        self._rows, self._stamp, self._undo = loaded, int(stamp), journal

    def content(self) -> bytes:
        """The rows and their ages."""
        return msgspec.msgpack.encode([self.capacity, self._stamp, self._sorted()])

    def _sorted(self) -> list[tuple[bytes, int, Value]]:
        return sorted(
            ((key, stamp, value) for key, (stamp, value) in self._rows.items()),
            key=lambda row: row[1],
        )

    def _before(self, serial: int) -> dict[bytes, tuple[int, Value] | None]:
        entry = self._undo.get(serial)
        if entry is None:
            entry = self._undo[serial] = (self._stamp, {})
        return entry[1]

    def _evict(self, before: dict[bytes, tuple[int, Value] | None]) -> None:
        oldest = sorted(self._rows.items(), key=lambda item: item[1][0])
        for key, row in oldest[: max(1, self.capacity // EVICTED_SHARE)]:
            before.setdefault(key, row)
            del self._rows[key]


class Journaled:
    """What a rule inherits: revert, forget, snapshot, restore and digest over its parts.

    ``outside`` names the parts that the digest leaves out because they must outlive a revert.
    """

    id: str
    version: int

    def __init__(
        self, parts: dict[str, Undoable] | None = None, outside: frozenset[str] = frozenset()
    ) -> None:
        self._parts = parts or {}
        self._outside = outside

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, which is the last one evaluated."""
        for part in self._parts.values():
            part.revert(serial)

    def forget(self, serial: int) -> None:
        """Blocks up to and including that serial will never be reverted: drop their undo."""
        for part in self._parts.values():
            part.forget(serial)

    def snapshot(self) -> bytes:
        """The state, undo included, as msgpack; ``restore`` of it continues bit for bit."""
        parts = {name: part.dump() for name, part in self._parts.items()}
        return msgspec.msgpack.encode([FORMAT, self.id, self.version, parts])

    def restore(self, state: bytes) -> None:
        """Take over a state. Raises SnapshotRefused for one it does not understand.

        What was there before is unusable after a refusal: the caller rebuilds.
        """
        try:
            found_format, name, version, parts = msgspec.msgpack.decode(state)
        except (msgspec.DecodeError, ValueError, TypeError) as error:
            raise SnapshotRefused(
                f"{self.id}: the snapshot is truncated or is none", hint="rebuild from the lake"
            ) from error
        if (found_format, name, version) != (FORMAT, self.id, self.version):
            raise SnapshotRefused(
                f"{self.id} version {self.version}: the snapshot is of {name} version {version}",
                hint="rebuild from the lake",
            )
        try:
            if set(parts) != set(self._parts):
                raise ValueError("other tables")
            for key, part in self._parts.items():
                part.load(parts[key])
        except (
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            AttributeError,
            OverflowError,
        ) as error:
            raise SnapshotRefused(
                f"{self.id}: the snapshot does not fit this configuration: {error}",
                hint="rebuild from the lake",
            ) from error

    def digest(self) -> str:
        """A digest of the state, undo excluded: equal digests, equal future findings."""
        hasher = hashlib.blake2b(f"{self.id}/{self.version}".encode(), digest_size=16)
        for name in sorted(set(self._parts) - self._outside):
            content = self._parts[name].content()
            hasher.update(f"{name}/{len(content)}/".encode() + content)
        return hasher.hexdigest()


def _tuples(value: Any) -> Any:
    # msgpack knows lists only; rows are tuples all the way down.
    return tuple(_tuples(item) for item in value) if isinstance(value, list | tuple) else value
