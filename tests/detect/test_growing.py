"""Arrays that grow at the end and are cut at both, against a list."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detect.growing import Growing, first_of

STEPS = st.lists(st.tuples(st.sampled_from(["extend", "first", "last"]), st.integers(0, 9)))


@given(st.integers(0, 5), STEPS)
def test_rows_are_those_of_a_list(start: int, steps: list[tuple[str, int]]) -> None:
    """Whatever is added and dropped, the rows are what a list would hold, in one piece."""
    told = [[row, -row] for row in range(start)]
    held = Growing(np.array(told, np.int64).reshape(-1, 2))
    number = start
    for what, count in steps:
        if what == "extend":
            new = [[row, -row] for row in range(number, number + count)]
            held.extend(np.array(new, np.int64).reshape(-1, 2))
            told, number = told + new, number + count
        elif what == "first":
            count = min(count, len(told))
            held.drop_first(count)
            told = told[count:]
        else:
            count = min(count, len(told))
            held.drop_last(count)
            told = told[: len(told) - count]
        assert held.rows.tolist() == told
        assert len(held) == len(told)
        assert held.rows.flags.c_contiguous


def test_what_it_was_made_of_does_not_change() -> None:
    """The first rows are copied."""
    rows = np.arange(3)
    held = Growing(rows)
    held.drop_last(1)
    held.extend(np.array([7]))
    assert held.rows.tolist() == [0, 1, 7]
    assert rows.tolist() == [0, 1, 2]


def test_the_first_rows_are_copied_where_that_frees_room() -> None:
    """What is nearly all is kept as it is; a small part does not hold on to all the room."""
    rows = np.arange(8)
    assert first_of(rows, 7).base is rows
    assert first_of(rows, 5).base is None
    assert first_of(rows, 5).tolist() == [0, 1, 2, 3, 4]
    assert first_of(rows, 0).tolist() == []
