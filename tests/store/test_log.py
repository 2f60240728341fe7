"""DuckDB's log: bounded, replayed in little memory, whole when it or the disk is full."""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import duckdb
import pyarrow as pa
import pytest

from chainwarden.errors import DiskFull
from chainwarden.schema import ETHEREUM, UINT256, BlockBatch, Cursor, Evidence, Hop, alert_to_dict
from store import database
from store.lake import Lake
from store.ledger import AlertFilter, Commit, Ledger
from store.migrations import LATEST, MIGRATIONS, migrate
from tests.conftest import ROOT
from tests.store.made import WALLET, alert, blocks, position

ALERTS = 300  # in a commit: some 770 kB of log
LOG_BYTES = 16 << 20  # DuckDB writes them into the file when there are that many


def commit(ledger: Ledger, number: int) -> None:
    """Commit a block with many alerts."""
    made = [alert(ALERTS * number + n) for n in range(ALERTS)]
    ledger.commit(Commit(Cursor(position(number)), alerts=made))


def log_of(path: Path) -> Path:
    """Where DuckDB has its log."""
    return path.with_name(path.name + ".wal")


def test_the_log_stays_small_whatever_is_asked_meanwhile(tmp_path: Path) -> None:
    """It is cleared at 16 MB although several threads have read something and are still there."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        commit(ledger, 0)
        last = AlertFilter(after=alert(3).id, limit=1)
        reads: list[Callable[[], object]] = [
            lambda: ledger.outbox.next_at("ops"),
            ledger.model_figures,
            lambda: ledger.record(alert(1).id),
            lambda: ledger.alerts(last),
        ]
        asked = threading.Barrier(len(reads), timeout=20)

        def ask(read: Callable[[], object]) -> None:
            read()
            asked.wait()  # each in a thread of its own

        largest = 0
        with ThreadPoolExecutor(len(reads)) as pool:
            list(pool.map(ask, reads))
            for number in range(1, 32):
                commit(ledger, number)
                if log_of(path).exists():  # it is gone after a checkpoint
                    largest = max(largest, log_of(path).stat().st_size)
    assert LOG_BYTES / 2 < largest < 1.2 * LOG_BYTES


def test_no_result_is_left_half_read() -> None:
    """The store reads through ``results.first``: what a cursor has open holds the log back."""
    for path in (ROOT / "store").glob("*.py"):
        assert ".fetchone(" not in path.read_text(encoding="utf-8"), path.name


def test_a_full_log_is_replayed_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a hundredth of the memory that it usually may use, the ledger opens after a kill."""
    folder, killed = tmp_path / "out", tmp_path / "killed"
    path = folder / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        number = 0
        while not log_of(path).exists() or log_of(path).stat().st_size < 0.8 * LOG_BYTES:
            commit(ledger, number)
            number += 1
        # What is on disk at an instant is what a kill at that instant leaves.
        shutil.copytree(folder, killed)
    monkeypatch.setitem(database._CONFIG, "memory_limit", "20MB")
    with Ledger.open(killed / path.name, ETHEREUM, receivers=["ops"]) as ledger:
        cursor = ledger.cursor()
        assert cursor is not None
        assert cursor.head == position(number - 1)
        assert sum(ledger.alert_counts().values()) == number * ALERTS


class Watched:
    """A connection whose files are copied before each statement, as a kill there leaves them."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, folder: Path, to: Path) -> None:
        self._connection = connection
        self._folder = folder
        self._to = to
        self.statements = 0

    def execute(self, statement: str, values: Any = None) -> Any:
        """Copy, then do it."""
        shutil.copytree(self._folder, self._to / f"{self.statements}")
        self.statements += 1
        return self._connection.execute(statement, values)


def test_killed_within_a_migration_the_next_start_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each migration is there whole or not at all, and the others follow, wherever it ended."""
    folder, kills = tmp_path / "out", tmp_path / "kills"
    watched: list[Watched] = []

    def watch(connection: Any) -> None:
        watched.append(Watched(connection, folder, kills))
        migrate(cast("duckdb.DuckDBPyConnection", watched[0]))

    with monkeypatch.context() as patch:
        patch.setattr(database, "migrate", watch)
        Ledger.open(folder / "ledger.duckdb", ETHEREUM).close()
    assert watched[0].statements > sum(len(one.statements) for one in MIGRATIONS)
    for number in range(watched[0].statements):
        path = kills / str(number) / "ledger.duckdb"
        path.with_name(path.name + ".lock").unlink(missing_ok=True)
        with Ledger.open(path, ETHEREUM) as ledger:
            ledger.commit(Commit(Cursor(position(1)), alerts=[alert(1)]))
        with duckdb.connect(str(path), read_only=True) as connection:
            versions = connection.execute("SELECT version FROM migrations ORDER BY version")
            assert [version for (version,) in versions.fetchall()] == list(range(1, LATEST + 1))


@pytest.fixture(params=[10, 19])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system that is full before the log is, or when the log is written into the file."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_full_at_a_checkpoint_loses_nothing(small_disk: Path) -> None:
    """It is said, and what was acknowledged is there when there is room again."""
    path = small_disk / "ledger.duckdb"
    ledger = Ledger.open(path, ETHEREUM)
    done = 0
    full = ""
    while not full and done < 1000:
        try:
            commit(ledger, done)
            done += 1
        except DiskFull as error:
            full = str(error)
    assert "no space left" in full
    ledger.close()
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    with Ledger.open(path, ETHEREUM) as ledger:
        cursor = ledger.cursor()
        assert cursor is not None
        assert cursor.head == position(done - 1)
        commit(ledger, done)
        assert sum(ledger.alert_counts().values()) == ALERTS * (done + 1)


EXACT = (0, 1, 2**53 - 1, 2**53 + 1, 2**64 - 1, 2**64, 2**64 + 1, 2**128, 2**255, 2**256 - 1)


def test_amounts_of_256_bits_come_back_exactly(tmp_path: Path) -> None:
    """From the lake, from the ledger, and as what the API and webhooks say: to the last wei."""
    values = [value.to_bytes(32, "big") for value in EXACT]
    batch = blocks(1, 1, flows=len(EXACT))
    at = batch.flows.schema.get_field_index("value")
    flows = batch.flows.set_column(at, batch.flows.schema.field(at), [pa.array(values, UINT256)])
    lake = Lake(tmp_path / "lake", ETHEREUM)
    files = lake.write(BlockBatch.of(ETHEREUM, **{**batch.tables, "flows": flows}))
    (written,) = (file for file in files if file.dataset == "flows")
    assert lake.read([written])["value"].to_pylist() == values
    evidence = Evidence(
        amounts=tuple((None, value) for value in EXACT),
        path=tuple(Hop(None, WALLET, WALLET, value) for value in EXACT),
    )
    made = replace(alert(1), evidence=evidence)
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        ledger.commit(Commit(Cursor(position(1)), alerts=[made]))
        found = ledger.alert(made.id)
    assert found == made
    said: Any = alert_to_dict(found)["evidence"]
    assert [int(one["amount"]) for one in said["amounts"]] == list(EXACT)
    assert [int(one["amount"]) for one in said["path"]] == list(EXACT)
    assert all(isinstance(one["amount"], str) for one in said["amounts"] + said["path"])
