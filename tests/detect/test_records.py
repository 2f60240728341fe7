"""Compiled tables of rules: what they hold, what they forget, and what a revert puts back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.acquaintances import Acquaintances
from detect.features import PAIR
from detect.kernels.dusting import SPRINKLER, estimate, scan_dust
from detect.kernels.update import count_pair, mixed, pair_place
from detect.records import RecordTable, address_of, key_of
from tests.detect.build import wallet

LEVELS = np.array([3.0, 30.0])
EVENTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 60)), max_size=12)
BLOCKS = st.lists(EVENTS, min_size=1, max_size=6)


def dust(table: RecordTable, first: int, blocks: list[list[tuple[int, int]]]) -> list[list[int]]:
    """Blocks of (sender, receiver) as one pass; the hits."""
    rows = [(n, s, r) for n, block in enumerate(blocks) for s, r in block]
    numbers = np.array([n for n, _, _ in rows], np.int64)
    undo = table.begin(len(blocks), len(rows))
    hits = np.empty((len(rows), 4), np.int64)
    found = scan_dust(
        np.array([key_of(wallet(s)) for _, s, _ in rows], np.uint32).reshape(-1, 5),
        np.array([key_of(wallet(r)) for _, _, r in rows], np.uint32).reshape(-1, 5),
        1000 + 50 * (first + numbers),
        numbers,
        first,
        200,
        LEVELS,
        table.table,
        undo,
        hits,
    )
    table.end(undo, first)
    said: list[list[int]] = hits[:found, 1:].tolist()
    return said


def table() -> RecordTable:
    """A table that overflows."""
    return RecordTable(4, SPRINKLER)


@settings(deadline=None, max_examples=60)
@given(BLOCKS)
def test_passes_may_be_cut_anywhere(blocks: list[list[tuple[int, int]]]) -> None:
    """One pass over all blocks, or one a block: the same hits and the same content."""
    whole, single = table(), table()
    said = [hit for n, block in enumerate(blocks) for hit in dust(single, n, [block])]
    assert dust(whole, 0, blocks) == said
    assert whole.content() == single.content()


@settings(deadline=None, max_examples=100)
@given(BLOCKS, BLOCKS, st.integers(-1, 8), st.booleans())
def test_a_revert_puts_back_every_byte(
    trunk: list[list[tuple[int, int]]],
    branch: list[list[tuple[int, int]]],
    forgotten: int,
    copied: bool,
) -> None:
    """Content after reverting a branch, forgotten, dumped and loaded or not, is that of before."""
    held = table()
    dust(held, 0, trunk)
    before = held.content()
    dust(held, len(trunk), branch)
    held.forget(min(forgotten, len(trunk) - 1))
    if copied:
        fresh = table()
        dust(fresh, 0, branch)  # what was there before does not matter
        fresh.load(held.dump())
        held = fresh
    for serial in range(len(trunk) + len(branch) - 1, len(trunk) - 1, -1):
        held.revert(serial)
    assert held.content() == before
    again = table()
    dust(again, 0, trunk)
    assert dust(held, len(trunk), branch) == dust(again, len(trunk), branch)
    assert held.content() == again.content()


def test_a_full_table_gives_up_who_was_longest_unwritten() -> None:
    """The fifth of four takes the place of the one not written since the longest time."""
    held = table()
    dust(held, 0, [[(0, 1)], [(1, 1)], [(2, 1)], [(3, 1)], [(0, 2)], [(4, 1)]])
    assert [held.get(wallet(n)) is not None for n in range(5)] == [True, False, True, True, True]
    assert len(held) == 4


def test_what_does_not_fit_is_refused() -> None:
    """Another size, another record, a torn undo: ValueError; a record with padding, too."""
    held = table()
    dust(held, 0, [[(0, 1)]])
    state: Any = held.dump()
    with pytest.raises(ValueError, match="another size"):
        RecordTable(5, SPRINKLER).load(state)
    with pytest.raises(ValueError, match="another size"):
        RecordTable(4, SPRINKLER, (1, 2)).load(state)
    state[-1][0][2][0] = np.array([77], np.int32).tobytes()
    with pytest.raises(ValueError, match="not whole"):
        table().load(state)
    with pytest.raises(ValueError, match="padding"):
        RecordTable(4, np.dtype([("at", np.uint32), ("x", np.float64)], align=True))


def test_an_address_survives_its_words() -> None:
    """Words and back are the same bytes."""
    assert address_of(key_of(wallet(5))) == wallet(5)


@pytest.mark.parametrize("wallets", [1, 5, 100, 1_000, 20_000])
def test_distinct_wallets_are_counted_within_a_tenth(wallets: int) -> None:
    """Whatever the number, repeats or not, the estimate is within 10 % of it (one for small)."""
    held = RecordTable(4, SPRINKLER)
    dust(held, 0, [[(0, n) for n in range(wallets)] * 2])
    assert abs(estimate(held.get(wallet(0))) - wallets) <= max(1.0, 0.1 * wallets)


# --- who has dealt with whom

PAIRS = st.lists(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=8), max_size=5)


def deal(memory: Acquaintances, first: int, blocks: list[list[tuple[int, int]]]) -> None:
    """Blocks of dealings as one pass."""
    undo = memory.begin(len(blocks), sum(map(len, blocks)))
    for n, block in enumerate(blocks):
        undo.marks[n] = undo.used[0]
        for a, b in block:
            key = np.uint64(mixed(np.uint64(min(a, b)), np.uint64(max(a, b))))
            place, _ = pair_place(memory.pairs, key)
            count_pair(memory.pairs, undo, True, place, key, a < b, 1000 + first + n)
    memory.end(undo, first)


@settings(deadline=None, max_examples=80)
@given(PAIRS, PAIRS, st.booleans())
def test_dealings_are_undone(
    trunk: list[list[tuple[int, int]]], branch: list[list[tuple[int, int]]], copied: bool
) -> None:
    """Reverting a branch leaves what was remembered before it, also after dump and load."""
    memory = Acquaintances(8)
    deal(memory, 0, trunk)
    before = memory.content()
    deal(memory, len(trunk), branch)
    memory.forget(len(trunk) - 1)
    if copied:
        other = Acquaintances(8)
        other.load(memory.dump())
        memory = other
    for serial in range(len(trunk) + len(branch) - 1, len(trunk) - 1, -1):
        memory.revert(serial)
    assert memory.content() == before
    assert len(memory) <= 8


def test_a_memory_of_another_size_is_refused() -> None:
    """So is one with pairs outside it, and a size that is no power of two."""
    memory = Acquaintances(8)
    deal(memory, 0, [[(1, 2)]])
    state: Any = memory.dump()
    with pytest.raises(ValueError, match="another size"):
        Acquaintances(16).load(state)
    state[1] = np.array([99], np.int64).tobytes()
    with pytest.raises(ValueError, match="outside"):
        Acquaintances(8).load(state)
    with pytest.raises(ValueError, match="power of two"):
        Acquaintances(12)
    assert PAIR.itemsize == 24
