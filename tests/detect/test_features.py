"""The declared features against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.schema import ZERO_ADDRESS
from detect.compiled import Array
from detect.events import events_of
from detect.features import FLOW_FEATURES, FLOWS, WALLET_FEATURES, WALLETS
from detect.kernels.wallet_features import is_milestone
from detect.wallets import WalletBounds, WalletTable
from tests.detect import oracle
from tests.detect.chains import Block, Flow, Shape, batch_of, random_block

BOUNDS = WalletBounds(wallets=1024, tokens=64, pairs=4096)


def observed(blocks: list[Block]) -> tuple[Array, list[tuple[int, bool, Array]]]:
    """Flow features, and wallet features with the flow they were read at and the side."""
    seen = WalletTable(BOUNDS).observe(events_of(batch_of(blocks)), 0)
    wallets = zip(seen.wallet_flow, seen.wallet_is_sender, seen.wallet_features, strict=True)
    return seen.flow_features, [(int(i), bool(s), row) for i, s, row in wallets]


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), receipts=st.booleans(), wallets=st.integers(2, 12))
def test_features_equal_a_recomputation_over_the_prefix(
    seed: int, receipts: bool, wallets: int
) -> None:
    """Every flow and wallet feature equals its definition over the events before it."""
    shape = Shape(wallets=wallets, receipts=receipts)
    blocks = [random_block(n, str(seed), shape) for n in range(30)]
    history = [event for block in blocks for event in block.events]
    places = [n for n, event in enumerate(history) if isinstance(event, Flow)]
    flows, wallet_rows = observed(blocks)
    assert len(flows) == len(places)
    for row, n in zip(flows, places, strict=True):
        expected = oracle.flow_features(history, n)
        assert set(expected) == set(FLOW_FEATURES)
        got = dict(zip(FLOW_FEATURES, row.tolist(), strict=True))
        assert got == pytest.approx(expected, abs=2e-4), history[n]
    for i, is_sender, row in wallet_rows:
        flow = history[places[i]]
        assert isinstance(flow, Flow)
        address = flow.sender if is_sender else flow.receiver
        expected = oracle.wallet_features(history, places[i], address)
        assert set(expected) == set(WALLET_FEATURES)
        got = dict(zip(WALLET_FEATURES, row.tolist(), strict=True))
        assert got == pytest.approx(expected, abs=2e-4), (flow, address)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), wallets=st.integers(2, 12))
def test_a_funder_is_the_first_that_paid_coins(seed: int, wallets: int) -> None:
    """The funder facts name, by keyed hash, whoever first paid the wallet coins before the flow."""
    blocks = [random_block(n, str(seed), Shape(wallets=wallets)) for n in range(30)]
    history = [event for block in blocks for event in block.events if isinstance(event, Flow)]
    facts = WalletTable(BOUNDS).observe(events_of(batch_of(blocks)), 0).flow_facts
    hashes = {ZERO_ADDRESS: 0}
    funders: dict[bytes, bytes] = {}
    for flow, fact in zip(history, facts, strict=True):
        for party, side in ((flow.sender, "from"), (flow.receiver, "to")):
            if party != ZERO_ADDRESS:
                assert hashes.setdefault(party, int(fact[f"{side}_hash"])) == fact[f"{side}_hash"]
            assert fact[f"{side}_funder"] == hashes[funders.get(party, ZERO_ADDRESS)]
        paid = flow.token is None and not flow.failed and flow.value > 0
        if paid and flow.sender != flow.receiver and flow.receiver != ZERO_ADDRESS:
            funders.setdefault(flow.receiver, flow.sender)
    assert len(set(hashes.values())) == len(hashes)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), wallets=st.integers(2, 12))
def test_what_is_held_came_in_and_has_not_left(seed: int, wallets: int) -> None:
    """The held facts are coins in less coins out before the flow, never below zero."""
    blocks = [random_block(n, str(seed), Shape(wallets=wallets)) for n in range(30)]
    history = [event for block in blocks for event in block.events if isinstance(event, Flow)]
    facts = WalletTable(BOUNDS).observe(events_of(batch_of(blocks)), 0).flow_facts
    held: dict[bytes, float] = {}
    for flow, fact in zip(history, facts, strict=True):
        assert fact["from_held"] == held.get(flow.sender, 0.0)
        assert fact["to_held"] == held.get(flow.receiver, 0.0)
        if flow.token is None and not flow.failed and flow.sender != flow.receiver:
            if flow.sender != ZERO_ADDRESS:
                held[flow.sender] = max(0.0, held.get(flow.sender, 0.0) - flow.value)
            if flow.receiver != ZERO_ADDRESS:
                held[flow.receiver] = held.get(flow.receiver, 0.0) + flow.value


def one_flow(block: Block, **values: object) -> None:
    """Change the only flow of a block."""
    block.rows["flows"][0].update(values)


def test_every_feature_is_declared_once_and_explained() -> None:
    """Names are unique within a tuple, each has a meaning and a neutral value in [0, 1]."""
    for declared, names in ((FLOWS, FLOW_FEATURES), (WALLETS, WALLET_FEATURES)):
        assert len(names) == len(set(names)) >= 20
        assert all(feature.meaning and 0 <= feature.neutral <= 1 for feature in declared)


@pytest.mark.parametrize("value", [float("nan"), -1.0, float("inf"), 2.0**256, 1e308])
def test_hostile_amounts_poison_nothing(value: float) -> None:
    """NaN, negative and 2^256-sized amounts leave all features, then and later, in [0, 1]."""
    blocks = [random_block(n, "poison", busy=3) for n in range(40)]
    for block in blocks[:3]:
        for row in block.rows["flows"]:
            row["value_f64"] = value
    flows, wallets = observed(blocks)
    rows = np.concatenate([row for _, _, row in wallets])
    for X in (flows, rows):
        assert np.isfinite(X).all()
        assert X.min() >= 0
        assert X.max() <= 1


def test_a_missing_input_is_its_neutral_value() -> None:
    """A source without receipts, nonces and inputs gives the declared neutral values."""
    blocks = [random_block(n, "bare", Shape(receipts=False), busy=2) for n in range(5)]
    for block in blocks:
        for row in block.rows["transactions"]:
            row.update(nonce=None, input=None, gas=None, gas_used=None, status=None)
        for row in block.rows["flows"]:
            row.update(status=None)
    flows, _ = observed(blocks)
    neutral = {feature.name: feature.neutral for feature in FLOWS}
    for name in ("sender_nonce", "nonce_gap", "gas_price", "gas_used_share", "has_input", "failed"):
        assert (flows[:, FLOW_FEATURES.index(name)] == neutral[name]).all(), name


def test_the_zero_address_is_nobody() -> None:
    """Mints and burns leave no hub behind: the zero address has no row and is no counterparty."""
    blocks = [random_block(n, "zero", busy=1) for n in range(50)]
    for block in blocks:
        del block.rows["flows"][1:], block.rows["transactions"]
        for name in ("logs", "approvals", "creations"):
            block.rows.pop(name, None)
        one_flow(block, from_address=ZERO_ADDRESS)
    table = WalletTable(BOUNDS)
    seen = table.observe(events_of(batch_of(blocks)), 0)
    assert table.row(ZERO_ADDRESS) is None
    assert (seen.flow_features[:, FLOW_FEATURES.index("is_mint")] == 1).all()
    assert (seen.flow_facts["from_events"] == 0).all()
    assert (seen.flow_facts["to_counterparties"] == 0).all()
    assert seen.flow_facts["to_received"].max() > 0


def test_a_later_event_changes_no_earlier_feature() -> None:
    """Read before update: features of a prefix are the same whatever comes after it."""
    blocks = [random_block(n, "prefix", busy=2) for n in range(20)]
    whole, _ = observed(blocks)
    part, _ = observed(blocks[:10])
    assert np.array_equal(whole[: len(part)], part)


def test_calendar_and_addresses_are_no_features() -> None:
    """Moving all blocks by years and renaming all wallets changes no feature."""
    blocks = [random_block(n, "moved", busy=3) for n in range(30)]
    before, _ = observed(blocks)
    renamed: dict[bytes, bytes] = {ZERO_ADDRESS: ZERO_ADDRESS}
    for block in blocks:
        block.number += 5_000_000
        for rows in block.rows.values():
            for row in rows:
                row["block_number"] += 5_000_000
                row["block_timestamp"] += 60_000_000
                for name, value in row.items():
                    if isinstance(value, bytes) and len(value) == 20:
                        row[name] = renamed.setdefault(value, value[::-1])
        block.time += 60_000_000
    after, _ = observed(blocks)
    assert np.array_equal(before, after)


def test_milestones_are_dense_at_first_and_then_rare() -> None:
    """Wallets are looked at at their first eight events, half-octaves up to 64, every 64th."""
    found = [n for n in range(1, 400) if is_milestone(n)]
    assert found == [*range(1, 9), 12, 16, 24, 32, 48, 64, 128, 192, 256, 320, 384]
