"""Key compromise: wallets of different people emptied into one, and who only looks like that."""

from __future__ import annotations

from typing import Any

import pytest

from chainwarden.schema import Label
from detect.known.tokens import USDC
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.key_compromise import KeyCompromise
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.scored import ScoredBatch
from tests.detect.build import ETHER, START, Block, Build, Tx, run, told, wallet
from tests.detect.told import Told

THIEF = wallet(1)
DAY = 86_400


def hashed(address: bytes) -> int:
    """A stand-in for the keyed hash of the facts."""
    return int.from_bytes(address[:8], "big") | 1


def facts(sender: bytes, receiver: bytes, **more: Any) -> dict[str, Any]:
    """What is known of a payment between a wallet with a past and a fresh one."""
    return {
        "from_hash": hashed(sender),
        "to_hash": hashed(receiver),
        "from_first_seen": START - 90 * DAY,
        "to_first_seen": START - 60,
        "from_held": 2.0 * ETHER,
        **more,
    }


def sweep(number: int, **more: Any) -> Tx:
    """Victim ``number`` sends nearly all it holds."""
    victim = wallet(100 + number)
    tx = Tx(victim, THIEF, 2 * ETHER - 10**15, nonce=9, salt=number)
    tx.facts = facts(victim, THIEF, **more)
    return tx


def rule(node: NodeCalls = WITHOUT_NODE, book: LabelBook | None = None) -> KeyCompromise:
    """The rule."""
    return KeyCompromise(book or LabelBook(), ColumnCache(), node=node)


def found(*txs: Tx, node: NodeCalls = WITHOUT_NODE) -> list[tuple[str, str, bytes]]:
    """What the rule says about transactions in one block."""
    return told(run(rule(node), batch(*txs)))


def batch(*txs: Tx) -> ScoredBatch:
    """One block."""
    return Build().batch(Block(list(txs)))


def levels(*names: str) -> list[tuple[str, str, bytes]]:
    """Findings of these severities about the thief."""
    return [("key_compromise", name, THIEF) for name in names]


def test_the_third_sixth_and_eleventh_emptied_wallet_are_told() -> None:
    """Low, medium, high: nothing at two, and nothing more after eleven."""
    assert found(*(sweep(n) for n in range(2))) == []
    assert found(*(sweep(n) for n in range(3))) == levels("low")
    assert found(*(sweep(n) for n in range(16))) == levels("low", "medium", "high")


def test_coins_and_tokens_in_one_go_empty_a_wallet() -> None:
    """Both within five minutes count, though nothing is known of what was held."""

    def both(n: int) -> list[Tx]:
        victim, known = wallet(100 + n), {"from_held": 0.0}
        token = Tx(victim, USDC, nonce=8, tokens=[(USDC, victim, THIEF, 500 * 10**6)])
        token.facts = facts(victim, THIEF, **known)
        return [token, sweep(n, **known, pair_events=1)]

    assert found(*(tx for n in range(3) for tx in both(n))) == levels("low")
    first, second = zip(*(both(n) for n in range(3)), strict=True)
    apart = Build().batch(Block(list(first)), Block(list(second), time=START + 301))
    assert told(run(rule(), apart)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"from_held": 9.0 * ETHER},  # it keeps most
        {"from_held": 0.5 * ETHER},  # it had more than was seen: nobody knows
        {"from_first_seen": START - DAY // 2},  # not long enough in view to know
        {"to_first_seen": START - 31 * DAY},  # no fresh receiver
        {"to_events": 500},  # an exchange's hot wallet
        {"to_is_contract": True},  # a Safe that somebody moves to
        {"from_is_contract": True},
        {"pair_events": 1},  # they have dealt before: a customer, a friend
        {"to_funder": 0x5EED, "from_funder": 0x5EED},  # one person funded both
        {"from_funder": hashed(THIEF)},  # the receiver funded it: its own wallet
    ],
)
def test_who_is_left_alone(change: dict[str, Any]) -> None:
    """Each false positive of the typology, and each doubt, keeps the rule silent."""
    assert found(*(sweep(n, **change) for n in range(12))) == []


def test_a_new_wallet_is_no_victim() -> None:
    """Neither 30 days old nor with three transactions behind it: an exchange's deposit address."""
    txs = [sweep(n, from_first_seen=START - 5 * DAY) for n in range(5)]
    assert found(*txs) == levels("low")
    for tx in txs:
        tx.nonce = 2
    assert found(*txs) == []


def test_small_change_is_no_loot() -> None:
    """Less than about 100 dollars does not count."""
    txs = [sweep(n, from_held=4e16) for n in range(5)]
    for tx in txs:
        tx.value = 4 * 10**16
    assert found(*txs) == []


def test_wallets_of_one_funder_are_one_person() -> None:
    """Five wallets that one private wallet funded count once, if an exchange did, five times."""
    mine = {"from_funder": 77, "from_funder_fan_out": 0.2}
    assert found(*(sweep(n, **mine) for n in range(5)), sweep(8), sweep(9)) == levels("low")
    assert found(*(sweep(n, **mine) for n in range(5)), sweep(8)) == []
    hub = {"from_funder": 77, "from_funder_fan_out": 0.9}
    assert found(*(sweep(n, **hub) for n in range(3))) == levels("low")


def test_wallets_that_have_paid_one_another_are_one_person() -> None:
    """Somebody moves house: the old wallets dealt with each other before."""

    def dealing(a: int, b: int) -> Tx:
        tx = Tx(wallet(100 + a), wallet(100 + b), ETHER, salt=7)
        tx.facts = facts(tx.sender, wallet(100 + b), to_first_seen=0)
        return tx

    sweeps = [sweep(n) for n in range(4)]
    assert found(dealing(0, 1), dealing(1, 2), dealing(3, 2), *sweeps) == []
    assert found(dealing(0, 1), *sweeps) == levels("low")


def test_a_wallet_that_many_pay_in_part_is_a_payee() -> None:
    """Emptied wallets must be most of those that paid."""
    customers = [sweep(20 + n, from_held=50.0 * ETHER) for n in range(4)]
    assert found(*customers, *(sweep(n) for n in range(4))) == []
    assert found(*customers, *(sweep(n) for n in range(5))) == levels("low")


def test_a_service_gathers_what_it_likes() -> None:
    """A labelled receiver is left alone."""
    book = LabelBook([Label(THIEF, "exchange", "x")])
    assert told(run(rule(book=book), batch(*(sweep(n) for n in range(12))))) == []


def test_six_hours_is_the_window() -> None:
    """Two wallets now and one seven hours later are no sweep; after it the count begins anew."""
    early = Block([sweep(0), sweep(1)])
    late = Block([sweep(2)], time=START + 7 * 3600)
    again = Block([sweep(3), sweep(4)], time=START + 7 * 3600 + 60)
    assert told(run(rule(), Build().batch(early, late))) == []
    assert told(run(rule(), Build().batch(early, late, again))) == levels("low")


# --- with a node


def asked(balance: int | None, code: bytes | None = b"", count: int = 12) -> Told:
    """A node that knows what twelve victims have left, and the thief's code."""
    at = batch(sweep(0)).batch.position(0)
    return Told(
        balance={(wallet(100 + n), at): balance for n in range(count)}, code={(THIEF, at): code}
    )


def test_a_node_confirms_and_makes_it_louder() -> None:
    """Nothing left: medium, high, critical, though nothing was known of what was held."""
    txs = [sweep(n, from_held=0.0) for n in range(12)]
    assert found(*txs) == []
    assert found(*txs, node=asked(10**15)) == levels("medium", "high", "critical")


def test_a_node_that_knows_better_silences() -> None:
    """Wallets that have plenty left were not emptied, whatever they were seen to hold."""
    assert found(*(sweep(n) for n in range(12)), node=asked(ETHER)) == []


def test_a_node_that_is_silent_changes_nothing() -> None:
    """Unknown is what it is without a node."""
    txs = [sweep(n) for n in range(12)]
    assert found(*txs, node=asked(None)) == found(*txs) == levels("low", "medium", "high")


@pytest.mark.parametrize(
    ("code", "expected"),
    [(b"\x60\x80", []), (bytes.fromhex("ef0100") + bytes(20), ["medium"]), (None, ["medium"])],
)
def test_a_receiver_with_code_is_no_thief(code: bytes | None, expected: list[str]) -> None:
    """A Safe whose code only the node shows is left alone; borrowed code does not excuse."""
    node = asked(0, code)
    assert found(*(sweep(n) for n in range(3)), node=node) == levels(*expected)


def test_answers_leave_no_trace_in_the_state() -> None:
    """The digest is the same with a node and without."""
    with_node, without = rule(asked(0)), rule()
    blocks = batch(*(sweep(n) for n in range(12)))
    run(with_node, blocks)
    run(without, blocks)
    assert with_node.digest() == without.digest()
