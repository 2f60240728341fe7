"""Our wallet risk model beside the reference models, on one protocol and one judge."""

from __future__ import annotations

import sys
import time
from dataclasses import replace

from benchmarks.detection.references import REFERENCES, SLOW
from benchmarks.detection.section import Cell, Section
from benchmarks.detection.stream import (
    NO_DATA,
    STREAM,
    WINDOW,
    Scored,
    read_phishing,
    read_stream,
    score,
)
from detect.evaluate import Figures, figures

TITLE = "Wallet risk: first seen 2018-04-01 to 2018-08-01, labels 30 days late"
COLUMNS = (
    "model", "AP", "AUROC", "best F1", "R at P 0.9", "VS per wallet", "VS pooled", "alert P",
    "alert R", "seconds",
)  # fmt: skip


def section(quick: bool) -> Section:
    """The table; ``quick`` leaves out what takes minutes."""
    if not STREAM.exists():
        return Section("wallets", TITLE, skipped=NO_DATA)
    began = time.perf_counter()
    scored = score(read_stream(), read_phishing())
    rows = [line("chainwarden, as it ships, online", judged(scored), scored.risk_seconds)]
    left_out = []
    for name, reference in REFERENCES.items():
        if quick and name in SLOW:
            left_out.append(name)
            continue
        sys.stderr.write(f"  {name} …\n")
        started = time.perf_counter()
        scores = reference(scored.rows, WINDOW)
        seconds = time.perf_counter() - started
        risks = scored.rows.risks(scores, len(scored.record.at))
        other = replace(scored, record=replace(scored.record, risks=risks))
        rows.append(line(name, judged(other), seconds))
    found = judged(scored)
    notes = [
        f"{found.wallets:,} wallets, {found.positives:,} phishing, {len(scored.record.at):,} flows,"
        f" {len(scored.rows):,} milestones of wallets; the whole detector took"
        f" {scored.seconds:.1f} s",
        "seconds: learning and scoring; ours of all wallets, the others' of those judged",
        "VS: share of what phishing wallets received that came after their first alert",
    ]
    if left_out:
        notes.append(f"left out as slow: {', '.join(left_out)}")
    return Section("wallets", TITLE, COLUMNS, rows, tuple(notes), time.perf_counter() - began)


def judged(scored: Scored) -> Figures:
    """The figures of the window."""
    return figures(scored.record, scored.phishing, WINDOW)


def line(name: str, found: Figures, seconds: float) -> tuple[Cell, ...]:
    """A row of the table."""
    return (
        name,
        found.average_precision,
        found.auroc,
        found.best_f1,
        found.recall_at_precision_0_9,
        found.value_saved_per_wallet,
        found.value_saved,
        found.alert_precision,
        found.alert_recall,
        seconds,
    )
