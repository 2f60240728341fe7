"""A bus that has lost records, and still no block is missed: what it lacks is fetched from nodes.

Records can be gone before they were read: retention or somebody deleted them, a topic was made
anew, a record of a block was damaged. The reader of the bus says so (``OffsetGone``,
``IncompleteBlock``), and every block says which one it follows, so that a hole is seen also where
nothing else tells of it. From there on, until the blocks of the bus follow the head again:

- blocks that were handed on before are dropped;
- what is missing below a block of the bus is fetched, by its parent hash, or by number where it is
  much, and held to its parent hashes;
- where the chain has left the branch of our head meanwhile, our blocks are reverted first. What the
  bus says was reverted is passed over: the parent hash of the next block says it, too.

Nothing is ever skipped. Without a node the hole is an error.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chainwarden.bus import Consumer, Delivery
from chainwarden.errors import BusError, IncompleteBlock, MissingAncestor, OffsetGone, SourceError
from chainwarden.schema import (
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Offsets,
    Position,
)
from ingest.chain import MOST_UNFINAL, ChainFollower

log = logging.getLogger(__name__)

_NO_NODE: Final = "give --rpc, or set source.rpc: what is missing is fetched from there"


class Walker(Protocol):
    """Makes a block a follower's head, fetching what is missing below it."""

    def reach(self, batch: BlockBatch) -> Iterator[ChainEvent]:
        """What happens until the last of these blocks, which follow one another, is the head."""
        ...

    def reach_position(self, position: Position) -> Iterator[ChainEvent]:
        """The same for a block that has to be fetched, too."""
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """Who fetches what is missing, and for how long failures of it are no error."""

    walker: Callable[[ChainFollower], Walker]
    patience_seconds: float


@dataclass(frozen=True, slots=True)
class _Lost:
    """A block of which the bus lacks records, and the offsets behind it."""

    position: Position
    offsets: Offsets


class BackfilledConsumer:
    """A ``Consumer`` of which every block follows the one before; a node fills the holes.

    ``recent`` are the newest positions that were handed on before this, oldest first, and
    ``finalized`` is the newest mark of finality: what is not final can be reverted, ``window``
    blocks where there is no finality. Offsets of fetched blocks are those before the hole: a
    restart in the middle of it finds the hole again. Bounded: what one poll of the bus brought, and
    what one batch of fetched blocks holds.
    """

    def __init__(
        self,
        bus: Consumer,
        recent: Sequence[Position],
        window: int,
        node: Node | None,
        finalized: Position | None = None,
    ) -> None:
        self.fetched = 0
        """Blocks that came from a node."""
        self._bus = bus
        self._node = node
        self._window = window
        self._recent = deque(recent)
        self._finalized = finalized
        self._trim()
        self._offsets: Offsets = {}
        self._waiting: deque[Delivery | _Lost] = deque()
        self._hole: ChainFollower | None = None  # there until the bus follows our head again
        self._walker: Walker | None = None
        self._filling: Iterator[Delivery] | None = None
        self._failing_since: float | None = None
        self._why = ""

    # --- the protocol --------------------------------------------------------------------------

    def seek(self, offsets: Offsets) -> None:
        """Start from a delivery's offsets; where they are gone, from what is left on the bus."""
        self._offsets = offsets
        self._waiting.clear()
        self._filling = None
        try:
            self._bus.seek(offsets)
        except OffsetGone as gone:
            self._lost(gone, {})

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """Up to ``max_events`` next events, or an empty list after the timeout.

        Raises OffsetGone where blocks are missing and there is no node, BusError where none has
        given them for so long, DeepReorg where the chain has left our head's branch too far below.
        """
        if not self._waiting:
            try:
                self._waiting.extend(self._bus.poll(timeout_seconds, max_events))
            except OffsetGone as gone:
                self._lost(gone, {})
            except IncompleteBlock as lacking:
                if self._node is None:
                    lacking.hint = _NO_NODE
                    raise
                self._lost(lacking, lacking.offsets)
                if lacking.block_hash:
                    position = Position(lacking.number, lacking.block_hash)
                    self._waiting.append(_Lost(position, lacking.offsets))
        out: list[Delivery] = []
        while len(out) < max_events and (found := self._next(timeout_seconds)) is not None:
            self._note(found.event)
            out.append(found)
        return out

    def commit(self, offsets: Offsets) -> None:
        """Tell the bus how far this consumer is."""
        self._bus.commit(offsets)

    def lag(self) -> int:
        """What the bus says."""
        return self._bus.lag()

    def close(self) -> None:
        """Close the bus."""
        self._bus.close()

    def reason(self) -> str:
        """Why nothing comes, for ``/readyz``: empty unless blocks are missing and no node helps."""
        return self._why

    # --- inside --------------------------------------------------------------------------------

    def _next(self, timeout_seconds: float) -> Delivery | None:
        """The next event; None while there is none, or no node has it."""
        while self._waiting:
            first = self._waiting[0]
            if self._filling is None:
                if isinstance(first, Delivery) and self._hole is None and self._links(first.event):
                    self._offsets = first.offsets
                    self._waiting.popleft()
                    return first
                self._filling = self._fill(first)
            try:
                found = next(self._filling, None)
            except SourceError as error:
                self._filling = None
                if isinstance(first, Delivery):
                    self._not_now(error, timeout_seconds)
                    return None
                # Perhaps a fork took it: the blocks after it will tell.
                log.warning("block %s is not to be had: %s", first.position, error)
                found = None
            except BaseException:
                self._filling = None  # a generator that raised has ended: nothing is passed over
                raise
            if found is not None:
                self._failing_since, self._why = None, ""
                return found
            self._filling = None
            self._waiting.popleft()
        return None

    def _fill(self, first: Delivery | _Lost) -> Iterator[Delivery]:
        """What happens until what the bus brought follows our head."""
        hole = self._open()
        if isinstance(first, _Lost):
            assert self._walker is not None
            yield from self._given(
                self._walker.reach_position(first.position), first.position, first.offsets
            )
            return
        event = first.event
        if isinstance(event, BlockFinalized):
            for final in hole.finalize(event.position):
                yield Delivery(final, self._offsets)
        if not isinstance(event, BlocksAdded):
            return
        floor, batch = hole.floor, event.batch
        known = 0 if floor is None else int((batch.numbers() <= floor.number).sum())
        if known == len(batch):
            return
        batch, last = batch.slice(known, len(batch)), batch.position(-1)
        yield from self._given(self._reached(hole, batch), last, first.offsets)
        if hole.head == last:
            log.warning("the bus goes on behind block %s, and nothing is missing", last)
            self._hole = self._walker = None

    def _given(
        self, events: Iterator[ChainEvent], last: Position, offsets: Offsets
    ) -> Iterator[Delivery]:
        """The events as deliveries; only the one that brings ``last`` moves the offsets."""
        for event in events:
            if isinstance(event, BlocksAdded):
                if event.batch.position(-1) == last:
                    self._offsets = offsets
                else:
                    self.fetched += len(event.batch)
            yield Delivery(event, self._offsets)

    def _reached(self, hole: ChainFollower, batch: BlockBatch) -> Iterator[ChainEvent]:
        if self._walker is not None:
            yield from self._walker.reach(batch)
            return
        try:
            yield from hole.add(batch)
        except MissingAncestor as missing:
            ours = "no block" if hole.head is None else f"block {hole.head}"
            raise OffsetGone(
                f"{ours} is scored, the bus goes on with block {batch.position(0)}, and what is "
                "between them is not on it",
                hint=_NO_NODE,
            ) from missing

    def _links(self, event: ChainEvent) -> bool:
        """Whether the event follows our head, as far as that can be seen."""
        if not self._recent or isinstance(event, BlockFinalized):
            return True
        head = self._recent[-1]
        if isinstance(event, BlockReverted):
            return event.position == head
        parent = event.batch.blocks["parent_hash"][0].as_py()
        return event.gap or not parent or not head.hash or bool(parent == head.hash)

    def _lost(self, error: BusError, offsets: Offsets) -> None:
        """Records are gone: go on at these offsets, and see what is missing."""
        log.warning("%s", error.message)
        self._bus.seek(offsets)
        if self._recent:
            self._open()

    def _open(self) -> ChainFollower:
        """From here on, nothing is taken for the next block because it came next."""
        if self._hole is None:
            ours = f"block {self._recent[-1]}" if self._recent else "anything"
            log.warning("the bus may not go on behind %s: looking for what is missing", ours)
            self._hole = ChainFollower(
                self._window,
                linked=True,
                unfinal=MOST_UNFINAL,
                resume=list(self._recent),
                finalized=self._finalized,
            )
            self._walker = self._node.walker(self._hole) if self._node is not None else None
        return self._hole

    def _note(self, event: ChainEvent) -> None:
        if isinstance(event, BlocksAdded):
            if event.gap:
                self._recent.clear()
            self._recent.extend(event.batch.positions())
        elif isinstance(event, BlockFinalized):
            self._finalized = event.position
        elif self._recent:
            self._recent.pop()
        self._trim()

    def _trim(self) -> None:
        """Forget what can no longer be reverted, but for the newest block of it."""
        final, recent = self._finalized, self._recent
        most = 1 + (self._window if final is None else MOST_UNFINAL)
        lowest = -1 if final is None else final.number
        while len(recent) > most or (len(recent) > 1 and recent[0].number < lowest):
            recent.popleft()

    def _not_now(self, error: SourceError, timeout_seconds: float) -> None:
        """No node gives what is missing: another time, while patience lasts."""
        assert self._node is not None
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            log.warning("blocks that the bus lost are not to be had now: %s", error)
        self._why = f"blocks are missing on the bus, and no node gives them: {error.message}"
        if now - self._failing_since >= self._node.patience_seconds:
            raise BusError(self._why, hint="is the node in order?") from error
        time.sleep(timeout_seconds)
