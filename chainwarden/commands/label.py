"""``chainwarden label``: in the ledger, or by the process that has it open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from chainwarden.asking import ask
from chainwarden.commands.alerts import address_of
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line


def label(
    address: str,
    word: str,
    *,
    withdraw: bool,
    from_alert: str,
    author: str,
    note: str,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """Add a label to the ledger, or withdraw it."""
    settings = load_settings(config, os.environ, flags)
    wallet = address_of(address)
    with ask(Path(settings.store.out), settings) as asked:
        if withdraw:
            done = asked.withdraw(wallet, word)
        else:
            done = asked.label(wallet, word, author, note, from_alert)
    result = {name: done[name] for name in ("address", "label", "status")}
    if json:
        print_json(result)
    else:
        print_line("{address} {status}: {label}".format(**result))
