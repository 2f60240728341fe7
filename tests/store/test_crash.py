from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden.errors import DiskFull, StoreError
from chainwarden.schema import ETHEREUM, Cursor
from store.lake import Lake
from store.ledger import AlertFilter, Commit, Ledger
from store.snapshots import SnapshotStore
from tests.conftest import ROOT
from tests.store.made import alert, blocks, features, position


def test_killed_at_any_instant_nothing_is_lost_or_torn(tmp_path: Path) -> None:
    """At every file operation of a commit in turn and at random instants: after each SIGKILL every
    acknowledged block is there once, whole, with its alerts, its files and its notification.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.rigs.crash", str(tmp_path), "48", "7"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    kills, blocks_committed = (int(word) for word in done.stdout.split() if word.isdigit())
    assert kills == 48
    assert blocks_committed > 2, "the children had time to commit"


@pytest.fixture(params=["a full disk", "a file size limit"])
def cramped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder that takes about 6 MB: a small file system of its own, or limited files."""
    if request.param == "a full disk":
        folder = tmp_path / "small"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("needs the right to mount a small file system")
        yield folder
        subprocess.run(["umount", str(folder)], check=True)
    else:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
        yield tmp_path
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_stops_the_ledger_before_it_acknowledges(cramped: Path) -> None:
    """The commit that did not fit is not there, the ones before it are, and it can be repeated."""
    path = cramped / "ledger.duckdb"
    number = 0
    ledger = Ledger.open(path, ETHEREUM, receivers=["ops"])
    full = False
    while not full:
        made = [alert(1000 * number + n) for n in range(300)]
        try:
            ledger.commit(Commit(Cursor(position(number)), alerts=made))
            number += 1
        except DiskFull:
            full = True
    assert number > 0
    ledger.close()
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    if cramped.name == "small":
        subprocess.run(["mount", "-o", "remount,size=60m", str(cramped)], check=True)
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        cursor = ledger.cursor()
        assert cursor is not None
        assert cursor.head == position(number - 1)
        ids = [one.id for one in ledger.alerts(AlertFilter(limit=100_000, oldest_first=True))]
        assert ids == [alert(1000 * k + n).id for k in range(number) for n in range(300)]
        ledger.commit(Commit(Cursor(position(number)), alerts=[alert(1000 * number)]))
        assert sum(ledger.alert_counts().values()) == 300 * number + 1


def test_a_full_disk_stops_the_lake_and_leaves_no_piece(cramped: Path) -> None:
    """The file that did not fit is not there, not even in part."""
    lake = Lake(cramped / "lake", ETHEREUM)
    good = lake.write(blocks(1, 1), None)
    # Bytes that do not compress, more than fit.
    batch = blocks(2, 1, flows=100_000)
    with pytest.raises(DiskFull):
        lake.write(batch, features(batch))
    assert not list((cramped / "lake").rglob("*.tmp"))
    lake.sweep(good)
    assert lake.verify(good) == ()


def test_a_full_disk_keeps_the_snapshots_there_are(cramped: Path) -> None:
    """A snapshot that does not fit costs none of the older ones."""
    store = SnapshotStore(cramped / "snapshots", cramped / "key", keep=2)
    store.save(b"small", Cursor(position(1), {}, 1))
    noise = b"".join(position(n).hash for n in range(300_000))
    with pytest.raises(DiskFull):
        store.save(noise, Cursor(position(2), {}, 2))
    assert store.newest() == (b"small", Cursor(position(1), {}, 1))
    assert len(list((cramped / "snapshots").iterdir())) == 1


def test_a_place_that_cannot_be_written_is_an_error_not_a_traceback(tmp_path: Path) -> None:
    """A file where the folder should be is said in one line."""
    (tmp_path / "blocks").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        Lake(tmp_path, ETHEREUM).write(blocks(1, 1), None)
