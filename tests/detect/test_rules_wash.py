"""Wash trading: items and positions that go in circles, and honest trade that only resembles it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.schema import FlowKind, Label, Severity
from detect.known.tokens import USDC
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.rule import Finding
from detect.rules.wash_positions import Positions
from detect.rules.wash_trading import WashConfig, WashTrading
from tests.detect.build import ETHER, Block, Build, Tx, run, told, uint, wallet

A, B, C, D = (wallet(n) for n in range(1, 5))
TOKEN, NFTS = wallet(50), wallet(51)
MET = {"pair_events": 2}


def wash(*labels: Label, **changes: Any) -> WashTrading:
    """The rule as it comes."""
    return WashTrading(LabelBook(labels), ColumnCache(), WashConfig(**changes))


def moves(sender: bytes, receiver: bytes, amount: int = 10**21, **facts: Any) -> Tx:
    """A transfer of a token in no list, between wallets that have met."""
    return Tx(sender, TOKEN, tokens=[(TOKEN, sender, receiver, amount)], facts={**MET, **facts})


def sells(seller: bytes, buyer: bytes, price: int = ETHER, **facts: Any) -> Tx:
    """The buyer pays ether and gets the item."""
    sale = [(NFTS, seller, buyer, 1)]
    return Tx(buyer, wallet(60), price, tokens=sale, kind=FlowKind.ERC721, facts=facts)


def said(*txs: Tx, rule: WashTrading | None = None) -> list[Finding]:
    """What the rule says about transactions, one to a block."""
    for salt, tx in enumerate(txs):
        tx.salt = salt
    return run(rule or wash(), Build().batch(*[Block([tx]) for tx in txs]))


def rounds(count: int, *ring: bytes, **facts: Any) -> list[Tx]:
    """The token goes round so many times."""
    pairs = list(zip(ring, (*ring[1:], ring[0]), strict=True))
    return [moves(a, b, **facts) for _ in range(count) for a, b in pairs]


@pytest.mark.parametrize("ring", [(A, B), (A, B, C), (A, B, C, D)])
def test_two_rounds_of_a_short_cycle_are_low(ring: tuple[bytes, ...]) -> None:
    """Cycles of two, three and four wallets are found in the second round."""
    assert said(*rounds(1, *ring)) == []
    found = said(*rounds(2, *ring))
    assert {f.severity for f in found} == {Severity.LOW}
    assert found[0].reasons[1].value == len(ring)
    assert found[0].subject in ring


def test_five_rounds_among_one_funders_wallets_are_medium() -> None:
    """It goes on and on, and one wallet gave all of them their first ether."""
    funded = {"from_funder": 7, "to_funder": 7}
    assert said(*rounds(5, A, B, **funded))[-1].severity == Severity.MEDIUM
    assert said(*rounds(5, A, B))[-1].severity == Severity.LOW


def test_amounts_may_be_off_by_one_per_cent() -> None:
    """Fees and noise hide no cycle; three per cent make another amount of it."""
    for off, expected in ((0.005, True), (0.03, False)):
        txs = [
            moves(*ends, amount=int(10**21 * (1 + off * (n % 2))))
            for n, ends in enumerate([(A, B), (B, A)] * 3)
        ]
        assert bool(said(*txs)) == expected


@pytest.mark.parametrize(
    "facts",
    [
        {"pair_events": 0},
        {"from_counterparties": 17},
        {"to_counterparties": 900},
        {"from_is_contract": True},
        {"to_is_contract": True},
    ],
)
def test_strangers_pools_and_contracts_wash_nothing(facts: dict[str, Any]) -> None:
    """Wallets that never met or that deal with many, and trades against pools, wash nothing."""
    assert said(*rounds(4, A, B, **facts)) == []


def test_money_goes_round_as_it_likes() -> None:
    """Dollars that two wallets send to and fro are no volume of anything."""
    txs = rounds(4, A, B)
    for tx in txs:
        tx.tokens = [(USDC, a, b, n) for _, a, b, n in tx.tokens]
    assert said(*txs) == []


def test_a_market_maker_and_its_clients_are_no_wash_traders() -> None:
    """Six clients who buy and sell the same amount again and again with one desk."""
    txs = []
    for _ in range(3):
        for client in range(6):
            txs += [moves(A, wallet(100 + client)), moves(wallet(100 + client), A)]
    found = said(*txs)
    assert [f for f in found if f.block_row > 12] == []


def test_searchers_are_no_wash_traders() -> None:
    """Twelve transfers of four tokens in one transaction are arbitrage."""
    txs = rounds(4, A, B)
    for tx in txs:
        tx.tokens += [(wallet(70 + n % 4), wallet(80 + n), wallet(90 + n), 5) for n in range(12)]
    assert said(*txs) == []


def test_labelled_services_trade_with_themselves() -> None:
    """An exchange's own wallets move its token to and fro."""
    assert said(*rounds(4, A, B), rule=wash(Label(A, "exchange", "x"))) == []


# --- items


def test_an_item_that_goes_back_and_forth_is_low() -> None:
    """The first return is nothing; the third wash purchase of each wallet is low."""
    txs = [sells(A, B) if n % 2 == 0 else sells(B, A) for n in range(7)]
    found = said(*txs)
    assert told(found) == [("wash_trading", "low", A), ("wash_trading", "low", B)]
    assert "back and forth" in found[0].sentence


def test_one_funder_makes_it_medium() -> None:
    """Six wash purchases by a wallet that was funded by its seller's funder."""
    funded = {"from_funder": 7, "to_funder": 7}
    txs = [sells(A, B, **funded) if n % 2 == 0 else sells(B, A, **funded) for n in range(14)]
    assert {f.severity for f in said(*txs)} == {Severity.LOW, Severity.MEDIUM}


def test_who_sells_to_himself_is_found() -> None:
    """Buyer and seller are one address, three times."""
    assert told(said(*[sells(A, A) for _ in range(3)])) == [("wash_trading", "low", A)]


def test_buying_one_item_three_times_counts() -> None:
    """It comes back by other wallets each time, and is bought again; from the fifth purchase."""
    txs = [tx for n in range(5) for tx in (sells(wallet(200 + n), A), sells(A, wallet(201 + n)))]
    assert A in {f.subject for f in said(*txs)}


@pytest.mark.parametrize("what", ["a gift", "a mint", "other items", "strangers"])
def test_honest_items(what: str) -> None:
    """Gifts are no sales, mints have no seller, and different items or buyers make no circle."""
    txs = []
    for n in range(9):
        tx = sells(A, B) if n % 2 == 0 else sells(B, A)
        if what == "a gift":
            tx.value = 0
        elif what == "a mint":
            tx.tokens = [(NFTS, bytes(20), B, 1)]
        elif what == "other items":
            tx.tokens = [(wallet(300 + n), a, b, 1) for _, a, b, _ in tx.tokens]
        elif what == "strangers":
            tx.tokens = [(NFTS, wallet(400 + n), wallet(401 + n), 1)]
        txs.append(tx)
    assert said(*txs) == []


# --- positions


@given(
    st.lists(
        st.tuples(st.sampled_from("ABC"), st.sampled_from("ABC"), st.integers(1, 5)), max_size=40
    )
)
def test_positions_are_those_of_a_plain_count(steps: list[tuple[str, str, int]]) -> None:
    """Net over gross of each trader is what adding up all its transfers gives."""
    positions = Positions(100, 0.01)
    came: dict[str, int] = dict.fromkeys("ABC", 0)
    went: dict[str, int] = dict.fromkeys("ABC", 0)
    for source, target, amount in steps:
        if source == target:
            continue
        ends = source.encode(), target.encode()
        booked = positions.move(0, b"t", ends, float(amount), 1_000, False)
        went[source] += amount
        came[target] += amount
        for trader, position in zip((source, target), booked, strict=True):
            gross = came[trader] + went[trader]
            assert position.off == pytest.approx(abs(came[trader] - went[trader]) / gross)


def test_a_window_ends() -> None:
    """Round trips of last week, day and hour count no more."""
    txs = rounds(1, A, B) + rounds(1, A, B)
    blocks = [Block([tx], time=1_700_000_000 + n * 604_800) for n, tx in enumerate(txs)]
    assert run(wash(), Build().batch(*blocks)) == []


def test_state_is_bounded() -> None:
    """A flood of items, traders and positions leaves no more rows than the configuration allows."""
    rule = wash(items=16, positions=32, traders=8, met_before=0)
    txs = []
    for n in range(120):
        txs += [
            sells(wallet(1000 + n), wallet(1000 + n)),
            moves(wallet(3000 + n), wallet(5000 + n)),
        ]
        txs[-2].tokens = [(uint(n)[12:], wallet(1000 + n), wallet(1000 + n), 1)]
    said(*txs, rule=rule)
    assert len(rule._items.table) <= 16
    assert len(rule._positions.table) <= 32
    assert len(rule._traders) <= 8
