"""A report's alerts as CSV, one row each, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Final

from chainwarden.report.facts import Report
from chainwarden.report.words import amount_text, moment, plain
from chainwarden.schema import Alert, hex_of

COLUMNS: Final = (
    "id", "block_number", "block_time_utc", "severity", "rule", "typology", "score", "subject",
    "role", "transaction_hash", "sentence", "reasons", "evidence_transactions",
    "evidence_addresses", "evidence_amounts", "evidence_path", "difference", "severity_there",
)  # fmt: skip
"""Lists within a cell are separated by semicolons."""

_FORMULA: Final = ("=", "+", "-", "@")
_CELL: Final = 32_000  # a spreadsheet's cell has room for 32,767 characters


def defused(cell: str) -> str:
    """The cell, as text where a spreadsheet would take it for a formula, cut where it has an end.

    >>> defused("=1+1"), defused(" @x"), defused("0x12")
    ("'=1+1", "' @x", '0x12')
    """
    if len(cell) > _CELL:
        cell = cell[: _CELL - 1] + "…"
    return f"'{cell}" if cell.lstrip().startswith(_FORMULA) else cell


def to_csv(report: Report) -> str:
    """All active alerts, oldest first, with the full exact evidence.

    Compared with another replay, ``difference`` is ``same``, ``only here``, ``only there`` (these
    rows come last) or ``severity``, for which ``severity_there`` gives the other.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for alert, difference, there in _alerts(report):
        writer.writerow(defused(plain(cell)) for cell in (*_cells(alert), difference, there))
    return text.getvalue()


def _alerts(report: Report) -> Iterator[tuple[Alert, str, str]]:
    difference = report.difference
    if difference is None:
        yield from ((alert, "", "") for alert in report.alerts)
        return
    new = {alert.id for alert in difference.only_here}
    changed = {here.id: there for there, here in difference.changed}
    for alert in report.alerts:
        if alert.id in new:
            yield alert, "only here", ""
        elif alert.id in changed:
            yield alert, "severity", changed[alert.id].severity.text
        else:
            yield alert, "same", alert.severity.text
    yield from ((alert, "only there", alert.severity.text) for alert in difference.only_there)


def _cells(alert: Alert) -> tuple[str, ...]:
    evidence = alert.evidence
    return (
        alert.id,
        str(alert.position.number),
        moment(alert.block_timestamp),
        alert.severity.text,
        alert.rule,
        alert.typology,
        repr(alert.score),
        hex_of(alert.subject) or "",
        alert.role.value,
        hex_of(alert.transaction_hash) or "",
        alert.sentence,
        "; ".join(f"{reason.feature}={reason.value!r}" for reason in alert.reasons),
        "; ".join(f"0x{one.hex()}" for one in evidence.transactions),
        "; ".join(f"0x{one.hex()}" for one in evidence.addresses),
        "; ".join(amount_text(token, units) for token, units in evidence.amounts),
        "; ".join(
            f"{hex_of(hop.sender)} > {hex_of(hop.receiver)} {amount_text(hop.token, hop.amount)}"
            for hop in evidence.path
        ),
    )
