"""A ledger that is asked over HTTP and changed by nobody, one for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chainwarden.schema import ETHEREUM
from store.ledger import AlertFilter, Ledger
from tests.store.asking import Client, fill, serving


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """One ledger for all tests that change nothing in it."""
    path = tmp_path_factory.mktemp("untouched") / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as opened:
        fill(opened)
        yield opened
        assert len(opened.alerts(AlertFilter(status="all"))) == 12
        assert opened.labels() == []


@pytest.fixture(scope="module")
def reader(untouched: Ledger) -> Iterator[Client]:
    """Asks a server on loopback without a token, changing nothing."""
    with serving(untouched) as server:
        yield Client(server)
