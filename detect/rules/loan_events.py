"""Flash loans as their lenders' logs tell them."""

from __future__ import annotations

from dataclasses import dataclass

from detect.known.flash_loans import (
    AAVE_V2_LOAN,
    AAVE_V3_LOAN,
    BALANCER_VAULTS,
    LOANS,
    MAKER_FLASH,
    MORPHO,
    MORPHO_LOAN,
    SHARED_LOAN,
    V3_FLASH,
)
from detect.rules.columns import Columns


@dataclass(frozen=True, slots=True)
class Loan:
    """Who lent what to whom within a transaction. ``amount`` is exact, in token units."""

    lender: bytes
    receiver: bytes
    token: bytes
    amount: int


def loans_by_transaction(columns: Columns) -> dict[int, list[Loan]]:
    """The loans of a batch by row of their transaction, in chain order.

    Events with the topic that Balancer and Maker share, and Morpho's, count from these alone. Aave
    has many forks and Uniswap many pools: theirs count from anybody, and what somebody gained by a
    loan is judged by transfers of listed tokens, never by the event.
    """
    found: dict[int, list[Loan]] = {}
    logs = columns.cells("logs")
    for row in columns.logs_with(LOANS).tolist():
        number, index = logs["block_number"][row], logs["transaction_index"][row]
        tx = columns.tx_row(number, index)
        if tx < 0:
            continue
        for loan in _loans_of(columns, row, tx):
            if loan.amount:
                found.setdefault(tx, []).append(loan)
    return found


def _loans_of(columns: Columns, row: int, tx: int) -> list[Loan]:
    logs = columns.cells("logs")
    topic, lender = logs["topic0"][row], logs["address"][row]
    first, second, third = (logs[f"topic{n}"][row] for n in (1, 2, 3))
    data = logs["data"][row]
    words = [data[n : n + 32] for n in range(0, len(data) - 31, 32)]
    if first is None:
        return []
    receiver = first[12:]
    if topic == AAVE_V2_LOAN and third is not None and len(words) == 3:
        return [Loan(lender, receiver, third[12:], _uint(words[0]))]
    if topic == AAVE_V3_LOAN and second is not None and len(words) == 4:
        return [Loan(lender, receiver, second[12:], _uint(words[1]))]
    if topic == SHARED_LOAN and lender in BALANCER_VAULTS and second and len(words) == 2:
        return [Loan(lender, receiver, second[12:], _uint(words[0]))]
    if topic == SHARED_LOAN and lender in MAKER_FLASH and len(words) == 3:
        return [Loan(lender, receiver, words[0][12:], _uint(words[1]))]
    if topic == MORPHO_LOAN and lender in MORPHO and second and len(words) == 1:
        return [Loan(lender, receiver, second[12:], _uint(words[0]))]
    if topic == V3_FLASH and second is not None and len(words) == 4:
        return _of_pool(columns, tx, lender, second[12:], [_uint(word) for word in words[:2]])
    return []


def _of_pool(
    columns: Columns, tx: int, pool: bytes, receiver: bytes, amounts: list[int]
) -> list[Loan]:
    # A pool's event has amounts without tokens: the transfers out of it have both.
    flows, loans = columns.cells("flows"), []
    for amount in amounts:
        if not amount:
            continue
        wanted = amount.to_bytes(32, "big")
        for flow in range(*columns.flows_of(tx)):
            token = flows["token_address"][flow]
            if token is None or flows["from_address"][flow] != pool:
                continue
            if flows["value"][flow] == wanted:
                loans.append(Loan(pool, receiver, token, amount))
                break
    return loans


def _uint(word: bytes) -> int:
    return int.from_bytes(word, "big")
