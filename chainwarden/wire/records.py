"""The records as typed structs, and one record from its bytes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Literal

import msgspec
import pyarrow as pa
from msgspec import UNSET, UnsetType

from chainwarden.schema import (
    APPROVALS,
    AUTHORIZATIONS,
    CREATIONS,
    FLOWS,
    LOGS,
    Position,
)

VERSION: Final = 1


class InvalidWire(ValueError):
    """These bytes are no record of this version; the message says why."""


class FlowRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """A movement of value. ``kind`` is a ``FlowKind``; an absent status is the transaction's."""

    ordinal: int
    kind: int
    from_address: str
    to_address: str
    value: str
    batch_index: int = 0
    token_address: str | None = None
    token_id: str | None = None
    value_f64: float | UnsetType = UNSET
    status: int | UnsetType | None = UNSET


class ApprovalRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """A right to spend, granted or revoked. ``kind`` is an ``ApprovalKind``."""

    ordinal: int
    kind: int
    token_address: str
    owner: str
    spender: str
    approved: bool
    token_id: str | None = None
    value: str | None = None
    value_f64: float | UnsetType | None = UNSET


class CreationRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """A contract that was created."""

    ordinal: int
    creator: str
    contract_address: str
    init_code: str | None = None


class LogRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """A log that is neither a transfer nor an approval."""

    ordinal: int
    address: str
    data: str
    topic0: str | None = None
    topic1: str | None = None
    topic2: str | None = None
    topic3: str | None = None


class AuthorizationRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """An EIP-7702 authorization."""

    ordinal: int
    chain_id: str
    delegate: str
    nonce: int
    authority: str | None = None


class TransactionRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """A transaction with its receipt's fields and all that it did. The key is its sender."""

    version: int
    chain: str
    sequence: int
    block_number: int
    block_timestamp: int
    transaction_index: int
    from_address: str
    value: str
    block_hash: str | None = None
    value_f64: float | UnsetType = UNSET
    transaction_hash: str | None = None
    transaction_type: int | None = None
    nonce: int | None = None
    to_address: str | None = None
    input: str | None = None
    gas: int | None = None
    gas_price: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    blob_count: int | None = None
    effective_gas_price: str | None = None
    gas_used: int | None = None
    status: int | None = None
    contract_address: str | None = None
    log_count: int | None = None
    flows: tuple[FlowRecord, ...] = ()
    approvals: tuple[ApprovalRecord, ...] = ()
    creations: tuple[CreationRecord, ...] = ()
    logs: tuple[LogRecord, ...] = ()
    authorizations: tuple[AuthorizationRecord, ...] = ()


class BlockRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """A chain event: what happened to which block and, where it was added, its header.

    ``transactions`` says how many transaction records of this ``sequence`` belong to it;
    ``transaction_count`` is the source's word on how many the block has. ``flows`` are those of no
    transaction (withdrawals). ``gap``: the block does not follow the one before it.
    """

    version: int
    chain: str
    chain_id: int
    sequence: int
    event: Literal["added", "reverted", "finalized"]
    block_number: int
    block_hash: str | None = None
    transactions: int = 0
    gap: bool = False
    verified: bool = False
    block_timestamp: int = 0
    transaction_count: int = 0
    parent_hash: str | None = None
    miner: str | None = None
    gas_limit: int | None = None
    gas_used: int | None = None
    base_fee_per_gas: str | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    extra_data: str | None = None
    flows: tuple[FlowRecord, ...] = ()

    def position(self) -> Position:
        """The block's number and hash. Raises InvalidWire on a malformed hash."""
        return Position(self.block_number, _hash_of(self.block_hash, "block_hash"))

    def parent(self) -> bytes:
        """The parent's hash, empty where it is not told. Raises InvalidWire on a malformed one."""
        return _hash_of(self.parent_hash, "parent_hash")


def _hash_of(text: str | None, name: str) -> bytes:
    if text is None:
        return b""
    try:
        return _hash_bytes(text)
    except ValueError as error:
        raise InvalidWire(f"{name}: {error}") from error


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """One event's records: its block record, and a key and a value for each transaction."""

    sequence: int
    block: bytes
    transactions: list[tuple[bytes, bytes]]


def _hash_bytes(text: str) -> bytes:
    if len(text) != 66 or not text.startswith("0x"):
        raise ValueError("no 32 bytes of hex text")
    return bytes.fromhex(text[2:])


_TRANSACTION: Final = msgspec.json.Decoder(TransactionRecord).decode
_BLOCK: Final = msgspec.json.Decoder(BlockRecord).decode

# Columns that stand in records as decimal text: 256-bit amounts, and prices, which may exceed 2^53.
DECIMALS: Final = frozenset(
    {
        "value",
        "token_id",
        "chain_id",
        "base_fee_per_gas",
        "gas_price",
        "max_fee_per_gas",
        "max_priority_fee_per_gas",
        "max_fee_per_blob_gas",
        "effective_gas_price",
    }
)

CHILDREN: Final[dict[str, tuple[pa.Schema, type[Any]]]] = {
    "flows": (FLOWS, FlowRecord),
    "approvals": (APPROVALS, ApprovalRecord),
    "creations": (CREATIONS, CreationRecord),
    "logs": (LOGS, LogRecord),
    "authorizations": (AUTHORIZATIONS, AuthorizationRecord),
}


def decode_transaction(value: bytes | None, chain: str) -> TransactionRecord:
    """A transaction record from its bytes. Raises InvalidWire. Columns are checked later."""
    try:
        record: TransactionRecord = _TRANSACTION(value or b"")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidWire(f"no record: {error}") from error
    if record.version != VERSION or record.chain != chain:
        raise _foreign(record)
    return record


def decode_block(value: bytes | None, chain: str) -> BlockRecord:
    """A block record from its bytes. Raises InvalidWire. Columns are checked later."""
    try:
        record: BlockRecord = _BLOCK(value or b"")
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidWire(f"no record: {error}") from error
    if record.version != VERSION or record.chain != chain:
        raise _foreign(record)
    return record


def _foreign(record: TransactionRecord | BlockRecord) -> InvalidWire:
    if record.version != VERSION:
        return InvalidWire(f"version {record.version}, this reads version {VERSION}")
    return InvalidWire("a record of another chain")


_identity = attrgetter("block_number", "block_hash", "block_timestamp")


def belong(records: Iterable[TransactionRecord], block: BlockRecord) -> bool:
    """Whether transaction records agree with the block they say they are in."""
    return {_identity(block)}.issuperset(map(_identity, records))
