"""Opening a ledger that is there already, for the commands that ask it."""

from __future__ import annotations

from pathlib import Path

from chainwarden.errors import SettingsError
from chainwarden.settings import Settings
from store.ledger import Ledger
from store.queries import chains_of


def open_ledger(out: Path, settings: Settings) -> Ledger:
    """The ledger in a folder, for its one chain, or for the one the settings name.

    Raises SettingsError where there is no ledger, or more chains than one and none is named;
    LedgerLocked while another process writes it.
    """
    path = out / "ledger.duckdb"
    if not path.is_file():
        raise SettingsError(
            f"{out} holds no ledger", hint="give --out the folder of a run or replay"
        )
    chains = chains_of(path)
    wanted = [chain for chain in chains if settings.chain in ("", chain.name)]
    if len(wanted) != 1:
        names = ", ".join(chain.name for chain in chains) or "none"
        raise SettingsError(f"the ledger's chains are: {names}", hint="name one with --chain")
    return Ledger.open(path, wanted[0], "replay")
