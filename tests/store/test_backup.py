"""Backups: whole, of one moment, made while the ledger is written, and nobody else's to read."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwarden.errors import RequestRefused, StoreError
from chainwarden.schema import ETHEREUM, Cursor
from store.audit_seal import KEY_FILE
from store.backup import FOLDER, Backup, back_up, backups, default_name
from store.durable import TEMPORARY
from store.lake import Lake
from store.lake_blocks import read_blocks
from store.ledger import Commit, Ledger
from tests.figures import Tell
from tests.store.asking import Client, serving_everything
from tests.store.made import alert, blocks, features, position

BACKUPS = "/api/v1/backups"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with a lake of three blocks, keys, a snapshot and a list beside it."""
    for name in ("hash.key", "snapshot.key", KEY_FILE, "tokens.json"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o600)
    for name in ("snapshots/snapshot-000000000001.bin", "label-lists/d1.gz", "server.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        for number in range(1, 4):
            score(opened, tmp_path, number)
        yield opened


def score(ledger: Ledger, out: Path, number: int) -> None:
    """Commit a block with an alert and its files, as the pipeline does."""
    batch = blocks(number, 1)
    files = Lake(out / "lake", ETHEREUM).write(batch, features(batch))
    cursor = Cursor(position(number), {}, number)
    ledger.commit(Commit(cursor, [alert(number)], files_added=files))


def held(folder: Path) -> tuple[int, int, int]:
    """How many blocks were committed, and there are in the lake, and alerts; all of it verified."""
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        assert ledger.verify().faults == ()
        cursor, lake = ledger.cursor(), Lake(folder / "lake", ETHEREUM)
        assert cursor is not None
        there = sum(len(batch) for batch in read_blocks(lake, ledger.files()))
        return cursor.blocks, there, len(ledger.alerts())


def test_a_backup_is_the_installation_as_it_was(ledger: Ledger, tmp_path: Path) -> None:
    """It opens while the first goes on, says what it is of, and later acts do not change it."""
    made = back_up(ledger, tmp_path, "one")
    score(ledger, tmp_path, 4)
    removed = ledger.files()[:3]
    ledger.commit(Commit(Cursor(position(4), {}, 4), files_removed=removed))
    Lake(tmp_path / "lake", ETHEREUM).remove(removed)
    place = tmp_path / FOLDER / "one"
    assert held(place) == (3, 3, 3)
    names = {path.name for path in place.iterdir()}
    assert names == {
        "audit.key", "backup.json", "hash.key", "label-lists", "lake", "ledger.duckdb",
        "ledger.duckdb.commits", "ledger.duckdb.lock", "snapshot.key", "snapshots", "tokens.json",
    }  # fmt: skip
    assert (place / "snapshots" / "snapshot-000000000001.bin").read_text().startswith("snapshots")
    assert (made.block_number, made.block_hash) == (3, "0x" + position(3).hash.hex())
    assert (made.chain, made.ledger) == ("ethereum", ledger.identity)
    assert backups(tmp_path) == [made]
    assert ledger.alerts()[0] == alert(4)


def test_only_its_owner_may_read_it(ledger: Ledger, tmp_path: Path) -> None:
    """The keys are in it: its folder is its owner's alone, and they are as private as they were."""
    back_up(ledger, tmp_path, "one")
    place = tmp_path / FOLDER / "one"
    assert {path.stat().st_mode & 0o777 for path in (place, place.parent)} == {0o700}
    assert {path.stat().st_mode & 0o777 for path in place.glob("*.key")} == {0o600}


def test_a_backup_made_while_blocks_are_committed_is_of_one_commit(
    ledger: Ledger, tmp_path: Path, tell: Tell
) -> None:
    """Another thread goes on, and merges the lake's files: each backup is whole."""
    stop, last = threading.Event(), [3]

    def commit_on() -> None:
        lake = Lake(tmp_path / "lake", ETHEREUM)
        while not stop.is_set():
            last[0] += 1
            score(ledger, tmp_path, last[0])
            if last[0] % 10 == 0:
                added, removed = lake.compact(ledger.files())
                cursor = ledger.cursor()
                assert cursor is not None
                ledger.commit(Commit(cursor, files_added=added, files_removed=removed))
                lake.remove(removed)

    writer = threading.Thread(target=commit_on)
    writer.start()
    try:
        found = []
        for number in range(6):
            made = back_up(ledger, tmp_path, f"b{number}")
            found.append((made, held(tmp_path / FOLDER / made.name)))
            time.sleep(0.2)
    finally:
        stop.set()
        writer.join()
    counts = [counts for _, counts in found]
    for made, (committed, there, raised) in found:
        assert made.block_number == committed == there == raised
    assert [committed for committed, *_ in counts] == sorted({one for one, *_ in counts})
    tell(f"{len(found)} backups while {last[0]} blocks were committed: each is of one commit")


def test_what_cannot_be_made_leaves_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """A file of the lake is missing: said so, no folder, and the ledger goes on."""
    (tmp_path / "lake" / ledger.files()[0].path).unlink()
    with pytest.raises(StoreError, match="No such file"):
        back_up(ledger, tmp_path, "one")
    assert list((tmp_path / FOLDER).iterdir()) == []
    assert backups(tmp_path) == []
    score(ledger, tmp_path, 4)


def test_without_links_files_are_copied(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another disk, or a file system that has none."""

    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refused)
    back_up(ledger, tmp_path, "one")
    assert held(tmp_path / FOLDER / "one") == (3, 3, 3)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a.b", "a" * 65, "ä", "a\n"])
def test_names_that_are_none_are_refused(ledger: Ledger, tmp_path: Path, name: str) -> None:
    """Whatever would be outside the folder, or hidden, or too long."""
    with pytest.raises(RequestRefused) as refused:
        back_up(ledger, tmp_path, name)
    assert refused.value.status == 422
    assert not (tmp_path / FOLDER).exists()


def test_a_name_is_given_once(ledger: Ledger, tmp_path: Path) -> None:
    """A backup is never overwritten."""
    name = default_name(1_769_860_800)
    assert name == "2026-01-31T120000Z"
    made = back_up(ledger, tmp_path, name)
    with pytest.raises(RequestRefused, match="already"):
        back_up(ledger, tmp_path, name)
    assert backups(tmp_path) == [made]


def test_the_api_begins_one_and_says_how_it_goes(ledger: Ledger, tmp_path: Path) -> None:
    """At once, however large; one at a time; the list tells a failure, and the next may work."""
    (tmp_path / "tokens.json").unlink()  # it is none
    with serving_everything(ledger, tmp_path) as server:
        client = Client(server)
        assert client.get(BACKUPS) == {"backups": [], "under_way": None, "failed": None}
        with ledger.still():  # it waits for that
            assert client.ask(BACKUPS, "POST", {"name": "one"})[:2] == (202, {"name": "one"})
            assert client.get(BACKUPS)["under_way"] == "one"
            status, body, _ = client.ask(BACKUPS, "POST", {"name": "two"})
            assert (status, body["error"]) == (409, "backup one is under way")
        done = ended(client)
        assert [one["name"] for one in done["backups"]] == ["one"]
        assert client.ask(BACKUPS, "POST", {"name": "one"})[0] == 409
        assert client.ask(BACKUPS, "POST", {"name": "../one"})[0] == 422
        missing = tmp_path / "lake" / ledger.files()[0].path
        missing.rename(tmp_path / "away")
        assert client.ask(BACKUPS, "POST", {})[0] == 202
        assert "No such file" in ended(client)["failed"]["reason"]
        (tmp_path / "away").rename(missing)
        assert client.ask(BACKUPS, "POST", {"name": "two"})[0] == 202
        done = ended(client)
        assert done["failed"] is None
        assert {one["name"] for one in done["backups"]} == {"one", "two"}
    assert held(tmp_path / FOLDER / "two") == (3, 3, 3)


def ended(client: Client) -> dict[str, Any]:
    """The list once none is under way."""
    until = time.monotonic() + 30
    while (found := client.get(BACKUPS))["under_way"]:
        assert time.monotonic() < until
        time.sleep(0.02)
    return dict(found)


def test_those_nobody_named_are_kept_up_to_a_number(ledger: Ledger, tmp_path: Path) -> None:
    """The newest stay, and what has a name of its own; what fails deletes nothing."""
    (tmp_path / "tokens.json").unlink()  # it is none
    days = [default_name(day * 86_400.0) for day in range(4)]
    for name in ("mine", *days[:3]):
        back_up(ledger, tmp_path, name)
    with pytest.raises(RequestRefused):
        back_up(ledger, tmp_path, "mine", keep=1)
    assert len(backups(tmp_path)) == 4
    back_up(ledger, tmp_path, days[3], keep=2)
    assert {path.name for path in (tmp_path / FOLDER).iterdir()} == {"mine", *days[2:]}
    with serving_everything(ledger, tmp_path) as server:
        client = Client(server)
        assert client.ask(BACKUPS, "POST", {"keep": 0})[0] == 422
        assert client.ask(BACKUPS, "POST", {"keep": 1})[0] == 202
        (newest, mine) = ended(client)["backups"]
    assert mine["name"] == "mine"
    assert newest["name"] > days[3]
    assert held(tmp_path / FOLDER / newest["name"]) == (3, 3, 3)


def test_what_is_no_backup_is_not_listed(ledger: Ledger, tmp_path: Path) -> None:
    """Somebody's own folder, one whose note was damaged, and what a kill left; that goes."""
    made: Backup = back_up(ledger, tmp_path, "one")
    (tmp_path / FOLDER / "mine").mkdir()
    (tmp_path / FOLDER / "mine" / "backup.json").write_text("[")
    left = tmp_path / FOLDER / f"two.1{TEMPORARY}"
    shutil.copytree(tmp_path / FOLDER / "one", left)
    assert backups(tmp_path) == [made]
    back_up(ledger, tmp_path, "two")
    assert [one.name for one in backups(tmp_path)] == ["two", "one"]
    assert not left.exists()
