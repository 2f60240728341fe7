"""What lists and people say, kept in parts by list, and what of it changed lately."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from chainwarden.errors import LabelError
from chainwarden.schema import Label
from detect.compiled import Array
from detect.label_words import Verdict

FOREVER: Final = 2**62
CHANGES_KEPT: Final = 65_536

PEOPLE: Final = ""
"""The part that is no list: what people say, and what is built in."""

Part = dict[bytes, tuple[Label, ...]]
"""The labels of one list, or of people, by address."""


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """What was thought of a wallet, and is not any more, because somebody spoke while it ran.

    ``at`` is the block time from which the new verdict holds: when it was said, or later where the
    label is of the future. ``version`` is the book's.
    """

    version: int
    address: bytes
    before: Verdict
    after: Verdict
    at: int


class SaidLabels:
    """Labels in parts, at most ``capacity`` in all; the last ``CHANGES_KEPT`` changed verdicts.

    One label is one (address, word, source, chain, valid_from) of one part. Whoever reads in
    another thread sees each wallet's labels before or after a change, never in between.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.version = 0
        self.count = 0
        self.changes: deque[VerdictChange] = deque()
        self.lost = 0
        """The version up to which changed verdicts were dropped."""
        self._parts: dict[str, Part] = {PEOPLE: {}}  # people come last: what is said last counts
        self._indexes: dict[str, dict[str, WordIndex]] = {}

    def part(self, name: str) -> Part:
        """The labels of one list; empty for one nobody knows."""
        return self._parts.get(name, {})

    def addresses(self) -> list[bytes]:
        """Every address with a label, sorted."""
        return sorted({address for part in self._parts.values() for address in part})

    def labels_of(self, address: bytes) -> tuple[Label, ...]:
        """The labels of a wallet: those of lists, then people's in the order they were said."""
        parts = self._parts
        if len(parts) == 1:
            return parts[PEOPLE].get(address, ())
        return tuple(label for part in parts.values() for label in part.get(address, ()))

    def clear(self) -> None:
        """Forget every label, and which verdicts changed. The version goes on."""
        self._parts, self._indexes, self.count = {PEOPLE: {}}, {}, 0
        self.changes.clear()
        self.version += 1

    def put(self, name: str, label: Label) -> None:
        """Add a label to a part, or replace its like. Raises LabelError when all is full."""
        part = self.part(name)
        new = not any(_key(other) == _key(label) for other in part.get(label.address, ()))
        if new and self.count >= self.capacity:
            raise LabelError(
                f"the label book is full ({self.capacity} labels)", hint="raise its capacity"
            )
        put_label(part, label)
        self.count += new
        self._set(name, part)

    def end(
        self,
        address: bytes,
        concerned: Callable[[Label], bool],
        at: int | None,
        only: str | None = None,
    ) -> int:
        """End labels at a time, or drop them (None); how many. ``only``: of that part alone."""
        ended = 0
        for name, part in list(self._parts.items()):
            held = part.get(address, ())
            gone = [label for label in held if concerned(label)]
            if not gone or only not in (None, name):
                continue
            kept = [
                label if label not in gone else replace(label, valid_to=_earlier(label, at))
                for label in held
                if label not in gone or (at is not None and at > label.valid_from)
            ]
            ended += len(gone)
            self.count += len(kept) - len(held)
            if kept:
                part[address] = tuple(kept)
            else:
                del part[address]
            self._set(name, part)
        return ended

    def swap(self, name: str, part: Part) -> None:
        """Put a part in place of another. Raises LabelError when all would be more than full."""
        old = self.part(name)
        count = self.count + sum(map(len, part.values())) - sum(map(len, old.values()))
        if count > self.capacity:
            raise LabelError(
                f"{name}: the label book would be full ({self.capacity} labels)",
                hint="use fewer lists",
            )
        self.count = count
        self._set(name, part)

    def note(self, change: VerdictChange) -> None:
        """Keep a changed verdict."""
        self.changes.append(change)
        if len(self.changes) > CHANGES_KEPT:
            self.lost = self.changes.popleft().version

    def indexes(self) -> list[dict[str, WordIndex]]:
        """The labels of each part by word."""
        for name, part in self._parts.items():
            if name not in self._indexes:
                self._indexes[name] = indexed(label for held in part.values() for label in held)
        return [self._indexes[name] for name in self._parts]

    def _set(self, name: str, part: Part) -> None:
        self._indexes.pop(name, None)
        if self._parts.get(name) is part:
            return
        parts = {key: value for key, value in self._parts.items() if key != name}
        people = part if name == PEOPLE else parts.pop(PEOPLE)
        if name != PEOPLE and part:
            parts[name] = part
        self._parts = {**parts, PEOPLE: people}


class WordIndex:
    """The labels with one word, as columns."""

    def __init__(self, labels: list[Label]) -> None:
        self.address = np.array([label.address for label in labels], "V20")
        self.valid_from = np.array([label.valid_from for label in labels], np.int64)
        ends = [FOREVER if label.valid_to is None else label.valid_to for label in labels]
        self.valid_to = np.array(ends, np.int64)
        self.chain = np.array([label.chain or "" for label in labels], np.str_)
        self._anywhere = self.chain == ""

    def overlapping(self, start: int, end: int, chain: str | None) -> Array:
        """The addresses whose label is in force at some time from ``start`` to ``end``."""
        mask = (self.valid_from <= end) & (self.valid_to > start)
        if chain is not None:
            mask &= self._anywhere | (self.chain == chain)
        return self.address[mask]


def indexed(labels: Iterable[Label]) -> dict[str, WordIndex]:
    """Labels by their word."""
    grouped: dict[str, list[Label]] = {}
    for label in labels:
        grouped.setdefault(label.label, []).append(label)
    return {word: WordIndex(held) for word, held in grouped.items()}


def put_label(part: Part, label: Label) -> None:
    """Add a label behind the others of its wallet; its like gives way."""
    kept = tuple(other for other in part.get(label.address, ()) if _key(other) != _key(label))
    part[label.address] = (*kept, label)


def _earlier(label: Label, at: int | None) -> int | None:
    return label.valid_to if at is None else min(at, label.valid_to or at)


def _key(label: Label) -> tuple[str, str, str | None, int]:
    return label.label, label.source, label.chain, label.valid_from
