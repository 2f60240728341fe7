"""What tests measured, told at the end of the run, whichever process measured it.

What a passed test prints is captured, and in a process of pytest-xdist lost: a figure is not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

FIGURE: Final = "figure"

Tell = Callable[[str], None]


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Tell:
    """Have a line told under "figures" when all tests are done, with the test's file before it."""
    return lambda line: record_property(FIGURE, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell the figures, by file; those of a failed test say so."""
    reports = [r for name in ("passed", "failed") for r in terminalreporter.getreports(name)]
    lines = sorted(
        f"{report.nodeid.partition('::')[0]}: {figure}{' (FAILED)' * report.failed}"
        for report in reports
        for name, figure in report.user_properties
        if name == FIGURE
    )
    if lines:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)
