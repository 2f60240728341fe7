"""Tainted money that reaches services; and that nobody is accused for having been paid."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from chainwarden.schema import ETHEREUM, BlockBatch, FlowKind, Label, Severity
from detect.alerts import AlertPolicy
from detect.kernels.taint import HAIRCUT
from detect.known.mixers import TORNADO_DELISTED, TORNADO_LISTED, TORNADO_WITHDRAWAL
from detect.known.tokens import USDT
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding
from detect.rules.taint import Taint
from detect.scored import ScoredBatch
from tests.detect.build import ETHER, START, Block, Build, Tx, at, run, split, uint, wallet, word

THIEF, EXCHANGE, ROUTER = wallet(1), wallet(2), wallet(3)
MULES = [wallet(n) for n in range(10, 20)]
POOL = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
RELAYER = wallet(9)


def book(**changed: Any) -> LabelBook:
    """A thief, an exchange and a router, and what is built in."""
    thief = Label(THIEF, "exploit", "x", **changed)
    services = [Label(EXCHANGE, "exchange", "x"), Label(ROUTER, "dex", "x")]
    return LabelBook([thief, *services, *builtin_labels()])


def taint(labels: LabelBook | None = None) -> Taint:
    """The rule."""
    return Taint(book() if labels is None else labels, ColumnCache())


def pay(sender: bytes, receiver: bytes, ether: float, **facts: float) -> Tx:
    """A payment; facts in ether: what both sides held before."""
    held = {
        name: value * ETHER if name.endswith("held") else value for name, value in facts.items()
    }
    return Tx(sender, receiver, int(ether * ETHER), facts=held, salt=int(ether * 1e6))


def found(*txs: Tx, labels: LabelBook | None = None, time: int = START) -> list[Finding]:
    """What the rule says of transactions, one to a block."""
    return run(taint(labels), Build(time=time).batch(*[Block([tx]) for tx in txs]))


def test_a_thief_s_money_is_told_when_it_reaches_an_exchange() -> None:
    """High, about the wallet that paid in, with the whole path from the labelled thief."""
    txs = [
        pay(THIEF, MULES[0], 50),
        pay(MULES[0], MULES[1], 49.9, from_held=50),
        pay(MULES[1], MULES[2], 49.8, from_held=49.9),
        pay(MULES[2], EXCHANGE, 49.7, from_held=49.8),
    ]
    (finding,) = found(*txs)
    assert (finding.severity, finding.subject) == (Severity.HIGH, MULES[2])
    path = finding.evidence.path
    assert [hop.transaction for hop in path] == [tx.hash() for tx in txs]
    assert [hop.sender for hop in path] == [THIEF, *MULES[:3]]
    assert path[-1].receiver == EXCHANGE
    assert path[1].amount == int(49.9 * ETHER)
    assert finding.evidence.addresses == (EXCHANGE, THIEF)
    assert "(exploit)" in finding.sentence
    assert "100% by FIFO" in finding.sentence
    assert "3 hops from" in finding.sentence


def test_being_paid_is_nobody_s_fault() -> None:
    """However much comes in, nothing is said until it goes out to a service."""
    assert found(pay(THIEF, MULES[0], 5_000), pay(MULES[0], MULES[1], 5_000, from_held=5_000)) == []


@pytest.mark.parametrize("dust", [0.009, 0.02, 0.09])
def test_ten_thousand_dusted_wallets_raise_no_alert(dust: float) -> None:
    """A thief dusts 10,000 wallets, below the floor or well above it; all then pay an exchange."""
    labels, build = book(), Build()
    rule, policy = taint(labels), AlertPolicy(ETHEREUM, labels=labels)
    alerts = 0
    for start in range(0, 10_000, 2_500):
        good = [wallet(1_000 + n) for n in range(start, start + 2_500)]
        dusted = Block([pay(THIEF, g, dust, to_held=1.5) for g in good])
        spent = Block([pay(g, EXCHANGE, 1.2, from_held=1.5 + dust) for g in good])
        scored = build.batch(dusted, spent)
        alerts += len(policy.decide(rule.evaluate(scored), scored))
    assert alerts == 0
    sourced = rule.ledger.balance_of(HAIRCUT, 0)[0]
    assert sourced == (0.0 if dust < 0.01 else pytest.approx(10_000 * dust))


def test_a_rich_wallet_is_not_framed_by_a_real_gift() -> None:
    """Five tainted ether among a hundred clean ones are no tenth of what is paid on."""
    gift = pay(THIEF, MULES[0], 5, to_held=100)
    assert found(gift, pay(MULES[0], EXCHANGE, 60, from_held=105)) == []


def test_clean_money_first_lowers_the_severity() -> None:
    """Where FIFO finds the payment clean, haircut alone says less."""
    gift = pay(THIEF, MULES[0], 30, to_held=20)
    (finding,) = found(gift, pay(MULES[0], EXCHANGE, 20, from_held=50))
    assert finding.severity == Severity.MEDIUM
    assert "0% by FIFO" in finding.sentence
    (plain,) = found(
        pay(THIEF, MULES[0], 30, to_held=10), pay(MULES[0], EXCHANGE, 20, from_held=40)
    )
    assert plain.severity == Severity.HIGH


@pytest.mark.parametrize(
    "when", [{"valid_from": START + 10_000}, {"valid_to": START - 1}, {"chain": "polygon"}]
)
def test_a_label_not_in_force_taints_nothing(when: dict[str, Any]) -> None:
    """Later, withdrawn before, or of another chain: the wallet is nobody."""
    txs = [pay(THIEF, MULES[0], 50), pay(MULES[0], EXCHANGE, 50, from_held=50)]
    assert found(*txs, labels=book(**when)) == []
    assert len(found(*txs)) == 1


def test_a_label_that_takes_force_within_a_batch_counts_from_then_on() -> None:
    """Of two payments in one batch only the one after the label's first moment is tainted."""
    labels = book(valid_from=START + 12)
    txs = [pay(THIEF, MULES[0], 50), pay(THIEF, MULES[1], 60)]
    outs = [pay(m, EXCHANGE, 50, from_held=60) for m in MULES[:2]]
    assert [f.subject for f in found(*txs, *outs, labels=labels)] == [MULES[1]]


def test_services_and_hubs_absorb() -> None:
    """What an exchange pays out is clean, and so is what an unlabelled hub pays out."""
    txs = [
        pay(THIEF, MULES[0], 100),
        pay(MULES[0], EXCHANGE, 50, from_held=100),
        pay(EXCHANGE, MULES[1], 50),
        pay(MULES[1], ROUTER, 50, from_held=50),
        pay(MULES[0], MULES[5], 50, from_held=50, to_counterparties=5_000),
        pay(MULES[5], ROUTER, 50, from_held=50),
    ]
    rule = taint()
    findings = run(rule, Build().batch(*[Block([tx]) for tx in txs]))
    assert [f.subject for f in findings] == [MULES[0]]
    assert rule.ledger.balance_of(HAIRCUT, 0) == (100.0, 0.0, 100.0, 0.0, 0.0)


def test_small_payments_add_up_within_a_day() -> None:
    """Twenty payments of a third of an ether are told once; one a day is not."""
    gift, build = pay(THIEF, MULES[0], 20), Build()
    quick = [Block([gift])]
    quick += [
        Block([pay(MULES[0], EXCHANGE, 0.3 + n / 1e6, from_held=20 - n / 3)]) for n in range(20)
    ]
    findings = run(taint(), build.batch(*quick))
    assert len(findings) == 1
    assert findings[0].reasons[1].value >= 1.0
    slow = [Block([gift])] + [
        Block([pay(MULES[0], EXCHANGE, 0.9, from_held=20 - n)], time=START + 90_000 * (n + 1))
        for n in range(5)
    ]
    assert run(taint(), Build().batch(*slow)) == []


def test_tokens_carry_taint_and_unlisted_ones_do_not() -> None:
    """Stolen USDT reaches the exchange as such; a token of anybody's making means nothing."""
    for token, count in ((USDT, 1), (wallet(77), 0)):
        amount = 90_000 * 10**6
        txs = [
            Tx(THIEF, token, tokens=[(token, THIEF, MULES[0], amount)]),
            Tx(MULES[0], token, tokens=[(token, MULES[0], EXCHANGE, amount)], salt=1),
        ]
        findings = found(*txs)
        assert len(findings) == count
        assert all(f.evidence.path[-1].token == token for f in findings)


def withdrawal(recipient: bytes, salt: int = 0) -> Tx:
    """A relayer's withdrawal of 10 ETH from a pool, as its event tells it."""
    data = word(recipient) + bytes(32) + uint(ETHER // 25)
    return Tx(
        RELAYER, wallet(8), salt=salt, logs=[(POOL, [TORNADO_WITHDRAWAL, word(RELAYER)], data)]
    )


def test_what_a_mixer_pays_out_is_tainted_and_weighs_less() -> None:
    """The recipient's cash-out is low; ten times as much is medium, and no more."""
    when = TORNADO_DELISTED
    (finding,) = found(withdrawal(MULES[0]), pay(MULES[0], EXCHANGE, 9.9, from_held=0), time=when)
    assert (finding.severity, finding.subject) == (Severity.LOW, MULES[0])
    assert finding.evidence.path[0].sender == POOL
    assert finding.evidence.path[0].amount == 10 * ETHER - ETHER // 25
    assert "(mixer)" in finding.sentence
    many = [withdrawal(MULES[0], n) for n in range(12)]
    (finding,) = found(*many, pay(MULES[0], EXCHANGE, 119, from_held=0), time=when)
    assert finding.severity == Severity.MEDIUM


def test_a_mixer_under_sanction_is_a_bad_source() -> None:
    """While the pools were listed, what they paid out counts like any labelled wallet's."""
    blocks = [
        Block([withdrawal(MULES[0], n) for n in range(2)], time=TORNADO_LISTED + 100),
        Block([pay(MULES[0], EXCHANGE, 19, from_held=0)], time=TORNADO_LISTED + 200),
    ]
    (finding,) = run(taint(), Build(time=TORNADO_LISTED).batch(*blocks))
    assert finding.severity == Severity.HIGH


def traced(scored: ScoredBatch) -> ScoredBatch:
    """The same with the pool's own call in it, as traces give it, in place of a zero flow."""
    rows = scored.batch.flows.to_pylist()
    rows[0] |= {
        "kind": int(FlowKind.INTERNAL),
        "from_address": POOL,
        "to_address": MULES[0],
        "value": uint(10 * ETHER - ETHER // 25),
        "value_f64": 9.96 * ETHER,
        "ordinal": -1,
    }
    tables = dict(scored.batch.tables)
    tables["flows"] = tables["flows"].from_pylist(rows, schema=tables["flows"].schema)
    batch = BlockBatch.of(ETHEREUM, **tables)
    return ScoredBatch(
        batch, scored.first_serial, scored.flow_facts, scored.approval_facts, scored.features
    )


def test_a_payout_seen_twice_counts_once() -> None:
    """With traces the coins are a flow as well as an event: they taint once."""
    scored = Build().batch(
        Block([withdrawal(MULES[0])]), Block([pay(MULES[0], EXCHANGE, 9.9, from_held=9.96)])
    )
    rule, seen_twice = taint(), taint()
    assert [f.sentence for f in run(rule, scored)] == [
        f.sentence for f in run(seen_twice, traced(scored))
    ]
    assert rule.ledger.balance_of(HAIRCUT, 0)[0] == pytest.approx(9.96)
    assert seen_twice.ledger.balance_of(HAIRCUT, 0)[0] == pytest.approx(9.96)


def test_paying_a_mixer_is_told() -> None:
    """A thief's money in a mixer is exactly what an analyst waits for; a bad wallet is a sink."""
    txs = [pay(THIEF, MULES[0], 100), pay(MULES[0], POOL, 10, from_held=100)]
    (finding,) = found(*txs)
    assert finding.subject == MULES[0]
    assert found(pay(THIEF, MULES[0], 100), pay(MULES[0], THIEF, 100, from_held=100)) == []


def test_the_labelled_wallet_itself_is_the_attacker() -> None:
    """Paying an exchange directly is a path of one hop."""
    (finding,) = found(pay(THIEF, EXCHANGE, 20))
    assert (finding.role.value, finding.severity) == ("attacker", Severity.HIGH)
    assert len(finding.evidence.path) == 1
    assert "directly from" in finding.sentence


def test_findings_and_paths_do_not_depend_on_batching() -> None:
    """A long chain told at once or block by block: the same findings, the same state."""
    people = [wallet(500 + n) for n in range(30)]
    txs = [pay(THIEF, people[0], 40)]
    txs += [
        pay(a, b, 40 - n / 10, from_held=40 - n / 10)
        for n, (a, b) in enumerate(itertools.pairwise(people))
    ]
    txs.append(pay(people[-1], EXCHANGE, 36, from_held=38))
    scored = Build().batch(*[Block([tx]) for tx in txs])
    whole, single = taint(), taint()
    together, apart = run(whole, scored), run(single, *split(scored))
    assert [f.evidence for f in together] == [f.evidence for f in apart]
    assert whole.digest() == single.digest()
    assert len(together[0].evidence.path) == 16
    assert together[0].evidence.path[0].sender == THIEF
    assert together[0].evidence.path[-1].receiver == EXCHANGE
