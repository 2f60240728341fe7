"""Ethereum's JSON-RPC objects as typed structs: what a node or a JSONL file gives, untouched.

Quantities and data stay hex text (``0x…``): ``verify`` and ``decode`` turn them into numbers and
bytes. Field names are those of the execution-apis specification. Fields that forks added are
optional; a field nobody knows is kept by name in ``RawBlock.unknown_fields`` so that a block can be
called unverified instead of a lie. Written as JSON, what is absent or at its default is left out,
and reads back the same.
"""

from __future__ import annotations

import msgspec


class RpcAccess(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """An EIP-2930 access list entry."""

    address: str
    storage_keys: list[str] = []


class RpcAuthorization(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """An EIP-7702 authorization tuple."""

    chain_id: str
    address: str
    nonce: str
    r: str
    s: str
    y_parity: str | None = None
    v: str | None = None


class RpcTransaction(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """A transaction, any type. ``from`` is committed to by no root: it is recovered."""

    hash: str
    nonce: str
    from_: str = msgspec.field(name="from")
    gas: str
    value: str
    input: str
    to: str | None = None
    transaction_index: str | None = None
    block_hash: str | None = None
    block_number: str | None = None
    type: str = "0x0"
    gas_price: str | None = None
    max_fee_per_gas: str | None = None
    max_priority_fee_per_gas: str | None = None
    max_fee_per_blob_gas: str | None = None
    blob_versioned_hashes: list[str] | None = None
    chain_id: str | None = None
    access_list: list[RpcAccess] | None = None
    authorization_list: list[RpcAuthorization] | None = None
    v: str | None = None
    r: str | None = None
    s: str | None = None
    y_parity: str | None = None
    # Deposit transactions of the OP stack (type 0x7e).
    source_hash: str | None = None
    mint: str | None = None
    is_system_tx: bool | None = None


class RpcWithdrawal(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """An EIP-4895 withdrawal; ``amount`` is in gwei."""

    index: str
    validator_index: str
    address: str
    amount: str


class RpcBlock(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """A block with its transactions as objects."""

    number: str
    hash: str
    parent_hash: str
    sha3_uncles: str
    miner: str
    state_root: str
    transactions_root: str
    receipts_root: str
    logs_bloom: str
    difficulty: str
    gas_limit: str
    gas_used: str
    timestamp: str
    extra_data: str
    mix_hash: str
    nonce: str
    transactions: list[RpcTransaction]
    base_fee_per_gas: str | None = None
    withdrawals_root: str | None = None
    withdrawals: list[RpcWithdrawal] | None = None
    blob_gas_used: str | None = None
    excess_blob_gas: str | None = None
    parent_beacon_block_root: str | None = None
    requests_hash: str | None = None


class RpcLog(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """A log of a receipt. ``log_index`` counts within the block and is not trusted."""

    address: str
    topics: list[str]
    data: str
    block_hash: str | None = None
    log_index: str | None = None
    block_number: str | None = None
    transaction_hash: str | None = None
    transaction_index: str | None = None


class RpcReceipt(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """A receipt. Before Byzantium it has a ``root`` and no ``status``."""

    transaction_hash: str
    gas_used: str
    cumulative_gas_used: str
    logs_bloom: str
    logs: list[RpcLog]
    status: str | None = None
    root: str | None = None
    type: str | None = None
    contract_address: str | None = None
    effective_gas_price: str | None = None
    transaction_index: str | None = None
    block_hash: str | None = None
    block_number: str | None = None
    # OP-stack deposits since Regolith and Canyon.
    deposit_nonce: str | None = None
    deposit_receipt_version: str | None = None


class RpcCall(msgspec.Struct, rename="camel", omit_defaults=True, gc=False):
    """One call of a transaction's call tree, as one flat row; the outermost call is one, too."""

    transaction_hash: str
    index: int
    parent_index: int
    depth: int
    call_type: str
    from_: str = msgspec.field(name="from")
    to: str | None = None
    value: str = "0x0"
    input: str = "0x"
    status_failed: bool = False
    reverted: bool = False


class RawBlock(msgspec.Struct, gc=False):
    """Everything a source gives about one block.

    ``receipts`` and ``calls`` are None where the source has none. ``where`` names it in errors
    (``file.jsonl.gz:12``, ``node.example/…``). ``unknown_fields`` are header fields that are in no
    known fork.
    """

    block: RpcBlock
    receipts: list[RpcReceipt] | None = None
    calls: list[RpcCall] | None = None
    where: str = ""
    unknown_fields: tuple[str, ...] = ()
