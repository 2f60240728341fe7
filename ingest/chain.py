"""The one place that knows how forks resolve.

A node tells of heads; ``ChainFollower`` turns what was seen into what happened: blocks added,
blocks reverted, blocks final. Everything behind it only ever sees one chain.

**Invariant.** Replaying the events (append what is added, take back what is reverted) gives, after
every ``add``, a chain that ends with the last block claimed as the head, and in which every block
is the child of the one before it, except where ``BlocksAdded.gap`` says that it is not. A revert
always names the block at the end of that chain.

**The cases.** Each block is claimed as the new head. It may be

1. *known*: it is on the chain already, at the head or below. A node behind its peers repeats old
   heads, a file overlaps the one before it: dropped.
2. *the child of the head*: added. So are, at once, all blocks that follow it in the batch.
3. *the child of a known block that is not the head*, on the chain or orphaned: the blocks above
   the common ancestor are reverted, from the head down; then the orphans between it and the block
   are added again, oldest first; then the block.
4. *an orphan, claimed again* (a flip-flop): as 3.
5. *the sibling of the first block ever taken in*: as 3; everything is reverted. So it is, from a
   node, by an unconnected block at or below the first one's height: nothing below was taken in.
6. *unconnected*. In a file (``linked=False``) a new segment begins, ``gap`` says so, and what came
   before can no longer be reverted. From a node (``linked=True``) its ancestor exists and has to
   be fetched first: ``MissingAncestor``.
7. *on a fork that starts below what can be undone* (below the window, or below the finalized
   block): ``DeepReorg``. Nothing is guessed.

**How far down.** Without finality the last ``window`` blocks can be undone. Once a node tells of
finality nothing sinks but what is final, up to ``unfinal`` blocks: while finality stalls the window
grows. Of blocks deeper than ``window`` only the positions are kept; to be added again they have to
be fetched.

Where a source has no hashes, or no parent hashes, its order is trusted: a higher number follows
the head, and any other begins a new segment.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from chainwarden.errors import ChainError, DeepReorg, MissingAncestor
from chainwarden.schema import (
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Position,
)

DEFAULT_WINDOW = 128
MOST_UNFINAL = 65_536
"""How far finality may stall: nine days of blocks twelve seconds apart, 30 MB of positions."""
# Orphans are kept, so that a flip-flop needs no fetching; so many for each block of the window.
ORPHANS_PER_BLOCK = 4


@dataclass(frozen=True, slots=True)
class _Block:
    """A block that can still be reverted or added again, and where its data is.

    ``batch`` is None for a block that was taken in before a restart, or is deeper than the window:
    it can be reverted, but not added again from memory.
    """

    position: Position
    parent: bytes
    batch: BlockBatch | None
    row: int

    def alone(self) -> BlockBatch:
        """The block's data as a batch of its own."""
        assert self.batch is not None
        return self.batch.slice(self.row, self.row + 1)


@dataclass(slots=True)
class _State:
    """What changes. A copy of it is what an ``add`` that fails goes back to.

    ``root`` is the block below ``chain``, which is never reverted. Until a block of the segment
    sank it is the parent of the first one, which was never taken in (``root_taken``). ``sunk``
    holds the hashes of the newest blocks that sank, ``final`` is the number of the newest block
    that was said to be final. ``told``: there is finality, even if that block is not on the chain.
    """

    root: Position | None
    root_taken: bool
    chain: OrderedDict[bytes, _Block]
    orphans: OrderedDict[bytes, _Block]
    sunk: OrderedDict[bytes, None]
    gaps: int
    final: int = -1
    told: bool = False

    def copy(self) -> _State:
        return _State(
            self.root,
            self.root_taken,
            self.chain.copy(),
            self.orphans.copy(),
            self.sunk.copy(),
            self.gaps,
            self.final,
            self.told,
        )


class ChainFollower:
    """Turns blocks, in the order they were seen as the head, into chain events.

    Up to ``window`` blocks can be reverted, ``unfinal`` of them once there is finality. ``linked``
    says that every block's ancestors can be fetched: an unconnected block then raises instead of
    beginning a new segment. ``resume`` is what ``recent`` gave before a restart, ``finalized`` what
    was final then.

    Not for use by several threads at once. Memory is bounded: ``window`` blocks of the chain and
    four times as many orphans, with the batches they came in, and ``unfinal`` positions.
    """

    def __init__(
        self,
        window: int = DEFAULT_WINDOW,
        *,
        linked: bool = False,
        unfinal: int = 0,
        resume: Sequence[Position] = (),
        finalized: Position | None = None,
    ) -> None:
        if window < 1:
            raise ValueError(f"the window must hold at least one block, not {window}")
        self._window = window
        self._linked = linked
        self._unfinal = max(unfinal, window)
        self._state = _State(None, False, OrderedDict(), OrderedDict(), OrderedDict(), 0)
        self._state.told = finalized is not None
        if resume:
            self._state.root, self._state.root_taken = resume[0], True
            for below, position in itertools.pairwise(resume):
                self._append(_Block(position, below.hash, None, 0))

    @property
    def head(self) -> Position | None:
        """The last block of the chain, or None before the first."""
        chain = self._state.chain
        return chain[next(reversed(chain))].position if chain else self._state.root

    @property
    def floor(self) -> Position | None:
        """The newest block that can no longer be reverted (perhaps the first block's parent)."""
        return self._state.root

    @property
    def gaps(self) -> int:
        """How many blocks began a new segment because their parent was unknown."""
        return self._state.gaps

    def recent(self) -> list[Position]:
        """The chain as far as it can be reverted, oldest first, for a cursor file.

        The first position is the block below, which cannot; ``ChainFollower(resume=...)`` goes on
        from the list as if there had been no restart, except that blocks reverted after it have to
        be fetched again to be added again.
        """
        if self._state.root is None:
            return []
        return [self._state.root, *(block.position for block in self._state.chain.values())]

    def at(self, number: int) -> Position | None:
        """The position of that number on the chain, if it can still be reverted or is the floor."""
        # From the head down: most who ask do so about a new head.
        for block in reversed(self._state.chain.values()):
            if block.position.number == number:
                return block.position
            if self._linked and block.position.number < number:
                return None
        root = self._state.root
        return root if root is not None and root.number == number else None

    def reaches(self, hash_: bytes) -> bool:
        """Whether a child of that block would be taken, now, without an ancestor being fetched."""
        while (orphan := self._state.orphans.get(hash_)) is not None:
            hash_ = orphan.parent
        return hash_ in self._state.chain or self._is_root(hash_)

    def contradicts(self, position: Position) -> bool:
        """Whether another block of that number is on the chain, as far as that is remembered."""
        state, root = self._state, self._state.root
        held = self.at(position.number)
        if held is None and root is not None and root.number > position.number:
            # The root sank last, and the blocks before it right before.
            ago = root.number - position.number
            if ago < len(state.sunk) and self._linked:
                return next(itertools.islice(reversed(state.sunk), ago, None)) != position.hash
        return held is not None and held != position

    def add(self, batch: BlockBatch) -> list[ChainEvent]:
        """What the blocks of ``batch``, each claimed as the head in turn, do to the chain.

        A batch whose blocks follow one another costs the same as one block and becomes one event.
        Raises MissingAncestor, when ``linked``, for an unconnected block; DeepReorg for a fork
        below what can be undone; ChainError for a batch of a ``linked`` source whose blocks do not
        follow one another. Nothing has changed when it raises.
        """
        runs = list(_runs(batch))
        if self._linked and len(runs) > 1:
            raise ChainError(
                f"block {batch.position(runs[1].start)} is not the child of the one before it",
                hint="give unconnected blocks of a node one by one",
            )
        before = self._state.copy() if len(runs) > 1 else self._state
        events: list[ChainEvent] = []
        try:
            for rows in runs:
                events += self._add_run(batch, rows)
        except ChainError:
            self._state = before
            raise
        return events

    def finalize(self, position: Position) -> list[ChainEvent]:
        """The block and all below it will never be reverted.

        No events, and no effect, where the block is not on the chain or was final before: a node
        that is ahead, behind or on another fork; a later call will find it. A block that sank
        lately is as final as it was, but now that is known.
        """
        state = self._state
        state.told = True
        if position.number <= state.final:
            return []
        if position.hash and position.hash in state.sunk:
            state.final = position.number
            return [BlockFinalized(position)]
        if _key(position) not in state.chain:
            return []
        state.final = position.number
        while True:
            _, block = state.chain.popitem(last=False)
            self._sink(block)
            if block.position == position:
                return [BlockFinalized(position)]

    def _add_run(self, batch: BlockBatch, rows: range) -> list[ChainEvent]:
        """``add`` for rows of which each is the child of the one before it."""
        events: list[ChainEvent] = []
        for row in rows:
            position, parent = batch.position(row), batch.blocks["parent_hash"][row].as_py() or b""
            if self._is_known(position.hash):
                continue  # case 1
            if self._reaches(position, parent):
                events += self._switch(parent)  # cases 2 to 5
            gap = not self._follows(position, parent)
            if gap or self.head is None:
                events += self._begin(position, parent)
            self._state.gaps += gap
            self._extend(batch, range(row, rows.stop))
            events.append(BlocksAdded(batch.slice(row, rows.stop), gap=gap))
            break
        return events

    @property
    def _limit(self) -> int:
        """How many blocks can be reverted now."""
        return self._unfinal if self._state.told else self._window

    def _is_known(self, hash_: bytes) -> bool:
        """Whether the block is on the chain, as far as that is remembered."""
        state = self._state
        if not hash_:
            return False
        # The parent of the first block counts where it can only be a head of the past.
        below = state.root_taken or self._linked
        return hash_ in state.chain or hash_ in state.sunk or (below and self._is_root(hash_))

    def _is_root(self, hash_: bytes) -> bool:
        return self._state.root is not None and self._state.root.hash == hash_

    def _reaches(self, position: Position, target: bytes) -> bool:
        """Whether ``target`` is known and can be made the head.

        False: the block begins a new segment. Raises where it may not, see ``add``.
        """
        state = self._state
        if not target or state.root is None or not (head := self.head) or not head.hash:
            return False  # nothing to compare with
        lowest, known = position.number, target in state.sunk or position.hash in state.orphans
        while target in state.orphans:
            known, orphan = True, state.orphans[target]
            lowest, target = orphan.position.number, orphan.parent
        if target in state.chain or self._is_root(target):
            return True
        below = lowest - 1 <= state.root.number
        if below and state.root_taken and (known or self._linked):
            why = "is final" if state.root.number <= state.final else "cannot be undone"
            raise DeepReorg(
                f"block {position} is on a fork that starts below block {state.root}, which {why}",
                hint="see which chain the node is on before anything is started again",
            )
        if self._linked and not below:
            raise MissingAncestor(lowest - 1, target)
        return False

    def _switch(self, target: bytes) -> list[ChainEvent]:
        """Make ``target``, which ``_reaches``, the head: revert to the fork, add the orphans."""
        state = self._state
        branch: list[_Block] = []
        while target in state.orphans:
            branch.append(state.orphans.pop(target))
            target = branch[-1].parent
        events = self._revert_to(target)
        for block in reversed(branch):
            events.append(BlocksAdded(block.alone()))
            self._append(block)
        return events

    def _revert_to(self, ancestor: bytes) -> list[ChainEvent]:
        """Revert the blocks above ``ancestor``, or all where it is not on the chain."""
        state = self._state
        events: list[ChainEvent] = []
        while state.chain and next(reversed(state.chain)) != ancestor:
            key, block = state.chain.popitem()
            events.append(BlockReverted(block.position))
            if block.batch is not None:
                state.orphans[key] = block
        while len(state.orphans) > ORPHANS_PER_BLOCK * self._window:
            state.orphans.popitem(last=False)
        return events

    def _follows(self, position: Position, parent: bytes) -> bool:
        """Whether the block is the child of the head, or the first of all."""
        head = self.head
        if head is None:
            return True
        if not parent or not head.hash:
            return position.number > head.number
        return parent == head.hash

    def _begin(self, position: Position, parent: bytes) -> list[ChainEvent]:
        """Begin a segment. A node's whole chain was orphaned then, a file just has a hole."""
        events = self._revert_to(b"") if self._linked else []
        state = self._state
        state.root, state.root_taken = Position(position.number - 1, parent), False
        state.chain.clear()
        state.orphans.clear()
        state.sunk.clear()
        return events

    def _extend(self, batch: BlockBatch, rows: range) -> None:
        """Append the rows to the chain; all but the newest sink at once, without a loop."""
        state = self._state
        start = max(rows.start, rows.stop - 2 * self._limit)
        if start > rows.start:
            state.root, state.root_taken = batch.position(start - 1), True
            state.chain.clear()
            state.sunk.clear()
            self._forget_orphans()
        newest = batch.slice(start, rows.stop)
        parents = newest.blocks["parent_hash"].to_pylist()
        for row, (position, parent) in enumerate(zip(newest.positions(), parents, strict=True)):
            self._append(_Block(position, parent or b"", newest, row))

    def _append(self, block: _Block) -> None:
        state = self._state
        key = _key(block.position)
        state.orphans.pop(key, None)
        state.chain[key] = block
        if len(state.chain) > self._limit:
            self._sink(state.chain.popitem(last=False)[1])
        elif len(state.chain) > self._window:
            self._lighten()

    def _lighten(self) -> None:
        """Let go of the data of the block that has just become deeper than the window."""
        chain = self._state.chain
        key = next(itertools.islice(reversed(chain), self._window, None))
        deep = chain[key]
        if deep.batch is not None:
            chain[key] = _Block(deep.position, deep.parent, None, 0)

    def _sink(self, block: _Block) -> None:
        """The oldest block of the chain can no longer be reverted."""
        state = self._state
        state.root, state.root_taken = block.position, True
        if block.position.hash:
            state.sunk[block.position.hash] = None
            if len(state.sunk) > self._window:
                state.sunk.popitem(last=False)
        self._forget_orphans()

    def _forget_orphans(self) -> None:
        """Forget orphans that could only replace blocks that are never reverted."""
        state = self._state
        assert state.root is not None
        floor = state.root.number
        for key in [k for k, b in state.orphans.items() if b.position.number <= floor]:
            del state.orphans[key]


def _key(position: Position) -> bytes:
    """What a block is found by: its hash, or its number where there is none."""
    return position.hash or position.number.to_bytes(8, "big", signed=True)


def _runs(batch: BlockBatch) -> Iterator[range]:
    """The rows of the batch, cut wherever a block is not the child of the one before it."""
    count = len(batch)
    if not count:
        return
    parents = batch.blocks["parent_hash"].slice(1)
    hashes = batch.blocks["block_hash"].slice(0, count - 1)
    # A null on either side cannot contradict: the order is trusted.
    linked = pc.fill_null(pc.equal(parents, hashes), True)
    breaks = np.flatnonzero(~linked.to_numpy(zero_copy_only=False)) if count > 1 else np.empty(0)
    edges = [0, *(int(row) + 1 for row in breaks), count]
    for start, stop in itertools.pairwise(edges):
        yield range(start, stop)
