"""The embedded bus: producer and consumer in one process, bounded, through the same records.

Nothing is durable: what is on it is gone with the process, and a new bus knows no old offsets.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Condition, Lock
from typing import Final

from chainwarden.assembly import ReadyEvent, Repeats, deliveries, mark_of
from chainwarden.bus import Delivery, Mark
from chainwarden.errors import BusError, OffsetGone
from chainwarden.schema import ETHEREUM, BlocksAdded, Chain, ChainEvent, Offsets
from chainwarden.wire import (
    EncodedEvent,
    decode_block,
    decode_transaction,
    encode_blocks,
    encode_mark,
)

TOPIC: Final = "memory/0"


class MemoryBus:
    """A ``Producer`` and a ``Consumer`` in one, for any number of threads.

    Events are encoded as they are for Kafka and decoded when polled. At most ``capacity_events``
    wait to be polled: ``publish`` blocks while it is full and raises BusError after
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
        self._events: deque[EncodedEvent] = deque()  # sequence = offset
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
                encoded = encode_blocks(event, self._next)
            else:
                encoded = [encode_mark(event, self.chain, self._next)]
            for one in encoded:
                self._append(one)

    @property
    def end(self) -> int:
        """How many events were ever published."""
        return self._next

    def since(self, offset: int) -> list[Mark]:
        """What was published behind that, as far as it is kept."""
        with self._changed:
            later = [one.block for one in self._events if one.sequence >= offset]
        return [mark_of(decode_block(block, self.chain.name)) for block in later]

    def _append(self, event: EncodedEvent) -> None:
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
                block = decode_block(event.block, self.chain.name)
                self._repeats.is_new(block.event, block.position())
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
                one
                for row, event in enumerate(events, offset + 1)
                if (one := self._open(event, row))
            ]
            if ready or time.monotonic() >= deadline:
                return deliveries(self.chain, ready)

    def _open(self, event: EncodedEvent, offset: int) -> ReadyEvent | None:
        block = decode_block(event.block, self.chain.name)
        if not self._repeats.is_new(block.event, block.position()):
            return None
        records = [decode_transaction(value, self.chain.name) for _, value in event.transactions]
        return ReadyEvent(block, records, {TOPIC: offset})

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
