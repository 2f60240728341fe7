"""What Tornado Cash pays out, as its events tell: the coins themselves move inside the contract."""

from __future__ import annotations

from dataclasses import dataclass

from detect.known.mixers import TORNADO_POOLS, TORNADO_WITHDRAWAL
from detect.rules.columns import Columns


@dataclass(frozen=True, slots=True)
class Payout:
    """Wei paid out of a pool. ``place`` orders it: (row of the block, transaction index)."""

    place: tuple[int, int]
    ordinal: int
    pool: bytes
    recipient: bytes
    amount: int
    transaction: bytes | None
    relayer: bytes


def payouts_of(columns: Columns) -> list[Payout]:
    """The withdrawals from pools of the chain's own coin in a batch, in chain order.

    Withdrawal(recipient, nullifier, indexed relayer, fee): the pool's denomination less the fee.
    """
    logs, found = columns.batch.logs, []
    for row in columns.logs_with((TORNADO_WITHDRAWAL,)).tolist():
        pool, data = logs["address"][row].as_py(), logs["data"][row].as_py()
        denomination = TORNADO_POOLS.get(pool)
        if denomination is None or len(data) < 96:
            continue
        fee = int.from_bytes(data[64:96], "big")
        number = logs["block_number"][row].as_py()
        topic = logs["topic1"][row].as_py()
        found.append(
            Payout(
                place=(
                    columns.row_of_block(number),
                    logs["transaction_index"][row].as_py(),
                ),
                ordinal=logs["ordinal"][row].as_py(),
                pool=pool,
                recipient=data[12:32],
                amount=max(0, denomination - fee),
                transaction=logs["transaction_hash"][row].as_py(),
                relayer=topic[12:] if topic else bytes(20),
            )
        )
    return found
