"""A snapshot that cannot be used costs time, nothing else: the lake makes the state again."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from chainwarden.errors import SnapshotRefused
from chainwarden.schema import ChainEvent
from store import snapshots
from store.snapshots import SnapshotStore
from tests.test_pipeline import Run, simulated_events

Spoil = Callable[[SnapshotStore, Path], None]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a snapshot of block 20 of 26, and the digest of the state at block 26."""
    folder = tmp_path_factory.mktemp("saved")
    events: list[ChainEvent] = simulated_events(130)[:26]
    run = Run(folder)
    run.feed(events[:20])
    run.pipeline.save_snapshot()
    run.feed(events[20:])
    digest = run.detector.digest()
    run.close()
    return folder, digest


def truncated(_store: SnapshotStore, path: Path) -> None:
    """Half of it is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tampered(_store: SnapshotStore, path: Path) -> None:
    """One bit of the state is another."""
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)


def of_another_key(store: SnapshotStore, path: Path) -> None:
    """It was written by another installation."""
    store.folder.parent.joinpath("snapshot.key").write_bytes(bytes(32))
    assert path.exists()


def of_another_version(store: SnapshotStore, path: Path) -> None:
    """Its header has another version, and it is signed."""
    state, cursor = store.load(path)
    path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshots, "VERSION", snapshots.VERSION + 1)
        store.save(state, cursor)


def of_other_rules(store: SnapshotStore, path: Path) -> None:
    """All parts of the state but the last are as this version writes them."""

    def spoilt(state: bytes) -> bytes:
        body = bytearray(state[:-32])
        body[-1] ^= 1  # within the last part, whose own checksum it ends with
        return bytes(body) + hashlib.blake2b(body, digest_size=32).digest()

    again(store, path, spoilt)


def again(store: SnapshotStore, path: Path, change: Callable[[bytes], bytes]) -> None:
    """Save another state in the place of one."""
    state, cursor = store.load(path)
    path.unlink()
    store.save(change(state), cursor)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (truncated, "truncated"),
        (tampered, "changed"),
        (of_another_key, "of another key"),
        (of_another_version, f"has version {snapshots.VERSION + 1}"),
        (of_other_rules, "not using this snapshot"),
    ],
)
def test_a_refused_snapshot_gives_way_to_the_lake(
    saved: tuple[Path, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Spoil,
    says: str,
) -> None:
    """The start says what is wrong with it, and comes to the same state without it."""
    folder, digest = saved
    shutil.copytree(folder, tmp_path / "out")
    store = SnapshotStore(tmp_path / "out" / "snapshots", tmp_path / "out" / "snapshot.key")
    spoil(store, next(store.folder.glob("*.bin")))
    with caplog.at_level(logging.WARNING):
        run = Run(tmp_path / "out")
    assert says in caplog.text
    assert run.detector.digest() == digest
    run.close()


def test_a_detector_that_refuses_a_snapshot_is_as_it_was(saved: tuple[Path, str]) -> None:
    """Refused at its last part, it leaves nothing of the parts before it."""
    folder, _ = saved
    run = Run(folder)
    before = run.detector.digest()
    state = bytearray(run.stores.snapshots.load(next(iter((folder / "snapshots").glob("*"))))[0])
    del state[-32:]
    state[-1] ^= 1
    with pytest.raises(SnapshotRefused):
        run.detector.restore(bytes(state) + hashlib.blake2b(state, digest_size=32).digest())
    assert run.detector.digest() == before
    run.close()
