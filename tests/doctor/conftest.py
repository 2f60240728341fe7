"""A folder to be examined."""

from __future__ import annotations

from pathlib import Path

import pytest

from chainwarden.schema import ETHEREUM, Cursor
from store.lake import Lake
from store.ledger import Commit, Ledger
from store.snapshots import SnapshotStore
from tests.store.made import alert, blocks, position


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with a ledger, a lake of two files and two snapshots."""
    folder = tmp_path / "out"
    lake = Lake(folder / "lake", ETHEREUM)
    files = [*lake.write(blocks(1, 3)), *lake.write(blocks(4, 3))]
    cursor = Cursor(position(6), {}, 6, 12, 24)
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        ledger.commit(Commit(cursor, [alert(3)], files_added=files))
    snapshots = SnapshotStore(folder / "snapshots", folder / "snapshot.key")
    snapshots.save(b"first" * 100, cursor)
    snapshots.save(b"second" * 100, cursor)
    return folder
