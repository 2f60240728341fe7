"""Flash-loan exploits, and the arbitrage, liquidations and closings that borrow as well."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chainwarden.schema import Label, Position, Severity
from detect.known.flash_loans import (
    AAVE_V2_LOAN,
    AAVE_V3_LOAN,
    LIQUIDATION,
    MORPHO_LOAN,
    SHARED_LOAN,
    V3_FLASH,
)
from detect.known.mixers import TORNADO_WITHDRAWAL
from detect.known.tokens import DAI, USDC, WETH
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.flash_loan import FlashLoanConfig, FlashLoanExploit
from detect.rules.node import WITHOUT_NODE
from detect.rules.rule import Finding
from tests.detect.build import ETHER, START, Block, Build, Tx, at, run, split, uint, wallet, word

ATTACKER, CONTRACT, VICTIM, POOL, OTHER = (wallet(n) for n in range(700, 705))
BALANCER = at("0xBA12222222228d8Ba445958a75a0704d566BF2C8")
MAKER = at("0x60744434d6339a6B27d73d9Eda62b6F66a0a04FA")
AAVE_V2 = at("0x7d2768dE32b0b80b7a3454c06BdAc94A69DDc7A9")
AAVE_V3 = at("0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2")
MORPHO = at("0xBBBBBbbBBb9cC5e90e3b3Af64bdAF62C37EEFFCb")
TORNADO = at("0x910Cbd523D972eb0a6f4cAe4618aD62622b39DbF")
DOLLAR = 10**6
LOAN = 5_000_000 * DOLLAR
ZERO = bytes(20)
KNOWN = {"to_is_contract": True, "to_first_seen": START - 40 * 86_400}


def balancer(token: bytes = USDC, amount: int = LOAN, emitter: bytes = BALANCER) -> Any:
    """Balancer's loan event."""
    return emitter, [SHARED_LOAN, word(CONTRACT), word(token)], uint(amount) + uint(0)


def exploit(dollars: int = 300_000, lender: bytes = BALANCER, log: Any = None, **more: Any) -> Tx:
    """The contract borrows 5 million USDC, takes so much from the victim, and pays back."""
    moves = [
        (USDC, lender, CONTRACT, LOAN),
        (USDC, VICTIM, CONTRACT, dollars * DOLLAR),
        (USDC, CONTRACT, lender, LOAN),
    ]
    logs = [balancer() if log is None else log]
    return Tx(ATTACKER, CONTRACT, data=b"\x01\x02\x03\x04", tokens=moves, logs=logs, **more)


def find(
    *blocks: list[Tx], node: Any = WITHOUT_NODE, labels: tuple[Label, ...] = ()
) -> list[Finding]:
    """What the rule says, the same in one batch and block by block."""
    scored = Build().batch(*(Block(txs) for txs in blocks))
    whole, single = (
        FlashLoanExploit(LabelBook(labels), ColumnCache(), None, node) for _ in range(2)
    )
    found = run(whole, scored)
    assert [f.sentence for f in run(single, *split(scored))] == [f.sentence for f in found]
    assert whole.digest() == single.digest()
    return found


def severities(*blocks: list[Tx], **more: Any) -> list[str]:
    """How bad what is found is."""
    return [f.severity.text for f in find(*blocks, **more)]


def test_what_a_loan_earned_is_told_by_its_height() -> None:
    """Below 1,000 dollars nothing, then info, high above 200,000 or 1.3 % with 100,000."""
    for dollars, told in ((900, []), (5_000, ["info"]), (99_000, ["info"]), (150_000, ["high"])):
        assert severities([exploit(dollars)]) == told
    big = exploit(150_000)
    big.logs = [balancer(amount=20 * LOAN)]
    assert severities([big]) == ["info"]  # 0.15 % of the loan
    big = exploit(250_000)
    big.logs = [balancer(amount=20 * LOAN)]
    (found,) = find([big])
    assert (found.severity, found.subject) == (Severity.HIGH, ATTACKER)
    assert VICTIM in found.evidence.addresses
    assert found.evidence.amounts == ((USDC, 250_000 * DOLLAR),)
    assert "$250,000, most of it from 0x" in found.sentence


LENDERS = {
    "aave v2": (
        AAVE_V2,
        (AAVE_V2, [AAVE_V2_LOAN, word(CONTRACT), word(ATTACKER), word(USDC)],
         uint(LOAN) + uint(0) + uint(0)),
    ),
    "aave v3": (
        AAVE_V3,
        (AAVE_V3, [AAVE_V3_LOAN, word(CONTRACT), word(USDC), uint(0)],
         word(ATTACKER) + uint(LOAN) + uint(0) + uint(0)),
    ),
    "maker": (MAKER, (MAKER, [SHARED_LOAN, word(CONTRACT)], word(USDC) + uint(LOAN) + uint(0))),
    "morpho": (MORPHO, (MORPHO, [MORPHO_LOAN, word(CONTRACT), word(USDC)], uint(LOAN))),
    "uniswap v3": (
        POOL,
        (POOL, [V3_FLASH, word(CONTRACT), word(CONTRACT)],
         uint(0) + uint(LOAN) + uint(0) + uint(2_500)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("lender", LENDERS)
def test_every_lender_is_understood(lender: str) -> None:
    """Aave V2 and V3, Maker, Morpho and a V3 pool: the lender and the loan are in the sentence."""
    address, log = LENDERS[lender]
    (found,) = find([exploit(lender=address, log=log)])
    assert found.severity == Severity.HIGH
    assert f"borrowed 5000000 USDC from 0x{address.hex()}" in found.sentence


def test_the_emitter_tells_whose_event_it_is() -> None:
    """The topic Balancer and Maker share, and Morpho's, mean nothing from others."""
    assert find([exploit(log=balancer(emitter=OTHER))]) == []
    assert find([exploit(log=(OTHER, [MORPHO_LOAN, word(CONTRACT), word(USDC)], uint(LOAN)))]) == []
    assert find([exploit(log=(BALANCER, [SHARED_LOAN, word(CONTRACT)], bytes(5)))]) == []


def test_a_failed_transaction_and_one_without_a_loan_are_nothing() -> None:
    """Only what succeeded with a loan is looked at."""
    assert find([exploit(status=0)]) == []
    plain = exploit()
    plain.logs = []
    assert find([plain]) == []


def test_a_fresh_contract_or_a_mixers_money_makes_it_critical() -> None:
    """Created an hour ago by the signer, or paid by Tornado Cash: critical, whatever the shape."""
    creation = Tx(ATTACKER, None, creates=CONTRACT)
    assert severities([creation], [exploit()]) == ["critical"]
    log = (TORNADO, [TORNADO_WITHDRAWAL, uint(0)], word(ATTACKER) + bytes(64))
    assert severities([Tx(OTHER, TORNADO, logs=[log])], [exploit()]) == ["critical"]
    fake = (OTHER, log[1], log[2])
    assert severities([Tx(OTHER, TORNADO, logs=[fake])], [exploit()]) == ["high"]
    foreign = Tx(OTHER, None, creates=CONTRACT)
    assert severities([foreign], [exploit()]) == ["high"]


def test_a_contract_is_fresh_for_a_day() -> None:
    """Created a day and an hour before, it is nothing special any more."""
    creation = Tx(ATTACKER, None, creates=CONTRACT)
    late = Block([exploit()], time=START + 90_000)
    (found,) = run(
        FlashLoanExploit(LabelBook(), ColumnCache()), Build().batch(Block([creation]), late)
    )
    assert found.severity == Severity.HIGH


def test_a_lender_is_no_part_of_the_cluster() -> None:
    """Who calls the pool that lends, and drains it, has gained what the pool lost."""
    address, log = LENDERS["uniswap v3"]
    tx = exploit(lender=address, log=log)
    tx.tokens = [(USDC, POOL if a == VICTIM else a, b, n) for _, a, b, n in tx.tokens]
    tx.to = POOL
    assert [f.severity for f in find([tx])] == [Severity.HIGH]


def arbitrage() -> Tx:
    """Twelve transfers of four tokens."""
    tx = exploit(300_000)
    for n in range(9):
        tx.tokens.append((wallet(800 + n % 4), OTHER, POOL, 5))
    return tx


def test_arbitrage_liquidation_and_reputation_are_nothing() -> None:
    """Each explains a gain of 300,000 dollars; but no liquidation pays 30 % of the loan."""
    liquidation = exploit(300_000)
    topics = [LIQUIDATION, word(USDC), word(DAI), word(OTHER)]
    liquidation.logs.append((AAVE_V3, topics, bytes(128)))
    reputed = exploit(facts={"from_nonce": 900, "from_first_seen": START - 100 * 86_400})
    for tx in (arbitrage(), liquidation, reputed, exploit(facts=KNOWN)):
        assert find([tx]) == []
    new = exploit(facts={"from_nonce": 900, "from_first_seen": START - 80 * 86_400})
    assert severities([new]) == ["high"]
    for word_ in ("bot", "mev"):
        assert find([exploit()], labels=(Label(CONTRACT, word_, "x"),)) == []
    greedy = exploit(1_500_000)
    greedy.logs = liquidation.logs
    assert severities([greedy]) == ["high"]


def test_no_shape_excuses_a_fresh_contract() -> None:
    """An exploit that looks like an arbitrage is critical where its contract is an hour old."""
    assert severities([Tx(ATTACKER, None, creates=CONTRACT)], [arbitrage()]) == ["critical"]


def test_closing_ones_own_position_is_nothing() -> None:
    """Collateral that comes out for burnt deposit tokens was its owner's all along."""
    tx = exploit(300_000)
    tx.tokens.append((wallet(810), ATTACKER, ZERO, 10**20))
    assert find([tx]) == []


def test_services_are_no_part_of_the_cluster() -> None:
    """What a router or a lender gained is not its caller's."""
    router = at("0x1111111254EEB25477B68fb85Ed929f73A960582")
    tx = exploit()
    tx.to = router
    swapped = {CONTRACT: router}
    tx.tokens = [(t, swapped.get(a, a), swapped.get(b, b), n) for t, a, b, n in tx.tokens]
    log = balancer()
    tx.logs = [(log[0], [log[1][0], word(router), log[1][2]], log[2])]
    assert find([tx]) == []


def test_wrapping_is_no_gain() -> None:
    """Ether wrapped and unwrapped on the way changes nothing, and wrapped ether counts as ether."""
    tx = exploit(0)
    tx.tokens = [
        (WETH, BALANCER, CONTRACT, 1_000 * ETHER),
        (WETH, VICTIM, CONTRACT, 100 * ETHER),
        (WETH, CONTRACT, BALANCER, 1_000 * ETHER),
    ]
    tx.logs = [balancer(WETH, 1_000 * ETHER)]
    (found,) = find([tx])
    assert found.evidence.amounts == ((None, 100 * ETHER),)
    tx.value = 50 * ETHER  # signer and contract are one: no change
    assert find([tx])[0].sentence == found.sentence
    tx.internal = [(CONTRACT, WETH, 50 * ETHER), (WETH, CONTRACT, 70 * ETHER)]
    assert find([tx])[0].sentence == found.sentence
    tx.internal.append((CONTRACT, OTHER, 60 * ETHER))  # the builder's bribe, seen where traced
    assert "gained about $100,000" in find([tx])[0].sentence


class Empty:
    """A node that says what is left of the victim's balance."""

    def __init__(self, left: int | None) -> None:
        self.left = left

    def token_balance_at(self, token: bytes, owner: bytes, at: Position) -> int | None:
        """The victim's balance of the token."""
        assert (token, owner, len(at.hash)) == (USDC, VICTIM, 32)
        return self.left

    def balance_at(self, address: bytes, at: Position) -> int | None:
        """Unknown."""

    def code_at(self, address: bytes, at: Position) -> bytes | None:
        """Unknown."""

    def call(self, *_: Any, **__: Any) -> tuple[bool, bytes] | None:
        """Unknown."""


def test_a_drained_victim_makes_it_worse() -> None:
    """A node that knows nothing is left raises info to medium, and no arbitrage excuses it."""
    assert severities([exploit(50_000)], node=Empty(100 * DOLLAR)) == ["medium"]
    assert severities([exploit(50_000)], node=Empty(10**12)) == ["info"]
    assert severities([exploit(50_000)], node=Empty(None)) == ["info"]
    assert severities([exploit(5_000)], node=Empty(0)) == ["info"]
    assert severities([arbitrage()], node=Empty(0)) == ["high"]


def test_a_block_of_10_000_loan_events_is_quick() -> None:
    """Thousands of loans in one transaction, and in thousands, take well under a second."""
    many = exploit()
    many.logs = many.logs * 5_000
    txs = [many, *(exploit(salt=n) for n in range(1_500))]
    scored = Build().batch(Block(txs))
    rule = FlashLoanExploit(LabelBook(), ColumnCache(), FlashLoanConfig())
    began = time.process_time()
    assert len(rule.evaluate(scored)) == 1_501
    assert time.process_time() - began < 2.0
