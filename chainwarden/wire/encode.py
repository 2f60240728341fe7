"""Batches to records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from chainwarden.errors import BusError
from chainwarden.schema import (
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    Chain,
    column,
    hex_of,
)
from chainwarden.wire.columns import (
    decimal_texts,
    hex_texts,
    nearest_doubles,
)
from chainwarden.wire.records import (
    CHILDREN,
    DECIMALS,
    VERSION,
    BlockRecord,
    EncodedEvent,
    FlowRecord,
    TransactionRecord,
)

_ENCODER: Final = msgspec.json.Encoder()
_SHIFT: Final = 32  # transaction indexes fit 32 bits: (block row, index) fits one int64


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
    children = {name: _children_of(batch, name, keys, numbers) for name in CHILDREN}
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
        records = _records_of(CHILDREN[name][1], table, {})
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
    if name in DECIMALS:
        return decimal_texts(values)
    if pa.types.is_fixed_size_binary(values.type) or pa.types.is_binary(values.type):
        return hex_texts(values)
    cells: list[Any] = values.to_pylist()
    return cells


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
