"""What somebody who only sees chain events believes."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainwarden.schema import (
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Position,
)


@dataclass
class Published:
    """What somebody who only sees the events believes the chain to be."""

    chain: list[Position] = field(default_factory=list)
    gaps: int = 0

    def apply(self, events: list[ChainEvent]) -> None:
        """Append, take back, and hold every event to its promise."""
        for event in events:
            match event:
                case BlocksAdded(batch=added, gap=gap):
                    parents = added.blocks["parent_hash"].to_pylist()
                    positions = added.positions()
                    if gap:
                        self.gaps += 1
                        self.chain.clear()
                    for position, parent in zip(positions, parents, strict=True):
                        if self.chain and parent and self.chain[-1].hash:
                            assert parent == self.chain[-1].hash, "not the child of the head"
                        self.chain.append(position)
                case BlockReverted(position=position):
                    assert self.chain.pop() == position, "reverted what is not the head"
                case BlockFinalized(position=position):
                    assert position in self.chain, "finalized what is not on the chain"


def shape(events: list[ChainEvent]) -> list[tuple[str, list[Position]]]:
    """The events as (what, positions), short enough to compare with."""
    short: list[tuple[str, list[Position]]] = []
    for event in events:
        if isinstance(event, BlocksAdded):
            short.append(("gap" if event.gap else "add", event.batch.positions()))
        else:
            name = "revert" if isinstance(event, BlockReverted) else "final"
            short.append((name, [event.position]))
    return short
