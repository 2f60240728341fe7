"""The lock on a ledger as a lease: who lost it commits nothing and delivers nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chainwarden.errors import LeaseLost, LedgerLocked
from chainwarden.schema import ETHEREUM, Cursor
from store.ledger import Commit, Ledger
from tests.store.made import alert, position


def deleted(lock: Path) -> None:
    """Somebody tidies up."""
    lock.unlink()


def replaced(lock: Path) -> None:
    """Somebody puts back a folder."""
    shutil.copy(lock, lock.with_suffix(".old"))
    lock.with_suffix(".old").replace(lock)


@pytest.mark.parametrize("lose", [deleted, replaced])
def test_who_lost_the_lease_commits_and_delivers_nothing(
    tmp_path: Path, lose: Callable[[Path], None]
) -> None:
    """The lock file is not the one that was locked: no commit, and nothing is taken to be sent."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        first = Cursor(position(1), {"t/0": 1}, 1, 2, 4)
        ledger.commit(Commit(first, alerts=[alert(1)]))
        lose(tmp_path / "ledger.duckdb.lock")
        with pytest.raises(LeaseLost, match="deleted or replaced"):
            ledger.commit(Commit(Cursor(position(2), {"t/0": 2}, 2, 4, 8), alerts=[alert(2)]))
        with pytest.raises(LeaseLost):
            ledger.outbox.due("ops", 1e12)
        assert ledger.cursor() == first
        with pytest.raises(LedgerLocked):  # DuckDB's own lock still keeps a second writer out
            Ledger.open(path, ETHEREUM)
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        assert ledger.cursor() == first
        assert [one.id for one in ledger.alerts()] == [alert(1).id]
        assert [row.alert_id for row in ledger.outbox.due("ops", 1e12)] == [alert(1).id]
