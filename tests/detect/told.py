"""A node for rules: it knows what it was told, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

from chainwarden.schema import Position


@dataclass
class Told:
    """A ``NodeCalls`` over dictionaries; ``asked`` notes the address of each question."""

    balance: dict[tuple[bytes, Position], int | None] = field(default_factory=dict)
    tokens: dict[tuple[bytes, bytes, Position], int | None] = field(default_factory=dict)
    code: dict[tuple[bytes, Position], bytes | None] = field(default_factory=dict)
    calls: dict[tuple[bytes, bytes, Position], tuple[bool, bytes] | None] = field(
        default_factory=dict
    )
    storage: dict[tuple[bytes, int, Position], bytes | None] = field(default_factory=dict)
    asked: list[bytes] = field(default_factory=list)

    def balance_at(self, address: bytes, at: Position) -> int | None:
        """The balance it was told."""
        self.asked.append(address)
        return self.balance.get((address, at))

    def token_balance_at(self, token: bytes, owner: bytes, at: Position) -> int | None:
        """The token balance it was told."""
        self.asked.append(owner)
        return self.tokens.get((token, owner, at))

    def code_at(self, address: bytes, at: Position) -> bytes | None:
        """The code it was told."""
        self.asked.append(address)
        return self.code.get((address, at))

    def storage_at(self, address: bytes, slot: int, at: Position) -> bytes | None:
        """The word it was told."""
        self.asked.append(address)
        return self.storage.get((address, slot, at))

    def call(
        self, to: bytes, data: bytes, at: Position, *, sender: bytes | None = None, value: int = 0
    ) -> tuple[bool, bytes] | None:
        """The answer it was told, whoever calls with whatever value."""
        self.asked += [to] if sender is None and not value else [to, sender or b""]
        return self.calls.get((to, data, at))
