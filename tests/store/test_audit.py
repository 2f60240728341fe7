"""The audit chain in a real ledger: all that is said is in it, and nothing changes unnoticed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import StoreError
from chainwarden.schema import ETHEREUM, Cursor, Label, Retraction, RetractionReason
from store.audit import Fault, verify
from store.audit_chain import GENESIS, Entry, Note, content_of, linked
from store.audit_table import TAKEN_OVER, TRAILS, Head, Trail
from store.label_journal import ListNote
from store.ledger import Commit, InForce, Ledger
from tests.store.made import WALLET, alert, position

LABEL: Final = Label(WALLET, "phishing", "list", 5, 9, None, "ana", "why", "")
LIST: Final = ListNote("l.csv", "s", "MIT", None, 0, None, "d1", "ofac", 3, 1, 3, 0, 5.0, 7)
ENTRY: Final = "does not follow from the entries before it: changed, left out or put in"


def at(number: int) -> Cursor:
    """The cursor behind a block."""
    return Cursor(position(number), {}, number)


def say_everything(ledger: Ledger) -> None:
    """Alerts raised, moved and taken back; every word that people have, taken back, too."""
    moved = replace(alert(3), position=position(3, "b"))
    ledger.commit(Commit(at(3), [alert(1), alert(2), alert(3)]))
    ledger.commit(
        Commit(
            at(3),
            [moved],
            [
                Retraction(alert(2).id, position(2)),
                Retraction(alert(3).id, position(3), RetractionReason.MOVED),
            ],
        )
    )
    ledger.add_label(LABEL)
    ledger.add_label(replace(LABEL, valid_to=None))
    ledger.add_label(replace(LABEL, label="exchange"))
    ledger.withdraw_label(LABEL, "bob", "wrong")
    ledger.promote("beef", {"rate": 0.5}, "ana", "better")
    ledger.commit(Commit(at(4), labels=[InForce(4, [1, 2, 3, 4], [LIST], [5])]))
    ledger.commit(Commit(at(3), reverted=4))
    ledger.triage.acknowledge(alert(1).id, "ana", "mine")
    ledger.triage.unacknowledge(alert(1).id, "ana")
    ledger.triage.suppress("dusting", None, ledger.now() + 5, "ana", "noise")
    ledger.triage.end(ledger.triage.suppress(None, WALLET, ledger.now() + 50).serial, "bob")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed ledger in which everything was said."""
    path = tmp_path_factory.mktemp("said") / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        say_everything(ledger)
    return path


@pytest.fixture
def path(said: Path, tmp_path: Path) -> Path:
    """A copy of that ledger to do something to."""
    copy = tmp_path / "ledger.duckdb"
    shutil.copy(said, copy)
    return copy


@contextmanager
def behind_its_back(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The file as somebody has it who can write it; the counts are made good by him, too."""
    with duckdb.connect(str(path)) as connection:
        yield connection
        tables = [*(trail.table for trail in TRAILS.values()), "audit"]
        for table in tables:
            connection.execute(f"UPDATE totals SET {table} = (SELECT count(*) FROM {table})")


def faults(path: Path) -> list[Fault]:
    """What does not hold."""
    with Ledger.open(path, ETHEREUM) as ledger, ledger.reading():
        return list(ledger.verify().faults)


def test_all_that_is_said_is_in_the_chain(said: Path) -> None:
    """Each act has its entries, and all of them hold; what takes force later changes none."""
    with Ledger.open(said, ETHEREUM) as ledger:
        found = ledger.verify()
        assert (found.faults, found.more) == ((), False)
        assert found.head == ledger.audit_head()
    with duckdb.connect(str(said), read_only=True) as connection:
        kinds = connection.execute("SELECT kind FROM audit").fetchall()
    assert Counter(kind for (kind,) in kinds) == {
        "alert": 5,
        "label": 4,
        "label change": 4,
        "label list": 1,
        "promotion": 1,
        "acknowledgement": 2,
        "suppression": 3,
    }


def test_every_column_that_is_covered_is(path: Path) -> None:
    """One value of one record changed, of any kind: that record, and no other, is told."""
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{path}' AS ledger")
        assert verify(connection).faults == ()
        for kind, trail in TRAILS.items():
            for column in trail.columns:
                connection.execute("BEGIN")
                key = change_one(connection, trail, column)
                told = verify(connection).faults
                connection.execute("ROLLBACK")
                if column == trail.key:
                    assert told[0].what == "was never written by chainwarden"
                    assert told[1:] == (Fault(kind, key, "is gone"),)
                else:
                    assert told == (Fault(kind, key, "is not as it was written"),), (kind, column)


def change_one(connection: duckdb.DuckDBPyConnection, trail: Trail, column: str) -> str:
    """Another value in a column of the newest record. Returns its key, as entries have it."""
    ((key, value, type_),) = connection.execute(
        f"SELECT {trail.key}, {column}, typeof({column}) FROM ledger.{trail.table} "
        "ORDER BY serial DESC LIMIT 1"
    ).fetchall()
    connection.execute(
        f"UPDATE ledger.{trail.table} SET {column} = {other_than(value, type_)} "
        f"WHERE {trail.key} = ?",
        [key],
    )
    return key.hex if trail.key == "id" else str(key)


def other_than(value: Any, type_: str) -> str:
    """SQL for another value of a type."""
    match type_:
        case "BOOLEAN":
            return "false" if value else "true"
        case "BLOB":
            return r"'\xAB'::BLOB"
        case "UUID":
            return "uuid()"
        case "VARCHAR":
            return "'changed'"
        case _:
            return str((value or 0) + 1)


@pytest.mark.parametrize("kind", TRAILS)
def test_a_record_that_was_removed_or_slipped_in_is_told(path: Path, kind: str) -> None:
    """Of any kind, with the counts made good."""
    trail = TRAILS[kind]
    with behind_its_back(path) as connection:
        key, serial = connection.execute(
            f"SELECT {trail.key}, serial FROM {trail.table} ORDER BY serial"
        ).fetchall()[0]
        forged = "uuid()" if trail.key == "id" else "77"
        replaced = {"serial": "77", trail.key: forged}
        changes = ", ".join(f"{sql} AS {name}" for name, sql in replaced.items())
        connection.execute(
            f"INSERT INTO {trail.table} SELECT * REPLACE ({changes}) FROM {trail.table} "
            "WHERE serial = ?",
            [serial],
        )
        connection.execute(f"DELETE FROM {trail.table} WHERE serial = ?", [serial])
    slipped, gone = faults(path)
    assert (slipped.kind, slipped.what) == (kind, "was never written by chainwarden")
    text = key.hex if trail.key == "id" else str(key)
    assert gone == Fault(kind, text, "is gone")


@pytest.mark.parametrize(
    ("act", "broken"),
    [
        ("UPDATE audit SET content = digest WHERE serial = 6", 6),
        ("UPDATE audit SET key = '9' WHERE serial = 7", 7),
        ("UPDATE audit SET digest = content WHERE serial = 8", 8),
        ("UPDATE audit SET kind = 'label' WHERE serial = 1", 1),
        ("UPDATE audit SET serial = 5 - serial WHERE serial IN (2, 3)", 2),
        ("DELETE FROM audit WHERE serial = 4", 4),
        (
            "UPDATE audit SET serial = serial + 1 WHERE serial > 9; "
            "INSERT INTO audit SELECT * REPLACE (10 AS serial) FROM audit WHERE serial = 9",
            10,
        ),
    ],
)
def test_an_entry_that_was_touched_is_told(path: Path, act: str, broken: int) -> None:
    """Changed, swapped, removed, slipped in: the chain holds up to there, and no further."""
    with behind_its_back(path) as connection:
        connection.execute(act)
    with Ledger.open(path, ETHEREUM) as ledger:
        found = ledger.verify()
    assert found.faults[0] == Fault("entry", str(broken), ENTRY)
    assert found.head.entries == broken - 1


def test_more_faults_than_are_told(tmp_path: Path) -> None:
    """At most a thousand, and that there are more."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.commit(Commit(at(9), [alert(number) for number in range(1, 1502)]))
    for limit, more in ((1001, False), (1002, True)):
        with behind_its_back(path) as connection:
            connection.execute(f"UPDATE alerts SET score = 2 WHERE serial < {limit}")
        with Ledger.open(path, ETHEREUM) as ledger:
            found = ledger.verify()
            assert (len(found.faults), found.more) == (1000, more)


def test_who_makes_the_chain_anew_ends_in_another_digest(path: Path) -> None:
    """The file then holds; the digest that somebody else has kept does not."""
    with Ledger.open(path, ETHEREUM) as ledger:
        kept = ledger.audit_head()
    with behind_its_back(path) as connection:
        connection.execute("UPDATE alerts SET score = 0.25 WHERE serial = 1")
        connection.execute("DELETE FROM audit")
    assert faults(path) == []
    with Ledger.open(path, ETHEREUM) as ledger:
        assert kept is not None
        assert ledger.audit_head(kept.entries) != kept


def test_a_ledger_from_before_the_chain_begins_one(path: Path) -> None:
    """With all that it holds, once; what is said then follows."""
    with duckdb.connect(str(path)) as connection:
        connection.execute("DROP TABLE audit")
        connection.execute("ALTER TABLE totals DROP COLUMN audit")
        connection.execute("DELETE FROM migrations WHERE version = 8")
        rows = [
            connection.execute(f"SELECT count(*) FROM {trail.table}").fetchall()[0][0]
            for trail in TRAILS.values()
        ]
    for _ in range(2):
        with Ledger.open(path, ETHEREUM) as ledger:
            head = ledger.audit_head()
            assert head is not None
            assert head.entries == sum(rows)
            assert ledger.verify().faults == ()
    with Ledger.open(path, ETHEREUM) as ledger:
        ledger.add_label(replace(LABEL, label="mixer"))
        assert ledger.verify() == ledger.verify()
        assert ledger.audit_head() == Head(sum(rows) + 2, ledger.verify().head.digest)


def test_a_ledger_that_is_made_anew_says_of_which(path: Path, tmp_path: Path) -> None:
    """What people said is in its chain, behind where the other one's ended."""
    with (
        Ledger.open(path, ETHEREUM) as old,
        Ledger.open(tmp_path / "new.duckdb", ETHEREUM) as new,
    ):
        new.take_over(old)
        assert new.verify().faults == ()
        identity, end = old.identity, old.audit_head()
        assert end is not None
        assert new.identity != identity
    with duckdb.connect(str(tmp_path / "new.duckdb"), read_only=True) as connection:
        first = connection.execute(
            "SELECT kind, key, content FROM audit ORDER BY serial"
        ).fetchone()
    assert first == (
        TAKEN_OVER,
        identity,
        content_of([identity, end.entries, end.digest]),
    )


def test_what_was_not_committed_is_in_no_chain(path: Path) -> None:
    """A transaction that fails leaves the chain where it was, for the next one to go on from."""
    with Ledger.open(path, ETHEREUM) as ledger:
        before = ledger.audit_head()
        broken = replace(alert(7), ordinal=2**63)
        with pytest.raises(StoreError):
            ledger.commit(Commit(at(7), [alert(6), broken]))
        assert ledger.audit_head() == before
        ledger.commit(Commit(at(7), [alert(6)]))
        found = ledger.verify()
        assert (found.faults, found.head) == ((), ledger.audit_head())


acts = st.lists(
    st.tuples(
        st.sampled_from(["raise", "move", "retract", "label", "withdraw", "take", "give", "open"]),
        st.integers(1, 4),
    ),
    max_size=20,
)


@settings(max_examples=20, deadline=None)
@given(acts)
def test_whatever_is_done_the_chain_holds(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, int]]
) -> None:
    """After any acts, in any order, and however often the file was closed."""
    path = tmp_path_factory.mktemp("acts") / "ledger.duckdb"
    ledger = Ledger.open(path, ETHEREUM)
    heads = [ledger.audit_head()]
    for act, number in acts:
        label = replace(LABEL, label=f"word{number}")
        match act:
            case "raise":
                ledger.commit(Commit(at(number), [alert(number)]))
            case "move":
                elsewhere = replace(alert(number), position=position(number, "b"))
                ledger.commit(Commit(at(number), [elsewhere]))
            case "retract":
                ledger.commit(
                    Commit(at(number), retractions=[Retraction(alert(number).id, position(number))])
                )
            case "label":
                ledger.add_labels([label, replace(label, valid_to=number)])
            case "withdraw":
                ledger.withdraw_label(label)
            case "take":
                ledger.triage.acknowledge(alert(number).id, "ana", str(number))
            case "give":
                ledger.triage.unacknowledge(alert(number).id)
            case _:
                ledger.close()
                ledger = Ledger.open(path, ETHEREUM)
        heads.append(ledger.audit_head())
    with ledger:
        found = ledger.verify()
        assert (found.faults, found.head) == ((), heads[-1])
        assert heads == [ledger.audit_head(head.entries) for head in heads if head is not None]


@given(st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=8))
def test_equal_digests_are_of_equal_chains(notes: list[tuple[str, str]]) -> None:
    """Into what pieces a chain was cut does not matter; what is in it, and the order, does."""
    every = [Note(kind, key, content_of([kind, key])) for kind, key in notes]
    whole = list(linked(GENESIS, 0, every))
    pieces: list[Entry] = []
    for note in every:
        last = pieces[-1].digest if pieces else GENESIS
        pieces += linked(last, len(pieces), [note])
    assert pieces == whole
    if notes != notes[::-1]:
        assert list(linked(GENESIS, 0, every[::-1]))[-1].digest != whole[-1].digest
