"""Drainer splits: shares of a loss, and everything innocent that has the same shares."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.schema import FlowKind, Label, Severity
from detect.known.tokens import USDC, USDT, WETH
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.drainer_split import SHARES, DrainerSplit, DrainerSplitConfig, operator_share
from detect.rules.rule import Finding
from tests.detect.build import ETHER, Block, Build, Tx, run, told, wallet

OPERATOR, PHISHER, BOT, KIT = wallet(1), wallet(2), wallet(3), wallet(4)
VICTIMS = [wallet(100 + i) for i in range(20)]
DOLLAR = 10**6
LARGE = 200_000 * DOLLAR


def split(*labels: Label) -> DrainerSplit:
    """The rule as it comes."""
    return DrainerSplit(LabelBook(labels), ColumnCache())


def loses(
    victim: bytes,
    shares: tuple[tuple[bytes, float], ...] = ((OPERATOR, 0.2), (PHISHER, 0.8)),
    loss: int = 1_000 * DOLLAR,
    **changes: Any,
) -> Tx:
    """The bot makes the kit take a victim's USDC and share it out."""
    parts = [(USDC, victim, to, round(loss * share)) for to, share in shares]
    return Tx(BOT, KIT, tokens=parts, **changes)


def said(*txs: Tx, rule: DrainerSplit | None = None) -> list[Finding]:
    """What the rule says about transactions in one block."""
    return run(rule or split(), Build().batch(Block(list(txs))))


def test_the_small_share_goes_to_the_operator() -> None:
    """One split is low, the third victim's is high; the subject is who took the fifth."""
    found = said(*(loses(victim) for victim in VICTIMS[:4]))
    assert told(found) == [
        ("drainer_split", level, OPERATOR) for level in ("low", "low", "high", "high")
    ]
    assert found[0].evidence.addresses == (VICTIMS[0], PHISHER)
    assert found[0].evidence.amounts == ((USDC, 200 * DOLLAR), (USDC, 800 * DOLLAR))
    assert "20.0%" in found[0].sentence


@pytest.mark.parametrize("share", SHARES)
def test_every_usual_share_counts(share: float) -> None:
    """From a tenth to three tenths; a tenth of a per cent beside it does not."""
    assert said(loses(VICTIMS[0], ((OPERATOR, share), (PHISHER, 1 - share))))
    off = share + 0.0021
    assert said(loses(VICTIMS[0], ((OPERATOR, off), (PHISHER, 1 - off)))) == []


def test_three_parts_need_two_usual_shares() -> None:
    """Operator, reseller and phisher share; a third part of any size is no split of a kit."""
    reseller = wallet(5)
    three = ((reseller, 0.15), (OPERATOR, 0.1), (PHISHER, 0.75))
    assert told(said(loses(VICTIMS[0], three))) == [("drainer_split", "low", OPERATOR)]
    assert said(loses(VICTIMS[0], ((reseller, 0.13), (OPERATOR, 0.1), (PHISHER, 0.77)))) == []
    four = ((OPERATOR, 0.1), (reseller, 0.15), (wallet(6), 0.15), (PHISHER, 0.6))
    assert said(loses(VICTIMS[0], four)) == []


def test_parts_a_few_blocks_apart_are_one_split() -> None:
    """Two transferFrom five blocks apart are one loss; six blocks apart they are two."""
    for gap, expected in ((5, 1), (6, 0)):
        first = Tx(BOT, USDC, tokens=[(USDC, VICTIMS[0], OPERATOR, 200 * DOLLAR)])
        second = Tx(BOT, USDC, tokens=[(USDC, VICTIMS[0], PHISHER, 800 * DOLLAR)])
        blocks = [Block([first]), *[Block() for _ in range(gap - 1)], Block([second])]
        found = run(split(), Build().batch(*blocks))
        assert len(found) == expected
        assert [f.evidence.transactions for f in found] == [
            (first.hash(), second.hash())
        ] * expected


def test_a_large_loss_makes_it_worse() -> None:
    """A first loss of 200,000 dollars is medium, and the third victim's then critical."""
    found = said(loses(VICTIMS[0], loss=LARGE), loses(VICTIMS[1]), loses(VICTIMS[2]))
    assert [f.severity for f in found] == [Severity.MEDIUM, Severity.MEDIUM, Severity.CRITICAL]


def test_ten_partners_make_a_service() -> None:
    """An operator with ten phishers is high, and the sentence counts them."""
    config = DrainerSplitConfig(victims_high=99)
    rule = DrainerSplit(LabelBook(), ColumnCache(), config)
    txs = [
        loses(victim, ((OPERATOR, 0.2), (wallet(50 + n), 0.8)))
        for n, victim in enumerate(VICTIMS[:10])
    ]
    found = said(*txs, rule=rule)
    assert [f.severity for f in found] == [Severity.LOW] * 9 + [Severity.HIGH]
    assert "10 partners" in found[-1].sentence


def test_what_the_victim_signs_counts_with_an_operator_who_is_known() -> None:
    """A split by its own signature is nothing, but not towards somebody caught before."""
    own = loses(VICTIMS[1])
    own.sender = VICTIMS[1]
    assert said(own) == []
    assert len(said(loses(VICTIMS[0]), own)) == 2


def test_a_claim_bait_that_splits_is_a_split() -> None:
    """The victim calls ``Claim()`` on the kit, which takes its tokens: signed, and yet a loss."""
    claim = loses(VICTIMS[0], data=bytes.fromhex("3158952e"))
    claim.sender = VICTIMS[0]
    assert told(said(claim)) == [("drainer_split", "low", OPERATOR)]


def test_ether_passed_on_by_a_claim_bait_is_a_split() -> None:
    """With traces, the ether of a claim that the kit shares out at once counts as well."""
    claim = Tx(VICTIMS[0], KIT, ETHER, data=bytes.fromhex("3158952e"))
    claim.kind = FlowKind.INTERNAL
    passed_on: list[Any] = [(None, KIT, OPERATOR, ETHER // 5), (None, KIT, PHISHER, ETHER * 4 // 5)]
    claim.tokens = passed_on
    claim.facts = {"from_is_contract": True}
    found = said(claim)
    assert told(found) == [("drainer_split", "low", OPERATOR)]
    assert found[0].evidence.addresses[0] == VICTIMS[0]


# --- the innocent


def test_royalties_and_wages_are_the_payers_own() -> None:
    """What the payer signs splits as it likes, however often the same fee wallet is in it."""
    txs = []
    for victim in VICTIMS:
        tx = loses(victim, ((OPERATOR, 0.1), (wallet(70), 0.9)))
        tx.sender = victim
        txs.append(tx)
    assert said(*txs) == []


def _change(name: str) -> Callable[[Tx], None]:
    def made(tx: Tx) -> None:
        if name == "swapped for ether":
            tx.tokens.append((WETH, PHISHER, VICTIMS[0], ETHER // 2))
        elif name == "swapped for other dollars":
            tx.tokens.append((USDT, PHISHER, VICTIMS[0], 950 * DOLLAR))
        elif name == "payer is a contract":
            tx.facts["from_is_contract"] = True
        elif name == "payees are contracts":
            tx.facts["to_is_contract"] = True
        elif name == "relayer with a past":
            tx.facts |= {"from_nonce": 900, "from_first_seen": 0}
        elif name == "failed":
            tx.status = 0
        elif name == "unlisted token":
            tx.tokens = [(wallet(77), a, b, n) for _, a, b, n in tx.tokens]
        elif name == "dust":
            tx.tokens = [(token, a, b, n // 1_000) for token, a, b, n in tx.tokens]
        elif name == "arbitrage":
            tx.tokens += [(wallet(80 + n), wallet(90), wallet(91), 5) for n in range(12)]

    return made


@pytest.mark.parametrize(
    "name",
    [
        "swapped for ether",
        "swapped for other dollars",
        "payer is a contract",
        "payees are contracts",
        "relayer with a past",
        "failed",
        "unlisted token",
        "dust",
        "arbitrage",
    ],
)
def test_what_is_no_loss(name: str) -> None:
    """A swap, contracts, a relayer with a reputation, failures, phony tokens, dust, searchers."""
    tx = loses(VICTIMS[0])
    assert said(tx) != []
    _change(name)(tx)
    assert said(tx) == []


def test_a_part_that_comes_back_pays_for_nothing() -> None:
    """Half of the dollars, or a heap of an unknown token from a stranger, is no swap."""
    half = loses(VICTIMS[0])
    half.tokens.append((USDT, PHISHER, VICTIMS[0], 500 * DOLLAR))
    junk = loses(VICTIMS[0])
    junk.tokens.append((wallet(77), PHISHER, VICTIMS[0], 10**30))
    assert [len(said(tx)) for tx in (half, junk)] == [1, 1]


def test_labelled_services_split_as_they_like() -> None:
    """A relayer, a fee wallet or a payee with a service's label ends the suspicion."""
    for address in (BOT, OPERATOR, PHISHER, VICTIMS[0]):
        label = Label(address, "exchange", "x")
        assert said(loses(VICTIMS[0]), rule=split(label)) == []


@given(
    st.lists(st.integers(1, 10**12), min_size=1, max_size=5),
    st.permutations(range(5)),
)
def test_the_shares_do_not_depend_on_the_order_of_the_parts(
    amounts: list[int], order: list[int]
) -> None:
    """Whoever is named first, operator and share are the same where the amounts differ."""
    parts = [(wallet(n), amount) for n, amount in enumerate(amounts)]
    turned = [parts[n] for n in order if n < len(parts)]
    if len(set(amounts)) == len(amounts):
        assert operator_share(parts, 0.001) == operator_share(turned, 0.001)


def test_state_is_bounded() -> None:
    """A flood of victims and operators leaves no more rows than the configuration allows."""
    rule = DrainerSplit(LabelBook(), ColumnCache(), DrainerSplitConfig(splits=64, operators=32))
    build = Build()
    for start in range(0, 400, 100):
        txs = [
            loses(wallet(1000 + n), ((wallet(3000 + n), 0.2), (wallet(5000 + n), 0.8)))
            for n in range(start, start + 100)
        ]
        run(rule, build.batch(Block(txs)))
    assert len(rule._open) <= 64
    assert len(rule._operators) <= 32
