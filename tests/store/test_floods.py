"""Floods: what a receiver is spared, what it is told all the same, and that the counts are true."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden.schema import Alert, Severity
from store.outbox import DIGEST, MOVED, RAISED, RETRACTED
from store.payload import MAX_BYTES
from tests.rigs.deliveries import Rig, Tuning, busiest_minute, counted
from tests.store.made import alert, position

RULES = ("dusting", "address_poisoning", "mixer_touch")


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A rig with one receiver that takes eight posts a minute, six of them lesser ones."""
    made = Rig(tmp_path / "ledger.duckdb", tuning=Tuning(rate=8))
    yield made
    made.end()


def flood(first: int, count: int) -> list[Alert]:
    """Alerts below critical, each about a wallet of its own, by some rules."""
    return [
        alert(
            number,
            subject=number.to_bytes(20, "big"),
            rule=RULES[number % len(RULES)],
            severity=Severity(number % 4),
        )
        for number in range(first, first + count)
    ]


def test_a_critical_alert_stands_out_of_a_flood_of_34000(tmp_path: Path) -> None:
    """As a block of 34,168 logs would bring: at most 60 posts in any minute, the critical alerts
    within the minute, and the counts in the digests with the single messages are the truth."""
    rig = Rig(tmp_path / "ledger.duckdb")
    told: list[Alert] = []
    criticals: dict[str, float] = {}
    for wave in range(4):
        told += (wave_of := flood(1 + 8_500 * wave, 8_500))
        rig.raise_(*wave_of)
        rig.run(11.0)
        critical = alert(90_000 + wave, subject=bytes([wave]) * 20, severity=Severity.CRITICAL)
        criticals[critical.id] = rig.clock.now
        rig.raise_(critical)
        rig.run(11.0)
    rig.settle()
    receiver = rig.receivers["ops"]
    assert busiest_minute(receiver.received) <= 60
    sent = {one.id: int(one.headers["webhook-timestamp"]) for one in receiver.received}
    for critical_id, raised_at in criticals.items():
        assert sent[critical_id] - raised_at <= 60
    singles = Counter(
        (one.message["type"], one.message["data"]["rule"], one.message["data"]["severity"])
        for one in receiver.accepted()
        if one.message["type"] != DIGEST
    )
    truth = Counter((RAISED, one.rule, one.severity.text) for one in told)
    truth[(RAISED, "mixer_touch", "critical")] += 4
    assert singles + Counter(counted(rig.digests("ops"))) == truth
    assert len(receiver.received) < 200
    assert max(len(one.body) for one in receiver.received) < MAX_BYTES
    rig.end()


def test_below_its_rate_everything_is_told_on_its_own(rig: Rig) -> None:
    """A few more than fit in a minute wait for the next one; nothing is collapsed."""
    alerts = flood(1, 11)
    rig.raise_(*alerts)
    assert rig.delivery.deliver_due() == 6
    rig.settle()
    assert sorted(rig.told()) == sorted((RAISED, one.id) for one in alerts)
    assert busiest_minute(rig.receivers["ops"].received) <= 8


def test_a_flood_is_told_worst_first_and_the_rest_in_one_digest(rig: Rig) -> None:
    """Six messages and a digest, at once; what comes in the same minute waits for the next."""
    alerts = flood(1, 40)
    rig.raise_(*alerts)
    assert rig.delivery.deliver_due() == 7
    single = [one.message["data"] for one in rig.receivers["ops"].received[:6]]
    assert {data["severity"] for data in single} == {"high"}
    (digest,) = rig.digests("ops")
    data = digest.message["data"]
    assert digest.id == data["id"]
    assert (data["total"], data["subjects"]) == (34, 34)
    assert (data["first_block"], data["last_block"]) == (1, 40)
    assert {*data["alerts"], *(one["id"] for one in single)} == {one.id for one in alerts}
    rig.raise_(*flood(100, 20))
    assert rig.delivery.deliver_due() == 0
    rig.run(60.0)
    assert len(rig.digests("ops")) == 2
    assert sum(counted(rig.digests("ops")).values()) == 34 + 14


def test_a_digest_keeps_the_order_of_each_subject(rig: Rig) -> None:
    """What comes after a member waits for the digest; what waits behind another stays out of it."""
    one, other = b"\x01" * 20, b"\x02" * 20
    rig.receivers["ops"].mode = "400"
    stuck = alert(1, subject=one)
    rig.raise_(stuck)
    rig.delivery.deliver_due()
    behind = alert(2, subject=one)
    rig.raise_(behind, *flood(10, 30), alert(50, subject=other))
    rig.ledger.outbox.collapse("ops", rig.clock())
    after = alert(51, subject=other)
    rig.raise_(after)
    due = [row.message_id for row in rig.ledger.outbox.due("ops", rig.clock())]
    assert len(due) == 1, "only the digest"
    rig.receivers["ops"].mode = "ok"
    rig.settle()
    accepted = [message.id for message in rig.receivers["ops"].accepted()]
    assert accepted.index(due[0]) < accepted.index(after.id)
    assert accepted.index(stuck.id) < accepted.index(behind.id)
    assert sum(counted(rig.digests("ops")).values()) == 31


def test_what_a_fork_takes_back_leaves_the_digest(rig: Rig) -> None:
    """Before it was sent: the count follows, silently. After: the retraction is told."""
    rig.receivers["ops"].stop()
    rig.raise_(*flood(1, 30))
    rig.delivery.deliver_due()
    assert rig.ledger.outbox.collapse("ops", rig.clock()) == 29
    assert rig.ledger.outbox.collapse("ops", rig.clock()) == 0, "one at a time"
    gone = flood(1, 30)[10]
    rig.retract(gone)
    rig.receivers["ops"].start()
    rig.settle()
    assert sum(counted(rig.digests("ops")).values()) == 28
    assert RETRACTED not in {kind for kind, _ in rig.told()}
    taken = flood(1, 30)[11]
    rig.retract(taken)
    rig.raise_(alert(12, at=position(99, "b"), subject=taken.subject, rule=taken.rule))
    rig.settle()
    assert rig.told()[-1] == (MOVED, taken.id)


def test_a_digest_without_an_answer_is_taken_back_aloud(rig: Rig) -> None:
    """It may have arrived: the same digest comes again, with its retraction after it."""
    rig.raise_(*flood(1, 30))
    rig.ledger.outbox.collapse("ops", rig.clock())
    rig.receivers["ops"].mode = "lost"
    rig.delivery.deliver_due()
    gone = flood(1, 30)[10]
    rig.retract(gone)
    rig.receivers["ops"].mode = "ok"
    rig.settle()
    first, again = rig.receivers["ops"].received[:2]
    assert (first.id, first.body) == (again.id, again.body)
    assert rig.told()[-1] == (RETRACTED, gone.id)


def test_an_emptied_digest_is_not_sent(rig: Rig) -> None:
    """When the fork takes all of it, nobody hears of it."""
    rig.receivers["ops"].stop()
    alerts = flood(1, 8)
    rig.raise_(*alerts)
    rig.ledger.outbox.collapse("ops", rig.clock())
    for one in alerts:
        rig.retract(one)
    assert rig.ledger.outbox.pending() == {}
    rig.receivers["ops"].start()


def test_a_digest_that_was_given_up_can_be_replayed(rig: Rig) -> None:
    """Its members share its fate, and it counts as one letter."""
    rig.receivers["ops"].mode = "500"
    alerts = flood(1, 30)
    rig.raise_(*alerts)
    rig.ledger.outbox.collapse("ops", rig.clock())
    rig.settle()
    (dead,) = rig.ledger.outbox.dead_letters()
    assert dead.kind == DIGEST
    assert rig.ledger.outbox.dead() == {"ops": 1}
    rig.receivers["ops"].mode = "ok"
    assert rig.ledger.outbox.replay(dead.message_id) == 1
    rig.settle()
    assert sum(counted(rig.digests("ops")).values()) == 30


def test_critical_alerts_are_never_collapsed(rig: Rig) -> None:
    """However many there are: each on its own, as fast as the rate allows, before all others."""
    criticals = [
        alert(n, subject=bytes([n]) * 20, severity=Severity.CRITICAL) for n in range(1, 41)
    ]
    rig.raise_(*flood(100, 30), *criticals)
    rig.settle()
    accepted = rig.receivers["ops"].accepted()
    assert {one.id for one in accepted} >= {one.id for one in criticals}
    assert [one.id for one in accepted[:8]] == [one.id for one in criticals[:8]]
    assert busiest_minute(rig.receivers["ops"].received) <= 8
    assert sum(counted(rig.digests("ops")).values()) + len(accepted) == 70 + len(rig.digests("ops"))
