"""The pipeline as ``chainwarden detect`` runs it, in processes that are killed.

Run as ``python -m tests.rigs.doomed SEED BLOCKS FOLDER`` from the project's root. This process
warms up once, has a simulated chain with forks on a bus, and has one thread; for every ``Plan`` on
its standard input it forks a child that opens the plan's folder, goes on where the ledger is, and
posts to the plan's receiver, until it is killed or all is done. Two lines of JSON answer each plan:
the child's pid, and its ``End``.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import selectors
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from chainwarden import detecting as wiring
from chainwarden.bus import Delivery
from chainwarden.deployment import UNDO_BLOCKS, make_detector, new_book
from chainwarden.detecting import Detecting
from chainwarden.live import DetectOptions, detect_loop
from chainwarden.memory_bus import MemoryBus
from chainwarden.pipeline import Stores
from chainwarden.restart import sweep
from chainwarden.schema import (
    ETHEREUM,
    BlockReverted,
    BlocksAdded,
    alert_to_dict,
)
from chainwarden.settings import Settings, load_settings
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.simulate import Simulation, SimulationConfig, write_chain
from store.lake import DATASETS, ORPHANED
from store.ledger import AlertFilter
from store.queries import MAX_LIMIT
from tests.rigs import failpoints
from tests.rigs.failpoints import Failpoint
from tests.rigs.receiver import LOOPBACK, SECRET

SNAPSHOT_SECONDS: Final = 0.4
INSTANT: Final = "an instant"
FASTER: Final = 200.0
"""How much faster than time the wall clock runs: 5 s until a retry are 25 ms."""


class Plan(msgspec.Struct, frozen=True):
    """What a child does, and when it dies: at a failpoint, after some seconds of work, or never.

    ``steps`` are how many events at most it takes off the bus at a time, in turn.
    """

    folder: str
    url: str
    steps: tuple[int, ...]
    failpoint: Failpoint | None = None
    seconds: float | None = None


class End(msgspec.Struct, frozen=True):
    """How a child ended: the signal and where, or its exit code."""

    signal: int
    code: int
    place: str


class Outcome(msgspec.Struct, frozen=True):
    """What must be the same, however often the process was killed; and calls by failpoint."""

    state: str
    cursor: tuple[int, str, int, int, int]
    alerts: list[dict[str, Any]]
    lists: list[tuple[int, str, str]]
    lake: dict[str, str]
    pending: dict[str, int]
    calls: dict[str, int]


class Paced:
    """A consumer that gives no more events at a time than it is told, so that commits differ."""

    def __init__(self, bus: MemoryBus, steps: tuple[int, ...]) -> None:
        self._bus = bus
        self._steps = itertools.cycle(steps)
        self.seek, self.commit, self.lag, self.close = bus.seek, bus.commit, bus.lag, bus.close

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """What comes next."""
        return self._bus.poll(timeout_seconds, min(max_events, next(self._steps)))


class Rehearsed:
    """A chain on a bus, with everything compiled that a process needs to score it.

    Without the wallet risk model, which makes a restart twice as long.
    """

    def __init__(self, seed: int, blocks: int, folder: Path) -> None:
        config = SimulationConfig(seed=seed, blocks=blocks, transactions_per_block=5.0)
        self.labels_file = write_chain(config, folder).labels_file
        follower = ChainFollower(UNDO_BLOCKS)
        events = [
            event
            for raw in Simulation(config).blocks()
            for event in follower.add(decode_blocks(ETHEREUM, [raw], [True]))
        ]
        self.bus = MemoryBus(len(events))
        for event in events:
            self.bus.publish(event)
        settings = self.settings(Plan("", "http://127.0.0.1/", ()))
        detector = make_detector(settings, ETHEREUM, new_book()).detector
        for event in events:
            if isinstance(event, BlocksAdded):
                detector.process(event.batch, event.gap)
            elif isinstance(event, BlockReverted):
                detector.revert(event.position)
        again = make_detector(settings, ETHEREUM, new_book()).detector
        again.restore(detector.snapshot())

    def settings(self, plan: Plan) -> Settings:
        """The settings of a process."""
        return load_settings(
            None,
            {
                "CHAINWARDEN_WEBHOOK_URL": plan.url,
                "CHAINWARDEN_WEBHOOK_SECRET": SECRET,
                "CHAINWARDEN_WEBHOOK_ALLOW_NETWORKS": ",".join(LOOPBACK),
            },
            {
                "detect.wallets": 20_000,
                "detect.hash_key": "00" * 16,  # a state's digest depends on it
                "detect.learn_depth": 16,
                "detect.risk": False,
                "detect.label_delay_days": 0.002,
                "detect.labels": [str(self.labels_file)],
                "store.out": plan.folder,
                "server.port": 0,
            },
        )


def live(plan: Plan, chain: Rehearsed, note: int) -> None:
    """What the child does: go on, and once there is nothing left, write down what there is."""
    calls: Counter[str] = Counter()
    if plan.failpoint is None:
        failpoints.count(calls)
    else:
        failpoints.arm(plan.failpoint, lambda place: _note(note, place))
    stop = threading.Event()

    def clock() -> float:
        return 1.8e9 + FASTER * time.monotonic()

    consumer = Paced(chain.bus, plan.steps)
    with wiring.detecting(chain.settings(plan), ETHEREUM, stop, consumer.commit, clock) as behind:
        consumer.seek(behind.pipeline.cursor.offsets)
        detect_loop(
            consumer,
            behind.pipeline,
            lambda: not consumer.lag() and not behind.stores.ledger.outbox.pending(),
            behind.health,
            DetectOptions(SNAPSHOT_SECONDS),
            behind.observe,
        )
        agree(behind.stores)
        outcome = outcome_of(behind, calls)
    Path(plan.folder, "outcome.json").write_bytes(msgspec.json.encode(outcome))


def _note(pipe: int, place: str) -> None:
    os.write(pipe, place.encode())


def checked_sweep(stores: Stores) -> None:
    """``sweep``, of a lake that must agree with its ledger as they are found."""
    agree(stores)
    sweep(stores)


def agree(stores: Stores) -> None:
    """The manifest's files are whole, and are the blocks up to the ledger's cursor, each once.

    Every file under a final name can be read, whether the manifest names it or not; an alert that
    holds is about a block of the lake, and as it was written.
    """
    ledger, lake = stores.ledger, stores.lake
    audit = ledger.verify()
    assert (audit.faults, audit.head) == ((), ledger.audit_head())
    manifest, cursor = ledger.files(), ledger.cursor()
    assert lake.verify(manifest) == ()
    named = {lake.folder / file.path for file in manifest}
    for path in lake.folder.rglob("*.parquet"):
        assert path in named or not _torn(path), f"{path} is torn"
    if cursor is None or cursor.head is None:
        assert not manifest
        return
    blocks = lake.read(ledger.files("blocks"), ["block_number", "block_hash", "transaction_count"])
    numbers = blocks["block_number"].to_pylist()
    assert numbers == list(range(numbers[0], cursor.head.number + 1))
    hashes = blocks["block_hash"].to_pylist()
    assert hashes[-1] == cursor.head.hash
    rows = Counter[str]()
    for file in manifest:
        rows[file.dataset] += file.rows
    assert rows["transactions"] == sum(blocks["transaction_count"].to_pylist())
    on_chain = set(zip(numbers, hashes, strict=True))
    for alert in ledger.alerts(AlertFilter(limit=MAX_LIMIT)):
        assert (alert.position.number, alert.position.hash) in on_chain, alert


def _torn(path: Path) -> bool:
    try:
        pq.read_table(path, partitioning=None)
    except (OSError, pa.ArrowException):
        return True
    return False


def outcome_of(behind: Detecting, calls: Counter[str]) -> Outcome:
    """What a process leaves: state, ledger, lake."""
    ledger, lake = behind.stores.ledger, behind.stores.lake
    cursor = behind.pipeline.cursor
    assert cursor == ledger.cursor()
    assert cursor.head is not None
    wanted = AlertFilter(status="all", limit=MAX_LIMIT, oldest_first=True)
    alerts = [
        {
            **alert_to_dict(record.alert),
            "status": record.status,
            "retraction": None if record.retraction is None else record.retraction.value,
            "instance": record.instance,
        }
        for record in ledger.records(wanted)
    ]
    rows: dict[str, str] = {}
    for dataset in DATASETS:
        if files := ledger.files(dataset):
            # Values, not bytes: how the rows are cut into files may differ.
            texts = [repr(row) for row in lake.read(files).to_pylist()]
            if dataset in ORPHANED:
                texts.sort()  # they are of no one chain
            rows[dataset] = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return Outcome(
        behind.detection.detector.digest(),
        (
            cursor.head.number, cursor.head.hash.hex(), cursor.blocks, cursor.transactions,
            cursor.flows,
        ),
        alerts,
        [(note.number, note.path, note.digest) for note in ledger.label_lists()],
        rows,
        ledger.outbox.pending(),
        dict(calls),
    )  # fmt: skip


def serve(chain: Rehearsed) -> None:
    """Fork a child for every plan, kill it when it is time, say how it ended."""
    for line in sys.stdin.buffer:
        plan = msgspec.json.decode(line, type=Plan)
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(reader)
                live(plan, chain, writer)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writer)
        _say(pid)
        place = INSTANT if _lasts_longer(pid, plan.seconds) else ""
        if place:
            os.kill(pid, signal.SIGKILL)
        with os.fdopen(reader, "rb") as pipe:
            place = pipe.read().decode() or place
        _, status = os.waitpid(pid, 0)
        killed = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        _say(End(killed, 0 if killed else os.waitstatus_to_exitcode(status), place))


def _lasts_longer(pid: int, seconds: float | None) -> bool:
    """Wait until a child ended, or has had so much of a processor: a busy machine is slower."""
    clock = (~pid << 3) | 2  # the processor time of a process: clock_getcpuclockid(3)
    descriptor = os.pidfd_open(pid)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, selectors.EVENT_READ)
            while not selector.select(None if seconds is None else 0.002):
                if seconds is not None and time.clock_gettime(clock) > seconds:
                    return True
            return False
    finally:
        os.close(descriptor)


def _say(what: object) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


def main(seed: int, blocks: int, folder: Path) -> None:
    """Warm up, then serve."""
    chain = Rehearsed(seed, blocks, folder)
    failpoints.put(wiring, "sweep", checked_sweep)
    failpoints.put(wiring, "compile_kernels", lambda _settings: None)  # they are
    assert threading.active_count() == 1, "a fork would lose a thread"
    # A process that a child spawns would first import this module, which takes longer than it has.
    own = sys.modules["__main__"]
    own.__spec__ = own.__file__ = None
    _say("ready")
    serve(chain)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
