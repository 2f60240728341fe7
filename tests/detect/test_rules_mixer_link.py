"""Links through a mixer: what gives people away, and how much it is worth."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.schema import Label, Severity
from detect.known.mixers import TORNADO_DELISTED, TORNADO_DEPOSIT, TORNADO_WITHDRAWAL
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.mixer_link import MixerLink, MixerLinkConfig
from detect.rules.rule import Finding
from tests.detect.build import ETHER, Block, Build, Tx, at, run, split, uint, wallet, word

TEN = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
HUNDRED = at("0xA160cdAB225685dA1d56aa342Ad8841c3b53f291")
ONE = at("0x47CE0C6eD5B0Ce3d3A51fdb1C52DC66a7c3c2936")
ROUTER, RELAYER, EXCHANGE = wallet(200), wallet(201), wallet(202)
THIEF, FRESH, OTHERS = wallet(1), wallet(2), [wallet(10 + n) for n in range(30)]


def link(config: MixerLinkConfig | None = None) -> MixerLink:
    """The rule, with a labelled thief and an exchange in its book."""
    said = [Label(THIEF, "exploit", "x"), Label(EXCHANGE, "exchange", "x")]
    return MixerLink(LabelBook([*said, *builtin_labels()]), ColumnCache(), config=config)


def deposit(who: bytes, pool: bytes = TEN, salt: int = 0, price: int | None = None) -> Tx:
    """A deposit through the router."""
    log = (pool, [TORNADO_DEPOSIT, uint(salt)], bytes(64))
    return Tx(who, ROUTER, 0, logs=[log], salt=salt, gas_price=price)


def withdrawal(
    to: bytes, pool: bytes = TEN, salt: int = 0, price: int | None = None, signer: bytes = RELAYER
) -> Tx:
    """A withdrawal, by a relayer unless somebody else signs."""
    log = (pool, [TORNADO_WITHDRAWAL, word(signer)], word(to) + bytes(32) + uint(ETHER // 25))
    return Tx(signer, ROUTER, 0, logs=[log], salt=salt, gas_price=price)


def crowd(count: int = 20) -> list[Tx]:
    """Deposits of other people, first."""
    return [deposit(OTHERS[n], salt=500 + n) for n in range(count)]


def found(*txs: Tx, config: MixerLinkConfig | None = None) -> list[Finding]:
    """What the rule says of transactions, one to a block."""
    build = Build(time=TORNADO_DELISTED + 1_000)
    return run(link(config), build.batch(*[Block([tx]) for tx in txs]))


def test_the_same_address_on_both_sides_is_nearly_certain() -> None:
    """Told with 0.95, the number of deposits it may be, and the path through the pool."""
    (finding,) = found(*crowd(), deposit(FRESH), withdrawal(FRESH))
    assert (finding.severity, finding.subject) == (Severity.LOW, FRESH)
    assert "with probability 0.95" in finding.sentence
    assert "one of 21 deposits" in finding.sentence
    assert [(hop.sender, hop.receiver) for hop in finding.evidence.path] == [
        (FRESH, TEN), (TEN, FRESH)
    ]  # fmt: skip


def test_a_withdrawal_without_a_habit_is_anybody_s() -> None:
    """First in, first out alone is no evidence worth telling."""
    assert found(*crowd(), deposit(THIEF), withdrawal(FRESH)) == []
    (told,) = found(deposit(THIEF), withdrawal(FRESH), config=MixerLinkConfig(told=0.1))
    assert told.evidence.addresses == (THIEF,)
    assert "0.15" in told.sentence


def test_a_gas_price_of_one_s_own_gives_away_who_pays_for_himself() -> None:
    """Only where it is no round one, nobody else's, and the recipient's own choice."""
    odd, common = 13_370_000_421, 20_000_000_001
    mine = deposit(THIEF, price=odd)
    (finding,) = found(*crowd(), mine, withdrawal(FRESH, price=odd, signer=FRESH))
    assert finding.severity == Severity.MEDIUM
    assert "exploit" in finding.sentence
    assert found(*crowd(), mine, withdrawal(FRESH, price=odd)) == []
    rich = deposit(THIEF, price=20 * 10**9)
    assert found(*crowd(), rich, withdrawal(FRESH, price=20 * 10**9, signer=FRESH)) == []
    two = [deposit(THIEF, price=common), deposit(OTHERS[0], price=common, salt=1)]
    assert found(*crowd(), *two, withdrawal(FRESH, price=common, signer=FRESH)) == []


def test_the_same_numbers_per_pool_within_a_day_give_away() -> None:
    """Two of ten and one of a hundred on both sides; nobody else has these numbers."""
    into = [deposit(THIEF, TEN, 1), deposit(THIEF, TEN, 2), deposit(THIEF, HUNDRED, 3)]
    out = [withdrawal(FRESH, HUNDRED, 1), withdrawal(FRESH, TEN, 2), withdrawal(FRESH, TEN, 3)]
    (finding,) = found(*crowd(), *into, *out)
    assert (finding.severity, finding.subject) == (Severity.HIGH, FRESH)
    assert finding.reasons[0].feature == "same_numbers"
    again = [deposit(OTHERS[25], p, 50 + n) for n, p in enumerate((HUNDRED, TEN, TEN))]
    assert found(*crowd(), *into, *again, *out) == []
    assert found(*crowd(), *into, *out[:2]) == []
    ten = [deposit(THIEF, TEN, n) for n in range(4)] + [withdrawal(FRESH, salt=n) for n in range(4)]
    assert found(*crowd(), *ten) == []


def test_a_transfer_between_the_sides_gives_away_unless_a_service_is_one() -> None:
    """Whichever way it goes, once both are known; before the withdrawal it says nothing."""
    known = [*crowd(), deposit(THIEF), withdrawal(FRESH)]
    for a, b in ((THIEF, FRESH), (FRESH, THIEF)):
        (finding,) = found(*known, Tx(a, b, ETHER, salt=9))
        assert (finding.severity, finding.subject) == (Severity.HIGH, FRESH)
        assert "transfer" in finding.sentence
        assert len(finding.evidence.path) == 1
    assert found(Tx(THIEF, FRESH, ETHER, salt=9), *known) == []
    assert found(*known, Tx(THIEF, OTHERS[29], ETHER, salt=9)) == []
    banked = [deposit(EXCHANGE, salt=5), withdrawal(FRESH, salt=5), Tx(FRESH, EXCHANGE, ETHER)]
    assert found(*crowd(), *banked) == []


def test_findings_without_a_path_have_their_transaction() -> None:
    """Out of a pool of tokens no amounts are known: each finding still names its withdrawal."""
    dai = at("0xD4B88Df4D29F5CedD6857912842cff3b20C8Cfa3")
    outs = [withdrawal(FRESH, dai, salt=n) for n in range(2)]
    findings = found(deposit(FRESH, dai), *outs)
    assert [f.transaction_hash for f in findings] == [tx.hash() for tx in outs]
    assert all(f.evidence.path == () for f in findings)


def test_habits_add_up() -> None:
    """Two of them are worth more than either, and the reasons share the score."""
    odd = 13_370_000_421
    first = deposit(THIEF, price=odd)
    (finding,) = found(first, withdrawal(FRESH, price=odd, signer=FRESH))
    assert "0.49" in finding.sentence
    assert {reason.feature for reason in finding.reasons} == {
        "gas_price", "first_in_first_out", "depositor_is_labelled_bad"
    }  # fmt: skip


def test_the_topic_elsewhere_means_nothing() -> None:
    """Other contracts reuse the event; only the pools are a mixer."""
    fake = wallet(300)
    assert found(deposit(THIEF, fake), withdrawal(THIEF, fake)) == []


def test_a_ring_forgets_the_oldest_deposits() -> None:
    """With a ring of two, the price of the third last deposit is nobody's any more."""
    odd = 13_370_000_421
    txs = [deposit(THIEF, price=odd), *crowd(2), withdrawal(FRESH, price=odd, signer=FRESH)]
    assert found(*txs, config=MixerLinkConfig(ring=2)) == []
    assert len(found(*txs, config=MixerLinkConfig(ring=3))) == 1


@st.composite
def blocks(draw: st.DrawFn) -> list[Block]:
    """Deposits, withdrawals and transfers among few people and pools."""
    people, out = [THIEF, FRESH, *OTHERS[:3]], []
    for n in range(draw(st.integers(1, 6))):
        txs = []
        for k in range(draw(st.integers(0, 4))):
            a, b = draw(st.sampled_from(people)), draw(st.sampled_from(people))
            pool, salt = draw(st.sampled_from([ONE, TEN])), 10 * n + k
            price = draw(st.sampled_from([None, 7, 8, 10**9]))
            shape = draw(st.integers(0, 3))
            txs.append(
                (
                    deposit(a, pool, salt, price),
                    withdrawal(a, pool, salt, price, draw(st.sampled_from([a, RELAYER]))),
                    Tx(a, b, ETHER, salt=salt),
                    deposit(a, pool, salt, price),
                )[shape]
            )
        out.append(Block(txs))
    return out


@settings(deadline=None, max_examples=80)
@given(blocks(), blocks(), st.sampled_from([2, 100]))
def test_batching_and_reverts_leave_no_trace(
    trunk: list[Block], branch: list[Block], size: int
) -> None:
    """At once or block by block, with a branch reverted in between: the same bytes, findings."""
    config = MixerLinkConfig(ring=size, wallets=size, deposits=2 * size, told=0.1)
    build = Build()
    first = build.batch(*trunk)
    whole, single = link(config), link(config)
    assert [f.sentence for f in run(whole, first)] == [
        f.sentence for f in run(single, *split(first))
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


@pytest.mark.parametrize("count", [2_000])
def test_a_block_full_of_withdrawals_is_quick(count: int) -> None:
    """Two thousand withdrawals, ten times what fits a block, are done in a second."""
    rule, build = link(), Build()
    run(rule, build.batch(Block([deposit(OTHERS[n % 30], salt=n) for n in range(count)])))
    full = build.batch(Block([withdrawal(wallet(5_000 + n), salt=n) for n in range(count)]))
    began = time.process_time()
    rule.evaluate(full)
    assert time.process_time() - began < 1.0
