"""``chainwarden rebuild``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chainwarden.ledgers import open_ledger
from chainwarden.replay import rebuild as run_rebuild
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, progress


def rebuild(*, config: Path | None, flags: Mapping[str, object], to: Path, json: bool) -> None:
    """Score the lake's blocks into a new folder and compare with what the old ledger says."""
    settings = load_settings(config, os.environ, flags)
    source = Path(settings.store.out)
    with open_ledger(source, settings) as ledger, progress("rebuild", None, quiet=json) as advance:
        result = run_rebuild(ledger, source / "lake", to, settings, advance=advance)
    if json:
        print_json(result)
    else:
        for name, value in result.items():
            print_line(f"{name.replace('_', ' ')}: {value}")
