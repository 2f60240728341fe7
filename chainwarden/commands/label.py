"""``chainwarden label``: in the ledger, or by the process that has it open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chainwarden.asking import ask
from chainwarden.commands.alerts import address_of, time_of
from chainwarden.report.words import moment
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table
from detect.label_words import Verdict, word_verdict
from store.label_answers import AnalystWord

_MEANING = {
    Verdict.BAD: "bad: rules and models count it against the wallet",
    Verdict.GOOD: "good: models learn that it was no fraud",
    Verdict.UNKNOWN: "no verdict: it is shown, and nothing is learnt from it",
}


def label(
    said: AnalystWord,
    *,
    withdraw: bool,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """Add a label to the ledger, or withdraw it. It takes force with the next block."""
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        done = asked.withdraw(said) if withdraw else asked.label(said)
    result = {name: done[name] for name in ("address", "label", "status")}
    verdict = word_verdict(done["label"])
    if json:
        print_json({**result, "verdict": verdict.name.lower()})
        return
    print_line("{address} {status}: {label}".format(**result))
    if not withdraw:
        print_line(f"{done['label']} is {_MEANING[verdict]}")


def word_of(
    address: str,
    word: str,
    *,
    author: str,
    note: str,
    from_alert: str,
    valid_from: str | None,
    valid_to: str | None,
    every_chain: bool,
) -> AnalystWord:
    """What the command line says. Raises SettingsError for what it cannot be."""
    return AnalystWord(
        address_of(address),
        word,
        author,
        note,
        from_alert,
        time_of("--valid-from", valid_from),
        time_of("--valid-to", valid_to),
        every_chain,
    )


def labels(
    address: str | None,
    *,
    limit: int,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """Show who labelled what and when, and which lists were in force from which block on."""
    settings = load_settings(config, os.environ, flags)
    wallet = None if address is None else address_of(address)
    with ask(settings) as asked:
        found = asked.label_history(wallet, limit)
    if json:
        print_json(found)
        return
    print_table(
        f"{len(found['changes'])} labels given or withdrawn, newest last",
        ("said (UTC)", "by", "address", "label", "act", "from block", "alert", "why"),
        [_change_row(change) for change in found["changes"]],
    )
    if found["lists"]:
        print_table(
            "Label lists",
            ("from block", "list", "source", "licence", "labels", "refused", "new", "gone"),
            [_list_row(one) for one in found["lists"]],
        )


def _change_row(change: Mapping[str, Any]) -> tuple[object, ...]:
    number = change["in_force_from"]
    return (
        moment(int(change["said_at"])),
        change["by"],
        change["address"],
        change["label"],
        change["act"],
        "next" if number is None else str(number),
        change["alert_id"][:8],
        change["why"],
    )


def _list_row(one: Mapping[str, Any]) -> tuple[object, ...]:
    counts = (one["loaded"], one["refused"], one["added"], one["removed"])
    source = one["source"] or one["format"] or "taken out"
    return (str(one["number"]), one["path"], source, one["licence"] or "not said", *counts)
