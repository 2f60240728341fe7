"""What labels mean together: verdicts, contradictions, and the feed of what changed."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import LabelError
from chainwarden.schema import ANALYST, Label
from detect import label_store
from detect.label_words import BAD_LABELS, Verdict, word_verdict
from detect.labels import LabelBook
from tests.detect.build import wallet

A, B = wallet(1), wallet(2)
EXCHANGE = bytes.fromhex("28C6c06298d514Db089934071355E5743bf21d60")  # a known service
NOW = 1_000
UNKNOWN, GOOD, BAD = Verdict.UNKNOWN, Verdict.GOOD, Verdict.BAD


def listed(word: str, since: int = 0, until: int | None = None, chain: str | None = None) -> Label:
    """A list's word about A."""
    return Label(A, word, "list", since, until, chain)


def said(word: str, since: int = 0, until: int | None = None, chain: str | None = None) -> Label:
    """An analyst's word about A."""
    return Label(A, word, ANALYST, since, until, chain)


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        ([], UNKNOWN),
        ([listed("mixer"), listed("bot")], UNKNOWN),
        ([listed("phishing")], BAD),
        ([listed("exchange")], GOOD),
        ([listed("exchange"), listed("phishing")], BAD),
        ([listed("frozen")], BAD),
        ([listed("phishing"), said("benign")], GOOD),
        ([said("benign"), listed("phishing")], GOOD),
        ([listed("phishing"), said("false_positive")], GOOD),
        ([listed("exchange"), said("phishing")], BAD),
        ([said("phishing"), said("benign")], GOOD),
        ([said("benign"), said("phishing")], BAD),
        ([said("benign", 5), said("phishing", 1)], BAD),
        ([said("phishing"), said("mixer")], BAD),
        ([listed("phishing"), said("mixer")], BAD),
        ([listed("phishing"), said("benign", NOW + 1)], BAD),
        ([listed("phishing"), said("benign", 0, NOW)], BAD),
        ([listed("phishing"), said("benign", chain="base")], BAD),
        ([listed("phishing", NOW + 1)], UNKNOWN),
        ([listed("phishing", 0, NOW)], UNKNOWN),
        ([listed("phishing", chain="base")], UNKNOWN),
    ],
)
def test_contradictions_have_one_answer(labels: list[Label], verdict: Verdict) -> None:
    """The last word of an analyst, then bad lists, then services; only what is in force counts."""
    assert LabelBook(labels).verdict_at(A, NOW, "ethereum") == verdict


def test_a_known_service_is_good_until_somebody_calls_it_bad() -> None:
    """Mainnet's exchanges need no list; a sanctioned one is bad all the same."""
    book = LabelBook()
    assert book.verdict_at(EXCHANGE, NOW) == GOOD
    book.add(Label(EXCHANGE, "sanctioned", "ofac"))
    assert book.verdict_at(EXCHANGE, NOW) == BAD
    assert not book.is_service(EXCHANGE, NOW)
    book.add(Label(EXCHANGE, "false_positive", ANALYST))
    assert book.verdict_at(EXCHANGE, NOW) == GOOD
    assert book.is_service(EXCHANGE, NOW)


def test_benign_is_a_licence_and_a_false_positive_is_none() -> None:
    """What an analyst trusts is treated as a service; what was no fraud once may be one later."""
    assert LabelBook([said("benign")]).is_service(A, NOW)
    assert not LabelBook([said("false_positive")]).is_service(A, NOW)
    assert not LabelBook([listed("benign")]).is_service(A, NOW)
    assert not LabelBook([listed("exchange"), said("scam")]).is_service(A, NOW)


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            Label,
            st.just(A),
            st.sampled_from(["phishing", "exchange", "benign", "mixer", "frozen"]),
            st.sampled_from(["list", "other", ANALYST]),
            st.integers(0, 8),
            st.none() | st.integers(8, 12),
            st.sampled_from([None, "ethereum", "base"]),
        ),
        max_size=6,
    ),
    st.integers(0, 14),
)
def test_verdicts_agree_with_the_rules_as_written(labels: list[Label], now: int) -> None:
    """An oracle that follows the four sentences of the documentation gives the same verdict."""
    book = LabelBook(labels)
    held = [x for x in book.labels_of(A) if x.holds_at(now) and x.chain in (None, "ethereum")]
    people = [x for x in held if x.source == ANALYST and word_verdict(x.label)]
    expected = UNKNOWN
    if people:
        expected = word_verdict(people[-1].label)
    elif any(x.label in BAD_LABELS for x in held):
        expected = BAD
    elif any(x.label in ("exchange", "benign") for x in held):
        expected = GOOD
    assert book.verdict_at(A, now, "ethereum") == expected


# --- the feed


def test_the_feed_tells_what_changed_while_it_ran() -> None:
    """What is said with its time changes verdicts: what was, what is, and from when on."""
    book = LabelBook([listed("exchange")])
    start = book.version
    book.add(said("phishing"), at=NOW)
    book.add(said("mixer"), at=NOW + 1)  # no verdict: nothing changes
    book.add(Label(B, "scam", ANALYST, NOW + 500), at=NOW + 2)  # of the future
    book.unsay(said("phishing"), at=NOW + 3)
    changes, whole = book.changes_since(start)
    assert whole
    assert [(c.address, c.before, c.after, c.at) for c in changes] == [
        (A, GOOD, BAD, NOW),
        (B, UNKNOWN, BAD, NOW + 500),
        (A, BAD, GOOD, NOW + 3),
    ]
    assert book.changes_since(changes[0].version)[0] == changes[1:]
    assert book.changes_since(book.version) == ((), True)


def test_what_was_loaded_before_is_no_change() -> None:
    """Labels without a time, as at a start, are not in the feed."""
    book = LabelBook([listed("phishing")])
    book.replace_list("list.csv", [Label(B, "scam", "x")])
    assert book.changes_since(0) == ((), True)


def test_the_feed_is_bounded_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more changes than are kept the newest are there, and older readers are told."""
    monkeypatch.setattr(label_store, "CHANGES_KEPT", 3)
    book = LabelBook()
    for number in range(5):
        book.add(Label(wallet(number), "scam", ANALYST), at=NOW)
    changes, whole = book.changes_since(0)
    assert [c.address for c in changes] == [wallet(n) for n in (2, 3, 4)]
    assert not whole
    assert book.changes_since(2) == (changes, True)


def test_taking_back_is_by_source_and_chain() -> None:
    """What an analyst takes back is the analyst's own word on that chain, no list's, no other's."""
    book = LabelBook([said("phishing"), said("phishing", chain="base"), listed("phishing")])
    book.replace_list("l", [listed("phishing")])
    assert book.unsay(said("phishing")) == 1
    assert len(book.labels_of(A)) == 3
    assert book.unsay(said("phishing")) == 0


# --- lists that change


def test_a_list_is_replaced_whole() -> None:
    """What is not on it any more is gone, what others say stays; the counts are exact."""
    book = LabelBook([said("benign")])
    assert book.replace_list("a", [listed("phishing"), Label(B, "scam", "list")]) == (2, 0)
    assert book.replace_list("b", [Label(B, "scam", "list")]) == (1, 0)
    assert len(book) == 4
    assert book.addresses_with(["scam"], 0, 1).to_pylist() == [B]
    start = book.version
    assert book.replace_list("a", [listed("phishing"), listed("mixer")], at=NOW) == (1, 1)
    assert book.changes_since(start)[0] == ()  # the other list still calls B a scam
    assert book.replace_list("b", [], at=NOW) == (0, 1)
    assert [(c.address, c.after) for c in book.changes_since(start)[0]] == [(B, UNKNOWN)]
    assert len(book) == 3
    assert book.addresses_with(["scam"], 0, 1).to_pylist() == []


def test_a_list_that_does_not_fit_changes_nothing() -> None:
    """A book that would be full, or a malformed label, leaves the list as it was."""
    book = LabelBook([said("benign")], capacity=3)
    book.replace_list("a", [listed("phishing")])
    before = list(book)
    with pytest.raises(LabelError, match="full"):
        book.replace_list("a", [Label(wallet(n), "scam", "x") for n in range(3)])
    with pytest.raises(LabelError, match="20 bytes"):
        book.replace_list("a", [Label(b"short", "scam", "x")])
    assert list(book) == before
    assert book.replace_list("a", [Label(B, "scam", "x"), listed("scam")]) == (2, 1)


def test_the_order_of_lists_changes_no_verdict() -> None:
    """Lists loaded in any order, before or after people spoke, give the same verdicts."""
    lists = {
        "a": [listed("phishing"), Label(B, "exchange", "x")],
        "b": [listed("exchange"), listed("bot")],
        "c": [Label(B, "dex", "y")],
    }
    chooser, seen = random.Random(1), set()
    for _ in range(6):
        book = LabelBook()
        steps = [*lists, "people"]
        chooser.shuffle(steps)
        for step in steps:
            if step == "people":
                book.add(said("benign"))
            else:
                book.replace_list(step, lists[step])
        seen.add((book.verdict_at(A, NOW), book.verdict_at(B, NOW)))
    assert seen == {(GOOD, GOOD)}
