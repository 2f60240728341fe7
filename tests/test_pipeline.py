"""The order of the commit, and what a restart makes of whatever a crash left."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden import pipeline
from chainwarden.deployment import UNDO_BLOCKS, make_detector, new_book, new_metrics, open_stores
from chainwarden.errors import DiskFull
from chainwarden.live import DetectOptions, Health, detect_loop
from chainwarden.memory_bus import MemoryBus
from chainwarden.pipeline import Pipeline, Stores
from chainwarden.recorded_labels import RecordedLabels
from chainwarden.replay import every_alert
from chainwarden.restart import resume
from chainwarden.schema import (
    ETHEREUM,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Position,
    alerts_digest,
)
from chainwarden.settings import Settings
from detect.detector import Detector
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.simulate import Simulation, SimulationConfig
from store import lake_writer
from store.durable import put_in_place
from store.encoding_process import EncodingProcess
from store.lake_blocks import read_blocks, recent_positions
from store.ledger import Commit
from tests.rigs.children import left_whole


@pytest.fixture(scope="module")
def events() -> list[ChainEvent]:
    """The chain events of a simulated chain with forks, block by block."""
    return simulated_events(220)


def simulated_events(blocks: int) -> list[ChainEvent]:
    """The same of a chain that long."""
    config = SimulationConfig(seed=6, blocks=blocks, transactions_per_block=6.0)
    follower = ChainFollower(UNDO_BLOCKS)
    return [
        event
        for raw in Simulation(config).blocks()
        for event in follower.add(decode_blocks(ETHEREUM, [raw], [True]))
    ]


class Run:
    """A pipeline over a folder, as a process would have it."""

    def __init__(self, folder: Path) -> None:
        self.stores: Stores = open_stores(folder, ETHEREUM, "live", ["ops"])
        labels = new_book()
        self.detector = make_detector(Settings(), ETHEREUM, labels).detector
        recorded = RecordedLabels(labels, self.stores.ledger, self.stores.lists)
        self.cursor = resume(self.detector, self.stores, UNDO_BLOCKS, recorded)
        self.pipeline = Pipeline(
            self.detector, self.stores, new_metrics(ETHEREUM), cursor=self.cursor
        )

    def feed(self, events: list[ChainEvent]) -> None:
        """Handle and commit each event, as live."""
        for event in events:
            self.pipeline.handle(event, last=True)
            self.pipeline.flush()

    def on_disk(self) -> set[Path]:
        """Every file of the lake."""
        return {path for path in self.stores.lake.folder.rglob("*") if path.is_file()}

    def in_force(self) -> set[Path]:
        """The files of the manifest."""
        return {self.stores.lake.folder / file.path for file in self.stores.ledger.files()}

    def outcome(self) -> tuple[str, str, int]:
        """What must be equal: state, alerts, blocks in the lake."""
        ledger = self.stores.ledger
        blocks = sum(len(batch) for batch in read_blocks(self.stores.lake, ledger.files()))
        return self.detector.digest(), alerts_digest(every_alert(ledger)), blocks

    def close(self) -> None:
        """End without saving anything, as a crash does."""
        self.stores.ledger.close()


@pytest.fixture(scope="module")
def encoder() -> Iterator[EncodingProcess]:
    """A process that writes files."""
    with left_whole(EncodingProcess) as process:
        yield process


@pytest.fixture(scope="module")
def undisturbed(
    events: list[ChainEvent], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str, int]]:
    """The outcome of a run that nothing happened to."""
    run = Run(tmp_path_factory.mktemp("undisturbed"))
    run.feed(events)
    yield run.outcome()
    run.close()


def test_a_restart_anywhere_goes_on_to_the_same_end(
    events: list[ChainEvent], undisturbed: tuple[str, str, int], tmp_path: Path
) -> None:
    """Ended without a word at many places, snapshots old or missing: same state, alerts, lake."""
    forks = [i for i, event in enumerate(events) if not isinstance(event, BlocksAdded)]
    assert forks
    stops = sorted({0, 1, 40, *(f + d for f in forks for d in (0, 1)), len(events) - 1})
    before = 0
    for number, stop in enumerate(stops):
        run = Run(tmp_path)
        run.feed(events[before:stop])
        if number % 3 == 1:
            run.pipeline.save_snapshot()
        run.close()
        before = stop
    run = Run(tmp_path)
    run.feed(events[before:])
    assert run.outcome() == undisturbed
    run.close()


def test_what_is_written_while_the_next_blocks_are_scored_counts_with_the_commit(
    events: list[ChainEvent],
    undisturbed: tuple[str, str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ended before the commit, only unfinished files are there, and the next start deletes them."""
    monkeypatch.setattr(pipeline, "GROUP_FLOWS", 1)
    first_fork = next(i for i, one in enumerate(events) if not isinstance(one, BlocksAdded))
    run = Run(tmp_path)
    for event in events[:first_fork]:
        run.pipeline.handle(event)
    files = [path for path in run.stores.lake.folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".tmp"}
    assert not run.stores.ledger.files()
    run.close()
    run = Run(tmp_path)
    assert not [path for path in run.stores.lake.folder.rglob("*") if path.is_file()]
    for event in events:  # committed only where there is a fork
        run.pipeline.handle(event)
    run.pipeline.flush()
    assert run.outcome() == undisturbed
    assert run.stores.lake.verify(run.stores.ledger.files()) == ()
    run.close()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_is_written_while_its_blocks_are_scored_is_what_is_written_after(
    elsewhere: bool,
    events: list[ChainEvent],
    undisturbed: tuple[str, str, int],
    tmp_path: Path,
    encoder: EncodingProcess,
) -> None:
    """The same files, byte for byte, of one block and of several, and the same of all else.

    By threads as by another process.
    """
    meanwhile, after = Run(tmp_path / "meanwhile"), Run(tmp_path / "after")
    meanwhile.stores.lake.encoder = encoder if elsewhere else None
    for run, last in ((meanwhile, True), (after, False)):
        for place, event in enumerate(events):
            run.pipeline.handle(event, last=last and place % 3 == 2)
            if place % 3 == 2:
                run.pipeline.flush()
        run.pipeline.flush()
        assert run.outcome() == undisturbed
        assert run.on_disk() == run.in_force()
    files = [file.path for file in meanwhile.stores.ledger.files()]
    assert files == [file.path for file in after.stores.ledger.files()]
    for path in files:
        here, there = (run.stores.lake.folder / path for run in (meanwhile, after))
        assert here.read_bytes() == there.read_bytes(), path
    meanwhile.close()
    after.close()


def test_blocks_behind_the_last_of_a_commit_are_in_the_next(
    events: list[ChainEvent], tmp_path: Path
) -> None:
    """Who calls blocks the last of their commit and goes on has them committed."""
    run, fork = Run(tmp_path), next(i for i, e in enumerate(events) if isinstance(e, BlockReverted))
    for event in events[:fork]:
        run.pipeline.handle(event, last=True)
    committed = run.stores.ledger.cursor()
    assert committed is not None
    assert committed.blocks == fork - 1
    run.pipeline.flush()
    assert run.on_disk() == run.in_force()
    assert len(run.stores.ledger.files("blocks")) == fork
    run.close()


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_blocks_that_cannot_be_scored_leave_nothing_in_the_lake(
    late: bool,
    elsewhere: bool,
    encoder: EncodingProcess,
    events: list[ChainEvent],
    undisturbed: tuple[str, str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error before or after the features are there: their files are gone, a retry has them."""
    run = Run(tmp_path)
    run.stores.lake.encoder = encoder if elsewhere else None
    run.feed(events[:40])
    before = run.on_disk()
    place = "_find" if late else "_rate"
    written: set[Path] = set()

    def fail(*_: object) -> None:
        deadline = time.monotonic() + 10
        while (
            len(run.on_disk()) < len(before) + 3
        ):  # the blocks', transactions' and flows' at least
            assert time.monotonic() < deadline
            time.sleep(0.01)
        written.update(run.on_disk() - before)
        raise RuntimeError("a rule does not stand this block")

    with monkeypatch.context() as patched:
        patched.setattr(Detector, place, fail)
        with pytest.raises(RuntimeError, match="stand"):
            run.pipeline.handle(events[40], last=True)
    assert written
    assert {path.suffix for path in written} == {".tmp"}
    assert run.on_disk() == before == run.in_force()
    run.close()
    run = Run(tmp_path)
    run.feed(events[40:])
    assert run.outcome() == undisturbed
    assert run.on_disk() == run.in_force()
    run.close()


def test_a_snapshot_from_before_a_fork_is_brought_onto_the_chain(
    events: list[ChainEvent], undisturbed: tuple[str, str, int], tmp_path: Path
) -> None:
    """A snapshot with blocks that were orphaned later is undone that far and caught up."""
    forks = [i for i, event in enumerate(events) if not isinstance(event, BlocksAdded)]
    run = Run(tmp_path)
    run.feed(events[: forks[0]])
    run.pipeline.save_snapshot()
    run.feed(events[forks[0] : forks[0] + 12])
    run.close()
    run = Run(tmp_path)
    run.feed(events[forks[0] + 12 :])
    assert run.outcome() == undisturbed
    run.close()


class Hindrance:
    """What keeps snapshots from being written, until it is ``gone``."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._folder = folder
        self._limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def begin(self) -> None:
        """From now on the disk is full, or the folder cannot be written."""
        if self._kind == "full":
            newest = max(self._folder.iterdir())
            resource.setrlimit(resource.RLIMIT_FSIZE, (newest.stat().st_size - 1, self._limits[1]))
            shutil.rmtree(self._folder)
        else:
            shutil.rmtree(self._folder)
            self._folder.write_bytes(b"")

    def gone(self) -> None:
        """All is well again."""
        resource.setrlimit(resource.RLIMIT_FSIZE, self._limits)
        if self._folder.is_file():
            self._folder.unlink()


@pytest.mark.parametrize("kind", ["full", "no folder"])
def test_a_disk_that_takes_no_snapshot_stops_nothing(
    events: list[ChainEvent], tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log and a metric say so, scoring goes on, and a snapshot is taken when it can be.

    Where there is room for a commit and not for a snapshot, that is so, too.
    """
    run, bus = Run(tmp_path), MemoryBus(timeout_seconds=60)
    seen: list[Position | None] = []
    folder, registry = run.stores.snapshots.folder, run.pipeline.metrics.registry
    hindrance = Hindrance(kind, folder)

    def failures() -> float:
        labels = {"chain": "ethereum"}
        return registry.get_sample_value("chainwarden_snapshot_failures_total", labels) or 0.0

    def stop() -> bool:
        """Before every round: the first blocks, no snapshots for a while, the other blocks."""
        if not seen:
            for event in events[:20]:
                bus.publish(event)
        elif len(seen) == 2:
            hindrance.begin()
        elif len(seen) == 4:
            assert failures() == 2
            assert list(tmp_path.rglob("snapshot-*")) == []
            if kind != "full":
                for event in events[20:40]:
                    bus.publish(event)
        elif len(seen) == 6:
            assert failures() == 4
            hindrance.gone()
            if kind == "full":
                for event in events[20:40]:
                    bus.publish(event)
        seen.append(run.pipeline.cursor.head)
        return len(seen) > 8

    try:
        detect_loop(bus, run.pipeline, stop, Health(), DetectOptions(0.0, offsets=False))
    finally:
        hindrance.gone()
    assert failures() == 4
    assert sum("no snapshot was saved" in each.message for each in caplog.records) == 4
    saved = run.stores.snapshots.newest()
    assert saved is not None
    assert saved[1].head == run.pipeline.cursor.head != seen[2]
    if kind != "full":
        assert seen[6] == run.pipeline.cursor.head  # they were scored while nothing could be saved
    digest = run.detector.digest()
    run.close()
    (calm := Run(tmp_path / "calm")).feed(events[:40])
    assert calm.detector.digest() == digest
    calm.close()


@pytest.mark.parametrize("late", [False, True])
def test_a_refused_commit_leaves_nothing_behind(
    late: bool,
    events: list[ChainEvent],
    undisturbed: tuple[str, str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lake files that a failed commit left are in no manifest, and swept at the next start.

    Refused before anybody waited for the files, there is no unfinished one either.
    """
    run = Run(tmp_path)
    run.feed(events[:30])
    known = run.on_disk()

    def full(commit: Commit) -> None:
        if late:
            assert commit.files_coming()
        raise DiskFull(f"no space left for {commit.cursor.head}")

    with monkeypatch.context() as patch:
        patch.setattr(run.stores.ledger, "commit", full)
        with pytest.raises(DiskFull):
            run.feed(events[30:31])
    left = run.on_disk()
    assert left > known if late else left >= known
    assert {path.suffix for path in left} == {".parquet"}
    run.close()
    assert goes_on(tmp_path, events[30:], known) == undisturbed


def goes_on(folder: Path, rest: list[ChainEvent], known: set[Path]) -> tuple[str, str, int]:
    """The outcome of a new start with the other events, where only the known files are left."""
    run = Run(folder)
    assert run.on_disk() == known == run.in_force()
    run.feed(rest)
    found = run.outcome()
    run.close()
    return found


def test_no_manifest_names_a_file_that_is_not_in_place(
    events: list[ChainEvent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the disk takes: as each file gets its name, nothing of the commit is there."""
    run = Run(tmp_path)
    run.feed(events[:30])
    ledger, known = run.stores.ledger, run.in_force()
    seen: list[tuple[set[Path], int]] = []

    def slowly(temporary: Path, path: Path) -> None:
        time.sleep(0.3)
        seen.append((run.in_force(), len(every_alert(ledger))))
        put_in_place(temporary, path)

    before = known, len(every_alert(ledger))
    monkeypatch.setattr(lake_writer, "put_in_place", slowly)
    run.feed(events[30:31])
    assert seen == [before] * len(run.in_force() - known)
    assert run.on_disk() == run.in_force() > known
    run.close()


def test_a_disk_that_takes_no_file_has_nothing_committed(
    events: list[ChainEvent],
    undisturbed: tuple[str, str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last file does not find room: neither cursor nor alerts nor any other file count."""
    run = Run(tmp_path)
    run.feed(events[:30])
    ledger, known = run.stores.ledger, run.in_force()
    before = ledger.cursor(), ledger.records()

    def full(temporary: Path, path: Path) -> None:
        if path.name.startswith("features"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        put_in_place(temporary, path)

    with monkeypatch.context() as patch:
        patch.setattr(lake_writer, "put_in_place", full)
        with pytest.raises(DiskFull, match="features"):
            run.feed(events[30:31])
    assert (ledger.cursor(), ledger.records()) == before
    assert run.in_force() == known
    assert {path.suffix for path in run.on_disk()} == {".parquet"}
    run.close()
    assert goes_on(tmp_path, events[30:], known) == undisturbed


def test_offsets_never_run_ahead_of_what_was_done(
    events: list[ChainEvent], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended between the two commits of a revert, the ledger does not say that it was read."""
    fork = next(i for i, event in enumerate(events) if isinstance(event, BlockReverted))
    run = Run(tmp_path)
    for offset, event in enumerate(events[:fork], 1):
        run.pipeline.handle(event, {"t/0": offset})

    def full(_block: object) -> None:
        raise DiskFull("no space left for the orphan")

    with monkeypatch.context() as patch:
        patch.setattr(run.stores.lake, "write_orphans", full)
        run.pipeline.handle(events[fork], {"t/0": fork + 1})
        with pytest.raises(DiskFull):
            run.pipeline.flush()
    run.close()
    run = Run(tmp_path)
    assert run.cursor is not None
    assert run.cursor.offsets == {"t/0": fork}
    run.close()


def test_tidying_merges_small_files_and_changes_nothing(
    events: list[ChainEvent], undisturbed: tuple[str, str, int], tmp_path: Path
) -> None:
    """Hundreds of files of one block become a few; forks still find theirs; a restart goes on."""
    run = Run(tmp_path)
    for start in range(0, len(events), 75):
        run.feed(events[start : start + 75])
        run.pipeline.tidy()
    manifest = run.stores.ledger.files()
    final = [f for f in manifest if f.last.number <= manifest[-1].last.number - 2 * UNDO_BLOCKS]
    assert len(final) < 40
    assert not run.stores.lake.verify(manifest)
    assert len(list((tmp_path / "lake").rglob("*.parquet"))) == len(manifest)
    assert run.outcome() == undisturbed
    head = run.detector.head
    assert recent_positions(run.stores.lake, manifest, 3)[-1] == head
    run.close()
    run = Run(tmp_path)
    assert run.detector.head == head
    assert run.outcome() == undisturbed
    run.close()


def test_a_restart_knows_what_was_final(events: list[ChainEvent], tmp_path: Path) -> None:
    """Finality said after the snapshot is said again before the lake's blocks are scored."""
    run = Run(tmp_path)
    run.feed(events[:20])
    run.pipeline.save_snapshot()
    run.feed(events[20:40])
    assert run.cursor is None
    head = run.detector.head
    assert head is not None
    final = Position(head.number - 70, b"")
    run.feed([BlockFinalized(final)])
    assert run.detector.stats()["chain.finality_delay"] == 70
    run.close()
    run = Run(tmp_path)
    assert run.cursor is not None
    assert run.cursor.finalized == final
    assert run.detector.stats()["chain.finality_delay"] == 70
    run.close()
