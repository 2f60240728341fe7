"""Every way a receiver can misbehave, on virtual time, beside receivers that are well.

One story, told while the bad receiver misbehaves and after: an attacker's flood, a critical alert,
forks that take alerts back and move them. In the end each receiver knows what the ledger knows.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chainwarden.schema import Alert, Severity
from store.outbox import DIGEST, RETRY_AFTER_CAP
from store.receiver_table import FAILING_SECONDS
from store.webhook import WebhookSender
from tests.rigs.clock import DAY, HOUR
from tests.rigs.deliveries import Rig, Tuning, busiest_minute, counted
from tests.rigs.receiver import MODES, Received
from tests.store.made import alert, position

STATUSES = (
    "401", "403", "404", "413", "422", "503", "504",
)  # fmt: skip
# Hours that each mode lasts, twice. The slow ones cost real time at every attempt.
LASTING = {"drip": 0.05, "silent": 0.05}
RATE = 4
GOOD = ("ops",)


@dataclass
class Story:
    """What happens on the chain, and when each alert was committed."""

    rig: Rig
    committed: dict[str, float] = field(default_factory=dict)

    def raise_(self, *alerts: Alert) -> None:
        """Alerts are committed now."""
        self.rig.raise_(*alerts)
        for one in alerts:
            self.committed[one.id] = self.rig.clock.now

    def first_hour(self) -> None:
        """Alerts about two wallets, a critical one, a flood; one is taken back, one moves."""
        rig = self.rig
        self.raise_(*(alert(n, subject=bytes([n % 2]) * 20) for n in range(1, 5)))
        rig.run(60.0)
        self.raise_(
            *(
                alert(n, subject=n.to_bytes(20, "big"), severity=Severity(n % 3), rule="dusting")
                for n in range(100, 110)
            )
        )
        self.raise_(alert(5, subject=b"\x09" * 20, severity=Severity.CRITICAL))
        rig.run(60.0)
        rig.retract(alert(1, subject=bytes([1]) * 20))
        rig.retract(alert(2, subject=bytes([0]) * 20))
        rig.run(60.0)
        self.raise_(alert(2, subject=bytes([0]) * 20, at=position(9, "b")))
        rig.run(60.0)

    def later(self) -> None:
        """Two more, of which one is taken back at once."""
        self.raise_(alert(6, subject=bytes([1]) * 20), alert(7, subject=bytes([0]) * 20))
        self.rig.retract(alert(7, subject=bytes([0]) * 20))
        self.rig.run(60.0)


def rig_of(path: Path) -> Rig:
    """A receiver that is well, and one that will not be."""
    return Rig(path / "ledger.duckdb", (*GOOD, "bad"), Tuning(timeout=30.0, rate=RATE))


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """The rig of the matrix."""
    made = rig_of(tmp_path)
    yield made
    made.end()


def in_order(accepted: list[Received]) -> bool:
    """Whether each wallet's messages came in the order of what happened: none before its alert's
    first telling, single alerts by block."""
    newest: dict[tuple[str, bool], int] = {}
    told: set[str] = set()
    for one in accepted:
        kind, data = one.message["type"], one.message["data"]
        if kind == DIGEST:
            told |= set(data["alerts"])
            continue
        if kind == "alert.raised":
            lane = (data["subject"], data["severity"] == "critical")
            if data["id"] in told or data["block_number"] < newest.get(lane, 0):
                return False
            newest[lane] = data["block_number"]
            told.add(data["id"])
        elif data["id"] not in told:
            return False
    return True


def check(rig: Rig, name: str) -> None:
    """A receiver knows exactly what the ledger knows, heard it in order, and not too often."""
    receiver = rig.receivers[name]
    assert receiver.unsigned() == []
    # What was answered no is known to be unknown there: it may be told otherwise after a fork.
    raw = [one for one in receiver.received if one.accepted]
    assert len({(one.id, one.body) for one in raw}) == len({one.id for one in raw})
    accepted = receiver.accepted()
    assert len(raw) - len(accepted) <= receiver.unanswered
    assert in_order(accepted)
    known: dict[str, str] = {}
    for one in accepted:
        kind, data = one.message["type"], one.message["data"]
        if kind == DIGEST:
            assert len(data["alerts"]) == data["total"]
            known |= dict.fromkeys(data["alerts"], "counted")
        elif kind == "alert.retracted":
            known.pop(data["id"], None)
        else:
            known[data["id"]] = data["block_hash"]
    truth = rig.truth()
    taken_back = sum(
        count for (kind, *_), count in counted(rig.digests(name)).items() if "retracted" in kind
    )
    assert set(truth) <= set(known)
    assert len(set(known) - set(truth)) <= taken_back
    assert all(known[key] in ("counted", block) for key, block in truth.items())
    assert busiest_minute(receiver.received) <= RATE


def check_good(rig: Rig, story: Story) -> None:
    """Those that are well heard everything within the minute that their rate asks for."""
    for name in GOOD:
        check(rig, name)
        for one in rig.receivers[name].accepted():
            if one.message["type"] == "alert.raised":
                sent = int(one.headers["webhook-timestamp"])
                assert sent - story.committed[one.message["data"]["id"]] <= 60


@pytest.mark.parametrize("mode", [m for m in MODES if m not in ("ok", "gone")] + list(STATUSES))
def test_nothing_is_lost_whatever_a_receiver_does_for_hours(rig: Rig, mode: str) -> None:
    """All of it arrives once it is well: in order, under the same ids, repeats only of what was
    accepted without an answer; and the others do not notice."""
    story, bad = Story(rig), rig.receivers["bad"]
    bad.mode = mode
    rig.patience("bad", 0.3 if mode in LASTING else 30.0)
    story.first_hour()
    rig.run(LASTING.get(mode, 1.0) * HOUR)
    story.later()
    rig.run(LASTING.get(mode, 1.0) * HOUR)
    bad.mode = "ok"
    rig.patience("bad", 30.0)
    rig.settle()
    assert rig.ledger.outbox.dead_letters() == []
    check(rig, "bad")
    check_good(rig, story)
    if mode not in ("endless", "bomb"):
        assert rig.delivery.counts()["bad"].failed > 0


@pytest.mark.parametrize("hours", [24, 75])
def test_nothing_is_lost_while_a_receiver_is_down(rig: Rig, hours: int) -> None:
    """A day, or as long as the schedule goes: what is still within it arrives by itself, what was
    given up when somebody replays it."""
    story, bad = Story(rig), rig.receivers["bad"]
    bad.stop()
    story.first_hour()
    rig.run(hours * HOUR / 2)
    story.later()
    rig.run(hours * HOUR / 2)
    bad.start()
    rig.settle()
    assert hours > 24 or rig.ledger.outbox.dead_letters() == []
    rig.ledger.outbox.replay(receiver="bad")
    rig.settle()
    assert rig.ledger.outbox.dead_letters() == []
    check_good(rig, story)
    if hours == 24:
        check(rig, "bad")
    else:  # what was given up comes after what was not
        assert set(rig.singles("bad")) | {
            key for one in rig.digests("bad") for key in one.message["data"]["alerts"]
        } == set(rig.truth())


def test_a_receiver_that_fails_for_days_is_disabled_and_keeps_its_letters(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    """After five days of nothing but failures it is left alone, and says so; enabled, and its dead
    letters replayed, it has everything."""
    story, bad = Story(rig), rig.receivers["bad"]
    bad.mode = "403"
    story.first_hour()
    for day in range(7):
        rig.run(DAY)
        story.raise_(alert(200 + day, subject=bytes([30 + day]) * 20))
    state = rig.ledger.outbox.state("bad")
    assert state.disabled_at is not None
    assert state.failing_since is not None
    assert FAILING_SECONDS <= state.disabled_at - state.failing_since <= FAILING_SECONDS + DAY
    assert "receiver bad is disabled: failed at every attempt for 5." in caplog.text
    sent = len(bad.received)
    rig.run(2 * DAY)
    assert len(bad.received) == sent
    bad.mode = "ok"
    rig.ledger.outbox.replay(receiver="bad")
    rig.ledger.outbox.enable("bad")
    rig.settle()
    assert set(rig.singles("bad")) | {
        key for one in rig.digests("bad") for key in one.message["data"]["alerts"]
    } == set(rig.truth())
    check_good(rig, story)


def test_a_quiet_week_is_not_a_week_of_failure(rig: Rig) -> None:
    """One failure before and one after disable nobody: nothing was attempted between."""
    bad = rig.receivers["bad"]
    bad.mode = "500"
    rig.raise_(alert(1))
    rig.delivery.deliver_due()
    rig.close()
    rig.clock.advance(7 * DAY)
    rig.open()
    rig.delivery.deliver_due()
    assert not rig.ledger.outbox.state("bad").disabled
    bad.mode = "ok"
    rig.settle()
    check(rig, "bad")


@pytest.mark.parametrize(
    ("asked", "waits"),
    [
        ("315360000", RETRY_AFTER_CAP),  # ten years
        ("9" * 400, RETRY_AFTER_CAP),
        ("3600", 3600.0),
        ("90", 90.0),
        ("-90", 5.0),
        ("NaN", 5.0),
        ("inf", 5.0),
        ("1e9", 5.0),
        ("0x10", 5.0),
        ("١٢", 5.0),
        ("soon", 5.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 5.0),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),  # two minutes from the virtual start
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_CAP),
        ("Fri, 99 Dec 99999 23:59:59 GMT", 5.0),
        ("Tue, 14 Nov 2023 22:15:20 -9999", 5.0),
    ],
)
def test_any_retry_after_is_obeyed_up_to_an_hour(tmp_path: Path, asked: str, waits: float) -> None:
    """As seconds or as a date by our clock; nonsense is no wish, and nothing waits for years."""
    rig = Rig(tmp_path / "ledger.duckdb", ("bad",))
    bad = rig.receivers["bad"]
    bad.mode, bad.retry_after = "429" if len(asked) % 2 else "503", asked
    rig.raise_(alert(1))
    rig.delivery.deliver_due()
    bad.mode = "ok"
    rig.clock.advance(waits - 1.5)
    assert rig.delivery.deliver_due() == 0
    rig.clock.advance(1.5)
    assert rig.delivery.deliver_due() == 1
    check(rig, "bad")
    rig.end()


def test_secrets_are_rotated_without_losing_a_message(rig: Rig) -> None:
    """Both keys sign while both are set; a receiver may change over at any time between, and what
    waited from before is signed anew."""
    old, new = rig.secrets[0], "whsec_" + "bmV3" * 11
    bad = rig.receivers["bad"]
    bad.secrets = (old,)
    bad.mode = "500"
    rig.raise_(alert(1))
    rig.delivery.deliver_due()
    for keys, knows in (((new, old), old), ((new, old), new), ((new,), new)):
        rig.close()
        rig.secrets = keys
        rig.open()
        bad.mode, bad.secrets = "ok", (knows,)
        for name in GOOD:
            rig.receivers[name].secrets = (knows,)
        before = len(bad.received)
        rig.raise_(alert(10 + before, subject=bytes([before]) * 20))
        rig.settle()
        fresh = bad.received[before:]
        assert fresh
        assert all(one.signed_with(knows) for one in fresh)
        assert all(one.signed_with(key) for one in fresh for key in keys)
    assert not bad.received[-1].signed_with(old), "withdrawn"
    assert set(rig.singles("bad")) == set(rig.truth())


def test_a_stranger_at_the_other_end_gets_nothing(tmp_path: Path, rig: Rig) -> None:
    """With a certificate of nobody the alerts wait, certainly untold; with the right one they
    arrive."""
    story, bad = Story(rig), rig.receivers["bad"]
    del story, tmp_path
    bad.stop()
    bad._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # has no certificate: every handshake fails
    bad.start()
    sender = rig.senders[-1]
    assert isinstance(sender, WebhookSender)
    sender._poster.url = sender._poster.url.copy_with(scheme="https")
    rig.raise_(alert(1))
    rig.run(HOUR)
    (row,) = rig.ledger.outbox.letters(10)
    assert (row.in_doubt, bad.received) == (False, [])
    assert row.attempts > 2
    bad.stop()
    bad._tls = None
    bad.start()
    sender._poster.url = sender._poster.url.copy_with(scheme="http")
    rig.settle()
    check(rig, "bad")
