"""Somebody's word about a wallet: who said so, from when to when, on which chain.

A ``LabelBook`` answers what was known about a wallet *at a block's time*, so a replay of 2019 does
not use what was learnt in 2024. What the rules find out themselves is in the rules' own state; the
book holds what people and lists say.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from chainwarden.errors import LabelError
from chainwarden.schema import ADDRESS, Label
from detect.known.mixers import TORNADO, TORNADO_DELISTED, TORNADO_LISTED
from detect.known.services import SERVICE_ADDRESSES, SERVICE_LABELS
from detect.label_lists import Rejected, read_list

log = logging.getLogger(__name__)

SANCTIONED: Final = "sanctioned"
BAD_LABELS: Final = frozenset({SANCTIONED, "phishing", "scam", "exploit", "heist", "malicious"})
"""Words that outweigh a service label: a sanctioned exchange is no innocent bystander."""

FOREVER: Final = 2**62
DEFAULT_CAPACITY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What became of a list: its format, how many labels it gave, what was refused and why."""

    path: str
    format: str
    loaded: int
    rejected: tuple[Rejected, ...]


class LabelBook:
    """Labels by address, at most ``capacity`` of them.

    One label is one (address, word, source, chain, valid_from): adding it again replaces it. Words
    are lower-case. Changing the book between batches changes findings from then on, as it should;
    nothing the detector does by itself changes an answer of the book.
    """

    def __init__(self, labels: Iterable[Label] = (), *, capacity: int = DEFAULT_CAPACITY) -> None:
        self.capacity = capacity
        self.version = 0
        self._labels: dict[bytes, tuple[Label, ...]] = {}
        self._count = 0
        self._index: dict[str, _WordIndex] | None = None
        for label in labels:
            self.add(label)

    def __len__(self) -> int:
        """How many labels."""
        return self._count

    def __iter__(self) -> Iterator[Label]:
        """Every label, by address."""
        for address in sorted(self._labels):
            yield from self._labels[address]

    def add(self, label: Label) -> None:
        """Take a label. Raises LabelError for a malformed one and when the book is full."""
        if len(label.address) != 20:
            raise LabelError(f"an address has 20 bytes, this has {len(label.address)}")
        if not label.label or label.label != label.label.strip().lower():
            raise LabelError(f"a label is a lower-case word, not {label.label!r}")
        if label.valid_to is not None and label.valid_to < label.valid_from:
            raise LabelError(f"{label.label}: valid to {label.valid_to}, before {label.valid_from}")
        held = self._labels.get(label.address, ())
        kept = tuple(other for other in held if _key(other) != _key(label))
        if len(kept) == len(held):
            if self._count >= self.capacity:
                raise LabelError(
                    f"the label book is full ({self.capacity} labels)", hint="raise its capacity"
                )
            self._count += 1
        self._labels[label.address] = (*kept, label)
        self._changed()

    def withdraw(
        self, address: bytes, label: str, source: str | None = None, *, at: int | None = None
    ) -> int:
        """Take back a word about a wallet; how many labels that concerned.

        With ``at`` the label ends at that time and stays true of what was before; without, it is
        as if it had never been said. ``source`` None: whoever said it.
        """
        kept: list[Label] = []
        concerned = 0
        for held in self._labels.get(address, ()):
            if held.label != label or (source is not None and held.source != source):
                kept.append(held)
                continue
            concerned += 1
            if at is not None and at > held.valid_from:
                end = at if held.valid_to is None else min(at, held.valid_to)
                kept.append(replace(held, valid_to=end))
        if concerned:
            self._count += len(kept) - len(self._labels[address])
            if kept:
                self._labels[address] = tuple(kept)
            else:
                del self._labels[address]
            self._changed()
        return concerned

    def labels_of(self, address: bytes) -> tuple[Label, ...]:
        """Every label of a wallet, whenever it held."""
        return self._labels.get(address, ())

    def labels_at(
        self, address: bytes, timestamp: int, chain: str | None = None
    ) -> tuple[Label, ...]:
        """The labels in force at that block time, on that chain (None: whatever the chain)."""
        return tuple(
            label
            for label in self._labels.get(address, ())
            if label.holds_at(timestamp) and _on(label, chain)
        )

    def is_service(self, address: bytes, timestamp: int, chain: str | None = None) -> bool:
        """Whether it is a known service (exchange, router, bridge …) that nobody calls bad."""
        words = {label.label for label in self.labels_at(address, timestamp, chain)}
        if words & BAD_LABELS:
            return False
        return address in SERVICE_ADDRESSES or bool(words & SERVICE_LABELS)

    def addresses_with(
        self, words: Iterable[str], start: int, end: int, chain: str | None = None
    ) -> pa.Array:
        """Wallets with one of the words in force at some time from ``start`` to ``end``, sorted.

        For prefiltering a batch; ``labels_at`` decides about the single event.
        """
        index = self._by_word()
        found = [
            index[word].overlapping(start, end, chain) for word in sorted(set(words) & set(index))
        ]
        if not found:
            return pa.array([], ADDRESS)
        keys = np.unique(np.concatenate(found))
        return pa.Array.from_buffers(ADDRESS, len(keys), [None, pa.py_buffer(keys.tobytes())])

    def load(
        self,
        path: Path,
        *,
        source: str | None = None,
        valid_from: int = 0,
        chain: str | None = None,
    ) -> LabelReport:
        """Add what a list says; its format is told from its content.

        Known formats: chainwarden's CSV (``address,label,source,valid_from,valid_to,chain,author,
        note``), OFAC addresses, Forta's phishing and malicious-contract sets, the ethereum-lists
        darklist, etherscan-labels. ``source``, ``valid_from`` and ``chain`` stand in where the list
        does not say. Wrong addresses and full books are reported by line, never fatal. Raises
        LabelError for a file that is no list.
        """
        kind, entries = read_list(path, source=source, valid_from=valid_from, chain=chain)
        loaded = 0
        rejected: list[Rejected] = []
        for entry in entries:
            if isinstance(entry, Rejected):
                rejected.append(entry)
                continue
            try:
                for label in entry.labels:
                    self.add(label)
                    loaded += 1
            except LabelError as error:
                rejected.append(
                    Rejected(entry.line, "0x" + entry.labels[0].address.hex(), str(error))
                )
        log.info("%s: %d labels (%s), %d refused", path.name, loaded, kind, len(rejected))
        return LabelReport(str(path), kind, loaded, tuple(rejected))

    def _changed(self) -> None:
        self.version += 1
        self._index = None

    def _by_word(self) -> dict[str, _WordIndex]:
        if self._index is None:
            grouped: dict[str, list[Label]] = {}
            for labels in self._labels.values():
                for label in labels:
                    grouped.setdefault(label.label, []).append(label)
            self._index = {word: _WordIndex(labels) for word, labels in grouped.items()}
        return self._index


class _WordIndex:
    # The labels with one word, as columns.

    def __init__(self, labels: list[Label]) -> None:
        self.address = np.array([label.address for label in labels], "V20")
        self.valid_from = np.array([label.valid_from for label in labels], np.int64)
        ends = [FOREVER if label.valid_to is None else label.valid_to for label in labels]
        self.valid_to = np.array(ends, np.int64)
        self.chain = np.array([label.chain or "" for label in labels], np.str_)

    def overlapping(self, start: int, end: int, chain: str | None) -> np.ndarray[Any, Any]:
        mask = (self.valid_from <= end) & (self.valid_to > start)
        if chain is not None:
            mask &= (self.chain == "") | (self.chain == chain)
        return self.address[mask]


def builtin_labels() -> tuple[Label, ...]:
    """What needs no list: Tornado Cash, a mixer, under OFAC sanction 2022-08-08 to 2025-03-21."""
    labels = []
    for address in sorted(TORNADO):
        labels.append(Label(address, "mixer", "chainwarden", chain="ethereum"))
        labels.append(
            Label(
                address, SANCTIONED, "ofac", TORNADO_LISTED, TORNADO_DELISTED, note="Tornado Cash"
            )
        )
    return tuple(labels)


def _key(label: Label) -> tuple[str, str, str | None, int]:
    return label.label, label.source, label.chain, label.valid_from


def _on(label: Label, chain: str | None) -> bool:
    return label.chain is None or chain is None or label.chain == chain
