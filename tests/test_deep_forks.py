"""Forks through the whole pipeline, also deeper than the detector's undo: ledger, lake, outbox."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from chainwarden.deployment import new_metrics, open_stores
from chainwarden.errors import DeepReorg
from chainwarden.live import (
    DetectOptions,
    Health,
    Worker,
    accept_blocks,
    detect_loop,
    ingest_loop,
)
from chainwarden.memory_bus import MemoryBus
from chainwarden.pipeline import Pipeline
from chainwarden.recorded_labels import RecordedLabels
from chainwarden.replay import every_alert
from chainwarden.restart import Resumption, sweep
from chainwarden.schema import (
    ETHEREUM,
    TABLES,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Position,
    Severity,
)
from detect.labels import LabelBook
from ingest.chain import ChainFollower
from ingest.live import LiveConfig, live
from ingest.rpc import RpcSource
from store.lake_blocks import read_blocks, read_orphans
from store.ledger import AlertFilter, Commit
from tests.rigs.crash import in_child
from tests.rigs.fork_trees import LABELS, Node, Tree, Wood, claim, together
from tests.rigs.liar import Liar, Recording
from tests.test_forks import ABOUT_FORKS, Observed, detector_of

UNDO = 8
TREES = 100


class Receiver:
    """What a receiver of the outbox knows: which alerts stand, and in which block."""

    def __init__(self) -> None:
        self.standing: dict[str, Position] = {}
        self.told: Counter[str] = Counter()

    def take(self, run: Run) -> None:
        """Accept all that is due; nothing makes no sense to somebody who reads all of it."""
        outbox = run.stores.ledger.outbox
        while rows := outbox.due("ops", 1e12):
            for row in rows:
                self.told[row.kind] += 1
                if row.kind == "alert.raised":
                    assert row.alert_id not in self.standing
                if row.kind == "alert.retracted":
                    del self.standing[row.alert_id]
                else:
                    assert self.standing.get(row.alert_id) != row.position
                    self.standing[row.alert_id] = row.position
                outbox.delivered(row, 1e12)


class Run:
    """A pipeline over a folder, as a process has it."""

    def __init__(self, folder: Path, without: tuple[str, ...] = ABOUT_FORKS) -> None:
        self.stores = open_stores(folder, ETHEREUM, "live", ["ops"])
        book = LabelBook(LABELS)
        self.detector = detector_of(book, UNDO, without)
        self.rewinds = 0

        def recorded() -> RecordedLabels:
            book.start_over(LABELS)
            return RecordedLabels(book, self.stores.ledger, self.stores.lists)

        sweep(self.stores)
        self._resumption = Resumption(self.detector, self.stores, UNDO, recorded)
        self.pipeline = Pipeline(
            self.detector, self.stores, new_metrics(ETHEREUM), cursor=self._resumption()
        )
        self.pipeline.rewind = self._rewind

    def _rewind(self) -> None:
        self.rewinds += 1
        self._resumption()

    def feed(self, events: Iterable[ChainEvent]) -> None:
        """What one poll brings, and its commit."""
        for event in events:
            self.pipeline.handle(event)
        self.pipeline.flush()

    def check(self, straight: Observed, chain: Sequence[Node]) -> None:
        """All is as if the winning chain were all there ever was."""
        ledger, lake = self.stores.ledger, self.stores.lake
        assert self.detector.digest() == straight.detector.digest()
        assert {(a.id, a.position): a for a in every_alert(ledger)} == straight.alerts
        manifest = ledger.files()
        assert lake.verify(manifest) == ()
        expected = [node.batch() for node in chain]
        for name in (*TABLES, "features"):
            tables = (
                list(straight.features.values())
                if name == "features"
                else [batch.tables[name] for batch in expected]
            )
            table = pa.concat_tables(tables)
            found = ledger.files(name)
            rows = lake.read(found).cast(table.schema) if found else table.slice(0, 0)
            assert rows.combine_chunks().equals(table.combine_chunks()), name


@pytest.mark.timeout(900)
def test_any_forks_leave_ledger_lake_and_receiver_as_the_winning_chain_would(
    tmp_path: Path,
) -> None:
    """A hundred trees, branches up to 64 deep, and a detector that can undo eight blocks.

    State, alerts and lake equal a fresh run's; the receiver, told now and then, ends with what
    stands; an alert that it never got is withdrawn without a word; restarts change nothing.
    """
    wood, follower, rng = Wood(77), ChainFollower(64, linked=True), random.Random(7)
    run, straight, receiver = Run(tmp_path), Observed(UNDO), Receiver()
    tree, chain, rewinds = Tree(wood.tip, heads=[wood.tip]), [wood.tip], 0
    straight.handle(claim(ChainFollower(), tree, wood.tip))
    run.feed(claim(follower, tree, wood.tip))
    for number in range(TREES):
        tree = wood.tree(20 if number == 50 else None)
        for head in tree.heads:
            run.feed(together(claim(follower, tree, head)))
            if rng.random() < 0.3:
                receiver.take(run)
        if number % 7 == 3:
            run.pipeline.save_snapshot()
        if number % 20 == 13:
            run.pipeline.tidy()
            rewinds += run.rewinds
            run.stores.ledger.close()
            run = Run(tmp_path)
        straight.handle(tree.won())
        chain += tree.winning
        if number % 25 == 24:
            run.check(straight, chain)
    receiver.take(run)
    assert receiver.standing == dict(straight.alerts.keys())
    assert rewinds + run.rewinds >= 5
    assert min(receiver.told.values()) >= 5
    assert len(receiver.told) == 3
    counts = run.stores.ledger.outbox.pending()
    assert counts == {}
    run.stores.ledger.close()


def test_an_alert_is_withdrawn_in_silence_or_taken_back_once(tmp_path: Path) -> None:
    """Flip-flops: undelivered, nobody hears of one; delivered, each switch is told once."""
    wood, follower, run = Wood(3), ChainFollower(64, linked=True), Run(tmp_path)
    run.feed(claim(follower, Tree(wood.tip, heads=[wood.tip]), wood.tip))
    tree, receiver = wood.rivals(3), Receiver()
    for switch in range(16):
        run.feed(together(claim(follower, tree, tree.heads[switch % 2])))
    receiver.take(run)
    standing = {a.id: a.position for a in every_alert(run.stores.ledger)}
    assert standing
    assert receiver.standing == standing
    assert receiver.told == {"alert.raised": len(standing)}
    every = len(run.stores.ledger.records(AlertFilter(status="all", limit=100)))
    for switch in range(16):
        before = receiver.told.total()
        run.feed(together(claim(follower, tree, tree.heads[switch % 2])))
        receiver.take(run)
        assert receiver.told.total() - before <= every  # at most one telling of each alert
    assert receiver.standing == standing
    run.stores.ledger.close()


def test_nothing_is_delivered_between_the_first_revert_and_the_last(tmp_path: Path) -> None:
    """What was raised and not delivered when a fork shows is held, then withdrawn."""
    wood, follower, run = Wood(3), ChainFollower(64, linked=True), Run(tmp_path)
    run.feed(claim(follower, Tree(wood.tip, heads=[wood.tip]), wood.tip))
    tree, outbox = wood.rivals(20), run.stores.ledger.outbox
    run.feed(together(claim(follower, tree, tree.heads[0])))
    assert run.stores.ledger.outbox.pending()["ops"] > 0
    events = list(together(claim(follower, tree, tree.heads[1])))
    reverts = [event for event in events if isinstance(event, BlockReverted)]
    for event in reverts:
        run.pipeline.handle(event)
        assert run.pipeline.turning
        assert outbox.due("ops", 1e12) == []
    run.feed(events[len(reverts) :])
    assert not run.pipeline.turning
    told = outbox.due("ops", 1e12, limit=1000)
    winning = {node.position for node in tree.winning}
    assert {row.position for row in told} <= winning
    run.stores.ledger.close()


def test_the_depth_of_a_deep_fork_is_told_as_it_was(tmp_path: Path) -> None:
    """Of 30 blocks the rules are shown eight again; what is told is 30, after a restart as well."""
    wood, follower, run = Wood(3), ChainFollower(64, linked=True), Run(tmp_path, ())
    run.feed(claim(follower, Tree(wood.tip, heads=[wood.tip]), wood.tip))
    tree = wood.rivals(30)
    run.feed(together(claim(follower, tree, tree.heads[0])))
    events = list(together(claim(follower, tree, tree.heads[1])))
    run.feed(events[:30])
    run.stores.ledger.close()
    run = Run(tmp_path, ())
    run.feed(events[30:])
    (told,) = [a for a in every_alert(run.stores.ledger) if a.rule == "reorg_depth"]
    assert told.sentence.startswith("30 blocks were orphaned")
    assert told.severity == Severity.CRITICAL
    run.stores.ledger.close()


class Stall:
    """A chain on which finality stays away, and then 300 blocks of it are replaced."""

    def __init__(self, depth: int) -> None:
        self.wood = Wood(5)
        self.follower = ChainFollower(UNDO, linked=True, unfinal=10 * depth)
        self.chain = [self.wood.tip]
        first = Tree(self.wood.tip, heads=[self.wood.tip])
        self.before = list(claim(self.follower, first, self.wood.tip))
        for _ in range(12):
            tree = self.wood.tree(2)
            self.chain += tree.winning
            for head in tree.heads:
                self.before += together(claim(self.follower, tree, head))
        final = self.follower.finalize(self.chain[-6].position)
        self.before += final
        self.straight = Observed(UNDO)
        self.straight.handle(BlocksAdded(node.batch()) for node in self.chain)
        self.straight.detector.finalize(self.chain[-6].position)
        tree = self.wood.rivals(depth)
        self.losing = [e for head in tree.heads[:1] for e in claim(self.follower, tree, head)]
        self.fork = list(together(claim(self.follower, tree, tree.heads[1])))
        self.chain += tree.winning
        self.straight.handle(tree.won())


@pytest.fixture(scope="module")
def stall() -> Stall:
    """A fork of 300 blocks."""
    return Stall(300)


@pytest.fixture(scope="module")
def stalled(stall: Stall, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder before that fork: polls, and a snapshot every 50 blocks as time goes by."""
    folder = tmp_path_factory.mktemp("stalled") / "out"
    run = Run(folder)
    run.feed(stall.before)
    run.pipeline.save_snapshot()
    for start in range(0, len(stall.losing), 50):
        run.feed(together(iter(stall.losing[start : start + 50])))
        run.pipeline.save_snapshot()
    run.stores.ledger.close()
    return folder


@pytest.mark.timeout(600)
def test_a_fork_of_300_blocks_during_a_stall_ends_as_the_winning_chain(
    stall: Stall, stalled: Path, tmp_path: Path
) -> None:
    """The snapshot of the finalized block is still there; all is as if there had been no fork."""
    folder = shutil.copytree(stalled, tmp_path / "out")
    run, receiver = Run(folder), Receiver()
    receiver.take(run)
    assert len(list((folder / "snapshots").iterdir())) == 3 + 1
    run.feed(stall.fork)
    assert run.rewinds == 1
    assert run.pipeline.halted == ""
    run.check(stall.straight, stall.chain)
    receiver.take(run)
    assert receiver.standing == dict(stall.straight.alerts.keys())
    value = run.pipeline.metrics.registry.get_sample_value
    assert value("chainwarden_rewinds_total", {"chain": "ethereum"}) == 1
    assert value("chainwarden_scoring_halted", {"chain": "ethereum"}) == 0
    with pytest.raises(DeepReorg, match="final"):
        run.pipeline.handle(BlockReverted(stall.chain[10].position))
    run.stores.ledger.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("point", ["before the commit", "after the commit", "at the snapshot"])
def test_killed_while_it_goes_back_a_restart_ends_the_same(
    stall: Stall, stalled: Path, tmp_path: Path, point: str
) -> None:
    """SIGKILL before the blocks are taken back, before the detector follows, and before its copy
    is saved: started again and given what the ledger does not have, everything is equal."""
    folder = shutil.copytree(stalled, tmp_path / "out")

    def work() -> None:
        run = Run(folder)
        commit, rewind = run.stores.ledger.commit, run.pipeline.rewind
        assert rewind is not None

        def dying_commit(what: Commit) -> None:
            if what.reverted is not None and point == "before the commit":
                os.kill(os.getpid(), signal.SIGKILL)
            commit(what)

        def dying_rewind() -> None:
            if point == "at the snapshot":
                rewind()
            os.kill(os.getpid(), signal.SIGKILL)

        pytest.MonkeyPatch().setattr(run.stores.ledger, "commit", dying_commit)
        run.pipeline.rewind = dying_rewind
        run.feed(stall.fork)

    _, status = os.waitpid(in_child(work), 0)
    assert os.WIFSIGNALED(status)
    run = Run(folder)
    cursor = run.pipeline.cursor
    assert cursor.head is not None
    taken_back = point != "before the commit"
    assert (cursor.head == stall.chain[-301].position) == taken_back
    reverts = sum(isinstance(event, BlockReverted) for event in stall.fork)
    run.feed(stall.fork[reverts:] if taken_back else stall.fork)
    run.check(stall.straight, stall.chain)
    run.stores.ledger.close()


@pytest.mark.timeout(600)
def test_a_node_that_replaces_262_blocks_is_followed_live(tmp_path: Path) -> None:
    """A node of which everything is verified, a bus between: the fork is walked down by hash, the
    state goes back, and is that of a detector that was only ever given the winning chain.
    """
    recording, stop, health = Recording(), threading.Event(), Health()
    trunk = recording.grow(12)
    recording.grow(262, name="losing")
    run, bus = Run(tmp_path), MemoryBus(timeout_seconds=300)
    with Liar(recording) as node, RpcSource([node.url]) as source:
        source.connect()
        node.finalized = int(recording.by_hash[trunk[5]]["number"], 16)
        metrics, first = run.pipeline.metrics, recording.numbers[0]
        follower = ChainFollower(64, linked=True, unfinal=1_000)
        events = live(
            source,
            follower,
            accept_blocks(ETHEREUM, metrics),
            start=first,
            stop=stop,
            config=LiveConfig(finality_seconds=0.0),
        )
        ingester = Worker("ingest", lambda: ingest_loop(events, bus.publish, metrics, health), stop)
        ingester.start()

        def done() -> bool:
            head = run.pipeline.cursor.head
            if head is None or head.number < recording.numbers[-1]:
                return stop.is_set()
            if len(recording.by_hash) > 12 + 262:
                stop.set()
                return True
            recording.grow(263, on=trunk[-1], name="winning")
            node.head = recording.numbers[-1]
            return False

        detect_loop(bus, run.pipeline, done, health, DetectOptions(offsets=False))
        ingester.join()
    chain = [recording.by_number[number] for number in recording.numbers]
    manifest = run.stores.ledger.files()
    batches = list(read_blocks(run.stores.lake, manifest))
    assert ["0x" + p.hash.hex() for b in batches for p in b.positions()] == chain
    assert len(read_orphans(run.stores.lake, manifest)) == 262
    assert run.rewinds == 1
    straight = detector_of(LabelBook(LABELS), UNDO)
    for batch in batches:
        straight.process(batch)
    assert run.detector.digest() == straight.digest()
    run.stores.ledger.close()


def test_a_revert_that_was_polled_but_not_committed_comes_again(tmp_path: Path) -> None:
    """Killed between the commit of what came before a fork and that of the fork itself, the
    offsets in the ledger are those before the fork: the bus gives it again.
    """
    wood, follower, run = Wood(3), ChainFollower(64, linked=True), Run(tmp_path)
    events = list(claim(follower, Tree(wood.tip, heads=[wood.tip]), wood.tip))
    tree = wood.rivals(3)
    for head in tree.heads:
        events += claim(follower, tree, head)
    first_revert = next(i for i, e in enumerate(events) if isinstance(e, BlockReverted))
    for offset, event in enumerate(events[: first_revert + 1]):
        run.pipeline.handle(event, {"blocks/0": offset + 1})
    cursor = run.stores.ledger.cursor()
    assert cursor is not None
    assert cursor.offsets == {"blocks/0": first_revert}
    run.stores.ledger.close()
    run, straight = Run(tmp_path), Observed(UNDO)
    for offset, event in enumerate(events[first_revert:], first_revert):
        run.pipeline.handle(event, {"blocks/0": offset + 1})
    run.pipeline.flush()
    nodes = [tree.root, *tree.winning]
    straight.handle([BlocksAdded(node.batch()) for node in nodes])
    run.check(straight, nodes)
    run.stores.ledger.close()
