"""The wallet table: placed by a keyed hash, bounded, undone exactly."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import DeepReorg, DetectError, SnapshotRefused
from detect.compiled import Array
from detect.events import address_key, events_of
from detect.features import PAIR, SUMMARY, TOKEN, WALLET
from detect.kernels.arrays import Seen
from detect.kernels.summaries import (
    Summaries,
    SummaryUndo,
    recall,
    summarise,
    undo_summaries,
    unfold,
)
from detect.kernels.table import (
    COUNT,
    Table,
    TableUndo,
    find,
    open_block,
    place_row,
    siphash,
    undo_block,
    unindex,
)
from detect.wallets import WalletBounds, WalletTable
from tests.detect.chains import Block, Shape, address, batch_of, random_block
from tests.detect.plain.numbers import siphash as plain_siphash

TINY = WalletBounds(wallets=16, tokens=16, pairs=16, undo_depth=8)
SUMMARISED = replace(TINY, summaries=24)  # of which not all that are evicted find room
ROW = np.dtype([("value", np.int64)])


def table_of(capacity: int, key: bytes = bytes(16)) -> tuple[Table, TableUndo]:
    """A bare table and room for its undo."""
    slots = 1 << (2 * capacity - 1).bit_length()
    table = Table(
        np.zeros((capacity, 5), np.uint32),
        np.zeros(capacity + 1, ROW),
        np.zeros(slots, np.int32),
        np.zeros(capacity, np.int64),
        np.zeros(3, np.int64),
        np.frombuffer(key, "<u8").copy(),
    )
    undo = TableUndo(
        np.empty(4096, np.int32),
        np.empty((4096, 5), np.uint32),
        np.empty(4096, ROW),
        np.empty(4096, np.bool_),
        np.zeros(1, np.int64),
        np.zeros((64, 4), np.int64),
    )
    return table, undo


def hash_of(table: Table, words: Array) -> np.uint64:
    """Where an address would be placed."""
    return np.uint64(siphash(table.secret, words))


def row_of(table: Table, key: bytes) -> int:
    """Where an address is, or -1."""
    words = address_key(key)
    return find(table.keys, table.slots, words, hash_of(table, words))


def test_addresses_are_placed_by_siphash() -> None:
    """The compiled hash is SipHash-1-3, by an implementation that meets the paper's vector."""
    vector = plain_siphash(bytes(range(16)), bytes(range(15)), 2, 4)
    assert vector == 0xA129CA6149BE45E5
    rng = random.Random(1)
    for _ in range(200):
        key, data = rng.randbytes(16), rng.randbytes(20)
        secret = np.frombuffer(key, "<u8").copy()
        assert int(siphash(secret, address_key(data))) == plain_siphash(key, data)


@settings(deadline=None, max_examples=50)
@given(seed=st.integers(0, 2**32), capacity=st.sampled_from([1, 3, 8, 16]))
def test_the_index_finds_what_is_there_and_nothing_else(seed: int, capacity: int) -> None:
    """Through insertions and evictions in crowded slots, lookups agree with a dict."""
    rng = random.Random(seed)
    table, undo = table_of(capacity, rng.randbytes(16))
    addresses = [rng.randbytes(20) for _ in range(40)]
    truth: dict[bytes, int] = {}
    for _ in range(100):
        key = rng.choice(addresses)
        if key not in truth:
            evicted = rng.randrange(capacity) if table.state[COUNT] == capacity else -1
            words = address_key(key)
            truth = {k: r for k, r in truth.items() if r != evicted}
            hashed = hash_of(table, words)
            truth[key] = place_row(table, undo, 0, words, hashed, evicted)
        for other in addresses:
            assert row_of(table, other) == truth.get(other, -1)


def test_unindexing_keeps_every_probe_whole() -> None:
    """Keys that share their home slot are found after any of them is taken out."""
    table, undo = table_of(16)
    rng = random.Random(4)
    mask = len(table.slots) - 1
    crowd: list[bytes] = []
    while len(crowd) < 10:  # homes at the end of the index, so that probes wrap
        key = rng.randbytes(20)
        if int(siphash(table.secret, address_key(key))) & mask >= mask - 1:
            crowd.append(key)
    for key in crowd:
        words = address_key(key)
        place_row(table, undo, 0, words, hash_of(table, words), -1)
    rng.shuffle(crowd)
    while crowd:
        unindex(table, row_of(table, crowd.pop()))
        assert all(row_of(table, key) >= 0 for key in crowd)
    assert not table.slots.any()


def test_undoing_a_block_restores_rows_keys_and_hand() -> None:
    """A block that inserts, changes and evicts is undone byte for byte."""
    rng = random.Random(9)
    table, undo = table_of(8)
    for _ in range(8):
        words = address_key(rng.randbytes(20))
        row = place_row(table, undo, 0, words, hash_of(table, words), -1)
        table.rows[row]["value"] = rng.randrange(1000)
    before = [a.copy() for a in (table.keys, table.rows, table.state)]
    found = {bytes(key): row for row, key in enumerate(table.keys.copy())}
    open_block(table, undo, 0)
    for step in range(30):
        words = address_key(rng.randbytes(20))
        row = place_row(table, undo, 1, words, hash_of(table, words), step % 8)
        table.rows[row]["value"] = -1
    undo_block(table, undo, 0)
    for then, now in zip(before, (table.keys, table.rows, table.state), strict=True):
        assert then.tobytes() == now.tobytes()
    assert {key: row_of(table, key) for key in found} == found
    assert not table.stamps.any()


def observe(table: WalletTable, blocks: list[Block], serial: int) -> Seen:
    """Pass over blocks with a model that gives no scores."""
    seen = table.observe(events_of(batch_of(blocks)), serial)
    table.settle(seen, np.full(len(seen.wallet_row), np.nan, np.float32))
    return seen


def crowded(seed: int, number: int) -> Block:
    """A block in which many wallets meet, far more than a tiny table holds."""
    return random_block(number, str(seed), Shape(wallets=60, tokens=30, transactions=5))


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    forks=st.lists(st.integers(1, 8), min_size=1, max_size=6),
    bounds=st.sampled_from([TINY, SUMMARISED]),
)
def test_reverts_at_tiny_capacity_equal_a_fresh_run(
    seed: int, forks: list[int], bounds: WalletBounds
) -> None:
    """Evicting tables, reverted and extended again, equal those that never saw the fork."""
    table, chain = WalletTable(bounds), [crowded(seed, n) for n in range(20)]
    for serial, block in enumerate(chain):
        observe(table, [block], serial)
    assert table.evictions > 0
    assert (table.summaries > 0) == (bounds.summaries > 0)
    for fork, depth in enumerate(forks):
        for _ in range(depth):
            table.revert(len(chain) - 1)
            chain.pop()
        for _ in range(depth + 1):
            block = crowded(seed + 1 + fork, len(chain))
            observe(table, [block], len(chain))
            chain.append(block)
    fresh = WalletTable(bounds)
    observe(fresh, chain, 0)
    assert table.digest() == fresh.digest()
    assert table.summaries == fresh.summaries


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    cuts=st.lists(st.integers(1, 29), max_size=6),
    bounds=st.sampled_from([TINY, SUMMARISED]),
)
def test_batching_changes_nothing(seed: int, cuts: list[int], bounds: WalletBounds) -> None:
    """Facts, features and state are the same however the blocks are cut, evictions included."""
    chain = [crowded(seed, n) for n in range(30)]
    whole, parts = WalletTable(bounds), WalletTable(bounds)
    expected = observe(whole, chain, 0)
    edges = sorted({0, *cuts, 30})
    facts, features = [], []
    for start, stop in pairwise(edges):
        seen = observe(parts, chain[start:stop], start)
        facts.append(seen.flow_facts)
        features.append(seen.flow_features)
    assert np.concatenate(facts).tobytes() == expected.flow_facts.tobytes()
    assert np.array_equal(np.concatenate(features), expected.flow_features)
    assert parts.digest() == whole.digest()


@pytest.mark.parametrize("bounds", [TINY, SUMMARISED])
def test_a_snapshot_continues_and_reverts_as_the_original(bounds: WalletBounds) -> None:
    """A restored table has the digest, undoes the same blocks, and goes on to the same state."""
    chain = [crowded(3, n) for n in range(12)]
    table = WalletTable(bounds)
    observe(table, chain, 0)
    twin = WalletTable(bounds)
    twin.restore(table.snapshot())
    assert twin.digest() == table.digest()
    assert twin.snapshot() == table.snapshot()
    for serial in range(11, 5, -1):
        table.revert(serial)
        twin.revert(serial)
        assert twin.digest() == table.digest()
    more = [crowded(5, 6)]
    observe(table, more, 6)
    observe(twin, more, 6)
    assert twin.digest() == table.digest()


def test_a_snapshot_of_other_bounds_key_or_shape_is_refused() -> None:
    """Other capacity, other hash key, truncated or altered bytes: SnapshotRefused."""
    table = WalletTable(TINY)
    observe(table, [crowded(1, 0)], 0)
    data = table.snapshot()
    digest = table.digest()
    for bounds in (
        WalletBounds(wallets=17, tokens=16, pairs=16),
        WalletBounds(wallets=16, tokens=16, pairs=16, secret=b"k" * 16),
        SUMMARISED,
    ):
        with pytest.raises(SnapshotRefused):
            WalletTable(bounds).restore(data)
    for broken in (b"", data[:-1], data[:100], data[:80] + b"?" + data[81:], b"pickle" + data):
        with pytest.raises(SnapshotRefused):
            table.restore(broken)
    assert table.digest() == digest


def test_only_the_last_block_within_the_depth_can_be_undone() -> None:
    """Reverting out of order is refused, and so is reverting what was forgotten."""
    table = WalletTable(TINY)
    observe(table, [crowded(1, n) for n in range(20)], 0)
    with pytest.raises(DetectError):
        table.revert(18)
    for serial in range(19, 11, -1):
        table.revert(serial)
    with pytest.raises(DeepReorg):
        table.revert(11)
    observe(table, [crowded(2, 12)], 12)
    table.forget(12)
    assert table.undo_bytes == 0
    with pytest.raises(DeepReorg):
        table.revert(12)


def test_a_flood_of_fresh_wallets_evicts_itself() -> None:
    """Of wallets with history, nine in ten outlive a flood of ten times the capacity."""
    bounds = WalletBounds(wallets=400, tokens=16, pairs=1024)
    table = WalletTable(bounds)
    regulars = [address(f"wallet {n}") for n in range(100)]
    shape = Shape(wallets=100, transactions=40)
    history = [random_block(n, "history", shape, busy=40) for n in range(40)]
    observe(table, history, 0)
    kept = sum(table.row(key) is not None for key in regulars)
    flood = [random_block(40 + n, "flood", Shape(wallets=10**9), busy=40) for n in range(50)]
    observe(table, flood, 40)
    assert table.evictions > 10 * bounds.wallets - 4000
    assert len(table) == bounds.wallets
    assert sum(table.row(key) is not None for key in regulars) >= 0.9 * kept


def test_a_wallet_that_comes_back_is_no_stranger() -> None:
    """Who was evicted by a flood begins anew with its age, funder, amounts and counts."""
    table = WalletTable(WalletBounds(wallets=100, tokens=16, pairs=1024, summaries=65_536))
    shape = Shape(wallets=40, transactions=20)
    observe(table, [random_block(n, "history", shape, busy=20) for n in range(20)], 0)
    regulars = [address(f"wallet {n}") for n in range(40)]
    before = {key: row for key in regulars if (row := table.row(key)) is not None}
    flood = [random_block(20 + n, "flood", Shape(wallets=10**9), busy=40) for n in range(60)]
    for serial, block in enumerate(flood, 20):
        for row in block.rows["flows"]:  # worth more than anybody with a history
            row["value_f64"] = 1e30
        observe(table, [block], serial)
    gone = [key for key in before if table.row(key) is None]
    assert len(gone) > 10
    assert all(table.summary(key) is not None for key in gone)
    for serial, key in enumerate(gone, 80):
        block = random_block(serial, "back", busy=1)
        block.rows = {"flows": block.rows["flows"][:1]}
        flow = {"from_address": key, "to_address": address("payee"), "status": 1, "value_f64": 0.0}
        block.rows["flows"][0].update(flow)
        observe(table, [block], serial)
        row, was = table.row(key), before[key]
        assert table.summary(key) is None
        assert row["events"] == was["sent"] + was["received"] + 1
        assert row["sent"] == was["sent"] + 1
        for name in ("first_seen", "funder", "received", "valued_in", "fan_in", "is_contract"):
            assert row[name] == was[name]
        for name in ("in_value", "out_value", "passed"):
            assert row[name] == pytest.approx(was[name], rel=1e-6)


def test_a_summary_keeps_the_shares_of_counts_above_255() -> None:
    """Counts of a busy wallet share a scale: none is cut off, only their last bits are lost."""
    rows, number = np.zeros(2, WALLET), np.zeros(1, np.int64)
    summaries = Summaries(
        np.zeros(8, np.uint64), np.zeros(8, SUMMARY), np.zeros(1, SUMMARY), number
    )
    undo = SummaryUndo(
        np.zeros(4, np.int64),
        np.zeros(4, np.uint64),
        np.zeros(4, SUMMARY),
        np.zeros(1, np.int64),
        np.zeros(1, np.int64),
    )
    rows[0]["sent"], rows[0]["received"], rows[0]["fan_out"] = 100_000, 25_000, 31
    rows[0]["is_contract"] = True
    key = np.uint64(77)
    summarise(summaries, undo, True, rows, 0, key, 0)
    assert not recall(summaries, undo, True, np.uint64(78))
    assert recall(summaries, undo, True, key)
    unfold(summaries, rows, 1)
    assert rows[1]["sent"] == pytest.approx(100_000, rel=0.01)
    assert rows[1]["received"] == pytest.approx(25_000, rel=0.02)
    assert rows[1]["fan_out"] == 0  # less than one part in 255 of the most
    assert rows[1]["is_contract"]
    assert summaries.number[0] == 0
    undo_summaries(summaries, undo, 0)
    assert undo.used[0] == summaries.number[0] == 0


def test_counterparties_are_exact_for_few_and_survive_a_crowded_pair_table() -> None:
    """Paying the same four again and again is four counterparties, whatever the pairs forget."""
    table = WalletTable(WalletBounds(wallets=64, tokens=16, pairs=4))
    payer, payees = address("payer"), [address(f"payee {n}") for n in range(4)]
    blocks = []
    for n in range(60):
        block = random_block(n, "few", busy=1)
        block.rows = {"flows": block.rows["flows"][:1]}
        block.rows["flows"][0].update(from_address=payer, to_address=payees[n % 4], status=1)
        blocks.append(block)
    observe(table, blocks, 0)
    assert table.row(payer)["fan_out"] == table.row(payer)["peers"] == 4
    assert all(table.row(payee)["fan_in"] == 1 for payee in payees)


def test_records_have_no_padding() -> None:
    """Every byte of a row belongs to a field: rows that are equal are equal byte for byte."""
    for kind in (WALLET, TOKEN, PAIR, SUMMARY):
        assert kind.fields is not None
        assert sum(field[0].itemsize for field in kind.fields.values()) == kind.itemsize


def test_bounds_are_checked() -> None:
    """Capacities that cannot work are refused when the table is made."""
    for wrong in (
        {"wallets": 8},
        {"pairs": 1000},
        {"secret": b"short"},
        {"undo_depth": -1},
        {"summaries": 12},
    ):
        with pytest.raises(DetectError):
            WalletBounds(**wrong)
