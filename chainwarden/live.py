"""The two halves of a running deployment, and how they are joined in one process.

``ingest_loop`` turns a node's heads into chain events on the bus; ``detect_loop`` takes them off,
scores and commits. With Kafka between them they are two processes; embedded they are two threads
around a ``MemoryBus``.

Shutdown goes with the data: the source stops first, then the bus is drained, everything is
committed, a snapshot is saved, and deliveries that are under way end.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial

from chainwarden.backfill import Node
from chainwarden.bus import Consumer, Delivery
from chainwarden.errors import BadBlock
from chainwarden.metrics import Metrics
from chainwarden.pipeline import Pipeline
from chainwarden.schema import BlockBatch, BlocksAdded, Chain, ChainEvent
from chainwarden.settings import Settings
from chainwarden.watchdog import Watchdog
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.heads import HeadDoorbell
from ingest.live import Following, LiveConfig, Submit, live
from ingest.pool import PoolConfig, RpcStats
from ingest.raw import RawBlock
from ingest.rpc import RpcConfig, RpcSource
from ingest.sender_process import SenderProcess
from ingest.verify import Verifier
from ingest.workers import BlockWorkers, cores

log = logging.getLogger(__name__)

# What is counted of requests to nodes, by the names in RpcStats.
_OUTCOMES = (
    "requests",
    "retries",
    "failovers",
    "failed",
    "rate_limited",
    "not_yet",
    "wrong_chain",
    "heads_behind",
    "unconfirmed_heads",
    "unconfirmed_blocks",
)

# After a snapshot that the disk did not take.
SNAPSHOT_RETRY_SECONDS = 60.0

# Events that may be scored and committed together when the consumer is behind.
MAX_EVENTS = 512


@dataclass(slots=True)
class Health:
    """What ``/readyz`` asks: empty when the pipeline works, else why it does not.

    ``others`` are asked, too: the first reason that one of them has.
    """

    reason: str = "starting"
    others: list[Callable[[], str]] = field(default_factory=list)

    def __call__(self) -> str:
        """The reason why it is not ready; empty when it is."""
        return self.reason or next((why for ask in self.others if (why := ask())), "")


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set ``stop`` at SIGINT or SIGTERM; a second one interrupts at once."""

    def ask(number: int, _frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        log.info("stopping (%s)", signal.Signals(number).name)
        stop.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(slots=True)
class Worker:
    """A thread whose failure is not lost: it stops the others and is raised by ``join``."""

    name: str
    work: Callable[[], None]
    stop: threading.Event
    failure: BaseException | None = None
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name=self.name)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it still works."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.work()
        except BaseException as error:
            self.failure = error
            self.stop.set()

    def join(self) -> None:
        """Wait for the end; raise what ended it."""
        if self._thread is not None:
            self._thread.join()
        if self.failure is not None:
            raise self.failure


def ingest_loop(
    events: Iterator[ChainEvent],
    publish: Callable[[ChainEvent], None],
    metrics: Metrics,
    health: Health,
    observe: Callable[[], None] = lambda: None,
) -> None:
    """Publish every event; the cursor moves in ``publish``, after the bus confirmed.

    ``observe`` is called after each event, for metrics.
    """
    for event in events:
        with metrics.stage_seconds.labels(metrics.chain, "publish").time():
            publish(event)
        if isinstance(event, BlocksAdded):
            batch = event.batch
            timestamp = batch.blocks["block_timestamp"][-1].as_py()
            metrics.at_head("ingest", batch.position(-1), timestamp)
            if event.gap:
                metrics.gaps.labels(metrics.chain).inc()
        health.reason = ""
        observe()


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """How a detect loop works.

    ``offsets``: whether the bus outlives the process, so that its offsets belong in the ledger.
    ``answers`` says whether the bus can be asked: while it cannot, nothing is idle.
    """

    snapshot_seconds: float = 600.0
    exit_when_idle_seconds: float | None = None
    offsets: bool = True
    answers: Callable[[], bool] = lambda: True


def detect_loop(
    consumer: Consumer,
    pipeline: Pipeline,
    stop: Callable[[], bool],
    health: Health,
    options: DetectOptions,
    observe: Callable[[], None] = lambda: None,
) -> None:
    """Score and commit until ``stop`` says so, or nothing came for as long as asked.

    What was polled together is committed together, so an alert is on disk when its block was
    handled, and a consumer that is behind does not pay a commit for every block. Blocks that a fork
    took away are committed when the last of them has come. A snapshot that the disk does not take
    is tried again after a minute; only at the end it is an error. ``observe`` is called after each
    round, for metrics.
    """
    snapshot_at = time.monotonic() + options.snapshot_seconds
    idle_since = time.monotonic()
    while not stop():
        deliveries = consumer.poll(0.2, MAX_EVENTS)
        last = _last_blocks(deliveries)
        for place, delivery in enumerate(deliveries):
            offsets = delivery.offsets if options.offsets else None
            pipeline.handle(delivery.event, offsets, last=place == last)
        now = time.monotonic()
        if pipeline.turning and deliveries:
            continue  # what was reverted is taken back with all of its branch: the rest comes now
        if deliveries or pipeline.turning:
            pipeline.flush()
            health.reason = ""
        if deliveries or not options.answers():
            idle_since = now
        elif (
            options.exit_when_idle_seconds is not None
            and now - idle_since > options.exit_when_idle_seconds
        ):
            break
        if now >= snapshot_at:
            taken = pipeline.checkpoint()
            wait = options.snapshot_seconds
            snapshot_at = time.monotonic() + (wait if taken else min(wait, SNAPSHOT_RETRY_SECONDS))
        observe()
    pipeline.save_snapshot()


def _last_blocks(deliveries: Sequence[Delivery]) -> int:
    """The place of the last that brings blocks, -1 where none does."""
    places = (n for n, one in enumerate(deliveries) if isinstance(one.event, BlocksAdded))
    return max(places, default=-1)


def accept_blocks(
    chain: Chain, metrics: Metrics, senders: SenderProcess | None = None
) -> Callable[[RawBlock], BlockBatch]:
    """Verifies and decodes one block; what does not verify is counted and raised.

    ``senders`` recovers the senders meanwhile.
    """
    verifier = Verifier(process=senders)

    def accept(raw: RawBlock) -> BlockBatch:
        try:
            verification = verifier.begin(raw)
            batch = decode_blocks(chain, [raw], [verification.known])
            verifier.finish(verification)
        except BadBlock as error:
            _count_block(metrics, error)
            raise
        _count_block(metrics, batch)
        return batch

    return accept


def sender_process() -> AbstractContextManager[SenderProcess | None]:
    """What ``accept_blocks`` takes, where there is a core for it; else None."""
    return SenderProcess() if cores() > 1 else nullcontext()


@contextmanager
def accept_in_workers(chain: Chain, metrics: Metrics) -> Iterator[Submit]:
    """``accept_blocks`` in several processes, for many blocks at a time."""

    def count(done: Future[BlockBatch]) -> None:
        if not done.cancelled():
            _count_block(metrics, done.exception() or done.result())

    with BlockWorkers(chain) as workers:

        def accept(raw: RawBlock, then: Callable[[BlockBatch], BlockBatch]) -> Future[BlockBatch]:
            future = workers.submit(raw, then)
            future.add_done_callback(count)
            return future

        yield accept


def _count_block(metrics: Metrics, found: BlockBatch | BaseException) -> None:
    """Count a block by what became of it."""
    if isinstance(found, BlockBatch):
        verified = found.blocks["verified"][0].as_py()
        metrics.blocks.labels(metrics.chain, "verified" if verified else "unverified").inc()
    elif isinstance(found, BadBlock):
        metrics.blocks.labels(metrics.chain, "rejected").inc()
        metrics.verification_failures.labels(metrics.chain, found.reason).inc()


def follow(
    source: RpcSource,
    follower: ChainFollower,
    settings: Settings,
    watchdog: Watchdog,
    metrics: Metrics,
    stop: threading.Event,
) -> Iterator[ChainEvent]:
    """The chain events of a node's growing chain, until ``stop`` is set.

    Where they do not come, the watchdog has the source opened anew. The follower is then where the
    last event that was published left it.
    """
    crew = partial(accept_in_workers, source.chain, metrics) if cores() > 1 else None
    start, websocket = settings.source.start, settings.source.websocket.reveal()

    with sender_process() as senders:
        accept = accept_blocks(source.chain, metrics, senders)

        def begin(over: threading.Event) -> Iterator[ChainEvent]:
            bell = HeadDoorbell(websocket) if websocket else None
            return live(source, follower, accept, start=start, stop=over, doorbell=bell, crew=crew)

        yield from watchdog.watch(source, begin, stop, start)


@contextmanager
def backfill_node(
    settings: Settings, chain: Chain, metrics: Metrics, stop: threading.Event
) -> Iterator[Node | None]:
    """The nodes that give blocks which the bus lost; None where the settings name none.

    Nothing is asked before something is missing, so they may be down until then.
    """
    if not settings.source.rpc:
        yield None
        return
    urls = [url.reveal() for url in settings.source.rpc]
    # Short, for the loop that waits meanwhile: it comes back, while its patience lasts.
    pool = PoolConfig(deadline_seconds=10.0)
    with RpcSource(urls, chain, RpcConfig(traces=settings.source.traces, pool=pool)) as source:
        source.stop_on(stop)
        accept = accept_blocks(chain, metrics)
        yield Node(
            lambda follower: Following(source, follower, accept, LiveConfig()),
            settings.bus.patience_seconds,
        )


def observe_source(metrics: Metrics, stats: RpcStats) -> None:
    """Bring the metrics about nodes up to date."""
    if stats.head_number >= 0:
        metrics.behind("ingest", stats.head_number)
    metrics.raise_counter(metrics.finality_conflicts, stats.finality_conflicts)
    # The other reasons are counted where a block is accepted, which knows nothing of its parent.
    metrics.raise_counter(metrics.verification_failures, stats.rejected["parent"], "parent")
    for outcome in _OUTCOMES:
        metrics.raise_counter(metrics.rpc_requests, getattr(stats, outcome), outcome)
