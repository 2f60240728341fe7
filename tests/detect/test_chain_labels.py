"""Labels that the chain itself gives: from their block on, and gone with it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import DetectError
from chainwarden.schema import ETHEREUM, Label
from detect.alerts import AlertPolicy
from detect.detector import Detector
from detect.known.freezes import USDC_FROZEN, USDC_UNFROZEN, USDT_FROZEN, USDT_UNFROZEN
from detect.known.sanctions import SANCTIONS_ADDED, SANCTIONS_ORACLE, SANCTIONS_REMOVED
from detect.known.tokens import USDC, USDT
from detect.label_words import Verdict
from detect.labels import LabelBook
from detect.rules.chain_labels import MOST_PERIODS, ChainLabels, ChainLabelsConfig
from detect.rules.columns import ColumnCache
from detect.rules.sanctions_touch import SanctionsTouch
from tests.detect.build import ETHER, START, Block, Build, Tx, run, told, uint, wallet, word
from tests.detect.runs import RISKY
from tests.detect.test_rules_contract import listing

ALICE, BOB, MALLORY = wallet(1), wallet(2), wallet(3)
NAME = ETHEREUM.name
BAD = Verdict.BAD


def rule_of(book: LabelBook, capacity: int = 64) -> ChainLabels:
    """The rule over a book."""
    return ChainLabels(book, ETHEREUM, ColumnCache(), ChainLabelsConfig(capacity))


def oracle(*wallets: bytes, topic: bytes = SANCTIONS_ADDED) -> Tx:
    """The oracle lists wallets, or takes them off."""
    logs = [(SANCTIONS_ORACLE, [topic], listing(*wallets))]
    return Tx(ALICE, SANCTIONS_ORACLE, logs=logs)


def at(book: LabelBook, address: bytes, time: int) -> list[tuple[str, str]]:
    """Word and source of what holds at a time."""
    return [(label.label, label.source) for label in book.labels_at(address, time, NAME)]


def test_a_listing_is_told_and_holds_from_the_next_block_on() -> None:
    """Not within its own block; until the oracle takes it back; not on another chain."""
    book, build = LabelBook(), Build()
    rule = rule_of(book)
    found = run(rule, build.batch(Block([oracle(BOB, MALLORY)]), Block()))
    assert told(found) == [("sanctions_list", "high", BOB), ("sanctions_list", "high", MALLORY)]
    assert at(book, BOB, START) == []
    assert at(book, BOB, START + 1) == [("sanctioned", "chainalysis oracle")]
    assert book.labels_at(BOB, START + 12, "base") == ()
    assert run(rule, build.batch(Block([oracle(BOB, topic=SANCTIONS_REMOVED)]))) == []
    assert at(book, BOB, START + 24) == [("sanctioned", "chainalysis oracle")]
    assert at(book, BOB, START + 25) == []
    assert at(book, MALLORY, START + 25) == [("sanctioned", "chainalysis oracle")]


def test_payments_count_from_the_block_after_the_listing() -> None:
    """In one batch, sanctions_touch sees the listing in later blocks only, and what ended it."""
    book, build, cache = LabelBook(), Build(), ColumnCache()
    rule, touch = rule_of(book), SanctionsTouch(book, cache)
    pays = Tx(ALICE, MALLORY, ETHER)
    scored = build.batch(
        Block([pays]),
        Block([oracle(MALLORY), pays]),
        Block([pays]),
        Block([oracle(MALLORY, topic=SANCTIONS_REMOVED)]),
        Block([pays]),
    )
    run(rule, scored)
    assert [f.block_row for f in run(touch, scored)] == [2]


def test_a_reverted_block_takes_its_labels_with_it() -> None:
    """Listing, freeze and thaw are undone exactly, and may come again on another branch."""
    book, build = LabelBook(), Build()
    rule = rule_of(book)
    run(rule, build.batch(Block([Tx(ALICE, USDT, logs=[(USDT, [USDT_FROZEN], word(BOB))])])))
    mark, before = build.mark(), rule.digest()
    thaw = Tx(ALICE, USDT, logs=[(USDT, [USDT_UNFROZEN], word(BOB))])
    run(rule, build.batch(Block([oracle(MALLORY), thaw])))
    late = START + 1000
    assert (at(book, BOB, late), len(at(book, MALLORY, late))) == ([], 1)
    assert book.addresses_with(["sanctioned"], late, late, NAME).to_pylist() == [MALLORY]
    rule.revert(1)
    assert rule.digest() == before
    assert at(book, BOB, late) == [("frozen", "tether")]
    assert at(book, MALLORY, late) == []
    assert book.addresses_with(["sanctioned"], late, late, NAME).to_pylist() == []
    build.back(mark)
    run(rule, build.batch(Block([oracle(ALICE)])))
    assert book.addresses_with(["sanctioned"], late, late, NAME).to_pylist() == [ALICE]


def test_only_those_who_keep_the_lists_are_heard() -> None:
    """The same events from other contracts, or too short, label nobody."""
    book = LabelBook()
    logs = [
        (USDT, [SANCTIONS_ADDED], listing(BOB)),
        (wallet(9), [USDC_FROZEN, word(BOB)], b""),
        (SANCTIONS_ORACLE, [USDT_FROZEN], word(BOB)),
        (USDT, [USDT_FROZEN], b"short"),
        (SANCTIONS_ORACLE, [SANCTIONS_ADDED], uint(32) + uint(5)),
        (SANCTIONS_ORACLE, [SANCTIONS_ADDED], b"\xff" * 96),
    ]
    assert run(rule_of(book), Build().batch(Block([Tx(ALICE, USDT, logs=logs)]))) == []
    assert book.labels_of(BOB) == ()


def test_each_issuer_thaws_its_own_freeze() -> None:
    """Circle's unfreeze ends Circle's freeze and not Tether's; a second freeze changes nothing."""
    book, build = LabelBook(), Build()
    rule = rule_of(book)
    froze = [(USDT, [USDT_FROZEN], word(BOB)), (USDC, [USDC_FROZEN, word(BOB)], b"")]
    run(
        rule,
        build.batch(Block([Tx(ALICE, USDT, logs=froze)]), Block([Tx(ALICE, USDT, logs=froze)])),
    )
    assert len(book.labels_of(BOB)) == 2
    thaw = Tx(ALICE, USDC, logs=[(USDC, [USDC_UNFROZEN, word(BOB)], b"")])
    run(rule, build.batch(Block([thaw])))
    assert at(book, BOB, START + 99) == [("frozen", "tether")]


def test_a_full_table_takes_no_more_and_frees_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Beyond the capacity new wallets are not taken, which is said once; the old ones stay."""
    book = LabelBook()
    rule = rule_of(book, capacity=3)
    with caplog.at_level(logging.WARNING):
        run(rule, Build().batch(Block([oracle(*[wallet(100 + i) for i in range(9)])])))
    held = [i for i in range(9) if book.labels_of(wallet(100 + i))]
    assert held == [0, 1, 2]
    assert len([r for r in caplog.records if "no room" in r.getMessage()]) == 1


def test_a_wallet_that_comes_and_goes_is_bounded() -> None:
    """Of many listings of one wallet the newest periods are remembered."""
    book, build = LabelBook(), Build()
    rule = rule_of(book)
    turns = [Block([oracle(BOB)]), Block([oracle(BOB, topic=SANCTIONS_REMOVED)])] * 20
    run(rule, build.batch(*[Block(block.txs) for block in turns]))
    held = book.labels_of(BOB)
    assert len(held) == MOST_PERIODS
    assert held[-1].valid_to == START + 39 * 12 + 1


def test_labels_of_the_chain_are_a_verdict_until_somebody_knows_better() -> None:
    """A frozen wallet is bad, for the models as well; an analyst's word weighs more."""
    book = LabelBook()
    run(rule_of(book), Build().batch(Block([oracle(BOB)])))
    asked = book.outcomes(NAME)
    assert (asked(BOB, START), asked(BOB, START + 1)) == (Verdict.UNKNOWN, Verdict.BAD)
    book.add(Label(BOB, "benign", "analyst", START + 5))
    assert (asked(BOB, START + 4), asked(BOB, START + 5)) == (Verdict.BAD, Verdict.GOOD)


def test_a_book_serves_one_detector_and_its_twin_another() -> None:
    """A second rule on the same book is refused; a twin shares what people say, not the chain's."""
    book = LabelBook([Label(BOB, "scam", "x")])
    rule = rule_of(book)
    with pytest.raises(DetectError, match="twin"):
        rule_of(book)
    twin = book.twin()
    rule_of(twin)
    run(rule, Build().batch(Block([oracle(MALLORY)])))
    book.add(Label(ALICE, "scam", "x"))
    assert (len(book.labels_of(MALLORY)), len(twin.labels_of(MALLORY))) == (1, 0)
    assert twin.labels_of(ALICE) == book.labels_of(ALICE) != ()


def test_models_hear_the_chain_the_same_however_blocks_are_batched() -> None:
    """A label that comes due within the batch that froze its wallet is bad, as block by block."""
    build, pays = Build(), [Tx(wallet(n), wallet(n + 1), ETHER, salt=n) for n in range(4)]
    freeze = Tx(ALICE, USDT, logs=[(USDT, [USDT_FROZEN], word(wallet(2)))])
    blocks = [Block([*pays, freeze] if n == 2 else pays) for n in range(8)]
    for n, block in enumerate(blocks):
        block.txs = [replace(tx, salt=100 * n + tx.salt) for tx in block.txs]
    batch = build.batch(*blocks).batch
    assert RISKY.risk is not None
    config = replace(RISKY, risk=replace(RISKY.risk, delay_seconds=36), challenger=None)
    told = []
    for parts in ([batch], list(batch.split())):
        book = LabelBook()
        asked: list[tuple[bytes, int, Verdict]] = []

        def outcome(
            address: bytes, now: int, book: LabelBook = book, asked: list[Any] = asked
        ) -> bool:
            asked.append((address, now, book.verdict_at(address, now, NAME)))
            return bool(asked[-1][-1] == BAD)

        detector = Detector(ETHEREUM, config, [rule_of(book)], AlertPolicy(ETHEREUM), outcome)
        for part in parts:
            detector.process(part)
        told.append((asked, detector.digest()))
    assert told[0] == told[1]
    verdicts = {verdict for address, _, verdict in told[0][0] if address == wallet(2)}
    assert BAD in verdicts


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=3), min_size=1, max_size=6
    ),
    st.data(),
)
def test_asking_early_is_no_different(
    said: list[list[tuple[bool, int]]], data: st.DataObject
) -> None:
    """Taken by ``advance`` before the rules run, block by block or at once: the same state."""
    blocks = [
        Block(
            [oracle(wallet(n), topic=SANCTIONS_ADDED if on else SANCTIONS_REMOVED) for on, n in b]
        )
        for b in said
    ]
    books = [LabelBook() for _ in range(2)]
    first, second = (rule_of(book, capacity=3) for book in books)
    scored = Build().batch(*blocks)
    first.advance(scored.batch, 0)
    once = run(first, scored)
    build = Build()
    parts = [build.batch(block) for block in blocks]
    found = [
        (f.block_row + n, f.subject) for n, part in enumerate(parts) for f in run(second, part)
    ]
    assert [(f.block_row, f.subject) for f in once] == found
    assert first.digest() == second.digest()
    time = START + data.draw(st.integers(0, 90))
    for n in range(4):
        assert at(books[0], wallet(n), time) == at(books[1], wallet(n), time)
