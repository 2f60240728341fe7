"""Drained hot wallets: outflow beyond the usual to strangers, and the moves that only look so."""

from __future__ import annotations

from typing import Any

import pytest

from chainwarden.schema import Label, Role, Severity
from detect.known.tokens import USDC
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.exchange_drain import ExchangeDrain, ExchangeDrainConfig
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding
from tests.detect.build import ETHER, START, Block, Build, Tx, run, told, wallet
from tests.detect.told import Told

HOT, COLD, THIEF = wallet(1), wallet(2), wallet(3)
LABELS = (Label(HOT, "exchange", "x"), Label(COLD, "exchange", "x"))
FIRST = START - START % 3_600  # the start of an hour
OLD = {"pair_events": 9, "to_events": 40}


def drain(node: NodeCalls = WITHOUT_NODE, *labels: Label, **changes: Any) -> ExchangeDrain:
    """The rule as it comes, with a hot and a cold wallet."""
    book = LabelBook(labels or LABELS)
    return ExchangeDrain(book, ColumnCache(), ExchangeDrainConfig(**changes), node)


def pays(to: bytes, ether: float, **facts: Any) -> Tx:
    """The hot wallet pays out; to a stranger unless the facts say otherwise."""
    return Tx(HOT, to, int(ether * ETHER), facts=facts)


def usual(hours: int, ether: float = 20.0) -> list[Block]:
    """So many hours in each of which old customers get that much."""
    return [
        Block([pays(wallet(100 + n % 7), ether, **OLD)], time=FIRST + 3_600 * n)
        for n in range(hours)
    ]


def after(hours: int, *txs: Tx) -> Block:
    """A block in the middle of the hour that follows."""
    return Block(list(txs), time=FIRST + 3_600 * hours + 900)


def said(*blocks: Block, rule: ExchangeDrain | None = None) -> list[Finding]:
    """What the rule says about blocks."""
    return run(rule or drain(), Build().batch(*blocks))


def test_an_hour_beyond_the_usual_to_strangers_is_a_drain() -> None:
    """Four times the most of six hours, all of it to somebody new, is high; the wallet a victim."""
    found = said(*usual(8), after(8, pays(THIEF, 80)))
    assert told(found) == [("exchange_drain", "high", HOT)]
    assert found[0].role == Role.VICTIM
    assert found[0].evidence.addresses == (THIEF,)
    assert "200,000 dollars" in found[0].sentence


def test_ten_times_the_limit_is_critical() -> None:
    """What leaves is worth thirty usual hours and more."""
    assert [f.severity for f in said(*usual(8), after(8, pays(THIEF, 900)))] == [Severity.CRITICAL]


def test_the_hour_of_the_week_has_its_own_usual() -> None:
    """An hour that sees 70 ether every week may; the hour beside it, which sees 20, may not."""
    week = 168 * 3_600
    blocks = [
        Block([pays(wallet(100), ether, **OLD)], time=FIRST + week * n + hour * 3_600)
        for n in range(9)
        for hour, ether in ((0, 70.0), (1, 20.0))
    ]
    busy = Block([pays(THIEF, 60)], time=FIRST + week * 9)
    quiet = Block([pays(THIEF, 60)], time=FIRST + week * 9 + 3_600)
    assert said(*blocks, busy) == []
    assert len(said(*blocks, quiet)) == 1


def test_a_burst_of_tokens_needs_no_history() -> None:
    """Five tokens to one stranger within ten minutes are high; four, or five over an hour, not."""
    facts = {"pair_events": 1, "to_events": 4}
    tokens = [Tx(HOT, wallet(50 + n), tokens=[(wallet(50 + n), HOT, THIEF, 9)]) for n in range(5)]
    for tx in tokens[1:]:
        tx.facts = facts
    found = said(*[Block([tx]) for tx in tokens])
    assert told(found) == [("exchange_drain", "high", HOT)]
    assert said(*[Block([tx]) for tx in tokens[:4]]) == []
    slow = [Block([tx], time=FIRST + 700 * n) for n, tx in enumerate(tokens)]
    assert said(*slow) == []


def test_a_node_knows_what_share_of_the_balance_left() -> None:
    """Half of the ether is high, nearly all of it critical, a tenth of it nothing."""
    for left, severity in ((60, Severity.HIGH), (0, Severity.CRITICAL), (900, None)):
        scored = Build().batch(after(0, pays(THIEF, 60)))
        node = Told(balance={(HOT, scored.batch.position(0)): left * ETHER})
        assert [f.severity for f in run(drain(node), scored)] == ([severity] if severity else [])


def test_it_is_told_once_and_again_when_it_doubles() -> None:
    """More of the same hour is the same drain, until twice as much is gone."""
    txs = [pays(wallet(500 + n), 80) for n in range(4)]
    found = said(
        *usual(8), *[Block([tx], time=FIRST + 8 * 3_600 + 12 * n) for n, tx in enumerate(txs)]
    )
    assert len(found) == 2


# --- the innocent


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("rotation to a labelled cold wallet", after(8, pays(COLD, 5_000))),
        ("a busy hour of old customers", after(8, pays(wallet(100), 500, **OLD))),
        ("a proof of reserve", after(8, pays(THIEF, 0.03))),
        ("mostly old customers", after(8, pays(THIEF, 40), pays(wallet(101), 70, **OLD))),
        ("an hour as usual", after(8, pays(THIEF, 45))),
        ("somebody else", after(8, Tx(THIEF, wallet(9), 900 * ETHER))),
    ],
)
def test_what_is_no_drain(name: str, block: Block) -> None:
    """Rotations, busy hours, proofs of reserve, and newcomers among many are an exchange's day."""
    assert said(*usual(8), block) == [], name


def test_failed_payments_and_phony_tokens_are_no_outflow() -> None:
    """What failed did not leave, and a token that nobody lists is worth nothing."""
    failed = pays(THIEF, 900)
    failed.status = 0
    phony = Tx(HOT, wallet(77), tokens=[(wallet(77), HOT, THIEF, 10**30)])
    assert said(*usual(8), after(8, failed, phony)) == []


def test_not_ready_is_not_normal() -> None:
    """A wallet in view for less than six hours has no usual: only a node or a burst can tell."""
    assert said(*usual(3), after(3, pays(THIEF, 900))) == []


def test_a_label_holds_while_it_holds() -> None:
    """Before it was labelled, and after, the wallet is nobody's hot wallet."""
    ended = Label(HOT, "exchange", "x", valid_from=0, valid_to=FIRST + 8 * 3_600)
    assert said(*usual(8), after(8, pays(THIEF, 80)), rule=drain(WITHOUT_NODE, ended)) == []
    treasury = Label(HOT, "treasury", "x")
    assert len(said(*usual(8), after(8, pays(THIEF, 80)), rule=drain(WITHOUT_NODE, treasury))) == 1


def test_dollars_and_ether_add_up() -> None:
    """Half in ether and half in USDC is one outflow."""
    dollars = Tx(HOT, USDC, tokens=[(USDC, HOT, THIEF, 110_000 * 10**6)])
    assert said(*usual(8), after(8, dollars)) == []
    assert len(said(*usual(8), after(8, pays(THIEF, 44), dollars))) == 1


def test_state_is_bounded() -> None:
    """A flood of destinations and hours leaves no more rows than the configuration allows."""
    rule = drain(wallets=1, sketches=4, destinations=8)
    for n in range(40):
        txs = [Tx(HOT, USDC, tokens=[(USDC, HOT, wallet(9_000 + 50 * n + k), 5)]) for k in range(9)]
        run(rule, Build(time=FIRST + 3_600 * n).batch(Block(txs)))
    assert len(rule._usual) <= 4
    assert len(rule._bursts) <= 8
