"""The watchdog: a source that stands is noticed, said, and opened anew."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from chainwarden.live import Health, ingest_loop
from chainwarden.metrics import Metrics
from chainwarden.schema import ETHEREUM, BlockReverted, BlocksAdded, ChainEvent
from chainwarden.watchdog import Watchdog, WatchdogConfig
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.live import live
from ingest.raw import RawBlock, RpcBlock
from ingest.rpc import RpcSource
from tests.conftest import ROOT
from tests.ingest.test_heads import until
from tests.rigs.course import HASTY, QUICK, Accept, Told
from tests.rigs.liar import Answer, Json, Liar, Recording

CLOSE = WatchdogConfig(look_seconds=0.01)


@dataclass
class Clock:
    """A monotonic clock that is moved by hand."""

    now: float = 1_000.0

    def __call__(self) -> float:
        """The time now."""
        return self.now


@dataclass
class Watched:
    """A source that is followed under a watchdog, in a thread, and what came of it."""

    source: RpcSource
    clock: Clock = field(default_factory=Clock)
    told: Told = field(default_factory=Told)
    health: Health = field(default_factory=Health)
    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry(), "ethereum"))
    stop: threading.Event = field(default_factory=threading.Event)
    start: int = 100
    lives: int = 0

    def __post_init__(self) -> None:
        self.follower = ChainFollower(linked=True)
        self.accept = Accept(ETHEREUM)
        dog = Watchdog(self.metrics, CLOSE, self.clock)
        self.health.others.append(dog.reason)
        events = dog.watch(self.source, self.begin, self.stop, self.start)
        self.thread = threading.Thread(
            target=ingest_loop, args=(events, self.told.hear, self.metrics, self.health)
        )

    def begin(self, over: threading.Event) -> Iterator[ChainEvent]:
        """A life of the source."""
        self.lives += 1
        return live(
            self.source, self.follower, self.accept, start=self.start, stop=over, config=HASTY
        )

    def __enter__(self) -> Watched:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        began = time.monotonic()
        self.thread.join(10)
        assert time.monotonic() - began < 2, "it did not stop in time"

    def value(self, name: str) -> float | None:
        """A metric's value."""
        return self.metrics.registry.get_sample_value(name, {"chain": "ethereum"})

    def at(self, number: int) -> bool:
        """Whether that block becomes the newest one published."""
        return until(lambda: self.told.chain[-1:] != [] and self.told.chain[-1].number == number)


@pytest.fixture
def recording() -> Recording:
    """Twelve blocks, 100 to 111, twelve seconds apart."""
    made = Recording()
    made.grow(12)
    return made


@pytest.fixture
def node(recording: Recording) -> Iterator[Liar]:
    """A node that has them."""
    with Liar(recording) as liar:
        yield liar


@pytest.fixture
def watched(node: Liar) -> Iterator[Watched]:
    """The node, followed up to its head."""
    with RpcSource([node.url], ETHEREUM, QUICK) as source, Watched(source) as watched:
        assert watched.at(111)
        yield watched


def grow(node: Liar) -> None:
    """One block more."""
    node.recording.grow(1)
    node.head += 1


def test_a_head_that_stands_is_said_after_a_minute_and_no_sooner(
    node: Liar, watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    """59 s are nothing; 61 s are a metric, a reason and one log line; a block ends all three."""
    assert watched.health() == ""
    watched.clock.now += 59
    time.sleep(0.1)
    assert watched.health() == ""
    watched.clock.now += 2
    assert until(lambda: watched.value("chainwarden_source_stalled") == 1)
    assert watched.health() == "no block after 111 for 61 s"
    time.sleep(0.1)
    assert caplog.text.count("the source stands") == 1
    grow(node)
    assert watched.at(112)
    assert until(lambda: watched.health() == "")
    assert watched.value("chainwarden_source_stalled") == 0
    assert watched.lives == 1
    assert watched.told.reverted == 0


@pytest.mark.parametrize("way", ["null", "errors", "silent", "loops"])
def test_a_source_that_is_stuck_is_opened_anew(node: Liar, watched: Watched, way: str) -> None:
    """After five minutes, whatever it is stuck in, and every five minutes more; nothing is lost.

    What was published stays, no block is published twice, and none is taken back.
    """
    stuck(node, way)
    grow(node)
    watched.clock.now += 61
    assert until(lambda: watched.health() != "")
    assert watched.lives == 1
    watched.clock.now += 230
    time.sleep(0.1)
    assert watched.lives == 1
    for life in (2, 3):
        watched.clock.now += 301
        assert until(partial(lives, watched, life))
        assert watched.value("chainwarden_source_restarts_total") == life - 1
    assert [each.number for each in watched.told.chain] == list(range(100, 112))
    node.tamper, node.intercept = lambda _m, _p, truth: truth, lambda _: None
    node.released.set()
    assert watched.at(112)
    assert watched.told.reverted == 0
    assert [each.number for each in watched.told.chain] == list(range(100, 113))
    assert until(lambda: watched.health() == "")


def lives(watched: Watched, count: int) -> bool:
    """Whether the source has that many lives behind it, the present one included."""
    return watched.lives == count


def stuck(node: Liar, way: str) -> None:
    """From now on the node is of no use, in one of four ways."""
    known = node.recording

    def tamper(method: str, params: list[Json], truth: Json) -> Json:
        if method != "eth_getBlockByNumber" or params[0] != "latest":
            return None if way == "null" else truth
        if way == "loops":
            return known.by_hash[known.by_number[100 + len(node.asked) % 12]]
        return truth

    node.tamper = tamper
    if way == "errors":
        node.intercept = lambda _: Answer(b"", 500)
    elif way == "silent":
        node.intercept = node.hang


def test_a_head_that_is_told_of_and_never_comes_is_said_to_be(node: Liar, watched: Watched) -> None:
    """Where heads rise and blocks do not come, the reason names both."""
    stuck(node, "null")
    for _ in range(3):
        grow(node)
    assert until(lambda: watched.source.head_number == 114)
    watched.clock.now += 61
    assert until(lambda: watched.health() != "")
    assert watched.health() == (
        "the nodes are at block 114, the last one is block 111, taken in 61 s ago"
    )


def test_a_new_start_knows_what_an_endpoint_asked_for(node: Liar, watched: Watched) -> None:
    """A node that wants to be left alone for an hour is, through every new start."""
    node.intercept = lambda _: Answer(b"", 429, {"Retry-After": "3600"})
    grow(node)
    assert until(lambda: watched.source.stats.rate_limited > 0)
    posts = len(node.posts)
    watched.clock.now += 301
    assert until(lambda: watched.lives == 2)
    time.sleep(0.5)
    assert len(node.posts) == posts


def test_counters_go_on_after_a_new_start(node: Liar, watched: Watched) -> None:
    """What was counted before is not forgotten: counters never fall."""
    before = watched.source.stats.requests
    stuck(node, "errors")
    watched.clock.now += 301
    assert until(lambda: watched.lives == 2)
    assert watched.source.stats.requests >= before > 0
    assert watched.source.stats.restarts == 1


def every_minute(count: int) -> Iterator[BlocksAdded]:
    """Blocks 100 and on of a chain that has one a minute; nobody looks at their roots here."""
    made = Recording()
    made.grow(count)
    for number in made.numbers:
        block = made.by_hash[made.by_number[number]] | {"timestamp": hex(60 * number)}
        raw = RawBlock(msgspec.convert(block, RpcBlock))
        yield BlocksAdded(decode_blocks(ETHEREUM, [raw], [False]))


def test_a_slow_chain_is_given_its_time() -> None:
    """With a block a minute the alarm is after five; where the node has a newer one, after one."""
    clock, metrics = Clock(), Metrics(CollectorRegistry(), "ethereum")
    dog = Watchdog(metrics, CLOSE, clock)
    for event in every_minute(12):
        dog.moved(event)
    clock.now += 299
    assert not dog.look(111)
    assert dog.reason() == ""
    clock.now += 2
    assert not dog.look(111)
    assert dog.reason() == "no block after 111 for 301 s"
    clock.now += 1_200
    assert dog.look(111)
    ahead = Watchdog(metrics, CLOSE, clock)
    for event in every_minute(12):
        ahead.moved(event)
    assert ahead.reason() == ""
    clock.now += 61
    assert not ahead.look(112)
    assert "the nodes are at block 112" in ahead.reason()


def test_turning_in_circles_is_no_progress() -> None:
    """Blocks that are taken back and added again do not count: only a higher one does."""
    clock = Clock()
    dog = Watchdog(Metrics(CollectorRegistry(), "ethereum"), CLOSE, clock)
    events = list(every_minute(12))
    for event in events[:-1]:
        dog.moved(event)
    for _ in range(31):
        dog.moved(events[-2])
        dog.moved(BlockReverted(events[-2].batch.position(0)))
        clock.now += 10
    assert dog.look(110)
    assert dog.reason() != ""
    dog.moved(events[-1])
    assert dog.reason() == ""


def test_a_source_that_waits_for_its_first_block_does_not_stand() -> None:
    """Below the block to start with, a head that rises slowly is no stall; no head at all is."""
    clock = Clock()
    dog = Watchdog(Metrics(CollectorRegistry(), "ethereum"), CLOSE, clock)
    for _ in range(10):
        clock.now += 100
        assert not dog.look(99, start=150)
    assert dog.reason() == ""
    clock.now += 61
    dog.look(-1, start=150)
    assert dog.reason() == "no node has told of a head for 61 s"


def test_it_ends_within_a_second(node: Liar) -> None:
    """Stopped in the middle of a life that hangs, it leaves no thread behind."""
    with RpcSource([node.url], ETHEREUM, QUICK) as source:
        with Watched(source) as watched:
            assert watched.at(111)
            node.intercept = node.hang
            assert any(each.name == "chainwarden-watchdog" for each in threading.enumerate())
        assert not watched.thread.is_alive()
    assert until(lambda: not any(t.name.startswith("chainwarden") for t in threading.enumerate()))


def test_a_stop_is_never_missed(node: Liar) -> None:
    """Stopped at any instant, in the middle of a new start as well, it ends within two seconds."""
    for _ in range(20):
        with RpcSource([node.url], ETHEREUM, QUICK) as source, Watched(source) as watched:
            assert watched.at(111)
            watched.clock.now += 301


SURPRISED = """
import threading
from prometheus_client import CollectorRegistry
from chainwarden.metrics import Metrics
from chainwarden.watchdog import Watchdog
from ingest.rpc import RpcSource
from tests.bus.blocks import finalized

events = iter([finalized(1), finalized(2)])
with RpcSource(["http://127.0.0.1:1"]) as source:
    watchdog = Watchdog(Metrics(CollectorRegistry(), "ethereum"))
    for event in watchdog.watch(source, lambda over: events, threading.Event()):
        raise RuntimeError("a surprise")
"""


def test_an_exception_of_who_takes_the_events_ends_the_process() -> None:
    """Its traceback keeps the generator, and so the patrol, which keeps no process up."""
    done = subprocess.run(
        [sys.executable, "-c", SURPRISED],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: a surprise\n")
