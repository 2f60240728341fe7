"""ChainFollower: from heads as they were seen to one chain."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import resource
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chainwarden.errors import ChainError, DeepReorg, MissingAncestor
from chainwarden.schema import (
    BLOCKS,
    ETHEREUM,
    BlockBatch,
    BlocksAdded,
    ChainEvent,
    Position,
)
from ingest.chain import MOST_UNFINAL, ChainFollower
from tests.ingest.published import Published, shape


@dataclass(frozen=True)
class Node:
    """A block of a tree: its name is all that tells siblings apart."""

    number: int
    hash: bytes
    parent: bytes

    @property
    def position(self) -> Position:
        """Its number and hash."""
        return Position(self.number, self.hash)

    def child(self, name: str = "") -> Node:
        """A block on top of it."""
        return Node(self.number + 1, digest(self.hash + name.encode()), self.hash)


def digest(data: bytes) -> bytes:
    """32 bytes that stand for a block hash."""
    return hashlib.sha256(data).digest()


def first(number: int = 100, name: str = "first") -> Node:
    """A block whose parent nobody has."""
    return Node(number, digest(name.encode()), digest(b"parent of " + name.encode()))


def line(parent: Node, count: int, name: str = "") -> list[Node]:
    """``count`` blocks, each on top of the one before it, above ``parent``."""
    nodes = []
    for _ in range(count):
        parent = parent.child(name)
        nodes.append(parent)
    return nodes


def batch(*nodes: Node, hashes: bool = True, parents: bool = True) -> BlockBatch:
    """The nodes as a batch, without hashes or parent hashes where told so."""
    count = len(nodes)
    columns: dict[str, Sequence[object]] = {
        "block_number": [n.number for n in nodes],
        "block_hash": [n.hash if hashes else None for n in nodes],
        "parent_hash": [n.parent if parents else None for n in nodes],
        "block_timestamp": [12 * n.number for n in nodes],
        "transaction_count": [0] * count,
        "verified": [True] * count,
    }
    arrays = [pa.array(columns.get(f.name, [None] * count), f.type) for f in BLOCKS]
    return BlockBatch.of(ETHEREUM, blocks=pa.Table.from_arrays(arrays, schema=BLOCKS))


def feed(follower: ChainFollower, *nodes: Node) -> list[ChainEvent]:
    """Claim each of the nodes as the head, one by one."""
    return [event for node in nodes for event in follower.add(batch(node))]


def test_linked_blocks_pass_through_as_one_event() -> None:
    """Blocks that follow one another become one BlocksAdded with the very tables that came."""
    follower = ChainFollower()
    nodes = [start := first(), *line(start, 999)]
    given = batch(*nodes)
    (event,) = follower.add(given)
    assert isinstance(event, BlocksAdded)
    assert event.batch is given
    assert not event.gap
    assert follower.head == nodes[-1].position
    assert len(follower.recent()) == 129
    (event,) = follower.add(batch(*line(nodes[-1], 3)))
    assert isinstance(event, BlocksAdded)
    assert not event.gap


def test_a_known_block_is_dropped() -> None:
    """The head again, a block below it, one below the window: nothing happens."""
    follower = ChainFollower(window=4)
    nodes = [start := first(), *line(start, 9)]
    feed(follower, *nodes)
    for node in (nodes[9], nodes[7], nodes[5], nodes[3]):
        assert follower.add(batch(node)) == []
    assert follower.head == nodes[9].position
    assert follower.gaps == 0


def test_an_overlapping_batch_adds_only_what_is_new() -> None:
    """A file that begins with blocks of the file before it goes on after them."""
    follower = ChainFollower()
    nodes = [start := first(), *line(start, 9)]
    follower.add(batch(*nodes[:6]))
    assert shape(follower.add(batch(*nodes[3:]))) == [("add", [n.position for n in nodes[6:]])]


def test_a_fork_reverts_down_to_the_common_ancestor() -> None:
    """The old branch is reverted from the head down, then the new one is added."""
    follower = ChainFollower()
    start = first()
    old, new = line(start, 3), line(start, 1, "new")
    feed(follower, start, *old)
    assert shape(follower.add(batch(*new))) == [
        ("revert", [old[2].position]),
        ("revert", [old[1].position]),
        ("revert", [old[0].position]),
        ("add", [new[0].position]),
    ]


def test_a_flip_flop_adds_orphans_again_from_memory() -> None:
    """Going back to an orphaned branch needs nothing but its tip, or a child of its tip."""
    follower = ChainFollower()
    start = first()
    old, new = line(start, 3), line(start, 2, "new")
    feed(follower, start, *old, *new)
    tip = old[2].child()
    assert shape(follower.add(batch(tip))) == [
        ("revert", [new[1].position]),
        ("revert", [new[0].position]),
        ("add", [old[0].position]),
        ("add", [old[1].position]),
        ("add", [old[2].position]),
        ("add", [tip.position]),
    ]
    assert shape(follower.add(batch(new[0])))[-1] == ("add", [new[0].position])
    assert set(follower._state.orphans) == {n.hash for n in (*old, tip, new[1])}


def test_a_sibling_of_the_first_block_reverts_everything() -> None:
    """A segment's first block can be orphaned like any other."""
    follower = ChainFollower()
    start = first()
    feed(follower, start, start.child())
    sibling = Node(start.number, digest(b"sibling"), start.parent)
    assert [kind for kind, _ in shape(follower.add(batch(sibling)))] == ["revert", "revert", "add"]
    assert follower.head == sibling.position


def test_an_unconnected_block_of_a_file_begins_a_new_segment() -> None:
    """Higher or lower, it is added with a gap, and what came before cannot be reverted."""
    follower = ChainFollower()
    feed(follower, start := first(100))
    other, lower = first(200, "other"), first(50, "lower")
    assert shape(follower.add(batch(other))) == [("gap", [other.position])]
    assert shape(follower.add(batch(lower))) == [("gap", [lower.position])]
    assert follower.gaps == 2
    assert shape(follower.add(batch(start.child("late")))) == [
        ("gap", [start.child("late").position])
    ]


def test_holes_within_a_batch_split_it() -> None:
    """Each stretch of linked blocks is an event of its own."""
    follower = ChainFollower()
    low, high = first(100), first(200, "other")
    events = follower.add(batch(low, low.child(), high, high.child()))
    assert shape(events) == [
        ("add", [low.position, low.child().position]),
        ("gap", [high.position, high.child().position]),
    ]


def test_the_parent_of_a_files_first_block_is_taken_in() -> None:
    """A file in descending order loses no block."""
    follower = ChainFollower()
    start = first()
    feed(follower, start.child())
    assert shape(follower.add(batch(start))) == [("gap", [start.position])]


def test_an_unconnected_block_of_a_node_asks_for_its_ancestor() -> None:
    """MissingAncestor names the parent, nothing changes, and fetching mends it."""
    follower = ChainFollower(linked=True)
    start = first()
    old, new = line(start, 2), line(start, 3, "new")
    feed(follower, start, *old)
    with pytest.raises(MissingAncestor) as missing:
        follower.add(batch(new[2]))
    assert (missing.value.number, missing.value.parent_hash) == (new[1].number, new[1].hash)
    assert follower.head == old[1].position
    assert [kind for kind, _ in shape(feed(follower, *new))] == ["revert", "revert"] + 3 * ["add"]


def test_a_node_may_orphan_the_whole_chain_at_the_start() -> None:
    """Below the first block nothing was taken in, so any fork there can be followed."""
    follower = ChainFollower(linked=True)
    feed(follower, start := first(100), start.child())
    lower = first(100, "other")
    assert shape(follower.add(batch(lower))) == [
        ("revert", [start.child().position]),
        ("revert", [start.position]),
        ("gap", [lower.position]),
    ]


@pytest.mark.parametrize("linked", [False, True])
def test_a_fork_below_the_window_is_refused(linked: bool) -> None:
    """DeepReorg, and nothing has changed."""
    follower = ChainFollower(window=3, linked=linked)
    nodes = [start := first(), *line(start, 5)]
    feed(follower, *nodes)
    before = follower.recent()
    with pytest.raises(DeepReorg):
        follower.add(batch(nodes[1].child("fork")))
    assert follower.recent() == before
    feed(follower, nodes[2].child("fork"))


@pytest.mark.parametrize("linked", [False, True])
def test_a_fork_below_the_finalized_block_is_refused(linked: bool) -> None:
    """What is final is never reverted, by whichever branch."""
    follower = ChainFollower(linked=linked)
    start = first()
    nodes = line(start, 5)
    feed(follower, start, nodes[0].child("orphan"), *nodes) if not linked else feed(
        follower, start, nodes[0], nodes[0].child("orphan"), *nodes[1:]
    )
    assert shape(follower.finalize(nodes[3].position)) == [("final", [nodes[3].position])]
    assert follower.floor == nodes[3].position
    with pytest.raises(DeepReorg):
        follower.add(batch(nodes[2].child("fork")))
    assert follower.head == nodes[4].position
    feed(follower, nodes[3].child("fork"))


def test_while_finality_stalls_the_window_grows_down_to_the_final_block() -> None:
    """Every block above the final one can be reverted, a fork from below it is refused."""
    follower = ChainFollower(window=4, linked=True, unfinal=1_000)
    nodes = [start := first(), *line(start, 300)]
    feed(follower, *nodes[:8])
    follower.finalize(nodes[6].position)
    feed(follower, *nodes[8:])
    assert follower.floor == nodes[6].position
    assert follower.at(nodes[50].number) == nodes[50].position
    assert not follower.contradicts(nodes[7].position)
    with pytest.raises(DeepReorg, match="final"):
        follower.add(batch(nodes[5].child("fork")))
    events = shape(follower.add(batch(nodes[7].child("fork"))))
    assert events[:-1] == [("revert", [node.position]) for node in reversed(nodes[8:])]
    # Of the old branch only the newest blocks are at hand; the others have to be fetched again.
    with pytest.raises(MissingAncestor) as missing:
        follower.add(batch(nodes[-1].child()))
    assert missing.value.number == nodes[-5].number
    assert [kind for kind, _ in shape(feed(follower, *nodes[8:]))] == ["revert"] + 293 * ["add"]
    assert follower.head == nodes[-1].position


def test_a_follower_that_begins_in_a_stall_keeps_all_that_it_sees() -> None:
    """Told of a final block below its first one, it lets nothing sink; a restart goes on so."""
    follower = ChainFollower(window=4, linked=True, unfinal=100)
    nodes = [start := first(), *line(start, 150)]
    feed(follower, *nodes[:3])
    assert follower.finalize(Position(7, digest(b"long ago"))) == []
    feed(follower, *nodes[3:50])
    assert len(follower.recent()) == 51
    again = ChainFollower(
        window=4,
        linked=True,
        unfinal=100,
        resume=follower.recent(),
        finalized=Position(7, digest(b"long ago")),
    )
    for one in (follower, again):
        feed(one, *nodes[50:])
        assert one.recent() == [node.position for node in nodes[-101:]]


def test_a_stall_of_10_000_blocks_costs_no_memory_to_speak_of() -> None:
    """From 1,000 unfinal blocks to 10,000, of 20 kB on average, it grows by less than 10 %."""
    follower = ChainFollower(window=64, linked=True, unfinal=MOST_UNFINAL)
    node, sizes = first(), []
    for number in range(10_000):
        block = batch(node)
        if number % 20 == 0:
            data = pa.array([os.urandom(400_000)], pa.binary())
            at = BLOCKS.get_field_index("extra_data")
            table = block.blocks.set_column(at, BLOCKS.field(at), data)
            block = BlockBatch.of(ETHEREUM, blocks=table)
        follower.add(block)
        follower.finalize(Position(0, digest(b"long ago")))
        node = node.child()
        if number in (1_000, 9_999):
            gc.collect()
            pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
            sizes.append(pages * resource.getpagesize())
    assert len(follower.recent()) == 10_001
    assert sizes[1] < 1.1 * sizes[0]


def test_an_orphan_whose_fork_sank_is_refused() -> None:
    """An orphan above the floor on a fork from below it is known to be too deep."""
    follower = ChainFollower()
    start = first()
    branch, nodes = line(start, 4, "orphan"), line(start, 5)
    feed(follower, start, *branch, *nodes)
    follower.finalize(nodes[1].position)
    for orphan in (*branch[2:], branch[3].child()):
        with pytest.raises(DeepReorg):
            follower.add(batch(orphan))
    assert follower.head == nodes[4].position


def test_finality_of_another_fork_has_no_effect() -> None:
    """A block that is not on the chain, or was final before, finalizes nothing."""
    follower = ChainFollower()
    start = first()
    nodes = line(start, 3)
    feed(follower, start, *nodes)
    assert follower.finalize(nodes[1].child("fork").position) == []
    assert follower.finalize(nodes[1].position) != []
    assert follower.finalize(nodes[1].position) == []
    assert follower.finalize(nodes[0].position) == []


@pytest.mark.parametrize("hashes", [False, True])
def test_order_is_trusted_without_parent_hashes(hashes: bool) -> None:
    """Higher numbers follow the head, holes or not; a lower one begins a new segment."""
    follower = ChainFollower()
    nodes = [first(n, str(n)) for n in (100, 103, 200)]
    given = batch(*nodes, hashes=hashes, parents=False)
    (event,) = follower.add(given)
    assert isinstance(event, BlocksAdded)
    assert event.batch is given
    (event,) = follower.add(batch(first(205, "205"), hashes=hashes, parents=False))
    assert isinstance(event, BlocksAdded)
    assert not event.gap
    (event,) = follower.add(batch(first(7, "7"), hashes=hashes, parents=False))
    assert isinstance(event, BlocksAdded)
    assert event.gap
    assert follower.head == Position(7, digest(b"7") if hashes else b"")


def test_a_follower_resumes_from_what_was_recent() -> None:
    """After a restart the same heads lead to the same events, blocks from before included."""
    start = first()
    nodes = line(start, 9)
    whole, cut = ChainFollower(window=6, linked=True), ChainFollower(window=6, linked=True)
    for follower in (whole, cut):
        feed(follower, start, *nodes)
        follower.finalize(nodes[4].position)
    saved = [Position(p.number, p.hash) for p in cut.recent()]
    cut = ChainFollower(window=6, linked=True, resume=saved)
    assert cut.head == whole.head == nodes[-1].position
    later = [*line(nodes[5], 3, "fork"), nodes[8].child()]
    for node in later[:3]:
        assert shape(cut.add(batch(node))) == shape(whole.add(batch(node)))
    # The blocks reverted since are not in memory: they have to be fetched.
    with pytest.raises(MissingAncestor):
        cut.add(batch(later[3]))
    feed(whole, later[3])
    feed(cut, *nodes[6:], later[3])
    assert cut.recent() == whole.recent()


def test_a_failed_add_changes_nothing() -> None:
    """Where the second stretch of a batch is refused the first is not taken in, either."""
    follower = ChainFollower()
    start = first()
    branch, nodes = line(start, 6, "orphan"), line(start, 5)
    feed(follower, start, *branch, *nodes)
    follower.finalize(nodes[1].position)
    before = follower.recent()
    good, deep = nodes[4].child(), branch[5].child()
    with pytest.raises(DeepReorg):
        follower.add(batch(good, deep))
    assert follower.recent() == before
    assert shape(follower.add(batch(good))) == [("add", [good.position])]


def test_a_batch_of_a_node_must_be_linked() -> None:
    """Blocks of a node that do not follow one another are refused before anything changes."""
    follower = ChainFollower(linked=True)
    with pytest.raises(ChainError):
        follower.add(batch(first(1), first(9, "other")))
    assert follower.head is None


def test_orphans_are_bounded() -> None:
    """A node that keeps making siblings does not fill the memory."""
    follower = ChainFollower(window=4)
    start = first()
    feed(follower, start)
    for sibling in range(1000):
        feed(follower, start.child(str(sibling)))
    assert len(follower._state.orphans) <= 16


def test_a_replay_batch_costs_no_time_per_block() -> None:
    """100,000 linked blocks in batches of 10,000 pass in well under a second."""
    nodes = [start := first(1), *line(start, 99_999)]
    batches = [batch(*nodes[i : i + 10_000]) for i in range(0, 100_000, 10_000)]
    follower = ChainFollower()
    began = time.perf_counter()
    events = [event for each in batches for event in follower.add(each)]
    assert time.perf_counter() - began < 1
    assert len(events) == 10
    assert follower.head == nodes[-1].position


def test_positions_survive_a_cursor_file() -> None:
    """What recent() gives goes through JSON and back into an equal follower."""
    follower = ChainFollower(window=3)
    start = first(0, "genesis")
    feed(follower, start, *line(start, 1))
    text = json.dumps([[p.number, p.hash.hex()] for p in follower.recent()])
    resumed = ChainFollower(
        window=3, resume=[Position(n, bytes.fromhex(h)) for n, h in json.loads(text)]
    )
    assert resumed.recent() == follower.recent()
    assert follower.recent()[0].number == -1


class Forks(RuleBasedStateMachine):
    """Any tree of forks, its blocks claimed as the head in any order, by file or by node."""

    @initialize(linked=st.booleans())
    def start(self, linked: bool) -> None:
        """One block, from which the tree grows."""
        self.linked = linked
        self.follower = ChainFollower(window=1000, linked=linked)
        self.published = Published()
        self.root = first()
        self.tree: dict[bytes, Node] = {self.root.hash: self.root}
        self.order: list[Node] = [self.root]
        self.claimed: list[Node] = []
        self.claim(self.root)

    def path(self, node: Node) -> list[Node]:
        """The blocks from the first to ``node``."""
        nodes = [node]
        while nodes[-1].parent in self.tree:
            nodes.append(self.tree[nodes[-1].parent])
        return nodes[::-1]

    def claim(self, node: Node) -> None:
        """Claim a block, fetching its ancestors where they are asked for."""
        if node.position in self.published.chain:
            assert self.follower.add(batch(node)) == []
            return
        pending = [node]
        while pending:
            try:
                self.published.apply(self.follower.add(batch(pending[-1])))
                pending.pop()
            except MissingAncestor as missing:
                assert self.linked
                pending.append(self.tree[missing.parent_hash])
        self.claimed.append(node)

    @rule(data=st.data(), name=st.sampled_from("abc"), length=st.integers(1, 4))
    def grow(self, data: st.DataObject, name: str, length: int) -> None:
        """A branch grows somewhere, unseen."""
        for node in line(data.draw(st.sampled_from(self.order)), length, name):
            if node.hash not in self.tree:
                self.tree[node.hash] = node
                self.order.append(node)

    @rule(data=st.data())
    def see_any(self, data: st.DataObject) -> None:
        """Some block is claimed as the head."""
        self.claim(data.draw(st.sampled_from(self.order)))

    @precondition(lambda self: not self.linked)
    @rule(data=st.data())
    def see_a_branch(self, data: st.DataObject) -> None:
        """A whole branch arrives as one batch."""
        path = self.path(data.draw(st.sampled_from(self.order)))
        self.published.apply(self.follower.add(batch(*path)))
        if self.published.chain[-1] == path[-1].position:
            self.claimed.append(path[-1])

    @precondition(lambda self: self.linked)
    @rule()
    def restart(self) -> None:
        """The process is restarted and goes on from its cursor."""
        recent = self.follower.recent()
        self.follower = ChainFollower(window=1000, linked=True, resume=recent)
        assert self.follower.recent() == recent

    @invariant()
    def published_is_the_chain_of_the_last_head(self) -> None:
        """What was published ends with the last head, and is its ancestry back to the first block.

        In a file, whose holes cannot be filled, back to the last gap.
        """
        chain = self.published.chain
        assert chain[-1] == self.claimed[-1].position == self.follower.head
        ancestry = [node.position for node in self.path(self.claimed[-1])]
        assert chain == ancestry[-len(chain) :]
        if self.linked:
            assert chain == ancestry
            assert self.published.gaps == 0
        assert self.published.gaps == self.follower.gaps or self.linked


TestForks = Forks.TestCase
TestForks.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)


def test_what_sank_out_of_the_window_is_said_to_be_final_when_it_is() -> None:
    """Finality is usually further behind than what can be reverted: it is told all the same."""
    follower = ChainFollower(window=3, linked=True)
    nodes = [start := first(), *line(start, 12)]
    feed(follower, *nodes)
    sunk, too_deep = nodes[8], nodes[3]
    assert follower.finalize(too_deep.position) == []
    assert shape(follower.finalize(sunk.position)) == [("final", [sunk.position])]
    assert follower.finalize(sunk.position) == follower.finalize(nodes[7].position) == []
    before = follower.recent()
    assert shape(follower.finalize(nodes[9].position)) == [("final", [nodes[9].position])]
    assert follower.recent() == before


def test_another_final_block_contradicts_the_chain_as_far_as_it_is_remembered() -> None:
    """A final block of another hash is noticed in the window and among what sank lately."""
    follower = ChainFollower(window=3, linked=True)
    nodes = [start := first(), *line(start, 12)]
    feed(follower, *nodes)
    for number, node in enumerate(nodes):
        assert not follower.contradicts(node.position)
        other = Position(node.number, nodes[number - 1].child("fork").hash)
        assert follower.contradicts(other) == (number >= 7)
    assert not follower.contradicts(nodes[12].child().position)
