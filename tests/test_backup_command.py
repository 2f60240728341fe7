"""``chainwarden backup``: of a free folder, of a running process, and what goes on from one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from chainwarden.schema import ETHEREUM
from store.backup import FOLDER
from store.ledger import Ledger
from tests.command import run, run_json
from tests.store.asking import fill, serving_everything
from tests.test_pipeline import Run, simulated_events


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
    assert "backup one was not made" in failed.stderr


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
