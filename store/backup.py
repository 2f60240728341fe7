"""A copy of a whole installation as it was after one commit, made while it works.

It is a folder like the one it is of, in ``backups`` within it: a process that is given it goes on
from there. Files of the lake never change, so they are linked, not copied; where a file system has
no links they are copied, and commits wait for as long.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from chainwarden.errors import RequestRefused, StoreError
from chainwarden.schema import Cursor
from store.durable import TEMPORARY, flush, put_in_place, refusals, temporary_beside
from store.ledger import Ledger

log = logging.getLogger(__name__)

FOLDER: Final = "backups"
TOLD: Final = "backup.json"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z")
_LINKED: Final = ("snapshots/*.bin", "label-lists/*.gz")
_COPIED: Final = ("*.key", "tokens.json", "replay.json")


class Backup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup is of: when it was made (seconds since 1970), and which block was the last.

    ``files`` and ``size_bytes`` count everything in it but what says so.
    """

    name: str
    made_at: float
    chain: str
    ledger: str
    commits: int
    block_number: int | None
    block_hash: str | None
    files: int
    size_bytes: int


def default_name(now: float) -> str:
    """The moment as a name: ``2026-01-31T120000Z``."""
    return time.strftime("%Y-%m-%dT%H%M%SZ", time.gmtime(now))


def place_of(out: Path, name: str) -> Path:
    """Where a backup of that name is to be.

    Raises RequestRefused for what is no name (422), or the name of one that is there (409).
    """
    if not _NAME.fullmatch(name):
        raise RequestRefused(
            f"{name[:64]!r} is no name for a backup",
            422,
            hint="up to 64 letters, digits, - and _, beginning with none of these two",
        )
    place = out / FOLDER / name
    if place.exists():
        raise RequestRefused(f"there is a backup {name} already", 409, hint="give it another name")
    return place


def back_up(ledger: Ledger, out: Path, name: str, keep: int | None = None) -> Backup:
    """Copy everything of the installation in ``out``; all of it is on disk when this returns.

    Then of the backups that the moment names all but the newest ``keep`` are deleted, where that is
    given. Those that somebody has named stay.

    Nothing is committed while the ledger's file is copied and the lake's are linked. The copy is
    opened once, which replays its log and checks its counts. Only its owner may read it: the keys
    are in it. One call at a time. Raises RequestRefused as ``place_of`` does, DiskFull or
    StoreError where it cannot be made, and then nothing of it is left; StoreError also where it was
    made and an older one cannot be deleted.
    """
    place = place_of(out, name)
    unfinished = temporary_beside(place)
    try:
        with refusals(place):
            place.parent.mkdir(mode=0o700, exist_ok=True)
            for left in place.parent.glob(f"*{TEMPORARY}"):  # by a process that was killed
                shutil.rmtree(left)
            unfinished.mkdir(mode=0o700)
            made = _described(ledger, name, unfinished, *_copy(ledger, out, unfinished))
            (unfinished / TOLD).write_bytes(msgspec.json.format(msgspec.json.encode(made)) + b"\n")
            for path in (*unfinished.rglob("*"), unfinished):
                flush(path)
            put_in_place(unfinished, place)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    if keep is not None:
        _delete_older(out, keep)
    return made


def _delete_older(out: Path, keep: int) -> None:
    old = [one.name for one in backups(out) if _MOMENT.fullmatch(one.name)][keep:]
    for name in old:
        place = out / FOLDER / name
        gone = temporary_beside(place)  # no list has it from here on, whenever this is killed
        try:
            place.rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            raise StoreError(
                f"the new one is whole, but {place} cannot be deleted: {error}",
                hint="delete it by hand: the disk fills up with those that stay",
            ) from error
        log.info("backup %s was deleted: there are %d newer ones", name, keep)


def _copy(ledger: Ledger, out: Path, to: Path) -> tuple[int, Cursor | None]:
    """Copy it all. Returns of how many commits, and where the last one left the pipeline."""
    copied = to / ledger.path.name
    with ledger.still() as commits:
        cursor = ledger.cursor()
        ledger.copy(copied)
        for file in ledger.files():
            path = Path("lake", file.path)
            _link(out / path, to / path)
    for pattern in _LINKED:
        for path in out.glob(pattern):
            with suppress(FileNotFoundError):  # old snapshots are deleted while this goes on
                _link(path, to / path.relative_to(out))
    for pattern in _COPIED:
        for path in out.glob(pattern):
            shutil.copy2(path, to / path.name)
    Ledger.open(copied, ledger.chain, "replay").close()
    copied.with_name(f"{copied.name}.lock").unlink()
    return commits, cursor


def _described(
    ledger: Ledger, name: str, folder: Path, commits: int, cursor: Cursor | None
) -> Backup:
    head = cursor.head if cursor else None
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return Backup(
        name=name,
        made_at=ledger.now(),
        chain=ledger.chain.name,
        ledger=ledger.identity,
        commits=commits,
        block_number=None if head is None else head.number,
        block_hash=None if head is None else "0x" + head.hash.hex(),
        files=len(sizes),
        size_bytes=sum(sizes),
    )


def backups(out: Path) -> list[Backup]:
    """The backups there are, the newest first: folders that say so, under the name they say."""
    found = []
    for path in (out / FOLDER).glob(f"*/{TOLD}"):
        with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
            one = msgspec.json.decode(path.read_bytes(), type=Backup)
            if one.name == path.parent.name:  # not one that is being made
                found.append(one)
    return sorted(found, key=lambda one: (-one.made_at, one.name))


def _link(path: Path, to: Path) -> None:
    to.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(path, to)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        shutil.copy2(path, to)
