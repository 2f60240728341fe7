"""Alerts in somebody's hand, and such as nobody is told of, in a real ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import RequestRefused
from chainwarden.schema import ETHEREUM, Cursor
from store import triage_answers
from store.database import Transaction
from store.ledger import AlertFilter, Commit, Ledger
from store.outbox import DIGEST, MOVED, RAISED, RETRACTED, OutboxRow
from store.triage_answers import AcknowledgeWord, SuppressWord, acknowledge, suppress
from tests.store.made import WALLET, alert, position
from tests.store.test_outbox import LOST, Bench

OTHER = b"\x07" * 20
HOUR = 3600.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A new ledger with one receiver, and a clock that only moves when it is told to."""
    made = Bench(tmp_path / "ledger.duckdb")
    yield made
    made.ledger.close()


def reopen(bench: Bench) -> None:
    """The ledger as the next process has it."""
    path = bench.ledger._database.path
    bench.ledger.close()
    bench.ledger = Ledger.open(path, ETHEREUM, receivers=["ops"], clock=bench.clock)


def drained(bench: Bench) -> list[OutboxRow]:
    """The rows that were due, delivered."""
    rows = []
    while due := bench.outbox.due("ops", bench.clock()):
        rows += due
        for row in due:
            bench.outbox.delivered(row, bench.clock())
    return rows


# --- in hand -------------------------------------------------------------------------------------

acts = st.lists(
    st.tuples(
        st.sampled_from(["acknowledge", "unacknowledge", "retract", "reopen"]),
        st.integers(1, 3),
        st.sampled_from(["ana", "bob"]),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(acts=acts)
def test_the_last_word_about_an_alert_holds(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int, str]]
) -> None:
    """Whatever was said in whatever order, be the alert taken back or the ledger opened anew: who
    spoke last has it in hand, the filter says so, and every word that changed anything is kept."""
    bench = Bench(tmp_path_factory.mktemp("acts") / "ledger.duckdb")
    ids = [alert(number).id for number in (1, 2, 3)]
    bench.raise_(*(alert(number) for number in (1, 2, 3)))
    in_hand, trail = dict[str, str](), list[tuple[str, str, bool]]()
    try:
        for act, number, by in acts:
            one, triage = ids[number - 1], bench.ledger.triage
            if act == "acknowledge":
                new = in_hand.get(one) != by
                assert triage.acknowledge(one, by) == new
                trail += [(one, by, False)] if new else []
                in_hand[one] = by
            elif act == "unacknowledge":
                had = in_hand.pop(one, None) is not None
                assert triage.unacknowledge(one, by) == had
                trail += [(one, by, True)] if had else []
            elif act == "retract":
                bench.retract(alert(number))
            else:
                reopen(bench)
        triage = bench.ledger.triage
        latest = triage.latest(ids)
        assert {key: said.by for key, said in latest.items() if not said.withdrawn} == in_hand
        assert [(one.alert_id, one.by, one.withdrawn) for one in triage.acknowledgements()] == trail
        for wanted in (True, False):
            found = bench.ledger.alerts(AlertFilter(status="all", acknowledged=wanted))
            assert {one.id for one in found} == {one for one in ids if (one in in_hand) == wanted}
    finally:
        bench.ledger.close()


def test_a_word_about_an_alert_is_a_change_of_it(bench: Bench) -> None:
    """Its number goes up and who watches is called; a word that changes nothing does neither."""
    called: list[int] = []
    bench.raise_(alert(1))
    bench.ledger.watch(lambda: called.append(bench.ledger.last_change))
    for by, changes in (("ana", 1), ("ana", 1), ("bob", 2)):
        bench.ledger.triage.acknowledge(alert(1).id, by)
        assert len(called) == changes
    bench.ledger.triage.unacknowledge(alert(1).id)
    bench.ledger.triage.unacknowledge(alert(1).id)
    assert called == [2, 3, 4]
    (record,) = bench.ledger.records()
    assert record.changed == 4
    assert bench.drain() == [(RAISED, alert(1).id, position(1))], "receivers are told of no word"


def test_what_cannot_be_said_of_an_alert_is_refused(bench: Bench) -> None:
    """No such alert, a name that cannot be printed, a ledger that is full: and nothing is kept."""
    bench.raise_(alert(1))
    for said, status in (
        (AcknowledgeWord("00" * 16), 404),
        (AcknowledgeWord("zz"), 404),
        (AcknowledgeWord(alert(1).id, "a\x00"), 422),
        (AcknowledgeWord(alert(1).id, "ana", "n" * 2001), 422),
    ):
        with pytest.raises(RequestRefused) as refused:
            acknowledge(bench.ledger, said)
        assert refused.value.status == status
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("store.triage.MOST_EVER", 1)
        acknowledge(bench.ledger, AcknowledgeWord(alert(1).id[:6], "ana"))
        with pytest.raises(RequestRefused) as refused:
            acknowledge(bench.ledger, AcknowledgeWord(alert(1).id, "bob"))
        assert refused.value.status == 507
    assert [one.by for one in bench.ledger.triage.acknowledgements()] == ["ana"]


# --- suppressed ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "subject", "told"),
    [
        ("mixer_touch", None, [2, 4]),
        (None, WALLET, [3, 4]),
        ("mixer_touch", WALLET, [2, 3, 4]),
    ],
)
def test_nobody_is_told_of_what_is_suppressed(
    bench: Bench, rule: str | None, subject: bytes | None, told: list[int]
) -> None:
    """Of a rule, about a wallet, or both; all others are told, and the ledger has them all."""
    kinds = [("mixer_touch", WALLET), ("dusting", WALLET), ("mixer_touch", OTHER), ("x", OTHER)]
    made = [alert(at, rule=kind, subject=who) for at, (kind, who) in enumerate(kinds, 1)]
    bench.ledger.triage.suppress(rule, subject, bench.clock() + HOUR)
    bench.raise_(*made)
    assert sorted(at.number for _, _, at in bench.drain()) == told
    assert len(bench.ledger.alerts()) == 4


@pytest.mark.parametrize("how", ["ended", "over", "reopened"])
def test_a_suppression_ends(bench: Bench, how: str) -> None:
    """By somebody's word or with its time, in a process that was started since, too: from then on
    alerts are told, those of before are not."""
    said = bench.ledger.triage.suppress(None, WALLET, bench.clock() + HOUR, "ana", "known")
    bench.raise_(alert(1))
    if how == "ended":
        ended = bench.ledger.triage.end(said.serial, "bob")
        assert ended == replace(said, ended_at=bench.clock(), ended_by="bob")
        assert bench.ledger.triage.end(said.serial, "bob") is None
    else:
        if how == "reopened":
            reopen(bench)
            assert bench.ledger.triage.holding() == [said]
            bench.raise_(alert(2))
        bench.clock.advance(HOUR)
    assert bench.ledger.triage.holding() == []
    bench.raise_(alert(3))
    assert bench.drain() == [(RAISED, alert(3).id, position(3))]
    (kept,) = bench.ledger.triage.suppressions(9)
    assert (kept.by, kept.why, kept.until) == ("ana", "known", said.until)


def test_a_suppression_is_ended_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two who end it at the same moment the first is noted, and the second is told."""
    triage, database = bench.ledger.triage, bench.ledger._database
    said = triage.suppress(None, WALLET, bench.clock() + HOUR)
    transaction = database.transaction

    def late() -> AbstractContextManager[Transaction]:
        monkeypatch.undo()
        assert triage.end(said.serial, "ana")
        return transaction()

    monkeypatch.setattr(database, "transaction", late)
    assert triage.end(said.serial, "bob") is None
    assert [one.ended_by for one in triage.suppressions(9)] == ["ana"]


def test_who_was_told_hears_the_end_of_it(bench: Bench) -> None:
    """What was delivered is retracted and moved under a suppression as ever; what was not is told
    once that is over and the alert comes anew."""
    moved = alert(2, at=position(5, "b"))
    bench.raise_(alert(1), alert(2))
    bench.drain()
    bench.ledger.triage.suppress(None, WALLET, bench.clock() + HOUR)
    bench.raise_(alert(3))
    bench.retract(alert(1))
    bench.retract(alert(2))
    bench.raise_(moved)
    bench.retract(alert(3))
    assert sorted(kind for kind, _, _ in bench.drain()) == [MOVED, RETRACTED]
    bench.clock.advance(HOUR)
    bench.raise_(alert(3))
    assert bench.drain() == [(RAISED, alert(3).id, position(3))]


def test_what_waits_is_not_told_any_more(bench: Bench) -> None:
    """A suppression cancels what was not sent yet; what may have arrived is sent until it has."""
    doubt, other = alert(1), alert(9, subject=OTHER)
    bench.raise_(doubt)
    bench.outbox.failed(bench.take(), bench.clock(), LOST)
    bench.raise_(other, *(alert(at) for at in range(2, 6)))
    bench.ledger.triage.suppress(None, WALLET, bench.clock() + HOUR)
    bench.clock.advance(60)
    assert sorted(row.alert_id for row in drained(bench)) == sorted([other.id, doubt.id])


def test_a_digest_counts_no_more_what_was_suppressed(bench: Bench) -> None:
    """Its members of the rule leave it; one that has none left is not sent."""
    one, two = (alert(at, rule="other", subject=OTHER) for at in (7, 8))
    bench.raise_(one, *(alert(at, rule="dusting", subject=bytes([at]) * 20) for at in range(1, 6)))
    assert bench.outbox.collapse("ops", bench.clock()) == 6
    bench.ledger.triage.suppress("dusting", None, bench.clock() + HOUR)
    (row,) = drained(bench)
    assert row.kind == DIGEST
    assert [member.alert_id for member in bench.told_by(row)] == [one.id]
    bench.raise_(two)
    assert bench.outbox.collapse("ops", bench.clock()) == 1
    bench.ledger.triage.suppress("other", None, bench.clock() + HOUR)
    assert drained(bench) == []


def test_what_cannot_be_suppressed_is_refused(bench: Bench) -> None:
    """Nothing named, a rule that has no name's form, no time or one too far, too many at once."""
    now = bench.clock()
    for said in (
        SuppressWord("", None, now + HOUR),
        SuppressWord("Drop Table", None, now + HOUR),
        SuppressWord("dusting", None, now),
        SuppressWord("dusting", None, now - 1),
        SuppressWord("dusting", None, now + triage_answers.LONGEST_SECONDS + 1),
        SuppressWord("dusting", None, float("inf")),
        SuppressWord("dusting", None, now + HOUR, "a\x1b"),
    ):
        with pytest.raises(RequestRefused) as refused:
            suppress(bench.ledger, said)
        assert refused.value.status == 422
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triage_answers, "MOST_HOLDING", 1)
        suppress(bench.ledger, SuppressWord("dusting", None, now + HOUR))
        with pytest.raises(RequestRefused) as refused:
            suppress(bench.ledger, SuppressWord("other", None, now + HOUR))
        assert refused.value.status == 409
        bench.clock.advance(HOUR)
        assert suppress(bench.ledger, SuppressWord("other", None, now + 2 * HOUR))["holds"] is True


def test_a_ledger_made_anew_has_every_word(bench: Bench, tmp_path: Path) -> None:
    """Taken over from another one: who has what in hand, and what nobody is told of, as they were,
    whether the alerts come before or after."""
    bench.raise_(alert(1), alert(2), alert(3))
    triage = bench.ledger.triage
    for number, by in ((1, "ana"), (2, "bob"), (3, "ana")):
        triage.acknowledge(alert(number).id, by, "why")
    triage.unacknowledge(alert(2).id, "bob")
    triage.end(triage.suppress("x", None, 9e9, "ana").serial, "bob")
    triage.suppress(None, OTHER, 9e9, "ana", "known")
    with Ledger.open(tmp_path / "new.duckdb", ETHEREUM, clock=bench.clock) as other:
        other.commit(Commit(Cursor(None), [alert(1)]))
        other.take_over(bench.ledger)
        other.commit(Commit(Cursor(None), [alert(2), alert(3)]))
        anew = other.triage
        assert [replace(one, changed=0) for one in triage.acknowledgements()] == (
            anew.acknowledgements()
        )
        found = other.alerts(AlertFilter(acknowledged=True))
        assert {one.id for one in found} == {alert(1).id, alert(3).id}
        for mine, theirs in (
            (triage.suppressions(9), anew.suppressions(9)),
            (triage.holding(), anew.holding()),
        ):
            assert [replace(one, serial=0) for one in mine] == [
                replace(one, serial=0) for one in theirs
            ]
        assert len(anew.holding()) == 1
