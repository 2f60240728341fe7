"""Bounded tables whose blocks can be undone exactly."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import SnapshotRefused
from detect.journal import Journaled, JournaledTable

KEYS = st.sampled_from([bytes([k]) for k in range(12)])
WRITES = st.lists(st.tuples(KEYS, st.none() | st.integers(0, 99)), max_size=12)
BLOCKS = st.lists(WRITES, min_size=1, max_size=12)


class Thing(Journaled):
    """A rule's state without the rule."""

    id = "thing"
    version = 3

    def __init__(self, capacity: int = 8) -> None:
        self.table = JournaledTable(capacity)
        super().__init__({"table": self.table})


def write(table: JournaledTable, serial: int, writes: list[tuple[bytes, int | None]]) -> None:
    """Apply writes; None removes."""
    for key, value in writes:
        if value is None:
            table.remove(serial, key)
        else:
            table.put(serial, key, (value,))


@settings(deadline=None)
@given(BLOCKS, BLOCKS)
def test_reverting_a_branch_is_never_having_seen_it(trunk: Any, branch: Any) -> None:
    """After any blocks and their reverts, the state is bit for bit that of before."""
    thing = Thing()
    for serial, writes in enumerate(trunk):
        write(thing.table, serial, writes)
    before, state = thing.digest(), thing.snapshot()
    for serial, writes in enumerate(branch, start=len(trunk)):
        write(thing.table, serial, writes)
    for serial in range(len(trunk) + len(branch) - 1, len(trunk) - 1, -1):
        thing.revert(serial)
    assert thing.digest() == before
    assert thing.snapshot() == state
    for serial in range(len(trunk) - 1, -1, -1):
        thing.revert(serial)
    assert thing.digest() == Thing().digest()


@settings(deadline=None)
@given(BLOCKS)
def test_a_table_is_a_dict_that_drops_what_is_longest_unwritten(blocks: Any) -> None:
    """Against a plain model: contents, age order and bound agree."""
    table = JournaledTable(4)
    model: dict[bytes, int] = {}
    for serial, writes in enumerate(blocks):
        write(table, serial, writes)
        for key, value in writes:
            model.pop(key, None)
            if value is not None:
                model[key] = value
                if len(model) > 4:
                    del model[next(iter(model))]
    assert list(table) == list(model)
    assert [table.get(key) for key in table] == [(v,) for v in model.values()]
    assert len(table) <= 4


@settings(deadline=None)
@given(BLOCKS, st.integers(0, 12))
def test_a_restored_state_continues_and_reverts_the_same(blocks: Any, kept: int) -> None:
    """A snapshot holds the undo too, less what was forgotten."""
    thing = Thing()
    for serial, writes in enumerate(blocks):
        write(thing.table, serial, writes)
    thing.forget(kept - 1)
    other = Thing()
    other.restore(thing.snapshot())
    assert other.digest() == thing.digest()
    for serial in range(len(blocks) - 1, kept - 1, -1):
        thing.revert(serial)
        other.revert(serial)
        assert other.digest() == thing.digest()
    thing.table.put(99, b"new", (1,))
    other.table.put(99, b"new", (1,))
    assert other.digest() == thing.digest()


def test_forgetting_keeps_the_state_and_frees_the_undo() -> None:
    """What is forgotten can no longer be reverted; what it wrote stays."""
    thing = Thing()
    for serial in range(100):
        thing.table.put(serial, bytes([serial % 8]), (serial,))
        thing.forget(serial - 2)
    assert len(thing.table._undo) == 2
    assert thing.table.get(b"\0") == (96,)


def test_the_digest_depends_on_the_age_of_rows() -> None:
    """Equal rows of different age will be evicted differently, so the digests differ."""
    one, two = Thing(), Thing()
    one.table.put(0, b"a", (1,))
    one.table.put(0, b"b", (1,))
    two.table.put(0, b"b", (1,))
    two.table.put(0, b"a", (1,))
    assert one.digest() != two.digest()


@pytest.mark.parametrize(
    "state",
    [b"", b"\xc1", b"junk", b"\x94\x01\xa5thing\x03\x80", b"\x94\x01\xa5other\x03\x80", b"\x80"],
)
def test_what_is_no_snapshot_is_refused(state: bytes) -> None:
    """Truncated, foreign and invented snapshots raise SnapshotRefused."""
    with pytest.raises(SnapshotRefused):
        Thing().restore(state)


def test_a_snapshot_of_another_size_is_refused() -> None:
    """Eviction depends on the capacity, so it must be the same."""
    with pytest.raises(SnapshotRefused, match="8 rows"):
        Thing(9).restore(Thing(8).snapshot())


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 10_000))
def test_a_damaged_snapshot_is_refused_or_harmless(place: int, byte: int, end: int) -> None:
    """Whatever bytes change or are cut off, restore raises SnapshotRefused or succeeds."""
    thing = Thing()
    for serial in range(10):
        thing.table.put(serial, bytes([serial]), (serial, b"x", 1.5, None, True, (1, b"y")))
    state = bytearray(thing.snapshot())
    state[place % len(state)] = byte
    with contextlib.suppress(SnapshotRefused):
        Thing().restore(bytes(state[: end % (len(state) + 1) or None]))


def test_rows_come_back_as_tuples_all_the_way_down() -> None:
    """What is restored is equal to what was written, types included."""
    thing, other = Thing(), Thing()
    row = (1, -(2**63), 2**64 - 1, b"\xff", "word", 0.1, None, True, ((b"a", 1), ()))
    thing.table.put(0, b"k", copy.deepcopy(row))
    other.restore(thing.snapshot())
    assert other.table.get(b"k") == row
