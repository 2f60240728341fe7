"""Chain events onto the bus, and the cursor that says how far they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.bus import Producer
from chainwarden.errors import FileFormatError
from chainwarden.schema import BlockFinalized, ChainEvent, Position, hex_of

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class IngestCursor:
    """What was published: the chain as far as it can be reverted, oldest first, and finality.

    ``recent`` is what ``ChainFollower(resume=…)`` takes to go on as if there had been no restart.
    """

    recent: tuple[Position, ...]
    finalized: Position | None = None


class Publisher:
    """Publishes chain events and remembers how far they are.

    For each event, in this order:

    1. the producer publishes it; when that returns the bus has it for good;
    2. the cursor is written to a temporary file beside the old one and synced to disk;
    3. it is renamed over the old one, and the folder is synced.

    Killed before 1 is done, the event is on the bus whole or not at all; killed before 3 is done,
    it is published again after the restart, which the bus's readers drop as a repeat. So nothing is
    lost and nothing is seen twice. A failure of 1 or 2 leaves the old cursor.
    """

    def __init__(self, producer: Producer, cursor_path: Path) -> None:
        self._producer = producer
        self._path = cursor_path
        before = load_cursor(cursor_path)
        self._finalized = before.finalized if before is not None else None

    def publish(self, event: ChainEvent, recent: Sequence[Position]) -> None:
        """Publish one event; ``recent`` is the follower's chain with the event in it.

        Raises BusError when the bus does not take it: the cursor is where it was.
        """
        self._producer.publish(event)
        if isinstance(event, BlockFinalized):
            self._finalized = event.position
        _write(self._path, IngestCursor(tuple(recent), self._finalized))


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
        return IngestCursor(tuple(one.position() for one in form.recent), finalized)
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
