"""Random chains of blocks, told as tables and as the history that the tables mean."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from chainwarden.schema import ETHEREUM, TABLES, ZERO_ADDRESS, BlockBatch, FlowKind, Position

ETHER = 10**18
START = 1_600_000_000
AMOUNTS = (0, 1, ETHER // 3, ETHER, 5 * ETHER, 123_456 * 10**15, 10**22)


@dataclass(frozen=True)
class Flow:
    """A flow with all that its transaction gives it."""

    time: int
    sender: bytes
    receiver: bytes
    value: float
    token: bytes | None = None
    failed: bool = False
    own: bool = False  # the transaction's own flow
    nonce: int | None = None
    has_input: bool = False
    gas_price: int | None = None
    gas_share: float | None = None


@dataclass(frozen=True)
class Mark:
    """An address shows that it has code."""

    time: int
    address: bytes


@dataclass(frozen=True)
class Creation:
    """A contract is created."""

    time: int
    creator: bytes
    contract: bytes


@dataclass(frozen=True)
class Approval:
    """An approval, at which only facts are read."""

    time: int
    owner: bytes
    spender: bytes


Event = Flow | Mark | Creation | Approval


@dataclass
class Block:
    """One block: its rows by table, and its events in chain order."""

    number: int
    time: int
    hash: bytes
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)

    @property
    def position(self) -> Position:
        """Where it is."""
        return Position(self.number, self.hash)

    def add(self, table: str, **values: Any) -> None:
        """Add a row."""
        row = {"block_number": self.number, "block_timestamp": self.time, **values}
        self.rows.setdefault(table, []).append(row)


def address(name: str) -> bytes:
    """An address by name."""
    return hashlib.sha256(name.encode()).digest()[:20]


@dataclass(frozen=True)
class Shape:
    """What random blocks look like."""

    wallets: int = 9
    tokens: int = 2
    transactions: int = 3
    receipts: bool = True


def random_block(
    number: int, seed: str, shape: Shape | None = None, busy: int | None = None
) -> Block:
    """A block of that number, a function of the seed alone; ``busy``: how many transactions."""
    shape = shape or Shape()
    rng = random.Random(f"{seed}/{number}")
    # Times rise, in steps from seconds to weeks, and are the same on all forks.
    time = START + 12 * number + 86_400 * (number // 5) + 900_000 * (number // 17)
    block = Block(number, time, hashlib.sha256(f"{seed}/{number}".encode()).digest())
    count = rng.randint(0, shape.transactions) if busy is None else busy
    for index in range(count):
        _transaction(block, rng, index, shape)
    if rng.random() < 0.2:
        value = rng.choice(AMOUNTS)
        to = _wallet(rng, shape)
        _flow(block, None, None, 0, FlowKind.WITHDRAWAL, ZERO_ADDRESS, to, value, None, True)
        block.events.append(Flow(time, ZERO_ADDRESS, to, float(value)))
    return block


def _wallet(rng: random.Random, shape: Shape) -> bytes:
    return address(f"wallet {rng.randrange(shape.wallets)}")


def _transaction(block: Block, rng: random.Random, index: int, shape: Shape) -> None:
    time, sender = block.time, _wallet(rng, shape)
    ok, value = rng.random() < 0.85, rng.choice(AMOUNTS)
    hash_ = hashlib.sha256(b"%d/%d" % (block.number, index) + block.hash).digest()
    known = shape.receipts
    gas_price = rng.choice((10**9, 3 * 10**9, 10**11)) if known else None
    used, gas = (rng.choice((21_000, 90_000)), 100_000) if known else (None, None)
    nonce = rng.randrange(6) if known and rng.random() < 0.8 else None
    data = rng.choice((b"", b"\xa9\x05\x9c\xbb")) if rng.random() < 0.7 else None
    to = _wallet(rng, shape)
    if known and ok and rng.random() < 0.1:
        to = address(f"created {block.number} {index}")
        block.add(
            "creations",
            transaction_hash=hash_,
            transaction_index=index,
            ordinal=0,
            creator=sender,
            contract_address=to,
            init_code=b"",
        )
        block.events.append(Creation(time, sender, to))
    _flow(block, hash_, index, 0, FlowKind.NATIVE, sender, to, value, None, ok)
    share = used / gas if used is not None and gas is not None else None
    block.events.append(
        Flow(
            time, sender, to, float(value), None, not ok, True, nonce, bool(data), gas_price, share
        )
    )
    kinds = [rng.choice(("transfer", "approval", "log")) for _ in range(rng.randint(0, 3))]
    logs = kinds if ok and known else []
    if logs:
        block.events.append(Mark(time, to))
    if ok and rng.random() < 0.2:
        inner, value_in = _wallet(rng, shape), rng.choice(AMOUNTS)
        _flow(block, hash_, index, -1, FlowKind.INTERNAL, to, inner, value_in, None, ok)
        block.events.append(Flow(time, to, inner, float(value_in)))
    for position, kind in enumerate(logs):
        _log(block, rng, hash_, index, 1 + position, kind, shape)
    block.add(
        "transactions",
        transaction_hash=hash_,
        transaction_index=index,
        nonce=nonce,
        from_address=sender,
        to_address=to,
        value=value.to_bytes(32, "big"),
        value_f64=float(value),
        input=data,
        gas=gas,
        gas_used=used,
        effective_gas_price=gas_price,
        status=int(ok),
        log_count=len(logs) if known else None,
    )


def _log(
    block: Block,
    rng: random.Random,
    hash_: bytes,
    index: int,
    ordinal: int,
    kind: str,
    shape: Shape,
) -> None:
    token = address(f"token {rng.randrange(shape.tokens)}")
    a, b = rng.choice((_wallet(rng, shape), ZERO_ADDRESS)), _wallet(rng, shape)
    if kind == "transfer":
        value = rng.choice(AMOUNTS)
        _flow(block, hash_, index, ordinal, FlowKind.ERC20, a, b, value, token, True)
        block.events.append(Flow(block.time, a, b, float(value), token))
    elif kind == "approval":
        block.add(
            "approvals",
            transaction_hash=hash_,
            transaction_index=index,
            ordinal=ordinal,
            kind=0,
            token_address=token,
            owner=a,
            spender=b,
            value=bytes(32),
            value_f64=0.0,
            approved=True,
        )
        block.events.append(Approval(block.time, a, b))
    else:
        block.add(
            "logs",
            transaction_hash=hash_,
            transaction_index=index,
            ordinal=ordinal,
            address=token,
            data=b"",
        )
    block.events.append(Mark(block.time, token))


def _flow(
    block: Block,
    hash_: bytes | None,
    index: int | None,
    ordinal: int,
    kind: FlowKind,
    sender: bytes,
    to: bytes,
    value: int,
    token: bytes | None,
    ok: bool,
) -> None:
    block.add(
        "flows",
        transaction_hash=hash_,
        transaction_index=index,
        ordinal=ordinal,
        batch_index=0,
        kind=int(kind),
        token_address=token,
        from_address=sender,
        to_address=to,
        value=value.to_bytes(32, "big"),
        value_f64=float(value),
        status=int(ok),
    )


def batch_of(blocks: Sequence[Block]) -> BlockBatch:
    """The blocks as one batch."""
    tables = {}
    for name, schema in TABLES.items():
        rows = [row for block in blocks for row in block.rows.get(name, [])]
        if name == "blocks":
            rows = [
                {
                    "block_number": block.number,
                    "block_hash": block.hash,
                    "block_timestamp": block.time,
                    "transaction_count": len(block.rows.get("transactions", [])),
                    "verified": True,
                }
                for block in blocks
            ]
        tables[name] = pa.Table.from_pylist(rows, schema=schema)
    return BlockBatch.of(ETHEREUM, **tables)
