"""The embedded bus: producer and consumer in one process, bounded, through bytes of its own.

Nothing is durable: what is on it is gone with the process, and a new bus knows no old offsets.
Nobody else reads it either, so a block is Arrow's own bytes here and not Kafka's records of JSON:
to make those and read them again takes a fifth of the time from a node's answer to an alert.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from threading import Condition, Lock
from typing import Final

import pyarrow as pa

from chainwarden.assembly import Repeats
from chainwarden.bus import Delivery, Mark
from chainwarden.errors import BusError, OffsetGone
from chainwarden.schema import (
    ETHEREUM,
    TABLES,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    Chain,
    ChainEvent,
    Offsets,
)

TOPIC: Final = "memory/0"


@dataclass(frozen=True, slots=True)
class _Kept:
    """One event on the bus; of a block that was added, the tables that have rows."""

    mark: Mark
    tables: dict[str, pa.Buffer]


class MemoryBus:
    """A ``Producer`` and a ``Consumer`` in one, for any number of threads.

    Events are encoded when published and decoded when polled. At most ``capacity_events`` wait to
    be polled: ``publish`` blocks while it is full and raises BusError after
    ``timeout_seconds``. As many again that were polled already are kept for ``seek``.
    """

    def __init__(
        self,
        capacity_events: int = 256,
        chain: Chain = ETHEREUM,
        timeout_seconds: float = 60.0,
    ) -> None:
        if capacity_events < 1:
            raise ValueError("a bus holds at least one event")
        self.chain = chain
        self.dead_letters = 0
        """Always 0: nobody else writes on this bus."""
        self._capacity = capacity_events
        self._timeout = timeout_seconds
        self._publishing = Lock()
        self._changed = Condition()
        self._events: deque[_Kept] = deque()  # the last one's offset is next - 1
        self._next = 0  # the offset of the next event to be published
        self._read = 0  # the offset of the next event to be polled
        self._repeats = Repeats()
        self._closed = False

    def publish(self, event: ChainEvent) -> None:
        """Publish one event; a ``BlocksAdded`` block by block, as room comes."""
        with self._publishing:
            if isinstance(event, BlocksAdded):
                if event.batch.chain != self.chain:
                    raise BusError(f"this bus carries {self.chain.name}")
                for row, block in enumerate(event.batch.split()):
                    self._append(_kept(block, event.gap and not row))
            elif isinstance(event, BlockReverted):
                self._append(_Kept(Mark("reverted", event.position), {}))
            else:
                self._append(_Kept(Mark("finalized", event.position), {}))

    @property
    def end(self) -> int:
        """How many events were ever published."""
        return self._next

    def since(self, offset: int) -> list[Mark]:
        """What was published behind that, as far as it is kept."""
        with self._changed:
            first = self._next - len(self._events)
            return [one.mark for at, one in enumerate(self._events, first) if at >= offset]

    def _append(self, event: _Kept) -> None:
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._closed or self._next - self._read < self._capacity, self._timeout
            )
            if self._closed:
                raise BusError("the bus is closed")
            if not room:
                raise BusError(
                    f"the bus was full for {self._timeout:g} s",
                    hint="whoever reads it is stuck or too slow",
                )
            self._events.append(event)
            self._next += 1
            self._changed.notify_all()

    def seek(self, offsets: Offsets) -> None:
        """Start from a delivery's offsets, or from the oldest event kept for ``{}``."""
        with self._changed:
            first = self._next - len(self._events)
            offset = offsets.get(TOPIC, first if not offsets else -1)
            if not first <= offset <= self._next:
                raise OffsetGone(
                    f"the memory bus has events {first} to {self._next}, not {offsets}",
                    hint="it starts empty with every process: resume from the chain position",
                )
            self._read = offset
            self._repeats = Repeats()
            for event in list(self._events)[: offset - first]:
                self._repeats.is_new(event.mark.event, event.mark.position)
            self._changed.notify_all()

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """Up to ``max_events`` next events, or an empty list after the timeout."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._next > self._read, max(0.0, deadline - time.monotonic())
                )
                first = self._next - len(self._events)
                start = self._read - first
                events = [
                    self._events[row]
                    for row in range(start, min(start + max_events, len(self._events)))
                ]
                offset = self._read
                self._read += len(events)
                while len(self._events) > self._capacity + self._next - self._read:
                    self._events.popleft()
                self._changed.notify_all()
            ready = [
                (event, behind)
                for behind, event in enumerate(events, offset + 1)
                if self._repeats.is_new(event.mark.event, event.mark.position)
            ]
            if ready or time.monotonic() >= deadline:
                return list(self._deliveries(ready))

    def _deliveries(self, ready: Sequence[tuple[_Kept, int]]) -> Iterator[Delivery]:
        """The events with the offsets behind them; blocks that follow one another as one batch."""
        run: list[_Kept] = []
        for place, (event, behind) in enumerate(ready):
            offsets = {TOPIC: behind}
            if event.mark.event == "reverted":
                yield Delivery(BlockReverted(event.mark.position), offsets)
            elif event.mark.event == "finalized":
                yield Delivery(BlockFinalized(event.mark.position), offsets)
            else:
                run.append(event)
                after = ready[place + 1][0].mark if place + 1 < len(ready) else None
                if after is None or not _joins(after, event.mark):
                    batch = BlockBatch.concat([_block(one, self.chain) for one in run])
                    yield Delivery(BlocksAdded(batch, gap=run[0].mark.gap), offsets)
                    run = []

    def commit(self, offsets: Offsets) -> None:
        """Nobody watches this bus from outside: nothing to tell."""

    def lag(self) -> int:
        """How many events wait to be polled."""
        with self._changed:
            return self._next - self._read

    def close(self) -> None:
        """Take no more events. What is on the bus can still be polled."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _joins(mark: Mark, before: Mark) -> bool:
    """Whether a block may be in one batch with the one before it."""
    added = mark.event == "added" and not mark.gap
    return added and mark.position.number > before.position.number


def _kept(block: BlockBatch, gap: bool) -> _Kept:
    """A batch of one block as it stands on the bus."""
    tables = {
        name: table.combine_chunks().to_batches()[0].serialize()
        for name, table in block.tables.items()
        if table.num_rows
    }
    parent = block.blocks["parent_hash"][0].as_py() or b""
    return _Kept(Mark("added", block.position(0), parent, gap), tables)


def _block(kept: _Kept, chain: Chain) -> BlockBatch:
    """The batch again; its columns are views of the bytes."""
    tables = {
        name: pa.Table.from_batches([pa.ipc.read_record_batch(data, TABLES[name])])
        for name, data in kept.tables.items()
    }
    return BlockBatch.of(chain, **tables)
