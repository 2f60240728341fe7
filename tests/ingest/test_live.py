"""Following a chain as it grows, on a real node and through failures."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chainwarden.errors import DeepReorg
from chainwarden.schema import (
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Position,
)
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.endpoint import EndpointConfig
from ingest.heads import HeadDoorbell
from ingest.live import Accept, LiveConfig, live
from ingest.pool import PoolConfig
from ingest.raw import RawBlock
from ingest.rpc import RpcConfig, RpcSource
from ingest.verify import Verifier
from tests.anvil import Anvil, start_anvil
from tests.ingest.published import Published
from tests.ingest.test_heads import until
from tests.rigs.liar import Answer, Json, Liar, Recording

QUICK = RpcConfig(
    pool=PoolConfig(
        deadline_seconds=1,
        patience_seconds=0.2,
        pause_seconds=0.02,
        longest_pause_seconds=0.2,
        endpoint=EndpointConfig(timeout_seconds=0.5),
    )
)
HASTY = LiveConfig(
    shortest_pause_seconds=0.02,
    longest_pause_seconds=0.1,
    failure_pause_seconds=0.05,
    finality_seconds=0.0,
)


class Following:
    """``live`` in a thread, and what its events amount to."""

    def __init__(
        self,
        source: RpcSource,
        *,
        start: int | None = 0,
        follower: ChainFollower | None = None,
        doorbell: HeadDoorbell | None = None,
        config: LiveConfig = HASTY,
    ) -> None:
        self.source = source
        self.follower = follower or ChainFollower(linked=True)
        self.published = Published()
        self.events: list[ChainEvent] = []
        self.stop = threading.Event()
        self.failure: Exception | None = None
        self._live = live(
            source,
            self.follower,
            verified(source),
            start=start,
            stop=self.stop,
            doorbell=doorbell,
            config=config,
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            for event in self._live:
                self.events.append(event)
                if not isinstance(event, BlockFinalized):
                    self.published.apply([event])
        except Exception as error:
            self.failure = error

    def reaches(self, head: Position, seconds: float = 15.0) -> bool:
        """Whether the block becomes the head that was published last."""
        return until(lambda: self.published.chain[-1:] == [head], seconds)

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        began = time.monotonic()
        self._thread.join(timeout=10)
        assert time.monotonic() - began < 1, "it did not stop within a second"


def verified(source: RpcSource) -> Accept:
    """The real thing: verified, then decoded."""
    verifier = Verifier()

    def accept(raw: RawBlock) -> BlockBatch:
        return decode_blocks(source.chain, [raw], [verifier.verify(raw)])

    return accept


@contextmanager
def source_of(*urls: str, config: RpcConfig = QUICK) -> Iterator[RpcSource]:
    """A source whose chain is known."""
    with RpcSource(urls, config=config) as source:
        source.connect()
        yield source


def head_of(node: Anvil) -> Position:
    """A node's own head."""
    block = node.call("eth_getBlockByNumber", "latest", False)
    return Position(int(block["number"], 16), bytes.fromhex(block["hash"][2:]))


def chain_of(node: Anvil) -> list[Position]:
    """A node's own canonical chain."""
    hashes = [
        node.call("eth_getBlockByNumber", hex(number), False)["hash"]
        for number in range(head_of(node).number + 1)
    ]
    return [Position(number, bytes.fromhex(hash_[2:])) for number, hash_ in enumerate(hashes)]


def tip(recording: Recording) -> Position:
    """A recording's newest block."""
    number = recording.numbers[-1]
    return Position(number, bytes.fromhex(recording.by_number[number][2:]))


# --- a real node ---------------------------------------------------------------------------------


@pytest.mark.anvil
def test_it_follows_blocks_and_reorgs(anvil: Anvil) -> None:
    """Through mining and forks of several depths what was published is the node's chain."""
    anvil.mine(5)
    with source_of(anvil.url) as source, Following(source) as following:
        for depth in (1, 3, 2, 7):
            anvil.pay()
            anvil.mine(depth + 1)
            assert following.reaches(head_of(anvil))
            anvil.call("anvil_reorg", depth, [])
            assert following.reaches(head_of(anvil))
            assert following.published.chain == chain_of(anvil)
    reverted = sum(isinstance(event, BlockReverted) for event in following.events)
    assert reverted == 1 + 3 + 2 + 7
    assert following.published.gaps == 0
    assert source.stats.rejected == {}


@pytest.mark.anvil
def test_it_catches_up_from_far_behind(anvil: Anvil) -> None:
    """300 blocks behind the head arrive in order, in batches of many, payments included."""
    for _ in range(3):
        anvil.pay()
        anvil.mine(100)
    with source_of(anvil.url) as source, Following(source) as following:
        assert following.reaches(head_of(anvil))
    assert following.published.chain == chain_of(anvil)
    added = [event.batch for event in following.events if isinstance(event, BlocksAdded)]
    assert max(len(batch) for batch in added) >= 32
    assert sum(batch.transactions.num_rows for batch in added) == 3
    assert all(batch.blocks["verified"].to_pylist() == [True] * len(batch) for batch in added)


@pytest.mark.anvil
def test_it_begins_with_the_head_or_the_block_it_is_told(anvil: Anvil) -> None:
    """None is the head as it is; a number that is not there yet is waited for."""
    anvil.mine(10)
    head = head_of(anvil)
    with source_of(anvil.url) as source:
        with Following(source, start=None) as following:
            assert following.reaches(head)
        assert following.published.chain == [head]
        with Following(source, start=13) as following:
            time.sleep(0.3)
            assert following.events == []
            anvil.mine(4)
            assert following.reaches(head_of(anvil))
        assert following.published.chain == chain_of(anvil)[13:]


@pytest.mark.anvil
def test_it_resumes_and_reverts_what_was_orphaned_meanwhile(anvil: Anvil) -> None:
    """A restart over a reorg reverts blocks from before it, and loses and repeats none."""
    anvil.mine(20)
    with source_of(anvil.url) as source:
        with Following(source) as before:
            assert before.reaches(head_of(anvil))
        recent = before.follower.recent()
        anvil.call("anvil_reorg", 4, [])
        anvil.mine(50)
        resumed = ChainFollower(linked=True, resume=recent)
        with Following(source, follower=resumed) as after:
            after.published.chain = list(before.published.chain)
            assert after.reaches(head_of(anvil))
    assert after.published.chain == chain_of(anvil)
    assert sum(isinstance(event, BlockReverted) for event in after.events) == 4


@pytest.mark.anvil
def test_a_reorg_below_the_window_is_refused(anvil: Anvil) -> None:
    """It ends with DeepReorg, and nothing wrong was published."""
    anvil.mine(20)
    with (
        source_of(anvil.url) as source,
        Following(source, follower=ChainFollower(window=3, linked=True)) as following,
    ):
        assert following.reaches(head_of(anvil))
        before = list(following.published.chain)
        anvil.call("anvil_reorg", 8, [])
        anvil.mine()
        assert until(lambda: following.failure is not None)
    assert isinstance(following.failure, DeepReorg)
    assert following.published.chain == before


@pytest.mark.anvil
def test_it_says_what_is_final(anvil: Anvil) -> None:
    """The node's finalized tag becomes BlockFinalized, rising, and on the published chain."""
    anvil.mine(70)
    with source_of(anvil.url) as source, Following(source) as following:
        assert until(lambda: any(isinstance(e, BlockFinalized) for e in following.events))
        anvil.mine(5)
        assert following.reaches(head_of(anvil))
        floor = Position(11, chain_of(anvil)[11].hash)
        assert until(lambda: following.follower.floor == floor)
    final = [event.position for event in following.events if isinstance(event, BlockFinalized)]
    assert final[-1] == floor
    assert [p.number for p in final] == sorted({p.number for p in final})
    assert source.stats.finality_conflicts == 0


@pytest.mark.anvil
def test_the_doorbell_only_makes_it_sooner(anvil: Anvil) -> None:
    """With a slow poll a new head arrives at once when the bell rings, and in the end without."""
    slow = replace(HASTY, shortest_pause_seconds=1.5, longest_pause_seconds=1.5)
    with source_of(anvil.url) as source:
        bell = HeadDoorbell(anvil.ws_url)
        with Following(source, doorbell=bell, config=slow) as following:
            assert until(lambda: bell.connections == 1 and following.events != [])
            time.sleep(0.3)
            anvil.mine()
            began = time.monotonic()
            assert following.reaches(head_of(anvil))
            assert time.monotonic() - began < 0.8
        with Following(source, config=slow) as following:
            assert until(lambda: following.events != [])
            anvil.mine()
            assert following.reaches(head_of(anvil), 4)


@pytest.mark.anvil
def test_it_outlives_its_node(anvil_binary: Path, caplog: pytest.LogCaptureFixture) -> None:
    """While the node is down nothing happens and nothing ends; afterwards it goes on."""
    node = start_anvil(anvil_binary)
    node.mine(5)
    try:
        with source_of(node.url) as source, Following(source) as following:
            assert following.reaches(head_of(node))
            dump = node.call("anvil_dumpState")
            before = list(following.published.chain)
            node.stop()
            with caplog.at_level(logging.WARNING):
                assert until(lambda: "cannot be followed" in caplog.text)
            assert following.published.chain == before
            assert following.failure is None
            node = start_anvil(anvil_binary, port=node.port)
            node.call("anvil_loadState", dump)
            node.mine(3)
            assert following.reaches(head_of(node))
            assert following.published.chain[: len(before)] == before
    finally:
        node.stop()


# --- nodes that lag and lie ----------------------------------------------------------------------


@pytest.fixture
def recording() -> Recording:
    """Twelve blocks of its own for every test."""
    made = Recording()
    made.grow(12)
    return made


def test_null_never_rewinds(recording: Recording) -> None:
    """A node that has nothing half of the time causes no revert and loses no block."""
    chance = random.Random(3)
    with Liar(recording) as liar, source_of(liar.url) as source:
        liar.tamper = lambda _m, _p, result: None if chance.random() < 0.5 else result
        with Following(source, start=100) as following:
            assert following.reaches(tip(recording), 30)
            for _ in range(5):
                recording.grow(1)
                liar.head += 1
                assert following.reaches(tip(recording), 30)
    assert not any(isinstance(event, BlockReverted) for event in following.events)
    assert len(following.published.chain) == 17


def test_a_lie_is_asked_for_elsewhere(recording: Recording) -> None:
    """A node that drops a log from every block changes nothing that is published."""
    verifier_sees = []

    def drop(method: str, _: list[Json], result: Json) -> Json:
        if method != "eth_getBlockReceipts" or not result:
            return result
        verifier_sees.append(method)
        return [{**each, "logs": each["logs"][:-1]} for each in result]

    with Liar(recording) as liar, Liar(recording) as honest:
        liar.tamper = drop
        with source_of(liar.url, honest.url) as source, Following(source, start=100) as following:
            assert following.reaches(tip(recording))
            assert source.stats.rejected.total() > 0
    assert verifier_sees
    assert len(following.published.chain) == 12


def test_nothing_passes_a_block_that_everybody_lies_about(recording: Recording) -> None:
    """It waits below it, however long, and goes on when somebody tells the truth."""
    target = recording.by_number[recording.numbers[6]]
    with Liar(recording) as liar, source_of(liar.url) as source:
        liar.tamper = lambda m, p, r: r[:-1] if m.endswith("Receipts") and p == [target] else r
        with Following(source, start=100) as following:
            assert until(lambda: source.stats.rejected.total() >= 6)
            assert len(following.published.chain) <= 6
            assert following.failure is None
            liar.tamper = lambda _m, _p, result: result
            assert following.reaches(tip(recording))
    assert len(following.published.chain) == 12


def test_a_node_that_lags_takes_nothing_back(recording: Recording) -> None:
    """Heads that jump between a fresh and a stale node of one chain revert nothing.

    Not even heads so old that a fork there could no longer be followed.
    """
    with (
        Liar(recording) as liar,
        source_of(liar.url) as source,
        Following(source, start=100, follower=ChainFollower(window=3, linked=True)) as following,
    ):
        assert following.reaches(tip(recording))
        for head in (105, 111, 100, 108, 111):
            liar.head = head
            time.sleep(0.15)
        recording.grow(1)
        liar.head = 112
        assert following.reaches(tip(recording))
    assert following.failure is None
    assert source.stats.stale_heads > 0
    assert len(following.published.chain) == 13
    assert not any(isinstance(event, BlockReverted) for event in following.events)


def test_flip_flops_between_two_forks_settle(recording: Recording) -> None:
    """Twenty switches between two branches end on the last, from memory where it is known."""
    fork_point = recording.by_number[109]
    old = [recording.by_number[110], recording.by_number[111]]
    new = recording.grow(2, on=fork_point, name="new")

    def switch(branch: list[str]) -> Position:
        for number, hash_ in zip((110, 111), branch, strict=True):
            recording.by_number[number] = hash_
        return Position(111, bytes.fromhex(branch[-1][2:]))

    with Liar(recording) as liar, source_of(liar.url) as source:
        switch(old)
        with Following(source, start=100) as following:
            for turn in range(20):
                assert following.reaches(switch(old if turn % 2 == 0 else new))
    reverts = sum(isinstance(event, BlockReverted) for event in following.events)
    assert reverts == 2 * 19
    assert len(following.published.chain) == 12


def test_it_stops_while_a_node_hangs(recording: Recording) -> None:
    """With a request in flight that is never answered it still ends within a second."""
    patient = replace(QUICK, pool=PoolConfig())
    with Liar(recording) as liar, source_of(liar.url, config=patient) as source:
        with Following(source, start=100) as following:
            assert following.reaches(tip(recording))
            liar.intercept = liar.hang
            posts = len(liar.posts)
            assert until(lambda: len(liar.posts) > posts)
        assert following.failure is None


def test_requests_are_few_while_nothing_happens(recording: Recording) -> None:
    """At rest there is one small request per pause, and blocks are not asked for again."""
    calm = replace(HASTY, longest_pause_seconds=0.2, finality_seconds=60.0)
    with (
        Liar(recording) as liar,
        source_of(liar.url) as source,
        Following(source, start=100, config=calm) as following,
    ):
        assert following.reaches(tip(recording))
        time.sleep(0.5)
        before = len(liar.asked)
        time.sleep(1.0)
        since = liar.asked[before:]
    assert 3 <= len(since) <= 8
    assert {method for _, method, _ in since} == {"eth_getBlockByNumber"}


def test_a_server_in_trouble_is_not_hammered(recording: Recording) -> None:
    """Ten failing seconds' worth of polls become a handful of requests."""
    trouble = RpcConfig(pool=PoolConfig(deadline_seconds=0.1, longest_pause_seconds=5))
    with Liar(recording) as liar, source_of(liar.url, config=trouble) as source:
        with Following(source, start=100) as following:
            assert following.reaches(tip(recording))
            liar.intercept = lambda _: Answer(b"", 500)
            before = len(liar.posts)
            time.sleep(2.0)
            assert len(liar.posts) - before <= 5
        assert following.failure is None


def test_a_parent_that_is_another_block_is_refused(recording: Recording) -> None:
    """Even unverified, a block under the wrong number does not lead the walk astray."""
    with Liar(recording) as liar, source_of(liar.url) as source:

        def unverified(raw: RawBlock) -> BlockBatch:
            if int(raw.block.number, 16) == 111:
                raw.block.parent_hash = recording.by_number[105]
            return decode_blocks(source.chain, [raw], [False])

        follower, stop = ChainFollower(linked=True), threading.Event()
        events = live(source, follower, unverified, start=100, stop=stop, config=HASTY)
        first = next(events)
        assert isinstance(first, BlocksAdded)
        threading.Timer(0.5, stop.set).start()
        assert list(events) == []
        assert follower.head == first.batch.position(0)
