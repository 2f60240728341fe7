"""The benchmarks by name, what one measures, and the one table of it all.

Every figure is a ratio against a named baseline, measured in the same run: absolute figures say
more about the machine than about the code.
"""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import platform
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from typing import Final

from chainwarden.errors import SettingsError
from chainwarden.terminal import print_line, print_table

log = logging.getLogger(__name__)

BENCHMARKS: Final = (
    "half_space_trees",
    "detector",
    "plain",
    "intake",
    "replay",
    "startup",
    "rules",
    "memory",
    "growth",
    "kafka",
    "live",
)
"""Every benchmark: a module of this package with a ``run``, in the order of the table."""

COLUMNS: Final = ("what", "measured", "unit", "baseline", "its", "ratio", "asked", "difference")


@dataclass(frozen=True, slots=True)
class Result:
    """One line of the table.

    ``value`` is ours and ``baseline_value`` the baseline's, both in ``unit``; more is better, or
    less where ``less_is_better``. ``asked`` is the value that is at least asked for (at most, where
    less is better), ``asked_ratio`` the least ``ratio``. ``difference`` is the largest difference
    between the two outputs, where they should be equal.
    """

    benchmark: str
    what: str
    unit: str
    value: float
    baseline: str = ""
    baseline_value: float | None = None
    less_is_better: bool = False
    asked: float | None = None
    asked_ratio: float | None = None
    difference: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as good as the baseline.

        >>> Result("a", "b", "rows/s", 30.0, "c", 10.0).ratio
        3.0
        >>> Result("a", "b", "s", 1.0, "c", 4.0, less_is_better=True).ratio
        4.0
        """
        if not self.baseline_value or not self.value:
            return None
        ratio = self.value / self.baseline_value
        return 1 / ratio if self.less_is_better else ratio

    @property
    def met(self) -> bool | None:
        """Whether all that is asked for is reached; None where nothing is.

        >>> Result("a", "b", "s", 1.0, "c", 4.0, less_is_better=True, asked=2.0, asked_ratio=5).met
        False
        """
        said = []
        if self.asked is not None:
            enough = self.value <= self.asked if self.less_is_better else self.value >= self.asked
            said.append(enough)
        if self.asked_ratio is not None:
            said.append(self.ratio is not None and self.ratio >= self.asked_ratio)
        return all(said) if said else None

    def to_dict(self) -> dict[str, object]:
        """The JSON object."""
        return asdict(self) | {"ratio": self.ratio, "met": self.met}

    def cells(self) -> tuple[str, ...]:
        """The line of the table, as text, in the order of ``COLUMNS``."""
        asked = [] if self.asked is None else [_shown(self.asked)]
        asked += [] if self.asked_ratio is None else [f"{_shown(self.asked_ratio)} x"]
        met = {None: "–", True: "met: ", False: "MISSED: "}[self.met]
        return (
            self.what,
            _shown(self.value),
            self.unit,
            self.baseline or "–",
            _shown(self.baseline_value),
            "–" if self.ratio is None else f"{_shown(self.ratio)} x",
            met + ", ".join(asked),
            "–" if self.difference is None else str(self.difference),
        )


def _shown(number: float | None) -> str:
    """Three digits that count.

    >>> _shown(1421907.3), _shown(29.555), _shown(0.02694), _shown(None)
    ('1,420,000', '29.6', '0.0269', '–')
    """
    if number is None:
        return "–"
    short = float(f"{number:.3g}")
    return f"{short:,.0f}" if abs(short) >= 100 else f"{short:.3g}"


def run_benchmarks(names: Sequence[str]) -> list[Result]:
    """Run those named, or all, each in a process of its own: none warms or fills another's caches.

    Raises SettingsError for one there is not. Of all, those that fail are missing, and logged.
    """
    for name in names:
        if name not in BENCHMARKS:
            hint = f"there are {', '.join(BENCHMARKS)}"
            raise SettingsError(f"no such benchmark: {name}", hint=hint)
    results = []
    for name in names or BENCHMARKS:
        sys.stderr.write(f"{name} …\n")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as child:
            try:
                results += child.submit(_run, name).result()
            except Exception:
                if names:
                    raise
                log.exception("%s failed: the table is without it", name)
    return results


def _run(name: str) -> list[Result]:
    run: Callable[[], list[Result]] = importlib.import_module(f"benchmarks.{name}").run
    return run()


def machine() -> str:
    """The machine that the figures are of."""
    return f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}"


def print_results(results: Sequence[Result]) -> None:
    """One table, with the machine it was made on."""
    print_line(machine())
    print_table("Benchmarks", COLUMNS, [result.cells() for result in results])
