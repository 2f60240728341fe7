"""Following a chain as it grows: heads, what is missing below them, forks, finality.

The head is asked for by HTTP, again and again; a doorbell only makes the next question come sooner.
Everything below a head is fetched by hash, walking back from it, so that all of it belongs to one
fork. Only what lies far behind is fetched by number, in ranges, and it is held to its parent hashes
like everything else. What follows from a parent's header (``lineage``) must hold, whoever says
otherwise. Failures end nothing: who watches the cursor sees that it does not move.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Final

from chainwarden.errors import BadBlock, MissingAncestor, SourceError
from chainwarden.schema import BlockBatch, ChainEvent, Position
from ingest.chain import MOST_UNFINAL, ChainFollower
from ingest.heads import HeadDoorbell
from ingest.lineage import Lineage
from ingest.pool import Stopped
from ingest.raw import RawBlock
from ingest.rpc import RpcSource

log = logging.getLogger(__name__)

_MAX_UNCONNECTED: Final = 256

Accept = Callable[[RawBlock], BlockBatch]
AcceptSoon = Callable[[RawBlock], BlockBatch | Future[BlockBatch]]
Submit = Callable[[RawBlock, Callable[[BlockBatch], BlockBatch]], Future[BlockBatch]]
Crew = Callable[[], AbstractContextManager[Submit]]
"""Opens what verifies and decodes several blocks at a time, each held to something, then."""


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """How the head is followed.

    The pause between two questions for the head is ``shortest_pause_seconds`` after a new one and
    grows by half up to ``longest_pause_seconds``. A head more than ``far_blocks`` away is
    approached by ranges, in batches of up to ``batch_blocks``, up to ``near_blocks`` below it. From
    ``crew_blocks`` on, that is work for a crew, if there is one.
    """

    shortest_pause_seconds: float = 0.2
    longest_pause_seconds: float = 2.0
    failure_pause_seconds: float = 1.0
    finality_seconds: float = 6.0
    far_blocks: int = 32
    near_blocks: int = 8
    batch_blocks: int = 64
    crew_blocks: int = 500


def live(
    source: RpcSource,
    follower: ChainFollower,
    verify_and_decode: Accept,
    *,
    start: int | None,
    stop: threading.Event,
    doorbell: HeadDoorbell | None = None,
    config: LiveConfig = LiveConfig(),
    crew: Crew | None = None,
) -> Iterator[ChainEvent]:
    """The chain events of a growing chain, until ``stop`` is set; then it ends within a second.

    ``follower`` must be ``linked``. It goes on from the follower's head; a new follower begins with
    block ``start``, or with the head where that is None. ``verify_and_decode`` turns a block into a
    batch of one, or raises BadBlock, and then another endpoint is asked; it runs in another thread.
    A ``crew`` does the same where very many blocks are behind the head.

    Raises DeepReorg, and SettingsError where no endpoint is on the right chain. A fork makes many
    events at once, and the follower is behind the last of them when the first is yielded: whoever
    stores how far they are counts the events that were stored.
    """
    following = Following(source, follower, verify_and_decode, config, crew)
    source.stop_on(stop)
    pause, failures = config.shortest_pause_seconds, 0
    with doorbell or nullcontext():
        while not stop.is_set():
            before = follower.head
            try:
                yield from following.finality()  # first: how much is to be kept hangs on it
                yield from following.catch_up(start)
                yield from following.finality()
                failures, pause = 0, 1.5 * pause
            except Stopped:
                return
            except SourceError as error:
                failures += 1
                if failures & (failures - 1) == 0:  # the 1st, 2nd, 4th, 8th … in a row
                    log.warning("the head cannot be followed now (%d): %s", failures, error)
                pause = max(1.5 * pause, config.failure_pause_seconds)
            if follower.head != before:
                pause = config.shortest_pause_seconds
            pause = min(pause, config.longest_pause_seconds)
            if doorbell is None:
                stop.wait(pause)
            else:
                doorbell.wait(pause, stop)


class Following:
    """The steps of ``live``, and of whoever else brings a follower to a block."""

    def __init__(
        self,
        source: RpcSource,
        follower: ChainFollower,
        accept: Accept,
        config: LiveConfig,
        crew: Crew | None = None,
    ) -> None:
        self._source = source
        self._follower = follower
        self._verify_and_decode = accept
        self._lineage = Lineage(source.chain)
        self._config = config
        self._crew = crew
        self._finality_due = 0.0
        # Blocks on the way down from a head. They are kept until they are connected: a node that
        # answers null now and then would make every walk start anew.
        self._unconnected: OrderedDict[bytes, BlockBatch] = OrderedDict()
        # From a block to the ancestor that was missing. A fork may be deeper than blocks are kept,
        # and a walk that failed halfway goes on there.
        self._links: OrderedDict[bytes, Position] = OrderedDict()

    def catch_up(self, start: int | None) -> Iterator[ChainEvent]:
        """Make the node's head the follower's."""
        head = self._source.head()
        if self._follower.head is None:
            if start is not None and start > head.number:
                return  # not there yet
            first = head.hash if start is None else start
            yield from self._claim(self._source.fetch(first, self._accept, _is_verified))
        ours, floor = self._follower.head, self._follower.floor
        if ours is None or floor is None or self._follower.at(head.number) == head:
            return
        if head.number <= floor.number:
            self._source.stats.stale_heads += 1  # a node that lags, or one that was reset
            return
        yield from self._approach(head.number)
        yield from self.reach_position(head)

    def reach_position(self, position: Position) -> Iterator[ChainEvent]:
        """Fetch a block and make it the head, after what is missing below it."""
        yield from self._climb(position)
        self._forget_the_way()

    def reach(self, batch: BlockBatch) -> Iterator[ChainEvent]:
        """Make the last of these blocks, which follow one another, the head.

        What is missing below them is fetched. It may be called again after a SourceError.
        """
        yield from self._approach(batch.position(0).number)
        yield from self._claim(batch)
        self._forget_the_way()

    def _forget_the_way(self) -> None:
        self._unconnected.clear()
        self._links.clear()

    def finality(self) -> Iterator[ChainEvent]:
        """Ask every so often what is final."""
        if time.monotonic() < self._finality_due:
            return
        final = self._source.finalized()
        if self._follower.head is not None:
            self._finality_due = time.monotonic() + self._config.finality_seconds
        if final is None:
            return
        if self._follower.contradicts(final):
            # Whichever it is, the next heads will tell: we are on a fork, or the node lies.
            self._source.stats.finality_conflicts += 1
            log.error("block %s is final for the node, but our chain has another one", final)
            return
        yield from self._follower.finalize(final)

    def _approach(self, number: int) -> Iterator[ChainEvent]:
        """Come near a number that is far above the head, by ranges."""
        head = self._follower.head
        if head is None or number - head.number <= self._config.far_blocks:
            return
        start, stop = head.number + 1, number - self._config.near_blocks
        if self._crew is None or stop - start < self._config.crew_blocks:
            yield from self._claim_range(start, stop, self._accept)
            return
        with self._crew() as submit:
            yield from self._claim_range(start, stop, lambda raw: submit(raw, self._lineage.admit))

    def _claim_range(self, start: int, stop: int, accept: AcceptSoon) -> Iterator[ChainEvent]:
        for batch in self._range(start, stop, accept):
            yield from self._claim(batch)

    def _claim(self, batch: BlockBatch) -> Iterator[ChainEvent]:
        """Claim the batch as the head, after its ancestors as far as they are missing."""
        while True:
            try:
                events = self._follower.add(batch)
            except MissingAncestor as missing:
                yield from self._climb(Position(missing.number, missing.parent_hash))
            else:
                yield from events
                return

    def _climb(self, head: Position) -> Iterator[ChainEvent]:
        """Walk down from a head to what is known, and claim the blocks on the way up.

        Numbers fall with every step, so the walk ends, at the latest in DeepReorg. Of a long way
        only the positions are kept.
        """
        pending = [head]
        while pending:
            wanted = pending[-1]
            below = self._links.get(wanted.hash)
            if below is not None and not self._follower.reaches(below.hash):
                pending.append(below)
                continue
            block = self._by_hash(wanted)
            try:
                self._hold(block)
                events = self._follower.add(block)
            except MissingAncestor as missing:
                below = Position(missing.number, missing.parent_hash)
                self._links[wanted.hash] = below
                if len(self._links) > MOST_UNFINAL:
                    self._links.popitem(last=False)
                pending.append(below)
            else:
                pending.pop()
                yield from events

    def _accept(self, raw: RawBlock) -> BlockBatch:
        return self._lineage.admit(self._verify_and_decode(raw))

    def _hold(self, block: BlockBatch) -> None:
        """Hold a block to its parent once more: that may have come after it."""
        try:
            self._lineage.hold(block)
        except BadBlock as error:
            self._source.stats.rejected[error.reason] += 1
            self._unconnected.pop(block.position(0).hash, None)
            raise

    def _by_hash(self, wanted: Position) -> BlockBatch:
        """The block of that hash; BadBlock if its number is another than who points to it says."""
        if (known := self._unconnected.get(wanted.hash)) is not None:
            return known
        block = self._source.fetch(wanted.hash, self._accept, _is_verified)
        if block.position(0) != wanted:
            message = f"it should be block {wanted}"
            raise BadBlock(message, where=f"block {block.position(0)}", reason="order")
        self._unconnected[wanted.hash] = block
        if len(self._unconnected) > _MAX_UNCONNECTED:
            self._unconnected.popitem(last=False)
        return block

    def _range(self, start: int, stop: int, accept: AcceptSoon) -> Iterator[BlockBatch]:
        """The blocks by number, as batches of linked blocks."""
        group: list[BlockBatch] = []
        try:
            for block in self._source.fetch_range(start, stop, accept, _is_verified):
                if isinstance(block, BadBlock):
                    raise block
                self._hold(block)
                linked = group and _follows(block, group[-1])
                if group and (not linked or len(group) >= self._config.batch_blocks):
                    yield BlockBatch.concat(group)
                    group = []
                group.append(block)
        except SourceError:
            if group:  # what was read before goes on first
                yield BlockBatch.concat(group)
            raise
        if group:
            yield BlockBatch.concat(group)


def _is_verified(block: BlockBatch) -> bool:
    """False where it has fields or types that nobody knows: another endpoint may know better."""
    return bool(block.blocks["verified"][0].as_py())


def _follows(block: BlockBatch, before: BlockBatch) -> bool:
    parent = block.blocks["parent_hash"][0].as_py()
    return parent is not None and parent == before.position(-1).hash
