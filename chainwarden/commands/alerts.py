"""``chainwarden alerts``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from chainwarden.errors import SettingsError
from chainwarden.ledgers import open_ledger
from chainwarden.schema import Severity, alert_to_dict, hex_of
from chainwarden.settings import load_settings
from chainwarden.terminal import print_json, print_line, print_table
from detect.label_lists import parse_address
from store.ledger import AlertFilter, AlertRecord


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
    with open_ledger(Path(settings.store.out), settings) as ledger:
        records = ledger.records(wanted)
        counts = ledger.alert_counts()
        labels = {
            record.alert.subject: [label.label for label in ledger.labels(record.alert.subject)]
            for record in records
        }
    total = sum(n for (_, _, status), n in counts.items() if status == "active")
    if json:
        rows = [_to_dict(record, labels[record.alert.subject]) for record in records]
        print_json({"total": total, "alerts": rows})
        return
    print_table(
        f"{len(records)} alerts, {total} active in all",
        ("block", "time (UTC)", "severity", "rule", "subject", "what happened"),
        [_row(record) for record in records],
    )
    if records:
        print_line("One with everything: chainwarden alerts --json --subject ADDRESS")


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


def _to_dict(record: AlertRecord, labels: list[str]) -> dict[str, object]:
    return {**alert_to_dict(record.alert), "status": record.status, "labels": labels}


def _row(record: AlertRecord) -> tuple[object, ...]:
    alert = record.alert
    when = datetime.fromtimestamp(alert.block_timestamp, UTC).strftime("%Y-%m-%d %H:%M:%S")
    status = "" if record.status == "active" else f" [{record.status}]"
    return (
        str(alert.position.number),
        when,
        alert.severity.text,
        alert.rule,
        hex_of(alert.subject),
        alert.sentence + status,
    )
