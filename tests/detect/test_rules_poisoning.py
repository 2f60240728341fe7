"""Address poisoning: lures, payoffs, and everything that only looks like them."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from chainwarden.schema import FlowKind, Role, Severity
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook
from detect.rules.address_poisoning import AddressPoisoning, PoisoningConfig
from detect.rules.columns import ColumnCache
from detect.rules.peers import is_close, is_likeness, likeness
from tests.detect.build import ETHER, Block, Build, Tx, at, run, told, uint, wallet, word

VICTIM, PEER, OPERATOR, OTHER = wallet(1), wallet(2), wallet(3), wallet(4)
DOLLAR = 10**6


def rule() -> AddressPoisoning:
    """A small one."""
    return AddressPoisoning(LabelBook(), ColumnCache(), PoisoningConfig(1024, 1024, 64))


def lookalike(of: bytes, lead: int = 4, trail: int = 4, salt: int = 9) -> bytes:
    """An address with so many leading and trailing hex digits of another and no more."""
    text, base = of.hex(), wallet(5000 + salt).hex()
    middle = list(base)
    middle[lead] = "1" if text[lead] != "1" else "2"
    middle[39 - trail] = "1" if text[39 - trail] != "1" else "2"
    return bytes.fromhex(text[:lead] + "".join(middle[lead : 40 - trail]) + text[40 - trail :])


def pays(sender: bytes, receiver: bytes, dollars: int = 500) -> Tx:
    """A real transfer of USDT."""
    return Tx(sender, USDT, tokens=[(USDT, sender, receiver, dollars * DOLLAR)])


def zero(victim: bytes, suspect: bytes, operator: bytes = OPERATOR) -> Tx:
    """A transferFrom of nothing, which anybody may call."""
    return Tx(operator, wallet(99), tokens=[(USDC, victim, suspect, 0)])


def dust(victim: bytes, suspect: bytes) -> Tx:
    """A thousandth of a dollar from the lookalike."""
    return Tx(suspect, USDT, tokens=[(USDT, suspect, victim, DOLLAR // 1000)])


def fake(victim: bytes, suspect: bytes, operator: bytes = OPERATOR) -> Tx:
    """A transfer of a token of the operator's own making, by its log from the victim."""
    token = wallet(98)
    return Tx(operator, token, tokens=[(token, victim, suspect, 500 * DOLLAR)])


def words(address: bytes) -> np.ndarray:
    """As the kernels see an address."""
    return np.frombuffer(address, ">u4").astype(np.uint32)


@pytest.mark.parametrize("lure", [zero, dust, fake])
def test_a_lure_is_told_about_its_operator_and_the_payoff_is_critical(
    lure: Callable[[bytes, bytes], Tx],
) -> None:
    """Each kind of lure is info about whoever signed it; paying the lookalike is critical."""
    suspect = lookalike(PEER)
    laid = lure(VICTIM, suspect)
    found = run(
        rule(),
        Build().batch(Block([pays(VICTIM, PEER)]), Block([laid]), Block([pays(VICTIM, suspect)])),
    )
    assert told(found) == [
        ("address_poisoning", "info", laid.sender),
        ("poisoning_payoff", "critical", VICTIM),
    ]
    assert found[1].role == Role.VICTIM
    assert found[1].evidence.addresses[:2] == (suspect, PEER)
    assert found[1].evidence.transactions[1] == laid.hash()


def test_a_fake_token_to_the_victim_is_a_lure_too() -> None:
    """A fake token "from" the lookalike is a lure, whoever emitted the log."""
    suspect = lookalike(PEER)
    laid = Tx(OPERATOR, wallet(98), tokens=[(wallet(98), suspect, VICTIM, 500 * DOLLAR)])
    found = run(rule(), Build().batch(Block([pays(VICTIM, PEER), laid, pays(VICTIM, suspect)])))
    assert [f.rule for f in found] == ["address_poisoning", "poisoning_payoff"]


def test_a_payoff_in_ether_counts() -> None:
    """The rings know real ether as well as listed tokens."""
    suspect = lookalike(PEER)
    txs = [Tx(VICTIM, PEER, ETHER), Tx(suspect, VICTIM, 10**9), Tx(VICTIM, suspect, ETHER)]
    found = run(rule(), Build().batch(Block(txs)))
    assert told(found)[-1] == ("poisoning_payoff", "critical", VICTIM)


def test_a_loose_likeness_pays_off_as_high() -> None:
    """With 2 + 3 digits in common the lure counts and the payoff is high."""
    suspect = lookalike(PEER, lead=2, trail=3)
    txs = [pays(VICTIM, PEER), zero(VICTIM, suspect), pays(VICTIM, suspect)]
    assert [f.severity for f in run(rule(), Build().batch(Block(txs)))] == [
        Severity.INFO,
        Severity.HIGH,
    ]


@pytest.mark.parametrize(
    ("lead", "trail", "alike", "close"),
    [
        (4, 4, True, True),
        (3, 4, True, True),
        (0, 7, True, True),
        (2, 3, True, False),
        (1, 5, False, False),
        (3, 2, False, False),
        (0, 6, False, False),
    ],
)
def test_how_many_digits_make_a_likeness(lead: int, trail: int, alike: bool, close: bool) -> None:
    """Seven digits in all, or 2 + 3, are a likeness; only the former is no chance."""
    peer = at("0x123456789abcdef123456789abcdef1234567891")
    found = likeness(words(peer), words(lookalike(peer, lead, trail)))
    assert found[:2] == (lead, trail)
    assert is_likeness(*found) == alike
    assert is_close(*found) == close


def test_zeros_make_no_likeness() -> None:
    """Contracts mined for leading zeros do not imitate one another."""
    a = at("0x00000000000000adc04c56bf30ac9d3c0aaf14dc")
    b = at("0x00000000000001ad428e4906ae43d8f9852d0dd6")
    assert not is_likeness(*likeness(words(a), words(b)))


def test_nobody_lures_himself() -> None:
    """What the victim signed is his own doing: a zero transfer, a swap of an unlisted token."""
    suspect = lookalike(PEER)
    txs = [pays(VICTIM, PEER), zero(VICTIM, suspect, operator=VICTIM)]
    txs.append(fake(VICTIM, suspect, operator=VICTIM))
    assert run(rule(), Build().batch(Block(txs))) == []


def test_a_wallet_really_dealt_with_is_no_stranger() -> None:
    """A peer that resembles another peer lures nobody with what it sends."""
    suspect = lookalike(PEER)
    txs = [pays(VICTIM, suspect), pays(VICTIM, PEER), dust(VICTIM, suspect)]
    found = run(rule(), Build().batch(Block(txs)))
    assert [f.rule for f in found if f.rule == "address_poisoning"] == []


def test_vanity_wallets_of_one_owner_are_no_lures() -> None:
    """Lookalikes that pay one another, or that resemble the "victim" itself, are one owner's."""
    suspect = lookalike(PEER)
    related = [pays(VICTIM, PEER), pays(PEER, suspect), dust(VICTIM, suspect)]
    assert run(rule(), Build().batch(Block(related))) == []
    family = [lookalike(PEER, salt=n) for n in (1, 2)]
    mined = [pays(family[0], PEER), dust(family[0], family[1])]
    assert run(rule(), Build().batch(Block(mined))) == []


def test_contracts_mints_and_strangers_are_no_victims() -> None:
    """No lure: a victim with code, a mint, a wallet that never paid the one imitated."""
    suspect = lookalike(PEER)
    has_code = zero(VICTIM, suspect)
    has_code.facts["from_is_contract"] = True
    mint = Tx(OPERATOR, wallet(98), tokens=[(wallet(98), bytes(20), suspect, 5)])
    stranger = zero(OTHER, suspect)
    txs = [pays(VICTIM, PEER), has_code, mint, stranger, pays(VICTIM, OTHER)]
    assert run(rule(), Build().batch(Block(txs))) == []


def test_failed_transfers_and_nfts_are_no_lures() -> None:
    """A transaction that failed planted nothing; an NFT is no money."""
    suspect = lookalike(PEER)
    failed = zero(VICTIM, suspect)
    failed.status = 0
    nft = fake(VICTIM, suspect)
    nft.kind = FlowKind.ERC721
    assert run(rule(), Build().batch(Block([pays(VICTIM, PEER), failed, nft]))) == []


def test_a_close_lookalike_paid_without_a_lure_is_medium() -> None:
    """4 + 4 digits and a history are worth a word without a lure; 3 + 4, or no history, are not."""
    close = [pays(VICTIM, PEER), pays(VICTIM, lookalike(PEER, 4, 4))]
    assert run(rule(), Build().batch(Block(close))) == []
    close[1].facts["pair_events"] = 1
    assert told(run(rule(), Build().batch(Block(close)))) == [
        ("poisoning_payoff", "medium", VICTIM)
    ]
    loose = [pays(VICTIM, PEER), pays(VICTIM, lookalike(PEER, 3, 4))]
    loose[1].facts["pair_events"] = 1
    assert run(rule(), Build().batch(Block(loose))) == []


def test_lures_are_told_at_powers_of_ten() -> None:
    """A hundred lures of one operator make three findings, low from the tenth on."""
    build, poisoned = Build(), rule()
    peers = [wallet(200 + i) for i in range(100)]
    victims = [wallet(400 + i) for i in range(100)]
    run(poisoned, build.batch(Block([pays(v, p) for v, p in zip(victims, peers, strict=True)])))
    lures = [zero(v, lookalike(p)) for v, p in zip(victims, peers, strict=True)]
    found = run(poisoned, build.batch(Block(lures)))
    assert told(found) == [
        ("address_poisoning", "info", OPERATOR),
        ("address_poisoning", "low", OPERATOR),
        ("address_poisoning", "low", OPERATOR),
    ]
    assert [f.reasons[0].value for f in found] == [1.0, 10.0, 100.0]


def test_the_payoff_is_seen_when_the_imitated_left_the_ring() -> None:
    """Sixteen new peers between lure and payoff do not save the attacker."""
    suspect = lookalike(PEER)
    txs = [pays(VICTIM, PEER), zero(VICTIM, suspect)]
    txs += [pays(VICTIM, wallet(300 + i)) for i in range(20)]
    found = run(rule(), Build().batch(Block([*txs, pays(VICTIM, suspect)])))
    assert told(found)[-1] == ("poisoning_payoff", "critical", VICTIM)


def test_a_revert_takes_rings_and_lures_back() -> None:
    """After a revert the digest is that of before, and the lure is forgotten."""
    poisoned, build, suspect = rule(), Build(), lookalike(PEER)
    run(poisoned, build.batch(Block([pays(VICTIM, PEER)])))
    mark, before = build.mark(), poisoned.digest()
    run(poisoned, build.batch(Block([zero(VICTIM, suspect), pays(VICTIM, OTHER)])))
    assert poisoned.digest() != before
    poisoned.revert(1)
    assert poisoned.digest() == before
    build.back(mark)
    assert run(poisoned, build.batch(Block([pays(VICTIM, suspect)], fork=1))) == []


def test_full_buckets_give_up_the_row_longest_unwritten() -> None:
    """The table stays within its bound, and reverting evictions brings the rows back."""
    small = AddressPoisoning(LabelBook(), ColumnCache(), PoisoningConfig(8, 64, 8))
    build = Build()
    run(small, build.batch(Block([pays(wallet(10 + i), PEER) for i in range(8)])))
    before = small.digest()
    run(small, build.batch(Block([pays(wallet(50), PEER)])))
    found = run(small, build.batch(Block([zero(wallet(10), lookalike(PEER))])))
    assert found == []  # wallet 10 was the oldest
    small.revert(2)
    small.revert(1)
    assert small.digest() == before
    build.serial = 1
    found = run(small, build.batch(Block([zero(wallet(10), lookalike(PEER))])))
    assert len(found) == 1


@pytest.mark.data
def test_every_real_lookalike_is_one(shared_data: Path) -> None:
    """All 75 recorded poisoning pairs are likenesses, and each would have been a lure here."""
    with open(shared_data / "poisoning" / "transfers.csv") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == 75
    kinds = {"dust": dust, "zero": zero, "fake": fake}
    for row in rows:
        attacker, victim, imitated = (at(text.lower()) for text in row[:3])
        assert is_likeness(*likeness(words(attacker), words(imitated))), row[0]
        laid = kinds[row[5]](victim, attacker)
        found = run(rule(), Build().batch(Block([pays(victim, imitated), laid])))
        assert [f.rule for f in found] == ["address_poisoning"], row[0]


def test_calldata_is_never_needed() -> None:
    """A source without calldata still shows lures and payoffs."""
    suspect = lookalike(PEER)
    txs = [pays(VICTIM, PEER), zero(VICTIM, suspect), pays(VICTIM, suspect)]
    for tx in txs:
        tx.data = None
    assert len(run(rule(), Build().batch(Block(txs)))) == 2
    assert len(uint(1)) == len(word(VICTIM)) == 32
