"""Whether receipts and call trees belong to a block whose transactions are verified."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from ingest.claims import Mismatch, expect_data, expect_nothing, expect_quantity
from ingest.codec import (
    DEPOSIT,
    TransactionParts,
    bloomed_log,
    contract_address,
    encode_receipt,
    receipt_encoding,
)
from ingest.encoding import data_of, quantity_of
from ingest.raw import RpcBlock, RpcCall, RpcLog, RpcReceipt, RpcTransaction
from ingest.trie import ordered_root


class VerifiedTransaction(NamedTuple):
    """A transaction that agrees with itself: what it says, and what was recomputed.

    ``parts`` is None and ``encoded`` empty where its type is not known. ``price`` is what it pays
    for a unit of gas.
    """

    source: RpcTransaction
    position: int
    type: int
    hash: str
    sender: bytes
    encoded: bytes
    parts: TransactionParts | None
    price: int


_BYZANTIUM_TIMESTAMP: Final = 1_508_131_331
"""When Ethereum's receipts got a status in place of a state root (EIP-658), block 4,370,000."""


def verify_receipts(
    block: RpcBlock,
    receipts: Sequence[RpcReceipt],
    transactions: Sequence[VerifiedTransaction],
    *,
    rules_known: bool,
) -> bool:
    """Checks root, blooms and positions, and what follows from the rest if the rules are known.

    The root is not checked where a transaction's type is not known. False: the receipts are from
    before Byzantium, which commit to no status, but claim one. Raises Mismatch.
    """
    if len(receipts) != len(transactions):
        counts = f"{len(receipts)} receipts for {len(transactions)} transactions"
        raise Mismatch("receipts_root", counts)
    encoded, bloom, proven = [], 0, True
    for receipt, tx in zip(receipts, transactions, strict=True):
        try:
            item, bits = _verify_receipt(receipt, tx, block)
        except ValueError as error:
            raise Mismatch.at(f"receipt {tx.position}", error) from error
        encoded.append(item)
        bloom |= bits
    if all(tx.parts is not None for tx in transactions):
        proven = _verify_root(block, receipts, encoded)
    expect_data(block.logs_bloom, bloom.to_bytes(256, "big"), "logsBloom", "logs_bloom")
    if rules_known:
        _verify_rules(block, receipts, transactions)
    return proven


def _verify_root(block: RpcBlock, receipts: Sequence[RpcReceipt], encoded: Sequence[bytes]) -> bool:
    """True: the receipts as they are have the root. False: they would without their statuses.

    Some nodes give both root and status before Byzantium, and some ever since, the root made up.
    Some give the status alone because they have lost the state roots: then nothing can be said.
    """
    root = ordered_root(encoded)
    if data_of(block.receipts_root, "receiptsRoot", 32) == root:
        return True
    timestamp = quantity_of(block.timestamp, "timestamp")
    is_old = timestamp < _BYZANTIUM_TIMESTAMP and block.base_fee_per_gas is None
    if is_old and receipts and all(receipt.status is not None for receipt in receipts):
        if all(receipt.root is None for receipt in receipts):
            return False
        by_root = [msgspec.structs.replace(receipt, status=None) for receipt in receipts]
        root = ordered_root([encode_receipt(receipt, 0) for receipt in by_root])
    expect_data(block.receipts_root, root, "receiptsRoot", "receipts_root")
    return False


def _verify_receipt(
    receipt: RpcReceipt, tx: VerifiedTransaction, block: RpcBlock
) -> tuple[bytes, int]:
    """The receipt's encoding and its bloom's bits, after its positions and its bloom agreed."""
    _verify_position(receipt, tx, block)
    if receipt.type is not None and receipt.type != tx.source.type:
        expect_quantity(receipt.type, tx.type, "type")
    here = (tx.hash, tx.source.transaction_index, block.hash, block.number)
    logs, bits = [], 0
    for position, log in enumerate(receipt.logs):
        try:
            if _position(log) != here:
                _verify_position(log, tx, block)
            encoded, more = bloomed_log(log)
        except ValueError as error:
            raise Mismatch.at(f"log {position}", error) from error
        logs.append(encoded)
        bits |= more
    bloom = bits.to_bytes(256, "big")
    expect_data(receipt.logs_bloom, bloom, "logsBloom", "logs_bloom", why="from its logs")
    return receipt_encoding(receipt, tx.type, logs, bloom), bits


_position = attrgetter("transaction_hash", "transaction_index", "block_hash", "block_number")


def _verify_position(item: RpcReceipt | RpcLog, tx: VerifiedTransaction, block: RpcBlock) -> None:
    # Text that is equal needs no decoding; what differs may still be the same in other letters.
    if item.transaction_hash != tx.hash and item.transaction_hash is not None:
        expect_data(item.transaction_hash, bytes.fromhex(tx.hash[2:]), "transactionHash", "order")
    if item.transaction_index != tx.source.transaction_index and item.transaction_index is not None:
        expect_quantity(item.transaction_index, tx.position, "transactionIndex", "order")
    if item.block_hash != block.hash and item.block_hash is not None:
        expect_data(item.block_hash, data_of(block.hash, "hash", 32), "blockHash")
    if item.block_number != block.number and item.block_number is not None:
        expect_quantity(item.block_number, quantity_of(block.number, "number"), "blockNumber")


def _verify_rules(
    block: RpcBlock, receipts: Sequence[RpcReceipt], transactions: Sequence[VerifiedTransaction]
) -> None:
    before = 0
    for receipt, tx in zip(receipts, transactions, strict=True):
        try:
            cumulative = quantity_of(receipt.cumulative_gas_used, "cumulativeGasUsed", 63)
            used = cumulative - before
            if receipt.gas_used != hex(used):
                expect_quantity(receipt.gas_used, used, "gasUsed", why="from cumulativeGasUsed")
            before = cumulative
            paid = receipt.effective_gas_price
            if paid is not None and paid != hex(tx.price):
                expect_quantity(paid, tx.price, "effectiveGasPrice")
            _verify_deposit(receipt, tx)
            _verify_creation(receipt, tx)
        except ValueError as error:
            raise Mismatch.at(f"receipt {tx.position}", error) from error
    expect_quantity(block.gas_used, before, "gasUsed", why="the last receipt's cumulativeGasUsed")


def _verify_deposit(receipt: RpcReceipt, tx: VerifiedTransaction) -> None:
    if tx.type != DEPOSIT:
        expect_nothing(receipt.deposit_nonce, "depositNonce", why="it is no deposit")
        expect_nothing(receipt.deposit_receipt_version, "depositReceiptVersion", why="no deposit")
    elif receipt.deposit_nonce is not None:
        nonce = quantity_of(receipt.deposit_nonce, "depositNonce", 64)
        expect_quantity(tx.source.nonce, nonce, "nonce", why="the receipt's depositNonce")


def _verify_creation(receipt: RpcReceipt, tx: VerifiedTransaction) -> None:
    if tx.source.to is not None:
        if receipt.contract_address is not None:
            raise Mismatch("contradiction", "contractAddress is given, but nothing was created")
    elif receipt.contract_address is not None:
        created = contract_address(tx.sender, quantity_of(tx.source.nonce, "nonce", 64))
        expect_data(receipt.contract_address, created, "contractAddress")


def verify_calls(calls: Sequence[RpcCall], transactions: Sequence[VerifiedTransaction]) -> None:
    """Checks that call trees are of these transactions: no root commits to the calls themselves.

    Every call is well-formed, and an outermost call is from whom, to whom and of what value its
    transaction says. Raises Mismatch.
    """
    by_hash = {tx.hash: tx for tx in transactions}
    for position, call in enumerate(calls):
        try:
            tx = by_hash.get(call.transaction_hash)
            if tx is None:
                text = "0x" + data_of(call.transaction_hash, "transactionHash", 32).hex()
                tx = by_hash.get(text)
            if tx is None:
                raise Mismatch("contradiction", f"transactionHash {text} is not in the block")
            _verify_call(call, tx)
        except ValueError as error:
            raise Mismatch.at(f"call {position}", error) from error


def _verify_call(call: RpcCall, tx: VerifiedTransaction) -> None:
    sender = data_of(call.from_, "from", 20)
    to = None if call.to is None else data_of(call.to, "to", 20)
    value = quantity_of(call.value, "value")
    data_of(call.input, "input")  # not compared: tracers shorten it
    if call.depth:
        return
    source = tx.source
    if sender != tx.sender:
        expect_data(call.from_, tx.sender, "from")
    if value != quantity_of(source.value, "value"):
        expect_quantity(call.value, quantity_of(source.value, "value"), "value")
    if source.to is not None and to != data_of(source.to, "to", 20):
        expect_data(call.to, data_of(source.to, "to", 20), "to")
