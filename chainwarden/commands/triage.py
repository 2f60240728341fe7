"""``chainwarden acknowledge``, ``suppress``: in the ledger, or by the process that has it open."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chainwarden.asking import ask
from chainwarden.commands.alerts import address_of
from chainwarden.commands.explain import options_of
from chainwarden.errors import SettingsError
from chainwarden.report.words import moment
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table
from store.triage_answers import AcknowledgeWord, SuppressWord


def acknowledge(
    said: AcknowledgeWord,
    *,
    withdraw: bool,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """Say who has an alert in hand, or that nobody has any more."""
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        alert = asked.unacknowledge(said) if withdraw else asked.acknowledge(said)
    if json:
        print_json(alert)
    elif withdraw:
        print_line(f"{alert['id'][:8]}: nobody has it in hand any more")
    else:
        print_line(f"{alert['id'][:8]}: {alert['acknowledged']['by'] or 'somebody'} has it in hand")


def word_of(rule: str, subject: str, hours: float, author: str, note: str) -> SuppressWord:
    """What the command line says. Raises SettingsError for what it cannot be."""
    if not rule and not subject:
        raise SettingsError("say which alerts", hint="--rule, --subject, or both")
    wallet = address_of(subject) if subject else None
    return SuppressWord(rule, wallet, time.time() + hours * 3600, author, note)


def suppress(
    said: SuppressWord, *, config: Path | None, flags: Mapping[str, object], json: bool
) -> None:
    """Have nobody told of some alerts for a while."""
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        done = asked.suppress(said)
    if json:
        print_json(done)
        return
    print_line(f"Until {moment(int(done['until']))} UTC nobody is told of {_what(done)}.")
    print_line(f"{done['covers']} active alerts are such. They stay, and new ones are raised.")
    end = f"chainwarden suppressions end {done['id']}{options_of(settings)}"
    print_line(f"To be told again: {end}")


def suppressions(
    act: str,
    serial: int | None,
    *,
    author: str,
    ever: bool,
    limit: int,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """List of what nobody is told, or have people told of it again."""
    if act not in ("list", "end") or (act == "end") != (serial is not None):
        raise SettingsError(f"suppressions cannot do that: {act}", hint="list, or end ID")
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        if serial is None:
            found = asked.suppressions(limit, holding=not ever)
        else:
            found = asked.end_suppression(serial, author)
    if json:
        print_json(found)
    elif serial is not None:
        print_line(f"From now on people are told of {_what(found)}.")
    else:
        print_table(
            f"{len(found['suppressions'])} suppressions, newest first",
            ("id", "rule", "wallet", "from (UTC)", "until (UTC)", "by", "why", "ended"),
            [_row(one) for one in found["suppressions"]],
        )
        if found["more"]:
            print_line("There are more: --limit")


def _what(one: Mapping[str, Any]) -> str:
    kind = f"{one['rule']} alerts" if one["rule"] else "alerts"
    return kind + (f" about {one['subject']}" if one["subject"] else "")


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    ended = "" if one["ended_at"] is None else f"{moment(int(one['ended_at']))} {one['ended_by']}"
    return (
        str(one["id"]),
        one["rule"] or "every",
        one["subject"] or "every",
        moment(int(one["said_at"])),
        moment(int(one["until"])),
        one["by"],
        one["note"],
        ended or ("" if one["holds"] else "over"),
    )
