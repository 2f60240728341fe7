"""``chainwarden deliveries``: from the ledger, or from the process that has it open."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chainwarden.asking import Asked, ask
from chainwarden.commands.explain import options_of
from chainwarden.errors import SettingsError
from chainwarden.report.words import moment
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table
from store.delivery_answers import EnableWord, LetterFilter, ReplayWord


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done, and about which letters."""

    word: str
    target: str
    receiver: str
    everything: bool
    state: str
    limit: int

    def asked_of(self, asked: Asked) -> dict[str, Any]:
        """The answer. Raises SettingsError for what the command cannot do."""
        if self.word == "list" and not self.target and not self.everything:
            wanted = LetterFilter(self.receiver or None, self.state or None, limit=self.limit)
            return asked.deliveries(wanted)
        if self.word == "replay":
            return asked.replay(ReplayWord(self.target, self.receiver, self.everything))
        if self.word == "enable" and bool(self.target) != bool(self.receiver):
            return asked.enable(EnableWord(self.target or self.receiver))
        raise SettingsError(
            f"deliveries cannot do that: {self.word}",
            hint="list; replay ID, --receiver NAME or --all; enable NAME",
        )


def deliveries(act: Act, *, config: Path | None, flags: Mapping[str, object], json: bool) -> None:
    """List what receivers are still owed, try it again, or enable a receiver."""
    settings = load_settings(config, os.environ, flags)
    with ask(settings) as asked:
        found = act.asked_of(asked)
    if json:
        print_json(found)
    elif act.word == "list":
        _show(found)
    elif act.word == "replay":
        print_line(f"{found['replayed']} letters are tried again from the first attempt")
        for name in found["disabled"]:
            enable = f"chainwarden deliveries enable {shlex.quote(name)}{options_of(settings)}"
            print_line(f"nothing is sent to {name} before: {enable}")
    else:
        print_line(f"{found['receiver']} enabled: {found['waiting']} letters go out now")


def _show(found: dict[str, Any]) -> None:
    print_table(
        f"{len(found['receivers'])} receivers",
        ("receiver", "state", "waiting", "given up", "next attempt (UTC)", "why"),
        [_receiver(one) for one in found["receivers"]],
    )
    print_table(
        f"{len(found['letters'])} letters, oldest first",
        ("id", "receiver", "state", "what", "severity", "tries", "next attempt (UTC)", "why"),
        [_letter(one) for one in found["letters"]],
    )
    if found["more"]:
        print_line("There are more: --limit, --receiver, --state")


def _receiver(one: dict[str, Any]) -> tuple[object, ...]:
    state = "disabled" if one["disabled"] else "failing" if one["failing_since"] else "well"
    since = one["disabled_at"] or one["failing_since"]
    return (
        one["name"],
        state + (f" since {moment(int(since))}" if since else ""),
        one["pending"],
        one["dead"],
        _time(one["next_attempt"]),
        one["reason"],
    )


def _letter(one: dict[str, Any]) -> tuple[object, ...]:
    what = f"{one['rule']} {one['type']}" if one["rule"] else f"{one['alerts']} alerts in a digest"
    return (
        str(one["id"]),
        one["receiver"],
        one["state"],
        what,
        one["severity"],
        one["attempts"],
        _time(one["next_attempt"]),
        one["reason"],
    )


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else moment(int(seconds))
