from __future__ import annotations

import threading
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from chainwarden.deployment import HASH_KEY, compile_kernels, make_detector, new_book
from chainwarden.errors import LedgerLocked
from chainwarden.schema import ETHEREUM, BlocksAdded, Cursor
from chainwarden.settings import DetectSettings, ServerSettings, Settings, StoreSettings
from chainwarden.standby import Warm, stand_by
from detect.detector import Detector
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.simulate import Simulation, SimulationConfig
from store.snapshots import SnapshotStore
from tests.command import run, running, wait_for
from tests.rigs.liar import Liar, Recording

SMALL = DetectSettings(wallets=5_000)


def scored(settings: Settings, blocks: int) -> tuple[Detector, Cursor]:
    """A detector that has scored some blocks, and where it stands."""
    detector = make_detector(settings, ETHEREUM, new_book()).detector
    follower = ChainFollower(64)
    config = SimulationConfig(blocks=blocks, transactions_per_block=3.0, campaigns=())
    for raw in Simulation(config).blocks():
        for event in follower.add(decode_blocks(ETHEREUM, [raw], [True])):
            assert isinstance(event, BlocksAdded)
            detector.process(event.batch, event.gap)
    return detector, Cursor(detector.head, {}, blocks)


def test_a_standby_holds_the_newest_snapshot_and_tells_of_one_that_does_not_hold(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each newer one is restored as it appears; after a damaged one the detector is fresh."""
    settings = Settings(detect=SMALL, store=StoreSettings(out=str(tmp_path)))
    compile_kernels(settings)
    snapshots = SnapshotStore(tmp_path / "snapshots", tmp_path / "snapshot.key")
    warm = Warm(settings, ETHEREUM)
    warm.look(snapshots)
    assert warm.restored is None
    for blocks in (5, 12):
        detector, cursor = scored(settings, blocks)
        newest = snapshots.save(detector.snapshot(), cursor)
        warm.look(snapshots)
        assert warm.restored == cursor
        assert warm.detection.detector.digest() == detector.digest()
    damaged = bytearray(newest.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (newest.parent / "snapshot-000000000003.bin").write_bytes(bytes(damaged))
    warm.look(snapshots)
    assert "it would be no help in taking over" in caplog.text
    assert warm.restored is None
    fresh = make_detector(settings, ETHEREUM, new_book()).detector
    assert warm.detection.detector.digest() == fresh.digest()


def test_a_standby_has_the_installations_hash_key(tmp_path: Path) -> None:
    """Who comes first makes it; the detector that is kept warm could not restore without."""
    out = tmp_path / "out"
    server, store = ServerSettings(port=0), StoreSettings(out=str(out))
    taken = stand_by(Settings(server=server, store=store), ETHEREUM, threading.Event())
    assert taken is not None
    with taken.stores.ledger:
        made = (out / HASH_KEY).read_bytes()
        assert taken.warm.detection.detector.config.hash_key == made
        assert made != bytes(16)
    taken.warm.close()


@pytest.mark.timeout(300)
def test_a_second_run_on_one_folder_ends_and_the_first_goes_on(tmp_path: Path) -> None:
    """Not asked to stand by, it says in one line who has the folder, and touches nothing."""
    recording, out = Recording(), tmp_path / "out"
    recording.grow(3)

    def committed(blocks: int) -> bool:
        files = (out / "lake").glob("blocks/*/*/*.parquet")
        return bool(sum(pq.read_metadata(path).num_rows for path in files) == blocks)

    with Liar(recording) as node:
        words = ("run", "--rpc", node.url, "--out", out, "--port", 0)
        env = {"CHAINWARDEN_SOURCE_START": "100"}
        with running(words, tmp_path, env) as first:
            wait_for("the first blocks", lambda: committed(3), seconds=200)
            second = run(*words, cwd=tmp_path, env=env)
            assert second.returncode == LedgerLocked.exit_code
            assert "another process" in second.stderr
            assert str(first.pid) in second.stderr
            lines = [line for line in second.stderr.splitlines() if line.startswith("chainwarden")]
            assert len(lines) == 1
            assert "Traceback" not in second.stderr
            recording.grow(2)
            node.head = recording.numbers[-1]
            wait_for("the next blocks", lambda: committed(5), seconds=60)
            first.terminate()
            assert first.wait(60) == 0
