"""Exact fees, against the EIPs' own arithmetic and against the headers of real blocks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.errors import BadBlock
from chainwarden.schema import ETHEREUM
from detect.fees import (
    blob_base_fee,
    blob_rules_at,
    next_base_fee,
    next_excess_blob_gas,
)
from detect.known.gas import FEE_RULES, GAS_PER_BLOB, BlobRules
from ingest.jsonl import JsonlSource
from ingest.raw import RpcBlock

MAINNET = FEE_RULES[1]
CANCUN, PRAGUE, OSAKA, BPO1, BPO2 = MAINNET.blobs


def by_the_eip(base_fee: int, used: int, limit: int) -> int:
    """EIP-1559 in unbounded integers."""
    target = limit // 2
    if used > target:
        return base_fee + max(base_fee * (used - target) // target // 8, 1)
    return base_fee - base_fee * (target - used) // target // 8


@given(
    st.integers(0, 2**61 - 1),
    st.integers(5_000, 2**30 - 1),
    st.one_of(st.floats(0, 1), st.just(0.5)),
    st.integers(-2, 2),
)
def test_base_fees_are_exact(fee: int, limit: int, share: float, nudge: int) -> None:
    """int64 arithmetic gives what unbounded integers give, up to a fee of two ether a gas."""
    used = min(limit, max(0, int(limit * share) + nudge))
    found = next_base_fee(np.array([fee]), np.array([used]), np.array([limit]))
    assert found.tolist() == [by_the_eip(fee, used, limit)]


def test_what_cannot_be_computed_is_said_so() -> None:
    """Unknown fees or gas, no gas limit, and one beyond any bound give -1, not a number."""
    fee = np.array([-1, 5, 5, 5, 2**62])
    used = np.array([10, -1, 0, 10, 10])
    limit = np.array([100, 100, 1, 2**50, 100])
    assert next_base_fee(fee, used, limit).tolist() == [-1] * 5


def test_full_blocks_compound() -> None:
    """Five full blocks raise the fee 1.80 times, ten 3.25 times."""
    fee = np.array([10**10])
    fees = [fee]
    for _ in range(10):
        fees.append(next_base_fee(fees[-1], np.array([30_000_000]), np.array([30_000_000])))
    assert float(fees[5][0]) / 10**10 == pytest.approx(1.80, abs=0.005)
    assert float(fees[10][0]) / 10**10 == pytest.approx(3.25, abs=0.005)


@given(st.integers(0, 200_000_000))
def test_blob_fees_are_e_to_the_excess(excess: int) -> None:
    """The integer series is the exponential, rounded down, under every fork's fraction."""
    for rules in MAINNET.blobs:
        exact = float(np.exp(excess / rules.fraction))
        if exact < 1e12:
            assert abs(blob_base_fee(excess, rules) - exact) <= 1 + 1e-6 * exact


def test_excess_blob_gas_follows_the_fork() -> None:
    """Below the target nothing is left; above it is what was used over it; forks move it."""
    full = 6 * GAS_PER_BLOB
    assert next_excess_blob_gas(0, 3 * GAS_PER_BLOB, 10**9, CANCUN) == 0
    assert next_excess_blob_gas(0, full, 10**9, CANCUN) == 3 * GAS_PER_BLOB
    assert next_excess_blob_gas(0, full, 10**9, PRAGUE) == 0
    assert next_excess_blob_gas(10 * full, 0, 10**9, PRAGUE) == 9 * full


def test_blobs_cost_no_less_than_execution_since_osaka() -> None:
    """EIP-7918: below the reserve price the target is not taken off; above it, it is."""
    used, excess = 3 * GAS_PER_BLOB, 60 * GAS_PER_BLOB
    price = blob_base_fee(excess, OSAKA)
    floor = 16 * price  # 2**17 blob gas at the blob fee is 2**13 gas at this base fee
    assert next_excess_blob_gas(excess, used, floor, OSAKA) == excess + used - 6 * GAS_PER_BLOB
    assert next_excess_blob_gas(excess, used, floor + 1, OSAKA) == excess + used * 3 // 9
    assert next_excess_blob_gas(excess, used, floor + 1, PRAGUE) == excess + used - full_target(6)


def full_target(blobs: int) -> int:
    """So many blobs, in gas."""
    return blobs * GAS_PER_BLOB


@pytest.mark.parametrize("chain", sorted(FEE_RULES))
def test_the_schedule_is_in_order(chain: int) -> None:
    """Forks come one after the other; the rules at a time are those of the last one."""
    blobs = FEE_RULES[chain].blobs
    assert all(one.since < two.since and one.target <= two.target for one, two in pairwise(blobs))
    assert all(rules.target < rules.most for rules in blobs)
    assert blob_rules_at(blobs[0].since - 1, blobs) is None
    for rules in blobs:
        assert blob_rules_at(rules.since, blobs) == rules


def real_headers(shared_data: Path) -> dict[int, RpcBlock]:
    """The real blocks of both files by number, but those that eth_simulateV1 made up."""
    found = {}
    for name in ("run", "forks"):
        for raw in JsonlSource(shared_data / f"blocks/{name}.blocks.jsonl.gz", ETHEREUM).blocks():
            assert not isinstance(raw, BadBlock)
            if raw.block.base_fee_per_gas != "0x0":
                found[int(raw.block.number, 16)] = raw.block
    return found


def number(text: str | None) -> int:
    """A quantity."""
    assert text is not None
    return int(text, 16)


@pytest.mark.data
def test_real_base_fees_are_what_their_parents_demand(shared_data: Path) -> None:
    """Each real block whose parent is there has exactly the base fee computed from the parent."""
    headers = real_headers(shared_data)
    pairs = 0
    for n, block in headers.items():
        parent = headers.get(n - 1)
        if parent is None or parent.base_fee_per_gas is None or parent.hash != block.parent_hash:
            continue
        given = [number(t) for t in (parent.base_fee_per_gas, parent.gas_used, parent.gas_limit)]
        found = next_base_fee(*(np.array([value]) for value in given))
        assert found.tolist() == [number(block.base_fee_per_gas)], n
        pairs += 1
    assert pairs == 29


@pytest.mark.data
def test_real_excess_blob_gas_is_what_the_parent_demands(shared_data: Path) -> None:
    """Around the fork to Prague, excess blob gas follows the old target and then the new one."""
    headers = real_headers(shared_data)
    seen: list[BlobRules] = []
    for n, block in headers.items():
        parent = headers.get(n - 1)
        if parent is None or parent.excess_blob_gas is None or parent.hash != block.parent_hash:
            continue
        rules = blob_rules_at(number(block.timestamp), MAINNET.blobs)
        assert rules is not None
        must = next_excess_blob_gas(
            number(parent.excess_blob_gas),
            number(parent.blob_gas_used),
            number(parent.base_fee_per_gas),
            rules,
        )
        assert must == number(block.excess_blob_gas), n
        seen.append(rules)
    assert {rules.target for rules in seen} == {3, 6}


@pytest.mark.data
def test_real_blob_transactions_bid_at_least_the_blob_fee(shared_data: Path) -> None:
    """A blob transaction in a real block bid no less than the fee computed for that block."""
    bids = 0
    for block in real_headers(shared_data).values():
        rules = blob_rules_at(number(block.timestamp), MAINNET.blobs)
        if block.excess_blob_gas is None or rules is None:
            continue
        fee = blob_base_fee(number(block.excess_blob_gas), rules)
        for tx in block.transactions:
            bid: Any = msgspec.to_builtins(tx).get("maxFeePerBlobGas")
            if tx.type == "0x3" and bid is not None:
                assert number(bid) >= fee
                bids += 1
    assert bids > 10
