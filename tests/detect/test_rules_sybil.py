"""Sybil farms: stars, chains and sinks, and the crowds that only look like them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.schema import Label
from detect.known.tokens import USDC
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.disperse import MOST_PAID, dispersed
from detect.rules.rule import Finding
from detect.rules.sybil import Sybil
from tests.detect.build import ETHER, START, Block, Build, Tx, run, told, uint, wallet, word

FUNDER, SINK, ROUTER, CLAIM, DISPERSE = (wallet(n) for n in range(5))
EACH = ETHER // 20
OLD = {"to_first_seen": 0, "to_funder": 5, "to_events": 9, "to_received": 3}


def child(number: int) -> bytes:
    """The n-th child."""
    return wallet(1000 + number)


def fund(number: int, value: int = EACH, funder: bytes = FUNDER, **facts: Any) -> Tx:
    """The first coins of a child."""
    return Tx(funder, child(number), value, salt=number, facts={"from_first_seen": 0, **facts})


def act(number: int, target: bytes, selector: str = "", nonce: int = 0, value: int = 0) -> Tx:
    """A child calls, or pays, something old."""
    return Tx(
        child(number), target, value, bytes.fromhex(selector), nonce=nonce, salt=nonce,
        facts={**OLD, "to_is_contract": bool(selector)},
    )  # fmt: skip


def farmed(number: int) -> list[Tx]:
    """Three actions that every child of a farm does."""
    return [
        act(number, USDC, "095ea7b3", 0),
        act(number, ROUTER, "7ff36ab5", 1, EACH // 4),
        act(number, CLAIM, "4e71d92d", 2),
    ]


def sent(number: int, to: bytes = SINK) -> Tx:
    """A child sends what it has left."""
    return act(number, to, nonce=3, value=EACH // 2)


def farm(
    children: int = 24,
    funding: Callable[[int], Tx] = fund,
    does: Callable[[int], list[Tx]] = farmed,
) -> list[Block]:
    """Blocks in which children are funded, and then act."""
    return [
        Block([funding(n) for n in range(children)]),
        *(Block(does(n)) for n in range(children)),
    ]


def findings(blocks: list[Block], book: LabelBook | None = None) -> list[Finding]:
    """What the rule says."""
    return run(Sybil(book or LabelBook(), ColumnCache()), Build().batch(*blocks))


def test_a_star_is_told_at_its_twentieth_child() -> None:
    """Nineteen are none; with the twentieth that acts, the funder is low, once."""
    assert findings(farm(19)) == []
    (star,) = findings(farm(30))
    assert told([star]) == [("sybil", "low", FUNDER)]
    assert star.block_row == 20
    assert {r.feature: r.value for r in star.reasons}["children"] == 20


def test_one_sink_makes_a_star_medium() -> None:
    """Once twenty children have sent what they have to one wallet, the funder is told again."""
    blocks = [*farm(), *(Block([sent(n)]) for n in range(24))]
    said = findings(blocks)
    assert told(said) == [("sybil", "low", FUNDER), ("sybil", "medium", FUNDER)]
    assert said[1].evidence.addresses == (SINK,)


def test_a_sink_of_children_of_many_is_low() -> None:
    """Paid out by an exchange each by each, they meet only where they send: the sink is told."""
    blocks = [
        *farm(funding=lambda n: fund(n, EACH * (n + 1), funder=wallet(5000 + n))),
        *(Block([sent(n)]) for n in range(24)),
    ]
    assert told(findings(blocks)) == [("sybil", "low", SINK)]
    assert findings(blocks, LabelBook([Label(SINK, "exchange", "x")])) == []


def test_only_the_last_sink_counts() -> None:
    """Children that move on to wallets of their own are no cluster."""
    blocks = farm(funding=lambda n: fund(n, EACH * (n + 1)))
    for n in range(24):
        blocks.append(Block([sent(n), act(n, wallet(7000 + n), nonce=4, value=EACH // 8)]))
    assert findings(blocks) == []


def test_disperse_calls_fund_children_too() -> None:
    """Receivers of disperseEther count though no flow shows them."""
    people = [child(n) for n in range(24)]
    words = uint(64) + uint(96 + 32 * 24) + uint(24) + b"".join(map(word, people)) + uint(24)
    data = bytes.fromhex("e63d38ed") + words + uint(EACH) * 24
    batch = Tx(FUNDER, DISPERSE, 24 * EACH, data, facts=OLD)
    blocks = [Block([batch]), *(Block(farmed(n)) for n in range(24))]
    assert told(findings(blocks)) == [("sybil", "low", FUNDER)]
    batch.status = 0
    assert findings(blocks) == []


# --- false positives


def test_an_exchange_pays_out_all_kinds_of_amounts() -> None:
    """Amounts that spread by more than 5 % are no star, though all do the same."""
    rng = random.Random(1)
    assert findings(farm(funding=lambda n: fund(n, int(EACH * rng.uniform(0.8, 1.2))))) == []
    assert told(findings(farm(funding=lambda n: fund(n, int(EACH * rng.uniform(0.97, 1.03))))))


def test_a_labelled_funder_is_left_alone() -> None:
    """Faucets, payrolls, exchanges and bridges that somebody has named."""
    assert findings(farm(), LabelBook([Label(FUNDER, "service", "x")])) == []


def test_users_of_a_faucet_do_different_things() -> None:
    """Equal amounts from one funder, but no two children alike."""

    def lives(n: int) -> list[Tx]:
        return [act(n, wallet(3000 + 7 * n + k), "a9059cbb", k) for k in range(3)]

    assert findings(farm(does=lives)) == []


def test_people_on_a_payroll_have_lived_before() -> None:
    """Wallets whose first transaction in view has a later nonce are no children."""

    def later(n: int) -> list[Tx]:
        txs = farmed(n)
        for tx in txs:
            tx.nonce = (tx.nonce or 0) + 40
        return txs

    assert findings(farm(does=later)) == []


def test_deposit_addresses_are_paid_by_their_users() -> None:
    """Gas for a sweep comes after the deposit: others than the funder paid, before or later."""
    assert findings(farm(funding=lambda n: fund(n, to_received=1, to_events=1))) == []
    paid = [Tx(wallet(4000 + n), child(n), ETHER, facts={"to_funder": 5}) for n in range(24)]
    blocks = farm()
    blocks.insert(1, Block(paid))
    assert findings(blocks) == []


def test_what_a_contract_moves_for_somebody_is_no_payment_of_its_own() -> None:
    """Claimed tokens and the proceeds of a swap come from contracts: they excuse nobody."""

    def claiming(n: int) -> list[Tx]:
        txs = farmed(n)
        txs[2].tokens = [(USDC, CLAIM, child(n), 50 * 10**6)]
        return txs

    assert told(findings(farm(does=claiming))) == [("sybil", "low", FUNDER)]


# --- chains


def chain(length: int, calls: bool = True, share: float = 0.9) -> list[Block]:
    """Each wallet is funded by the one before, and acts."""
    blocks, value = [Block([fund(0, ETHER)])], float(ETHER)
    for n in range(length):
        value *= share
        txs = [act(n, ROUTER, "7ff36ab5", 0)] if calls else []
        txs.append(fund(n + 1, int(value), funder=child(n)))
        txs[-1].nonce = len(txs) - 1
        blocks.append(Block(txs))
    return blocks


def test_a_chain_is_told_at_its_fifth_link() -> None:
    """Five first fundings of similar amounts whose wallets call contracts: the link is low."""
    assert findings(chain(4)) == []
    assert told(findings(chain(7))) == [("sybil", "low", child(4))]


def test_layers_that_only_pass_on_are_no_farm() -> None:
    """Without contract calls it is layering, and with amounts that halve it is spending."""
    assert findings(chain(8, calls=False)) == []
    assert findings(chain(8, share=0.4)) == []


# --- the calldata of a disperse call


@given(st.binary(max_size=400), st.integers(0, 2**70))
def test_any_calldata_is_survived(data: bytes, value: int) -> None:
    """Random bytes give receivers of 20 bytes that are paid no more than the value, or none."""
    paid = dispersed(b"\xe6\x3d\x38\xed" + data, value)
    assert all(len(receiver) == 20 for receiver, _ in paid)
    assert sum(wei for _, wei in paid) <= value


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([64, 128, 1, 7, 2, 1, 1], 10),  # one receiver, two amounts
        ([64, 128, 1, 7, 1, 11], 10),  # more than there is
        ([2**255, 2**255], 10),
        ([64, 64, MOST_PAID + 1], 10),
        ([64, 128, 1, 2**200, 1, 1], 10),  # no address
    ],
)
def test_what_is_no_disperse_call(words: list[int], value: int) -> None:
    """Unequal lengths, too much, offsets outside, too many, no addresses: nothing."""
    assert dispersed(bytes(4) + b"".join(map(uint, words)), value) == []


def test_a_disperse_call_names_whom_it_pays() -> None:
    """Receivers with their amounts, those of 0 left out."""
    words = [64, 160, 2, 7, 8, 2, 0, 9]
    assert dispersed(bytes(4) + b"".join(map(uint, words)), 9) == [(uint(8)[12:], 9)]


def test_time_is_block_time() -> None:
    """A wallet watched for a month is watched no more."""
    blocks = farm()
    for number, block in enumerate(blocks[1:]):
        block.time = START + 31 * 86_400 + number
        for tx in block.txs:
            tx.facts |= {"from_first_seen": START}
    assert findings(blocks) == []
