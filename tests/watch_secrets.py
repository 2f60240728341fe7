"""Looks through all that any test captured, output and log, for the secrets of the whole suite."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.rigs.canaries import leaked


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that passed while something printed or logged a secret has failed."""
    report = yield
    del call
    found = {name: secrets for name, text in report.sections if (secrets := leaked(text))}
    if found and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: secrets were put out: {found}"
    return report
