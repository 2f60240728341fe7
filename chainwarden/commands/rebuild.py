"""``chainwarden rebuild``."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from chainwarden.errors import LedgerDamaged
from chainwarden.ledgers import open_ledger
from chainwarden.replay import prepare_folder, replay
from chainwarden.replay import rebuild as run_rebuild
from chainwarden.settings import Settings, configured_chain, load_settings
from chainwarden.terminal import print_error, print_outcome, progress
from ingest.files import count_blocks

log = logging.getLogger(__name__)

# Blocks scored at a time: the result does not depend on it.
_BATCH_BLOCKS: Final = 8192


def rebuild(*, config: Path | None, flags: Mapping[str, object], to: Path, json: bool) -> None:
    """Score the lake's blocks into a new folder and compare with what the old ledger says.

    Where the ledger cannot be opened any more the lake is all there is: what people said in it, and
    which blocks were orphaned, is lost with it, and that is told.
    """
    settings = load_settings(config, os.environ, flags)
    source = Path(settings.store.out)
    try:
        ledger = open_ledger(source, settings)
    except LedgerDamaged as error:
        print_error(error)
        log.warning(
            "rebuilding from the lake alone: what people said of wallets and models, and alerts "
            "that only an orphaned block shows, are not in it"
        )
        result = _without_ledger(source, to, settings, quiet=json)
    else:
        blocks = sum(file.rows for file in ledger.files("blocks"))
        with ledger, progress("rebuild", blocks, quiet=json) as advance:
            result = run_rebuild(ledger, source / "lake", to, settings, advance=advance)
    print_outcome(result, json)


def _without_ledger(
    source: Path, to: Path, settings: Settings, *, quiet: bool
) -> dict[str, object]:
    prepare_folder(to, configured_chain(settings), overwrite=False)
    total = None if quiet else count_blocks(source / "lake", configured_chain(settings))
    with progress("rebuild", total, quiet=quiet) as advance:
        result = replay(source / "lake", to, settings, batch_blocks=_BATCH_BLOCKS, advance=advance)
    if result.failure is not None:
        raise result.failure
    return result.to_dict()
