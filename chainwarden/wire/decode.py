"""Records to batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain as chained
from operator import attrgetter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from chainwarden.schema import (
    BLOCKS,
    TRANSACTIONS,
    UINT256,
    BlockBatch,
    Chain,
)
from chainwarden.wire.columns import (
    decimal_column,
    hex_column,
    nearest_doubles,
)
from chainwarden.wire.records import (
    CHILDREN,
    DECIMALS,
    VERSION,
    BlockRecord,
    FlowRecord,
    InvalidWire,
    TransactionRecord,
)


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
    for name, (schema, _) in CHILDREN.items():
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
        elif field.name in DECIMALS:
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
