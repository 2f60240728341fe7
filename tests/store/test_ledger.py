"""The ledger: what is committed comes back, together or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwarden.errors import DiskFull, SettingsError, StoreError
from chainwarden.schema import (
    ETHEREUM,
    Alert,
    Chain,
    Evidence,
    Hop,
    Label,
    LakeFile,
    Position,
    Reason,
    Retraction,
    RetractionReason,
    Role,
    Severity,
    alert_id,
)
from store.ledger import AlertFilter, Commit, InForce, Ledger
from store.queries import chains_of
from tests.store.ledgers import at
from tests.store.made import WALLET, alert, position

OTHER = b"\x07" * 20


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger, live, with one receiver."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        yield opened


texts = st.text(st.characters(codec="utf-8"), max_size=60)
numbers = st.floats(allow_nan=False)
alerts = st.builds(
    lambda subject, tx, **fields: Alert(
        id=alert_id(ETHEREUM, "mixer_touch", 1, subject, tx, 0),
        chain=ETHEREUM,
        subject=subject,
        transaction_hash=tx,
        **fields,
    ),
    st.binary(min_size=20, max_size=20),
    st.none() | st.binary(min_size=32, max_size=32),
    rule=texts,
    rule_version=st.integers(1, 2**31 - 1),
    typology=texts,
    severity=st.sampled_from(Severity),
    score=numbers,
    role=st.sampled_from(Role),
    position=st.builds(
        Position, st.integers(0, 2**63 - 1), st.sampled_from([b"", bytes(32), b"\xff" * 32])
    ),
    block_timestamp=st.integers(0, 2**62),
    ordinal=st.integers(-(2**31), 2**31),
    sentence=texts,
    reasons=st.lists(
        st.builds(Reason, texts, numbers, numbers, st.none() | numbers), max_size=4
    ).map(tuple),
    evidence=st.builds(
        Evidence,
        st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple),
        st.lists(st.binary(min_size=20, max_size=20), max_size=3).map(tuple),
        st.lists(
            st.tuples(
                st.none() | st.binary(min_size=20, max_size=20),
                st.sampled_from([0, 1, 2**53 + 1, 2**64 - 1, 2**128, 2**255, 2**256 - 1]),
            ),
            max_size=3,
        ).map(tuple),
        st.lists(
            st.builds(
                Hop,
                st.none() | st.binary(min_size=32, max_size=32),
                st.binary(min_size=20, max_size=20),
                st.binary(min_size=20, max_size=20),
                st.integers(0, 2**256 - 1),
                st.none() | st.binary(min_size=20, max_size=20),
            ),
            max_size=16,
        ).map(tuple),
    ),
)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(alerts)
def test_an_alert_comes_back_as_it_went_in(ledger: Ledger, one: Alert) -> None:
    """Every field of an alert, uint256 amounts and float bits included, survives the ledger."""
    for old in ledger.alerts(AlertFilter(limit=1000)):
        if old.id == one.id:  # the same id in another block: what follows is about a new alert
            ledger.commit(Commit(at(1), retractions=[Retraction(old.id, old.position)]))
    ledger.commit(Commit(at(1), alerts=[one]))
    assert ledger.alert(one.id) == one
    assert repr(ledger.alert(one.id)) == repr(one)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(alerts, min_size=3, max_size=12, unique_by=lambda one: one.id), st.booleans())
def test_alerts_come_back_however_many_they_are(
    ledger: Ledger, some: list[Alert], crowded: bool
) -> None:
    """What is odd about one of many is as it was, too: a few of them, and more than a hundred."""
    filling = [alert(5, rule=f"rule {n}") for n in range(100)] if crowded else []
    old = [Retraction(one.id, one.position) for one in ledger.alerts(AlertFilter(limit=10_000))]
    ledger.commit(Commit(at(1), retractions=old))
    ledger.commit(Commit(at(1), alerts=[*some, *filling]))
    assert [repr(ledger.alert(one.id)) for one in some] == [repr(one) for one in some]


def test_infinite_and_missing_numbers_come_back(ledger: Ledger) -> None:
    """A reason with an infinite value, and text no encoding has, do not stop an alert."""
    odd = alert(5)
    reasons = (Reason("x", float("inf"), float("-inf"), None), Reason("y", float("nan"), 0.1))
    odd = replace(odd, reasons=reasons, sentence="bad \ud800 name \0 end")
    ledger.commit(Commit(at(5), alerts=[odd]))
    back = ledger.alert(odd.id)
    assert back is not None
    assert back.reasons[0] == reasons[0]
    assert repr(back.reasons[1]) == repr(reasons[1])
    assert back.sentence == "bad ? name \0 end"


def test_repeating_a_commit_changes_nothing(ledger: Ledger) -> None:
    """A commit made again leaves one alert, one notification, one row in the manifest."""
    file = LakeFile("blocks/x.parquet", "blocks", position(3), position(3), 1, 99)
    commit = Commit(at(3), alerts=[alert(3), alert(3)], files_added=[file])
    for _ in range(3):
        ledger.commit(commit)
    assert ledger.alerts() == [alert(3)]
    assert ledger.outbox.pending() == {"ops": 1}
    assert ledger.files() == [file]
    assert ledger.cursor() == at(3)


def test_what_was_committed_is_there_after_opening_again(tmp_path: Path) -> None:
    """Cursor, alerts, counts, labels, manifest and outbox are the same in the next process."""
    path = tmp_path / "ledger.duckdb"
    label = Label(WALLET, "phishing", "analyst", 5, 9, "ethereum", "ann", "saw it", alert(1).id)
    file = LakeFile("flows/x.parquet", "flows", position(1), position(2), 5, 10)
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        ledger.add_label(label)
        ledger.commit(
            Commit(at(2), [alert(1), alert(2)], labels=[InForce(2, [1])], files_added=[file])
        )
        ledger.commit(Commit(at(1), retractions=[Retraction(alert(2).id, position(2))]))
        ledger.add_snapshot("snapshot-1.bin", at(1), 1234)
        before = _everything(ledger)
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        assert _everything(ledger) == before
        assert ledger.alert_counts() == {
            ("mixer_touch", Severity.HIGH, "active"): 1,
            ("mixer_touch", Severity.HIGH, "retracted"): 1,
        }
    assert chains_of(path) == [ETHEREUM]


def test_a_retraction_takes_back_the_instance_in_its_block_only(ledger: Ledger) -> None:
    """Retracted, moved to another block, and a retraction for the old block that comes late."""
    first, moved = alert(5), alert(5, at=position(6, "b"))
    ledger.commit(Commit(at(5), alerts=[first]))
    ledger.commit(Commit(at(4), retractions=[Retraction(first.id, position(5, "b"))]))
    assert ledger.alerts() == [first], "another block's retraction is not this alert's"
    ledger.commit(Commit(at(4), retractions=[Retraction(first.id, first.position)]))
    assert ledger.alerts() == []
    assert ledger.alerts(AlertFilter(status="retracted")) == [first]
    ledger.commit(Commit(at(6), alerts=[moved]))
    assert ledger.alerts() == [moved]
    ledger.commit(Commit(at(6), retractions=[Retraction(first.id, first.position)]))
    record = ledger.record(first.id)
    assert record is not None
    assert (record.alert, record.status, record.instance) == (moved, "active", 1)


def test_alerts_and_retractions_of_one_commit_are_netted(ledger: Ledger) -> None:
    """Raised and reverted at once ends retracted; reverted and raised again ends active."""
    ledger.commit(
        Commit(at(4), alerts=[alert(5)], retractions=[Retraction(alert(5).id, position(5))])
    )
    assert ledger.alerts() == []
    assert ledger.outbox.pending() == {}
    ledger.commit(Commit(at(6), alerts=[alert(6)]))
    ledger.commit(
        Commit(at(6), alerts=[alert(6)], retractions=[Retraction(alert(6).id, position(6))])
    )
    assert ledger.alerts() == [alert(6)]
    moved = alert(6, at=position(7, "b"))
    reason = RetractionReason.MOVED
    ledger.commit(
        Commit(at(6), alerts=[moved], retractions=[Retraction(alert(6).id, position(6), reason)])
    )
    assert ledger.alerts() == [moved]


def test_counts_are_what_counting_gives(tmp_path: Path) -> None:
    """The kept counts equal a count of the rows, now and in the next process."""
    made = [
        alert(number, severity=Severity(number % 5), rule=f"rule_{number % 3}")
        for number in range(90)
    ]
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        for first, together in [*((number, 1) for number in range(30)), (30, 20), (50, 40)]:
            some = made[first : first + together]
            ledger.commit(Commit(at(first), alerts=some))
            if first % 4 == 0:
                _retract(ledger, some[:1])
        for remainder in (1, 2):
            _retract(ledger, made[remainder::4])
        told = ledger.alert_counts()
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        counted: dict[tuple[str, Severity, str], int] = {}
        for record in ledger.records(AlertFilter(status="all")):
            key = (record.alert.rule, record.alert.severity, record.status)
            counted[key] = counted.get(key, 0) + 1
        assert ledger.alert_counts() == told == counted


def _retract(ledger: Ledger, alerts: list[Alert]) -> None:
    """As if their blocks were orphaned."""
    gone = [Retraction(one.id, one.position) for one in alerts]
    ledger.commit(Commit(at(99), retractions=gone))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (AlertFilter(), [9, 8, 7, 6, 5, 4, 3, 2, 1]),
        (AlertFilter(status="all"), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]),
        (AlertFilter(status="retracted"), [0]),
        (AlertFilter(rule="odd"), [9, 7, 5, 3, 1]),
        (AlertFilter(min_severity=Severity.CRITICAL), [9, 4]),
        (AlertFilter(subject=OTHER), [6, 3]),
        (AlertFilter(transaction_hash=alert(4).transaction_hash), [4]),
        (AlertFilter(first_block=3, last_block=5), [5, 4, 3]),
        (AlertFilter(since=alert(3).block_timestamp, until=alert(5).block_timestamp), [4, 3]),
        (AlertFilter(limit=2), [9, 8]),
        (AlertFilter(limit=0), []),
        (AlertFilter(oldest_first=True, limit=3), [1, 2, 3]),
        (AlertFilter(rule="odd' OR 1=1 --"), []),
        (AlertFilter(after="'; DROP TABLE ledger.alerts; --"), []),
    ],
)
def test_a_filter_lets_through_what_it_says(
    ledger: Ledger, wanted: AlertFilter, expected: list[int]
) -> None:
    """Each condition narrows by itself; text in a filter is data, never SQL."""
    made = [
        alert(
            n,
            rule="odd" if n % 2 else "even",
            severity=Severity(n % 5),
            subject=OTHER if n and n % 3 == 0 and n < 9 else WALLET,
        )
        for n in range(10)
    ]
    ledger.commit(Commit(at(9), alerts=made))
    ledger.commit(Commit(at(9), retractions=[Retraction(made[0].id, made[0].position)]))
    assert [found.position.number for found in ledger.alerts(wanted)] == expected


@pytest.mark.parametrize("oldest_first", [False, True])
def test_pages_join_without_gap_or_repeat(ledger: Ledger, oldest_first: bool) -> None:
    """Following ``after`` gives every alert once, in either direction."""
    ledger.commit(Commit(at(9), alerts=[alert(n) for n in range(10)]))
    found: list[int] = []
    after = None
    while page := ledger.alerts(AlertFilter(limit=3, after=after, oldest_first=oldest_first)):
        found += [one.position.number for one in page]
        after = page[-1].id
    assert found == (list(range(10)) if oldest_first else list(range(9, -1, -1)))


def test_ids_are_found_by_how_they_begin(ledger: Ledger) -> None:
    """Every alert by any prefix of its id, in order; nothing for what is no id."""
    made = sorted(alert(n).id for n in range(40))
    ledger.commit(Commit(at(40), [alert(n) for n in range(40)]))
    for one in made:
        for digits in (1, 4, 31, 32):
            prefix = one[:digits]
            assert ledger.alert_ids(prefix, 50) == [i for i in made if i.startswith(prefix)]
    assert ledger.alert_ids("", 50) == made
    assert ledger.alert_ids(made[7][:8].upper(), 5) == [made[7]]
    for odd in ("xyz", "'; DROP", made[0] + "0", "0x12"):
        assert ledger.alert_ids(odd, 5) == []


def test_the_manifest_follows_the_commits(ledger: Ledger) -> None:
    """Files are added, replaced by name, and removed, all with the cursor."""
    files = [
        LakeFile(f"blocks/{n}.parquet", "blocks", position(n), position(n), n, n) for n in range(5)
    ]
    flows = LakeFile("flows/0.parquet", "flows", position(0), position(4), 9, 9)
    ledger.commit(Commit(at(4), files_added=[*files, flows]))
    assert ledger.files() == [*files, flows]
    assert ledger.files("flows") == [flows]
    merged = LakeFile("blocks/m.parquet", "blocks", position(0), position(3), 9, 9)
    ledger.commit(Commit(at(4), files_added=[merged], files_removed=files[:4]))
    assert set(ledger.files("blocks")) == {merged, files[4]}


def test_a_failed_commit_leaves_nothing(ledger: Ledger) -> None:
    """What was written before the failure is gone, and the ledger goes on."""
    ledger.commit(Commit(at(1), alerts=[alert(1)]))
    before = _everything(ledger)
    broken = LakeFile("x", "blocks", position(2), position(2), 2**64, 1)  # no column holds it
    with pytest.raises(StoreError):
        ledger.commit(Commit(at(2), alerts=[alert(2)], files_added=[broken]))
    assert _everything(ledger) == before
    ledger.commit(Commit(at(2), alerts=[alert(2)]))
    assert len(ledger.alerts()) == 2


def test_files_that_do_not_come_undo_their_commit(ledger: Ledger) -> None:
    """They are waited for within the transaction, of which nobody sees anything until then."""
    ledger.commit(Commit(at(1), alerts=[alert(1)]))
    before = _everything(ledger)
    file = LakeFile("blocks/2.parquet", "blocks", position(2), position(2), 1, 1)

    def coming() -> list[LakeFile]:
        with ThreadPoolExecutor(1) as other:
            assert other.submit(ledger.alerts).result(10) == [alert(1)]
        raise DiskFull("no space left for blocks/2.parquet")

    with pytest.raises(DiskFull, match="blocks/2"):
        ledger.commit(Commit(at(2), alerts=[alert(2)], files_coming=coming))
    assert _everything(ledger) == before
    ledger.commit(Commit(at(2), alerts=[alert(2)], files_coming=lambda: [file]))
    assert (ledger.files(), len(ledger.alerts())) == ([file], 2)


def test_in_a_replay_nothing_enters_the_outbox(tmp_path: Path) -> None:
    """Receivers are not told of history, whoever they are."""
    with Ledger.open(tmp_path / "l", ETHEREUM, "replay", receivers=["ops"]) as ledger:
        ledger.commit(Commit(at(1), alerts=[alert(1)]))
        ledger.commit(Commit(at(0), retractions=[Retraction(alert(1).id, position(1))]))
        assert ledger.outbox.pending() == {}
    with duckdb.connect(str(tmp_path / "l"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_chains_share_a_file_without_mixing(tmp_path: Path) -> None:
    """Each chain has its own cursor, alerts and manifest; a name stands for one chain id."""
    path, base = tmp_path / "ledger.duckdb", Chain("base", 8453)
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.commit(Commit(at(1), alerts=[alert(1)]))
    with Ledger.open(path, base) as ledger:
        assert ledger.cursor() is None
        assert ledger.alerts() == []
        assert ledger.alert_counts() == {}
    with pytest.raises(SettingsError, match="chain id 1"):
        Ledger.open(path, Chain("ethereum", 5))
    assert chains_of(path) == [base, ETHEREUM]


def test_threads_read_while_one_commits(ledger: Ledger) -> None:
    """Readers in other threads see whole commits only, and nobody is refused."""
    problems: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                found = ledger.alerts(AlertFilter(limit=1000))
                assert len(found) % 3 == 0
        except BaseException as error:
            problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for thread in readers:
        thread.start()
    for number in range(0, 60, 3):
        ledger.commit(Commit(at(number), alerts=[alert(number + i) for i in range(3)]))
    done.set()
    for thread in readers:
        thread.join()
    assert problems == []


def _everything(ledger: Ledger) -> list[object]:
    return [
        ledger.cursor(),
        ledger.records(AlertFilter(status="all")),
        ledger.alert_counts(),
        ledger.labels(),
        ledger.files(),
        ledger.snapshots(),
        ledger.outbox.pending(),
        ledger.outbox.dead_letters(),
    ]
