"""What a person sees: progress bars, tables, one-line errors; or one JSON object for a script.

Results go to stdout, everything else to stderr. Colour and bars only on a terminal. Text may be a
stranger's: what would drive the terminal, hide, break the line or turn it around is shown instead.
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Protocol

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from chainwarden.errors import ChainwardenError
from chainwarden.logs import escaped

LONGEST_CELL: Final = 1000
"""So many characters of a table's cell are shown; JSON has the rest."""

ELSEWHERE: Final = 140
"""Columns of what is no terminal: a file, a pipe."""

SEVERITY_STYLES: Final = {
    "critical": "bold red", "high": "red", "medium": "yellow", "low": "blue", "info": "dim",
}  # fmt: skip


class Advance(Protocol):
    """Says how far a long piece of work is."""

    def __call__(self, done: int, rate: str = "") -> None:
        """``done`` steps are done; ``rate`` is shown beside the bar."""
        ...


def print_json(value: Mapping[str, object] | Sequence[object]) -> None:
    """One JSON object, or one list, on a line of stdout; what cannot be printed as its escape."""
    text = msgspec.json.encode(value).decode()
    if not text.isprintable():  # only within strings: what is between them can be printed
        text = "".join(c if c.isprintable() else _json_escape(c) for c in text)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_outcome(outcome: Mapping[str, object], json: bool) -> None:
    """What a command came to, on stdout: one JSON object, or for a person a line for each value."""
    if json:
        print_json(outcome)
        return
    for name, value in outcome.items():
        print_line(f"{name.replace('_', ' ')}: {value}")


def print_line(text: str) -> None:
    """A line for a person, on stdout."""
    Console(highlight=False, soft_wrap=True, emoji=False).print(escaped(text), markup=False)


def print_parts(*parts: tuple[str, str]) -> None:
    """A line for a person, on stdout, of texts each with a style of its own on a terminal."""
    line = Text.assemble(*((escaped(text), style) for text, style in parts))
    Console(highlight=False, soft_wrap=True, emoji=False).print(line)


def print_wrapped(text: str, indent: str) -> None:
    """Text for a person, on stdout: on a terminal as lines of its width, else as one line."""
    room = width() if sys.stdout.isatty() else 0
    shown = escaped(text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…")
    lines = textwrap.wrap(shown, max(20, room - len(indent))) if room else [shown]
    for line in lines:
        print_line(indent + line)


def width() -> int:
    """The columns of stdout."""
    return Console().width if sys.stdout.isatty() else ELSEWHERE


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def print_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    styles: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """A table for a person, on stdout, as wide as the terminal at most; numbers to the right.

    ``styles`` are those of some words of some columns, on a terminal.
    """
    table = Table(title=escaped(title), title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        numeric = rows and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    named = [(styles or {}).get(name, {}) for name in columns]
    for row in rows:
        cells = zip(map(_cell, row), named, strict=True)
        table.add_row(*(Text(cell, words.get(cell, "")) for cell, words in cells))
    Console(width=width(), markup=False, emoji=False, highlight=False).print(table)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    text = str(value)
    return escaped(text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…")


def print_error(error: ChainwardenError) -> None:
    """One line on stderr: what is wrong, and what to do."""
    console = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
    console.print(f"chainwarden: {escaped(str(error))}", markup=False, style="red")


@contextmanager
def progress(title: str, total: int | None, quiet: bool) -> Iterator[Advance]:
    """A progress bar of blocks on stderr where that is a terminal; otherwise a line now and then.

    With the rate, and, where the ``total`` is known, the time that is left.
    """
    if quiet:
        yield _silent
        return
    if not sys.stderr.isatty():
        yield _lines(title, total)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        *(() if total is None else (TimeRemainingColumn(), TextColumn("left"))),
    )
    began = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, rate="")

        def advance(done: int, rate: str = "") -> None:
            seconds = max(1e-9, time.monotonic() - began)
            bar.update(task, completed=done, rate=rate or f"{done / seconds:,.1f} blocks/s")

        yield advance


def _silent(done: int, rate: str = "") -> None:
    """Progress that nobody asked for."""


def _lines(title: str, total: int | None) -> Advance:
    """Progress for a log: a line at each tenth."""
    shown = 0

    def advance(done: int, rate: str = "") -> None:
        nonlocal shown
        step = max(1, (total or 0) // 10) if total else 100_000
        if done // step > shown:
            shown = done // step
            of = f" of {total:,}" if total else ""
            sys.stderr.write(f"{title}: {done:,}{of} {rate}\n")
            sys.stderr.flush()

    return advance
