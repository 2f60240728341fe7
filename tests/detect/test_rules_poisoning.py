"""Address poisoning: lures, payoffs, and everything that only looks like them."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from chainwarden.schema import ETHEREUM, FlowKind, Role, Severity
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook
from detect.rules.address_poisoning import AddressPoisoning, PoisoningConfig
from detect.rules.columns import ColumnCache
from detect.rules.peers import is_close, is_likeness, likeness
from tests.detect.build import ETHER, Block, Build, Tx, at, run, told, uint, wallet, word
from tests.detect.test_anomaly import Findings

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
    """Each kind of lure is info about the lookalike; paying the lookalike is critical."""
    suspect = lookalike(PEER)
    laid = lure(VICTIM, suspect)
    found = run(
        rule(),
        Build().batch(Block([pays(VICTIM, PEER)]), Block([laid]), Block([pays(VICTIM, suspect)])),
    )
    assert told(found) == [
        ("address_poisoning", "info", suspect),
        ("poisoning_payoff", "critical", VICTIM),
    ]
    assert found[0].evidence.addresses == (VICTIM, PEER, laid.sender)
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


def test_an_operator_is_told_at_powers_of_ten() -> None:
    """A hundred lures are a hundred lookalikes, and their operator is low at the 10th and 100th."""
    build, poisoned = Build(), rule()
    peers = [wallet(200 + i) for i in range(100)]
    victims = [wallet(400 + i) for i in range(100)]
    run(poisoned, build.batch(Block([pays(v, p) for v, p in zip(victims, peers, strict=True)])))
    lures = [zero(v, lookalike(p)) for v, p in zip(victims, peers, strict=True)]
    found = run(poisoned, build.batch(Block(lures)))
    assert Counter(told(found)).total() == 102
    busy = [f for f in found if f.subject == OPERATOR]
    assert [(f.severity, f.reasons[0].value) for f in busy] == [
        (Severity.LOW, 10.0),
        (Severity.LOW, 100.0),
    ]
    assert {f.subject for f in found} == {OPERATOR, *(lookalike(p) for p in peers)}


def test_a_long_batch_of_lures_is_told_in_part_and_counted_whole() -> None:
    """Of forty lures in one transaction 32 are told, and the operator's count has all of them."""
    build, poisoned = Build(), rule()
    peers = [wallet(200 + i) for i in range(40)]
    victims = [wallet(400 + i) for i in range(40)]
    run(poisoned, build.batch(Block([pays(v, p) for v, p in zip(victims, peers, strict=True)])))
    logs = [(USDC, v, lookalike(p), 0) for v, p in zip(victims, peers, strict=True)]
    found = run(poisoned, build.batch(Block([Tx(OPERATOR, wallet(99), tokens=logs)])))
    assert Counter(f.severity for f in found) == {Severity.INFO: 32, Severity.LOW: 1}
    assert poisoned._operators.get(OPERATOR) == (40, Build().time + 12)


def test_a_loose_likeness_must_come_out_of_nowhere() -> None:
    """With 2 + 3 digits in common a wallet with a past is chance; one with 4 + 4 is not."""
    for digits, alike in (((2, 3), False), ((4, 4), True)):
        lure = dust(VICTIM, lookalike(PEER, *digits))
        lure.facts["from_events"] = 50
        assert bool(run(rule(), Build().batch(Block([pays(VICTIM, PEER), lure])))) == alike


def test_wallets_that_funded_one_another_are_one_owners() -> None:
    """A lookalike whose first coins came from the victim, or the other way, is no lure."""
    for facts in (
        {"from_funder": 7, "to_hash": 7},
        {"to_funder": 8, "from_hash": 8},
    ):
        lure = dust(VICTIM, lookalike(PEER))
        lure.facts |= facts
        assert run(rule(), Build().batch(Block([pays(VICTIM, PEER), lure]))) == []
    stranger = dust(VICTIM, lookalike(PEER))
    stranger.facts |= {"from_funder": 7, "to_hash": 8, "to_funder": 7}
    assert len(run(rule(), Build().batch(Block([pays(VICTIM, PEER), stranger])))) == 1


def test_a_forgotten_lure_still_makes_a_payoff_worse() -> None:
    """When so many lures came after it that it is forgotten, paying the lookalike is high."""
    small = AddressPoisoning(LabelBook(), ColumnCache(), PoisoningConfig(1024, 8, 64))
    suspect, build = lookalike(PEER), Build()
    peers = [wallet(200 + i) for i in range(20)]
    txs = [pays(VICTIM, PEER), *(pays(wallet(400 + i), p) for i, p in enumerate(peers))]
    txs += [zero(VICTIM, suspect)]
    txs += [zero(wallet(400 + i), lookalike(p)) for i, p in enumerate(peers)]
    paying = pays(VICTIM, suspect)
    paying.facts["pair_events"] = 1
    found = run(small, build.batch(Block([*txs, paying])))
    assert told(found)[-1] == ("poisoning_payoff", "high", VICTIM)


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


def real_poisonings(shared_data: Path) -> list[dict[str, str]]:
    """The 75 recorded transfers; the file's last two columns have no name in its header."""
    with open(shared_data / "poisoning" / "transfers.csv") as file:
        header, *rows = csv.reader(file)
    return [dict(zip([*header, "side", "digits"], row, strict=True)) for row in rows]


def staged(rows: list[dict[str, str]]) -> list[Block]:
    """Genuine transfers, and each poisonous one as many blocks later as it was, in chain order."""
    blocks: dict[int, list[Tx]] = defaultdict(list)
    for salt, row in enumerate(rows):
        attacker, victim, imitated = (
            at(row[name]) for name in ("attacker", "victim", "similar_norm")
        )
        token, signer = at(row["fake_token_address"]), at(row["tx_from"].lower())
        number = int(row["block_number"])
        genuine = USDT if row["symbol"] == "usdt" else USDC
        paid = [(genuine, victim, imitated, 500 * DOLLAR)]
        blocks[number - int(row["block_distance"])].append(
            Tx(victim, genuine, tokens=paid, salt=salt)
        )
        moved = {
            "dust": (token, attacker, victim, DOLLAR // 1000),
            "zero": (token, victim, attacker, 0),
            "fake": (token, victim, attacker, 500 * DOLLAR),
        }[row["phishing_type"]]
        blocks[number].append(Tx(signer, at(row["tx_to"].lower()), tokens=[moved], salt=salt))
    return [Block(txs, number=n, time=12 * n + 3) for n, txs in sorted(blocks.items())]


@pytest.mark.data
def test_every_real_poisoning_is_found(shared_data: Path) -> None:
    """All 75, each at its distance from the genuine transfer, with attacker and victim named.

    They go through one detector, with the facts that it has of everybody, in chain order.
    """
    rows = real_poisonings(shared_data)
    assert Counter(row["phishing_type"] for row in rows) == {"zero": 25, "dust": 25, "fake": 25}
    blocks, policy = staged(rows), Findings()
    detector = Detector(ETHEREUM, DetectorConfig(wallets=4096), [rule()], policy)
    build = Build()
    for block in blocks:
        detector.process(build.batch(block).batch)
    named = {
        (f.transaction_hash, f.subject, f.evidence.addresses[:2])
        for f in policy.found
        if f.rule == "address_poisoning" and f.severity == Severity.INFO
    }
    wanted = {
        (
            tx.hash(),
            at(row["attacker"]),
            (at(row["victim"]), at(row["similar_norm"])),
        )
        for row, tx in _poisons(rows, blocks)
    }
    assert len(wanted) == 75
    assert wanted <= named
    assert all(f.role == Role.ATTACKER for f in policy.found)
    operators = {at(row["tx_from"].lower()) for row in rows}
    others = [f for f in policy.found if f.severity != Severity.INFO]
    assert {f.subject for f in others} <= operators


def _poisons(
    rows: list[dict[str, str]], blocks: list[Block]
) -> Iterator[tuple[dict[str, str], Tx]]:
    for salt, row in enumerate(rows):
        (found,) = [
            tx
            for block in blocks
            if block.number == int(row["block_number"])
            for tx in block.txs
            if tx.salt == salt and tx.sender == at(row["tx_from"].lower())
        ]
        yield row, found


def test_calldata_is_never_needed() -> None:
    """A source without calldata still shows lures and payoffs."""
    suspect = lookalike(PEER)
    txs = [pays(VICTIM, PEER), zero(VICTIM, suspect), pays(VICTIM, suspect)]
    for tx in txs:
        tx.data = None
    assert len(run(rule(), Build().batch(Block(txs)))) == 2
    assert len(uint(1)) == len(word(VICTIM)) == 32
