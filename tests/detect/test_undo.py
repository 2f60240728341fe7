"""Logs of hops, of blocks and of an array's values: undone exactly, whatever was forgotten."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.compiled import Array
from detect.journal import Undoable
from detect.record_table import JournaledArray
from detect.rules.block_log import HEADER, BlockLog
from detect.rules.trail import HOP, Trail

PASSES = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=1, max_size=6)
"""Passes over blocks, of each a number: how many hops it has, or what is written."""


def trail(passes: Sequence[Sequence[int]], first: int = 0, held: Any = None) -> Trail:
    """A trail after so many hops a block, which differ."""
    into: Trail = held or Trail(24)
    for blocks in passes:
        serials = np.repeat(np.arange(first, first + len(blocks)), blocks)
        hops = np.zeros(len(serials), HOP)
        hops["before"] = 10 * serials + np.concatenate([np.arange(count) for count in blocks])
        into.add(hops, serials)
        first += len(blocks)
    return into


def log(passes: Sequence[Sequence[int]], first: int = 0, held: Any = None) -> BlockLog:
    """A log of blocks with these gas limits."""
    into: BlockLog = held or BlockLog(HEADER, 3)
    for limits in passes:
        headers: Array = np.zeros(len(limits), HEADER)
        headers["serial"] = np.arange(first, first + len(limits))
        headers["number"] = headers["serial"] + 1_000
        headers["gas_limit"] = limits
        rows, start = into.follow(headers)
        into.append(rows[start:])
        first += len(limits)
    return into


def array(passes: Sequence[Sequence[int]], first: int = 0, held: Any = None) -> JournaledArray:
    """An array that each block adds its number to."""
    into: JournaledArray = held or JournaledArray(np.zeros(2, np.int64))
    for numbers in passes:
        before = into.open(first, len(numbers))
        for row, number in enumerate(numbers):
            before[row] = into.values
            into.values[:] += (number, 1)
        first += len(numbers)
    return into


WRITERS: tuple[Callable[..., Any], ...] = (trail, log, array)


def is_undone(
    whole: Undoable, alone: Undoable, forgotten: int, kept: int, blocks: int, fresh: Undoable
) -> None:
    """Content after reverting to ``kept`` blocks is ``alone``'s, and so for a copy."""
    whole.forget(min(forgotten, kept - 1))
    whole.forget(-1)  # is known
    fresh.load(whole.dump())
    for held in (whole, fresh):
        for serial in range(blocks - 1, kept - 1, -1):
            held.revert(serial)
        assert held.content() == alone.content()


def cut(passes: Sequence[Sequence[int]], kept: int) -> list[list[int]]:
    """The first blocks, each in a pass of its own."""
    return [[number] for numbers in passes for number in numbers][:kept]


@settings(deadline=None, max_examples=100)
@given(PASSES, st.integers(0, 24), st.integers(-1, 24))
def test_a_revert_is_exact_wherever_the_undo_was_cut(
    passes: list[list[int]], kept: int, forgotten: int
) -> None:
    """Passes over several blocks may be forgotten and reverted in part, in any mixture."""
    blocks = sum(len(numbers) for numbers in passes)
    kept = min(kept, blocks)
    few = cut(passes, kept)
    is_undone(trail(passes), trail(few), forgotten, kept, blocks, Trail(24))
    is_undone(log(passes), log(few), forgotten, kept, blocks, BlockLog(HEADER, 3))
    whole, alone = array(passes), array(few)
    is_undone(whole, alone, forgotten, kept, blocks, JournaledArray(np.zeros(2, np.int64)))


@settings(deadline=None, max_examples=60)
@given(PASSES, PASSES, st.integers(-1, 24))
def test_another_branch_leaves_nothing_of_the_first(
    trunk: list[list[int]], branch: list[list[int]], forgotten: int
) -> None:
    """A branch that was undone, with the trunk's undo forgotten in part, changes nothing later."""
    blocks = sum(len(numbers) for numbers in trunk)
    above = sum(len(numbers) for numbers in branch)
    other = [[5 - number for number in numbers] for numbers in branch]
    for write in WRITERS:
        once: Undoable = write(trunk)
        write(branch, blocks, once)
        once.forget(min(forgotten, blocks - 1))
        for serial in range(blocks + above - 1, blocks - 1, -1):
            once.revert(serial)
        write(other, blocks, once)
        assert once.content() == write([*trunk, *other]).content()


def test_a_log_stays_as_small_as_what_is_kept() -> None:
    """Room is found for any number of blocks: those that are forgotten make it."""
    held = BlockLog(HEADER, 3)
    for serial in range(1_000):
        log([[serial % 7]], serial, held)
        held.forget(serial - 2)
    assert held.rows["run"].tolist() == [998, 999, 1_000]
    assert len(held._held._room) < 32
