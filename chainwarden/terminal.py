"""What a person sees: progress bars, tables, one-line errors; or one JSON object for a script.

Results go to stdout, everything else to stderr. Colour and bars only on a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from chainwarden.errors import ChainwardenError


class Advance(Protocol):
    """Says how far a long piece of work is."""

    def __call__(self, done: int, rate: str = "") -> None:
        """``done`` steps are done; ``rate`` is shown beside the bar."""
        ...


def print_json(value: Mapping[str, object] | Sequence[object]) -> None:
    """One JSON object, or one list, on a line of stdout."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def print_line(text: str) -> None:
    """A line for a person, on stdout."""
    Console(highlight=False, soft_wrap=True).print(text, markup=False)


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for a person, on stdout; numbers to the right."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for index, name in enumerate(columns):
        numeric = rows and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.2f}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def print_error(error: ChainwardenError) -> None:
    """One line on stderr: what is wrong, and what to do."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"chainwarden: {error}", markup=False, style="red")


@contextmanager
def progress(title: str, total: int | None, quiet: bool) -> Iterator[Advance]:
    """A progress bar on stderr where that is a terminal; otherwise a line now and then."""
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
        TimeRemainingColumn(),
        TextColumn("{task.fields[rate]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, rate="")
        yield lambda done, rate="": bar.update(task, completed=done, rate=rate)


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
