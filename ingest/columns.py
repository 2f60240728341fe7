"""Text and numbers to columns in bulk: hex, decimals and floats to fixed bytes, exact.

What a node or a table gives per cell is turned into whole columns on their buffers, without a
Python object per cell. Unsigned 256-bit integers are *words*: an ``(n, 4)`` uint64 array, most
significant word first. Text that is not what it should be raises BadCell with its row; no other
exception leaves this module for any content of the cells.
"""

from __future__ import annotations

from binascii import Error as HexError
from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]
Mask: TypeAlias = npt.NDArray[np.bool_]
Index: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

MAX_UINT64: Final = 2**64 - 1
MAX_INT64: Final = 2**63 - 1
MAX_COLUMN_BYTES: Final = 2**31 - 1


class BadCell(ValueError):
    """A cell does not hold what its column should; ``row`` counts from 0."""

    def __init__(self, row: int, problem: str) -> None:
        super().__init__(f"row {row}: {problem}")
        self.row = row
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Texts:
    """ASCII texts one behind the other, as an Arrow string column has them.

    Text ``i`` is ``chars[offsets[i]:offsets[i + 1]]``; where ``valid`` (None: everywhere) is false
    there is none, and its length is 0.
    """

    chars: Bytes
    offsets: Index
    valid: Mask | None

    @classmethod
    def of(cls, cells: Sequence[str | None]) -> Texts:
        """The texts of a list of strings."""
        valid: Mask | None = None
        texts: Sequence[str]
        if None in cells:
            valid = np.array([cell is not None for cell in cells], np.bool_)
            texts = [cell or "" for cell in cells]
        else:
            texts = cast("Sequence[str]", cells)  # no copy: there is no None in it
        joined = "".join(texts)
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
        if not joined.isascii():
            row = next(i for i, cell in enumerate(cells) if cell and not cell.isascii())
            raise BadCell(row, f"is no ASCII text: {ascii(cells[row])[:80]}")
        return cls(np.frombuffer(joined.encode("ascii"), np.uint8), offsets, valid)

    @classmethod
    def of_array(cls, array: pa.Array) -> Texts:
        """The texts of an Arrow string or binary column; no text is copied unless it must be."""
        valid: Mask | None = None
        if array.null_count:
            valid = np.asarray(array.is_valid())
        wide = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
        _, offset_buffer, char_buffer = array.buffers()
        kind = np.int64 if wide else np.int32
        first = array.offset
        offsets = np.frombuffer(offset_buffer, kind)[first : first + len(array) + 1]
        if char_buffer is None:
            chars = np.zeros(0, np.uint8)
        else:
            chars = np.frombuffer(char_buffer, np.uint8)
        texts = cls(chars, offsets.astype(np.int64), valid)
        if valid is not None and np.any(texts.lengths[~valid]):
            return cls.of_array(pc.if_else(array.is_valid(), array, pa.scalar(None, array.type)))
        return texts

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Index:
        """The length of every text."""
        return np.diff(self.offsets)

    def rows(self) -> Index:
        """The rows that hold a text."""
        return np.arange(len(self)) if self.valid is None else np.flatnonzero(self.valid)

    def shown(self, row: int) -> str:
        """A text for a message: escaped and cut, for it may be hostile."""
        raw = self.chars[self.offsets[row] : self.offsets[row + 1]][:60].tobytes()
        return ascii(raw.decode("utf-8", "replace"))

    def used(self) -> Bytes:
        """The characters of all texts, without what lies before and behind them."""
        return self.chars[self.offsets[0] : self.offsets[-1]]


# --- hex text ----------------------------------------------------------------------------------

_IS_HEX: Final = np.zeros(256, np.bool_)
_IS_HEX[np.frombuffer(b"0123456789abcdefABCDEF", np.uint8)] = True


def fixed(texts: Texts, width: int) -> Bytes:
    """``0x…`` texts of exactly ``width`` bytes as an ``(n, width)`` array; zero where null."""
    rows, length = texts.rows(), 2 + 2 * width
    wrong = texts.lengths[rows] != length
    if wrong.any():
        row = int(rows[np.argmax(wrong)])
        raise BadCell(row, f"is not 0x and {2 * width} hex digits: {texts.shown(row)}")
    cells = texts.used().reshape(-1, length)
    _need_prefix(texts, rows)
    decoded = _unhex(np.ascontiguousarray(cells[:, 2:]), texts, rows).reshape(-1, width)
    if texts.valid is None:
        return decoded
    out = np.zeros((len(texts), width), np.uint8)
    out[rows] = decoded
    return out


def quantities(texts: Texts) -> Words:
    """``0x…`` quantities of up to 64 digits as words; 0 where null. Leading zeros are taken."""
    rows = texts.rows()
    digits = texts.lengths[rows] - 2
    wrong = (digits < 1) | (digits > 64)
    if wrong.any():
        row = int(rows[np.argmax(wrong)])
        raise BadCell(row, f"is no quantity of 1 to 64 hex digits: {texts.shown(row)}")
    _need_prefix(texts, rows)
    width = 16 if not len(rows) or int(digits.max()) <= 16 else 64
    padded = _right_aligned(texts, rows, skip=2, width=width)
    parsed = _unhex(padded, texts, rows).view(">u8").reshape(-1, width // 16)
    words = np.zeros((len(texts), 4), np.uint64)
    words[rows, 4 - width // 16 :] = parsed
    return words


def data(texts: Texts, *, pad_odd: bool = False) -> tuple[Bytes, Index]:
    """``0x…`` texts of any length as bytes one behind the other, and their n + 1 offsets.

    An odd number of digits is refused, or with ``pad_odd`` read as if a 0 stood in front.
    """
    rows = texts.rows()
    digits = texts.lengths - 2
    if texts.valid is not None:
        digits[~texts.valid] = 0
    odd = (digits & 1).astype(np.bool_)
    wrong = digits < 0 if pad_odd else (digits < 0) | odd
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadCell(row, f"is not 0x and pairs of hex digits: {texts.shown(row)}")
    _need_prefix(texts, rows)
    keep = np.ones(int(texts.offsets[-1] - texts.offsets[0]), np.bool_)
    starts = texts.offsets[rows] - texts.offsets[0]
    keep[starts + 1] = False  # the x
    keep[starts[~odd[rows]]] = False  # the 0 stays where a digit is missing
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum((digits + 1) // 2)])
    return _unhex(texts.used()[keep], texts, rows), offsets


def _need_prefix(texts: Texts, rows: Index) -> None:
    starts = texts.offsets[rows]
    wrong = (texts.chars[starts] != ord("0")) | (texts.chars[starts + 1] != ord("x"))
    if wrong.any():
        row = int(rows[np.argmax(wrong)])
        raise BadCell(row, f"does not begin with 0x: {texts.shown(row)}")


def _right_aligned(texts: Texts, rows: Index, *, skip: int, width: int) -> Bytes:
    """The texts without their first ``skip`` characters, filled up with zeros on the left."""
    padded = np.full((len(rows), width), ord("0"), np.uint8)
    starts = texts.offsets[rows] + skip
    lengths = texts.lengths[rows] - skip
    behind = np.cumsum(lengths)
    # Character j of row r goes to r * width + (width - length) + j.
    within = np.arange(int(behind[-1]) if len(behind) else 0) - np.repeat(behind - lengths, lengths)
    target = np.repeat(np.arange(len(rows)) * width + width - lengths, lengths) + within
    padded.reshape(-1)[target] = texts.chars[np.repeat(starts, lengths) + within]
    return padded


def _unhex(digits: Bytes, texts: Texts, rows: Index) -> Bytes:
    try:
        return np.frombuffer(unhexlify(digits.data), np.uint8)
    except HexError:
        for row in rows:  # only to name the cell; the whole column is refused
            start, stop = texts.offsets[row] + 2, texts.offsets[row + 1]
            if not _IS_HEX[texts.chars[start:stop]].all():
                raise BadCell(int(row), f"is no hex text: {texts.shown(row)}") from None
        raise


# --- numbers -----------------------------------------------------------------------------------

_DECIMAL256_DIGITS: Final = 76


def decimals(array: pa.Array) -> Words:
    """Decimal texts (digits only, below 2^256) as words; 0 where null."""
    texts = Texts.of_array(array)
    rows = texts.rows()
    lengths = texts.lengths
    used = texts.used()
    if np.any((used < ord("0")) | (used > ord("9"))) or np.any(lengths[rows] == 0):
        for row in rows:
            cell = texts.chars[texts.offsets[row] : texts.offsets[row + 1]]
            if not len(cell) or np.any((cell < ord("0")) | (cell > ord("9"))):
                raise BadCell(int(row), f"is no unsigned whole number: {texts.shown(row)}")
    words = np.zeros((len(texts), 4), np.uint64)
    short = lengths <= 19  # below 10^19, which is below 2^64
    if len(rows):
        words[:, 3] = _short_decimals(texts, short)
    for row in np.flatnonzero(~short & (lengths > _DECIMAL256_DIGITS)):
        text = texts.chars[texts.offsets[row] : texts.offsets[row + 1]].tobytes().lstrip(b"0")
        number = int(text or b"0") if len(text) <= 78 else 1 << 256
        if number >> 256:
            raise BadCell(int(row), f"needs more than 256 bits: {texts.shown(int(row))}")
        words[row] = np.frombuffer(number.to_bytes(32, "big"), ">u8")
    long = np.flatnonzero(~short & (lengths <= _DECIMAL256_DIGITS))
    if len(long):
        exact = pc.cast(array.take(pa.array(long)), pa.decimal256(_DECIMAL256_DIGITS, 0))
        words[long] = _decimal256_words(exact)
    return words


def _short_decimals(texts: Texts, short: Mask) -> npt.NDArray[np.uint64]:
    """The value of each text of at most 19 digits; 0 for the others."""
    out = np.zeros(len(texts), np.uint64)
    starts, lengths = texts.offsets[:-1], np.where(short, texts.lengths, 0)
    for place in range(int(lengths.max(initial=0))):
        here = np.flatnonzero(lengths > place)
        digit = texts.chars[starts[here] + place] - np.uint8(ord("0"))
        out[here] = out[here] * np.uint64(10) + digit
    return out


def decimal_words(array: pa.Array) -> Words:
    """An Arrow decimal column (whole, not negative) as words; 0 where null."""
    try:
        exact = pc.cast(array, pa.decimal256(_DECIMAL256_DIGITS, 0))
    except pa.ArrowInvalid as error:
        whole = np.array([v is None or v == v.to_integral_value() for v in array.to_pylist()])
        row = int(np.argmin(whole))
        raise BadCell(row, f"is no whole number: {array[row]}") from error
    return _decimal256_words(exact)


def _decimal256_words(array: pa.Array) -> Words:
    buffer = np.frombuffer(array.buffers()[1], "<u8").reshape(-1, 4)
    words = buffer[array.offset : array.offset + len(array), ::-1].astype(np.uint64)
    if array.null_count:
        words[np.asarray(array.is_null())] = 0
    negative = words[:, 0] >> np.uint64(63) == 1
    if negative.any():
        row = int(np.argmax(negative))
        raise BadCell(row, f"is negative: {array[row]}")
    return words


def integer_words(values: npt.NDArray[Any]) -> Words:
    """Integers that are not negative, as words."""
    if np.issubdtype(values.dtype, np.signedinteger) and np.any(values < 0):
        row = int(np.argmax(values < 0))
        raise BadCell(row, f"is negative: {values[row]}")
    words = np.zeros((len(values), 4), np.uint64)
    words[:, 3] = values
    return words


def float_words(values: Floats) -> Words:
    """Whole float64 numbers from 0 to below 2^256 as words, exactly."""
    wrong = ~((values >= 0) & (values < 2.0**256)) | (np.trunc(values) != values)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadCell(row, f"is no amount from 0 to 2^256: {values[row]}")
    words = np.zeros((len(values), 4), np.uint64)
    small = values < 2.0**64
    words[:, 3] = np.where(small, values, 0.0).astype(np.uint64)
    rows = np.flatnonzero(~small)
    if len(rows):
        fraction, exponent = np.frexp(values[rows])
        mantissa = np.ldexp(fraction, 53).astype(np.uint64)
        shift = (exponent - 53).astype(np.int64)  # at least 12: the value is 2^64 or more
        word, bit = 3 - shift // 64, (shift % 64).astype(np.uint64)
        words[rows, word] = mantissa << bit
        carry = np.where(bit > 0, mantissa >> ((np.uint64(64) - bit) % np.uint64(64)), 0)
        up = carry > 0
        words[rows[up], word[up] - 1] = carry[up]
    return words


def float64_of(words: Words) -> Floats:
    """The float64 nearest to each number, ties to even: what Python's ``float(int)`` gives."""
    values = words[:, 3].astype(np.float64)
    rows = np.flatnonzero(words[:, :3].any(axis=1))
    if len(rows):
        values[rows] = _wide_float64(words[rows])
    return values


def _wide_float64(words: Words) -> Floats:
    """For numbers of 2^64 and more: the top 64 bits, the rest as one sticky bit, scaled."""
    every, zero = np.arange(len(words)), np.uint64(0)
    first = np.argmax(words != 0, axis=1)
    high = words[every, first]
    low = np.where(first < 3, words[every, np.minimum(first + 1, 3)], zero)
    # Leading zeros of high: frexp is exact below 2^53, and a shift by 11 brings all there.
    top = np.where(high >> np.uint64(53) > 0, high >> np.uint64(11), high)
    bits = np.frexp(top.astype(np.float64))[1] + np.where(high >> np.uint64(53) > 0, 11, 0)
    shift = (64 - bits).astype(np.uint64)
    below = np.where(shift > 0, low >> ((np.uint64(64) - shift) % np.uint64(64)), zero)
    mantissa = (high << shift) | below
    sticky = (low << shift) != 0
    for position in range(2, 4):
        sticky |= (first + 2 <= position) & (words[:, position] != 0)
    mantissa |= sticky.astype(np.uint64)
    exponent = (3 - first) * 64 - shift.astype(np.int64)
    wide: Floats = np.ldexp(mantissa.astype(np.float64), exponent.astype(np.int32))
    return wide


def saturated(words: Words, limit: int) -> npt.NDArray[np.uint64]:
    """The numbers, or ``limit`` (below 2^64) where they are larger."""
    low = np.minimum(words[:, 3], np.uint64(limit))
    return np.where(words[:, :3].any(axis=1), np.uint64(limit), low)


def big_endian(words: Words) -> Bytes:
    """The numbers as 32 big-endian bytes each."""
    return words.astype(">u8").view(np.uint8).reshape(-1, 32)


def words_of(numbers: Bytes) -> Words:
    """The words of 32 big-endian bytes each."""
    return np.ascontiguousarray(numbers).view(">u8").astype(np.uint64).reshape(-1, 4)


# --- Arrow arrays ------------------------------------------------------------------------------


def fixed_array(rows: Bytes, valid: Mask | None = None) -> pa.Array:
    """An ``(n, width)`` array as Arrow fixed-size binary; null where ``valid`` is false."""
    kind = pa.binary(rows.shape[1])
    buffer = pa.py_buffer(np.ascontiguousarray(rows))
    return pa.Array.from_buffers(kind, len(rows), [bitmap(valid), buffer])


def number_array(
    values: npt.NDArray[Any], kind: pa.DataType, valid: Mask | None = None
) -> pa.Array:
    """Numbers as an Arrow column of that type; null where ``valid`` is false."""
    buffer = pa.py_buffer(np.ascontiguousarray(values, kind.to_pandas_dtype()))
    return pa.Array.from_buffers(kind, len(values), [bitmap(valid), buffer])


def data_array(chars: Bytes, offsets: Index, valid: Mask | None = None) -> pa.Array:
    """Bytes of any length as an Arrow binary column. Raises ValueError above 2 GB."""
    if int(offsets[-1]) > MAX_COLUMN_BYTES:
        raise ValueError(f"{int(offsets[-1])} bytes do not fit a column: cut smaller batches")
    buffers = [bitmap(valid), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(chars)]
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, buffers)


def bitmap(valid: Mask | None) -> pa.Buffer | None:
    """Arrow's validity bitmap of a mask; None where all are valid."""
    if valid is None or bool(valid.all()):
        return None
    return pa.py_buffer(np.packbits(valid, bitorder="little"))
