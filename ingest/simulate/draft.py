"""What actors want to happen, before it has a nonce, a price and a place in a block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import coincurve

from ingest.codec import contract_address, keccak
from ingest.simulate.truth import Record


class Log(NamedTuple):
    """A log as its contract emits it."""

    address: bytes
    topics: tuple[bytes, ...]
    data: bytes


class Wallet:
    """An account with a key: its address, its next nonce, and what it believes it owns.

    ``balance`` is in wei, ``tokens`` in token units by token address. They keep amounts plausible
    (nobody spends what never came in); they are no consensus state.
    """

    __slots__ = ("address", "balance", "deposit", "exchange", "key", "nonce", "peers", "tokens")

    def __init__(self, key: coincurve.PrivateKey, balance: int) -> None:
        self.key = key
        self.address = keccak(key.public_key.format(compressed=False)[1:])[12:]
        self.nonce = 0
        self.balance = balance
        self.tokens: dict[bytes, int] = {}
        self.deposit: Wallet | None = None  # its deposit address at an exchange …
        self.exchange = 0  # … and which one that is
        self.peers: list[bytes] = []  # whom it pays again and again

    def credit(self, token: bytes | None, amount: int) -> None:
        """Book ``amount`` in; ``token`` None is ether."""
        if token is None:
            self.balance += amount
        else:
            self.tokens[token] = self.tokens.get(token, 0) + amount

    def debit(self, token: bytes | None, amount: int) -> None:
        """Book ``amount`` out, never below zero."""
        if token is None:
            self.balance = max(0, self.balance - amount)
        else:
            self.tokens[token] = max(0, self.tokens.get(token, 0) - amount)


class Keyring:
    """Makes wallets, the n-th always the same for a seed."""

    def __init__(self, seed: int) -> None:
        self._prefix = b"chainwarden simulated wallet %d " % seed
        self._count = 0

    def wallet(self, balance: int = 0) -> Wallet:
        """The next wallet."""
        self._count += 1
        secret = keccak(self._prefix + str(self._count).encode())
        return Wallet(coincurve.PrivateKey(secret), balance)


@dataclass(slots=True)
class Draft:
    """A transaction its sender wants, with the logs it will have.

    ``nonce`` None takes the sender's next one. ``gas_price`` makes it a legacy transaction at
    exactly that price. ``record`` is the campaign it belongs to.
    """

    sender: Wallet
    to: bytes | None
    value: int = 0
    data: bytes = b""
    logs: list[Log] = field(default_factory=list)
    gas_used: int = 0
    status: int = 1
    type: int = 2
    tip: int = 1_000_000_000
    gas_price: int | None = None
    nonce: int | None = None
    record: Record | None = None
    delegate: bytes | None = None  # type 4: what is delegated to …
    authorities: tuple[Wallet, ...] = ()  # … and by whom; by the sender where nobody is named

    def __post_init__(self) -> None:
        if not self.gas_used:
            # Close to what such calls cost: intrinsic gas, calldata, and storage behind each log.
            self.gas_used = 21_000
            if self.data:
                self.gas_used += 4_000 + 12 * len(self.data) + 15_000 * len(self.logs)
            if self.to is None:
                self.gas_used += 32_000 + 60 * len(self.data)


def creation_address(creation: Draft) -> bytes:
    """The address of the contract that a draft has just created, right after it was signed."""
    return contract_address(creation.sender.address, creation.sender.nonce - 1)


class Pause(NamedTuple):
    """A script waits that many blocks before it goes on; 0 is no pause."""

    blocks: int


class Room(NamedTuple):
    """What follows needs so much gas within one block: a block later where that is not left."""

    gas: int


Script = Iterator["Draft | Pause | Room"]
"""What somebody does over time: drafts, which follow one another in a block, and pauses."""
