"""``chainwarden alerts``: from the ledger, or from the process that has it open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from chainwarden.asking import ask
from chainwarden.commands.explain import options_of
from chainwarden.errors import SettingsError
from chainwarden.following import follow
from chainwarden.report.words import moment, short
from chainwarden.schema import Severity
from chainwarden.settings import load_settings
from chainwarden.terminal import (
    SEVERITY_STYLES,
    print_json,
    print_line,
    print_parts,
    print_table,
    print_wrapped,
    width,
)
from detect.label_lists import BadEntry, parse_address, parse_time
from store.ledger import AlertFilter
from store.parameters import YES_OR_NO

WIDE: Final = 120
"""From so many columns on alerts are a table; on narrower terminals each has lines of its own."""

_WHOLE: Final = 170
"""From so many columns on the table has room for a whole address on one line."""

_STATUSES: Final = ("active", "retracted", "all")


@dataclass(frozen=True, slots=True)
class AlertWords:
    """Which alerts are asked for, as the command line says it."""

    severity: str | None = None
    rule: str | None = None
    subject: str | None = None
    label: str | None = None
    since: str | None = None
    until: str | None = None
    status: str = "active"
    acknowledged: str | None = None
    limit: int = 50

    def filter(self) -> AlertFilter:
        """The filter. Raises SettingsError for what cannot be one."""
        if self.status not in _STATUSES:
            raise SettingsError(f"no such status: {self.status[:64]!r}", hint=", ".join(_STATUSES))
        if self.acknowledged not in (None, *YES_OR_NO):
            raise SettingsError(
                f"--acknowledged {self.acknowledged[:64]!r}", hint=" or ".join(YES_OR_NO)
            )
        since, until = time_of("--since", self.since), time_of("--until", self.until)
        if since is not None and until is not None and since >= until:
            raise SettingsError(
                f"--until {self.until} is not after --since {self.since}",
                hint="block times, --since included, --until not",
            )
        return AlertFilter(
            rule=self.rule,
            min_severity=severity_of(self.severity) if self.severity else None,
            subject=address_of(self.subject) if self.subject else None,
            label=self.label,
            since=since,
            until=until,
            status=cast(Literal["active", "retracted", "all"], self.status),
            acknowledged=None if self.acknowledged is None else self.acknowledged == YES_OR_NO[0],
            limit=self.limit,
        )


def alerts(
    words: AlertWords,
    *,
    following: bool,
    config: Path | None,
    flags: Mapping[str, object],
    json: bool,
) -> None:
    """List alerts, newest first, as a table or as one JSON object with all their fields.

    ``following``: then tell what comes, oldest first, an alert a line, until a signal comes.
    """
    if following and words.acknowledged is not None:
        raise SettingsError("--follow takes no --acknowledged", hint="what comes, nobody has yet")
    settings = load_settings(config, os.environ, flags)
    wanted = words.filter()
    if following:
        follow(settings, wanted, _tell_json if json else _tell)
    with ask(settings) as asked:
        found = asked.alerts(wanted)
    if json:
        print_json(found)
        return
    rows, total = found["alerts"], found["total"]
    title = f"{len(rows)} alerts, {total} active in all"
    if width() < WIDE:
        print_line(title)
        _tell(rows)
    else:
        print_table(
            title,
            ("id", "block", "time (UTC)", "severity", "rule", "subject", "what happened"),
            [_row(alert) for alert in rows],
            styles={"severity": SEVERITY_STYLES},
        )
    if rows:
        print_line(f"All that is known of one: chainwarden explain ID{options_of(settings)}")


def severity_of(text: str) -> Severity:
    """The severity with that name."""
    try:
        return Severity[text.upper()]
    except KeyError:
        known = ", ".join(level.text for level in Severity)
        raise SettingsError(f"no such severity: {text}", hint=known) from None


def address_of(text: str) -> bytes:
    """The 20 bytes of an address a person typed."""
    try:
        return parse_address(text)
    except ValueError as error:
        raise SettingsError(
            f"{text[:64]!r} is no address: {error}", hint="0x and 40 hex digits"
        ) from error


def time_of(option: str, text: str | None) -> int | None:
    """Seconds since 1970 of a time a person typed, None where there is none."""
    try:
        return parse_time(text or "")
    except BadEntry as error:
        raise SettingsError(f"{option}: {error}", hint="2026-01-31, or unix seconds") from error


def _tell(news: list[dict[str, Any]]) -> None:
    """Two lines for each alert, the second one what happened."""
    for alert in news:
        status = f"  {said}" if (said := _status(alert)) else ""
        print_parts(
            (f"{alert['id'][:8]}  {moment(alert['block_timestamp'])}  ", ""),
            (alert["severity"], SEVERITY_STYLES.get(alert["severity"], "")),
            (f"  {alert['rule']}", "bold"),
            (status, "bold magenta"),
        )
        sentence, subject = alert["sentence"], alert["subject"]
        print_wrapped(sentence if subject in sentence else f"{subject}: {sentence}", "    ")


def _tell_json(news: list[dict[str, Any]]) -> None:
    for alert in news:
        print_json(alert)


def _row(alert: Mapping[str, Any]) -> tuple[object, ...]:
    status = f" [{said}]" if (said := _status(alert)) else ""
    return (
        alert["id"][:8],
        str(alert["block_number"]),
        moment(alert["block_timestamp"]),
        alert["severity"],
        alert["rule"],
        alert["subject"] if width() >= _WHOLE else _short(alert["subject"]),
        _brief(alert) + status,
    )


def _status(alert: Mapping[str, Any]) -> str:
    """What is to be said of an alert that is not as it was raised, or that somebody has in hand."""
    said = []
    if alert["status"] != "active":
        why = alert["retraction_reason"]
        said.append("taken back" + (f": {why}" if why else ""))
    if in_hand := alert["acknowledged"]:
        said.append(f"in hand: {in_hand['by'] or 'somebody'}")
    if alert["suppressed_until"] is not None:
        said.append("suppressed")
    return ", ".join(said)


def _brief(alert: Mapping[str, Any]) -> str:
    """The sentence, with the ends of the subject's address, which has a column of its own."""
    subject = alert["subject"]
    return str(alert["sentence"].replace(subject, _short(subject)))


def _short(address: str) -> str:
    return short(bytes.fromhex(address[2:]))
