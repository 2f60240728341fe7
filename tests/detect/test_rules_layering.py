"""Chains of fresh wallets that pass money on, and the temporary wallets that are none."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.schema import Label, Severity
from detect.known.tokens import USDT
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.layering import Layering, LayeringConfig
from detect.rules.rule import Finding
from tests.detect.build import ETHER, START, Block, Build, Tx, run, split, wallet

VICTIM, THIEF, EXCHANGE = wallet(1), wallet(2), wallet(3)
HOPS = [wallet(100 + n) for n in range(60)]
DAY = 86_400
OLD = {"from_first_seen": START - 90 * DAY, "from_events": 400}


def layering(config: LayeringConfig | None = None) -> Layering:
    """The rule, with an exchange and a labelled thief in its book."""
    said = [Label(EXCHANGE, "exchange", "x"), Label(THIEF, "exploit", "x")]
    return Layering(LabelBook([*said, *builtin_labels()]), ColumnCache(), config=config)


def pay(sender: bytes, receiver: bytes, ether: float, **facts: Any) -> Tx:
    """A payment between wallets first seen now, unless the facts say otherwise."""
    known = {"from_first_seen": START, "to_first_seen": START, **facts}
    return Tx(sender, receiver, int(ether * ETHER), facts=known, salt=int(ether * 1e6))


def chain(source: bytes, hops: list[bytes], ether: float, **first: Any) -> list[Tx]:
    """A source pays the first, which pays the second, and so on, all of it but the fees."""
    txs = [pay(source, hops[0], ether, **first)]
    for n, (a, b) in enumerate(pairwise(hops), start=1):
        txs.append(pay(a, b, ether - n / 1000))
    return txs


def found(*txs: Tx, gap: int = 12, config: LayeringConfig | None = None) -> list[Finding]:
    """What the rule says of transactions, one to a block."""
    blocks = [Block([tx], time=START + n * gap) for n, tx in enumerate(txs)]
    return run(layering(config), Build().batch(*blocks))


def test_a_chain_of_three_layers_is_told_about_its_root() -> None:
    """Medium, with the path from who paid the root; the fourth hop says nothing new."""
    txs = chain(VICTIM, HOPS[:6], 40, **OLD)
    (finding,) = found(*txs)
    assert (finding.severity, finding.subject) == (Severity.MEDIUM, HOPS[0])
    path = finding.evidence.path
    assert [(hop.sender, hop.receiver) for hop in path] == list(pairwise([VICTIM, *HOPS[:4]]))
    assert [hop.transaction for hop in path] == [tx.hash() for tx in txs[:4]]
    assert "3 fresh wallets" in finding.sentence


@pytest.mark.parametrize("layers", [1, 2])
def test_temporary_wallets_are_normal(layers: int) -> None:
    """One or two of them on the way mean nothing, whatever the amount."""
    assert found(*chain(VICTIM, HOPS[: layers + 1], 4_000, **OLD)) == []


def test_a_labelled_wallet_s_money_is_high() -> None:
    """The same chain from a known thief."""
    (finding,) = found(*chain(THIEF, HOPS[:5], 40, **OLD))
    assert finding.severity == Severity.HIGH
    assert "(exploit)" in finding.sentence
    assert finding.score > 0.7


def test_withdrawals_from_an_exchange_need_one_layer_more() -> None:
    """People hop for privacy's sake: four layers of it are low, three nothing."""
    assert found(*chain(EXCHANGE, HOPS[:4], 40)) == []
    (finding,) = found(*chain(EXCHANGE, HOPS[:5], 40))
    assert finding.severity == Severity.LOW


def test_little_money_is_no_matter() -> None:
    """Below ten ether there is nothing to tell; below half of one nothing is followed."""
    assert found(*chain(VICTIM, HOPS[:6], 9.5, **OLD)) == []
    assert found(*chain(VICTIM, HOPS[:6], 0.4, **OLD)) == []


def test_many_small_branches_of_one_root_add_up() -> None:
    """Thirty ether in twenty branches of one and a half each are thirty ether."""
    root, txs = HOPS[0], [pay(VICTIM, HOPS[0], 30.2, **OLD)]
    for n in range(20):
        branch = [wallet(1_000 + 10 * n + k) for k in range(4)]
        txs += chain(root, branch, 1.5)
    findings = [f for f in found(*txs) if f.severity == Severity.MEDIUM]
    assert findings
    assert {f.subject for f in findings} == {root}
    assert findings[0].reasons[1].value == pytest.approx(10.5, rel=0.05)


def test_services_contracts_and_hubs_end_a_chain() -> None:
    """A deposit address that an exchange sweeps is no layer; a hub passes nothing on."""
    swept = [*chain(VICTIM, HOPS[:3], 40, **OLD), pay(HOPS[2], EXCHANGE, 39.99)]
    assert found(*swept) == []
    for stop in ({"to_is_contract": True}, {"to_counterparties": 5_000}):
        txs = chain(VICTIM, HOPS[:3], 40, **OLD)
        txs += [pay(HOPS[2], HOPS[3], 39.99, **stop), pay(HOPS[3], HOPS[4], 39.98)]
        assert found(*txs, pay(HOPS[4], HOPS[5], 39.97)) == []


def test_an_old_wallet_in_between_begins_anew() -> None:
    """An OTC desk, or a person's own wallet, is not fresh: what it pays on has no layers."""
    txs = chain(VICTIM, HOPS[:2], 40, **OLD)
    desk = {"to_first_seen": START - 90 * DAY, "to_events": 400}
    txs.append(pay(HOPS[1], HOPS[3], 39.99, **desk))
    txs += chain(HOPS[3], HOPS[10:13], 39.9, **OLD)
    assert found(*txs) == []


def test_a_wallet_older_than_the_view_is_not_fresh() -> None:
    """On the first day everybody is first seen today; a nonce tells how much came before."""
    txs = chain(VICTIM, HOPS[:5], 40, **OLD)
    assert len(found(*txs)) == 1
    txs[2].nonce = 17_000
    assert found(*txs) == []
    txs = chain(VICTIM, HOPS[:5], 40, **OLD)
    txs[1].facts["to_nonce"] = 17_000
    assert found(*txs) == []


def test_who_waits_for_longer_than_a_day_is_not_passing_through() -> None:
    """Two days between the hops, and the wallets are savings."""
    txs = chain(VICTIM, HOPS[:6], 40, **OLD)
    assert found(*txs, gap=2 * DAY) == []
    assert len(found(*txs, gap=DAY // 8)) == 1


def peeled(wallets: list[bytes], ether: float, first: bool) -> list[Tx]:
    """A peel chain: a tenth to an exchange, the rest to the next, in either order."""
    txs, have = [pay(VICTIM, wallets[0], ether, **OLD)], ether
    for n, (a, b) in enumerate(pairwise(wallets)):
        peel = pay(a, wallet(900 + n), 0.12 * have, to_first_seen=START - 90 * DAY, to_events=99)
        rest = pay(a, b, 0.87 * have)
        txs += [peel, rest] if first else [rest, peel]
        have *= 0.87
    return txs


@pytest.mark.parametrize("first", [True, False])
def test_a_peel_chain_is_found_whichever_part_leaves_first(first: bool) -> None:
    """Three wallets that each peel off a tenth; without the peels it is somebody's change."""
    (finding,) = found(*peeled(HOPS[:6], 60, first))
    assert (finding.severity, finding.subject) == (Severity.MEDIUM, HOPS[0])
    kept = [tx for tx in peeled(HOPS[:6], 60, first) if tx.to in HOPS]
    assert found(*kept) == []


def test_an_equal_split_is_low_and_its_branches_go_on() -> None:
    """Five fresh wallets get the same; then each branch's layers count on from the root."""
    txs = [pay(VICTIM, HOPS[0], 100.2, **OLD)]
    txs += [pay(HOPS[0], HOPS[n], 20) for n in range(1, 6)]
    (finding,) = found(*txs)
    assert (finding.severity, finding.subject) == (Severity.LOW, HOPS[0])
    assert "split" in finding.sentence
    txs += [pay(HOPS[1], HOPS[11], 19.99), pay(HOPS[11], HOPS[12], 19.98)]
    deep = found(*txs)[1:]
    assert [(f.severity, f.subject) for f in deep] == [(Severity.MEDIUM, HOPS[0])]
    assert [hop.receiver for hop in deep[0].evidence.path] == [HOPS[0], HOPS[1], HOPS[11], HOPS[12]]


def test_an_unequal_fan_counts_when_nearly_all_of_it_went_to_fresh_wallets() -> None:
    """Two halves are layers like one whole; a third kept is spending."""
    halves = [pay(VICTIM, HOPS[0], 60, **OLD), pay(HOPS[0], HOPS[1], 25), pay(HOPS[0], HOPS[2], 34)]
    on = [pay(HOPS[2], HOPS[3], 33.99), pay(HOPS[3], HOPS[4], 33.98)]
    assert [f.subject for f in found(*halves, *on)] == [HOPS[0]]
    assert found(halves[0], halves[2], *on) == []


def test_one_payment_is_one_finding() -> None:
    """The fifth equal payment of a wallet that is deep itself is told for its depth alone."""
    txs = [pay(VICTIM, HOPS[0], 150, **OLD)]
    txs += [pay(HOPS[0], HOPS[n], 29.9) for n in range(1, 6)]
    txs += [pay(HOPS[1], HOPS[10 + n], 5.9) for n in range(5)]
    findings = found(*txs, config=LayeringConfig(hops=1, alert_ether=1.0))
    hashes = [f.transaction_hash for f in findings]
    assert len(set(hashes)) == len(hashes)
    assert hashes[-1] == txs[-1].hash()
    assert "passed through" in findings[-1].sentence


def test_payroll_splits_from_an_old_wallet_are_none() -> None:
    """A company pays ten new people the same, and each moves it once: no root, no layers."""
    txs = [pay(VICTIM, HOPS[n], 15, **OLD) for n in range(10)]
    txs += [pay(HOPS[n], HOPS[20 + n], 14.99) for n in range(10)]
    assert found(*txs) == []


def test_moving_to_a_new_wallet_is_none() -> None:
    """Several old wallets of one person emptied into a new one, which pays a friend."""
    txs = [pay(wallet(n), HOPS[0], 30, **OLD) for n in range(50, 54)]
    txs.append(pay(HOPS[0], wallet(60), 5, to_first_seen=START - DAY * 90, to_events=99))
    txs.append(pay(HOPS[0], EXCHANGE, 114))
    assert found(*txs) == []


def test_stablecoins_are_followed_and_unlisted_tokens_are_not() -> None:
    """A hundred thousand USDT through three layers; anybody's own token through none."""
    for token, count in ((USDT, 1), (wallet(77), 0)):
        people = [VICTIM, *HOPS[:5]]
        txs = [
            Tx(a, token, tokens=[(token, a, b, 100_000 * 10**6)], salt=n,
               facts={"from_first_seen": START - (90 * DAY if n == 0 else 0)})
            for n, (a, b) in enumerate(pairwise(people))
        ]  # fmt: skip
        assert len(found(*txs)) == count


@st.composite
def flows(draw: st.DrawFn) -> list[Block]:
    """Payments among few wallets, fresh and old, in blocks."""
    blocks = []
    for n in range(draw(st.integers(1, 8))):
        txs = []
        for k in range(draw(st.integers(0, 4))):
            a, b = draw(st.sampled_from(HOPS[:7])), draw(st.sampled_from([*HOPS[:7], EXCHANGE]))
            tx = pay(a, b, draw(st.sampled_from([1.0, 9.0, 10.0, 11.0, 40.0])))
            tx.facts["to_events"] = draw(st.sampled_from([0, 0, 9]))
            tx.salt = 100 * n + k
            txs.append(tx)
        blocks.append(Block(txs, time=START + n * draw(st.sampled_from([12, 40_000]))))
    return sorted(blocks, key=lambda block: block.time or 0)


@settings(deadline=None, max_examples=80)
@given(flows(), flows())
def test_batching_and_reverts_leave_no_trace(trunk: list[Block], branch: list[Block]) -> None:
    """At once or block by block, with a branch reverted in between: the same bytes, findings."""
    config = LayeringConfig(wallets=4, trail=3, hops=1, service_hops=1, alert_ether=1.0, equals=2)
    build = Build()
    first = build.batch(*trunk)
    whole, single = layering(config), layering(config)
    assert [f.evidence for f in run(whole, first)] == [
        f.evidence for f in run(single, *split(first))
    ]
    assert whole.digest() == single.digest()
    before, mark = whole.digest(), build.mark()
    run(whole, build.batch(*branch))
    for serial in range(build.serial - 1, mark[2] - 1, -1):
        whole.revert(serial)
    assert whole.digest() == before
    build.back(mark)
    after = build.batch(*branch)
    assert run(whole, after) == run(single, after)
    assert whole.digest() == single.digest()
