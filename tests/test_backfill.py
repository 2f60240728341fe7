"""A bus that lost records, and a node that fills the holes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.backfill import BackfilledConsumer
from chainwarden.backfill import Node as Fetching
from chainwarden.bus import Delivery
from chainwarden.errors import BusError, EndpointError, IncompleteBlock, NotYet, OffsetGone
from chainwarden.schema import (
    ETHEREUM,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Offsets,
    Position,
)
from ingest.chain import ChainFollower
from ingest.live import Following, LiveConfig
from ingest.rpc import RpcSource
from tests.ingest.published import Published
from tests.ingest.test_chain import Node, batch, first, line

WINDOW = 16


def as_it_is(raw: Any) -> BlockBatch:
    """The tree gives what was decoded already."""
    return cast(BlockBatch, raw)


class HoledBus:
    """A ``Consumer`` of a list of events, of which some are deleted and some are damaged."""

    def __init__(self, events: Sequence[ChainEvent], kept_from: int, damaged: set[int]) -> None:
        self.events = list(events)
        self._kept_from = kept_from
        self._damaged = damaged
        self._at = kept_from

    def seek(self, offsets: Offsets) -> None:
        """As Kafka's: what is deleted cannot be sought, nor what never was."""
        at = offsets.get("t", self._kept_from)
        if not self._kept_from <= at <= len(self.events):
            raise OffsetGone("records were deleted")
        self._at = at

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """Up to the next damaged block; a damaged mark is buried, and nobody hears of it."""
        del timeout_seconds
        out: list[Delivery] = []
        while self._at < len(self.events) and len(out) < max_events:
            event = self.events[self._at]
            if self._at in self._damaged:
                if isinstance(event, BlocksAdded):
                    if not out:
                        position = event.batch.position(0)
                        raise IncompleteBlock(
                            "a record is missing", number=position.number,
                            block_hash=position.hash, offsets={"t": self._at + 1},
                        )  # fmt: skip
                    break
                self._at += 1
                continue
            self._at += 1
            out.append(Delivery(event, {"t": self._at}))
        return out

    def commit(self, offsets: Offsets) -> None:
        """Nobody watches."""

    def lag(self) -> int:
        """What is left."""
        return len(self.events) - self._at

    def close(self) -> None:
        """Nothing is held."""


class Tree:
    """A node that knows every block, and by number those of one branch."""

    chain = ETHEREUM

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.by_hash = {node.hash: batch(node) for node in nodes}
        self.by_number: dict[int, bytes] = {}
        self.failures: list[Exception] = []
        self.asked = 0

    def make_head(self, head: Node, every: dict[bytes, Node]) -> None:
        """The branch that leads there is the canonical one."""
        at: Node | None = head
        while at is not None:
            self.by_number[at.number] = at.hash
            at = every.get(at.parent)

    def fetch(self, selector: bytes, *_how: object) -> BlockBatch:
        """The block of that hash."""
        self.asked += 1
        if self.failures:
            raise self.failures.pop()
        if selector not in self.by_hash:
            raise NotYet("no such block")
        return self.by_hash[selector]

    def fetch_range(self, start: int, stop: int, *_how: object) -> Iterator[BlockBatch]:
        """The blocks of the canonical branch."""
        for number in range(start, stop):
            self.asked += 1
            if self.failures:
                raise self.failures.pop()
            yield self.by_hash[self.by_number[number]]

    def fetching(self, patience: float = 60.0, far_blocks: int = 5) -> Fetching:
        """The walker over it."""
        config = LiveConfig(far_blocks=far_blocks, near_blocks=2, batch_blocks=3)

        def walker(follower: ChainFollower) -> Following:
            return Following(cast(RpcSource, self), follower, as_it_is, config)

        return Fetching(walker, patience)


def followed(nodes: Sequence[Node]) -> list[ChainEvent]:
    """What an ingest publishes that sees these heads, one after the other."""
    follower, every = ChainFollower(WINDOW, linked=True), {node.hash: node for node in nodes}
    events: list[ChainEvent] = []
    for node in nodes:
        missing, at = [node], node
        known = {position.hash for position in follower.recent()}
        while follower.head is not None and at.parent not in known and at.parent in every:
            missing.append(at := every[at.parent])
        for one in reversed(missing):
            events += follower.add(batch(one))
    return events


def read(consumer: BackfilledConsumer, published: Published, bus: HoledBus) -> list[Delivery]:
    """Everything that comes, held to its promises."""
    out: list[Delivery] = []
    while True:
        deliveries = consumer.poll(0.0, 4)
        published.apply([one.event for one in deliveries])
        out += deliveries
        if not deliveries and not bus.lag():
            return out


@st.composite
def heads(draw: st.DrawFn) -> list[Node]:
    """Heads of a chain with forks up to six deep, the last ones on the winning branch."""
    nodes = [first()]
    for index in range(draw(st.integers(3, 25))):
        depth = draw(st.sampled_from([0, 0, 0, 0, 1, 2, 6]))
        parent, every = nodes[-1], {node.hash: node for node in nodes}
        for _ in range(depth):
            parent = every.get(parent.parent, parent)
        nodes += line(parent, depth + 1, name=f"{index}" if depth else "")
    return nodes


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_whatever_the_bus_lost_the_chain_is_that_of_a_reader_who_lost_nothing(
    data: st.DataObject,
) -> None:
    """Deleted before they were read, or damaged one by one: every event follows, none is missing.

    Two blocks arrive whole at the end, so that the bus says where the chain is.
    """
    nodes = data.draw(heads())
    nodes += line(nodes[-1], 2)
    events = followed(nodes)
    expected = Published()
    expected.apply(events)
    done = data.draw(st.integers(1, len(events) - 2), label="handed on before")
    kept_from = data.draw(st.integers(0, len(events) - 2), label="deleted up to")
    damaged = data.draw(st.sets(st.integers(done, max(done, len(events) - 3))), label="damaged")
    before = Published()
    before.apply(events[:done])
    tree = Tree(nodes)
    tree.make_head(nodes[-1], {node.hash: node for node in nodes})
    bus = HoledBus(events, kept_from, damaged)
    recent = before.chain[-WINDOW - 1 :]
    consumer = BackfilledConsumer(bus, recent, WINDOW, tree.fetching())
    consumer.seek({"t": done})
    deliveries = read(consumer, before, bus)
    assert before.chain == expected.chain
    assert deliveries[-1].offsets == {"t": len(events)}


def straight(count: int) -> tuple[list[Node], list[ChainEvent], Tree]:
    """A chain without forks, as events of one block each, and a node that has it."""
    nodes = [start := first(), *line(start, count - 1)]
    tree = Tree(nodes)
    tree.make_head(nodes[-1], {node.hash: node for node in nodes})
    return nodes, followed(nodes), tree


def positions(nodes: Sequence[Node]) -> list[Position]:
    """Where they are."""
    return [node.position for node in nodes]


def test_nothing_is_asked_of_a_node_while_nothing_is_missing() -> None:
    """The events of the bus come as they are, with their offsets."""
    _, events, tree = straight(20)
    bus = HoledBus(events, 0, set())
    consumer = BackfilledConsumer(bus, [], WINDOW, tree.fetching())
    consumer.seek({})
    deliveries = read(consumer, Published(), bus)
    assert [one.event for one in deliveries] == events
    assert [one.offsets["t"] for one in deliveries] == list(range(1, 21))
    assert (tree.asked, consumer.fetched) == (0, 0)


def test_without_a_node_a_hole_is_an_error_and_a_bus_that_goes_on_behind_the_head_is_none() -> None:
    """Deleted records that were handed on before are no loss; one that was not ends it."""
    nodes, events, _ = straight(10)
    bus = HoledBus(events, 3, set())
    consumer = BackfilledConsumer(bus, positions(nodes[:3]), WINDOW, None)
    consumer.seek({"t": 2})  # block 2 was handed on, but its offsets were not committed
    assert len(read(consumer, Published(positions(nodes[:3])), bus)) == 7
    consumer = BackfilledConsumer(HoledBus(events, 4, set()), positions(nodes[:3]), WINDOW, None)
    consumer.seek({"t": 3})
    for _ in range(2):
        with pytest.raises(OffsetGone, match=r"block 102 .* goes on with block 104 .*--rpc"):
            consumer.poll(0.0, 10)
    consumer = BackfilledConsumer(HoledBus(events, 0, {5}), positions(nodes[:3]), WINDOW, None)
    consumer.seek({"t": 3})
    assert len(consumer.poll(0.0, 10)) == 2
    with pytest.raises(IncompleteBlock, match="--rpc"):
        consumer.poll(0.0, 10)


def test_a_topic_made_anew_repeats_nothing() -> None:
    """Offsets beyond the end: what the new topic begins with was handed on, and is dropped."""
    nodes, events, tree = straight(40)
    bus = HoledBus(events[10:], 0, set())
    consumer = BackfilledConsumer(bus, positions(nodes[13:30]), WINDOW, tree.fetching())
    consumer.seek({"t": 31})
    deliveries = read(consumer, Published(positions(nodes[:30])), bus)
    assert [one.event for one in deliveries] == events[30:]
    assert tree.asked == 0


def test_a_node_that_fails_is_waited_for_and_nothing_is_lost_or_repeated() -> None:
    """It says why; what was fetched before the failure is handed on once; then it goes on."""
    nodes, events, tree = straight(30)
    bus = HoledBus(events, 25, set())
    consumer = BackfilledConsumer(bus, positions(nodes[:3]), WINDOW, tree.fetching())
    consumer.seek({"t": 3})
    published = Published(positions(nodes[:3]))
    tree.failures = [EndpointError("down")] * 2
    assert consumer.poll(0.0) == []
    assert "no node gives them: down" in consumer.reason()
    published.apply([one.event for one in consumer.poll(0.0, 2)])
    tree.failures = [EndpointError("down")] * 5
    read(consumer, published, bus)
    assert published.chain == positions(nodes)
    assert consumer.reason() == ""
    assert consumer.fetched == 22


def test_a_node_that_stays_away_is_an_error() -> None:
    """Patience ends."""
    nodes, events, tree = straight(10)
    consumer = BackfilledConsumer(
        HoledBus(events, 5, set()), positions(nodes[:3]), WINDOW, tree.fetching(patience=0.0)
    )
    consumer.seek({"t": 3})
    tree.failures = [EndpointError("down")]
    with pytest.raises(BusError, match="no node gives them"):
        consumer.poll(0.0)


@pytest.mark.parametrize("depth", [1, 3])
def test_a_revert_that_nobody_told_of_is_seen(depth: int) -> None:
    """A damaged record of a revert is buried; the next block does not follow, which tells of it."""
    nodes = [start := first(), *line(start, 7)]
    nodes += line(nodes[-1 - depth], depth + 1, name="winner")
    events = followed(nodes)
    lost = {n for n, event in enumerate(events) if isinstance(event, BlockReverted)}
    assert len(lost) == depth
    tree = Tree(nodes)
    tree.make_head(nodes[-1], {node.hash: node for node in nodes})
    expected, published = Published(), Published()
    expected.apply(events)
    bus = HoledBus(events, 0, lost)
    consumer = BackfilledConsumer(bus, [], WINDOW, tree.fetching())
    consumer.seek({})
    read(consumer, published, bus)
    assert published.chain == expected.chain


@pytest.mark.parametrize("lost", [1, 3 * WINDOW])
@pytest.mark.parametrize("restart", [0, 60], ids=["running", "after a restart"])
def test_a_fork_deeper_than_the_window_is_followed_behind_a_hole(lost: int, restart: int) -> None:
    """What is not final can be reverted, however deep, when the reverts that said so are lost."""
    old = [start := first(), *line(start, 59)]
    new = line(old[9], 55, name="winner")
    follower = ChainFollower(WINDOW, linked=True, unfinal=1000)
    events: list[ChainEvent] = []
    for node in old:
        events += follower.add(batch(node))
        events += follower.finalize(old[5].position)
    events += [BlockReverted(node.position) for node in old[:9:-1]]
    events += [BlocksAdded(batch(node)) for node in new]
    tree = Tree([*old, *new])
    tree.make_head(new[-1], {node.hash: node for node in [*old, *new]})
    done = restart + 1 if restart else 0
    before = Published()
    before.apply(events[:done])
    bus = HoledBus(events, 0, set(range(61, 61 + lost)))
    consumer = BackfilledConsumer(
        bus, before.chain[5:], WINDOW, tree.fetching(), old[5].position if restart else None
    )
    consumer.seek({"t": done} if done else {})
    read(consumer, before, bus)
    assert before.chain == positions([*old[:10], *new])
    assert tree.asked == 0


def test_offsets_move_only_behind_the_hole() -> None:
    """A restart in the middle of it begins at the offsets of before, and finds the hole again."""
    nodes, events, tree = straight(30)
    bus = HoledBus(events, 20, set())
    consumer = BackfilledConsumer(bus, positions(nodes[:3]), WINDOW, tree.fetching())
    consumer.seek({"t": 3})
    deliveries = read(consumer, Published(positions(nodes[:3])), bus)
    for one in deliveries:
        assert isinstance(one.event, BlocksAdded)
        behind = one.event.batch.numbers()[-1] >= nodes[20].number
        assert one.offsets["t"] == (one.event.batch.numbers()[-1] - 99 if behind else 3)


def test_a_mark_of_finality_in_a_hole_counts_once_its_block_is_there() -> None:
    """A final block that is on our chain is told; one beyond the hole is left for later."""
    nodes, events, tree = straight(10)
    marks = [BlockFinalized(nodes[2].position), BlockFinalized(nodes[5].position)]
    bus = HoledBus([*events[:3], *marks, *events[7:]], 3, set())
    consumer = BackfilledConsumer(bus, positions(nodes[:3]), WINDOW, tree.fetching())
    consumer.seek({"t": 2})
    deliveries = read(consumer, Published(positions(nodes[:3])), bus)
    assert deliveries[0].event == marks[0]
    assert [one.event for one in deliveries if isinstance(one.event, BlockFinalized)] == marks[:1]
