"""Values too large for one record, cut and put together again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

PART_BYTES: Final = 512 * 1024
"""The largest value in one record: half of what a broker takes by default."""

_HEADER: Final = "part"
_MOST_PARTS: Final = 1024

Headers = list[tuple[str, bytes]]


def cut(value: bytes) -> Iterator[tuple[bytes, Headers]]:
    """The value as one record without headers, or as several parts with theirs."""
    if len(value) <= PART_BYTES:
        yield value, []
        return
    starts = range(0, len(value), PART_BYTES)
    for index, start in enumerate(starts):
        header = f"{index}/{len(starts)}".encode()
        yield value[start : start + PART_BYTES], [(_HEADER, header)]


def place_of(headers: Headers) -> tuple[int, int] | None:
    """(index, count) of a part; None where the headers are somebody else's."""
    text = next((value for key, value in headers if key == _HEADER), None)
    if text is None:
        return None
    index, _, count = text.partition(b"/")
    if not (index.isdigit() and count.isdigit() and len(text) < 12):
        raise ValueError("a part without its place")
    place = int(index), int(count)
    if not place[0] < place[1] <= _MOST_PARTS:
        raise ValueError("a part beyond the last")
    return place


class Parts:
    """Collects the parts of one value, in order. Bounded: 1,024 parts.

    ``start`` is the offset of the first part while others are still to come.
    """

    def __init__(self) -> None:
        self.start: int | None = None
        self._parts: list[bytes] = []
        self._count = 0

    def add(self, offset: int, value: bytes | None, headers: Headers) -> tuple[int, bytes] | None:
        """A whole value and the offset where it begins, or None while parts are to come.

        Raises ValueError on a part that does not follow the one before: what was collected is
        thrown away, and a first part begins anew.
        """
        place = place_of(headers)
        if value is None:
            raise ValueError("no value")
        if place is None:
            return offset, value
        index, count = place
        torn = self.start is not None if index == 0 else index != len(self._parts)
        if torn or (index and count != self._count):
            self.start, self._parts = (offset, [value]) if index == 0 else (None, [])
            self._count = count
            raise ValueError(f"part {index} of {count} does not follow the record before it")
        if index == 0:
            self.start, self._count = offset, count
        self._parts.append(value)
        if len(self._parts) < count:
            return None
        start, whole = self.start, b"".join(self._parts)
        self.start, self._parts = None, []
        assert start is not None
        return start, whole
