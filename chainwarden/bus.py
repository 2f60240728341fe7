"""The seam between ingest and detect: chain events in order, with offsets.

Two small protocols, ``Producer`` and ``Consumer``. ``memory_bus.MemoryBus`` is both;
``kafka_bus.BlockProducer`` and ``kafka_bus.BlockConsumer`` pass the same conformance suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from chainwarden.schema import ChainEvent, Offsets


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chain event and the offsets behind it: seeking there reads what comes after it."""

    event: ChainEvent
    offsets: Offsets


class Producer(Protocol):
    """Puts chain events on the bus, in order."""

    def publish(self, event: ChainEvent) -> None:
        """Publish one event whole or not at all; it is durable when this returns.

        A ``BlocksAdded`` of several blocks is published block by block: a crash in between leaves
        whole blocks. Publishing a block again is harmless: the consumer drops the repeat. Raises
        BusError when the bus cannot take it; the caller must not move its cursor then.
        """
        ...

    def close(self) -> None:
        """Release what is held. Everything published is durable already."""
        ...


class Consumer(Protocol):
    """Takes chain events off the bus, in the order they were published, each once."""

    def seek(self, offsets: Offsets) -> None:
        """Start from offsets that a ``Delivery`` carried, or from the beginning for ``{}``.

        Raises OffsetGone when they are no longer on the bus.
        """
        ...

    def poll(self, timeout_seconds: float, max_events: int = 1) -> list[Delivery]:
        """Up to ``max_events`` next events, or an empty list after the timeout.

        A block is handed on only when all of it is there. Blocks that follow one another and are
        there together come as one ``BlocksAdded`` with the offsets behind the last; each counts.
        Records that cannot be decoded go to the dead letters and are counted; the stream goes on
        after them. Raises IncompleteBlock where records of a block are lost; the error says how to
        go on.
        """
        ...

    def commit(self, offsets: Offsets) -> None:
        """Tell the bus how far this consumer is; for monitoring only, the ledger is the truth."""
        ...

    def lag(self) -> int:
        """How many records (Kafka) or events (memory) are on the bus behind the next one."""
        ...

    def close(self) -> None:
        """Release what is held."""
        ...
