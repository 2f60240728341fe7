"""Dust and spam: a hundred strangers within a day, and what is no dust."""

from __future__ import annotations

from typing import Any

import pytest

from chainwarden.schema import ZERO_ADDRESS, FlowKind, Label
from detect.known.bait import NAME, SYMBOL, is_bait
from detect.known.tokens import USDT
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.dusting import Dusting
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from tests.detect.build import ETHER, START, Block, Build, Tx, run, told, wallet
from tests.detect.told import Told

SPAMMER, TOKEN, POOL = wallet(1), wallet(2), wallet(3)
DAY = 86_400


def stranger(number: int) -> bytes:
    """Somebody."""
    return wallet(100 + number)


def drop(count: int = 120, source: bytes = SPAMMER, token: bytes = TOKEN, **more: Any) -> Tx:
    """One transaction that gives so many strangers a token each."""
    amount = more.pop("amount", ETHER)
    tokens = [(token, source, stranger(n), amount) for n in range(count)]
    facts = {"from_hash": 1, "to_hash": 2, **more.pop("facts", {})}
    return Tx(SPAMMER, token, tokens=tokens, facts=facts, **more)


def findings(
    *blocks: Block, book: LabelBook | None = None, node: NodeCalls = WITHOUT_NODE
) -> list[Finding]:
    """What the rule says."""
    return run(Dusting(book or LabelBook(), ColumnCache(), node=node), Build().batch(*blocks))


def info(*names: str) -> list[tuple[str, str, bytes]]:
    """Findings of these severities about the spammer."""
    return [("dusting", name, SPAMMER) for name in names]


def test_a_hundred_strangers_are_told_once() -> None:
    """Info at about a hundred; ninety are nothing, and the same ones again add nothing."""
    assert told(findings(Block([drop()]))) == info("info")
    assert findings(Block([drop(88)])) == []
    assert findings(Block([drop(88, salt=n) for n in range(4)])) == []
    assert told(findings(Block([drop(), drop(salt=1)]))) == info("info")


def test_a_thousand_are_told_again() -> None:
    """Ten times as many are told a second time."""
    assert told(findings(Block([drop(1_100)]))) == info("info", "info")


def test_a_few_wei_one_by_one_are_dust() -> None:
    """Native dust of single transactions counts by its sender."""
    facts = {"from_hash": 1, "to_hash": 2}
    txs = [Tx(SPAMMER, stranger(n), 1_000, salt=n, facts=facts) for n in range(120)]
    assert told(findings(Block(txs[:60]), Block(txs[60:]))) == info("info")
    for tx in txs:
        tx.value = ETHER // 2_000  # a game's gas for newcomers
    assert findings(Block(txs)) == []


def test_listed_tokens_count_below_ten_cents() -> None:
    """Zero transfers and dust of USDT count, payments do not."""
    assert told(findings(Block([drop(token=USDT, amount=0)]))) == info("info")
    assert findings(Block([drop(token=USDT, amount=10**6)])) == []


def test_minted_items_count() -> None:
    """NFTs out of nothing, pushed to strangers."""
    tx = drop(source=ZERO_ADDRESS)
    tx.kind = FlowKind.ERC721
    assert told(findings(Block([tx]))) == info("info")


@pytest.mark.parametrize(
    "change",
    [
        {"facts": {"pair_events": 1}},  # its own customers or holders
        {"facts": {"to_is_contract": True}},
        {"facts": {"from_hash": 7, "to_hash": 7}},  # who gives in the same transaction trades
        {"status": 0},
    ],
)
def test_what_is_no_dust(change: dict[str, Any]) -> None:
    """Acquaintances, contracts, trades that somebody relays, and what failed."""
    assert findings(Block([drop(**change)])) == []


def test_what_the_receiver_signs_is_a_claim() -> None:
    """A distributor from which everybody fetches its own."""
    txs = [Tx(stranger(n), TOKEN, tokens=[(TOKEN, POOL, stranger(n), 5)]) for n in range(200)]
    assert findings(Block(txs)) == []


def test_a_service_may_give_to_everybody() -> None:
    """A labelled distributor is left alone; one that nobody named is info, and no attacker."""
    book = LabelBook([Label(SPAMMER, "service", "x")])
    assert findings(Block([drop()]), book=book) == []
    (said,) = findings(Block([drop()]))
    assert said.role.value == "unknown"


def test_a_day_is_the_window() -> None:
    """Sixty today and sixty the day after tomorrow are no hundred."""
    one, two = drop(60), drop(60, salt=1)
    two.tokens = [(TOKEN, SPAMMER, stranger(500 + n), 5) for n in range(60)]
    assert findings(Block([one]), Block([two], time=START + DAY + 60)) == []
    assert told(findings(Block([one]), Block([two], time=START + DAY - 60))) == info("info")


def test_a_link_in_the_tokens_code_is_bait() -> None:
    """A token created in view with a link in it makes the drop low and its sender an attacker."""
    creation = Tx(
        SPAMMER, None, creates=TOKEN, init_code=b"\x60\x80visit https://usd-claim.example"
    )
    (said,) = findings(Block([creation]), Block([drop()]))
    assert told([said]) == info("low")
    assert said.role.value == "attacker"
    creation.init_code = b"\x60\x80already claimed, see github.com"
    assert told(findings(Block([creation]), Block([drop()]))) == info("info")


@pytest.mark.parametrize(
    ("selector", "name", "severity"),
    [
        (NAME, b"Visit usd.gift to claim", "low"),
        (SYMBOL, b"t.me/x", "low"),
        (NAME, b"MOON", "info"),
    ],
)
def test_a_node_tells_the_tokens_name(selector: int, name: bytes, severity: str) -> None:
    """The name as the token itself says it, where a node can be asked."""
    build = Build()
    batch = build.batch(Block([drop()]))
    node = Told(calls={(TOKEN, selector.to_bytes(4, "big"), batch.batch.position(0)): (True, name)})
    rule = Dusting(LabelBook(), ColumnCache(), node=node)
    (said,) = run(rule, batch)
    assert told([said]) == info(severity)
    assert name.decode() not in said.sentence


@pytest.mark.parametrize(
    ("name", "bait"),
    [
        (b"ETH-REWARDS.ORG", True),
        (b"Claim 5000 USDC", True),
        (b"$ www.x.io", True),
        (b"USD Coin", False),
        (b"Wrapped Ether", False),
        (b"yearn.Finance Curve", True),
        (b"Aave v3", False),
    ],
)
def test_bait_is_told_by_links_and_words(name: bytes, bait: bool) -> None:
    """Links and calls to act; a project that is named like its site is taken for one, too."""
    assert is_bait(name) == bait
