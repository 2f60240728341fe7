"""Parquet as other tools write it, and what our reader makes of it."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from chainwarden.schema import ETHEREUM, BlockBatch
from ingest.parquet import ParquetSource


def read(path: Path | Sequence[Path], batch_blocks: int = 10**6) -> BlockBatch:
    """All batches of a source as one, every column checked by Arrow."""
    batches = list(ParquetSource(path, ETHEREUM).batches(batch_blocks))
    for batch in batches:
        assert len(batch) <= batch_blocks
        for table in batch.tables.values():
            table.validate(full=True)
    return BlockBatch.concat(batches)


def hexed(value: bytes | None) -> str | None:
    """Bytes as hex text."""
    return None if value is None else "0x" + value.hex()


def address(number: int) -> bytes:
    """A small number as an address."""
    return number.to_bytes(20, "big")


def word(number: int) -> bytes:
    """A number as 32 bytes."""
    return number.to_bytes(32, "big")


# --- a stream of movements ---------------------------------------------------------------------


def movement(block: int, tx: int, sender: int, to: int | None, **fields: Any) -> dict[str, Any]:
    """A row of a stream; the transaction is told by a number."""
    return {
        "transaction_hash": hexed(word(tx)),
        "block_number": block,
        "block_timestamp": 1_500_000_000 + 15 * block,
        "from_address": hexed(address(sender)),
        "to_address": None if to is None else hexed(address(to)),
        "value_eth": 1.5,
        "method_id": "0x",
        "is_error": False,
        **fields,
    }


def write_stream(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """The rows as a Parquet file."""
    table = pa.Table.from_pylist(list(rows))
    if not rows or all(row["to_address"] is None for row in rows):
        table = table.set_column(4, "to_address", pa.nulls(len(rows), pa.string()))
    pq.write_table(table, path, **options)
    return path


# --- chains: ethereum-etl, cryo, AWS -----------------------------------------------------------

BLOCK_TIME = 1_689_000_000
AMOUNTS = [0, 1, 10**18, 2**53 + 1, 2**64 + 1, 2**128, 2**255, 2**256 - 1]


def chain_rows() -> list[dict[str, Any]]:
    """Transactions of two blocks with every edge amount; one creates, one failed."""
    rows = []
    for i, amount in enumerate(AMOUNTS):
        rows.append(
            {
                "hash": word(1_000 + i),
                "nonce": i,
                "block_number": 7 if i < 5 else 9,
                "transaction_index": i if i < 5 else i - 5,
                "from_address": address(50 + i),
                "to_address": None if i == 3 else address(60 + i),
                "value": amount,
                "gas": 21_000 + i,
                "gas_price": 10**9 + i,
                "input": bytes(range(i)),
                "status": 0 if i == 4 else 1,
                "gas_used": 20_000 + i,
            }
        )
    return rows


def time_of(row: Mapping[str, Any]) -> int:
    """The time of a row's block."""
    return BLOCK_TIME + 12 * int(row["block_number"])


def etl(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Table]:
    """As ethereum-etl writes them: hex text, decimal text, receipts apart."""
    transactions = [
        {
            **{k: row[k] for k in ("nonce", "block_number", "transaction_index", "gas")},
            "hash": hexed(row["hash"]),
            "block_hash": hexed(word(row["block_number"])),
            "from_address": hexed(row["from_address"]),
            "to_address": hexed(row["to_address"]),
            "value": str(row["value"]),
            "gas_price": row["gas_price"],
            "input": hexed(row["input"]),
            "block_timestamp": time_of(row),
            "max_fee_per_gas": float("nan"),
            "transaction_type": 0,
        }
        for row in rows
    ]
    receipts = [
        {
            "transaction_hash": hexed(row["hash"]),
            "transaction_index": row["transaction_index"],
            "block_number": row["block_number"],
            "cumulative_gas_used": row["gas_used"],
            "gas_used": row["gas_used"],
            "contract_address": None,
            "status": row["status"],
            "effective_gas_price": row["gas_price"],
        }
        for row in rows
    ]
    return {
        "transactions": pa.Table.from_pylist(transactions),
        "receipts": pa.Table.from_pylist(receipts[::-1]),
    }


def cryo(rows: Sequence[dict[str, Any]], value: str = "value_binary") -> dict[str, pa.Table]:
    """As cryo writes them: binary columns, unsigned numbers, the amount in one of its forms."""
    forms: dict[str, Callable[[int], Any]] = {
        "value_binary": word,
        "value_string": str,
        "value_f64": float,
    }
    transactions = [
        {
            "block_number": row["block_number"],
            "transaction_index": row["transaction_index"],
            "transaction_hash": row["hash"],
            "nonce": row["nonce"],
            "from_address": row["from_address"],
            "to_address": row["to_address"],
            value: forms[value](row["value"]),
            "input": row["input"],
            "gas_limit": row["gas"],
            "gas_used": row["gas_used"],
            "gas_price": row["gas_price"],
            "transaction_type": 0,
            "success": row["status"] == 1,
            "timestamp": time_of(row),
            "chain_id": 1,
        }
        for row in rows
    ]
    table = pa.Table.from_pylist(transactions)
    for name in ("block_number", "transaction_index", "transaction_type", "timestamp"):
        position = table.column_names.index(name)
        table = table.set_column(position, name, table[name].cast(pa.uint32()))
    return {"ethereum__transactions__7_to_9": table}


def aws(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Table]:
    """As AWS publishes them: by date, timestamps, receipt_ columns, the amount as a double."""
    transactions = [
        {
            "hash": hexed(row["hash"]),
            "nonce": row["nonce"],
            "transaction_index": row["transaction_index"],
            "from_address": hexed(row["from_address"]),
            "to_address": hexed(row["to_address"]),
            "value": float(row["value"]) if row["value"] < 2**255 else 2.0**200,
            "gas": row["gas"],
            "gas_price": row["gas_price"],
            "input": hexed(row["input"]),
            "receipt_gas_used": row["gas_used"],
            "receipt_status": row["status"],
            "receipt_contract_address": None,
            "block_timestamp": datetime.datetime.fromtimestamp(time_of(row), datetime.UTC),
            "block_number": row["block_number"],
            "block_hash": hexed(word(row["block_number"])),
        }
        for row in rows
    ]
    days = pa.Table.from_pylist(transactions)
    return {
        "date=2023-07-10/part-0": days.slice(0, 5),
        "date=2023-07-11/part-0": days.slice(5),
    }


SHAPES: dict[str, Callable[[Sequence[dict[str, Any]]], dict[str, pa.Table]]] = {
    "etl": etl,
    "cryo": cryo,
    "cryo as text": lambda rows: cryo(rows, "value_string"),
    "cryo as float": lambda rows: cryo(rows[:7], "value_f64"),
    "aws": aws,
}


def write_tables(folder: Path, tables: Mapping[str, pa.Table], **options: Any) -> Path:
    """Each table as a file of its name, which may have folders in it."""
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
    return folder
