"""What a transaction moves of somebody else's tokens on nothing but that owner's signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from detect.compiled import Array
from detect.known.authorizations import (
    AUTHORIZATION_USED,
    AUTHORIZED_TRANSFERS,
    PERMIT2,
    PERMIT2_TRANSFERS,
)
from detect.known.text import at as _at
from detect.known.tokens import LARGE, VALUE_TOKENS
from detect.rules.columns import Columns

SEARCHED_CALLDATA: Final = 128 * 1024  # how far a signed transfer is looked for in a multicall
MOST_ROWS: Final = 128  # of one transaction that are looked at: those worth most
# Contracts that do what their caller says: the caller is who takes.
CARRIERS: Final = frozenset(
    {
        PERMIT2,
        _at("0xcA11bde05977b3631167028862bE2a173976CA11"),  # Multicall3
        _at("0xeefBa1e63905eF1D7ACbA5a8513c70307C1cE441"),  # Multicall1
    }
)
# By ``Columns.flow_coin``, per whole unit, in large thefts; nothing where the coin is not listed.
_WORTH: Final = 1.0 / np.array([LARGE[None], *(LARGE[token] for token in VALUE_TOKENS), np.inf])
_CALLS: Final = tuple(selector.to_bytes(4, "big") for selector in PERMIT2_TRANSFERS)


class Way(IntEnum):
    """How the owner's signature was used."""

    AUTHORIZED = 0  # EIP-3009: what wallets sign for payments, too
    RELAYED = 1  # Permit2, through a contract that holds the right
    DIRECT = 2  # Permit2, by a wallet that holds the right itself


@dataclass(frozen=True, slots=True)
class Signed:
    """Rows of what one transaction moved out of one owner, in order. ``tx`` is its row.

    ``taker`` is who the owner's signature served: the contract that was called, or the signer of
    the transaction where it called Permit2, the token or a multicall itself.
    """

    tx: int
    owner: bytes
    taker: bytes
    way: Way
    rows: tuple[int, ...]


def signed_transfers(columns: Columns) -> Iterator[Signed]:
    """Every such move out of a wallet without code into one without code, in chain order.

    Of a transaction with more than ``MOST_ROWS`` moves only those that are worth most.
    """
    rows = _worthiest(columns, _strangers(columns))
    if not len(rows):
        return
    used = _authorizers(columns)
    flows, transactions = columns.cells("flows"), columns.cells("transactions")
    owners, tokens, targets = (
        flows["from_address"],
        flows["token_address"],
        transactions["to_address"],
    )
    ways: dict[int, Way | None] = {}
    groups: dict[tuple[int, bytes, Way], list[int]] = {}
    for row, tx in zip(rows.tolist(), columns.flow_tx[rows].tolist(), strict=True):
        owner, token = owners[row], tokens[row]
        if (tx, token, owner) in used:
            way: Way | None = Way.AUTHORIZED
        else:
            if tx not in ways:
                ways[tx] = _permit2(columns, tx)
            way = ways[tx]
        # Anybody can write logs of his own token: behind other contracts only listed ones count.
        if way is not None and (way != Way.RELAYED or columns.flow_coin[row] > 0):
            groups.setdefault((tx, owner, way), []).append(row)
    for (tx, owner, way), mine in groups.items():
        target = targets[tx]
        itself = target in CARRIERS or target == tokens[mine[0]]
        taker = transactions["from_address"][tx] if itself else target
        yield Signed(tx, owner, taker, way, tuple(mine))


def _strangers(columns: Columns) -> Array:
    # Tokens that moved between wallets in transactions that the payer did not sign: only those
    # whose calldata is longer than a transferFrom's can carry a signature.
    none = np.empty(0, np.int64)
    if not columns.flow_count or not len(columns.tx_block):
        return none
    rows = np.flatnonzero(columns.flow_token & ~columns.flow_signed)
    if not len(rows):
        return none
    rows = rows[columns.input_lengths[columns.flow_tx[rows]] >= 4 + 7 * 32]
    facts = columns.scored.flow_facts
    kept: Array = rows[~(facts["from_is_contract"][rows] | facts["to_is_contract"][rows])]
    return kept


def _worthiest(columns: Columns, rows: Array) -> Array:
    txs = columns.flow_tx[rows]
    crowded = np.bincount(txs) > MOST_ROWS if len(txs) else np.zeros(0, np.bool_)
    if not crowded.any():
        return rows
    kept = np.ones(len(rows), np.bool_)
    for tx in np.flatnonzero(crowded).tolist():
        mine = np.flatnonzero(txs == tx)
        worth = (
            np.nan_to_num(columns.flow_units[rows[mine]]) * _WORTH[columns.flow_coin[rows[mine]]]
        )
        kept[mine[np.argsort(-worth, kind="stable")[MOST_ROWS:]]] = False
    out: Array = rows[kept]
    return out


def _authorizers(columns: Columns) -> set[tuple[int, bytes, bytes]]:
    # (transaction, token, owner) of the EIP-3009 authorizations that were used. Without logs those
    # that were submitted to the token itself.
    logs, found = columns.cells("logs"), set()
    for row in columns.logs_with([AUTHORIZATION_USED]).tolist():
        number, index = logs["block_number"][row], logs["transaction_index"][row]
        owner = logs["topic1"][row]
        if owner is not None:
            tx = columns.tx_row(number, index)
            found.add((tx, logs["address"][row], owner[12:]))
    transactions = columns.cells("transactions")
    for tx in columns.transactions_with(AUTHORIZED_TRANSFERS).tolist():
        if transactions["log_count"][tx] is None:
            data = transactions["input"][tx]
            found.add((tx, transactions["to_address"][tx], data[16:36]))
    return found


def _permit2(columns: Columns, tx: int) -> Way | None:
    # Whether a transaction calls Permit2's signed transfers: itself, or within what it calls.
    transactions = columns.cells("transactions")
    if transactions["to_address"][tx] == PERMIT2:
        return Way.DIRECT if int(columns.selectors[tx]) in PERMIT2_TRANSFERS else None
    head = (transactions["input"][tx] or b"")[:SEARCHED_CALLDATA]
    return Way.RELAYED if any(call in head for call in _CALLS) else None
