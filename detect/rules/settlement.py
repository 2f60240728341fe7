"""What one transaction did for one wallet: who signed it, what came back, who belongs together."""

from __future__ import annotations

from typing import Final

import numpy as np

from chainwarden.schema import FlowKind
from detect.known.tokens import DAI, NATIVE, USDC, USDT, VALUE_TOKENS, WETH
from detect.rules.arrow_arrays import address_word
from detect.rules.columns import Columns

BACK: Final = 0.9  # who gets so much of what he gave has swapped it
FEW_FLOWS: Final = 64
SETTLED_EVENTS: Final = 20  # a wallet or pool with so many flows behind it is no prop
_DOLLARS: Final = frozenset({USDT, USDC, DAI})
_COINS: Final = (None, *VALUE_TOKENS)  # by ``Columns.flow_coin``


def worth_class(token: bytes | None) -> str:
    """Tokens of one class are worth the same by the unit; "" where nothing is known."""
    if token in _DOLLARS:
        return "dollar"
    if token is None or token == WETH:
        return "ether"
    return token.hex() if token in VALUE_TOKENS else ""


def units(token: bytes | None, amount: float) -> float:
    """An amount of a listed token, or of the chain's coin (None), in whole units."""
    known = NATIVE if token is None else VALUE_TOKENS[token]
    return float(amount) / 10.0**known.decimals


def settled(columns: Columns, tx: int, owner: bytes, token: bytes | None, amount: int) -> bool:
    """Whether a transaction that takes tokens from an owner gives it something for them.

    In the same worth (dollars for dollars, ether for wrapped ether) at least 90 % must come back.
    What cannot be compared counts where it is a listed token above dust, or where whoever gives it
    has a past: a drainer that sends worthless tokens back has not paid.
    """
    given, returned = worth_class(token), 0.0
    for row in _received(columns, tx, owner):
        coin = int(columns.flow_coin[row])
        if coin < 0:
            if columns.cells("flows")["token_address"][row] == token:
                returned += float(columns.flow_value[row]) / max(1.0, float(amount))
            elif columns.scored.flow_facts[row]["from_events"] >= SETTLED_EVENTS:
                return True
            continue
        back = _COINS[coin]
        value = float(columns.flow_units[row])
        if given and worth_class(back) == given:
            returned += value / max(1e-30, units(token, amount))
        elif value > (NATIVE.dust if back is None else VALUE_TOKENS[back].dust):
            return True
    return returned >= BACK


def _received(columns: Columns, tx: int, owner: bytes) -> list[int]:
    # The rows of what moved to an owner. Of a transaction of many flows every owner may be asked
    # for: then all are found at once.
    first, stop = columns.flows_of(tx)
    if stop - first <= FEW_FLOWS:
        to_owner = (columns.flow_to[first:stop] == address_word(owner)).all(axis=1)
        found: list[int] = (
            first + np.flatnonzero(to_owner & columns.flow_moved[first:stop])
        ).tolist()
        return found
    known = columns.received.get(tx)
    if known is None:
        known = columns.received[tx] = {}
        receivers = columns.batch.flows["to_address"].slice(first, stop - first).to_pylist()
        for row in (first + np.flatnonzero(columns.flow_moved[first:stop])).tolist():
            known.setdefault(receivers[row - first], []).append(row)
    return known.get(owner, [])


def signer_facts(columns: Columns, tx: int) -> np.void | None:
    """What was known of a transaction's signer (``from_*``) and callee (``to_*``); None: unknown.

    They are the facts of its native flow, which every transaction has.
    """
    kinds, native = columns.cells("flows")["kind"], FlowKind.NATIVE
    for row in range(*columns.flows_of(tx)):
        if kinds[row] == native:
            facts: np.void = columns.scored.flow_facts[row]
            return facts
    return None


def has_reputation(facts: np.void, side: str, now: int) -> bool:
    """Whether a party is long established: nonce from 500 in 90 days, or thousands of flows."""
    age = max(0, now - int(facts[f"{side}_first_seen"]))
    if facts[f"{side}_is_contract"]:
        return bool(age >= 30 * 86_400 and facts[f"{side}_events"] >= 100)
    busy = facts[f"{side}_nonce"] >= 500 and age >= 90 * 86_400
    return bool(busy or facts[f"{side}_events"] >= 5_000)


def related(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two wallets, each (own hash, funder's hash), have one first funder or funded another.

    Customers of one exchange have one funder too: who uses this must not let a single relation
    explain several victims.
    """
    if one[1] and one[1] == other[1]:
        return True
    return bool((one[0] and one[0] == other[1]) or (other[0] and other[0] == one[1]))


def kinship(facts: np.void, side: str) -> tuple[int, int]:
    """A party's own hash and its first funder's, as ``related`` takes them."""
    return int(facts[f"{side}_hash"]), int(facts[f"{side}_funder"])


def is_arbitrage(columns: Columns, tx: int) -> bool:
    """The shape of a searcher's transaction: 12 transfers and more, of 4 tokens and more."""
    first, stop = columns.flows_of(tx)
    if stop - first < 12:
        return False
    known = columns.arbitrages.get(tx)
    if known is None:
        tokens = columns.batch.flows["token_address"].slice(first, stop - first)
        known = columns.arbitrages[tx] = len(tokens.drop_null().unique()) >= 4
    return known
