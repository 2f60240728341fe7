"""Columns read cell by cell and looked up by value, against Arrow's and NumPy's own answers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.schema import ADDRESS, HASH, TABLES
from detect.rules.arrow_arrays import (
    MANY,
    RowsByKey,
    address_set,
    among,
    last_bytes,
    nullable,
    rows_by_topic,
)
from detect.rules.cells import Cells

NUMBERS: Final[dict[pa.DataType, tuple[int, int]]] = {
    pa.int8(): (-(2**7), 2**7 - 1),
    pa.int16(): (-(2**15), 2**15 - 1),
    pa.int32(): (-(2**31), 2**31 - 1),
    pa.int64(): (-(2**63), 2**63 - 1),
    pa.uint64(): (0, 2**64 - 1),
}
KINDS: Final = sorted({field.type for schema in TABLES.values() for field in schema}, key=str)


def value_of(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Any value that a column of that type holds."""
    if kind in NUMBERS:
        low, high = NUMBERS[kind]
        return st.integers(low, high)
    if pa.types.is_fixed_size_binary(kind):
        return st.binary(min_size=kind.byte_width, max_size=kind.byte_width)
    if pa.types.is_binary(kind):
        return st.binary(max_size=40)
    return st.booleans() if pa.types.is_boolean(kind) else st.floats(allow_nan=False)


@given(st.data())
def test_every_cell_is_what_arrow_says(data: st.DataObject) -> None:
    """A cell is Arrow's ``as_py`` of it, in type too: every type of the schema, nulls, slices."""
    for kind in KINDS:
        one = st.one_of(value_of(kind), st.none()) if data.draw(st.booleans()) else value_of(kind)
        parts = data.draw(st.lists(st.lists(one, max_size=5), max_size=3))
        whole = pa.table({"column": pa.chunked_array([pa.array(p, kind) for p in parts], kind)})
        start = data.draw(st.integers(0, whole.num_rows))
        table = whole.slice(start, data.draw(st.integers(0, whole.num_rows)))
        cells = Cells(table)["column"]
        for row, expected in enumerate(table["column"].to_pylist()):
            assert cells[row] == expected, (kind, row)
            assert type(cells[row]) is type(expected), (kind, row)


@given(st.data())
def test_nulls_of_numbers_are_replaced(data: st.DataObject) -> None:
    """An integer column as Arrow fills it in: every width, slices, several chunks, no nulls."""
    for kind, (low, high) in NUMBERS.items():
        one = st.one_of(st.integers(low, high), st.none())
        parts = data.draw(st.lists(st.lists(one, max_size=5), max_size=3))
        whole = pa.chunked_array([pa.array(p, kind) for p in parts], kind)
        some = whole.slice(data.draw(st.integers(0, len(whole))))
        filled = nullable(some, high)
        assert filled.dtype == kind.to_pandas_dtype()
        assert filled.tolist() == [high if n is None else n for n in some.to_pylist()]


@given(
    st.lists(st.sampled_from([0, 1, 7, 2**31, 2**63, 2**64 - 1]), max_size=30),
    st.lists(st.sampled_from([0, 1, 7, 8, 2**31, 2**63, 2**64 - 1]), max_size=4),
)
def test_rows_are_found_by_value_in_order(keys: list[int], wanted: list[int]) -> None:
    """The rows with one of some values are those that a search through all finds, each once."""
    column = np.array(keys, np.uint64)
    found = RowsByKey(column).of(wanted)
    assert found.tolist() == [row for row, key in enumerate(keys) if key in wanted]
    assert found.dtype == np.int64


def test_rows_are_found_among_many_values() -> None:
    """So they are where more values are told apart than 16 bits number."""
    column = np.repeat(np.arange(70_000, dtype=np.uint64), 2)
    assert RowsByKey(column).of([69_999, 3]).tolist() == [6, 7, 139_998, 139_999]


@given(st.lists(st.sampled_from([bytes(32), b"a" * 32, b"a" * 31 + b"b", None]), max_size=20))
def test_logs_are_found_by_their_whole_topic(topics: list[bytes | None]) -> None:
    """All 32 bytes count, and a log without a topic is found by none."""
    logs = pa.table({"topic0": pa.chunked_array([pa.array([None, *topics], HASH)]).slice(1)})
    index = rows_by_topic(logs)
    for wanted in ([bytes(32)], [b"a" * 32], [b"a" * 32, b"c" * 32, bytes(32)]):
        assert index.of(wanted).tolist() == [n for n, t in enumerate(topics) if t in wanted]


ENDS: Final = [bytes(18) + bytes([a, b]) for a in (0, 1, 255) for b in (0, 7)]
ALIKE: Final = [bytes([1]) * 18 + end[18:] for end in ENDS]  # the same last bytes, others before


@given(
    st.lists(st.sampled_from([*ENDS, *ALIKE, None]), min_size=1, max_size=40),
    st.lists(st.sampled_from([*ENDS, *ALIKE]), max_size=5, unique=True),
    st.sampled_from([1, MANY]),
)
def test_addresses_among_others_are_those_that_arrow_finds(
    some: list[bytes | None], wanted: list[bytes], times: int
) -> None:
    """Whole addresses count, not their ends; a null is none, whatever stands behind it."""
    values = pa.chunked_array([pa.array(some * times, ADDRESS)])
    found = among(values, last_bytes(values), address_set(wanted))
    assert found.tolist() == [address in wanted for address in some] * times


def test_what_is_no_address_is_refused() -> None:
    """Nothing is read beyond the addresses given."""
    assert address_set([b"b" * 20, b"a" * 20]).to_pylist() == [b"a" * 20, b"b" * 20]
    with pytest.raises(ValueError, match="20 bytes"):
        address_set([b"a" * 20, b"b" * 19])
