"""Chain events onto the bus, and the cursor that says how far they are."""

from __future__ import annotations

import logging
import os
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.bus import Mark, Producer
from chainwarden.errors import FileFormatError
from chainwarden.schema import BlockReverted, BlocksAdded, ChainEvent, Position, hex_of
from ingest.chain import MOST_UNFINAL

log = logging.getLogger(__name__)

_VERSION: Final = 1
# So many offsets are read at a start, back from the cursor's or the end of the bus, whichever comes
# first: several transactions of 64 blocks, so that the last one's can be missed.
_LOOK_BACK: Final = 1024


@dataclass(frozen=True, slots=True)
class IngestCursor:
    """What was published: the chain as far as it can be reverted, oldest first, and finality.

    ``recent`` and ``finalized`` are what ``ChainFollower`` takes to go on as if there had been no
    restart; ``offset`` is where the bus was behind it, None where an older version did not say.
    """

    recent: tuple[Position, ...] = ()
    finalized: Position | None = None
    offset: int | None = None


class Publisher:
    """Publishes chain events and remembers how far they are.

    For each event, in this order:

    1. the producer publishes it; when that returns the bus has it for good;
    2. the cursor is written to a temporary file beside the old one and synced to disk;
    3. it is renamed over the old one, and the folder is synced.

    Killed before 1 is done, the event is on the bus whole or in its first blocks or not at all;
    killed before 3 is done, the cursor is behind the bus. And a bus whose own disk was not synced
    may have lost, by a cut of power, what it had taken: then the cursor is ahead of it. So the next
    one first reads the end of the bus, and what is there counts: blocks that it lost are published
    again, and one that was published last, and left by the chain before the restart, is reverted.
    Nothing is lost and nothing is seen twice. A failure of 1 or 2 leaves the old cursor.

    The cursor follows from the events alone, one by one: where a fork reverts many blocks, the
    follower is ahead of what was published until the last of them is.
    """

    def __init__(
        self, producer: Producer, cursor_path: Path, window: int, unfinal: int = MOST_UNFINAL
    ) -> None:
        """``window`` and ``unfinal`` are the follower's: no more positions are kept than it takes.

        Raises FileFormatError for a file that is no cursor; BusError where the bus does not say
        what is behind it: to go on regardless could fork it.
        """
        self._producer = producer
        self._path = cursor_path
        self._window, self._unfinal = window, unfinal
        cursor = load_cursor(cursor_path)
        self.cursor = cursor or IngestCursor(offset=producer.end)
        """How far the events are that were published; of others, too, before this one started."""
        if cursor is None:
            _write(cursor_path, self.cursor)  # or who is killed behind the first would start anew
        elif cursor.offset is not None:
            self._take_up(cursor.offset)

    def publish(self, event: ChainEvent) -> None:
        """Publish one event, and write the cursor.

        Raises BusError when the bus does not take it: the cursor is where it was.
        """
        self._producer.publish(event)
        for mark in _marks(event):
            self._advance(mark, self._producer.end)
        _write(self._path, self.cursor)

    def _take_up(self, offset: int) -> None:
        """Go on from the chain that the end of the bus tells."""
        offset = min(offset, self._producer.end)
        marks = self._producer.since(max(0, offset - _LOOK_BACK))
        added = {mark.position: row for row, mark in enumerate(marks) if mark.event == "added"}
        lowest = min((position.number for position in added), default=0)
        chain = list(self.cursor.recent)
        while added and chain and chain[-1] not in added and chain[-1].number > lowest:
            chain.pop()
        lost = self.cursor.recent[len(chain) :]
        if lost:
            log.warning("the bus lost blocks %s to %s: they are published again", lost[0], lost[-1])
        if chain and chain[-1] in added:
            marks = marks[added[chain[-1]] + 1 :]
        elif chain:  # a head of long ago, or a bus that was made anew
            marks = self._producer.since(offset)
        self.cursor = IngestCursor(tuple(chain), self.cursor.finalized, offset)
        for mark in marks:
            self._advance(mark, offset)

    def _advance(self, mark: Mark, offset: int) -> None:
        chain, finalized, position = self.cursor.recent, self.cursor.finalized, mark.position
        if mark.event == "finalized":
            finalized = position
        elif mark.event == "reverted":
            if chain and chain[-1] == position:
                chain = chain[:-1]
        elif position not in chain:  # else it is a repeat, as the bus's readers see it
            if mark.gap or not chain or not _follows(mark, chain[-1]):
                chain = (Position(position.number - 1, mark.parent),)
            chain = (*chain, position)
        keep = self._window if finalized is None else self._unfinal
        chain = chain[-keep - 1 :]
        if finalized is not None:
            final = bisect_left(chain, finalized.number, key=lambda one: one.number)
            chain = chain[min(final, len(chain) - 1) :] if chain else chain
        self.cursor = IngestCursor(chain, finalized, offset)


def _marks(event: ChainEvent) -> Iterator[Mark]:
    """The event as the bus tells it, block by block."""
    if isinstance(event, BlocksAdded):
        parents = event.batch.blocks["parent_hash"].to_pylist()
        for row, (position, parent) in enumerate(
            zip(event.batch.positions(), parents, strict=True)
        ):
            yield Mark("added", position, parent or b"", event.gap and row == 0)
    elif isinstance(event, BlockReverted):
        yield Mark("reverted", event.position)
    else:
        yield Mark("finalized", event.position)


def _follows(mark: Mark, head: Position) -> bool:
    return not mark.parent or not head.hash or mark.parent == head.hash


class _PositionForm(msgspec.Struct, forbid_unknown_fields=True):
    number: int
    hash: str

    def position(self) -> Position:
        if len(self.hash) not in (2, 66) or not self.hash.startswith("0x"):
            raise ValueError("a hash is 0x and 64 digits")
        return Position(self.number, bytes.fromhex(self.hash[2:]))


class _CursorForm(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    recent: list[_PositionForm]
    finalized: _PositionForm | None = None
    offset: int | None = None


def load_cursor(path: Path) -> IngestCursor | None:
    """The cursor in a file, or None where there is no file.

    Raises FileFormatError for a file that is no cursor of this version: guessing where to go on
    could lose blocks.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        form = msgspec.json.decode(data, type=_CursorForm)
        if form.version != _VERSION:
            raise ValueError(f"version {form.version}")
        finalized = form.finalized.position() if form.finalized is not None else None
        return IngestCursor(tuple(one.position() for one in form.recent), finalized, form.offset)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FileFormatError(
            f"{path} is no ingest cursor: {error}",
            hint="remove it and set source.start to the first block that the bus lacks",
        ) from error


def _write(path: Path, cursor: IngestCursor) -> None:
    """Replace the file, whole or not at all."""
    form = _CursorForm(
        _VERSION,
        [_form(position) for position in cursor.recent],
        _form(cursor.finalized) if cursor.finalized is not None else None,
        cursor.offset,
    )
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(form) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _form(position: Position) -> _PositionForm:
    return _PositionForm(position.number, hex_of(position.hash) or "0x")
