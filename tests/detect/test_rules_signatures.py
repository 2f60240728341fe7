"""Transfers signed off-chain: who submits them to take, and who because he was asked to."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest

from chainwarden.schema import Severity
from detect.known.authorizations import (
    AUTHORIZATION_USED,
    AUTHORIZED_TRANSFERS,
    PERMIT2,
    PERMIT2_TRANSFERS,
)
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook, builtin_labels
from detect.rules.columns import ColumnCache
from detect.rules.signature_phishing import SignaturePhishing, SignaturePhishingConfig
from tests.detect.build import Block, Build, Tx, at, run, told, uint, wallet, word
from tests.detect.told import Told

THIEF, SINK, CONTRACT = wallet(1), wallet(2), wallet(3)
MULTICALL3 = at("0xcA11bde05977b3631167028862bE2a173976CA11")
OWNERS = [wallet(100 + i) for i in range(20)]
SHOPS = [wallet(200 + i) for i in range(20)]
DOLLAR = 10**6


def rule(node: Told | None = None) -> SignaturePhishing:
    """The rule as it comes."""
    book = LabelBook(builtin_labels())
    return SignaturePhishing(book, ColumnCache(), None, *([node] if node else []))


def permit2(
    owner: bytes, to: bytes = SINK, dollars: int = 900, selector: int = 0x30F28B7A, **changes: Any
) -> Tx:
    """A thief calls Permit2 with what the owner signed."""
    data = selector.to_bytes(4, "big") + bytes(9 * 32)
    tx = Tx(THIEF, PERMIT2, data=data, tokens=[(USDC, owner, to, dollars * DOLLAR)], nonce=3)
    return dataclasses.replace(tx, **changes)


def authorized(
    owner: bytes, to: bytes = SINK, dollars: int = 900, selector: int = 0xE3EE160E, **changes: Any
) -> Tx:
    """Somebody submits the owner's EIP-3009 authorization to the token."""
    data = selector.to_bytes(4, "big") + word(owner) + word(to) + bytes(7 * 32)
    tx = Tx(THIEF, USDC, data=data, tokens=[(USDC, owner, to, dollars * DOLLAR)], nonce=3)
    tx.logs = [(USDC, [AUTHORIZATION_USED, word(owner), uint(7)], b"")]
    return dataclasses.replace(tx, **changes)


def said(*txs: Tx, node: Told | None = None) -> list[str]:
    """The severities of what the rule says of one block; the subject is the thief."""
    for salt, tx in enumerate(txs):
        tx.salt = salt
    found = run(rule(node), Build().batch(Block(list(txs))))
    assert all(f.subject == THIEF for f in found)
    return [f.severity.text for f in found]


# --- what is told


@pytest.mark.parametrize("selector", sorted(PERMIT2_TRANSFERS))
def test_a_wallet_that_calls_permit2_for_a_stranger_is_medium(selector: int) -> None:
    """One owner is enough; a large theft is high, the third owner makes it high as well."""
    assert said(permit2(OWNERS[0], selector=selector)) == ["medium"]
    assert said(permit2(OWNERS[0], dollars=250_000, selector=selector)) == ["high"]
    three = [permit2(owner, selector=selector) for owner in OWNERS[:3]]
    assert said(*three) == ["medium", "medium", "high"]


def test_ten_owners_or_a_large_theft_by_a_fresh_wallet_are_critical() -> None:
    """Critical at the tenth owner, or from the third on where one lost 100,000 dollars."""
    assert said(*map(permit2, OWNERS[:10]))[8:] == ["high", "critical"]
    assert said(permit2(OWNERS[0], dollars=250_000), *map(permit2, OWNERS[1:3]))[-1] == "critical"
    busy = [permit2(owner, nonce=400) for owner in OWNERS[:10]]
    assert said(*busy)[-1] == "high"


def test_a_drainers_contract_is_the_taker() -> None:
    """Behind a contract's multicall one owner is low, the third high; the contract is told."""
    inner = bytes.fromhex("caa5c23f") + bytes(64) + bytes.fromhex("30f28b7a") + bytes(9 * 32)
    txs = [permit2(owner, to=SINK, data=inner, salt=n) for n, owner in enumerate(OWNERS[:3])]
    for tx in txs:
        tx.to = CONTRACT
    found = run(rule(), Build().batch(Block(txs)))
    assert [f.severity.text for f in found] == ["low", "low", "high"]
    assert {f.subject for f in found} == {CONTRACT}


def test_behind_contracts_only_listed_tokens_count() -> None:
    """A token of one's own cannot frame a contract; Permit2 itself moves what it says it moves."""
    inner = bytes.fromhex("caa5c23f30f28b7a") + bytes(9 * 32)
    junk = [(wallet(60), OWNERS[0], SINK, 10**30)]
    assert said(permit2(OWNERS[0], data=inner, to=SINK, tokens=junk)) == []
    framed = permit2(OWNERS[0], data=inner, tokens=junk)
    framed.to = CONTRACT
    assert said(framed) == []
    assert said(permit2(OWNERS[0], tokens=junk)) == ["medium"]


@pytest.mark.parametrize("selector", sorted(AUTHORIZED_TRANSFERS))
def test_an_authorization_is_a_payment_until_a_third_owner(selector: int) -> None:
    """One or two are nothing, three to the same receiver medium; a large one is medium at once."""
    three = [authorized(owner, selector=selector) for owner in OWNERS[:3]]
    assert said(*three) == ["medium"]
    assert said(authorized(OWNERS[0], dollars=250_000, selector=selector)) == ["medium"]


def test_authorizations_in_a_multicall_are_the_signers() -> None:
    """The log tells of them wherever they are called from; a public multicall is nobody's."""
    txs = [authorized(owner, to=SINK) for owner in OWNERS[:3]]
    for tx in txs:
        tx.to, tx.data = MULTICALL3, bytes.fromhex("82ad56cb") + bytes(400)
    assert said(*txs) == ["medium"]


def test_without_logs_the_calldata_names_the_owner() -> None:
    """A source without receipts gives the same; another owner's authorization is not this one's."""
    assert said(*[authorized(o, logs=[], receipt=False) for o in OWNERS[:3]]) == ["medium"]
    wrong = [(USDC, [AUTHORIZATION_USED, word(SHOPS[0]), uint(7)], b"")]
    assert said(*[authorized(o, logs=wrong) for o in OWNERS[:3]]) == []


def test_a_node_tells_the_emptied_from_the_paying() -> None:
    """Nothing left: low at once, high at the third. Something left: a payment, whatever else."""

    def over(left: int) -> list[str]:
        txs = [authorized(owner) for owner in OWNERS[:3]]
        for salt, tx in enumerate(txs):
            tx.salt = salt
        batch = Build().batch(Block(txs))
        at_block = batch.batch.position(0)
        node = Told(tokens={(USDC, owner, at_block): left for owner in OWNERS})
        return [f.severity.text for f in run(rule(node), batch)]

    assert over(0) == ["low", "low", "high"]
    assert over(500 * DOLLAR) == []


def test_what_a_transaction_takes_of_several_tokens_is_one_finding() -> None:
    """A batch of two tokens of one owner is told once, with the larger theft."""
    tokens = [(USDC, OWNERS[0], SINK, 900 * DOLLAR), (USDT, OWNERS[0], SINK, 250_000 * DOLLAR)]
    (found,) = run(rule(), Build().batch(Block([permit2(OWNERS[0], tokens=tokens)])))
    assert found.severity == Severity.HIGH
    assert found.evidence.amounts == ((USDT, 250_000 * DOLLAR),)
    assert "1 owner so far" in found.sentence


# --- who is innocent


@pytest.mark.parametrize(
    "facts",
    [
        {"from_is_contract": True},
        {"to_is_contract": True},
        {"from_nonce": 600, "from_first_seen": 0},
        {"from_events": 5_000},
        {"from_funder": 7, "to_funder": 7},
        {"from_hash": 7, "to_funder": 7},
    ],
)
def test_these_do_not_steal(facts: dict[str, Any]) -> None:
    """Contracts on either side, signers with a reputation, and the owner's own cluster."""
    assert said(*[permit2(owner, facts=facts) for owner in OWNERS[:5]]) == []


def test_customers_of_one_exchange_are_no_cluster() -> None:
    """A first funder of hundreds, the same for owner and receiver, explains nothing."""
    facts = {"from_funder": 7, "to_funder": 7, "from_funder_fan_out": 0.6}
    assert said(permit2(OWNERS[0], facts=facts)) == ["medium"]


def test_routers_and_labelled_services_are_left_alone() -> None:
    """What the Universal Router pulls, and what goes to an exchange, is their business."""
    inner = bytes.fromhex("3593564c30f28b7a") + bytes(9 * 32)
    router = permit2(OWNERS[0], data=inner, dollars=250_000)
    router.to = at("0x66a9893cC07D91D95644AEDD05D03f95e1dBA8Af")
    exchange = at("0x28C6c06298d514Db089934071355E5743bf21d60")
    assert said(router, permit2(OWNERS[1], to=exchange, dollars=250_000)) == []


def test_a_contract_with_a_past_is_trusted_whoever_calls_it() -> None:
    """A reactor that has filled orders for a month is no drainer, new fillers or not."""
    inner = bytes.fromhex("caa5c23f30f28b7a") + bytes(9 * 32)
    facts = {"to_events": 5_000}
    txs = [permit2(owner, data=inner, facts=facts) for owner in OWNERS[:5]]
    for tx in txs:
        tx.to = CONTRACT
    assert said(*txs) == []


def test_a_filled_order_pays_the_owner() -> None:
    """Who gets 90 % of the worth back in the transaction has swapped; half of it is no swap."""
    back = [(USDC, OWNERS[0], SINK, 900 * DOLLAR), (USDT, SINK, OWNERS[0], 890 * DOLLAR)]
    assert said(permit2(OWNERS[0], tokens=back)) == []
    half = [back[0], (USDT, SINK, OWNERS[0], 450 * DOLLAR)]
    assert said(permit2(OWNERS[0], tokens=half)) == ["medium"]


def test_what_the_owner_submits_is_its_own() -> None:
    """A signer who moves his own tokens by Permit2, a failed call and a move of nothing."""
    assert said(permit2(THIEF), permit2(OWNERS[0], status=0), permit2(OWNERS[0], dollars=0)) == []


def test_payments_of_an_api_are_no_loot() -> None:
    """Cents for machines (x402), all to one merchant, below a hundred dollars each."""
    assert said(*[authorized(owner, dollars=5) for owner in OWNERS]) == []


def test_customers_of_a_new_shop_pay_less_than_victims_lose() -> None:
    """Twenty strangers pay one wallet 300 dollars each; at 600 each it is told, or by a node."""
    assert said(*[authorized(owner, dollars=300) for owner in OWNERS]) == []
    assert said(*[authorized(owner, dollars=600) for owner in OWNERS])[0] == "medium"


def test_a_facilitator_of_many_merchants_is_a_relayer() -> None:
    """Ten owners pay ten merchants through one new facilitator: nothing is said from the third on.

    Permit2's first two are told, as it is thieves who mostly call it themselves.
    """
    pairs = list(zip(OWNERS[:10], SHOPS[:10], strict=True))
    assert said(*[authorized(owner, to=shop) for owner, shop in pairs]) == []
    assert said(*[permit2(owner, to=shop) for owner, shop in pairs]) == ["medium"] * 2


def test_customers_who_come_back_make_a_merchant() -> None:
    """Where a third of the owners pay again another day, it is a shop with a gasless till."""
    one, build = rule(), Build()
    found = run(one, build.batch(Block([authorized(OWNERS[0], salt=1)])))
    later = Block([authorized(OWNERS[0], salt=2)], time=build.time + 86_400)
    found += run(one, build.batch(later))
    build.time += 86_400
    found += run(one, build.batch(Block([authorized(o) for o in OWNERS[1:3]])))
    assert found == []


def test_whom_the_owner_has_paid_before_may_be_paid_by_authorization() -> None:
    """Three flows between them and more: one payment of many. Permit2 is told all the same."""
    facts = {"pair_events": 3}
    assert said(*[authorized(o, facts=facts) for o in OWNERS[:4]]) == []
    assert said(permit2(OWNERS[0], facts=facts)) == ["medium"]


# --- bounds


def test_takers_are_forgotten_in_time_and_bounded_in_number() -> None:
    """A new window starts after thirty days; a flood of takers leaves no more rows than allowed."""
    one, build = rule(), Build()
    run(one, build.batch(Block([permit2(o) for o in OWNERS[:2]])))
    later = Block([permit2(OWNERS[2])], time=build.time + 31 * 86_400)
    assert told(run(one, build.batch(later))) == [("signature_phishing", "medium", THIEF)]
    small = SignaturePhishing(LabelBook(), ColumnCache(), SignaturePhishingConfig(takers=16))
    flood = [permit2(wallet(n), sender=wallet(5_000 + n)) for n in range(200)]
    run(small, Build().batch(Block(flood)))
    assert len(small._takers) <= 16


def test_of_a_crowded_transaction_the_worthiest_moves_are_looked_at() -> None:
    """A large theft behind a thousand small moves and a thousand of junk is found, in little time.

    Each owner's moves count once; no more than 128 of a transaction are looked at.
    """
    small = [(USDC, wallet(3_000 + n), SINK, 500 * DOLLAR) for n in range(1_000)]
    junk = [(wallet(60), wallet(5_000 + n), SINK, 10**30) for n in range(1_000)]
    theft = [(USDT, OWNERS[0], SINK, 250_000 * DOLLAR)]
    batch = Build().batch(Block([permit2(OWNERS[0], tokens=[*small, *junk, *theft])]))
    start = time.process_time()
    found = run(rule(), batch)
    assert time.process_time() - start < 1.0
    assert len(found) == 128
    assert found[-1].evidence.amounts == ((USDT, 250_000 * DOLLAR),)
    assert all(f.evidence.amounts[0][0] != wallet(60) for f in found)
