"""Missed slots, reorg depth, double spends: what the chain itself does wrong."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest

from chainwarden.schema import ETHEREUM, Chain, Severity
from detect.known.tokens import USDT
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.double_spend import DoubleSpend, DoubleSpendConfig
from detect.rules.missed_slots import MissedSlots, MissedSlotsConfig
from detect.rules.reorg_depth import ReorgDepth
from tests.detect.build import ETHER, START, Block, Build, Tx, at, run, uint, wallet, word

ALICE, SHOP, HERSELF, ELSE = wallet(1), wallet(2), wallet(1), wallet(3)
EXCHANGE = at("0x28C6c06298d514Db089934071355E5743bf21d60")


def gaps(*missed: int) -> list[Block]:
    """Blocks with so many missed slots before each."""
    time, blocks = START, [Block(time=START)]
    for count in missed:
        time += 12 * (count + 1)
        blocks.append(Block(time=time))
    return blocks


def slots(blocks: list[Block], **build: Any) -> list[tuple[int, Severity]]:
    """(row, severity) of what the rule says about blocks in one batch."""
    found = run(MissedSlots(ETHEREUM, ColumnCache()), Build(**build).batch(*blocks))
    return [(f.block_row, f.severity) for f in found]


def test_an_ordinary_hour_is_quiet() -> None:
    """A missed slot here and there is usual."""
    assert slots(gaps(*([0] * 30 + [1]) * 3)) == []


def test_five_of_64_are_told_once() -> None:
    """The fifth missed slot of the last 64 is medium, the sixth is no news, later ones again."""

    def medium(*missed: int) -> list[int]:
        return [row for row, severity in slots(gaps(*missed)) if severity >= Severity.MEDIUM]

    assert medium(1, 1, 1, 1, 1, 1, 0) == [5]
    assert medium(1, 1, 1, 1, *[0] * 60, 1) == []  # the first four have left the window
    assert medium(1, *[0] * 54, 1, 1, 1, 1) == [59]  # 63 slots back
    assert medium(1, *[0] * 55, 1, 1, 1, 1) == []  # 64 slots back
    assert medium(1, 1, 1, 1, 1, *[0] * 64, 1, 1, 1, 1, 1) == [5, 74]


def test_four_of_32_are_low() -> None:
    """The fourth missed slot of an epoch's length is low; four over more than that are nothing."""
    assert slots(gaps(1, 1, 1, 1)) == [(4, Severity.LOW)]
    assert slots(gaps(1, *[0] * 24, 1, 1, 1)) == [(28, Severity.LOW)]  # 31 slots back
    assert slots(gaps(1, *[0] * 25, 1, 1, 1)) == []  # 32 slots back
    (finding,) = run(MissedSlots(ETHEREUM, ColumnCache()), Build().batch(*gaps(1, 1, 1, 1)))
    assert "4 of the last 32" in finding.sentence


def test_runs_of_missed_slots_are_told() -> None:
    """Three in a row are low, four high; so is a rate like December 2025's."""
    assert slots(gaps(0, 3)) == [(2, Severity.LOW)]
    assert slots(gaps(0, 4)) == [(2, Severity.HIGH)]
    assert slots(gaps(0, 200)) == [(2, Severity.HIGH)]
    assert slots(gaps(*[1] * 12))[-1] == (12, Severity.HIGH)


def test_the_thresholds_have_the_rates_that_are_stated() -> None:
    """Slots missed one in 132 at random cross each threshold as often a year as is said of it."""
    years, year, rate = 20, 2_629_800, 0.00757
    missed = np.random.default_rng(7).random(years * year) < rate
    totals = np.concatenate([[0], np.cumsum(missed)])

    def crossings(window: int, threshold: int) -> float:
        over = totals[window:] - totals[:-window] >= threshold
        return float(np.count_nonzero(over[1:] & ~over[:-1])) / years

    assert crossings(32, 4) == pytest.approx(33, abs=4)
    assert crossings(64, 5) == pytest.approx(25, abs=4)
    assert crossings(3, 3) == pytest.approx(1.1, abs=0.6)
    assert year * (1 - rate) * rate**4 == pytest.approx(0.009, abs=0.001)
    # In windows side by side, not one that slides, it would be this many.
    epochs = missed[: len(missed) // 64 * 64].reshape(-1, 32).sum(axis=1) >= 4
    assert epochs.sum() / years == pytest.approx(8, abs=1.5)
    windows = missed[: len(missed) // 64 * 64].reshape(-1, 64).sum(axis=1) >= 5
    assert windows.sum() / years == pytest.approx(5, abs=1.5)


def test_an_outage_is_caught_as_often_as_stated() -> None:
    """At 18.5 % missed, four of 32 come in 87 % of epochs and five of 64 in 99.5 % of windows."""
    outage = np.random.default_rng(3).random((40_000, 64)) < 0.185
    assert (outage[:, :32].sum(axis=1) >= 4).mean() == pytest.approx(0.87, abs=0.01)
    assert (outage.sum(axis=1) >= 5).mean() == pytest.approx(0.995, abs=0.003)


def test_a_gap_in_the_source_is_no_missed_slot() -> None:
    """Blocks that are not parent and child say nothing about the slots between them."""
    blocks = gaps(0, 30)
    blocks[2].number = 18_000_500
    assert slots(blocks) == []
    assert slots([Block(number=n, time=START - 12 * 600 * n) for n in (1, 2, 3)]) == []


def test_before_the_merge_there_are_no_slots() -> None:
    """Proof-of-work blocks, at any interval, are no findings, nor is the first block after."""
    old = [Block(time=1_600_000_000 + 500 * i) for i in range(5)]
    assert slots(old) == []
    assert slots([*old, Block(time=START)]) == []


def test_a_chain_without_a_clock_stands_aside(caplog: pytest.LogCaptureFixture) -> None:
    """On a chain nobody gave a slot clock the rule says so once and nothing else."""
    with caplog.at_level(logging.INFO):
        rule = MissedSlots(Chain("other", 4242), ColumnCache())
        build = Build(Chain("other", 4242))
        assert run(rule, build.batch(*gaps(9)), build.batch(*gaps(9))) == []
    assert sum("standing aside" in r.message for r in caplog.records) == 1


def test_the_clock_is_a_parameter() -> None:
    """Another chain with slots of five seconds is watched with its own clock."""
    gnosis = Chain("gnosis", 100)
    config = MissedSlotsConfig(clocks={100: (1_638_993_340, 5, 0)})
    rule = MissedSlots(gnosis, ColumnCache(), config)
    blocks = [Block(time=1_638_993_340 + 5 * s) for s in (1000, 1001, 1006)]
    assert len(run(rule, Build(gnosis).batch(*blocks))) == 1


# --- reorgs


@pytest.mark.parametrize(
    ("depth", "severity"),
    [
        (1, None),
        (2, Severity.INFO),
        (3, Severity.MEDIUM),
        (6, Severity.MEDIUM),
        (7, Severity.CRITICAL),
    ],
)
def test_the_depth_of_a_reorg_is_told_with_the_new_branch(
    depth: int, severity: Severity | None
) -> None:
    """Depth 1 is daily; 2 is info, 3 medium, 7 critical; told once."""
    rule, build = ReorgDepth(ColumnCache()), Build()
    run(rule, build.batch(*[Block() for _ in range(10)]))
    for serial in range(9, 9 - depth, -1):
        rule.revert(serial)
    build.serial = 10 - depth
    found = run(rule, build.batch(Block(fork=1)), build.batch(Block(fork=1)))
    assert [f.severity for f in found] == ([] if severity is None else [severity])


def test_a_reorg_is_told_again_when_its_telling_is_reverted() -> None:
    """The announcement goes with its block, and comes back with the next."""
    rule, build = ReorgDepth(ColumnCache()), Build()
    run(rule, build.batch(*[Block() for _ in range(10)]))
    for serial in (9, 8, 7):
        rule.revert(serial)
    build.serial = 7
    assert run(rule, build.batch(Block(fork=1)))[0].reasons[0].value == 3
    rule.revert(7)
    build.serial = 7
    assert run(rule, build.batch(Block(fork=2)))[0].reasons[0].value == 3
    assert rule.digest() == ReorgDepth(ColumnCache()).digest()


# --- double spends


def fork(before: list[Tx], after: list[Tx], **config: Any) -> list[tuple[Severity, bytes, str]]:
    """What is said when a block with some transactions is replaced by one with others."""
    rule = DoubleSpend(LabelBook(), ColumnCache(), DoubleSpendConfig(**config))
    build = Build()
    run(rule, build.batch(Block()))
    mark = build.mark()
    run(rule, build.batch(Block(before)))
    rule.revert(1)
    build.back(mark)
    found = run(rule, build.batch(Block(after, fork=1)))
    return [(f.severity, f.subject, f.sentence) for f in found]


def pays(to: bytes, value: int, nonce: int = 7, salt: int = 0) -> Tx:
    """A payment of Alice's."""
    return Tx(ALICE, to, value, nonce=nonce, salt=salt)


def sends_usdt(to: bytes, dollars: int, nonce: int = 7) -> Tx:
    """A transfer of USDT of Alice's, as calldata says it."""
    data = bytes.fromhex("a9059cbb") + word(to) + uint(dollars * 10**6)
    return Tx(ALICE, USDT, data=data, nonce=nonce)


def test_another_payment_in_its_place_is_a_double_spend() -> None:
    """Another recipient or another value under the same nonce is high, large ones critical."""
    assert fork([pays(SHOP, ETHER)], [pays(HERSELF, ETHER)])[0][:2] == (Severity.HIGH, ALICE)
    assert fork([pays(SHOP, ETHER)], [pays(SHOP, ETHER // 2)])[0][0] == Severity.HIGH
    assert fork([pays(SHOP, 10 * ETHER)], [pays(ALICE, 0)])[0][0] == Severity.CRITICAL
    assert fork([pays(EXCHANGE, ETHER)], [pays(ALICE, 0)])[0][0] == Severity.CRITICAL


def test_a_token_payment_is_seen_through_its_calldata() -> None:
    """Another payee of the same token transfer is a double spend of exactly that amount."""
    found = fork([sends_usdt(SHOP, 500)], [sends_usdt(ELSE, 500)])
    assert found[0][0] == Severity.HIGH
    assert "had paid 500 USDT" in found[0][2]
    assert fork([sends_usdt(SHOP, 500)], [sends_usdt(SHOP, 500)]) == []


def test_what_moved_or_was_sped_up_is_nothing() -> None:
    """The same transaction, the same payment under another hash, another nonce, another sender."""
    assert fork([pays(SHOP, ETHER)], [pays(SHOP, ETHER)]) == []
    assert fork([pays(SHOP, ETHER)], [pays(SHOP, ETHER, salt=1)]) == []
    assert fork([pays(SHOP, ETHER)], [pays(ELSE, ETHER, nonce=8)]) == []
    assert fork([pays(SHOP, ETHER)], [Tx(wallet(9), ELSE, ETHER, nonce=7)]) == []
    assert fork([pays(SHOP, ETHER)], []) == []


def test_a_replaced_call_without_value_is_low() -> None:
    """No payment was lost where none was made."""
    assert fork([pays(SHOP, 0)], [pays(ELSE, 0)])[0][0] == Severity.LOW


def test_the_first_branch_coming_back_is_nothing_new() -> None:
    """A, B, A: B replaced A and is told; A coming back is a move."""
    rule, build = DoubleSpend(LabelBook(), ColumnCache()), Build()
    mark = build.mark()
    counts = []
    for turn, tx in enumerate((pays(SHOP, ETHER), pays(ELSE, ETHER), pays(SHOP, ETHER))):
        build.back(mark)
        counts.append(len(run(rule, build.batch(Block([tx], fork=turn)))))
        rule.revert(0)
    assert counts == [0, 1, 0]


def test_orphans_survive_a_snapshot_and_stay_out_of_the_digest() -> None:
    """The memory of both undoable and undone blocks is in the snapshot, not in the digest."""
    rule, build = DoubleSpend(LabelBook(), ColumnCache()), Build()
    fresh = rule.digest()
    run(rule, build.batch(Block([pays(SHOP, ETHER)])))
    mark = build.mark()
    run(rule, build.batch(Block([pays(SHOP, ETHER, nonce=8)])))
    rule.revert(1)
    copy = DoubleSpend(LabelBook(), ColumnCache())
    copy.restore(rule.snapshot())
    assert copy.snapshot() == rule.snapshot()
    assert rule.digest() == copy.digest() == fresh
    copy.revert(0)  # a block from before the snapshot
    build.back(mark)
    build.serial = 0
    found = run(copy, build.batch(Block([pays(ELSE, ETHER), pays(ELSE, ETHER, nonce=8)], fork=1)))
    assert len(found) == 2


def test_blocks_in_the_middle_of_a_batch_are_reverted_one_by_one() -> None:
    """A revert takes the transactions of that block of a batch and of no other."""
    rule, build = DoubleSpend(LabelBook(), ColumnCache()), Build()
    blocks = [Block([pays(SHOP, ETHER, nonce=n)]) for n in range(4)]
    run(rule, build.batch(*blocks))
    rule.revert(3)
    rule.revert(2)
    build.serial = 2
    txs = [pays(ELSE, ETHER, nonce=n) for n in range(4)]
    assert [f.sentence.count("nonce 2") + 2 * f.sentence.count("nonce 3") for f in
            run(rule, build.batch(Block(txs, fork=1)))] == [1, 2]  # fmt: skip


def test_the_memory_is_bounded_and_forgotten() -> None:
    """Only so many orphans are kept, the newest; forgotten blocks leave nothing behind."""
    found = fork(
        [pays(SHOP, ETHER, nonce=n) for n in range(10)],
        [pays(ELSE, ETHER, nonce=n) for n in range(10)],
        capacity=3,
    )
    assert len(found) == 3
    rule, build = DoubleSpend(LabelBook(), ColumnCache()), Build()
    run(rule, build.batch(*[Block([pays(SHOP, ETHER, nonce=n)]) for n in range(5)]))
    rule.forget(3)
    one_left = rule.snapshot()
    rule.forget(4)
    assert rule.snapshot() == DoubleSpend(LabelBook(), ColumnCache()).snapshot()
    assert len(rule.snapshot()) < len(one_left) < 2 * len(rule.snapshot()) + 400


def test_without_nonces_it_stands_aside(caplog: pytest.LogCaptureFixture) -> None:
    """A source without nonces is said so once."""
    rule, build = DoubleSpend(LabelBook(), ColumnCache()), Build()
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert run(rule, build.batch(Block([Tx(ALICE, SHOP, ETHER)]))) == []
    assert sum("no nonces" in r.message for r in caplog.records) == 1
