"""The Arrow tables that a block becomes, and the kinds of their rows."""

from __future__ import annotations

import enum
from typing import Final

import pyarrow as pa

ADDRESS: Final = pa.binary(20)
HASH: Final = pa.binary(32)
UINT256: Final = pa.binary(32)

BLOCKS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_hash", HASH),
        pa.field("parent_hash", HASH),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("miner", ADDRESS),
        pa.field("gas_limit", pa.int64()),
        pa.field("gas_used", pa.int64()),
        pa.field("base_fee_per_gas", pa.uint64()),
        pa.field("blob_gas_used", pa.int64()),
        pa.field("excess_blob_gas", pa.int64()),
        pa.field("extra_data", pa.binary()),
        pa.field("transaction_count", pa.int32(), nullable=False),
        # true: the header hash, the transactions root and the root of everything else that the
        # source gave were recomputed and agreed. false: the source gives no header (a table), or
        # the block has fields or transaction types nobody knows. Lies never get here.
        pa.field("verified", pa.bool_(), nullable=False),
    ]
)

# The key of a row below the block: (block_number, transaction_index, ordinal, batch_index).
TRANSACTIONS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("transaction_type", pa.int16()),
        pa.field("nonce", pa.uint64()),
        pa.field("from_address", ADDRESS, nullable=False),
        pa.field("to_address", ADDRESS),  # null: contract creation
        pa.field("value", UINT256, nullable=False),
        pa.field("value_f64", pa.float64(), nullable=False),
        pa.field("input", pa.binary()),
        pa.field("gas", pa.int64()),
        # Prices saturate at 2^64-1 wei: above it one unit of gas would cost 18 ether.
        pa.field("gas_price", pa.uint64()),
        pa.field("max_fee_per_gas", pa.uint64()),
        pa.field("max_priority_fee_per_gas", pa.uint64()),
        pa.field("max_fee_per_blob_gas", pa.uint64()),
        pa.field("blob_count", pa.int16()),
        pa.field("effective_gas_price", pa.uint64()),
        pa.field("gas_used", pa.int64()),
        pa.field(
            "status", pa.int8()
        ),  # 1 succeeded, 0 failed, null unknown (no receipt, or pre-Byzantium)
        pa.field("contract_address", ADDRESS),  # what a creation created
        pa.field("log_count", pa.int32()),  # null: no receipt
    ]
)


class FlowKind(enum.IntEnum):
    """What moved. Every transaction has exactly one NATIVE flow (ordinal 0), maybe of value 0."""

    NATIVE = 0
    ERC20 = 1
    ERC721 = 2
    ERC1155 = 3
    INTERNAL = 4
    WITHDRAWAL = 5


# Chain order within a transaction: NATIVE, then INTERNAL in trace order, then logs in log order.
# ordinal, the same whatever else the source gives: NATIVE 0; INTERNAL -(1 + its index among the
# transaction's value-moving calls); log-borne 1 + the log's position in the transaction's receipt.
# batch_index: the item within an ERC-1155 TransferBatch, else 0. Withdrawals come after all
# transactions of their block, with transaction_index null and their position as the ordinal.
FLOWS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32()),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("batch_index", pa.int32(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("token_address", ADDRESS),  # null: the chain's own coin
        pa.field("token_id", UINT256),  # ERC-721 and ERC-1155
        pa.field(
            "from_address", ADDRESS, nullable=False
        ),  # withdrawals and mints: the zero address
        pa.field(
            "to_address", ADDRESS, nullable=False
        ),  # a creation's NATIVE flow: the new contract
        pa.field("value", UINT256, nullable=False),  # wei or token units; ERC-721: 1
        pa.field("value_f64", pa.float64(), nullable=False),
        pa.field("status", pa.int8()),  # the transaction's: 0 means nothing moved
    ]
)


class ApprovalKind(enum.IntEnum):
    """Which event granted it."""

    ERC20 = 0  # Approval(owner, spender, value)
    ERC721 = 1  # Approval(owner, approved, tokenId)
    FOR_ALL = 2  # ApprovalForAll(owner, operator, approved)
    PERMIT2 = 3  # Permit2 Approval(owner, token, spender, amount, expiration)
    PERMIT2_PERMIT = 4  # Permit2 Permit(owner, token, spender, amount, expiration, nonce)


APPROVALS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),
        pa.field("kind", pa.int8(), nullable=False),
        pa.field("token_address", ADDRESS, nullable=False),
        pa.field("token_id", UINT256),
        pa.field("owner", ADDRESS, nullable=False),
        pa.field("spender", ADDRESS, nullable=False),
        pa.field("value", UINT256),  # null for ERC721 and FOR_ALL
        pa.field("value_f64", pa.float64()),
        pa.field("approved", pa.bool_(), nullable=False),  # false: revoked
    ]
)

CREATIONS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field(
            "ordinal", pa.int32(), nullable=False
        ),  # 0: by the transaction itself; else -(1+call index)
        pa.field("creator", ADDRESS, nullable=False),
        pa.field("contract_address", ADDRESS, nullable=False),
        pa.field("init_code", pa.binary()),
    ]
)

# Logs that are neither a well-formed transfer nor an approval (those are in flows and approvals).
LOGS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),  # 1 + position in the receipt
        pa.field("address", ADDRESS, nullable=False),
        pa.field("topic0", HASH),
        pa.field("topic1", HASH),
        pa.field("topic2", HASH),
        pa.field("topic3", HASH),
        pa.field("data", pa.binary(), nullable=False),
    ]
)

# EIP-7702 authorizations. They take effect even where the transaction fails.
AUTHORIZATIONS: Final = pa.schema(
    [
        pa.field("block_number", pa.int64(), nullable=False),
        pa.field("block_timestamp", pa.int64(), nullable=False),
        pa.field("transaction_hash", HASH),
        pa.field("transaction_index", pa.int32(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),  # position in the authorization list
        pa.field("chain_id", UINT256, nullable=False),
        pa.field("delegate", ADDRESS, nullable=False),
        pa.field("nonce", pa.uint64(), nullable=False),
        pa.field("authority", ADDRESS),  # recovered; null: the signature recovers to nothing
    ]
)

TABLES: Final[dict[str, pa.Schema]] = {
    "blocks": BLOCKS,
    "transactions": TRANSACTIONS,
    "flows": FLOWS,
    "approvals": APPROVALS,
    "creations": CREATIONS,
    "logs": LOGS,
    "authorizations": AUTHORIZATIONS,
}

ZERO_ADDRESS: Final = bytes(20)
