from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainwarden.schema import Alert, Evidence, Hop, Reason, Severity
from store.outbox import MOVED, RAISED, RETRACTED, SCHEDULE
from store.payload import MAX_BYTES
from store.receiver_table import WELL
from tests.rigs.deliveries import Rig, Tuning
from tests.store.made import alert, hash_of, position


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A rig with one receiver."""
    made = Rig(tmp_path / "ledger.duckdb")
    yield made
    made.end()


def test_alerts_arrive_signed_and_in_order(rig: Rig) -> None:
    """Type, block time and the alert as documented, under the alert's id."""
    rig.raise_(*(alert(n) for n in range(5)))
    assert rig.delivery.deliver_due() == 5
    assert rig.told() == [(RAISED, alert(n).id) for n in range(5)]
    first = rig.receivers["ops"].received[0]
    assert first.id == alert(0).id
    assert first.message["timestamp"] == "2023-11-14T22:13:20Z"
    assert first.message["data"]["evidence"]["amounts"][1]["amount"] == str(2**256 - 1)
    assert rig.delivery.deliver_due() == 0
    assert rig.delivery.counts()["ops"].delivered == 5


def test_a_receiver_down_for_a_day_misses_nothing(rig: Rig) -> None:
    """All of it arrives once it is back: in order per subject, critical ones first, each once."""
    receiver = rig.receivers["ops"]
    receiver.stop()
    subjects = [bytes([n]) * 20 for n in range(4)]
    raised: list[Alert] = []
    for half_hour in range(24 * 2):
        one = alert(half_hour, subject=subjects[half_hour % 4])
        raised.append(one)
        rig.raise_(one)
        rig.delivery.deliver_due()
        rig.clock.now += 1800
    assert rig.ledger.outbox.dead_letters() == []
    assert rig.delivery.counts()["ops"].failed < 24 * 4, "a dead receiver is not hammered"
    receiver.start()
    back = rig.clock.now
    while rig.delivery.deliver_due() == 0:
        rig.clock.now += 60
    assert rig.clock.now - back <= max(SCHEDULE), "the next attempt of any of them finds it back"
    rig.clock.now += 60
    rig.delivery.deliver_due()
    assert rig.ledger.outbox.pending() == {}, "and the others follow as fast as its rate allows"
    told = receiver.accepted()
    assert sorted(one.id for one in told) == sorted(one.id for one in raised)
    for subject in subjects:
        mine = [one.id for one in raised if one.subject == subject]
        assert [one.id for one in told if one.id in mine] == mine
    assert len(receiver.received) == len(told)


def test_a_lost_answer_costs_a_repeat_under_the_same_id(rig: Rig) -> None:
    """The receiver drops it by its id, and knows the alert once."""
    receiver = rig.receivers["ops"]
    receiver.mode = "lost"
    rig.raise_(alert(1))
    rig.delivery.deliver_due()
    receiver.mode = "ok"
    rig.clock.now += 5
    rig.delivery.deliver_due()
    assert [one.id for one in receiver.received] == [alert(1).id] * 2
    assert receiver.received[0].body == receiver.received[1].body
    assert rig.told() == [(RAISED, alert(1).id)]


def test_a_reorg_is_told_from_end_to_end(rig: Rig) -> None:
    """Raised, retracted, moved: the receiver hears all three, in this order."""
    moved = alert(1, at=position(2, "b"))
    rig.raise_(alert(1))
    rig.delivery.deliver_due()
    rig.retract(alert(1))
    rig.delivery.deliver_due()
    rig.raise_(moved)
    rig.delivery.deliver_due()
    assert rig.told() == [(kind, moved.id) for kind in (RAISED, RETRACTED, MOVED)]
    last = rig.receivers["ops"].received[-1].message["data"]
    assert last["block_hash"] == "0x" + position(2, "b").hash.hex()
    assert (last["status"], last["retraction_reason"]) == ("active", None)


def test_a_receiver_that_is_gone_is_disabled_and_loses_nothing(rig: Rig) -> None:
    """After a 410 nothing is sent to it; enabled again it gets all of it, in order."""
    receiver = rig.receivers["ops"]
    receiver.mode = "gone"
    rig.raise_(alert(1), alert(2))
    rig.delivery.deliver_due()
    assert rig.ledger.outbox.state("ops").reason == "ops: answered 410"
    receiver.mode = "ok"
    rig.raise_(alert(3))
    for _ in range(100):
        rig.clock.now += 3600
        assert rig.delivery.deliver_due() == 0
    rig.close()
    rig.open()
    assert rig.delivery.deliver_due() == 0, "a restart does not enable it"
    assert rig.ledger.outbox.dead_letters() == []
    assert rig.ledger.outbox.enable("ops")
    assert not rig.ledger.outbox.enable("ops")
    rig.delivery.deliver_due()
    assert rig.told() == [(RAISED, alert(n).id) for n in (1, 2, 3)]
    assert rig.ledger.outbox.states()["ops"] == WELL


def test_a_busy_receiver_is_left_alone_as_long_as_it_asks(rig: Rig) -> None:
    """Retry-After holds for the receiver, not only for the message that met it."""
    receiver = rig.receivers["ops"]
    receiver.mode, receiver.retry_after = "busy", "600"
    rig.raise_(*(alert(n, subject=bytes([n]) * 20) for n in range(5)))
    assert rig.delivery.deliver_due() == 1
    receiver.mode = "ok"
    rig.clock.now += 599
    assert rig.delivery.deliver_due() == 0
    rig.clock.now += 1
    assert rig.delivery.deliver_due() == 5
    assert len(rig.told()) == 5


def test_a_refused_message_holds_up_no_other(rig: Rig) -> None:
    """400 is about the message: other subjects are told at once, and its turn comes again."""
    receiver = rig.receivers["ops"]
    receiver.mode = "refuse"
    rig.raise_(alert(1))
    rig.delivery.deliver_due()
    receiver.mode = "ok"
    other = alert(2, subject=b"\x02" * 20)
    rig.raise_(other)
    assert rig.delivery.deliver_due() == 1
    assert rig.told() == [(RAISED, other.id)]
    rig.clock.now += 5
    rig.delivery.deliver_due()
    assert rig.told() == [(RAISED, other.id), (RAISED, alert(1).id)]


def test_a_process_that_ends_leaves_its_work_to_the_next(rig: Rig) -> None:
    """What waits in the outbox is delivered after a restart."""
    rig.receivers["ops"].mode = "error"
    rig.raise_(alert(1), alert(2))
    rig.delivery.deliver_due()
    rig.close()
    rig.receivers["ops"].mode = "ok"
    rig.clock.now += 5
    rig.open()
    rig.delivery.deliver_due()
    assert rig.told() == [(RAISED, alert(1).id), (RAISED, alert(2).id)]


def test_a_slow_receiver_holds_up_no_other(tmp_path: Path) -> None:
    """While one never answers, the other gets its alerts within a second, on real threads."""
    rig = Rig(tmp_path / "l", ("slow", "ops"), Tuning(timeout=3))
    rig.receivers["slow"].mode = "silent"
    stop = threading.Event()
    loop = threading.Thread(target=rig.delivery.run, args=(stop,))
    loop.start()
    try:
        for number in range(10):
            rig.raise_(alert(number))
        began = time.monotonic()
        while len(rig.told("ops")) < 10 and time.monotonic() - began < 5:
            time.sleep(0.01)
        assert time.monotonic() - began < 1
        assert rig.told("ops") == [(RAISED, alert(n).id) for n in range(10)]
    finally:
        rig.receivers["slow"].released.set()
        stop.set()
        loop.join()
    assert rig.delivery.counts()["ops"].delivered == 10
    assert rig.delivery.counts()["slow"].delivered == 0
    rig.end()


def test_a_huge_alert_is_cut_and_says_so(rig: Rig) -> None:
    """Below 20 kB, with the exact numbers of what was left out; a small one is whole."""
    many = tuple(hash_of(n) for n in range(5_000))
    huge = replace(
        alert(1, severity=Severity.CRITICAL),
        evidence=Evidence(
            many,
            (bytes(20),) * 300,
            ((None, 2**256 - 1),) * 700,
            (Hop(bytes(32), bytes(20), bytes(20), 2**256 - 1),) * 16,
        ),
        sentence="word " * 10_000,
    )
    wordy = replace(alert(2), reasons=tuple(Reason("f" * 300, 1.0, 0.001, 2.0) for _ in range(900)))
    rig.raise_(huge, wordy)
    rig.delivery.deliver_due()
    first, second = rig.receivers["ops"].received
    assert max(len(first.body), len(second.body)) < MAX_BYTES
    evidence = first.message["data"]["evidence"]
    assert evidence["truncated"] == {
        "transactions": 5_000,
        "addresses": 300,
        "amounts": 700,
        "path": 16,
    }
    assert evidence["path"][0]["amount"] == str(2**256 - 1)
    assert evidence["transactions"] == [
        "0x" + one.hex() for one in many[: len(evidence["transactions"])]
    ]
    assert second.message["data"]["evidence"]["truncated"]["reasons"] == 900
    rig.raise_(alert(3))
    rig.delivery.deliver_due()
    assert "truncated" not in rig.receivers["ops"].received[-1].message["data"]["evidence"]
    assert rig.ledger.alert(huge.id) == huge
