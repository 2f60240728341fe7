"""Ponzi contracts, and the vaults, lotteries and services that pay out as well."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from chainwarden.schema import FlowKind, Severity
from detect.known.tokens import USDT
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.ponzi import Ponzi
from detect.rules.rule import Finding
from tests.detect.build import ETHER, Block, Build, Tx, at, run, split, wallet

SCHEME, OWNER = wallet(900), wallet(901)
PEOPLE = [wallet(1_000 + n) for n in range(60)]
DOLLAR = 10**6


def find(*blocks: Block) -> list[Finding]:
    """What the rule says, the same in one batch and block by block."""
    scored = Build().batch(*blocks)
    whole, single = (Ponzi(LabelBook(), ColumnCache()) for _ in range(2))
    found = run(whole, scored)
    assert [f.sentence for f in run(single, *split(scored))] == [f.sentence for f in found]
    assert whole.digest() == single.digest()
    return found


def invest(
    wallet_: bytes, dollars: int, payouts: list[tuple[bytes, int]] | None = None, **more: Any
) -> Tx:
    """Somebody pays in; the contract pays others at once."""
    moves = [(USDT, wallet_, SCHEME, dollars * DOLLAR)]
    moves += [(USDT, SCHEME, to, amount * DOLLAR) for to, amount in payouts or []]
    return Tx(wallet_, SCHEME, data=b"\x12\x34\x56\x78", tokens=moves, **more)


def pyramid(dollars: int = 1_000, people: int = 40) -> list[Block]:
    """Of each payment 60 % go to the first two and 30 % to somebody in the middle."""
    blocks = []
    for n in range(people):
        payouts = []
        if n > 2:
            payouts = [
                (PEOPLE[0], dollars * 3 // 10),
                (PEOPLE[1], dollars * 3 // 10),
                (PEOPLE[2 + n % 12 if 2 + n % 12 < n else 2], dollars * 3 // 10),
            ]
        blocks.append(Block([invest(PEOPLE[n], dollars, payouts)]))
    return blocks


def test_a_pyramid_of_a_token_is_found_when_it_is_large_enough() -> None:
    """From the thirtieth investor on, once: medium with 30,000 dollars in it."""
    (found,) = find(*pyramid())
    assert (found.severity, found.subject) == (Severity.MEDIUM, SCHEME)
    assert found.block_row == 29
    assert "from 30 investors" in found.sentence
    assert find(*pyramid(people=29)) == []


def test_severity_follows_what_was_paid_in_and_rises() -> None:
    """Low below 10,000 dollars, high from 100,000; it is said again when it gets worse."""
    assert [f.severity.text for f in find(*pyramid(100))] == ["low"]
    assert [f.severity.text for f in find(*pyramid(4_000))] == ["high"]
    assert [f.severity.text for f in find(*pyramid(3_000))] == ["medium", "high"]


def vault(shares: bool, reward: int = 0) -> list[Block]:
    """People pay in and get their own back later, with a reward the owner has put in."""
    token, blocks = wallet(950), []
    for person in PEOPLE[:40]:
        tx = invest(person, 1_000)
        if shares:
            tx.tokens.append((token, bytes(20), person, 10**18))
        blocks.append(Block([tx]))
    if reward:
        move = [(USDT, OWNER, SCHEME, 40 * reward * DOLLAR)]
        blocks.append(Block([Tx(OWNER, USDT, tokens=move)]))
    for person in PEOPLE[:38]:
        moves = [(USDT, SCHEME, person, (1_000 + reward) * DOLLAR)]
        if shares:
            moves.insert(0, (token, person, bytes(20), 10**18))
        blocks.append(Block([Tx(person, SCHEME, data=b"\x01\x02\x03\x04", tokens=moves)]))
    return blocks


@pytest.mark.parametrize(("shares", "reward"), [(True, 0), (True, 90), (False, 0), (False, 90)])
def test_vaults_and_staking_are_none(shares: bool, reward: int) -> None:
    """Whoever gets back what he paid in, with interest from elsewhere, is in no ponzi."""
    assert find(*vault(shares, reward)) == []


def test_a_whales_own_money_is_no_payout() -> None:
    """Four of forty paid in most and take out as much: what nobody gains is no ponzi."""
    blocks = []
    for n, person in enumerate(PEOPLE[:40]):
        blocks.append(Block([invest(person, 50_000 if n < 4 else 1_000)]))
    for n, person in enumerate(PEOPLE[:39]):
        moves = [(USDT, SCHEME, person, (50_000 if n < 4 else 1_000) * DOLLAR)]
        blocks.append(Block([Tx(person, SCHEME, data=b"\x01\x02\x03\x04", tokens=moves)]))
    assert find(*blocks) == []


def test_a_lottery_is_none() -> None:
    """Four rounds of ten tickets, one winner of each: few are paid, most never."""
    blocks = []
    for n, person in enumerate(PEOPLE[:40]):
        blocks.append(Block([invest(person, 1_000)]))
        if n % 10 == 9:
            moves = [(USDT, SCHEME, PEOPLE[n - 4], 9_500 * DOLLAR)]
            blocks.append(Block([Tx(OWNER, SCHEME, data=b"\x01\x02\x03\x04", tokens=moves)]))
    assert find(*blocks) == []


def test_shops_bridges_and_pools_are_none() -> None:
    """Money that goes to a merchant, to strangers, or comes for another token, is no payout."""
    shop = [Block([invest(p, 1_000, [(OWNER, 900)])]) for p in PEOPLE[:40]]
    assert find(*shop) == []
    bridge = [Block([invest(p, 1_000, [(wallet(2_000 + n), 990)])])
              for n, p in enumerate(PEOPLE[:40])]  # fmt: skip
    assert find(*bridge) == []
    pool = pyramid()
    for n, block in enumerate(pool):
        block.txs[0].tokens.append((wallet(951), SCHEME, PEOPLE[n], 5))
    assert find(*pool) == []


def test_other_income_speaks_against_it() -> None:
    """A scheme that earns a tenth of its payments elsewhere is not told."""
    earned = Tx(OWNER, USDT, tokens=[(USDT, OWNER, SCHEME, 4_000 * DOLLAR)])
    assert find(Block([invest(PEOPLE[59], 1)]), Block([earned]), *pyramid()) == []


def test_known_services_are_none() -> None:
    """A bridge that is known takes whatever it takes."""
    portal = at("0x49048044D57e1C92A77f79988d21Fa8fAF74E97e")
    blocks = pyramid()
    for block in blocks:
        for tx in block.txs:
            tx.to = portal
            moved = {SCHEME: portal}
            tx.tokens = [(t, moved.get(a, a), moved.get(b, b), n) for t, a, b, n in tx.tokens]
    assert find(*blocks) == []


def ether_pyramid(traced: bool) -> list[Block]:
    """The same with ether: what the contract pays shows in call traces only."""
    blocks = []
    for n in range(40):
        tx = Tx(PEOPLE[n], SCHEME, ETHER // 2, facts={"to_is_contract": True})
        payouts = (
            [PEOPLE[0], PEOPLE[1], PEOPLE[2 + n % 12 if 2 + n % 12 < n else 2]] if n > 2 else []
        )
        if traced:
            tx.internal = [(SCHEME, to, ETHER * 3 // 20) for to in payouts] or [
                (wallet(970), wallet(971), 1)
            ]
        blocks.append(Block([tx]))
    return blocks


def test_an_ether_ponzi_needs_traces(caplog: pytest.LogCaptureFixture) -> None:
    """With call traces it is found; without it is not, and the log says that it is partial."""
    (found,) = find(*ether_pyramid(True))
    assert (found.subject, found.severity) == (SCHEME, Severity.MEDIUM)
    assert found.evidence.amounts[0][0] is None
    with caplog.at_level(logging.INFO):
        assert find(*ether_pyramid(False)) == []
    assert "ponzi is partial" in caplog.text
    mixed = [*ether_pyramid(True)[:20], *ether_pyramid(False)[20:]]
    assert find(*mixed) == []
    unseen = [Block([Tx(PEOPLE[59], SCHEME, 9 * ETHER, salt=n)]) for n in range(3)]
    for block in unseen:
        block.txs[0].facts = {"to_is_contract": True}
    assert len(find(*unseen, *ether_pyramid(True))) == 1  # what has no traces is left out


def test_a_payment_to_a_wallet_is_no_investment() -> None:
    """Ether to an account without code, traced or not."""
    blocks = ether_pyramid(True)
    for block in blocks:
        block.txs[0].facts = {}
    assert find(*blocks) == []


def test_flow_kinds_are_told_apart() -> None:
    """NFTs that change hands through the contract are no money."""
    blocks = pyramid()
    for block in blocks:
        for tx in block.txs:
            tx.kind = FlowKind.ERC721
    assert find(*blocks) == []
