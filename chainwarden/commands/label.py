"""``chainwarden label``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from chainwarden.commands.alerts import address_of
from chainwarden.errors import SettingsError
from chainwarden.ledgers import open_ledger
from chainwarden.schema import Label, hex_of
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
    with open_ledger(Path(settings.store.out), settings) as ledger:
        if from_alert and ledger.alert(from_alert) is None:
            raise SettingsError(
                f"no alert has the id {from_alert}", hint="chainwarden alerts --json"
            )
        said = Label(
            address=address_of(address),
            label=word.strip().lower(),
            source="analyst",
            valid_from=int(time.time()),
            chain=ledger.chain.name,
            author=author,
            note=note,
            alert_id=from_alert,
        )
        if withdraw:
            if not ledger.withdraw_label(said):
                raise SettingsError(f"{address} has no label {word!r} of an analyst")
        else:
            ledger.add_label(said)
    done = "withdrawn" if withdraw else "labelled"
    if json:
        print_json({"address": hex_of(said.address), "label": said.label, "status": done})
    else:
        print_line(f"{hex_of(said.address)} {done}: {said.label}")
