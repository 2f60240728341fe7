"""Opening a ledger that others may be looking into at the moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from chainwarden.errors import LedgerLocked, SettingsError
from chainwarden.server.whereabouts import find
from chainwarden.settings import Settings
from store.ledger import Ledger
from store.queries import chains_of

PATIENCE_SECONDS: Final = 5.0
"""So long a process that has a ledger and answers nobody may be one that has it for a moment."""

_PAUSE_SECONDS: Final = 0.05

T = TypeVar("T")


def once_free(out: Path, opened: Callable[[], T], wait: Callable[[float], None] = time.sleep) -> T:
    """What ``opened`` opens, once nobody has the folder's ledger for a moment.

    Commands that ask a ledger have it open for that long, ``alerts --follow`` at every commit. A
    process that keeps it says in the folder where it answers: then LedgerLocked is raised at once,
    else when it was waited for in vain.
    """
    waited = 0.0
    while True:
        try:
            return opened()
        except LedgerLocked as locked:
            place = find(out)
            if waited >= PATIENCE_SECONDS or (place is not None and place.pid == locked.pid):
                raise
        wait(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS


def open_ledger(out: Path, settings: Settings) -> Ledger:
    """The ledger in a folder, for its one chain, or for the one the settings name.

    Raises SettingsError where there is no ledger, or more chains than one and none is named;
    LedgerLocked while another process has it for longer than a moment.
    """
    path = out / "ledger.duckdb"
    if not path.is_file():
        raise SettingsError(
            f"{out} holds no ledger", hint="give --out the folder of a run or replay"
        )
    return once_free(out, lambda: _open(path, settings))


def _open(path: Path, settings: Settings) -> Ledger:
    chains = chains_of(path)
    wanted = [chain for chain in chains if settings.chain in ("", chain.name)]
    if len(wanted) != 1:
        names = ", ".join(chain.name for chain in chains) or "none"
        raise SettingsError(f"the ledger's chains are: {names}", hint="name one with --chain")
    return Ledger.open(path, wanted[0], "replay")
