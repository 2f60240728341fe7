"""Run the benchmarks and print one table: ``make bench``.

After a run of all of them the table is kept in ``benchmarks/RESULTS.md``, with its commit.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.table import COLUMNS, Result, machine, print_results, run_benchmarks
from chainwarden.garbage import collect_seldom

KEPT = Path(__file__).parent / "RESULTS.md"


def kept(results: Sequence[Result], commit: str, day: str) -> str:
    """The table as Markdown, with what it was measured on."""
    rows = [COLUMNS, tuple("---" for _ in COLUMNS), *(result.cells() for result in results)]
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`. Every figure is the median of several runs, beside a named",
            "baseline that ran on the same machine within the same run; a ratio is how many times",
            "as good as the baseline ours is.",
            "",
            f"Commit {commit}, {day}, {machine()}.",
            "",
            *lines,
            "",
        ]
    )


def _commit() -> str:
    """The commit that is checked out, and whether more than the kept table differs from it."""
    git = ["git", "-C", str(KEPT.parent)]
    head = subprocess.check_output([*git, "rev-parse", "--short", "HEAD"], text=True).strip()
    changed = subprocess.check_output([*git, "status", "--porcelain", "-uno"], text=True)
    others = [line for line in changed.splitlines() if not line.endswith(KEPT.name)]
    return f"{head} with changes" if others else head


def main(names: Sequence[str]) -> None:
    """Run those named, or all, which is kept."""
    collect_seldom()  # as every command does
    results = run_benchmarks(names)
    print_results(results)
    if not names:
        KEPT.write_text(kept(results, _commit(), datetime.now(UTC).date().isoformat()))


if __name__ == "__main__":
    main(sys.argv[1:])
