"""``chainwarden wallet``: from the ledger and lake, or from the process that has them open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chainwarden.asking import ask
from chainwarden.commands.alerts import address_of
from chainwarden.commands.explain import options_of
from chainwarden.explain import wallet_page
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line


def wallet(
    address: str, *, limit: int, config: Path | None, flags: Mapping[str, object], json: bool
) -> None:
    """Show what is known of a wallet on one screen, or as one object."""
    settings = load_settings(config, os.environ, flags)
    wanted = address_of(address)
    with ask(settings) as asked:
        found = asked.wallet(wanted, limit)
    if json:
        print_json(found)
        return
    for line in wallet_page(found, options_of(settings)):
        print_line(line)
