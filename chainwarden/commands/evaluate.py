"""``chainwarden evaluate``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from chainwarden.errors import SettingsError
from chainwarden.evaluation import Evaluation
from chainwarden.evaluation import evaluate as run_evaluation
from chainwarden.report.evaluation import EvaluationPage, to_html
from chainwarden.settings import configured_chain, load_settings
from chainwarden.terminal import print_error, print_json, print_line, print_table, progress
from detect.curves import Curve
from detect.evaluate import ALERT_PRECISION, Window
from detect.label_lists import BadEntry, parse_time
from ingest.files import count_blocks
from store.durable import replace_file

WIDTH: Final = 60
HEIGHT: Final = 15


def evaluate(
    stream: Path,
    *,
    config: Path | None,
    flags: Mapping[str, object],
    labels: Path,
    window: str,
    label_delay_days: int,
    batch_blocks: int,
    html: Path | None,
    json: bool,
) -> None:
    """Evaluate, show the figures and the curve, and write the page where one is wanted."""
    settings = load_settings(config, os.environ, flags)
    if html is not None and (html.is_dir() or not html.parent.is_dir()):
        raise SettingsError(f"{html}: no file can be written there", hint="give --html a file")
    judged = parse_window(window)

    total = None if json else count_blocks(stream, configured_chain(settings))
    with progress("evaluate", total, quiet=json) as advance:
        result = run_evaluation(
            stream,
            labels,
            judged,
            settings,
            label_delay_days=label_delay_days,
            batch_blocks=batch_blocks,
            on_rejected=print_error,
            advance=advance,
        )
    notes = notes_of(result)
    if html is not None:
        page = EvaluationPage(
            stream.name, judged, label_delay_days, result.figures, result.to_dict(), notes
        )
        with replace_file(html) as temporary:
            temporary.write_bytes(to_html(page).encode("utf-8", "replace"))
    if json:
        print_json(result.to_dict() | ({} if html is None else {"html": str(html)}))
        return
    show(result)
    for note in notes:
        print_line(note)
    if html is not None:
        print_line(f"page  {html}")


def notes_of(result: Evaluation) -> tuple[str, ...]:
    """What a reader of the figures must know first."""
    found, notes = result.figures, []
    if found.unscored == found.wallets:
        notes.append("The model was warming up all the time: no wallet has a verdict.")
    elif found.unscored:
        notes.append(f"Wallets without a verdict, as the model was warming up: {found.unscored:,}.")
    if found.alert_threshold is None:
        notes.append(
            "There were no alerts: no threshold had a precision of"
            f" {ALERT_PRECISION} in the 30 days before the window."
        )
    if result.unknown_labels:
        notes.append(f"Labelled wallets that are not in the stream: {result.unknown_labels:,}.")
    if result.contradictory_labels:
        notes.append(
            "Wallets called phishing and harmless, judged as phishing:"
            f" {result.contradictory_labels:,}."
        )
    if result.rejected_labels:
        notes.append(f"Lines of the label list that are no labels: {result.rejected_labels:,}.")
    return tuple(notes)


def parse_window(text: str) -> Window:
    """A window from ``START:END``, each a date or unix seconds. Raises SettingsError."""
    hint = "as in 2018-04-01:2018-08-01, from the first day on, before the second"
    start, colon, end = text.partition(":")
    # A bare 2018 or 20180401 would be read as seconds, in 1970.
    bare = any(part.strip().isdigit() and len(part.strip()) <= 8 for part in (start, end))
    if not colon or ":" in end or bare:
        raise SettingsError(f"--window {text!r} is not START:END", hint=hint)
    try:
        times = parse_time(start), parse_time(end)
    except BadEntry as error:
        raise SettingsError(f"--window {text!r}: {error}", hint=hint) from error
    if times[0] is None or times[1] is None:
        raise SettingsError(f"--window {text!r} lacks a date", hint=hint)
    if times[0] >= times[1]:
        raise SettingsError(f"--window {text!r} ends before it starts", hint=hint)
    return Window(times[0], times[1])


def show(result: Evaluation) -> None:
    """The figures for a person."""
    rows = []
    for name, value in result.to_dict().items():
        shown = f"{value:.4f}" if isinstance(value, float) else value
        rows.append((name.replace("_", " "), shown))
    print_table("Evaluation", ("", ""), rows)
    print_line("Precision over recall")
    for line in drawn(result.figures.curve, WIDTH, HEIGHT):
        print_line(line)


def drawn(curve: Curve, width: int, height: int) -> list[str]:
    """A precision-recall curve as lines of text: recall to the right, precision up.

    Shown at each recall is the best precision with at least that recall.
    """
    recall = (np.arange(width) + 0.5) / width
    best = np.maximum.accumulate(curve.precision[::-1])[::-1]
    precision = best[np.searchsorted(curve.recall, recall)]
    level = np.minimum(height - 1, (precision * height).astype(np.int64))
    lines = []
    for row in range(height - 1, -1, -1):
        label = {height - 1: "1.0", 0: "0.0"}.get(row, "")
        cells = "".join("•" if at == row else " " for at in level.tolist())
        lines.append(f"{label:>4} ┤{cells}".rstrip())
    lines.append(f"{'':>4} └{'─' * width}")
    lines.append(f"{'':>4} 0.0{'recall':^{width - 5}}1.0")
    return lines
