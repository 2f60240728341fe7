"""Bulk conversions agree with Python's own, cell by cell, for every number and every text."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import columns
from ingest.columns import BadCell, Texts

EDGES = [0, 1, 10**18, 10**19 - 1, 10**19, 2**53 - 1, 2**53, 2**53 + 1, 2**63, 2**64 - 1, 2**64]
EDGES += [2**64 + 1, 2**64 + 2**11, 2**65 - 1, 10**76 - 1, 10**76, 2**128, 2**255, 2**256 - 1]
EDGES += [2**200 - 2**146 - 1, 2**118 + 2**65, 2**118 + 2**65 + 1]
NUMBERS = st.one_of(
    st.sampled_from(EDGES),
    st.integers(0, 2**256 - 1),
    st.integers(0, 255).flatmap(lambda bits: st.integers(max(0, 2**bits - 3), 2**bits + 3)),
)


def test_the_edges_of_256_bits_are_exact_in_every_form() -> None:
    """Hex text, decimal text and bytes of each edge give the same words, and those the number."""
    expected = [number.to_bytes(32, "big") for number in EDGES]
    hexes = columns.quantities(Texts.of([hex(number) for number in EDGES]))
    decimals = columns.decimals(pa.array([str(number) for number in EDGES]))
    raw = np.frombuffer(b"".join(expected), np.uint8).reshape(-1, 32)
    for words in (hexes, decimals, columns.words_of(raw)):
        assert list(map(bytes, columns.big_endian(words))) == expected


@settings(deadline=None, max_examples=300)
@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_any_number_survives_and_its_float_is_the_nearest(numbers: list[int]) -> None:
    """Words are exact, and float64_of rounds as Python's float(int) does, to the last bit."""
    words = columns.quantities(Texts.of([hex(number) for number in numbers]))
    assert [int.from_bytes(row.tobytes(), "big") for row in columns.big_endian(words)] == numbers
    assert columns.float64_of(words).tolist() == [float(number) for number in numbers]
    decimals = columns.decimals(pa.array([str(number) for number in numbers]))
    assert np.array_equal(decimals, words)
    limit = 2**63 - 1
    assert columns.saturated(words, limit).tolist() == [min(number, limit) for number in numbers]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.floats(0, 2.0**256, exclude_max=True), min_size=1, max_size=20))
def test_a_whole_float_is_taken_exactly_and_a_fraction_is_refused(values: list[float]) -> None:
    """float_words gives the integer that the float64 is, and names the first that is none."""
    array = np.array(values)
    fractions = [row for row, value in enumerate(values) if value != int(value)]
    if fractions:
        with pytest.raises(BadCell) as caught:
            columns.float_words(array)
        assert caught.value.row == fractions[0]
    whole = columns.float_words(np.trunc(array))
    assert [int.from_bytes(row.tobytes(), "big") for row in columns.big_endian(whole)] == [
        int(value) for value in values
    ]


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 2.0**256, -(2.0**-1074)])
def test_a_float_that_is_no_amount_is_refused(value: float) -> None:
    """Negative, infinite, not a number or too large: refused with its row."""
    with pytest.raises(BadCell) as caught:
        columns.float_words(np.array([1.0, value]))
    assert caught.value.row == 1


@settings(deadline=None)
@given(st.lists(st.one_of(st.none(), st.binary(max_size=40)), max_size=20))
def test_data_comes_back_from_hex_text(cells: list[bytes | None]) -> None:
    """Bytes of any length, written as hex text and read in bulk, are the same; null stays null."""
    texts = Texts.of([None if cell is None else "0x" + cell.hex() for cell in cells])
    chars, offsets = columns.data(texts)
    assert columns.data_array(chars, offsets, texts.valid).to_pylist() == cells


def test_odd_digits_are_padded_only_where_that_was_asked_for() -> None:
    """0x123 is 0x0123 with pad_odd and refused without; its neighbours do not move."""
    texts = Texts.of(["0x", "0x123", "0xab", "0x1"])
    array = columns.data_array(*columns.data(texts, pad_odd=True))
    assert array.to_pylist() == [b"", b"\x01\x23", b"\xab", b"\x01"]
    with pytest.raises(BadCell) as caught:
        columns.data(texts)
    assert caught.value.row == 1


HOSTILE = st.one_of(
    st.none(),
    st.text(max_size=8),
    st.text("0123456789abcdefABCDEFxX _+-\t\n", max_size=70).map("0x".__add__),
    st.integers(0, 2**256).map(hex),
    st.binary(max_size=34).map(lambda raw: "0x" + raw.hex()),
)


@settings(deadline=None, max_examples=500)
@given(st.lists(HOSTILE, min_size=1, max_size=8))
def test_hostile_text_is_refused_by_its_row_or_read_as_python_reads_it(
    cells: list[str | None],
) -> None:
    """No text crashes the bulk readers, and none is accepted that a strict reader refuses."""
    fine = set("0123456789abcdefABCDEF")

    def digits(cell: str) -> str | None:
        return cell[2:] if cell.startswith("0x") and set(cell[2:]) <= fine else None

    def number(cell: str) -> int | None:
        text = digits(cell)
        return int(text, 16) if text and len(text) <= 64 else None

    def blob(cell: str) -> bytes | None:
        text = digits(cell)
        return bytes.fromhex(text) if text is not None and len(text) % 2 == 0 else None

    def word(cell: str) -> bytes | None:
        raw = blob(cell)
        return raw if raw is not None and len(raw) == 32 else None

    readings: list[tuple[Callable[[str], int | bytes | None], Callable[[], Iterable[Any]]]] = [
        (number, lambda: columns.big_endian(columns.quantities(Texts.of(cells)))),
        (blob, lambda: columns.data_array(*columns.data(Texts.of(cells))).to_pylist()),
        (word, lambda: columns.fixed(Texts.of(cells), 32)),
    ]
    for one, bulk in readings:
        expected = [None if cell is None else one(cell) for cell in cells]
        bad = [i for i, cell in enumerate(cells) if cell is not None and expected[i] is None]
        if bad:
            with pytest.raises(BadCell) as caught:
                bulk()
            assert caught.value.row in bad
            continue
        got = list(map(bytes, bulk()))
        for cell, value in zip(got, expected, strict=True):
            if value is not None:
                assert cell == (value if isinstance(value, bytes) else value.to_bytes(32, "big"))


@settings(deadline=None)
@given(st.lists(st.sampled_from(["", " 1", "1e5", "-1", "1_0", "0x1", "١", "7" * 90]), min_size=1))
def test_text_that_is_no_whole_number_is_refused(cells: list[str]) -> None:
    """Signs, exponents, spaces, other scripts' digits and too many digits are no amount."""
    with pytest.raises(BadCell):
        columns.decimals(pa.array(cells))


def test_decimals_with_a_fraction_or_a_sign_are_refused() -> None:
    """A DECIMAL column is taken if it is whole and not negative, and the bad row is named."""
    fine = pa.array([Decimal("5"), None, Decimal(10**37)], pa.decimal128(38, 0))
    assert columns.decimal_words(fine)[:, 3].tolist() == [5, 0, 10**37 % 2**64]
    for bad in (Decimal("1.5"), Decimal("-1")):
        with pytest.raises(BadCell) as caught:
            columns.decimal_words(pa.array([Decimal(1), bad], pa.decimal128(38, 9)))
        assert caught.value.row == 1


def test_slices_of_arrow_columns_are_read_where_they_begin() -> None:
    """An array with an offset, and with nulls, gives the cells that it shows."""
    array = pa.array(["0x01", None, "0x0203", "0x", None, "0x05"]).slice(1, 4)
    texts = Texts.of_array(array)
    chars, offsets = columns.data(texts)
    assert columns.data_array(chars, offsets, texts.valid).to_pylist() == [
        None,
        b"\x02\x03",
        b"",
        None,
    ]


def test_floats_are_the_same_bits_on_every_path() -> None:
    """The float of an amount is one number, whichever text it came as."""
    amount = 123_456_789_012_345_678_901_234_567
    one = columns.float64_of(columns.quantities(Texts.of([hex(amount)])))
    two = columns.float64_of(columns.decimals(pa.array([str(amount)])))
    assert struct.pack("d", one[0]) == struct.pack("d", two[0]) == struct.pack("d", float(amount))
