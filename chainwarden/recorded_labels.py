"""What a ledger's people and lists said, in the order it took force: for whoever scores its blocks
again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from chainwarden.labelling import apply_word
from chainwarden.schema import BlocksAdded, ChainEvent, column
from detect.label_files import ListInfo, parse_list, read_list_file
from detect.labels import LabelBook, builtin_labels
from store.label_archive import LabelArchive
from store.ledger import LabelChange, Ledger, ListNote, Promotion

log = logging.getLogger(__name__)


class RecordedLabels:
    """Puts into a book what a ledger noted, each with the block with which it took force.

    A version of a list that is kept nowhere any more is told and left out. ``promote`` is told of
    every promotion: which configuration, with which block.
    """

    def __init__(
        self,
        book: LabelBook,
        ledger: Ledger,
        archive: LabelArchive,
        promote: Callable[[str, int], None] = lambda _configuration, _number: None,
    ) -> None:
        self._book = book
        self._promote = promote
        self._archive = archive
        noted: list[LabelChange | ListNote | Promotion] = [
            *ledger.label_changes(pending=False),
            *ledger.label_lists(),
            *(one for one in ledger.promotions() if one.number is not None),
        ]
        self._steps = sorted(noted, key=lambda step: (step.number or 0, step.serial))
        self._done = 0
        self._first = True

    @property
    def left(self) -> int:
        """How many of them have not taken force yet."""
        return len(self._steps) - self._done

    def until(self, number: int, at: int | None = None) -> None:
        """What took force with a block up to that number; ``at`` is the time of the block."""
        while self._done < len(self._steps) and (self._steps[self._done].number or 0) <= number:
            step = self._steps[self._done]
            self._done += 1
            if isinstance(step, ListNote):
                self._list(step, at)
            elif isinstance(step, Promotion):
                self._promote(step.configuration, step.number or 0)
            else:
                apply_word(self._book, step.label, step.withdrawn, at)

    def cut(self, event: BlocksAdded) -> Iterator[BlocksAdded]:
        """The event, cut before each block with which something takes force.

        When a part is given out, what holds for its blocks is in the book.
        """
        batch, start = event.batch, 0
        numbers, times = batch.numbers(), column(batch.blocks, "block_timestamp")
        while start < len(batch):
            if self._first:
                self.until(int(numbers[start]) - 1)
            self.until(int(numbers[start]), int(times[start]))
            self._first, stop = False, len(batch)
            if self.left:
                upcoming = self._steps[self._done].number or 0
                stop = max(start + 1, int(numbers.searchsorted(upcoming)))
            yield BlocksAdded(batch.slice(start, stop), event.gap and start == 0)
            start = stop

    def _list(self, note: ListNote, at: int | None) -> None:
        if not note.digest:
            self._book.replace_list(note.path, (), at=at)
            return
        info = ListInfo(
            Path(note.path),
            note.source or None,
            note.licence,
            note.chain,
            note.valid_from,
            note.valid_to,
        )
        data = self._archive.read(note.digest)
        content = None if data is None else parse_list(info, data)
        if content is None and info.path.is_file():
            content = read_list_file(info)
        if content is None or content.digest != note.digest:
            log.warning(
                "%s: the version of block %d is kept nowhere: going on without",
                note.path,
                note.number,
            )
            return
        self._book.replace_list(note.path, content.labels, at=at)


def labelled(recorded: RecordedLabels, events: Iterable[ChainEvent]) -> Iterator[ChainEvent]:
    """The events, cut where labels take force; these are in the book when a part comes out."""
    for event in events:
        if isinstance(event, BlocksAdded):
            yield from recorded.cut(event)
        else:
            yield event


def recorded_book(ledger: Ledger, archive: LabelArchive) -> LabelBook:
    """The built-in labels, and those of a ledger that are in force or wait for the next block.

    The chain's own labels are not among them: those are in the detector that processed its blocks.
    """
    book = LabelBook(builtin_labels())
    RecordedLabels(book, ledger, archive).until(2**62)
    for change in ledger.label_changes(pending=True):
        apply_word(book, change.label, change.withdrawn, None)
    return book
