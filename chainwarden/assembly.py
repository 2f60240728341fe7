"""Records to chain events: which belong together, what is a repeat, what is missing.

What both buses do with decoded records, without any input or output of its own. ``Repeats`` knows
the events that were handed on; ``deliveries`` turns complete blocks into batches; ``Assembly``
puts blocks together from partitions that are read independently of one another.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, NamedTuple

from chainwarden.bus import Delivery, Mark
from chainwarden.errors import IncompleteBlock
from chainwarden.schema import (
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    Chain,
    Offsets,
    Position,
)
from chainwarden.wire import (
    BlockRecord,
    InvalidWire,
    TransactionRecord,
    belong,
    check_transaction,
    decode_blocks,
)

RECENT_BLOCKS: Final = 1024
"""How many blocks back a repeat is recognised: far more than a publisher ever sends again."""

# Blocks whose records a processor's cache still has when their last column is made of them.
_DECODED_TOGETHER: Final = 64


class Repeats:
    """Tells events that were seen already from new ones.

    A block is a repeat while it is on the chain as these events tell it: one that was reverted may
    be added again. Bounded: the last ``RECENT_BLOCKS`` blocks.
    """

    def __init__(self) -> None:
        self._chain: dict[Position, None] = {}
        self._reverted: dict[Position, None] = {}
        self._finalized: Position | None = None

    def is_new(self, event: str, position: Position) -> bool:
        """Whether the event was not seen before; it has been seen from now on."""
        if event == "added":
            if position in self._chain:
                return False
            self._reverted.pop(position, None)
            _remember(self._chain, position)
            return True
        if event == "reverted":
            if position not in self._chain and position in self._reverted:
                return False
            self._chain.pop(position, None)
            _remember(self._reverted, position)
            return True
        if position == self._finalized:
            return False
        self._finalized = position
        return True


def _remember(seen: dict[Position, None], position: Position) -> None:
    seen[position] = None
    if len(seen) > RECENT_BLOCKS:
        del seen[next(iter(seen))]


def mark_of(record: BlockRecord) -> Mark:
    """What a block record says without its content. Raises InvalidWire on a malformed hash."""
    return Mark(record.event, record.position(), record.parent(), record.gap)


@dataclass(slots=True)
class ReadyEvent:
    """A complete event: its block record, its transactions, and the offsets behind it."""

    block: BlockRecord
    transactions: list[TransactionRecord]
    offsets: Offsets


def deliveries(chain: Chain, events: Sequence[ReadyEvent]) -> list[Delivery]:
    """The events as deliveries; blocks that follow one another come as one batch.

    Raises InvalidWire where a block cannot be decoded; nothing is delivered then.
    """
    out: list[Delivery] = []
    run: list[ReadyEvent] = []
    for event in events:
        joins = run and event.block.event == "added" and not event.block.gap
        if joins and event.block.block_number > run[-1].block.block_number:
            run.append(event)
            continue
        _flush(chain, run, out)
        if event.block.event == "added":
            run.append(event)
        else:
            kind = BlockReverted if event.block.event == "reverted" else BlockFinalized
            out.append(Delivery(kind(event.block.position()), event.offsets))
    _flush(chain, run, out)
    return out


def _flush(chain: Chain, run: list[ReadyEvent], out: list[Delivery]) -> None:
    if run:
        for event in run:
            if not belong(event.transactions, event.block):
                raise InvalidWire("a transaction disagrees with its block")
        parts = [run[at : at + _DECODED_TOGETHER] for at in range(0, len(run), _DECODED_TOGETHER)]
        batches = [
            decode_blocks(chain, [(event.block, event.transactions) for event in part])
            for part in parts
        ]
        added = BlocksAdded(BlockBatch.concat(batches), gap=run[0].block.gap)
        out.append(Delivery(added, run[-1].offsets))
        run.clear()


@dataclass(slots=True)
class Lane:
    """What was read of one partition and not handed on yet.

    ``held`` has (first offset, sequence) in the order of the partition; ``position`` is the next
    offset to fetch; ``partial`` the first offset of a record of which parts are still to come.
    """

    position: int = 0
    held: deque[tuple[int, int]] = field(default_factory=deque)
    partial: int | None = None

    def hold(self, offset: int, sequence: int) -> None:
        """Remember where the records of an event begin."""
        if not self.held or self.held[-1][1] != sequence:
            self.held.append((offset, sequence))

    def let_go(self, sequence: int) -> None:
        """Forget everything up to and including an event."""
        while self.held and self.held[0][1] <= sequence:
            self.held.popleft()

    def next_offset(self) -> int:
        """Where to seek so that what was not handed on is read, and nothing before it."""
        if self.held:
            return self.held[0][0]
        return self.position if self.partial is None else self.partial


class Arrival(NamedTuple):
    """A record as it came: the lane, its offset there, its bytes."""

    lane: str
    offset: int
    value: bytes


@dataclass(slots=True)
class _Waiting:
    """The transaction records of one event as they come in, by transaction index."""

    records: dict[int, tuple[TransactionRecord, str, int, bytes]] = field(default_factory=dict)
    size: int = 0


@dataclass(slots=True)
class _Ready:
    """An event taken off the assembly, with what is needed should it not decode."""

    event: ReadyEvent
    block: Arrival
    waiting: _Waiting


class Assembly:
    """Puts blocks together from one lane of block records and several of transaction records.

    One writer at a time publishes events whole and in order (see ``wire`` for ``sequence``), so in
    every lane sequences never fall: what is below the event in hand is a leftover, and once every
    lane shows something above it nothing of it can come any more. How much is held is bounded by
    whoever feeds this, by ``size`` and ``lanes_ahead``.

    ``done`` is the sequence of the event before the first one read, -1 where that is not known.
    ``torn`` says that reading starts where old records were deleted: events that lack records are
    passed over until the first complete one. ``on_invalid`` gets every record that does not decode.
    """

    def __init__(
        self,
        chain: Chain,
        lanes: dict[str, Lane],
        repeats: Repeats,
        on_invalid: Callable[[Arrival, str], None],
        *,
        done: int = -1,
        torn: bool = False,
    ) -> None:
        self.lanes = lanes
        self.size = 0
        """Bytes of transaction records held."""
        self.repeated = 0
        """Records and events dropped because they were handed on before."""
        self._chain = chain
        self._repeats = repeats
        self._on_invalid = on_invalid
        self._done = done
        self._torn = torn
        self._blocks: deque[tuple[BlockRecord, Arrival]] = deque()
        self._waiting: dict[int, _Waiting] = {}
        self._failure: IncompleteBlock | None = None

    def add_transaction(
        self, lane: str, offset: int, value: bytes, record: TransactionRecord
    ) -> None:
        """Take a transaction record in, in the order of its lane."""
        sequence = record.sequence
        if sequence <= self._done:
            self.repeated += 1
            return
        waiting = self._waiting.get(sequence)
        if waiting is None:
            waiting = self._waiting[sequence] = _Waiting()
        self.lanes[lane].hold(offset, sequence)
        if record.transaction_index in waiting.records:
            self.repeated += 1
            return
        waiting.records[record.transaction_index] = (record, lane, offset, value)
        waiting.size += len(value)
        self.size += len(value)

    def add_block(self, arrival: Arrival, record: BlockRecord) -> None:
        """Take a block record in, in the order of its lane."""
        if record.sequence <= self._done or (
            self._blocks and record.sequence <= self._blocks[-1][0].sequence
        ):
            self.repeated += 1
            return
        self._blocks.append((record, arrival))
        self.lanes[arrival.lane].hold(arrival.offset, record.sequence)

    @property
    def events(self) -> int:
        """Block records held, complete or not."""
        return len(self._blocks)

    def lacking(self) -> int:
        """How many records the next event still needs; 0 where it is complete or not there."""
        return self._lacks(self._blocks[0][0]) if self._blocks else 0

    def complete(self, most: int) -> int:
        """How many of the next events have all their records, counted up to ``most``."""
        for count, (block, _) in enumerate(islice(self._blocks, most)):
            if self._lacks(block):
                return count
        return min(most, len(self._blocks))

    def _lacks(self, block: BlockRecord) -> int:
        waiting = self._waiting.get(block.sequence)
        return abs(block.transactions - (len(waiting.records) if waiting else 0))

    def lanes_ahead(self, lanes: Iterable[str]) -> list[str]:
        """Those of the lanes whose newest record belongs to an event after the one in hand."""
        now = self._blocks[0][0].sequence if self._blocks else self._done + 1
        held = ((name, self.lanes[name].held) for name in lanes)
        return [name for name, queue in held if queue and queue[-1][1] > now]

    def offsets(self) -> Offsets:
        """Where everything that was not handed on begins."""
        return {name: lane.next_offset() for name, lane in sorted(self.lanes.items())}

    def take(self, max_events: int) -> list[Delivery]:
        """Up to ``max_events`` events that are complete, in order; repeats are dropped.

        Raises IncompleteBlock when the next block can never be complete, after what is before it
        was handed on; raises it again until the reader seeks.
        """
        ready: list[_Ready] = []
        while self._failure is None and self._blocks and len(ready) < max_events:
            self._drop_leftovers()
            if self._failure is not None or self.lacking():
                break
            event = self._next()
            if event is not None:
                ready.append(event)
        try:
            out = deliveries(self._chain, [one.event for one in ready])
        except InvalidWire:
            out = self._up_to_the_invalid(ready)
        if not out and self._failure is not None:
            raise self._failure
        return out

    def give_up(self) -> None:
        """The next block will never be complete: ``take`` raises, or passes over it where torn."""
        block = self._blocks[0][0]
        lacking = self.lacking()
        self._blocks.popleft()
        self._let_go(block.sequence)
        if not self._torn:
            reason = f"{lacking} of {block.transactions} transaction records are missing"
            self._fail(block.block_number, block.block_hash, reason, self.offsets())

    def _next(self) -> _Ready | None:
        """The next event, which is complete; None where it is a repeat."""
        block, arrival = self._blocks.popleft()
        waiting = self._let_go(block.sequence)
        try:
            new = self._repeats.is_new(block.event, block.position())
        except InvalidWire:
            new = True  # decoding says what is wrong with it
        if not new:
            self.repeated += 1
            return None
        self._torn = False
        records = [record for record, _, _, _ in waiting.records.values()]
        return _Ready(ReadyEvent(block, records, self.offsets()), arrival, waiting)

    def _let_go(self, sequence: int) -> _Waiting:
        """Pass an event: what was held of it."""
        for lane in self.lanes.values():
            lane.let_go(sequence)
        self._done = sequence
        waiting = self._waiting.pop(sequence, None) or _Waiting()
        self.size -= waiting.size
        return waiting

    def _drop_leftovers(self) -> None:
        """Transaction records before the next event belong to a block record that was lost."""
        upcoming = self._blocks[0][0].sequence
        while upcoming != self._done + 1 and self._waiting:
            lost = min(self._waiting)
            if lost >= upcoming:
                return
            some, *_ = next(iter(self._waiting[lost].records.values()))
            self._let_go(lost)
            if not self._torn:
                reason = "its block record is missing"
                self._fail(some.block_number, some.block_hash, reason, self.offsets())
                return

    def _up_to_the_invalid(self, ready: list[_Ready]) -> list[Delivery]:
        """The events before the first that does not decode; that one is the failure."""
        for count, one in enumerate(ready):
            try:
                deliveries(self._chain, [one.event])
            except InvalidWire as error:
                block = one.event.block
                reasons = list(self._blame(one)) or [str(error)]
                self._fail(
                    block.block_number, block.block_hash, "; ".join(reasons[:3]), one.event.offsets
                )
                return deliveries(self._chain, [good.event for good in ready[:count]])
        raise AssertionError("events decode one by one but not together")

    def _blame(self, one: _Ready) -> Iterable[str]:
        """Hand every invalid record of an event to ``on_invalid``; the reasons."""
        block = one.event.block
        innocent = True
        for record in one.event.transactions:
            try:
                if not belong([record], block):
                    raise InvalidWire("it disagrees with its block")
                check_transaction(record)
            except InvalidWire as error:
                innocent = False
                reason = f"transaction {record.transaction_index}: {error}"
                _, lane, offset, value = one.waiting.records[record.transaction_index]
                self._on_invalid(Arrival(lane, offset, value), reason)
                yield reason
        if innocent:
            self._on_invalid(one.block, "the block record does not decode")

    def _fail(self, number: int, block_hash: str | None, reason: str, offsets: Offsets) -> None:
        try:
            known = bytes.fromhex((block_hash or "").removeprefix("0x"))
        except ValueError:
            known = b""
        self._failure = IncompleteBlock(reason, number=number, block_hash=known, offsets=offsets)
