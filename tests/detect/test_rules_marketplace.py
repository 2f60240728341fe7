"""Marketplace phishing: orders for nothing, bulk transfers, foreign code, and honest gifts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.schema import FlowKind, Label, Severity
from detect.known.marketplaces import BULK_TRANSFER, ORDER_FULFILLED, TRANSFER_HELPER, UPGRADE_TO
from detect.known.tokens import USDC, WETH
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.marketplace_phishing import MarketplaceConfig, MarketplacePhishing
from detect.rules.orders import order_of
from detect.rules.rule import Finding
from tests.detect.build import ETHER, Block, Build, Tx, at, run, told, uint, wallet, word

TAKER, NFTS, CODE = wallet(1), wallet(2), wallet(3)
OWNERS = [wallet(100 + n) for n in range(8)]
SEAPORT = at("0x0000000000000068F116a894984e2DB1123eB395")
NONE = bytes(20)
Asked = list[tuple[int, bytes, int, int, bytes]]


def market(*labels: Label, **changes: Any) -> MarketplacePhishing:
    """The rule as it comes."""
    return MarketplacePhishing(LabelBook(labels), ColumnCache(), MarketplaceConfig(**changes))


def encoded(recipient: bytes, items: list[int], asked: Asked) -> bytes:
    """The data of an OrderFulfilled log."""
    offer = uint(len(items)) + b"".join(uint(2) + word(NFTS) + uint(n) + uint(1) for n in items)
    wants = uint(len(asked)) + b"".join(
        uint(kind) + word(token) + uint(number) + uint(amount) + word(to)
        for kind, token, number, amount, to in asked
    )
    return uint(7) + word(recipient) + uint(128) + uint(128 + len(offer)) + offer + wants


def buys(owner: bytes, *items: int, asked: Asked | None = None, **facts: Any) -> Tx:
    """The taker fulfils an order of the owner."""
    data = encoded(TAKER, list(items), asked or [])
    return Tx(
        TAKER,
        SEAPORT,
        logs=[(SEAPORT, [ORDER_FULFILLED, word(owner), bytes(32)], data)],
        tokens=[(NFTS, owner, TAKER, 1) for _ in items],
        kind=FlowKind.ERC721,
        facts=facts,
    )


def bulk(owner: bytes, items: int, target: bytes = TAKER, **facts: Any) -> Tx:
    """The owner is made to call the transfer helper."""
    tokens = [(NFTS, owner, target, 1) for _ in range(items)]
    data = BULK_TRANSFER.to_bytes(4, "big") + bytes(64)
    return Tx(owner, TRANSFER_HELPER, data=data, tokens=tokens, kind=FlowKind.ERC721, facts=facts)


def said(*txs: Tx, rule: MarketplacePhishing | None = None) -> list[Finding]:
    """What the rule says about transactions in one block."""
    for salt, tx in enumerate(txs):
        tx.salt = salt
    return run(rule or market(), Build().batch(Block(list(txs))))


def test_orders_for_nothing_are_low_from_the_second_owner_and_high_from_the_third() -> None:
    """One item of one owner may be a gift; the taker of three owners' items is a thief."""
    found = said(*(buys(owner, 1) for owner in OWNERS[:3]))
    assert told(found) == [
        ("marketplace_phishing", "low", TAKER),
        ("marketplace_phishing", "high", TAKER),
    ]
    assert found[1].evidence.addresses == (OWNERS[2], NFTS)


def test_three_items_at_once_are_low() -> None:
    """Who loses three items for nothing in one order is told of at once."""
    assert told(said(buys(OWNERS[0], 1, 2, 3))) == [("marketplace_phishing", "low", TAKER)]
    assert said(buys(OWNERS[0], 1, 2)) == []


def test_bulk_transfers_count_like_orders() -> None:
    """What owners are made to give away in bulk adds up with what orders gave."""
    found = said(buys(OWNERS[0], 1), bulk(OWNERS[1], 1), bulk(OWNERS[2], 2))
    assert [f.severity for f in found] == [Severity.LOW, Severity.HIGH]
    assert "in bulk" in found[0].sentence


@pytest.mark.parametrize(
    ("asked", "paid"),
    [
        ([], False),
        ([(0, NONE, 0, 1, OWNERS[0])], False),
        ([(0, NONE, 0, ETHER, TAKER)], False),
        ([(1, USDC, 0, 10, OWNERS[0])], False),
        ([(0, NONE, 0, ETHER, OWNERS[0])], True),
        ([(1, WETH, 0, ETHER // 2, OWNERS[0])], True),
        ([(2, wallet(9), 4, 1, OWNERS[0])], True),
        ([(1, wallet(9), 0, 5, OWNERS[0])], True),
    ],
)
def test_what_an_order_must_pay(asked: Asked, paid: bool) -> None:
    """Nothing, dust, and what goes to others pay nobody; a price or another NFT does."""
    order = order_of(OWNERS[0], encoded(TAKER, [1], asked))
    assert order is not None
    assert (order.items, order.paid) == (((NFTS, 1),), paid)
    found = said(*(buys(OWNERS[0], 1, 2, 3, asked=asked) for _ in range(1)))
    assert bool(found) != paid


def test_offers_for_items_are_no_orders_for_nothing() -> None:
    """An order that offers money and asks for the item has no item to lose."""
    data = encoded(TAKER, [], [(2, NFTS, 1, 1, TAKER)])
    order = order_of(OWNERS[0], data)
    assert order is not None
    assert order.items == ()


@pytest.mark.parametrize(
    "facts",
    [
        {"pair_events": 1},
        {"to_is_contract": True},
        {"from_funder": 5, "to_funder": 5},
        {"to_funder": 6, "from_hash": 6},
        {"to_nonce": 900, "to_first_seen": 0},
    ],
)
def test_gifts_and_moves_of_house(facts: dict[str, Any]) -> None:
    """Friends, one's own wallets, vaults and established collectors take what they are given."""
    txs = [make(owner, 1, **facts) for owner in OWNERS[:4] for make in (buys, bulk)]
    assert said(*txs) == []


def test_what_owners_fulfil_and_services_take_is_no_theft() -> None:
    """An owner's own transaction, a labelled taker, another contract's log, a failure."""
    own = [buys(owner, 1, 2, 3) for owner in OWNERS[:3]]
    for tx, owner in zip(own, OWNERS, strict=False):
        tx.sender = owner
    assert said(*own) == []
    labelled = market(Label(TAKER, "marketplace", "x"))
    assert said(*(buys(owner, 1, 2, 3) for owner in OWNERS[:3]), rule=labelled) == []
    foreign = buys(OWNERS[0], 1, 2, 3)
    foreign.logs = [(wallet(8), topics, data) for _, topics, data in foreign.logs]
    failed = bulk(OWNERS[0], 5)
    failed.status = 0
    elsewhere = bulk(OWNERS[0], 5)
    elsewhere.to = wallet(8)
    assert said(foreign, failed, elsewhere) == []


def test_proxies_of_three_wallets_that_run_one_code_are_told() -> None:
    """Each upgrades its own proxy to the same implementation; two are nobody, nor one deployer."""

    def upgrade(owner: bytes, proxy: bytes) -> Tx:
        return Tx(owner, proxy, data=UPGRADE_TO.to_bytes(4, "big") + word(CODE))

    txs = [upgrade(owner, wallet(300 + n)) for n, owner in enumerate(OWNERS[:3])]
    assert told(said(*txs)) == [("marketplace_phishing", "medium", CODE)]
    assert said(*txs[:2]) == []
    assert said(*(upgrade(OWNERS[0], wallet(300 + n)) for n in range(6))) == []
    official = market(Label(CODE, "marketplace", "x"))
    assert said(*txs, rule=official) == []


def test_a_month_later_it_starts_anew() -> None:
    """Owners of different months are not added up."""
    blocks = [
        Block([buys(owner, 1)], time=1_700_000_000 + n * 31 * 86_400)
        for n, owner in enumerate(OWNERS[:4])
    ]
    assert run(market(), Build().batch(*blocks)) == []


@given(st.binary(max_size=900), st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1))
def test_hostile_orders_crash_nothing(data: bytes, offered: int, asked: int) -> None:
    """Any bytes and any offsets give an order or None."""
    for body in (data, uint(1) + word(TAKER) + uint(offered) + uint(asked) + data):
        order = order_of(OWNERS[0], body)
        assert order is None or len(order.items) <= 256


def test_state_is_bounded() -> None:
    """A flood of takers leaves no more rows than the configuration allows."""
    rule = market(takers=16)
    said(*(bulk(wallet(1000 + n), 1, wallet(3000 + n)) for n in range(200)), rule=rule)
    assert len(rule._takers) <= 16
