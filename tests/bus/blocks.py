"""Blocks to put on a bus: any that the schema allows, drawn by hypothesis, and small plain ones."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from chainwarden.schema import (
    ADDRESS,
    ETHEREUM,
    HASH,
    TABLES,
    TRANSACTIONS,
    BlockBatch,
    BlockFinalized,
    BlockReverted,
    BlocksAdded,
    ChainEvent,
    Position,
)

ROW_KEYS = ("block_number", "block_timestamp", "transaction_hash", "transaction_index")
AMOUNTS = ("value", "token_id", "chain_id")
EDGES = [0, 1, 2**53 - 1, 2**53 + 1, 2**64 - 1, 2**64, 2**128, 10**76 - 1, 10**76, 10**77, 2**255]
amounts = st.one_of(st.sampled_from([*EDGES, 2**256 - 1]), st.integers(0, 2**256 - 1))


def values_of(field: pa.Field) -> st.SearchStrategy[Any]:
    """Any value of a column, null where the column may be."""
    kind = field.type
    if field.name in AMOUNTS:
        plain: st.SearchStrategy[Any] = amounts.map(lambda n: n.to_bytes(32, "big"))
    elif kind in (ADDRESS, HASH):
        plain = st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    elif kind == pa.binary():
        plain = st.binary(max_size=70)
    elif kind == pa.bool_():
        plain = st.booleans()
    elif kind == pa.float64():
        plain = st.floats(allow_nan=False, allow_infinity=False)
    else:
        signed = not pa.types.is_unsigned_integer(kind)
        low, high = (-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1) - 1)
        plain = st.integers(low, high) if signed else st.integers(0, 2**kind.bit_width - 1)
    return st.one_of(st.none(), plain) if field.nullable else plain


def row_of(draw: Any, schema: pa.Schema, given: dict[str, Any]) -> dict[str, Any]:
    """One row of a table: what is ``given``, the rest drawn; mostly the nearest double."""
    row = {
        f.name: given[f.name] if f.name in given else draw(values_of(f), label=f.name)
        for f in schema
    }
    if "value_f64" in row and row["value"] is not None and draw(st.booleans()):
        row["value_f64"] = float(int.from_bytes(row["value"], "big"))
    return row


@st.composite
def batches(draw: Any, max_blocks: int = 3) -> BlockBatch:
    """Any batch of the schema whose rows belong to its transactions and blocks."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    numbers = draw(st.sets(st.integers(0, 2**40), min_size=1, max_size=max_blocks).map(sorted))
    for number in numbers:
        block = row_of(draw, TABLES["blocks"], {"block_number": number})
        rows["blocks"].append(block)
        key = {k: block[k] for k in ("block_number", "block_timestamp")}
        for index in draw(st.sets(st.integers(0, 2**31 - 1), max_size=3).map(sorted)):
            transaction = row_of(draw, TRANSACTIONS, {**key, "transaction_index": index})
            rows["transactions"].append(transaction)
            for name in list(TABLES)[2:]:
                for _ in range(draw(st.integers(0, 2))):
                    own = {k: transaction[k] for k in ROW_KEYS}
                    if draw(st.booleans()):
                        own["status"] = transaction["status"]
                    rows[name].append(row_of(draw, TABLES[name], own))
        for _ in range(draw(st.integers(0, 2))):
            own = {**key, "transaction_index": None, "transaction_hash": None}
            rows["flows"].append(row_of(draw, TABLES["flows"], own))
    return BlockBatch.of(
        ETHEREUM,
        **{name: pa.Table.from_pylist(rows[name], schema=TABLES[name]) for name in TABLES},
    )


def block_hash(number: int, fork: int = 0) -> bytes:
    """The hash of a plain block; ``fork`` tells siblings apart."""
    return fork.to_bytes(4, "big") + number.to_bytes(28, "big")


def position(number: int, fork: int = 0) -> Position:
    """The position of a plain block."""
    return Position(number, block_hash(number, fork))


def plain_batch(
    numbers: list[int], transactions: int = 3, fork: int = 0, data: bytes = b"\xca\xfe"
) -> BlockBatch:
    """Plain blocks of some transactions, each with its native flow."""
    blocks, rows, flows = [], [], []
    for number in numbers:
        key = {"block_number": number, "block_timestamp": 1_700_000_000 + 12 * number}
        blocks.append(
            {
                **key,
                "block_hash": block_hash(number, fork),
                "parent_hash": block_hash(number - 1, fork),
                "transaction_count": transactions,
                "verified": True,
            }
        )
        for index in range(transactions):
            value = number * 1000 + index
            own = {
                **key,
                "transaction_hash": block_hash(value, fork),
                "transaction_index": index,
                "from_address": (number * 7 + index * 13).to_bytes(20, "big"),
                "to_address": bytes(19) + b"\x01",
                "value": value.to_bytes(32, "big"),
                "value_f64": float(value),
                "status": 1,
            }
            rows.append({**own, "input": data, "log_count": 0})
            flows.append({**own, "ordinal": 0, "batch_index": 0, "kind": 0})
    return BlockBatch.of(
        ETHEREUM,
        blocks=pa.Table.from_pylist(blocks, schema=TABLES["blocks"]),
        transactions=pa.Table.from_pylist(rows, schema=TABLES["transactions"]),
        flows=pa.Table.from_pylist(flows, schema=TABLES["flows"]),
    )


def added(*numbers: int, fork: int = 0, transactions: int = 3, gap: bool = False) -> BlocksAdded:
    """Plain blocks that were added."""
    return BlocksAdded(plain_batch(list(numbers), transactions, fork), gap)


def reverted(number: int, fork: int = 0) -> BlockReverted:
    """A plain block that was orphaned."""
    return BlockReverted(position(number, fork))


def finalized(number: int, fork: int = 0) -> BlockFinalized:
    """A plain block that became final."""
    return BlockFinalized(position(number, fork))


def story(events: list[ChainEvent]) -> list[tuple[str, int, bytes]]:
    """What happened, one line for each block, however blocks were batched."""
    lines = []
    for event in events:
        if isinstance(event, BlocksAdded):
            lines += [("added", p.number, p.hash) for p in event.batch.positions()]
        else:
            kind = "reverted" if isinstance(event, BlockReverted) else "finalized"
            lines.append((kind, event.position.number, event.position.hash))
    return lines
