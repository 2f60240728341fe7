"""Detection quality on a stream with known labels: the live detector, and late labels."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chainwarden.deployment import (
    UNDO_BLOCKS,
    compile_kernels,
    make_detector,
)
from chainwarden.errors import BadBlock, LabelError
from chainwarden.schema import BlockReverted, BlocksAdded
from chainwarden.settings import Settings, configured_chain
from detect.evaluate import Figures, Recorder, Window, figures
from detect.labels import BAD_LABELS, LabelBook, builtin_labels
from ingest.chain import ChainFollower
from ingest.files import open_source
from ingest.intake import Intake

PHISHING: Final = "phishing"


@dataclass(frozen=True, slots=True)
class Truth:
    """The wallets that a list calls phishing, and what was odd about the list.

    A wallet that it also calls something harmless is phishing, and ``contradictory``.
    """

    book: LabelBook
    phishing: frozenset[bytes]
    labelled: frozenset[bytes]
    contradictory: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The figures of a window, and what it took; counts of labels that could not be used."""

    figures: Figures
    events: int
    seconds: float
    unknown_labels: int
    contradictory_labels: int
    rejected_labels: int

    def to_dict(self) -> dict[str, object]:
        """The documented JSON object."""
        names = (name for name in self.__slots__ if name != "figures")
        return self.figures.to_dict() | {name: getattr(self, name) for name in names}


def read_truth(path: Path) -> Truth:
    """A list of labelled wallets. Raises LabelError for no list, or one without phishing."""
    book = LabelBook()
    report = book.load(path)
    words: dict[bytes, set[str]] = {}
    for label in book:
        words.setdefault(label.address, set()).add(label.label)
    phishing = frozenset(address for address, said in words.items() if PHISHING in said)
    if not phishing:
        raise LabelError(
            f"{path}: no wallet is labelled {PHISHING}",
            hint="the list needs the columns address and label",
        )
    contradictory = sum(1 for address in phishing if words[address] - BAD_LABELS)
    return Truth(book, phishing, frozenset(words), contradictory, len(report.rejected))


def evaluate(
    path: Path,
    labels: Path,
    window: Window,
    settings: Settings,
    *,
    label_delay_days: int,
    batch_blocks: int,
    on_rejected: Callable[[BadBlock], None] = lambda _: None,
    advance: Callable[[int, str], None] = lambda _done, _rate: None,
) -> Evaluation:
    """Score a stream as if live, tell the detector each label late, and judge a window.

    The detector is the one that runs live, on the same code path; the lists of the settings are not
    loaded, since they may hold the answer. ``advance`` is told the blocks done and the rate.
    """
    truth = read_truth(labels)
    chain = configured_chain(settings)
    source = open_source(path, chain)
    compile_kernels(settings)

    def is_phishing(address: bytes, now: int) -> bool:
        held = truth.book.labels_at(address, now, chain.name)
        return any(label.label == PHISHING for label in held)

    book = LabelBook(builtin_labels())
    detector = make_detector(settings, chain, book, label_delay_days, is_phishing).detector
    intake = Intake(
        source, ChainFollower(UNDO_BLOCKS), batch_blocks=batch_blocks, on_rejected=on_rejected
    )
    recorder, events, began = Recorder(), 0, time.perf_counter()
    for event in intake.events():
        match event:
            case BlocksAdded(batch, gap):
                recorder.add(batch, detector.process(batch, gap).features)
                events += batch.flows.num_rows
            case BlockReverted(position):
                detector.revert(position)
                recorder.revert()
        rate = events / (time.perf_counter() - began)
        advance(intake.counts.blocks, f"{rate:,.0f} flows/s")
    record = recorder.record()
    judged = figures(record, truth.phishing, window)
    return Evaluation(
        figures=judged,
        events=events,
        seconds=time.perf_counter() - began,
        unknown_labels=len(truth.labelled) - len(record.number_of(truth.labelled)),
        contradictory_labels=truth.contradictory,
        rejected_labels=truth.rejected,
    )
