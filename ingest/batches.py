"""Rows of Parquet files to batches: our own tables, and streams of value movements.

Every function is pure and takes rows of whole blocks, in order of their numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import FileFormatError
from chainwarden.schema import BLOCKS, FLOWS, TABLES, TRANSACTIONS, BlockBatch, Chain, FlowKind
from ingest import columns
from ingest.cells import Cells
from ingest.columns import Bytes, Index, Mask
from ingest.rows import Chunk
from ingest.tables import Places

KEYS: Final = ("block_number", "block_timestamp", "transaction_hash", "transaction_index")


def our_batch(chain: Chain, chunks: Mapping[str, Chunk]) -> BlockBatch:
    """Blocks of the lake, exactly as they were written; block rows are made where none are."""
    tables = {name: _as_ours(name, chunk) for name, chunk in chunks.items()}
    if "blocks" not in tables:
        every = pa.concat_tables(
            [table.select(["block_number", "block_timestamp"]) for table in tables.values()]
        )
        numbers, first = np.unique(np.asarray(every["block_number"]), return_index=True)
        times = np.asarray(every["block_timestamp"])[first]
        in_block = chunks["transactions"].numbers if "transactions" in chunks else numbers[:0]
        tables["blocks"] = block_table(numbers, times, in_block, {})
    present = np.asarray(tables["blocks"]["block_number"])
    for name, chunk in chunks.items():
        if name == "blocks" and np.any(np.diff(present) == 0):
            row = 1 + int(np.argmin(np.diff(present)))
            raise FileFormatError(f"{chunk.where(row)}: block {present[row]} is there twice")
        strange = ~np.isin(chunk.numbers, present)
        if strange.any():
            row = int(np.argmax(strange))
            raise FileFormatError(
                f"{chunk.where(row)}: {name} of block {chunk.numbers[row]}, which is not in blocks"
            )
    return BlockBatch.of(chain, **tables)


def _as_ours(name: str, chunk: Chunk) -> pa.Table:
    schema = TABLES[name]
    try:
        table = chunk.table.select(schema.names).cast(schema)
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise FileFormatError(f"{chunk.where(0)}: {name} differ from ours: {error}") from error
    for field in schema:
        if not field.nullable and table[field.name].null_count:
            row = int(np.argmax(np.asarray(pc.is_null(table[field.name]))))
            raise FileFormatError(f"{chunk.where(row)}: column {field.name} is null")
    return table


# --- a stream of value movements ---------------------------------------------------------------


def stream_batch(chain: Chain, chunk: Chunk) -> BlockBatch:
    """Movements of ether, one a row: a transaction's first row is its own, the others internal.

    Nothing says what a creation created: its recipient is the zero address, and null in
    ``transactions``.
    """
    chunk, first = _by_transaction(chunk)
    cells = Cells(chunk)
    count = len(chunk)
    starts = np.flatnonzero(first)
    movement_tx = np.cumsum(first) - 1
    rank = np.arange(count) - starts[movement_tx]
    numbers, block_start, tx_block = blocks_of(chunk.numbers[starts])
    times = cells.seconds("block_timestamp")[starts[block_start]]
    hashes = cells.fixed(32, "transaction_hash", required=True)[0]
    senders = cells.fixed(20, "from_address", required=True)[0]
    recipients, has_recipient = cells.fixed(20, "to_address")
    values = cells.ether("value_eth")
    exact, near = columns.big_endian(values), columns.float64_of(values)
    failed, has_status = cells.flags("is_error")
    status = np.where(failed, 0, 1)
    inputs = cells.data("method_id", pad_odd=True)
    places = Places(
        numbers=numbers,
        times=times,
        tx_block=tx_block,
        tx_index=np.arange(len(starts)) - block_start[tx_block],
        hashes=hashes[starts],
        has_hash=None,
        status=status[starts],
        has_status=has_status[starts],
    )
    everything = np.arange(len(starts))
    whole = len(starts) == count
    keys = places.keys(everything)
    transactions = filled(
        TRANSACTIONS,
        len(starts),
        {
            **dict(zip(KEYS, keys, strict=True)),
            "from_address": columns.fixed_array(senders[starts]),
            "to_address": columns.fixed_array(recipients[starts], has_recipient[starts]),
            "value": columns.fixed_array(exact[starts]),
            "value_f64": pa.array(near[starts]),
            "input": inputs if whole else inputs.take(pa.array(starts)),
            "status": columns.number_array(status[starts], pa.int8(), has_status[starts]),
        },
    )
    kind = np.where(rank == 0, FlowKind.NATIVE, FlowKind.INTERNAL)
    flows = filled(
        FLOWS,
        count,
        {
            **dict(zip(KEYS, keys if whole else places.keys(movement_tx), strict=True)),
            "ordinal": columns.number_array(-rank, pa.int32()),
            "batch_index": pa.array(np.zeros(count, np.int32)),
            "kind": columns.number_array(kind, pa.int8()),
            "from_address": columns.fixed_array(senders),
            "to_address": columns.fixed_array(recipients),
            "value": columns.fixed_array(exact),
            "value_f64": pa.array(near),
            "status": columns.number_array(status, pa.int8(), has_status),
        },
    )
    blocks = block_table(numbers, times, chunk.numbers[starts], {})
    return BlockBatch.of(chain, blocks=blocks, transactions=transactions, flows=flows)


def _by_transaction(chunk: Chunk) -> tuple[Chunk, Mask]:
    """The rows with those of a transaction side by side, and which is the first of each."""
    hashes = Cells(chunk).fixed(32, "transaction_hash", required=True)[0]
    first = _changes(chunk.numbers, hashes)
    quick = np.ascontiguousarray(hashes[:, :8]).view(np.uint64)[:, 0]
    # A transaction in two places needs three rows of one block: few blocks have so many.
    block = np.cumsum(np.diff(chunk.numbers, prepend=-1) != 0) - 1
    crowded = first & (np.bincount(block)[block] > 2)
    rows = np.flatnonzero(crowded)
    if len(np.unique(quick[rows])) == len(rows):
        return chunk, first
    seen: dict[tuple[int, bytes], int] = {}
    keys = zip(chunk.numbers.tolist(), map(bytes, hashes), strict=True)
    appeared = np.array([seen.setdefault(key, row) for row, key in enumerate(keys)], np.int64)
    chunk = chunk.take(np.argsort(appeared, kind="stable"))
    return chunk, _changes(chunk.numbers, Cells(chunk).fixed(32, "transaction_hash")[0])


def _changes(numbers: Index, hashes: Bytes) -> Mask:
    first = np.ones(len(numbers), np.bool_)
    words = columns.words_of(hashes)
    first[1:] = (words[1:] != words[:-1]).any(axis=1) | (numbers[1:] != numbers[:-1])
    return first


# --- what all shapes share ---------------------------------------------------------------------


def blocks_of(numbers: Index) -> tuple[Index, Index, Index]:
    """The blocks that sorted rows are in, the first row of each, and the block of each row."""
    start = np.flatnonzero(np.diff(numbers, prepend=-1))
    return numbers[start], start, np.cumsum(np.diff(numbers, prepend=-1) != 0) - 1


def block_table(
    numbers: Index, times: Index, tx_numbers: Index, known: Mapping[str, pa.Array]
) -> pa.Table:
    """Block rows; ``tx_numbers`` are the sorted block numbers of all transactions."""
    counts = np.searchsorted(tx_numbers, numbers, "right") - np.searchsorted(tx_numbers, numbers)
    return filled(
        BLOCKS,
        len(numbers),
        {
            "block_number": pa.array(numbers),
            "block_timestamp": pa.array(times),
            "transaction_count": columns.number_array(counts, pa.int32()),
            "verified": pa.array(np.zeros(len(numbers), np.bool_)),
            **known,
        },
    )


def filled(schema: pa.Schema, count: int, known: Mapping[str, pa.Array]) -> pa.Table:
    """A table of the columns that are known; the others are null."""
    arrays = [
        known[field.name] if field.name in known else pa.nulls(count, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
