"""The seam between ingest and detect: chain events in order, with offsets.

Two small protocols, ``Producer`` and ``Consumer``. ``memory_bus.MemoryBus`` is both;
``kafka_bus.BlockProducer`` and ``kafka_bus.BlockConsumer`` pass the same conformance suite.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from chainwarden.schema import ChainEvent, Offsets, Position


@dataclass(frozen=True, slots=True)
class Delivery:
    """A chain event and the offsets behind it: seeking there reads what comes after it."""

    event: ChainEvent
    offsets: Offsets


@dataclass(frozen=True, slots=True)
class Mark:
    """What one event on the bus says about one block, without its content.

    ``parent`` is the parent's hash of a block that was added, as far as it is known.
    """

    event: Literal["added", "reverted", "finalized"]
    position: Position
    parent: bytes = b""
    gap: bool = False


class Producer(Protocol):
    """Puts chain events on the bus, in order."""

    def publish(self, event: ChainEvent) -> None:
        """Publish one event whole or not at all; it is durable when this returns.

        A ``BlocksAdded`` of several blocks is published block by block: a crash in between leaves
        whole blocks. Publishing a block again is harmless: the consumer drops the repeat. Raises
        BusError when the bus cannot take it: the caller must not move its cursor then, and does not
        know whether it is on the bus.
        """
        ...

    @property
    def end(self) -> int:
        """The offset behind all that was published before this producer, and by it."""
        ...

    def since(self, offset: int) -> list[Mark]:
        """What was published behind such an offset, by whoever did, in order.

        Nothing for an offset beyond the end: the bus was made anew. Where what came next was
        deleted, what is left. Raises BusError where the bus does not say it.
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
