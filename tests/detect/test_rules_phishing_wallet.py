"""Phishing wallets: fan-in from strangers and the way out, and who only looks like that."""

from __future__ import annotations

from typing import Any

import pytest

from chainwarden.schema import Label
from detect.known.tokens import USDC
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.phishing_wallet import PhishingWallet
from detect.rules.rule import Finding
from tests.detect.build import ETHER, START, Block, Build, Tx, at, run, told, wallet

PHISHER, DEPOSIT, OTHER = wallet(1), wallet(2), wallet(3)
EXCHANGE = at("0x28C6c06298d514Db089934071355E5743bf21d60")
BRIDGE = at("0x49048044D57e1C92A77f79988d21Fa8fAF74E97e")
POOL = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
DAY = 86_400


def victims(count: int = 7, **changes: Any) -> Block:
    """So many strangers pay one ether each."""
    txs = [Tx(wallet(100 + n), PHISHER, ETHER, salt=n) for n in range(count)]
    for tx in txs:
        facts = changes.get("facts", {})
        tx.facts = dict(facts)
        for name, value in changes.items():
            if name != "facts":
                setattr(tx, name, value)
    return Block(txs)


def out(to: bytes, value: float, **changes: Any) -> Tx:
    """The phisher pays."""
    facts = {"from_received": 9, "from_sent": 1, **changes.pop("facts", {})}
    return Tx(PHISHER, to, int(value * ETHER), facts=facts, **changes)


def swept(sender: bytes = DEPOSIT, value: float = 6.4) -> Tx:
    """The exchange collects what is at a deposit address."""
    return Tx(sender, EXCHANGE, int(value * ETHER), salt=int(10 * value))


def findings(*blocks: Block, book: LabelBook | None = None) -> list[Finding]:
    """What the rule says, knowing the built-in labels."""
    known = LabelBook(builtin_labels()) if book is None else book
    return run(PhishingWallet(known, ColumnCache()), Build().batch(*blocks))


def test_a_cash_out_through_a_deposit_address_is_low() -> None:
    """Told when the exchange has it, with the path the money went."""
    assert findings(victims(), Block([out(DEPOSIT, 6.5)])) == []
    (said,) = findings(victims(), Block([out(DEPOSIT, 6.5)]), Block([swept()]))
    assert told([said]) == [("phishing_wallet", "low", PHISHER)]
    assert [hop.receiver for hop in said.evidence.path] == [DEPOSIT, EXCHANGE]
    assert said.evidence.path[0].amount == 65 * ETHER // 10


def test_a_mixer_is_medium_and_a_bridge_low() -> None:
    """Straight out: what hides the money counts for more."""
    mixed = [out(POOL, 2, salt=n) for n in range(3)]
    assert told(findings(victims(), Block(mixed))) == [("phishing_wallet", "medium", PHISHER)]
    bridged = findings(victims(), Block([out(BRIDGE, 5.7)]))
    assert told(bridged) == [("phishing_wallet", "low", PHISHER)]


def test_parts_add_up_within_a_day() -> None:
    """Two payments to one deposit address are one; exits more than a day apart are not."""
    parts = [out(DEPOSIT, 4, salt=1), out(DEPOSIT, 2, salt=2)]
    assert len(findings(victims(), Block(parts), Block([swept()]))) == 1
    assert findings(victims(), Block(parts[:1]), Block([swept(value=3.9)])) == []
    late = Block([out(BRIDGE, 2)], time=START + DAY + 3600)
    assert findings(victims(), Block([out(BRIDGE, 4)]), late) == []


def test_tokens_count_as_dollars() -> None:
    """Seven payments of a stablecoin and a way out in it."""

    def usdc(sender: bytes, to: bytes, amount: int, **facts: Any) -> Tx:
        return Tx(sender, USDC, tokens=[(USDC, sender, to, amount * 10**6)], facts=facts, salt=9)

    into = Block([usdc(wallet(100 + n), PHISHER, 100) for n in range(7)])
    exit_ = Block([usdc(PHISHER, DEPOSIT, 600, from_received=9)])
    swept_ = Block([usdc(DEPOSIT, EXCHANGE, 600)])
    assert told(findings(into, exit_, swept_)) == [("phishing_wallet", "low", PHISHER)]


def test_it_is_told_once_a_spell() -> None:
    """More exits add nothing for five days."""
    blocks = [victims(), Block([out(BRIDGE, 6)]), Block([out(BRIDGE, 1, salt=3)])]
    assert len(findings(*blocks)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"count": 6},
        {"value": 10**14},  # dust
        {"data": bytes.fromhex("4e71d92d")},  # a call: native_claim's case
        {"facts": {"pair_events": 1}},  # they knew each other
        {"facts": {"from_is_contract": True}},
        {"facts": {"to_is_contract": True}},
        {"facts": {"to_events": 2_000}},  # a busy receiver
        {"facts": {"from_events": 9_999}},  # a busy sender
        {"sender": EXCHANGE},  # a customer that withdraws
        {"status": 0},
    ],
)
def test_who_is_no_collector(change: dict[str, Any]) -> None:
    """Too few, too little, acquaintances, contracts, the busy, and an exchange's withdrawals."""
    assert findings(victims(**change), Block([out(BRIDGE, 6.5)])) == []


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": 600},  # it signed 599 transactions before it came into view
        {"nonce": 500, "facts": {"from_first_seen": START - 91 * DAY, "from_sent": 400}},
        {"facts": {"from_is_contract": True}},
        {"facts": {"from_events": 2_000}},
        {"facts": {"from_received": 6}},
    ],
)
def test_a_reputation_is_respected(change: dict[str, Any]) -> None:
    """An OTC desk or a shop of long standing, a contract, and a busy wallet are left alone."""
    assert findings(victims(), Block([out(BRIDGE, 6.5, **change)])) == []


def test_labels_hold_from_their_date() -> None:
    """Whoever became an exchange between two blocks of a batch was none before."""
    book = LabelBook([Label(OTHER, "exchange", "x", valid_from=START + 20)])
    sweep = Tx(DEPOSIT, OTHER, 64 * ETHER // 10)
    blocks = [victims(), Block([out(DEPOSIT, 6.5)]), Block([sweep]), Block([sweep])]
    for block, time in zip(blocks, (0, 5, 10, 30), strict=True):
        block.time = START + time
    assert [f.block_row for f in findings(*blocks, book=book)] == [3]
    strangers = victims(sender=OTHER)
    strangers.time = START + 10
    early = findings(strangers, Block([out(BRIDGE, 6.5)], time=START + 40), book=book)
    assert len(early) == 1


def test_a_labelled_payee_is_left_alone() -> None:
    """A DAO or a charity that somebody has named."""
    book = LabelBook([*builtin_labels(), Label(PHISHER, "service", "x")])
    assert findings(victims(), Block([out(BRIDGE, 6.5)]), book=book) == []


def test_a_presale_keeps_what_it_gets() -> None:
    """Less than four fifths that leave, or money that stays, is no cash-out."""
    assert findings(victims(), Block([out(BRIDGE, 5.5)])) == []
    assert findings(victims(), Block([out(OTHER, 6.5)])) == []


def test_money_of_its_own_is_no_loot() -> None:
    """Who sends an exchange more than came in, at once or in parts, sends savings."""
    assert findings(victims(), Block([out(BRIDGE, 8.5)])) == []
    parts = [out(DEPOSIT, 5, salt=1), out(DEPOSIT, 4, salt=2)]
    assert findings(victims(), Block(parts), Block([swept(value=8.9)])) == []


def test_most_of_the_income_comes_from_strangers() -> None:
    """Seven strangers among customers who pay more than they do are no fan-in."""
    customers = [
        Tx(wallet(500 + n), PHISHER, 4 * ETHER, facts={"pair_events": 3}, salt=n) for n in range(2)
    ]
    assert findings(victims(), Block(customers), Block([out(BRIDGE, 14)])) == []
    assert len(findings(victims(), Block(customers[:1]), Block([out(BRIDGE, 10)]))) == 1


def test_a_deposit_address_pays_its_exchange_itself() -> None:
    """Many payers and one sink, an exchange's own hot wallet: that is a shop's deposit address."""
    assert findings(victims(), Block([out(EXCHANGE, 6.9)])) == []


def test_five_days_are_the_window_and_a_day_the_way_out() -> None:
    """Strangers of last week do not count; nor does a deposit that is swept the day after next."""
    late = Block([out(BRIDGE, 6.5)], time=START + 5 * DAY + 60)
    assert findings(victims(), late) == []
    swept_late = Block([swept()], time=START + DAY + 3600)
    assert findings(victims(), Block([out(DEPOSIT, 6.5)]), swept_late) == []
