"""The benchmarks by name, and the one table they print.

Every figure is a ratio against a named baseline, measured in the same run: absolute times say more
about the machine than about the code.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chainwarden.errors import SettingsError
from chainwarden.terminal import print_line, print_table


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    ``rate`` is ours and ``baseline_rate`` the baseline's, both in ``unit`` (a rate, more is
    better). ``difference`` is the largest difference between the two outputs, where they should be
    equal.
    """

    benchmark: str
    what: str
    unit: str
    rate: float
    baseline: str = ""
    baseline_rate: float | None = None
    difference: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours over the baseline's."""
        return self.rate / self.baseline_rate if self.baseline_rate else None

    def to_dict(self) -> dict[str, object]:
        """The JSON object."""
        return {
            "benchmark": self.benchmark,
            "what": self.what,
            "unit": self.unit,
            "rate": self.rate,
            "baseline": self.baseline,
            "baseline_rate": self.baseline_rate,
            "ratio": self.ratio,
            "difference": self.difference,
        }


def benchmarks() -> dict[str, Callable[[], list[Result]]]:
    """Every benchmark by its name."""
    from benchmarks import detector, half_space_trees, intake, replay

    return {
        "half_space_trees": half_space_trees.run,
        "detector": detector.run,
        "intake": intake.run,
        "replay": replay.run,
    }


def run_benchmarks(names: Sequence[str]) -> list[Result]:
    """Run those named, or all. Raises SettingsError for one there is not."""
    known = benchmarks()
    for name in names:
        if name not in known:
            raise SettingsError(f"no such benchmark: {name}", hint=f"there are {', '.join(known)}")
    results = []
    for name in names or known:
        sys.stderr.write(f"{name} …\n")
        results += known[name]()
    return results


def print_results(results: Sequence[Result]) -> None:
    """One table, with the machine it was made on."""
    print_line(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"
    )
    print_table(
        "Benchmarks: medians of several runs",
        ("what", "rate", "unit", "baseline", "its rate", "ratio", "largest difference"),
        [
            (
                result.what,
                f"{result.rate:,.0f}",
                result.unit,
                result.baseline or "–",
                "–" if result.baseline_rate is None else f"{result.baseline_rate:,.0f}",
                "–" if result.ratio is None else f"{result.ratio:,.3g}",
                "–" if result.difference is None else str(result.difference),
            )
            for result in results
        ],
    )
