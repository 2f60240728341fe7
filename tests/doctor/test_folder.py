"""``chainwarden doctor``: the folder, sound or damaged, and what a person sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden.doctor import Check, examine
from chainwarden.doctor.folder import check_snapshot, check_space, check_writable
from chainwarden.schema import ETHEREUM
from store.ledger import Ledger
from tests.command import run, running
from tests.conftest import ROOT
from tests.doctor.findings import settings


def examined(out: Path, **flags: object) -> dict[str, Check]:
    """Every finding about a folder, by name."""
    return {check.name: check for check in examine(lambda: settings(store__out=str(out), **flags))}


def test_a_sound_folder_is_well(out: Path) -> None:
    """Folder, ledger, lake and newest snapshot are found as they were written."""
    found = examined(out)
    assert {n: found[n].status for n in ("folder", "ledger", "lake", "snapshot")} == {
        "folder": "ok", "ledger": "ok", "lake": "ok", "snapshot": "ok",
    }  # fmt: skip
    assert "1 alerts" in found["ledger"].found
    assert found["lake"].found.startswith("10 files, 54 rows")
    assert "600 bytes" in found["snapshot"].found


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    """A folder that is not there yet is well, stays away, and what would be in it is skipped."""
    missing = tmp_path / "a" / "b"
    found = examined(missing)
    assert found["folder"] == Check("folder", "ok", f"{missing} can be made")
    assert {found[name].status for name in ("ledger", "lake", "snapshot")} == {"skipped"}
    assert list(tmp_path.iterdir()) == []


def test_damage_is_named(out: Path) -> None:
    """A truncated file, a missing one and a changed snapshot each fail, and say which it is."""
    files = sorted((out / "lake").rglob("*.parquet"))
    with files[0].open("r+b") as file:
        file.truncate(files[0].stat().st_size - 1)
    files[-1].unlink()
    newest = sorted((out / "snapshots").glob("*.bin"))[-1]
    data = bytearray(newest.read_bytes())
    data[-40] ^= 1
    newest.write_bytes(data)
    found = examined(out)
    assert found["lake"].status == found["snapshot"].status == "failed"
    assert files[0].name in found["lake"].found
    assert f"{files[-1].name}: missing" in found["lake"].found
    assert newest.name in found["snapshot"].found
    assert found["ledger"].status == "ok"
    (out / "snapshot.key").unlink()
    assert "snapshot.key" in check_snapshot(out).found
    assert not (out / "snapshot.key").exists()
    shutil.rmtree(out / "lake")
    assert examined(out)["lake"].status == "failed"


def test_a_damaged_ledger_fails(out: Path) -> None:
    """A file that is no database is a finding, not a traceback; its lake cannot be checked."""
    (out / "ledger.duckdb").write_bytes(b"not a database" * 1000)
    found = examined(out)
    assert found["ledger"].status == "failed"
    assert found["ledger"].hint
    assert found["lake"].status == "skipped"


def test_a_ledger_that_is_open_elsewhere_says_by_whom(out: Path, tmp_path: Path) -> None:
    """A process without an API is a warning with its pid; one that serves is asked for its head."""
    with Ledger.open(out / "ledger.duckdb", ETHEREUM):
        done = run("doctor", "--out", out, "--json", cwd=tmp_path)
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["ledger"]["status"] == "warning"
    assert f"pid {os.getpid()}" in found["ledger"]["found"]
    assert found["lake"]["status"] == "skipped"
    with running(("serve", "--out", out, "--port", 0), tmp_path) as process:
        deadline = time.monotonic() + 60
        while not (out / "server.json").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        beside = examined(out)["ledger"]
    assert beside.status == "ok"
    assert f"pid {process.pid}" in beside.found
    assert beside.found.endswith("head 6")


@pytest.fixture
def closed() -> Iterator[Path]:
    """A folder that everybody may enter and only its owner write to.

    Not below pytest's own, which any pytest that starts closes to everybody else.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_folder_that_cannot_be_written_fails(tmp_path: Path, closed: Path) -> None:
    """Somebody without the permission is told; so is root, of a path below a file."""
    (tmp_path / "file").write_text("x", encoding="utf-8")
    below = check_writable(tmp_path / "file" / "out")
    assert (below.status, below.hint) == ("failed", "set store.out to a folder")
    # Root may write anywhere: a process of somebody else's looks.
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from chainwarden.doctor.folder import check_writable\n"
        "if os.geteuid() == 0:\n"
        "    os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "else:\n"
        "    os.chmod(sys.argv[1], 0o555)\n"
        "for path in sys.argv[1:]:\n"
        "    found = check_writable(Path(path))\n"
        "    print(found.status, found.found, sep='|')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(closed), str(closed / "new" / "deep")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    lines = [line.split("|") for line in done.stdout.splitlines()]
    assert [status for status, _ in lines] == ["failed", "failed"]
    assert all("Permission denied" in found for _, found in lines)
    assert list(closed.iterdir()) == []


def test_little_space_warns_and_none_fails(tmp_path: Path) -> None:
    """Under 10 GB is a warning, under 1 GB a failure."""
    states = [check_space(tmp_path, free).status for free in (10**9 - 1, 10**9, 10**10)]
    assert states == ["failed", "warning", "ok"]


def test_what_a_person_sees(out: Path, tmp_path: Path) -> None:
    """A line for each check and a last one that counts; 0 when nothing failed."""
    done = run("doctor", "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("ok       lake: ") for line in lines)
    assert lines[-1].startswith(f"{len(lines) - 1} checks: 0 failed")
    assert not done.stderr
