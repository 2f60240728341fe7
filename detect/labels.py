"""Somebody's word about a wallet: who said so, from when to when, on which chain.

A ``LabelBook`` answers what was known about a wallet *at a block's time*, so a replay of 2019 does
not use what was learnt in 2024. It has three parts: what lists say, replaced list by list; what
people say; and what the chain itself says (an issuer freezes, an oracle lists), which follows the
blocks and is undone with them. What labels mean is in ``label_words``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa

from chainwarden.errors import DetectError, LabelError
from chainwarden.schema import ADDRESS, Label
from detect.known.mixers import TORNADO, TORNADO_DELISTED, TORNADO_LISTED
from detect.known.services import SERVICE_ADDRESSES
from detect.label_files import (
    MOST_REJECTED,
    LabelReport,
    ListContent,
    ListInfo,
    read_list_file,
)
from detect.label_lists import Rejected
from detect.label_store import (
    PEOPLE,
    Part,
    SaidLabels,
    VerdictChange,
    WordIndex,
    indexed,
    put_label,
)
from detect.label_words import (
    BAD_LABELS,
    SANCTIONED,
    Verdict,
    problem_of,
    service_of,
    verdict_of,
)

__all__ = [
    "BAD_LABELS", "SANCTIONED", "ChainLayer", "LabelBook", "LabelReport", "Verdict",
    "VerdictChange", "builtin_labels",
]  # fmt: skip

log = logging.getLogger(__name__)

DEFAULT_CAPACITY: Final = 1_000_000


class ChainLayer(Protocol):
    """What the chain itself says about wallets, as of the blocks that were processed."""

    @property
    def changes(self) -> int:
        """Goes up with every change, undone ones too."""
        ...

    def labels_of(self, address: bytes) -> tuple[Label, ...]:
        """Every label of a wallet, whenever it held."""
        ...

    def labels(self) -> Iterator[Label]:
        """Every label, by address."""
        ...


class LabelBook:
    """Labels by address, at most ``capacity`` of them besides the chain's own.

    One label is one (address, word, source, chain, valid_from) of one list, or of people: adding it
    again replaces it, and counts as said last. Words are lower-case. Changing the book between
    batches changes findings from then on, as it should. A book serves one detector; ``twin`` gives
    another one the same lists and people.
    """

    def __init__(self, labels: Iterable[Label] = (), *, capacity: int = DEFAULT_CAPACITY) -> None:
        self._said = SaidLabels(capacity)
        self._chain: ChainLayer | None = None
        self._name: str | None = None
        self._chain_index: tuple[int, dict[str, WordIndex]] = (-1, {})
        for label in labels:
            self.add(label)

    def __len__(self) -> int:
        """How many labels of lists and people."""
        return self._said.count

    def __iter__(self) -> Iterator[Label]:
        """Every label of lists and people, by address."""
        for address in self._said.addresses():
            yield from self._said.labels_of(address)

    @property
    def capacity(self) -> int:
        """How many labels of lists and people there may be."""
        return self._said.capacity

    @property
    def version(self) -> int:
        """Goes up with every change by lists and people."""
        return self._said.version

    @property
    def state(self) -> tuple[int, int]:
        """Changes with every change: by lists and people, and by the chain itself."""
        return self._said.version, -1 if self._chain is None else self._chain.changes

    def twin(self) -> LabelBook:
        """A book of the same lists and people, now and later, for another detector."""
        other = LabelBook()
        other._said = self._said
        return other

    def attach(self, layer: ChainLayer, chain: str) -> None:
        """Have the labels that this chain itself gives in the book.

        Raises DetectError if it has some already.
        """
        if self._chain is not None:
            raise DetectError("a label book serves one detector: give the other one its twin()")
        self._chain, self._name = layer, chain

    # --- changing it ---------------------------------------------------------------------------

    def start_over(self, labels: Iterable[Label]) -> None:
        """Be as a new book of these labels; what the chain itself says follows its detector."""
        self._said.clear()
        for label in labels:
            self.add(label)

    def add(self, label: Label, *, part: str = PEOPLE, at: int | None = None) -> None:
        """Take a label. Raises LabelError for a malformed one and when the book is full.

        With ``at``, the block time when it was said, the change is in ``changes_since``.
        """
        problem = problem_of(label)
        if problem:
            raise LabelError(problem)
        with self._noting([label.address], at, {label.address: label.valid_from}):
            self._said.put(part, label)

    def withdraw(
        self, address: bytes, label: str, source: str | None = None, *, at: int | None = None
    ) -> int:
        """Take back a word about a wallet; how many labels that concerned.

        With ``at`` the label ends at that block time and stays true of what was before; without, it
        is as if it had never been said. ``source`` None: whoever said it.
        """

        def concerned(held: Label) -> bool:
            return held.label == label and source in (None, held.source)

        with self._noting([address], at, {}):
            return self._said.end(address, concerned, at)

    def say(self, label: Label, *, at: int | None = None) -> None:
        """Take what people say in place of the same word of that source and chain; see ``add``."""
        problem = problem_of(label)
        if problem:
            raise LabelError(problem)
        with self._noting([label.address], at, {label.address: label.valid_from}):
            self._said.end(label.address, partial(_like, label), None, PEOPLE)
            self._said.put(PEOPLE, label)

    def unsay(self, said: Label, *, at: int | None = None) -> int:
        """Take back what people said: the word, of that source and chain, as if never said."""
        with self._noting([said.address], at, {}):
            return self._said.end(said.address, partial(_like, said), None, PEOPLE)

    def replace_list(
        self, name: str, labels: Iterable[Label], *, at: int | None = None
    ) -> tuple[int, int]:
        """Put these labels in place of a list's; how many are new, how many are gone.

        All at once or, with LabelError, not at all: when one is malformed or the book gets full.
        """
        part: Part = {}
        for label in labels:
            problem = problem_of(label)
            if problem:
                raise LabelError(f"{name}: {problem}")
            put_label(part, label)
        old = self._said.part(name)
        touched = sorted(a for a in {*old, *part} if old.get(a) != part.get(a))
        before, after = _flat(old, touched), _flat(part, touched)
        starts = {label.address: label.valid_from for label in after - before}
        with self._noting(touched, at, starts):
            self._said.swap(name, part)
        return len(after - before), len(before - after)

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
        content = read_list_file(ListInfo(path, source=source, valid_from=valid_from, chain=chain))
        return self.take(content)

    def take(self, content: ListContent) -> LabelReport:
        """Add a list that was read. What does not fit any more is reported, not fatal."""
        taken, rejected = 0, list(content.report.rejected)
        for line, label in zip(content.lines, content.labels, strict=True):
            try:
                self.add(label, part=content.info.name)
                taken += 1
            except LabelError as error:
                if len(rejected) < MOST_REJECTED:
                    rejected.append(Rejected(line, "0x" + label.address.hex(), str(error)))
        report = replace(
            content.report,
            loaded=taken,
            rejected=tuple(rejected),
            refused=content.report.refused + len(content.labels) - taken,
        )
        log.info("%s: %d labels (%s)", report.path, report.loaded, report.format)
        return report

    # --- asking it -----------------------------------------------------------------------------

    def labels_of(self, address: bytes) -> tuple[Label, ...]:
        """Every label of a wallet, whenever it held; people's in the order they were said."""
        said = self._said.labels_of(address)
        return said if self._chain is None else said + self._chain.labels_of(address)

    def labels_at(
        self, address: bytes, timestamp: int, chain: str | None = None
    ) -> tuple[Label, ...]:
        """The labels in force at that block time, on that chain (None: whatever the chain)."""
        held = self.labels_of(address)
        if not held:
            return ()
        return tuple(label for label in held if label.holds_at(timestamp) and _on(label, chain))

    def verdict_at(self, address: bytes, timestamp: int, chain: str | None = None) -> Verdict:
        """Whether a wallet is known to be bad, or good, at a block time; see ``label_words``."""
        held = self.labels_at(address, timestamp, chain)
        known = address in SERVICE_ADDRESSES
        return verdict_of(held, known) if held or known else Verdict.UNKNOWN

    def outcomes(self, chain: str) -> Callable[[bytes, int], Verdict]:
        """``verdict_at`` on one chain: what a model asks once a wallet's label is due."""
        return lambda address, timestamp: self.verdict_at(address, timestamp, chain)

    def is_service(self, address: bytes, timestamp: int, chain: str | None = None) -> bool:
        """Whether it is a known service (exchange, router, bridge …) that nobody calls bad."""
        held, known = self.labels_at(address, timestamp, chain), address in SERVICE_ADDRESSES
        return service_of(held, known) if held else known

    def changes_since(self, version: int) -> tuple[tuple[VerdictChange, ...], bool]:
        """The verdicts that lists and people changed since a version, and whether that is all.

        Oldest first, the last ``CHANGES_KEPT`` of them: False says that older ones are lost. Only
        what was said with its time counts, which is what is said while a detector runs; take
        ``version`` where that begins, and after a restore. The chain's own labels are not in here:
        they come and go with their blocks, so ask ``verdict_at``.
        """
        kept, lost = self._said.changes, self._said.lost
        return tuple(change for change in kept if change.version > version), lost <= version

    def addresses_with(
        self, words: Iterable[str], start: int, end: int, chain: str | None = None
    ) -> pa.Array:
        """Wallets with one of the words in force at some time from ``start`` to ``end``, sorted.

        For prefiltering a batch; ``labels_at`` decides about the single event.
        """
        wanted = sorted(set(words))
        found = [
            index[word].overlapping(start, end, chain)
            for index in (*self._said.indexes(), self._by_word_on_chain())
            for word in wanted
            if word in index
        ]
        if not any(map(len, found)):
            return pa.array([], ADDRESS)
        keys = np.unique(np.concatenate(found))
        return pa.Array.from_buffers(ADDRESS, len(keys), [None, pa.py_buffer(keys.tobytes())])

    # --- inside --------------------------------------------------------------------------------

    def _by_word_on_chain(self) -> dict[str, WordIndex]:
        if self._chain is None:
            return {}
        version, index = self._chain_index
        if version != self._chain.changes:
            index = indexed(self._chain.labels())
            self._chain_index = (self._chain.changes, index)
        return index

    @contextmanager
    def _noting(
        self, addresses: Sequence[bytes], at: int | None, starts: Mapping[bytes, int]
    ) -> Iterator[None]:
        # Around a change: those of the wallets whose verdict is another one after it are kept.
        times = {} if at is None else {a: max(at, starts.get(a, at)) for a in addresses}
        before = [self.verdict_at(a, time, self._name) for a, time in times.items()]
        yield
        said = self._said
        said.version += 1
        for (address, time), old in zip(times.items(), before, strict=True):
            new = self.verdict_at(address, time, self._name)
            if new != old:
                said.note(VerdictChange(said.version, address, old, new, time))


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


def _flat(part: Part, addresses: Iterable[bytes]) -> set[Label]:
    return {label for address in addresses for label in part.get(address, ())}


def _like(one: Label, other: Label) -> bool:
    return (one.label, one.source, one.chain) == (other.label, other.source, other.chain)


def _on(label: Label, chain: str | None) -> bool:
    return label.chain is None or chain is None or label.chain == chain
