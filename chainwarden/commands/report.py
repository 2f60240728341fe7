"""``chainwarden report``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from chainwarden.errors import SettingsError
from chainwarden.ledgers import open_ledger
from chainwarden.replay import every_alert
from chainwarden.report.facts import Report
from chainwarden.report.gather import Wanted, gather
from chainwarden.report.html import to_html
from chainwarden.report.markdown import to_markdown
from chainwarden.report.rows import to_csv
from chainwarden.schema import Alert
from chainwarden.scorecard import read_truth
from chainwarden.settings import Settings, load_settings
from chainwarden.terminal import print_json, print_line
from store.durable import replace_file

FORMATS: Final[dict[str, tuple[str, Callable[[Report], str]]]] = {
    "html": ("html", to_html),
    "markdown": ("md", to_markdown),
    "csv": ("csv", to_csv),
}
"""By name: the ending of the file, and what writes it."""


def report(
    out: Path,
    *,
    config: Path | None,
    flags: Mapping[str, object],
    truth: Path | None,
    against: Path | None,
    cases: int,
    form: str,
    output: Path | None,
    json: bool,
) -> None:
    """Write a report about the results in ``out``, and say where it is.

    Raises SettingsError where ``out`` holds no results or there is no such format, LedgerLocked
    while another process writes there, FileFormatError where the truth file is none.
    """
    if form not in FORMATS:
        raise SettingsError(f"no such format: {form}", hint=", ".join(FORMATS))
    ending, write = FORMATS[form]
    settings = load_settings(config, os.environ, flags)
    campaigns = read_truth(truth) if truth else None
    with open_ledger(out, settings) as ledger:
        other = _other(against, settings, ledger.chain.id) if against else None
        with ledger.reading():
            facts = gather(_name(out), ledger, out / "lake", Wanted(cases, campaigns, other))
    path = output or out / f"report.{ending}"
    # A lone surrogate has no form in UTF-8.
    text = write(facts).encode("utf-8", "replace")
    with replace_file(path) as temporary:
        temporary.write_bytes(text)
    if json:
        print_json({"path": str(path), "format": form, "bytes": len(text), **_counts(facts)})
        return
    for note in facts.notes:
        print_line(note)
    summary = facts.summary
    print_line(
        f"{summary.alerts:,} alerts in {facts.case_count:,} cases, of {summary.flows:,} flows"
    )
    print_line(f"report ({form})  {path}")


def _name(out: Path) -> str:
    """What a person calls the folder: its name, and its parent's where it has one."""
    whole = out.resolve()
    return "/".join(part for part in whole.parts[-2:] if part != "/")


def _other(path: Path, settings: Settings, chain_id: int) -> tuple[str, list[Alert]]:
    with open_ledger(path, settings) as ledger, ledger.reading():
        if ledger.chain.id != chain_id:
            raise SettingsError(
                f"{path} is of chain {ledger.chain.id}, not {chain_id}",
                hint="compare replays of one chain",
            )
        return _name(path), every_alert(ledger)


def _counts(facts: Report) -> dict[str, object]:
    summary = facts.summary
    counts: dict[str, object] = {
        "blocks": summary.blocks,
        "verified_blocks": summary.verified_blocks,
        "transactions": summary.transactions,
        "flows": summary.flows,
        "wallets": summary.wallets,
        "alerts": summary.alerts,
        "retracted": summary.retracted,
        "cases": facts.case_count,
        "notes": list(facts.notes),
    }
    if facts.difference is not None:
        counts["difference"] = {
            "against": facts.difference.name,
            "same": facts.difference.same,
            "only_here": len(facts.difference.only_here),
            "only_there": len(facts.difference.only_there),
            "changed_severity": len(facts.difference.changed),
        }
    return counts
