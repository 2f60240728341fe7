"""``chainwarden explain``: from the ledger, or from the process that has it open."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from chainwarden.asking import ask
from chainwarden.explain import page
from chainwarden.settings import Settings, StoreSettings, load_settings
from chainwarden.terminal import print_json, print_line


def explain(alert_id: str, *, config: Path | None, flags: Mapping[str, object], json: bool) -> None:
    """Show what an analyst needs to decide about an alert, on one screen or as one object."""
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        found = asked.explain(alert_id)
    if json:
        print_json(found)
        return
    for line in page(found, options_of(settings)):
        print_line(line)


def options_of(settings: Settings) -> str:
    """What a command that is shown needs to find the same ledger."""
    out, default = settings.store.out, StoreSettings().out
    chain = f" --chain {shlex.quote(settings.chain)}" if settings.chain else ""
    return ("" if out == default else f" --out {shlex.quote(out)}") + chain
