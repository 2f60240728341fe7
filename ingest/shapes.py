"""What public Parquet data sets look like: which columns they have, and how those are named.

A file is told by its columns: ours, ethereum-etl's and the AWS public data set's (``hash``,
``value`` as text, DECIMAL or DOUBLE, maybe ``receipt_…``), cryo's (binary columns,
``value_binary``, ``value_string`` or ``value_f64``), or a stream of value movements
(``value_eth``). Columns that a shape lacks are null.
"""

from __future__ import annotations

from typing import Final

from chainwarden.schema import TABLES

# The names that one thing goes by, the preferred one first.
NUMBER: Final = ("block_number", "number")
HASH: Final = ("transaction_hash", "hash")
TIME: Final = ("block_timestamp", "timestamp")
VALUE: Final = ("value", "value_binary", "value_string", "value_decimal", "value_f64")
STATUS: Final = ("status", "receipt_status", "success")
MINER: Final = ("miner", "author")
TOKEN: Final = ("token_address", "erc20")
INPUT: Final = ("input", "data")
CONTRACT: Final = ("contract_address", "receipt_contract_address")
GAS_USED: Final = ("gas_used", "receipt_gas_used")
PAID: Final = ("effective_gas_price", "receipt_effective_gas_price")

# Every column that any shape's reader asks for, by data set; others are not read from the disk.
WANTED: Final[dict[str, tuple[str, ...]]] = {
    "stream": (
        *("transaction_hash", "block_number", "block_timestamp", "from_address", "to_address"),
        *("value_eth", "method_id", "is_error"),
    ),
    "transactions": (
        *(*HASH, *TIME, *VALUE, *STATUS, *INPUT, *CONTRACT, *GAS_USED, *PAID),
        *("block_number", "block_hash", "transaction_index", "nonce", "from_address"),
        *("to_address", "gas", "gas_limit", "gas_price", "max_fee_per_gas", "transaction_type"),
        *("max_priority_fee_per_gas", "max_fee_per_blob_gas", "blob_versioned_hashes"),
    ),
    "token_transfers": (
        *(*TOKEN, *VALUE, "transaction_hash", "block_number", "transaction_index"),
        *("log_index", "from_address", "to_address"),
    ),
    "receipts": (
        *("transaction_hash", "block_number", "transaction_index"),
        *("status", "gas_used", "contract_address", "effective_gas_price"),
    ),
    "logs": (
        *("transaction_hash", "block_number", "transaction_index", "log_index", "address"),
        *("topics", "topic0", "topic1", "topic2", "topic3", "data"),
    ),
    "blocks": (
        *(*NUMBER, *TIME, *MINER, "block_hash", "hash", "parent_hash", "gas_limit", "gas_used"),
        *("base_fee_per_gas", "blob_gas_used", "excess_blob_gas", "extra_data"),
    ),
}


def data_set_of(names: frozenset[str]) -> str | None:
    """Which data set a file with these columns holds; ``ours:…`` for our own; None if unknown."""
    for ours, schema in TABLES.items():
        if names >= set(schema.names):
            return f"ours:{ours}"
    parties = {"from_address", "to_address"} <= names
    value = any(name in names for name in VALUE)
    if parties and "value_eth" in names:
        return "stream"
    if {"trace_type", "trace_address"} & names:
        return None
    if parties and value and any(name in names for name in TOKEN):
        return "token_transfers"
    if parties and value and any(name in names for name in HASH):
        return "transactions"
    if {"address", "data"} <= names and {"topics", "topic0"} & names:
        return "logs"
    if "transaction_hash" in names and "cumulative_gas_used" in names:
        return "receipts"
    if {"gas_limit", "gas_used"} <= names and any(name in names for name in MINER):
        return "blocks"
    return None


def number_column(names: frozenset[str]) -> str | None:
    """The column of the block number."""
    return next((name for name in NUMBER if name in names), None)
