from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.schema import ETHEREUM, Alert, Cursor, Position, Retraction, Severity
from store.ledger import Commit, Ledger
from store.outbox import DIGEST, MOVED, RAISED, RETRACTED, SCHEDULE, Failure, Outbox, OutboxRow
from store.outbox_rows import rows_where
from tests.rigs.clock import VirtualClock
from tests.store.made import WALLET, alert, position

LOST = Failure("timed out", in_doubt=True)


class Bench:
    """A ledger with a virtual clock, and short words for what tests do to it."""

    def __init__(self, path: Path, receivers: tuple[str, ...] = ("ops",)) -> None:
        self.clock = VirtualClock(1_000.0)
        self.ledger = Ledger.open(path, ETHEREUM, receivers=receivers, clock=self.clock)

    @property
    def outbox(self) -> Outbox:
        """The queue under test."""
        return self.ledger.outbox

    def raise_(self, *raised: Alert) -> None:
        """Commit alerts."""
        self.ledger.commit(Commit(Cursor(None), alerts=raised))

    def retract(self, one: Alert) -> None:
        """Commit the retraction of an alert where it is."""
        self.ledger.commit(Commit(Cursor(None), retractions=[Retraction(one.id, one.position)]))

    def take(self, receiver: str = "ops") -> OutboxRow:
        """The one row that is due."""
        (row,) = self.outbox.due(receiver, self.clock(), limit=1)
        return row

    def told_by(self, row: OutboxRow) -> list[OutboxRow]:
        """What a message tells: itself, or what its digest counts."""
        if row.kind != DIGEST:
            return [row]
        members = rows_where(
            self.ledger._database.cursor(),
            "digest = ? AND state <> 'cancelled' ORDER BY serial",
            [row.serial],
        )
        counts = msgspec.json.decode(row.data)["counts"]
        assert counts == {
            kind: {
                rule: {
                    text: sum((m.kind, m.rule, Severity(m.severity).text) == (kind, rule, text)
                              for m in members)
                    for text in {Severity(m.severity).text for m in members
                                 if (m.kind, m.rule) == (kind, rule)}
                }
                for rule in {m.rule for m in members if m.kind == kind}
            }
            for kind in {m.kind for m in members}
        }  # fmt: skip
        return members

    def give_up(self, row: OutboxRow | None = None) -> None:
        """Fail a row, or the one that is due, as often as the schedule has attempts."""
        row = row or self.take()
        for attempt in range(len(SCHEDULE)):
            now = replace(row, attempts=attempt, in_doubt=False)
            self.outbox.failed(now, self.clock(), Failure("answered 500"))

    def drain(self, receiver: str = "ops") -> list[tuple[str, str, Position]]:
        """Deliver all that is due; returns what the receiver was told."""
        told = []
        while rows := self.outbox.due(receiver, self.clock()):
            for row in rows:
                told.append((row.kind, row.message_id, row.position))
                self.outbox.delivered(row, self.clock())
        return told


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A new ledger with one receiver."""
    made = Bench(tmp_path / "ledger.duckdb")
    yield made
    made.ledger.close()


def test_an_alert_is_told_once_to_each_receiver(tmp_path: Path) -> None:
    """Every receiver gets it, under its own id, and none gets it again."""
    bench = Bench(tmp_path / "l", ("ops", "desk"))
    bench.raise_(alert(1))
    for receiver in ("ops", "desk"):
        assert bench.drain(receiver) == [(RAISED, alert(1).id, position(1))]
    bench.raise_(alert(1))
    assert bench.outbox.pending() == {}
    bench.ledger.close()


def test_a_retraction_before_delivery_is_silent(bench: Bench) -> None:
    """Neither the alert nor its retraction is ever sent."""
    bench.raise_(alert(1))
    bench.retract(alert(1))
    assert bench.outbox.pending() == {}
    assert bench.drain() == []


def test_a_retraction_after_delivery_is_told(bench: Bench) -> None:
    """Under an id of its own, with the alert, its status and the reason."""
    bench.raise_(alert(1))
    bench.drain()
    bench.retract(alert(1))
    row = bench.take()
    assert (row.kind, row.message_id) == (RETRACTED, f"{alert(1).id}-retracted-0")
    data = msgspec.json.decode(row.data)
    assert (data["id"], data["status"], data["retraction_reason"]) == (
        alert(1).id, "retracted", "orphaned",
    )  # fmt: skip


def test_a_reinstated_alert_is_told_as_moved(bench: Bench) -> None:
    """Raised, retracted, and there again in another block: three messages, three ids."""
    moved = alert(1, at=position(2, "b"))
    bench.raise_(alert(1))
    bench.drain()
    bench.retract(alert(1))
    bench.drain()
    bench.raise_(moved)
    assert bench.drain() == [(MOVED, f"{moved.id}-moved-1", moved.position)]
    bench.retract(moved)
    assert bench.drain() == [(RETRACTED, f"{moved.id}-retracted-1", moved.position)]


def test_a_reorg_between_two_deliveries_is_told_as_one_move(bench: Bench) -> None:
    """The retraction that was not sent yet gives way to the move."""
    moved = alert(1, at=position(2, "b"))
    bench.raise_(alert(1))
    bench.drain()
    bench.retract(alert(1))
    bench.raise_(moved)
    assert [kind for kind, _, _ in bench.drain()] == [MOVED]


def test_a_flip_and_flop_back_is_not_told_at_all(bench: Bench) -> None:
    """Back in the block the receiver knows, there is nothing to say."""
    bench.raise_(alert(1))
    bench.drain()
    bench.retract(alert(1))
    bench.raise_(alert(1))
    assert bench.drain() == []


def test_a_move_before_the_first_delivery_is_a_plain_alert(bench: Bench) -> None:
    """The receiver hears of the alert once, in its last block."""
    moved = alert(1, at=position(2, "b"))
    bench.raise_(alert(1))
    bench.retract(alert(1))
    bench.raise_(moved)
    assert bench.drain() == [(RAISED, moved.id, moved.position)]


def test_what_may_have_arrived_is_taken_back_aloud(bench: Bench) -> None:
    """No answer came for the alert, so its retraction follows it instead of cancelling it."""
    bench.raise_(alert(1))
    bench.outbox.failed(bench.take(), bench.clock(), LOST)
    bench.retract(alert(1))
    bench.clock.now += SCHEDULE[1]
    assert [kind for kind, _, _ in bench.drain()] == [RAISED, RETRACTED]


def test_a_doubt_stays_until_the_alert_is_accepted(bench: Bench) -> None:
    """A later refusal does not mean that the first, unanswered attempt did not arrive."""
    bench.raise_(alert(1))
    bench.outbox.failed(bench.take(), bench.clock(), LOST)
    bench.clock.now += SCHEDULE[1]
    bench.outbox.failed(bench.take(), bench.clock(), Failure("answered 500"))
    bench.retract(alert(1))
    bench.clock.now += SCHEDULE[2]
    assert [kind for kind, _, _ in bench.drain()] == [RAISED, RETRACTED]


def test_an_alert_never_overtakes_its_own_first_telling(bench: Bench) -> None:
    """Critical by now or not, the move comes after the alert that may not have arrived."""
    moved = alert(1, at=position(2, "b"), severity=Severity.CRITICAL)
    bench.raise_(alert(1))
    bench.outbox.failed(bench.take(), bench.clock(), LOST)
    bench.retract(alert(1))
    bench.raise_(moved)
    assert bench.outbox.due("ops", bench.clock()) == []
    bench.clock.now += SCHEDULE[1]
    assert [kind for kind, _, _ in bench.drain()] == [RAISED, MOVED]


def test_a_retraction_during_an_attempt_waits_for_its_outcome(bench: Bench) -> None:
    """Accepted after all: the retraction is told. Refused after all: neither is."""
    for number, accepted in ((1, True), (2, False)):
        bench.raise_(alert(number))
        row = bench.take()
        bench.retract(alert(number))
        assert bench.take().serial == row.serial, "the retraction stays behind it"
        if accepted:
            bench.outbox.delivered(row, bench.clock())
            assert [kind for kind, _, _ in bench.drain()] == [RETRACTED]
        else:
            bench.outbox.failed(row, bench.clock(), Failure("answered 500"))
            bench.clock.now += SCHEDULE[-1]
            assert bench.drain() == []


def test_dying_while_sending_forgets_nothing(tmp_path: Path) -> None:
    """What was taken before the end is sent again under the same id, and taken back aloud."""
    bench = Bench(tmp_path / "l")
    bench.raise_(alert(1))
    first = bench.take()
    bench.ledger.close()
    bench = Bench(tmp_path / "l")
    bench.retract(alert(1))
    told = bench.drain()
    assert [kind for kind, _, _ in told] == [RAISED, RETRACTED]
    assert told[0][1] == first.message_id
    bench.ledger.close()


def test_attempts_follow_the_schedule_to_the_dead_letters(bench: Bench) -> None:
    """Ten attempts over 75 h 35 min 5 s, then a dead letter with its last error; replay revives."""
    bench.raise_(alert(1))
    began, times = bench.clock(), []
    for _ in SCHEDULE:
        next_at = bench.outbox.next_at("ops")
        assert next_at is not None
        bench.clock.now = next_at - 0.001
        assert bench.outbox.due("ops", bench.clock()) == []
        bench.clock.now = next_at
        times.append(bench.clock() - began)
        last = bench.outbox.failed(bench.take(), bench.clock(), Failure(f"error {len(times)}"))
    assert last
    assert times == [sum(SCHEDULE[: n + 1]) for n in range(len(SCHEDULE))]
    assert times[-1] == (75 * 60 + 35) * 60 + 5
    (dead,) = bench.outbox.dead_letters()
    assert (dead.alert_id, dead.error, dead.attempts) == (alert(1).id, "error 10", 10)
    assert bench.outbox.pending() == {}
    assert bench.outbox.replay(str(dead.serial + 1)) == 0
    assert bench.outbox.replay(str(dead.serial)) == 1
    assert bench.outbox.dead_letters() == []
    assert [kind for kind, _, _ in bench.drain()] == [RAISED]


def test_a_dead_letter_of_a_retracted_alert_is_not_kept(bench: Bench) -> None:
    """Nobody can revive what the chain has taken back."""
    bench.raise_(alert(1))
    bench.give_up()
    assert len(bench.outbox.dead_letters()) == 1
    bench.retract(alert(1))
    assert bench.outbox.dead_letters() == []


@pytest.mark.parametrize(
    ("asked", "waited"), [(None, 5), (1, 5), (120, 120), (3600, 3600), (10**9, 3600)]
)
def test_retry_after_is_honoured_up_to_an_hour(
    bench: Bench, asked: float | None, waited: float
) -> None:
    """It only ever lengthens the schedule."""
    bench.raise_(alert(1))
    bench.outbox.failed(bench.take(), bench.clock(), Failure("answered 429", retry_after=asked))
    assert bench.outbox.next_at("ops") == bench.clock() + waited


def test_a_subject_waits_in_line_and_others_do_not(bench: Bench) -> None:
    """Behind a failing alert its subject's next one waits; other subjects go on."""
    other = b"\x09" * 20
    bench.raise_(alert(1), alert(2), alert(3, subject=other))
    bench.outbox.failed(bench.take(), bench.clock(), Failure("answered 400"))
    assert [message for _, message, _ in bench.drain()] == [alert(3, subject=other).id]
    bench.clock.now += 5
    assert [message for _, message, _ in bench.drain()] == [alert(1).id, alert(2).id]


def test_critical_alerts_go_first_and_wait_for_no_lesser_one(bench: Bench) -> None:
    """Neither a queue nor a refused alert of the same subject is in front of them."""
    critical = [alert(n, severity=Severity.CRITICAL) for n in (8, 9)]
    bench.raise_(alert(1))
    bench.outbox.failed(bench.take(), bench.clock(), Failure("answered 400"))
    bench.raise_(*(alert(n, subject=bytes([n]) * 20) for n in range(2, 6)), *critical)
    told = [message for _, message, _ in bench.drain()]
    assert told[0] == critical[0].id, "ahead of everything"
    assert set(told) >= {one.id for one in critical}
    assert told.index(critical[0].id) < told.index(critical[1].id)


def test_a_receiver_is_told_from_its_severity_on(tmp_path: Path) -> None:
    """What is milder never reaches it; what it was told of it is told to the end."""
    clock = VirtualClock(1_000.0)
    told = {"pager": Severity.CRITICAL, "desk": Severity.HIGH, "ops": Severity.INFO}
    with Ledger.open(tmp_path / "l", ETHEREUM, receivers=told, clock=clock) as ledger:
        levels = [Severity.LOW, Severity.HIGH, Severity.CRITICAL]
        raised = [alert(n, subject=bytes([n]) * 20, severity=one) for n, one in enumerate(levels)]
        ledger.commit(Commit(Cursor(None), alerts=raised))
        assert ledger.outbox.pending() == {"pager": 1, "desk": 2, "ops": 3}
        for row in ledger.outbox.due("pager", clock()):
            ledger.outbox.delivered(row, clock())
        last = raised[-1]
        ledger.commit(Commit(Cursor(None), retractions=[Retraction(last.id, last.position)]))
        (row,) = ledger.outbox.due("pager", clock())
        assert row.kind == RETRACTED


def test_settled_rows_are_pruned(bench: Bench) -> None:
    """Delivered and cancelled rows go after their time; dead letters and waiting ones stay."""
    bench.raise_(*(alert(n, subject=bytes([n]) * 20) for n in range(4)))
    first = bench.outbox.due("ops", bench.clock(), limit=2)
    bench.outbox.delivered(first[0], bench.clock())
    bench.give_up(first[1])
    bench.retract(alert(2, subject=bytes([2]) * 20))
    bench.clock.now += 100
    assert bench.outbox.prune(bench.clock() - 200) == 0
    assert bench.outbox.prune(bench.clock()) == 2
    assert len(bench.outbox.dead_letters()) == 1
    assert bench.outbox.pending() == {"ops": 1}


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["raise", "raise b", "retract", "accept", "refuse", "lose", "miss", "wait", "flood"]
        ),
        st.integers(0, 2),
    ),
    max_size=25,
)


@settings(deadline=None, max_examples=25)
@given(steps)
def test_a_receiver_always_ends_up_knowing_the_truth(script: list[tuple[str, int]]) -> None:
    """However alerts come, go and move while messages are lost, in the end the receiver's picture
    is the ledger's: by the last message it got about each alert, whatever it got before.
    """
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder, "l"))
        picture: dict[str, Position | None] = {}
        seen: set[str] = set()
        where: dict[int, Alert] = {}

        def hear(message: OutboxRow) -> None:
            if message.message_id in seen:
                return
            seen.add(message.message_id)
            for row in bench.told_by(message):
                assert row.kind != RAISED or row.alert_id not in picture
                picture[row.alert_id] = None if row.kind == RETRACTED else row.position

        for step, number in script:
            if step.startswith("raise") and number not in where:
                where[number] = alert(
                    number,
                    at=position(number + 9, "b") if step.endswith("b") else None,
                    subject=WALLET if number else bytes(20),
                    # Told anew with another severity, it still stays behind its first telling.
                    severity=Severity.CRITICAL if step.endswith("b") else Severity.LOW,
                )
                bench.raise_(where[number])
            elif step == "retract" and number in where:
                bench.retract(where.pop(number))
            elif step == "flood":
                bench.outbox.collapse("ops", bench.clock())
            elif step == "wait":
                bench.clock.now += 100_000
            elif step in ("accept", "refuse", "lose", "miss"):
                for row in bench.outbox.due("ops", bench.clock(), limit=1):
                    if step in ("accept", "lose"):
                        hear(row)
                    if step == "accept":
                        bench.outbox.delivered(row, bench.clock())
                    else:
                        doubt = step != "refuse"
                        bench.outbox.failed(row, bench.clock(), Failure(step, in_doubt=doubt))
        for _ in range(30):
            bench.clock.now += 100_000
            for row in bench.outbox.due("ops", bench.clock()):
                hear(row)
                bench.outbox.delivered(row, bench.clock())
        bench.ledger.close()
        truth = {one.id: one.position for one in where.values()}
        assert {key: at for key, at in picture.items() if at is not None} == truth
