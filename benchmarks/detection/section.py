"""A table of figures with what must be known to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from chainwarden.terminal import print_line, print_table

DATA: Final = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Real streams and lists, kept beside the project and never in it."""

Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Section:
    """One table. ``notes`` say what was measured; ``skipped`` why there is nothing to show."""

    key: str
    title: str
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[Cell, ...]] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    skipped: str = ""

    def to_dict(self) -> dict[str, object]:
        """The JSON object: a row is an object by column name."""
        return {
            "key": self.key,
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "notes": list(self.notes),
            "seconds": self.seconds,
            "skipped": self.skipped,
        }

    def show(self) -> None:
        """Print it for a person."""
        if self.skipped:
            print_line(f"{self.title}: left out, {self.skipped}")
            return
        print_line(self.title)
        print_table("", self.columns, [tuple(map(_shown, row)) for row in self.rows])
        for note in self.notes:
            print_line(f"  {note}")
        print_line(f"  {self.seconds:,.0f} s\n")


def _shown(cell: Cell) -> str:
    if cell is None:
        return "–"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3f}"
    return f"{cell:,}" if isinstance(cell, int) else cell
