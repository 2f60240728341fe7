"""The folder of results: can it be written, and is what is in it whole?"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from chainwarden.api_client import ApiClient
from chainwarden.doctor.check import Check, checked, failed, ok, skipped, warning
from chainwarden.errors import ChainwardenError, LedgerLocked
from chainwarden.ledgers import open_ledger
from chainwarden.server.whereabouts import find
from chainwarden.settings import Settings
from store.lake import Lake
from store.ledger import Ledger
from store.snapshots import SnapshotStore

GIGABYTE: Final = 1_000_000_000
# Below the first nothing should be started; a busy chain's lake grows by some GB a day.
LEAST_BYTES: Final = 1 * GIGABYTE
WARNED_BYTES: Final = 10 * GIGABYTE
_SHOWN: Final = 3


def check_folder(settings: Settings) -> list[Check]:
    """The folder, its disk, the ledger, the lake and the newest snapshot."""
    out = Path(settings.store.out)
    found = [
        checked("folder", partial(check_writable, out)),
        checked("disk", lambda: check_space(out, shutil.disk_usage(_existing(out)).free)),
    ]
    with ExitStack() as stack:
        ledger: Ledger | None = None
        if not (out / "ledger.duckdb").is_file():
            found.append(skipped("ledger", f"{out} has none yet"))
        else:
            try:
                ledger = stack.enter_context(open_ledger(out, settings))
                found.append(check_ledger(ledger))
            except LedgerLocked as locked:
                found.append(checked("ledger", partial(check_holder, out, settings, locked)))
            except ChainwardenError as error:
                found.append(failed("ledger", error.message, error.hint))
        if ledger is None:
            found.append(skipped("lake", "its manifest is in the ledger, which is not open here"))
        else:
            found.append(checked("lake", partial(check_lake, out / "lake", ledger)))
    found.append(checked("snapshot", partial(check_snapshot, out)))
    return found


def check_writable(out: Path) -> Check:
    """Whether a file can be made in the folder, or the folder itself where it is missing."""
    place = _existing(out)
    if not place.is_dir():
        return failed("folder", f"{place} is a file", "set store.out to a folder")
    try:
        # Asking for permissions says yes to root on a read-only disk: a file says the truth.
        with tempfile.NamedTemporaryFile(dir=place, prefix=".chainwarden-doctor-") as file:
            file.write(b"x")
    except OSError as error:
        hint = "set store.out to a folder that can be written, or change its owner"
        return failed("folder", f"{place}: {error.strerror}", hint)
    return ok("folder", f"{out} can be {'written' if place == out else 'made'}")


def check_space(out: Path, free: int) -> Check:
    """Whether the disk has room."""
    found = f"{free / GIGABYTE:.1f} GB are free for {out}"
    hint = "free some space, or set store.out to another disk"
    if free < LEAST_BYTES:
        return failed("disk", found, hint)
    return warning("disk", found, hint) if free < WARNED_BYTES else ok("disk", found)


def check_ledger(ledger: Ledger) -> Check:
    """A ledger that opened: its counts agreed."""
    cursor = ledger.cursor()
    count = sum(ledger.alert_counts().values())
    return ok("ledger", f"{ledger.chain.name} at {cursor and cursor.head}, {count} alerts")


def check_holder(out: Path, settings: Settings, locked: LedgerLocked) -> Check:
    """A ledger that another process has: whether that process answers for it."""
    place = find(out)
    if place is None or place.pid != locked.pid:
        return warning("ledger", locked.message, "it serves no API: stop it to ask the ledger")
    client = ApiClient(*place.reachable, settings.server.token)
    head = client.get("/api/v1/status")["head"]
    number = head["number"] if head else None
    return ok("ledger", f"{locked.message}, which answers at {client.address}; head {number}")


def check_lake(folder: Path, ledger: Ledger) -> Check:
    """Whether the files of the manifest are there, with their sizes and row counts."""
    files = ledger.files()
    if not files:
        return skipped("lake", "its manifest is empty")
    if not folder.is_dir():
        return failed("lake", f"{folder} is missing, with {len(files)} files", "restore it")
    problems = Lake(folder, ledger.chain).verify(files)
    if not problems:
        rows = sum(file.rows for file in files)
        return ok("lake", f"{len(files)} files, {rows:,} rows, as the manifest says")
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return failed(
        "lake",
        "; ".join(problems[:_SHOWN]) + more,
        "restore them from a backup, or replay the chain into a new folder",
    )


def check_snapshot(out: Path) -> Check:
    """Whether the newest snapshot is as it was saved."""
    folder, key = out / "snapshots", out / "snapshot.key"
    saved = sorted(folder.glob("snapshot-*.bin"))
    if not saved:
        return skipped("snapshot", "none was saved yet")
    if not key.is_file():
        return failed("snapshot", f"{key} is missing", "a start replays the lake once instead")
    state, cursor = SnapshotStore(folder, key).load(saved[-1])
    return ok("snapshot", f"{saved[-1].name}: block {cursor.head}, {len(state):,} bytes of state")


def _existing(out: Path) -> Path:
    """The folder, or the nearest of its parents that is there."""
    return next(place for place in (out, *out.absolute().parents) if place.exists())
