"""``chainwarden alerts``: from the ledger, or from the process that has it open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chainwarden.asking import ask
from chainwarden.errors import SettingsError
from chainwarden.schema import Severity
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table
from detect.label_lists import parse_address
from store.ledger import AlertFilter


def alerts(
    *,
    config: Path | None,
    flags: Mapping[str, object],
    severity: str | None,
    rule: str | None,
    subject: str | None,
    retracted: bool,
    limit: int,
    json: bool,
) -> None:
    """List alerts, newest first, as a table or as one JSON object with all their fields."""
    settings = load_settings(config, os.environ, flags)
    wanted = AlertFilter(
        rule=rule,
        min_severity=severity_of(severity) if severity else None,
        subject=address_of(subject) if subject else None,
        status="all" if retracted else "active",
        limit=limit,
    )
    with ask(Path(settings.store.out), settings) as asked:
        found = asked.alerts(wanted)
    if json:
        print_json(found)
        return
    rows, total = found["alerts"], found["total"]
    print_table(
        f"{len(rows)} alerts, {total} active in all",
        ("id", "block", "time (UTC)", "severity", "rule", "subject", "what happened"),
        [_row(alert) for alert in rows],
    )
    if rows:
        print_line("All that is known of one: chainwarden explain ID")


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
        raise SettingsError(f"{text!r} is no address: {error}") from error


def _row(alert: Mapping[str, Any]) -> tuple[object, ...]:
    when = datetime.fromtimestamp(alert["block_timestamp"], UTC).strftime("%Y-%m-%d %H:%M:%S")
    status = "" if alert["status"] == "active" else f" [{alert['status']}]"
    return (
        alert["id"][:8],
        str(alert["block_number"]),
        when,
        alert["severity"],
        alert["rule"],
        alert["subject"],
        alert["sentence"] + status,
    )
