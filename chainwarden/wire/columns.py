"""Columns to text and back, in bulk: hex for bytes, decimal digits for amounts.

Everything here works on whole columns in compiled code; nothing loops over values in Python beyond
building and reading lists of ``str``. Text that is no such value raises ValueError.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from itertools import pairwise, repeat
from operator import is_not
from typing import Final, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.schema import UINT256

Texts = Sequence[str | None]

# Arrow's widest decimal has 76 digits; 2^256-1 has 78, and unlimited approvals are everywhere.
_DIGITS: Final = 76
_DECIMAL: Final = pa.decimal256(_DIGITS, 0)
_LARGEST: Final = 2**256 - 1

# Arrow's own scalars: given Python's, each call looks for a package that is not installed.
_MOST_DIGITS: Final = pa.scalar(_DIGITS, pa.int32())
_NOTHING: Final = pa.scalar("0", pa.string())
_FALSE: Final = pa.scalar(False, pa.bool_())


def hex_texts(column: pa.ChunkedArray) -> list[str | None]:
    """Binary values as ``0x…`` text."""
    array = column.combine_chunks()
    if array.null_count == len(array):
        return [None] * len(array)
    texts: list[str | None]
    if pa.types.is_fixed_size_binary(array.type):
        width = array.type.byte_width
        start = array.offset * width
        raw = memoryview(array.buffers()[1])[start : start + len(array) * width]
        texts = list(("0x" + raw.hex(",", width).replace(",", ",0x")).split(","))
    else:
        ends = _offsets(array)
        digits = memoryview(array.buffers()[2] or b"")[ends[0] : ends[-1]].hex()
        bounds = ((ends - ends[0]) * 2).tolist()
        texts = ["0x" + digits[a:b] for a, b in pairwise(bounds)]
    return _with_nulls(texts, array)


def decimal_texts(column: pa.ChunkedArray) -> list[str | None]:
    """Unsigned integers, of 64 bits or as 32 big-endian bytes, as decimal digits."""
    array = column.combine_chunks()
    if not pa.types.is_fixed_size_binary(array.type):
        return cast(list[str | None], array.cast(pa.string()).to_pylist())
    if array.null_count == len(array):
        return [None] * len(array)
    raw = _rows(array, 32)
    # A decimal is a little-endian two's complement number; ten to the 76th lies below 2^253.
    wide = np.flatnonzero(raw[:, 0] >= 0x10)
    flipped = np.ascontiguousarray(raw[:, ::-1])
    flipped[wide] = 0
    decimals = pa.Array.from_buffers(_DECIMAL, len(array), [None, pa.py_buffer(flipped)])
    texts = decimals.cast(pa.string()).to_pylist()
    for row in wide.tolist():
        texts[row] = str(int.from_bytes(raw[row].tobytes(), "big"))
    return _with_nulls(texts, array)


def hex_column(texts: Texts, kind: pa.DataType, *, nullable: bool = True) -> pa.Array:
    """``0x…`` text as values of a binary type, fixed-size or not; None is null."""
    if pa.types.is_fixed_size_binary(kind):
        return _fixed_column(texts, kind, nullable)
    validity = _validity(texts) if nullable else None
    if validity is not None:
        texts = ["0x" if text is None else text for text in texts]
    given = cast(Sequence[str], texts)
    if "".join([text[:2] for text in given]) != "0x" * len(given):
        raise ValueError("hex text begins with 0x")
    digits = [text[2:] for text in given]
    ends = np.zeros(len(digits) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, digits), np.int64, len(digits)), out=ends[1:])
    if np.any(ends & 1):
        raise ValueError("hex text has an odd number of digits")
    if ends[-1] > 2 * np.iinfo(np.int32).max:
        raise ValueError("more than 2 GiB of bytes in one column")
    bounds = (ends >> 1).astype(np.int32)
    buffers = [validity, pa.py_buffer(bounds), pa.py_buffer(unhexlify("".join(digits)))]
    return pa.Array.from_buffers(kind, len(digits), buffers)


def decimal_column(texts: pa.Array) -> pa.Array:
    """Decimal digits as 32 big-endian bytes. Raises beyond 2^256-1."""
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), UINT256)
    lengths = pc.binary_length(texts)
    narrow = texts
    wide = (pc.max(lengths).as_py() or 0) > _DIGITS
    if wide:
        too_wide = pc.fill_null(pc.greater(lengths, _MOST_DIGITS), _FALSE)
        narrow = pc.if_else(too_wide, _NOTHING, texts)
    decimals = narrow.cast(_DECIMAL)
    if texts.null_count:
        decimals = decimals.fill_null(0)
    raw = np.ascontiguousarray(_rows(decimals, 32)[:, ::-1])
    if np.any(raw[:, 0] & 0x80):
        raise ValueError("an amount is negative")
    if wide:
        values: dict[str, np.ndarray[tuple[int], np.dtype[np.uint8]]] = {}
        for row in np.flatnonzero(too_wide).tolist():
            text = texts[row].as_py()
            if text not in values:
                values[text] = _wide_value(text)
            raw[row] = values[text]
    validity = pa.py_buffer(np.packbits(texts.is_valid(), bitorder="little"))
    return pa.Array.from_buffers(
        UINT256, len(texts), [validity if texts.null_count else None, pa.py_buffer(raw)]
    )


def _wide_value(text: str) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    if len(text) > 78 or not (text.isascii() and text.isdigit()) or int(text) > _LARGEST:
        raise ValueError("an amount needs more than 256 bits")
    return np.frombuffer(int(text).to_bytes(32, "big"), np.uint8)


def nearest_doubles(texts: pa.Array) -> pa.Array:
    """The float64 nearest to each amount: what ``value_f64`` is where a record does not say."""
    return pc.cast(texts, pa.float64())


def _fixed_column(texts: Texts, kind: pa.DataType, nullable: bool) -> pa.Array:
    width = 2 + 2 * kind.byte_width
    validity = _validity(texts) if nullable else None
    if validity is not None:
        absent = "0x" + "0" * (width - 2)
        texts = [absent if text is None else text for text in texts]
    joined = np.frombuffer("".join(cast(Sequence[str], texts)).encode(), np.uint8)
    if len(joined) != len(texts) * width:
        raise ValueError(f"hex text of {kind.byte_width} bytes has {width} characters")
    rows = joined.reshape(-1, width)
    # No digit is an x: where every row has its 0x in place, no two lengths can have made up for
    # one another.
    if np.any(rows[:, 0] != ord("0")) or np.any(rows[:, 1] != ord("x")):
        raise ValueError("hex text begins with 0x")
    data = unhexlify(rows[:, 2:].tobytes())
    return pa.Array.from_buffers(kind, len(texts), [validity, pa.py_buffer(data)])


def _validity(texts: Texts) -> pa.Buffer | None:
    """The validity bitmap of a column of text; None where nothing is null."""
    if None not in texts:
        return None
    present = np.fromiter(map(is_not, texts, repeat(None)), np.bool_, len(texts))
    return pa.py_buffer(np.packbits(present, bitorder="little"))


def _with_nulls(texts: list[str | None], array: pa.Array) -> list[str | None]:
    if array.null_count:
        for row in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)).tolist():
            texts[row] = None
    return texts


def _rows(array: pa.Array, width: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """The bytes of a fixed-width array, one row each; no copy."""
    flat = np.frombuffer(array.buffers()[1], np.uint8)
    return flat[array.offset * width : (array.offset + len(array)) * width].reshape(-1, width)


def _offsets(array: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    ends = np.frombuffer(array.buffers()[1], np.int32)
    return ends[array.offset : array.offset + len(array) + 1].astype(np.int64)
