"""``chainwarden backup``: of a free folder, of a running process, and what goes on from one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Final

import pytest

from chainwarden.schema import ETHEREUM
from store.backup import FOLDER, back_up, backups, default_name
from store.ledger import Ledger
from tests.command import run, run_json, running, wait_for
from tests.rigs.liar import Liar, Recording
from tests.store.asking import fill, serving_everything
from tests.test_pipeline import Run, simulated_events

NOT_KEPT: Final = {
    "backups": "the others",
    "ledger.duckdb.wal": "what of it is not in the file yet, and is in the copy",
    "ledger.duckdb.lock": "who has it open",
    ".tokens.json.lock": "who writes it",
    "server.json": "where the process answers",
    "tokens.used.json": "when tokens were used last",
}


def test_a_free_folder_and_a_running_process_answer_alike(tmp_path: Path) -> None:
    """The folder of each, what it is of, and that it can be asked like the first."""
    out = tmp_path
    with Ledger.open(out / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
    free = run_json("backup", "free", "--out", str(out), cwd=out)
    with Ledger.open(out / "ledger.duckdb", ETHEREUM) as ledger, serving_everything(ledger, out):
        running = run_json("backup", "running", "--out", str(out), cwd=out)
        refused = run("backup", "running", "--out", out, cwd=out)
        unnamed = run("backup", "--out", out, cwd=out)
    own = {"name", "made_at", "folder", "size_bytes", "commits"}
    assert {k: v for k, v in free.items() if k not in own} == {
        k: v for k, v in running.items() if k not in own
    }
    assert refused.returncode == 3
    assert "there is a backup running already" in refused.stderr
    assert unnamed.returncode == 0, unnamed.stderr
    assert "up to block 11." in unnamed.stdout
    for made in (free, running):
        asked = run_json("alerts", "--out", made["folder"], cwd=out)
        assert asked["total"] == 11


def test_a_failure_is_told_by_the_process_that_works(tmp_path: Path) -> None:
    """Why no backup was made, with the exit code of the ledger's faults."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
        (tmp_path / FOLDER).write_text("in the way")
        with serving_everything(ledger, tmp_path):
            failed = run("backup", "one", "--out", tmp_path, cwd=tmp_path)
    assert failed.returncode == 6
    assert "backup one failed" in failed.stderr


def test_an_older_one_that_stays_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new one is whole, but the disk will fill up: the command says so and fails."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
        back_up(ledger, tmp_path, default_name(0.0))
        monkeypatch.setattr(Path, "rename", lambda *_: os.stat(tmp_path / "no such file"))
        with serving_everything(ledger, tmp_path):
            failed = run("backup", "--keep", 1, "--out", tmp_path, cwd=tmp_path)
    assert failed.returncode == 6
    told = f"the new one is whole, but {tmp_path / FOLDER / default_name(0.0)} cannot be deleted"
    assert told in failed.stderr
    assert len(backups(tmp_path)) == 2


def test_a_process_goes_on_from_a_backup_to_the_same_end(tmp_path: Path) -> None:
    """Moved elsewhere, it resumes by snapshot and lake: state, alerts and lake are the first's."""
    events = simulated_events(90)
    first = Run(tmp_path / "first")
    first.feed(events[:40])
    first.pipeline.save_snapshot()
    first.feed(events[40:60])
    with serving_everything(first.stores.ledger, tmp_path / "first"):
        shown = run("backup", "b", "--json", "--out", tmp_path / "first", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    first.feed(events[60:])
    shutil.move(json.loads(shown.stdout)["folder"], tmp_path / "second")
    second = Run(tmp_path / "second")
    second.feed(events[60:])
    assert second.outcome() == first.outcome()
    first.close()
    second.close()


@pytest.mark.timeout(300)
def test_nothing_of_an_installation_at_work_is_forgotten(tmp_path: Path) -> None:
    """What its folder has is in the backup, or said above to be of no use there."""
    recording, out = Recording(), tmp_path / "out"
    recording.grow(5)
    (tmp_path / "bad.csv").write_text(f"address,label\n0x{'ab' * 20},scam\n")
    created = run("token", "create", "ana", "--role", "admin", "--out", out, cwd=tmp_path)
    asking = {"CHAINWARDEN_SERVER_TOKEN": created.stdout.split()[-1]}
    with Liar(recording) as node:
        words = ("run", "--rpc", node.url, "--labels", "bad.csv", "--out", out, "--port", 0)
        env = {
            "CHAINWARDEN_SOURCE_START": "100",
            "CHAINWARDEN_STORE_SNAPSHOT_MINUTES": "0.01",
            "CHAINWARDEN_DETECT_HASH_KEY": "",
        }
        with running(words, tmp_path, env):
            wait_for("a snapshot", lambda: list(out.glob("snapshots/*.bin")), seconds=200)
            run_json("audit", "seal", "--out", out, cwd=tmp_path, env=asking)
            made = run_json("backup", "--out", out, cwd=tmp_path, env=asking)
            there = {path.name for path in out.iterdir()}
    kept = {path.name for path in Path(made["folder"]).iterdir()}
    there.add("ledger.duckdb.wal")  # a checkpoint takes it away
    assert there - kept == NOT_KEPT.keys()
    assert kept - there == {"backup.json"}
    keys = {"hash.key", "snapshot.key", "audit.key", "tokens.json"}
    assert keys | {"ledger.duckdb", "lake", "snapshots", "label-lists"} <= kept
