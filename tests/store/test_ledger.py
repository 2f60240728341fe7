from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwarden.errors import (
    LedgerDamaged,
    LedgerLocked,
    SettingsError,
    StoreError,
)
from chainwarden.schema import (
    ETHEREUM,
    Alert,
    Chain,
    Cursor,
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
from store.ledger import AlertFilter, Commit, InForce, Ledger, ListNote
from store.migrations import MIGRATIONS
from store.queries import chains_of
from tests.store.made import WALLET, alert, position

OTHER = b"\x07" * 20


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger, live, with one receiver."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        yield opened


def at(number: int) -> Cursor:
    """The cursor after block ``number``."""
    return Cursor(position(number), {"t/0": number + 1, "t/1": 7}, number, 2 * number, 3 * number)


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


def test_an_alert_from_before_paths_has_none(tmp_path: Path) -> None:
    """A row written when evidence had no path is read, with everything else it had."""
    path, one = tmp_path / "ledger.duckdb", alert(5)
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.commit(Commit(at(5), alerts=[one]))
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "UPDATE alerts SET evidence = regexp_replace(evidence, ',\"path\".*', '}')"
        )
        (row,) = connection.execute("SELECT evidence FROM alerts").fetchall()
        assert "path" not in row[0]
    with Ledger.open(path, ETHEREUM) as ledger:
        assert ledger.alert(one.id) == replace(one, evidence=replace(one.evidence, path=()))


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


def test_counts_are_what_counting_gives(ledger: Ledger) -> None:
    """The kept counts equal a count of the rows, after raising, retracting and moving."""
    for number in range(30):
        level = Severity(number % 5)
        rule = f"rule_{number % 3}"
        ledger.commit(Commit(at(number), alerts=[alert(number, severity=level, rule=rule)]))
        if number % 4 == 0:
            gone = Retraction(alert(number, rule=rule).id, position(number))
            ledger.commit(Commit(at(number), retractions=[gone]))
    counted: dict[tuple[str, Severity, str], int] = {}
    for record in ledger.records(AlertFilter(status="all")):
        key = (record.alert.rule, record.alert.severity, record.status)
        counted[key] = counted.get(key, 0) + 1
    assert ledger.alert_counts() == counted


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


def test_labels_are_kept_replaced_and_withdrawn(ledger: Ledger) -> None:
    """The same word by the same source is one label; each change takes force once."""
    first = Label(WALLET, "phishing", "analyst", 10)
    again = Label(WALLET, "phishing", "analyst", 20, note="sure now")
    other = Label(WALLET, "phishing", "list", 10)
    assert ledger.add_label(first)
    assert not ledger.add_label(again)
    assert ledger.add_label(other)
    assert ledger.labels() == [again, other]
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
        other.take_over_labels(ledger)
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
        other.take_over_labels(ledger)
        assert [(one.configuration, one.number, one.by) for one in other.promotions()] == [
            ("abc", 4, "ana"),
            ("def", None, "bob"),
        ]


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


@contextmanager
def first_schema(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A ledger file as the first release made it, of Ethereum, to be filled."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS ledger (STORAGE_VERSION 'v1.5.0')")
        connection.execute(
            "CREATE TABLE ledger.migrations (version INTEGER NOT NULL, name VARCHAR)"
        )
        for statement in MIGRATIONS[0].statements:
            connection.execute(statement)
        connection.execute("INSERT INTO ledger.migrations VALUES (1, 'the ledger')")
        connection.execute("INSERT INTO ledger.chains VALUES ('ethereum', 1)")
        yield connection


def test_a_ledger_from_before_the_trail_is_brought_along(tmp_path: Path) -> None:
    """Labels of a ledger of the first schema have a row each, and take force if they had not."""
    path = tmp_path / "ledger.duckdb"
    with first_schema(path) as connection:
        connection.execute(
            "INSERT INTO ledger.cursors VALUES ('ethereum', NULL, NULL, '', 0, 0, 0)"
        )
        connection.execute(
            "INSERT INTO ledger.labels VALUES "
            "(1, ?, 'phishing', 'analyst', 7, NULL, 'ethereum', 'ana', '', '', false, NULL), "
            "(2, ?, 'scam', 'x', 0, NULL, NULL, '', '', '', true, NULL)",
            [WALLET, OTHER],
        )
        connection.execute("UPDATE ledger.totals SET labels = 2, label_serial = 2")
    with Ledger.open(path, ETHEREUM) as ledger:
        (change,) = ledger.label_changes(pending=True)
        assert change.label == Label(WALLET, "phishing", "analyst", 7, None, "ethereum", "ana")
        assert ledger.labels() == [change.label]
        ledger.add_label(Label(OTHER, "mixer", "x"))
        assert [c.serial for c in ledger.label_changes()] == [1, 2]


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


def test_in_a_replay_nothing_enters_the_outbox(tmp_path: Path) -> None:
    """Receivers are not told of history, whoever they are."""
    with Ledger.open(tmp_path / "l", ETHEREUM, "replay", receivers=["ops"]) as ledger:
        ledger.commit(Commit(at(1), alerts=[alert(1)]))
        ledger.commit(Commit(at(0), retractions=[Retraction(alert(1).id, position(1))]))
        assert ledger.outbox.pending() == {}
    with duckdb.connect(str(tmp_path / "l"), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_two_processes_cannot_write_one_ledger(tmp_path: Path) -> None:
    """The second is told who has it; so is the same process asking twice."""
    path = tmp_path / "ledger.duckdb"
    code = (
        "import sys; from pathlib import Path\n"
        "from chainwarden.schema import ETHEREUM\nfrom store.ledger import Ledger\n"
        "from chainwarden.errors import LedgerLocked\n"
        "try: Ledger.open(Path(sys.argv[1]), ETHEREUM)\n"
        "except LedgerLocked as error: print(error); sys.exit(6)\n"
    )
    with Ledger.open(path, ETHEREUM) as ledger:
        # A copy for a backup, made in the writing process, must not open the door.
        shutil.copy(path, tmp_path / "backup")
        second = subprocess.run(
            [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
        )
        assert second.returncode == 6, second.stderr
        assert "pid" in second.stdout
        with pytest.raises(LedgerLocked):
            Ledger.open(path, ETHEREUM)
        ledger.commit(Commit(at(1)))
    third = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert third.returncode == 0


def test_a_torn_log_is_noticed(tmp_path: Path) -> None:
    """DuckDB forgets a torn tail without a word; opening the ledger does not."""
    path, copy = tmp_path / "ledger.duckdb", tmp_path / "copy.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        for number in range(1, 5):
            ledger.commit(Commit(at(number), alerts=[alert(number)]))
        for end in ("", ".wal", ".commits"):
            shutil.copy(tmp_path / f"ledger.duckdb{end}", tmp_path / f"copy.duckdb{end}")
    wal = tmp_path / "copy.duckdb.wal"
    wal.write_bytes(wal.read_bytes()[:-40])
    with pytest.raises(LedgerDamaged, match="end of its log is lost"):
        Ledger.open(copy, ETHEREUM)
    (tmp_path / "copy.duckdb.commits").unlink()
    with Ledger.open(copy, ETHEREUM) as ledger:
        assert ledger.cursor() == at(3), "the older state, once it was asked for"


NOTE = ListNote("l.csv", "", "MIT", None, 0, None, "d1", "ofac", 3, 1, 3, 0, 5.0, 1, 0)


@pytest.mark.parametrize(
    "table",
    [
        "alerts", "outbox", "labels", "lake_files", "snapshots", "label_changes", "label_lists",
        "model_promotions",
    ],
)  # fmt: skip
def test_missing_rows_are_noticed(tmp_path: Path, table: str) -> None:
    """Rows that vanish from under the ledger make the next opening fail, whichever table."""
    path = tmp_path / "ledger.duckdb"
    file = LakeFile("x", "blocks", position(1), position(1), 1, 1)
    with Ledger.open(path, ETHEREUM, receivers=["ops"]) as ledger:
        ledger.add_label(Label(WALLET, "mixer", "list"))
        ledger.commit(
            Commit(at(1), [alert(1)], labels=[InForce(1, (), [NOTE])], files_added=[file])
        )
        ledger.add_snapshot("s", at(1), 1)
        ledger.promote("abc", {})
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"DELETE FROM {table}")
    with pytest.raises(LedgerDamaged, match=f"{table} has 0 rows, not the 1"):
        Ledger.open(path, ETHEREUM)


def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path) -> None:
    """Garbage, and a ledger of a newer version, are errors with a hint, not tracebacks."""
    (tmp_path / "garbage").write_bytes(b"hello" * 10_000)
    with pytest.raises(LedgerDamaged):
        Ledger.open(tmp_path / "garbage", ETHEREUM)
    Ledger.open(tmp_path / "newer", ETHEREUM).close()
    with duckdb.connect(str(tmp_path / "newer")) as connection:
        connection.execute("INSERT INTO migrations VALUES (999, 'from the future')")
    with pytest.raises(StoreError, match="999"):
        Ledger.open(tmp_path / "newer", ETHEREUM)


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


def test_closing_frees_the_file_although_threads_have_read(tmp_path: Path) -> None:
    """Cursors of other threads, alive or not, do not keep the ledger open."""
    path = tmp_path / "ledger.duckdb"
    for number in range(3):
        ledger = Ledger.open(path, ETHEREUM)
        ledger.commit(Commit(at(number)))
        thread = threading.Thread(target=ledger.alerts)
        thread.start()
        thread.join()
        ledger.close()
        with pytest.raises(StoreError, match="closed"):
            ledger.alerts()


def test_the_file_can_be_read_by_the_version_before(tmp_path: Path) -> None:
    """Ledgers are written in the storage format of DuckDB 1.5, so going back is possible."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.commit(Commit(at(1), alerts=[alert(1)]))
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS other (READ_ONLY)")
        tags = connection.execute(
            "SELECT tags FROM duckdb_databases() WHERE database_name = 'other'"
        ).fetchone()
    assert tags is not None
    assert tags[0]["storage_version"].startswith("v1.5")


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


def test_what_is_final_is_kept_beside_the_cursor(tmp_path: Path) -> None:
    """The finalized block survives a restart; a ledger from before it was kept has none."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as opened:
        opened.commit(Commit(at(7)))
        assert opened.cursor() == at(7)
        opened.commit(Commit(replace(at(8), finalized=position(3))))
    with Ledger.open(path, ETHEREUM) as opened:
        assert opened.cursor() == replace(at(8), finalized=position(3))
    old = tmp_path / "old.duckdb"
    with first_schema(old) as connection:
        connection.execute(
            "INSERT INTO ledger.cursors VALUES ('ethereum', ?, ?, ?, 8, 16, 24)",
            [8, position(8).hash, '{"t/0":9,"t/1":7}'],
        )
    with Ledger.open(old, ETHEREUM) as opened:
        assert opened.cursor() == at(8)
