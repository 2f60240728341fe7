"""What nodes leave out although it follows from the rest: it is filled in before anyone reads it.

An answer that is silent about something contradicts nothing, so it would verify; what came out of
it would then depend on who was asked.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from ingest.codec import (
    ACCESS_LIST,
    DEPOSIT,
    LEGACY,
    TRANSACTION_TYPES,
    transaction_type,
)
from ingest.encoding import quantity_of
from ingest.raw import RawBlock, RpcBlock, RpcTransaction

EMPTY_ROOT: Final = "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421"
"""The root of a list of nothing."""


def price_of(tx: RpcTransaction, number: int, base_fee: int) -> int:
    """What a unit of gas costs the sender (EIP-1559); a deposit's was paid for elsewhere."""
    if number in (LEGACY, ACCESS_LIST):
        return quantity_of(tx.gas_price, "gasPrice")
    if number == DEPOSIT:
        return 0
    tip = quantity_of(tx.max_priority_fee_per_gas, "maxPriorityFeePerGas")
    return min(quantity_of(tx.max_fee_per_gas, "maxFeePerGas"), base_fee + tip)


def fill_in(raw: RawBlock) -> None:
    """Give transactions and receipts the prices that they do not say. Never raises."""
    silent = [
        (tx, receipt)
        for tx, receipt in zip(raw.block.transactions, raw.receipts or (), strict=False)
        if tx.gas_price is None or receipt.effective_gas_price is None
    ]
    for tx, receipt in silent:
        with suppress(ValueError):  # what is malformed is for the verifier to say
            number = transaction_type(tx.type)
            if number not in TRANSACTION_TYPES or number == DEPOSIT:
                continue
            base_fee = quantity_of(raw.block.base_fee_per_gas or "0x0", "baseFeePerGas")
            price = hex(price_of(tx, number, base_fee))
            tx.gas_price = tx.gas_price or price
            receipt.effective_gas_price = receipt.effective_gas_price or price


def lacks_withdrawals(block: RpcBlock) -> bool:
    """Whether its header commits to withdrawals, and it has none: not even an empty list."""
    root = block.withdrawals_root
    return block.withdrawals is None and root is not None and root.lower() != EMPTY_ROOT
