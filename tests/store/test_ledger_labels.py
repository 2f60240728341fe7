"""Labels and promotions in the ledger: what holds, and the trail of who said so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainwarden.errors import StoreError
from chainwarden.schema import ETHEREUM, Label, LakeFile
from store.ledger import Commit, InForce, Ledger
from tests.store.ledgers import NOTE, at
from tests.store.made import WALLET, position

OTHER = b"\x07" * 20


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger, live, with one receiver."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        yield opened


def test_labels_are_kept_replaced_and_withdrawn(ledger: Ledger) -> None:
    """The same word by the same source is one label; each change takes force once."""
    first = Label(WALLET, "phishing", "analyst", 10)
    again = Label(WALLET, "phishing", "analyst", 20, note="sure now")
    other = Label(WALLET, "phishing", "list", 10)
    assert ledger.add_label(first)
    assert not ledger.add_label(again)
    assert ledger.add_label(other)
    assert ledger.labels() == [again, other]
    assert ledger.label_words([WALLET, OTHER]) == {WALLET: ["phishing"]}
    assert ledger.labels(applied=False) == [again, other]
    ledger.commit(Commit(at(1), labels=[InForce(1, [1, 2])]))
    assert ledger.labels(applied=False) == [other]
    assert ledger.labels(applied=True) == [again]
    ledger.add_label(again)
    assert ledger.labels(applied=True) == [again], "nothing new was said"
    ledger.add_label(first)
    assert ledger.labels(applied=False) == [first, other], "a changed label is to be heard again"
    assert ledger.withdraw_label(first)
    assert not ledger.withdraw_label(first)
    assert ledger.labels(WALLET) == [other]
    assert ledger.labels(OTHER) == []
    assert ledger.add_labels([first, Label(OTHER, "exchange", "list")]) == 2


def test_the_trail_of_labels_forgets_nothing(ledger: Ledger) -> None:
    """Who said what when and why, also what was changed and withdrawn, and from which block on."""
    first = Label(WALLET, "phishing", "analyst", 10, author="ana", note="victim")
    ledger.add_label(first)
    ledger.add_label(replace(first, valid_to=99, author="bob"))
    ledger.commit(Commit(at(4), labels=[InForce(3, [1, 2], [NOTE])]))
    ledger.withdraw_label(first, "eve", "was a mistake")
    said = [
        (change.serial, change.by, change.why, change.withdrawn, change.number)
        for change in ledger.label_changes()
    ]
    assert said == [
        (1, "ana", "victim", False, 3),
        (2, "bob", "victim", False, 3),
        (4, "eve", "was a mistake", True, None),
    ]
    assert [c.serial for c in ledger.label_changes(pending=True)] == [4]
    assert [c.label.valid_to for c in ledger.label_changes(address=WALLET, limit=2)] == [99, 99]
    assert ledger.label_changes(address=OTHER) == []
    assert ledger.label_lists() == [replace(NOTE, serial=3)]
    assert ledger.labels() == []


def test_a_fork_lowers_the_block_from_which_a_label_held(ledger: Ledger) -> None:
    """What took force above a reverted block was known to the block that takes its place."""
    ledger.add_labels([Label(WALLET, "scam", "a"), Label(OTHER, "scam", "a")])
    ledger.commit(Commit(at(8), labels=[InForce(5, [1]), InForce(8, [2], [NOTE])]))
    for number in (8, 7, 6):
        ledger.commit(Commit(at(number - 1), reverted=number))
    assert [change.number for change in ledger.label_changes()] == [5, 6]
    assert [note.number for note in ledger.label_lists()] == [1]


def test_a_ledger_takes_over_anothers_labels(ledger: Ledger, tmp_path: Path) -> None:
    """The same labels, the same trail, the same blocks."""
    label = Label(WALLET, "phishing", "analyst", 10, author="ana")
    ledger.add_labels([label, Label(OTHER, "scam", "a")])
    ledger.commit(Commit(at(4), labels=[InForce(3, [1], [NOTE])]))
    ledger.withdraw_label(label, "bob", "no")
    ledger.commit(Commit(at(5), labels=[InForce(5, [4])]))
    with Ledger.open(tmp_path / "other.duckdb", ETHEREUM) as other:
        other.take_over(ledger)
        assert other.labels() == ledger.labels()
        assert other.label_page(9) == [
            (2, Label(OTHER, "scam", "a"), None),
        ]
        for mine, theirs in zip(other.label_changes(), ledger.label_changes(), strict=True):
            assert replace(mine, serial=0, said_at=0) == replace(theirs, serial=0, said_at=0)
            assert mine.said_at == theirs.said_at
        assert [n.digest for n in other.label_lists()] == ["d1"]


def test_promotions_are_a_trail_and_figures_are_replaced(ledger: Ledger, tmp_path: Path) -> None:
    """Who promoted what, when and why, and with which block it took force; a fork lowers that."""
    assert ledger.model_figures() is None
    ledger.promote("abc", {"rate": 0.1}, "ana", "better")
    ledger.promote("def", {"rate": 0.2}, "bob")
    first, second = ledger.promotions()
    assert (first.configuration, first.parameters) == ("abc", {"rate": 0.1})
    assert (first.by, first.why, first.number, second.by) == ("ana", "better", None, "bob")
    ledger.commit(
        Commit(at(5), labels=[InForce(5, promotions=[first.serial])], models={"champion": 1})
    )
    ledger.commit(Commit(at(6), models={"champion": 2}))
    ledger.commit(Commit(at(7)))
    assert ledger.model_figures() == {"champion": 2}
    ledger.commit(Commit(at(4), reverted=4))
    assert [one.number for one in ledger.promotions()] == [4, None]
    with Ledger.open(tmp_path / "other.duckdb", ETHEREUM, "replay") as other:
        other.take_over(ledger)
        assert [(one.configuration, one.number, one.by) for one in other.promotions()] == [
            ("abc", 4, "ana"),
            ("def", None, "bob"),
        ]


def test_figures_that_were_not_kept_are_kept_the_next_time(ledger: Ledger) -> None:
    """Those that nothing changed about are not written again; a commit that failed wrote none."""
    ledger.commit(Commit(at(5), models={"champion": 1}))
    huge = LakeFile("flows/x.parquet", "flows", position(6), position(6), 2**80, 1)
    with pytest.raises(StoreError):
        ledger.commit(Commit(at(6), models={"champion": 2}, files_added=[huge]))
    assert ledger.model_figures() == {"champion": 1}
    for told in ({"champion": 2}, {"champion": 2}, {"champion": 1}):
        ledger.commit(Commit(at(6), models=told))
        assert ledger.model_figures() == told
