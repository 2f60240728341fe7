"""How what lists and people say gets into a running detector, and is noted where it did.

Between two blocks, never within one: what was said since the last block takes force with the next,
and the ledger notes that block's number in the commit that has it. So a restart and a rebuild can
do the same at the same block, and whoever asks later is told what was in force when.

A list is read again when its file changes. One that cannot be read any more, or from which no label
can be had, changes nothing: the labels of before stay, and that is said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from chainwarden.errors import LabelError, SettingsError
from chainwarden.metrics import Metrics
from chainwarden.schema import Label
from chainwarden.settings import LabelSettings
from detect.label_files import LabelReport, ListContent, ListInfo, read_list_file
from detect.label_lists import BadEntry, parse_time
from detect.label_words import Verdict, word_verdict
from detect.labels import LabelBook
from store.label_archive import LabelArchive
from store.ledger import AlertFilter, InForce, Ledger, ListNote

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 2.0
_SHOWN: Final = 20  # lines of a report that are logged
_MEASURED: Final = 100  # labels of one block whose lead is looked up, a query each

_Signature = tuple[int, int, int]


def list_info(settings: LabelSettings) -> ListInfo:
    """What is known of a list. Raises SettingsError for a time that is none."""
    try:
        since = parse_time(str(settings.valid_from)) or 0
        until = parse_time(str(settings.valid_to or ""))
    except BadEntry as error:
        raise SettingsError(f"labels, {settings.path}: {error}") from error
    return ListInfo(
        Path(settings.path),
        source=settings.source,
        licence=settings.licence,
        chain=settings.chain,
        valid_from=since,
        valid_to=until,
    )


def tell(report: LabelReport) -> None:
    """Log what is odd about a list, by line."""
    lines = list(report.lines())
    for line in lines[:_SHOWN]:
        log.warning("%s", line)
    if len(lines) > _SHOWN:
        log.warning("%s: %d more lines like these", report.path, len(lines) - _SHOWN)


class ListWatch:
    """Reads lists again when their files change. ``poll`` in a thread of its own, or by hand.

    A file counts as changed once it has been the same for two polls, so that none is read while it
    is being written.
    """

    def __init__(self, infos: Sequence[ListInfo]) -> None:
        self.infos = tuple(infos)
        self.refused = 0
        """How many changed files could not be used."""
        self._read: dict[str, _Signature | None] = {}
        self._seen: dict[str, _Signature | None] = {}
        self._ready: dict[str, ListContent] = {}
        self._lock = threading.Lock()

    def read_all(self) -> list[ListContent]:
        """Every list as it is now. Raises LabelError for one that cannot be read."""
        contents = []
        for info in self.infos:
            signature = _signature(info.path)
            contents.append(read_list_file(info))
            self._read[info.name] = self._seen[info.name] = signature
        return contents

    def poll(self) -> None:
        """Look whether files changed, and read those that did."""
        for info in self.infos:
            now, before = _signature(info.path), self._seen.get(info.name)
            self._seen[info.name] = now
            if now != before or now == self._read.get(info.name):
                continue
            self._read[info.name] = now
            try:
                content = read_list_file(info)
                if not content.labels:
                    raise LabelError(f"{info.name}: not one label can be read from it")
            except LabelError as error:
                self.refused += 1
                log.warning("%s: the labels of before stay in force", error)
                continue
            with self._lock:
                self._ready[info.name] = content

    def take(self) -> list[ListContent]:
        """What changed since the last time, in the order of the lists."""
        if not self._ready:
            return []
        with self._lock:
            ready, self._ready = self._ready, {}
        return [ready[info.name] for info in self.infos if info.name in ready]

    def run(self, stop: threading.Event, seconds: float = POLL_SECONDS) -> None:
        """Poll until ``stop`` is set."""
        while not stop.wait(seconds):
            self.poll()


@dataclass(slots=True)
class Counts:
    """What took force since the start, by kind; ``lists`` are versions of lists."""

    said: int = 0
    withdrawn: int = 0
    listed: int = 0
    delisted: int = 0
    lists: int = 0
    alerted: int = 0
    unalerted: int = 0
    """Of the bad labels said, how many came to a wallet with an alert, and to one without."""
    lags: list[int] = field(default_factory=list)  # not observed yet, as are leads
    leads: list[int] = field(default_factory=list)
    notes: list[InForce] = field(default_factory=list)  # not committed yet


class Labelling:
    """Puts into a book, block by block, what a ledger's people and some lists say.

    ``before`` each batch, ``taken`` for each commit. ``watch`` has the lists; those that the ledger
    already noted, with the same content, are in the book by then (see ``RecordedLabels``).
    """

    def __init__(
        self, book: LabelBook, ledger: Ledger, archive: LabelArchive, watch: ListWatch
    ) -> None:
        self.book = book
        self.watch = watch
        self.counts = Counts()
        self._ledger = ledger
        self._archive = archive
        self._heard = -1
        self._last = 0  # the serial of the last change that took force
        self._fresh = ledger.cursor() is None  # nothing was scored yet: no change to tell of
        self._digests = {note.path: note.digest for note in ledger.label_lists()}
        self._waiting = [c for c in watch.read_all() if c.digest != self._digests.get(c.info.name)]
        for content in self._waiting:
            tell(content.report)

    def before(self, number: int, timestamp: int) -> None:
        """What was said by now takes force with the block of that number and time."""
        at = None if self._fresh else timestamp
        self._fresh = False
        lists = [*self._gone(number, at), *self._changed(number, at)]
        changes = self._people(at)
        if lists or changes:
            self.counts.notes.append(InForce(number, changes, lists))

    def taken(self) -> tuple[InForce, ...]:
        """What took force since the last call, for the commit."""
        notes, self.counts.notes = self.counts.notes, []
        return tuple(notes)

    def observe(self, metrics: Metrics) -> None:
        """Bring the metrics about labels up to date."""
        counts, chain = self.counts, metrics.chain
        metrics.labels.labels(chain).set(len(self.book))
        for kind in ("said", "withdrawn", "listed", "delisted"):
            metrics.raise_counter(metrics.label_changes, getattr(counts, kind), kind)
        metrics.raise_counter(metrics.label_lists, counts.lists, "read")
        metrics.raise_counter(metrics.label_lists, self.watch.refused, "refused")
        metrics.raise_counter(metrics.bad_labels, counts.alerted, "yes")
        metrics.raise_counter(metrics.bad_labels, counts.unalerted, "no")
        for histogram, seconds in (
            (metrics.label_lag, counts.lags),
            (metrics.alert_lead, counts.leads),
        ):
            child = histogram.labels(chain)
            for one in seconds:
                child.observe(one)
            seconds.clear()
        used = len(self.book) / self.book.capacity
        metrics.bound_used.labels(chain, "labels").set(used)

    def _people(self, at: int | None) -> tuple[int, ...]:
        heard = self._ledger.label_news
        if heard == self._heard:
            return ()
        self._heard = heard
        pending = self._ledger.label_changes(pending=True)
        changes = [change for change in pending if change.serial > self._last]
        for change in changes:
            self._last = change.serial
            apply_word(self.book, change.label, change.withdrawn, at)
            what = "withdrawn" if change.withdrawn else "labelled"
            log.info("0x%s %s: %s", change.label.address.hex(), what, change.label.label)
            self.counts.withdrawn += change.withdrawn
            self.counts.said += not change.withdrawn
        if at is not None:
            said = [change.label for change in changes if not change.withdrawn]
            for label in said[:_MEASURED]:
                self._measure(label, at)
        return tuple(change.serial for change in changes)

    def _measure(self, label: Label, at: int) -> None:
        """How late a label is, and how far ahead of it was the wallet's first alert."""
        self.counts.lags.append(max(0, at - label.valid_from))
        if word_verdict(label.label) != Verdict.BAD:
            return
        first = self._ledger.alerts(AlertFilter(subject=label.address, limit=1, oldest_first=True))
        self.counts.alerted += len(first)
        self.counts.unalerted += not first
        self.counts.leads += [max(0, at - alert.block_timestamp) for alert in first]

    def _changed(self, number: int, at: int | None) -> Iterator[ListNote]:
        contents = [*self._waiting, *self.watch.take()]
        self._waiting = []
        for content in contents:
            info, report = content.info, content.report
            if content.digest == self._digests.get(info.name):
                continue
            try:
                added, removed = self.book.replace_list(info.name, content.labels, at=at)
            except LabelError as error:
                self.watch.refused += 1
                log.warning("%s: the labels of before stay in force", error)
                continue
            self._archive.keep(content.digest, content.data)
            yield self._noted(info, content.digest, report, (added, removed), number)

    def _gone(self, number: int, at: int | None) -> Iterator[ListNote]:
        # Lists that the settings name no more.
        kept = {info.name for info in self.watch.infos}
        for path in [p for p, digest in self._digests.items() if digest and p not in kept]:
            counts = self.book.replace_list(path, (), at=at)
            report = LabelReport(path, "", 0, ())
            yield self._noted(ListInfo(Path(path)), "", report, counts, number)

    def _noted(
        self,
        info: ListInfo,
        digest: str,
        report: LabelReport,
        counts: tuple[int, int],
        number: int,
    ) -> ListNote:
        added, removed = counts
        self._digests[info.name] = digest
        self.counts.listed += added
        self.counts.delisted += removed
        self.counts.lists += bool(digest)
        log.info(
            "%s: %d labels in force from block %d on, %d of them new, %d gone, %d lines refused",
            info.name, report.loaded, number, added, removed, report.refused,
        )  # fmt: skip
        return ListNote(
            path=info.name,
            source=info.source or "",
            licence=info.licence,
            chain=info.chain,
            valid_from=info.valid_from,
            valid_to=info.valid_to,
            digest=digest,
            format=report.format,
            loaded=report.loaded,
            refused=report.refused,
            added=added,
            removed=removed,
            said_at=self._ledger.now(),
            number=number,
        )


def _signature(path: Path) -> _Signature | None:
    """What changes when a file does; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def apply_word(book: LabelBook, label: Label, withdrawn: bool, at: int | None) -> None:
    """Put a person's word into the book, or take it out. A full book is told, not fatal."""
    if withdrawn:
        book.unsay(label, at=at)
        return
    try:
        book.say(label, at=at)
    except LabelError as error:
        log.warning("0x%s %s: %s", label.address.hex(), label.label, error)
