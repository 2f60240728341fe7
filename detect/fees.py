"""What the next block's fees must be: exact, from the block before (EIP-1559, EIP-4844).

Nothing here is a forecast: a chain whose next block has another base fee follows other rules.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detect.compiled import Array
from detect.known.gas import BLOB_BASE_COST, GAS_PER_BLOB, BlobRules

ELASTICITY: Final = 2
CHANGE_DENOMINATOR: Final = 8
INITIAL_BASE_FEE: Final = 10**9  # of the first block with one
# int64 arithmetic below is exact up to these: a fee of 4 ether a gas, and a billion gas a block.
MOST_FEE: Final = 2**62
MOST_GAS: Final = 2**30


def next_base_fee(base_fee: Array, gas_used: Array, gas_limit: Array) -> Array:
    """The base fee that the children of blocks must have, in wei, int64; -1 where it has no bound.

    EIP-1559: an eighth up where a block was full, an eighth down where it was empty. Fees of
    ``MOST_FEE`` and more, and gas limits below 2 or of ``MOST_GAS`` and more, are not computed.
    """
    target = gas_limit // ELASTICITY
    ok = (base_fee >= 0) & (base_fee < MOST_FEE // 2) & (target > 0) & (gas_limit < MOST_GAS)
    ok &= (gas_used >= 0) & (gas_used <= gas_limit)
    fee, part = np.where(ok, base_fee, 0), np.where(ok, target, 1)
    off = np.where(ok, gas_used, 1) - part
    # fee * |off| // part without the product, which does not fit 64 bits.
    distance = np.abs(off)
    change = (fee // part * distance + fee % part * distance // part) // CHANGE_DENOMINATOR
    up = np.maximum(change, 1)
    out: Array = np.where(off > 0, fee + up, np.where(off < 0, fee - change, fee))
    out[~ok] = -1
    return out


def blob_base_fee(excess_blob_gas: int, rules: BlobRules) -> int:
    """The price of a unit of blob gas, in wei: e to the excess over the fraction, from 1 up.

    The integer series of EIP-4844's ``fake_exponential``, to the wei.
    """
    total, term, step = 0, rules.fraction, 1
    while term > 0:
        total += term
        term = term * excess_blob_gas // (rules.fraction * step)
        step += 1
    return total // rules.fraction


def next_excess_blob_gas(excess: int, used: int, base_fee: int, rules: BlobRules) -> int:
    """The excess blob gas of a block, from its parent's; ``rules`` are those at the block itself.

    EIP-4844; with a floor (EIP-7918) what is above the target is not taken off while blobs cost
    less than execution.
    """
    target = rules.target * GAS_PER_BLOB
    if excess + used < target:
        return 0
    if rules.floor and BLOB_BASE_COST * base_fee > GAS_PER_BLOB * blob_base_fee(excess, rules):
        return excess + used * (rules.most - rules.target) // rules.most
    return excess + used - target


def blob_rules_at(time: int, schedule: tuple[BlobRules, ...]) -> BlobRules | None:
    """The rules in force at a block time; None before blobs."""
    found = None
    for rules in schedule:
        if rules.since <= time:
            found = rules
    return found
