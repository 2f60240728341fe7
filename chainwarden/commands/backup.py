"""``chainwarden backup``: of a free folder, or by the process that works in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chainwarden.asking import ask
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line
from store.backup import FOLDER


def backup(
    name: str,
    keep: int | None,
    *,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """Make one, and say where it is and what it is of."""
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        made = asked.back_up(name, keep)
    place = Path(settings.store.out) / FOLDER / made["name"]
    if json:
        print_json({**made, "folder": str(place)})
        return
    head = made["block_number"]
    until = "before the first block" if head is None else f"up to block {head:,}"
    size = made["size_bytes"] / 1e6
    print_line(f"{place}: {made['files']:,} files, {size:,.1f} MB, {until}.")
    print_line("It shares the lake's files with the folder: copy it to another disk.")
