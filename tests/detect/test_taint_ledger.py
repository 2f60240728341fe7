"""Taint: no coin of it is created or lost, undo is exact, and slow code says the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detect.compiled import Array
from detect.kernels.taint import TaintFlows
from detect.rules.taint_ledger import COINS, Payment, TaintConfig, TaintLedger
from detect.rules.trail import HOP
from tests.detect.taint_oracle import BAD, MIXER, SINK, TELLS, Flow, Slow

HAIRCUT, FIFO = 0, 1
WIDE = TaintConfig(wallets=64, queues=64, hops=64)
TIGHT = TaintConfig(wallets=3, queues=2, hops=2)
SOURCES, SERVICES = {0: BAD, 1: MIXER}, {2: SINK | TELLS, 3: SINK}


def address(number: int) -> bytes:
    """The address of a wallet."""
    return hashlib.sha256(b"taint %d" % number).digest()[:20]


def words(numbers: list[int]) -> Array:
    """Addresses as kernels see them."""
    joined = b"".join(map(address, numbers))
    return np.frombuffer(joined, "<u4").reshape(-1, 5).astype(np.uint32)


def arrays(flows: Sequence[Flow]) -> TaintFlows:
    """Flows as the pass takes them."""
    return TaintFlows(
        coin=np.array([f.coin for f in flows], np.int64),
        units=np.array([f.units for f in flows], np.float64),
        time=np.array([f.time for f in flows], np.int64),
        block=np.array([f.block for f in flows], np.int64),
        sender=words([f.sender for f in flows]),
        receiver=words([f.receiver for f in flows]),
        sender_held=np.array([f.sender_held for f in flows], np.float64),
        receiver_held=np.array([f.receiver_held for f in flows], np.float64),
        sender_is=np.array([f.sender_is for f in flows], np.uint8),
        receiver_is=np.array([f.receiver_is for f in flows], np.uint8),
    )


def advance(
    ledger: TaintLedger, flows: Sequence[Flow], first: int = 0, blocks: int = 0
) -> list[Payment]:
    """One pass over whole blocks."""

    def hops(places: Array, before: Array) -> Array:
        out = np.zeros(len(places), HOP)
        out["before"] = before
        for n, place in enumerate(places.tolist()):
            out["sender"][n] = np.frombuffer(address(flows[place].sender), np.uint8)
            out["receiver"][n] = np.frombuffer(address(flows[place].receiver), np.uint8)
        return out

    return ledger.advance(arrays(flows), first, blocks or flows[-1].block + 1, hops)


def content(ledger: TaintLedger) -> list[bytes]:
    """Every byte that later results depend on."""
    return [ledger.parts[name].content() for name in sorted(ledger.parts)]


@st.composite
def chains(draw: st.DrawFn, most: int = 60) -> list[Flow]:
    """Payments among few wallets: two sources, two services, the others nobody."""
    held: dict[tuple[int, int], float] = {}
    flows, block = [], 0
    for n in range(draw(st.integers(1, most))):
        block += draw(st.integers(0, 1))
        sender = draw(st.integers(0, 9))
        receiver = (sender + draw(st.integers(1, 9))) % 10
        coin = draw(st.sampled_from([0, 0, 0, 1]))
        units = draw(st.sampled_from([0.011, 0.5, 1.0, 3.0, 20.0, 1e6]) | st.floats(0.01, 1e5))
        mine, theirs = held.get((sender, coin), 0.0), held.get((receiver, coin), 0.0)
        flows.append(
            Flow(
                sender, receiver, units, coin, SOURCES.get(sender, 0),
                SOURCES.get(receiver, 0) | SERVICES.get(receiver, 0), block, 1_000 + 600 * n,
                mine, theirs,
            )
        )  # fmt: skip
        held[sender, coin] = max(0.0, mine - units)
        held[receiver, coin] = theirs + units
    return flows


def assert_conserved(ledger: TaintLedger) -> None:
    """What entered is held, absorbed, dropped or evicted."""
    for method in (HAIRCUT, FIFO):
        for coin in range(COINS):
            sourced, *rest = ledger.balance_of(method, coin)
            assert sum(rest) == pytest.approx(sourced, rel=1e-9, abs=1e-9)
            assert min(rest) >= -1e-9 * max(1.0, sourced)


@settings(deadline=None, max_examples=150)
@given(chains(), st.sampled_from([WIDE, TIGHT]))
def test_taint_is_conserved(flows: list[Flow], config: TaintConfig) -> None:
    """To 1e-9, by both methods and in every coin, also where tables overflow."""
    ledger = TaintLedger(config)
    advance(ledger, flows)
    assert_conserved(ledger)


QUEUE_ALONE = [
    Flow(0, 7, 0.011, sender_is=BAD, time=1),
    # By haircut that is half of it, below the floor, and dropped; by FIFO it is all of it.
    Flow(7, 6, 0.011, time=2, sender_held=0.022),
    Flow(2, 6, 0.011, time=3, receiver_held=0.011),
    Flow(0, 6, 0.5, sender_is=BAD, time=4, receiver_held=0.022),
    Flow(6, 7, 0.5, time=5, sender_held=0.522, receiver_held=0.011),
]


@settings(deadline=None, max_examples=150)
@example(QUEUE_ALONE)
@given(chains())
def test_both_methods_agree_with_slow_ones(flows: list[Flow]) -> None:
    """Every wallet's taint by haircut and by FIFO is what dicts and lists say."""
    config = replace(WIDE, alert_share=0.0, alert_ether=1e-9)
    ledger, limits = TaintLedger(config), config.limits()
    slow = [Slow(float(limits.floor[coin]), limits.floor_share) for coin in range(2)]
    fifo_lots = 0
    for f in flows:
        slow[f.coin].haircut(f)
        slow[f.coin].fifo(f)
        fifo_lots = max(fifo_lots, *(len(q) for s in slow for q in s.lots.values()), 0)
    advance(ledger, flows)
    for coin in range(2):
        for wallet in range(10):
            haircut, fifo = ledger.taint_of(address(wallet), coin)
            known = sum(slow[coin].taint.get((wallet, coin), [0.0]))
            assert haircut == pytest.approx(known, rel=1e-9, abs=1e-9)
            if fifo_lots <= 32:
                lots = slow[coin].lots.get((wallet, coin), [])
                assert fifo == pytest.approx(sum(t for _, t, _ in lots), rel=1e-9, abs=1e-9)
        _, _, absorbed, dropped, evicted = ledger.balance_of(HAIRCUT, coin)
        assert absorbed == pytest.approx(slow[coin].absorbed, rel=1e-9, abs=1e-9)
        assert dropped == pytest.approx(slow[coin].dropped, rel=1e-9, abs=1e-9)
        assert evicted == 0.0


@settings(deadline=None, max_examples=100)
@given(chains(), chains(30), st.sampled_from([WIDE, TIGHT]))
def test_undo_is_exact_byte_for_byte(
    trunk: list[Flow], branch: list[Flow], config: TaintConfig
) -> None:
    """After a branch is reverted every byte is what it was, and what follows goes the same way."""
    ledger = TaintLedger(config)
    advance(ledger, trunk)
    before, first = content(ledger), trunk[-1].block + 1
    advance(ledger, branch, first)
    for serial in range(first + branch[-1].block, first - 1, -1):
        for part in ledger.parts.values():
            part.revert(serial)
    assert content(ledger) == before
    fresh = TaintLedger(config)
    advance(fresh, trunk)
    assert advance(fresh, branch, first) == advance(ledger, branch, first)
    assert content(fresh) == content(ledger)


@settings(deadline=None, max_examples=100)
@given(chains(), st.sampled_from([WIDE, TIGHT]))
def test_batching_changes_nothing(flows: list[Flow], config: TaintConfig) -> None:
    """All blocks at once or one by one: the same bytes, the same payments, the same paths."""
    whole, single = TaintLedger(config), TaintLedger(config)
    together = advance(whole, flows)
    apart = []
    for block in range(flows[-1].block + 1):
        part = [replace(f, block=0) for f in flows if f.block == block]
        if part:
            start = next(n for n, f in enumerate(flows) if f.block == block)
            apart += [replace(p, flow=p.flow + start) for p in advance(single, part, block)]
    assert together == apart
    assert content(whole) == content(single)


@settings(deadline=None, max_examples=50)
@given(chains(), chains(20), st.integers(-1, 40))
def test_a_restored_ledger_goes_on_and_back_alike(
    flows: list[Flow], more: list[Flow], forgotten: int
) -> None:
    """Dumped and loaded through msgpack, parts forgotten in between, it reverts and continues."""
    ledger, copy = TaintLedger(TIGHT), TaintLedger(TIGHT)
    advance(ledger, flows)
    for name, part in ledger.parts.items():
        part.forget(forgotten)
        copy.parts[name].load(msgspec.msgpack.decode(msgspec.msgpack.encode(part.dump())))
    assert content(copy) == content(ledger)
    last = flows[-1].block
    for serial in range(last, max(forgotten, last - 3), -1):
        for name in ledger.parts:
            ledger.parts[name].revert(serial)
            copy.parts[name].revert(serial)
    assert content(copy) == content(ledger)
    first = max(forgotten, last - 3) + 1
    assert advance(ledger, more, max(0, first)) == advance(copy, more, max(0, first))
    assert content(copy) == content(ledger)


def test_what_came_first_leaves_first() -> None:
    """Haircut smears, FIFO does not: clean coins that came first leave clean."""
    ledger = TaintLedger(WIDE)
    flows = [
        Flow(0, 5, 10.0, sender_is=BAD, receiver_held=10.0),
        Flow(5, 6, 10.0, sender_held=20.0),
    ]
    advance(ledger, flows)
    assert ledger.taint_of(address(6), 0) == (5.0, 0.0)
    assert ledger.taint_of(address(5), 0) == (5.0, 10.0)


def test_a_full_queue_merges_and_loses_nothing() -> None:
    """The 33rd lot joins the youngest: amounts and taint add up, by FIFO as by haircut."""
    ledger = TaintLedger(WIDE)
    flows = []
    for n in range(50):
        flows.append(Flow(100 + n, 5, 2.0, sender_is=BAD))
        flows.append(Flow(8, 5, 1.0))
    advance(ledger, flows)
    assert ledger.taint_of(address(5), 0) == (100.0, 100.0)
    advance(ledger, [Flow(5, 2, 150.0, receiver_is=SINK | TELLS)], 1)
    assert ledger.taint_of(address(5), 0) == (0.0, 0.0)
    assert_conserved(ledger)


def test_dust_is_let_go_and_accounted_for() -> None:
    """Below a hundredth of an ether, or a thousandth of a payment, taint ends."""
    ledger = TaintLedger(WIDE)
    advance(
        ledger,
        [
            Flow(0, 5, 0.02, sender_is=BAD),
            Flow(5, 6, 0.015, sender_held=0.02, receiver_held=99.985),
        ],
    )
    assert ledger.taint_of(address(6), 0)[0] == pytest.approx(0.015)
    assert ledger.taint_of(address(5), 0)[0] == 0.0
    advance(ledger, [Flow(6, 7, 0.015, sender_held=100.0)], 1)
    assert ledger.taint_of(address(7), 0) == (0.0, 0.0)
    assert_conserved(ledger)
