"""What stands on the bus: the records of a block as JSON, and blocks from records again.

A block is one ``TransactionRecord`` for each transaction, with all that belongs to it, and one
``BlockRecord``; a revert and a finality mark are a ``BlockRecord`` alone. Values are JSON objects
whose fields are named like the columns of ``chainwarden.schema``:

- addresses, hashes and data are ``0x…`` text; amounts and prices are decimal text, exact up to
  2^256-1; counts, indexes, gas and nonces are numbers; times are seconds since 1970;
- a field that is absent is null, an absent list is empty, and an absent ``value_f64`` is the
  float64 nearest to ``value``;
- ``version`` is 1; within a version fields are only ever added, and readers skip those they do not
  know. Records of another version are refused.

Every record carries ``sequence``, the number of the event on this bus: it rises with every event
and joins the records of one publication. Reading is total: whatever bytes come, the answer is a
record or InvalidWire. Both directions are exact for every column, nulls included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain as chained
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET, UnsetType

from chainwarden.errors import BusError
from chainwarden.schema import (
    APPROVALS,
    AUTHORIZATIONS,
    BLOCKS,
    CREATIONS,
    FLOWS,
    LOGS,
    TRANSACTIONS,
    UINT256,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    Chain,
    Position,
    column,
    hex_of,
)
from chainwarden.wire_columns import (
    decimal_column,
    decimal_texts,
    hex_column,
    hex_texts,
    nearest_doubles,
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
        if self.block_hash is None:
            return Position(self.block_number, b"")
        try:
            return Position(self.block_number, _hash_bytes(self.block_hash))
        except ValueError as error:
            raise InvalidWire(f"block_hash: {error}") from error


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """One event's records: its block record, and a key and a value for each transaction."""

    sequence: int
    block: bytes
    transactions: list[tuple[bytes, bytes]]


_ENCODER: Final = msgspec.json.Encoder()
_TRANSACTION: Final = msgspec.json.Decoder(TransactionRecord).decode
_BLOCK: Final = msgspec.json.Decoder(BlockRecord).decode
_SHIFT: Final = 32  # transaction indexes fit 32 bits: (block row, index) fits one int64

_CHILDREN: Final[dict[str, tuple[pa.Schema, type[Any]]]] = {
    "flows": (FLOWS, FlowRecord),
    "approvals": (APPROVALS, ApprovalRecord),
    "creations": (CREATIONS, CreationRecord),
    "logs": (LOGS, LogRecord),
    "authorizations": (AUTHORIZATIONS, AuthorizationRecord),
}


# --- batches to records --------------------------------------------------------------------------


def encode_mark(event: BlockReverted | BlockFinalized, chain: Chain, sequence: int) -> EncodedEvent:
    """The one record of a revert or a finality mark."""
    kind: Literal["reverted", "finalized"] = (
        "reverted" if isinstance(event, BlockReverted) else "finalized"
    )
    position = event.position
    record = BlockRecord(
        VERSION,
        chain.name,
        chain.id,
        sequence,
        kind,
        position.number,
        hex_of(position.hash) if position.hash else None,
    )
    return EncodedEvent(sequence, _ENCODER.encode(record), [])


def encode_blocks(event: BlocksAdded, first_sequence: int) -> list[EncodedEvent]:
    """The records of every block of a batch, in order, numbered from ``first_sequence``.

    Raises BusError where a row belongs to no transaction of the batch, or disagrees with it.
    """
    batch = event.batch
    numbers = batch.numbers()
    keys = _row_keys(batch.transactions, numbers)
    children = {name: _children_of(batch, name, keys, numbers) for name in _CHILDREN}
    blocks_of = np.searchsorted(numbers, column(batch.transactions, "block_number"))
    hashes = batch.blocks["block_hash"].combine_chunks().take(pa.array(blocks_of))
    common: dict[str, Sequence[Any]] = {
        "version": [VERSION] * len(keys),
        "chain": [batch.chain.name] * len(keys),
        "sequence": (blocks_of + first_sequence).tolist(),
        "block_hash": hex_texts(pa.chunked_array([hashes])),
    }
    records = _records_of(TransactionRecord, batch.transactions, common | children)
    values = list(map(_ENCODER.encode, records))
    senders = [record.from_address.encode() for record in records]
    ends = np.searchsorted(blocks_of, np.arange(len(batch) + 1)).tolist()
    return [
        EncodedEvent(
            record.sequence,
            _ENCODER.encode(record),
            list(zip(senders[low:high], values[low:high], strict=True)),
        )
        for record, low, high in zip(
            _block_records(event, first_sequence, np.diff(ends).tolist()),
            ends,
            ends[1:],
            strict=False,
        )
    ]


def _block_records(
    event: BlocksAdded, first_sequence: int, transactions: list[int]
) -> Sequence[Any]:
    batch, count = event.batch, len(event.batch)
    common: dict[str, Sequence[Any]] = {
        "version": [VERSION] * count,
        "chain": [batch.chain.name] * count,
        "chain_id": [batch.chain.id] * count,
        "sequence": range(first_sequence, first_sequence + count),
        "event": ["added"] * count,
        "gap": [event.gap, *[False] * (count - 1)],
        "transactions": transactions,
        "flows": _flows_without_transaction(batch),
    }
    return _records_of(BlockRecord, batch.blocks, common)


def _flows_without_transaction(batch: BlockBatch) -> list[tuple[Any, ...]]:
    """The flows that have no transaction, by block."""
    flows = batch.flows.filter(pc.is_null(batch.flows["transaction_index"]))
    if flows["transaction_hash"].null_count != len(flows):
        raise BusError("a flow has a transaction hash but no transaction index")
    owners = np.searchsorted(batch.numbers(), column(flows, "block_number"))
    _same(flows, "block_timestamp", batch.blocks, owners)
    records = _flow_records(flows, [None] * len(flows))
    ends = np.searchsorted(owners, np.arange(len(batch) + 1)).tolist()
    return [records[low:high] for low, high in pairwise(ends)]


def _children_of(
    batch: BlockBatch,
    name: str,
    keys: np.ndarray[tuple[int], np.dtype[np.int64]],
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> list[tuple[Any, ...]]:
    """One table's rows as records, in one list for each transaction of the batch."""
    table = getattr(batch, name)
    if name == "flows":
        table = table.filter(pc.is_valid(table["transaction_index"]))
    if not len(table):
        return [()] * len(keys)
    own = _row_keys(table, numbers)
    owners = np.searchsorted(keys, own)
    if np.any(np.diff(own) < 0):
        raise BusError(f"{name} are not in chain order")
    if owners[-1] >= len(keys) or np.any(keys[owners] != own):
        raise BusError(f"{name} belong to no transaction of the batch")
    _same(table, "block_timestamp", batch.transactions, owners)
    _same(table, "transaction_hash", batch.transactions, owners)
    if name == "flows":
        statuses = batch.transactions["status"].combine_chunks().take(pa.array(owners)).to_pylist()
        records = _flow_records(table, statuses)
    else:
        records = _records_of(_CHILDREN[name][1], table, {})
    ends = np.searchsorted(own, keys).tolist()
    return [records[low:high] for low, high in zip(ends, [*ends[1:], len(own)], strict=True)]


def _flow_records(flows: pa.Table, statuses: list[int | None]) -> tuple[Any, ...]:
    own = flows["status"].to_pylist()
    said = [UNSET if a == b else a for a, b in zip(own, statuses, strict=True)]
    return _records_of(FlowRecord, flows, {"status": said})


def _records_of(
    struct: type[Any], table: pa.Table, given: dict[str, Sequence[Any]]
) -> tuple[Any, ...]:
    """A table's rows as structs: fields that are ``given``, else from the column of that name."""
    columns = dict(given)
    for name in struct.__struct_fields__:
        if name not in columns and name != "value_f64":
            columns[name] = _texts(table, name)
    if "value_f64" in struct.__struct_fields__:
        columns["value_f64"] = _unlike_nearest(table["value_f64"], columns["value"])
    return tuple(map(struct, *(columns[name] for name in struct.__struct_fields__)))


def _texts(table: pa.Table, name: str) -> Sequence[Any]:
    """A column as what stands in records."""
    values = table[name]
    if name in _DECIMALS:
        return decimal_texts(values)
    if pa.types.is_fixed_size_binary(values.type) or pa.types.is_binary(values.type):
        return hex_texts(values)
    return values.to_pylist()  # type: ignore[no-any-return]


# Columns that stand in records as decimal text: 256-bit amounts, and prices, which may exceed 2^53.
_DECIMALS: Final = frozenset(
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


def _unlike_nearest(doubles: pa.ChunkedArray, texts: Sequence[Any]) -> Sequence[Any]:
    """UNSET where the float64 is the one nearest to the amount, else the float64."""
    if not np.all(np.isfinite(doubles.drop_null().to_numpy())):
        raise BusError("value_f64 is not finite")
    nearest = nearest_doubles(pa.array(texts, pa.string()))
    if doubles.combine_chunks().equals(nearest):
        return [UNSET] * len(nearest)
    pairs = zip(doubles.to_pylist(), nearest.to_pylist(), strict=True)
    return [UNSET if own == other else own for own, other in pairs]


def _row_keys(
    table: pa.Table, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """(block row, transaction index) of every row as one rising integer."""
    own = column(table, "block_number")
    rows = np.searchsorted(numbers, own)
    if len(own) and (rows.max() >= len(numbers) or np.any(numbers[rows] != own)):
        raise BusError("a row's block is not in the batch")
    return (rows << _SHIFT) | column(table, "transaction_index")


def _same(
    table: pa.Table,
    name: str,
    owner: pa.Table,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> None:
    """Raise unless the column agrees with the rows' owners: it is not written twice."""
    theirs = owner[name].combine_chunks().take(pa.array(rows))
    if not table[name].combine_chunks().equals(theirs):
        raise BusError(f"{name} disagrees between a row and what it belongs to")


# --- records to batches --------------------------------------------------------------------------


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


def check_transaction(record: TransactionRecord) -> None:
    """Raise InvalidWire unless every field of the record fits its column."""
    decode_blocks(
        Chain(record.chain, 0),
        [
            (
                BlockRecord(
                    VERSION,
                    record.chain,
                    0,
                    record.sequence,
                    "added",
                    record.block_number,
                    record.block_hash,
                    block_timestamp=record.block_timestamp,
                ),
                [record],
            )
        ],
    )


def decode_blocks(
    chain: Chain, blocks: Sequence[tuple[BlockRecord, list[TransactionRecord]]]
) -> BlockBatch:
    """The batch of these blocks. Their numbers must rise; transactions are put in order.

    Whether transactions ``belong`` to their block is the caller's to ask. Raises InvalidWire where
    a field does not fit its column.
    """
    try:
        return _decode_blocks(chain, blocks)
    except InvalidWire:
        raise
    except (ValueError, OverflowError, pa.ArrowException) as error:
        raise InvalidWire(str(error)) from error


def _decode_blocks(
    chain: Chain, blocks: Sequence[tuple[BlockRecord, list[TransactionRecord]]]
) -> BlockBatch:
    headers = [block for block, _ in blocks]
    for _, records in blocks:
        records.sort(key=attrgetter("transaction_index"))
    transactions = list(chained.from_iterable(records for _, records in blocks))
    blocks_table = _table(BLOCKS, headers, {})
    counts = np.fromiter((len(records) for _, records in blocks), np.int64)
    rows_of = pa.array(np.repeat(np.arange(len(counts)), counts))
    given = {
        name: blocks_table[name].combine_chunks().take(rows_of)
        for name in ("block_number", "block_timestamp")
    }
    tables = {
        "blocks": blocks_table,
        "transactions": _table(TRANSACTIONS, transactions, given),
    }
    for name, (schema, _) in _CHILDREN.items():
        if name == "flows" and any(header.flows for header in headers):
            # A block's own flows come after those of its transactions.
            owners: Iterator[Any] = chained.from_iterable(
                (*records, header) for header, records in blocks
            )
            lists = [owner.flows for owner in owners]
            extra = 1
        else:
            lists = list(map(attrgetter(name), transactions))
            extra = 0
        rows = list(chained.from_iterable(lists))
        if not rows:
            tables[name] = schema.empty_table()
            continue
        lengths = np.fromiter(map(len, lists), np.int64, len(lists))
        given = _inherited(schema, tables, counts, lengths, extra)
        if name == "flows":
            given["status"] = _statuses(rows, given["status"])
        tables[name] = _table(schema, rows, given)
    return BlockBatch.of(chain, **tables)


def _inherited(
    schema: pa.Schema,
    tables: dict[str, pa.Table],
    counts: np.ndarray[tuple[int], np.dtype[np.int64]],
    lengths: np.ndarray[tuple[int], np.dtype[np.int64]],
    extra: int,
) -> dict[str, pa.Array]:
    """The columns that rows have from their transaction or, without one, from their block.

    ``counts`` are the transactions of each block, ``lengths`` the rows of each owner: the
    transactions of a block and, where ``extra`` is 1, the block itself behind them.
    """
    blocks_of = np.repeat(np.arange(len(counts)), counts + extra)
    lone = np.zeros(len(blocks_of), dtype=bool)
    if extra:
        lone[np.cumsum(counts + 1) - 1] = True
    places = np.repeat(np.cumsum(~lone) - 1, lengths)
    of_block = pa.array(np.repeat(blocks_of, lengths))
    of_transaction = pa.array(places, mask=np.repeat(lone, lengths))
    inherited = {
        name: tables["blocks"][name].combine_chunks().take(of_block)
        for name in ("block_number", "block_timestamp")
    }
    for name in ("transaction_index", "transaction_hash", "status"):
        if name in schema.names:
            values = tables["transactions"][name].combine_chunks()
            inherited[name] = values.take(of_transaction)
    return inherited


def _statuses(rows: Sequence[FlowRecord], inherited: pa.Array) -> pa.Array:
    """A flow's status: what it says, else its transaction's."""
    own = [row.status for row in rows]
    if own.count(UNSET) == len(own):
        return inherited
    said = pa.array([None if one is UNSET else one for one in own], pa.int8())
    return pc.if_else(pa.array([one is UNSET for one in own]), inherited, said)


def _table(schema: pa.Schema, records: Sequence[Any], given: dict[str, pa.Array]) -> pa.Table:
    """A table of records: columns that are ``given``, else from the field of that name."""
    if not records:
        return schema.empty_table()
    columns: list[pa.Array] = []
    amounts: pa.Array = None
    for field in schema:
        if field.name in given:
            columns.append(given[field.name])
        elif field.name == "value_f64":
            columns.append(_doubles(records, amounts))
        elif field.name in _DECIMALS:
            texts = pa.array(list(map(attrgetter(field.name), records)), pa.string())
            amounts = texts if field.name == "value" else amounts
            wide = field.type == UINT256
            columns.append(decimal_column(texts) if wide else texts.cast(pa.uint64()))
        else:
            columns.append(_column(field, records))
    for field, values in zip(schema, columns, strict=True):
        if not field.nullable and values.null_count:
            raise InvalidWire(f"{field.name} is null")
    return pa.Table.from_arrays(columns, schema=schema)


def _column(field: pa.Field, records: Sequence[Any]) -> pa.Array:
    values = list(map(attrgetter(field.name), records))
    if pa.types.is_fixed_size_binary(field.type) or pa.types.is_binary(field.type):
        return hex_column(values, field.type, nullable=field.nullable)
    return pa.array(values, field.type)


def _doubles(records: Sequence[Any], amounts: pa.Array) -> pa.Array:
    """``value_f64``: what the record says, else the float64 nearest to its ``value``."""
    said = list(map(attrgetter("value_f64"), records))
    nearest = nearest_doubles(amounts)
    if said.count(UNSET) == len(said):
        return nearest
    own = pa.array([None if one is UNSET else one for one in said], pa.float64())
    return pc.if_else(pa.array([one is UNSET for one in said]), nearest, own)


def _hash_bytes(text: str) -> bytes:
    if len(text) != 66 or not text.startswith("0x"):
        raise ValueError("no 32 bytes of hex text")
    return bytes.fromhex(text[2:])
