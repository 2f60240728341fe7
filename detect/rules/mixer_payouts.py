"""What goes into Tornado Cash and what it pays out, as its events tell: coins move inside it."""

from __future__ import annotations

from dataclasses import dataclass

from detect.known.mixers import TORNADO_DEPOSIT, TORNADO_POOLS, TORNADO_WITHDRAWAL
from detect.rules.columns import Columns

Place = tuple[int, int, int]
"""The row of the block, the transaction's index in it, the ordinal."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """Somebody paid into a pool. ``amount`` is its denomination, None for a pool of tokens."""

    place: Place
    pool: bytes
    depositor: bytes
    amount: int | None
    transaction: bytes | None
    gas_price: int | None


@dataclass(frozen=True, slots=True)
class Payout:
    """A pool paid somebody. ``amount`` is after the fee, None for a pool of tokens.

    ``by_itself``: the recipient signed the withdrawal, no relayer did.
    """

    place: Place
    pool: bytes
    recipient: bytes
    amount: int | None
    transaction: bytes | None
    gas_price: int | None
    by_itself: bool


def payouts_of(columns: Columns) -> list[Payout]:
    """The withdrawals from pools in a batch, in chain order.

    Withdrawal(recipient, nullifier, indexed relayer, fee): the denomination less the fee is paid.
    """
    logs, found = columns.cells("logs"), []
    for row in columns.logs_with((TORNADO_WITHDRAWAL,)).tolist():
        pool, data = logs["address"][row], logs["data"][row]
        if pool not in TORNADO_POOLS or len(data) < 96:
            continue
        denomination, recipient = TORNADO_POOLS[pool], data[12:32]
        fee = int.from_bytes(data[64:96], "big")
        place, signer, price = _where(columns, row)
        found.append(
            Payout(
                place=place,
                pool=pool,
                recipient=recipient,
                amount=None if denomination is None else max(0, denomination - fee),
                transaction=logs["transaction_hash"][row],
                gas_price=price,
                by_itself=signer == recipient,
            )
        )
    return found


def deposits_of(columns: Columns) -> list[Deposit]:
    """The deposits into pools in a batch, in chain order; who signed one is its depositor."""
    logs, found = columns.cells("logs"), []
    for row in columns.logs_with((TORNADO_DEPOSIT,)).tolist():
        pool = logs["address"][row]
        if pool not in TORNADO_POOLS:
            continue
        place, signer, price = _where(columns, row)
        if signer is not None:
            hash_ = logs["transaction_hash"][row]
            found.append(Deposit(place, pool, signer, TORNADO_POOLS[pool], hash_, price))
    return found


def _where(columns: Columns, row: int) -> tuple[Place, bytes | None, int | None]:
    # Of a log: its place, and the signer and the gas price of its transaction.
    logs, transactions = columns.cells("logs"), columns.cells("transactions")
    number, index = logs["block_number"][row], logs["transaction_index"][row]
    place = (columns.row_of_block(number), index, logs["ordinal"][row])
    tx = columns.tx_row(number, index)
    if tx < 0:
        return place, None, None
    paid = transactions["effective_gas_price"][tx]
    price = transactions["gas_price"][tx] if paid is None else paid
    return place, transactions["from_address"][tx], price
