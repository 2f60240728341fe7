from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import SnapshotRefused, StoreError
from chainwarden.schema import Cursor, Position
from store.snapshots import SnapshotStore
from tests.store.made import position


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    """A new store that keeps three."""
    return SnapshotStore(tmp_path / "snapshots", tmp_path / "keys" / "key", keep=3)


def at(number: int) -> Cursor:
    """A cursor with offsets."""
    return Cursor(position(number), {"t/0": number, "t/1": 2 * number}, number, 9, 2**40)


def test_state_and_cursor_come_back_together(store: SnapshotStore) -> None:
    """Whatever the bytes, with the cursor they were saved with."""
    for state, cursor in (
        (b"", Cursor(None)),
        (bytes(range(256)) * 1000, at(5)),
        (b"x", Cursor(Position(7, b""), {}, 8, 0, 0)),
    ):
        path = store.save(state, cursor)
        assert store.load(path) == (state, cursor)
        assert store.newest() == (state, cursor)


def test_only_the_newest_are_kept(store: SnapshotStore) -> None:
    """The oldest goes when there is one too many, and no unfinished file stays."""
    (store.folder / "snapshot-000000000000.bin.12.tmp").write_bytes(b"torn")
    for number in range(5):
        store.save(b"%d" % number, at(number))
    assert [store.load(path)[0] for path in sorted(store.folder.iterdir())] == [b"2", b"3", b"4"]


def test_one_of_the_final_block_or_below_stays_while_finality_stalls(store: SnapshotStore) -> None:
    """The newest such one, besides the newest three; without any, the oldest."""

    def states() -> list[bytes]:
        return [store.load(path)[0] for path in sorted(store.folder.iterdir())]

    for number in (10, 20, 30, 40, 50, 60):
        store.save(b"%d" % number, replace(at(number), finalized=position(5)))
    assert states() == [b"10", b"40", b"50", b"60"]
    for number in (70, 80, 90):
        store.save(b"%d" % number, replace(at(number), finalized=position(55)))
    assert states() == [b"50", b"70", b"80", b"90"]
    store.save(b"100", replace(at(100), finalized=position(85)))
    assert states() == [b"80", b"90", b"100"]


def test_none_ahead_of_the_ledger_is_taken(store: SnapshotStore) -> None:
    """A state that has seen more than the ledger holds would lose what is in between."""
    for number in (1, 2, 3):
        store.save(b"%d" % number, at(number))
    newest = store.newest(at(2))
    assert newest is not None
    assert newest[0] == b"2"
    assert store.newest(at(0)) is None
    assert store.newest(Cursor(None)) is None
    assert store.newest(Cursor(None, {"t/0": 99})) is None, "it is ahead on t/1"


def test_a_store_without_a_bus_compares_blocks(store: SnapshotStore) -> None:
    """Without offsets the number of blocks says which is ahead."""
    for number in (1, 2, 3):
        store.save(b"%d" % number, Cursor(position(number), {}, number))
    newest = store.newest(Cursor(position(2), {}, 2))
    assert newest is not None
    assert newest[0] == b"2"


@pytest.mark.parametrize("damage", ["torn", "empty", "flipped", "other key", "no snapshot"])
def test_a_damaged_snapshot_gives_way_to_the_one_before(
    store: SnapshotStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    """It is refused by name, reported, and the older one is taken."""
    store.save(b"good", at(1))
    path = store.save(b"bad" * 100, at(2))
    data = bytearray(path.read_bytes())
    match damage:
        case "torn":
            del data[-10:]
        case "empty":
            data.clear()
        case "flipped":
            data[len(data) // 2] ^= 1
        case "no snapshot":
            data = bytearray(b"#!/bin/sh" * 100)
        case "other key":
            other = SnapshotStore(tmp_path / "other", tmp_path / "other.key")
            data = bytearray(other.save(b"bad", at(2)).read_bytes())
    path.write_bytes(data)
    with pytest.raises(SnapshotRefused, match=path.name):
        store.load(path)
    with caplog.at_level(logging.WARNING):
        assert store.newest() == (b"good", at(1))
    assert path.name in caplog.text
    store.save(b"next", at(3))
    assert store.newest() == (b"next", at(3))


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_changed_byte_is_ever_accepted(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Flip any bits, cut or extend anywhere: refused, always with the same kind of error."""
    folder = tmp_path_factory.getbasetemp() / "tampered"
    store = SnapshotStore(folder, folder / "key")
    path = folder / "snapshot-000000000001.bin"
    if not path.exists():
        store.save(bytes(range(200)), at(3))
        (folder / "good").write_bytes(path.read_bytes())
    good = (folder / "good").read_bytes()
    place = data.draw(st.integers(0, len(good) - 1))
    change = data.draw(st.integers(1, 255))
    kind = data.draw(st.sampled_from(["flip", "cut", "extend"]))
    bad = {
        "flip": good[:place] + bytes([good[place] ^ change]) + good[place + 1 :],
        "cut": good[:place],
        "extend": good + bytes([change]),
    }[kind]
    path.write_bytes(bad)
    with pytest.raises(SnapshotRefused):
        store.load(path)


def test_the_key_is_private_and_made_once(store: SnapshotStore, tmp_path: Path) -> None:
    """Readable by its owner only, also when somebody opened it up; a short one is no key."""
    key = tmp_path / "keys" / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    made = key.read_bytes()
    assert len(made) == 32
    key.chmod(0o644)
    SnapshotStore(store.folder, key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_bytes() == made
    assert store.save(b"x", at(1)).stat().st_mode & 0o777 == 0o600
    key.write_bytes(b"short")
    with pytest.raises(StoreError, match="5 bytes"):
        SnapshotStore(store.folder, key)
