"""The ledger's file: one process at a time, damage is noticed, older and newer versions."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from chainwarden.errors import LedgerDamaged, LedgerLocked, StoreError
from chainwarden.schema import ETHEREUM, Label, LakeFile
from store.ledger import Commit, InForce, Ledger
from tests.store.ledgers import NOTE, at, first_schema
from tests.store.made import WALLET, alert, position

OTHER = b"\x07" * 20


def test_an_alert_from_before_paths_has_none(tmp_path: Path) -> None:
    """A row written when evidence had no path is read, with everything else it had."""
    path, one = tmp_path / "ledger.duckdb", alert(5)
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.commit(Commit(at(5), alerts=[one]))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "UPDATE alerts SET evidence = regexp_replace(evidence, ',\"path\".*', '}')"
        )
        (row,) = connection.execute("SELECT evidence FROM alerts").fetchall()
        assert "path" not in row[0]
    with Ledger.open(path, ETHEREUM) as ledger:
        assert ledger.alert(one.id) == replace(one, evidence=replace(one.evidence, path=()))


def test_a_ledger_from_before_the_trail_is_brought_along(tmp_path: Path) -> None:
    """Labels of a ledger of the first schema have a row each, and take force if they had not."""
    path = tmp_path / "ledger.duckdb"
    with first_schema(path) as connection:
        connection.execute(
            "INSERT INTO ledger.cursors VALUES ('ethereum', NULL, NULL, '', 0, 0, 0)"
        )
        connection.execute(
            "INSERT INTO ledger.labels VALUES "
            "(1, ?, 'phishing', 'analyst', 7, NULL, 'ethereum', 'ana', '', '', false, NULL), "
            "(2, ?, 'scam', 'x', 0, NULL, NULL, '', '', '', true, NULL)",
            [WALLET, OTHER],
        )
        connection.execute("UPDATE ledger.totals SET labels = 2, label_serial = 2")
    with Ledger.open(path, ETHEREUM) as ledger:
        (change,) = ledger.label_changes(pending=True)
        assert change.label == Label(WALLET, "phishing", "analyst", 7, None, "ethereum", "ana")
        assert ledger.labels() == [change.label]
        ledger.add_label(Label(OTHER, "mixer", "x"))
        assert [c.serial for c in ledger.label_changes()] == [1, 2]


def test_what_is_final_is_kept_beside_the_cursor(tmp_path: Path) -> None:
    """The finalized block survives a restart; a ledger from before it was kept has none."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as opened:
        opened.commit(Commit(at(7)))
        assert opened.cursor() == at(7)
        opened.commit(Commit(replace(at(8), finalized=position(3))))
    with Ledger.open(path, ETHEREUM) as opened:
        assert opened.cursor() == replace(at(8), finalized=position(3))
    old = tmp_path / "old.duckdb"
    with first_schema(old) as connection:
        connection.execute(
            "INSERT INTO ledger.cursors VALUES ('ethereum', ?, ?, ?, 8, 16, 24)",
            [8, position(8).hash, '{"t/0":9,"t/1":7}'],
        )
    with Ledger.open(old, ETHEREUM) as opened:
        assert opened.cursor() == at(8)


def test_two_processes_cannot_write_one_ledger(tmp_path: Path) -> None:
    """The second is told who has it; so is the same process asking twice."""
    path = tmp_path / "ledger.duckdb"
    code = (
        "import sys; from pathlib import Path\n"
        "from chainwarden.schema import ETHEREUM\nfrom store.ledger import Ledger\n"
        "from chainwarden.errors import LedgerLocked\n"
        "try: Ledger.open(Path(sys.argv[1]), ETHEREUM)\n"
        "except LedgerLocked as error: print(error); sys.exit(6)\n"
    )
    with Ledger.open(path, ETHEREUM) as ledger:
        # A copy for a backup, made in the writing process, must not open the door.
        shutil.copy(path, tmp_path / "backup")
        second = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert second.returncode == 6, second.stderr
        assert "pid" in second.stdout
        with pytest.raises(LedgerLocked):
            Ledger.open(path, ETHEREUM)
        ledger.commit(Commit(at(1)))
    third = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert third.returncode == 0


def test_a_torn_log_is_noticed(tmp_path: Path) -> None:
    """DuckDB forgets a torn tail without a word; opening the ledger does not."""
    path, copy = tmp_path / "ledger.duckdb", tmp_path / "copy.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        for number in range(1, 5):
            ledger.commit(Commit(at(number), alerts=[alert(number)]))
        for end in ("", ".wal", ".commits"):
            shutil.copy(tmp_path / f"ledger.duckdb{end}", tmp_path / f"copy.duckdb{end}")
    wal = tmp_path / "copy.duckdb.wal"
    wal.write_bytes(wal.read_bytes()[:-40])
    with pytest.raises(LedgerDamaged, match="end of its log is lost"):
        Ledger.open(copy, ETHEREUM)
    (tmp_path / "copy.duckdb.commits").unlink()
    with Ledger.open(copy, ETHEREUM) as ledger:
        assert ledger.cursor() == at(3), "the older state, once it was asked for"


@pytest.mark.parametrize(
    "table",
    [
        "alerts", "outbox", "labels", "lake_files", "snapshots", "label_changes", "label_lists",
        "model_promotions", "acknowledgements", "suppressions", "audit",
    ],
)  # fmt: skip
def test_missing_rows_are_noticed(tmp_path: Path, table: str) -> None:
    """Rows that vanish from under the ledger make the next opening fail, whichever table."""
    path = tmp_path / "ledger.duckdb"
    file = LakeFile("x", "blocks", position(1), position(1), 1, 1)
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        ledger.add_label(Label(WALLET, "mixer", "list"))
        ledger.commit(
            Commit(at(1), [alert(1)], labels=[InForce(1, (), [NOTE])], files_added=[file])
        )
        ledger.add_snapshot("s", at(1), 1)
        ledger.promote("abc", {})
        ledger.triage.acknowledge(alert(1).id)
        ledger.triage.suppress("dusting", None, 1.0)
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"DELETE FROM {table}")
    with pytest.raises(LedgerDamaged, match=f"{table} has 0 rows, not the [1-9]"):
        Ledger.open(path, ETHEREUM)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Garbage, and a ledger of a newer version, are errors with a hint, not tracebacks."""
    (tmp_path / "garbage").write_bytes(b"hello" * 10_000)
    with pytest.raises(LedgerDamaged):
        Ledger.open(tmp_path / "garbage", ETHEREUM)
    Ledger.open(tmp_path / "newer", ETHEREUM).close()
    with duckdb.connect(str(tmp_path / "newer")) as connection:
        connection.execute("INSERT INTO migrations VALUES (999, 'from the future')")
    with pytest.raises(StoreError, match="999"):
        Ledger.open(tmp_path / "newer", ETHEREUM)


def test_closing_frees_the_file_although_threads_have_read(tmp_path: Path) -> None:
    """Cursors of other threads, alive or not, do not keep the ledger open."""
    path = tmp_path / "ledger.duckdb"
    for number in range(3):
        ledger = Ledger.open(path, ETHEREUM)
        ledger.commit(Commit(at(number)))
        thread = threading.Thread(target=ledger.alerts)
        thread.start()
        thread.join()
        ledger.close()
        with pytest.raises(StoreError, match="closed"):
            ledger.alerts()


def test_the_file_can_be_read_by_the_version_before(tmp_path: Path) -> None:
    """Ledgers are written in the storage format of DuckDB 1.5, so going back is possible."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.commit(Commit(at(1), alerts=[alert(1)]))
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS other (READ_ONLY)")
        tags = connection.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'other'"
        ).fetchone()
    assert tags is not None
    assert tags[0]["storage_version"].startswith("v1.5")
