"""Cells of any public data set's columns as ours: hex text or bytes, decimals, floats, timestamps.

The same value is ``0x…`` text in ethereum-etl, bytes in cryo and ours, a decimal text, a DECIMAL or
a DOUBLE as amount, a number or a TIMESTAMP as time. Every method names a column by all the names it
goes by, takes the first that is there, and raises FileFormatError with file, column and row for a
cell that is not what it should be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import FileFormatError
from ingest import columns
from ingest.columns import BadCell, Bytes, Index, Mask, Texts, Words
from ingest.rows import Chunk

Converted = TypeVar("Converted")

_WEI: Final = 1e18


class Cells:
    """The columns of a chunk, converted."""

    def __init__(self, chunk: Chunk) -> None:
        self._chunk = chunk
        self._names = frozenset(chunk.table.column_names)

    def __len__(self) -> int:
        return len(self._chunk)

    def has(self, *names: str) -> bool:
        """Whether any of the columns is there."""
        return any(name in self._names for name in names)

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Raises FileFormatError for a row."""
        raise FileFormatError(f"{self._chunk.where(row)}: {problem}")

    def fixed(self, width: int, *names: str, required: bool = False) -> tuple[Bytes, Mask]:
        """Addresses and hashes, ``(n, width)``, and where they are given. Empty text is null."""
        return self._convert(names, lambda array: _fixed(array, width), width, required)

    def amounts(self, *names: str) -> Words:
        """Unsigned 256-bit amounts, none of them null."""
        words: Words = self._convert(names, _amounts, 4, required=True)[0]
        return words

    def whole(self, *names: str, limit: int, required: bool = False) -> tuple[Words, Mask]:
        """Numbers from 0, saturated at ``limit``, and where they are given."""
        words, valid = self._convert(names, _amounts, 4, required)
        return columns.saturated(words, limit), valid

    def int64(self, *names: str, required: bool = False) -> tuple[Index, Mask]:
        """The same as int64."""
        values, valid = self.whole(*names, limit=columns.MAX_INT64, required=required)
        return values.astype(np.int64), valid

    def ether(self, name: str) -> Words:
        """Ether as float64 in wei: the nearest float64, then the nearest whole number."""

        def convert(array: pa.Array) -> tuple[Words, Mask]:
            ether, valid = _floats(array), np.asarray(array.is_valid())
            wrong = ~np.isfinite(ether) | (ether < 0)
            if wrong.any():
                row = int(np.argmax(wrong))
                raise BadCell(row, f"is no amount of ether: {ether[row]}")
            return columns.float_words(np.rint(ether * _WEI)), valid

        words: Words = self._convert((name,), convert, 4, required=True)[0]
        return words

    def seconds(self, *names: str) -> Index:
        """Times in seconds since 1970, from numbers or timestamps (UTC), none of them null."""
        seconds: Index = self._convert(names, _seconds, 0, required=True)[0]
        return seconds

    def flags(self, *names: str) -> tuple[Mask, Mask]:
        """Booleans, or 0 and 1, and where they are given."""
        values, valid = self._convert(names, _flags, 0, required=False)
        return values.astype(np.bool_), valid

    def data(self, *names: str, pad_odd: bool = False) -> pa.Array:
        """Bytes of any length as an Arrow binary column; null where they are not given."""
        name = self._first(names)
        if name is None:
            return pa.nulls(len(self), pa.binary())
        return self._named(name, lambda: _data(self._array(name), pad_odd))

    def array(self, name: str) -> pa.Array:
        """A column as the file has it."""
        return self._array(name)

    # --- finding and naming --------------------------------------------------------------------

    def _first(self, names: tuple[str, ...]) -> str | None:
        return next((name for name in names if name in self._names), None)

    def _array(self, name: str) -> pa.Array:
        column = self._chunk.table[name]
        array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if pa.types.is_string_view(array.type):
            array = array.cast(pa.large_string())
        if pa.types.is_binary_view(array.type):
            array = array.cast(pa.large_binary())
        return array

    def _convert(
        self,
        names: tuple[str, ...],
        convert: Callable[[pa.Array], tuple[Any, Mask]],
        width: int,
        required: bool,
    ) -> tuple[Any, Mask]:
        name = self._first(names)
        if name is None:
            if required:
                raise FileFormatError(f"{self._chunk.where(0)}: there is no column {names[0]}")
            empty: npt.NDArray[Any] = np.zeros(
                (len(self), width) if width else len(self), np.uint8 if width > 4 else np.uint64
            )
            return empty, np.zeros(len(self), np.bool_)
        values, valid = self._named(name, lambda: convert(self._array(name)))
        if required and not valid.all():
            self.refuse(int(np.argmin(valid)), f"column {name} is null")
        return values, valid

    def _named(self, name: str, convert: Callable[[], Converted]) -> Converted:
        try:
            return convert()
        except BadCell as error:
            where = self._chunk.where(error.row)
            raise FileFormatError(f"{where}: column {name} {error.problem}") from error
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise FileFormatError(f"{self._chunk.where(0)}: column {name}: {error}") from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _fixed(array: pa.Array, width: int) -> tuple[Bytes, Mask]:
    valid = np.asarray(array.is_valid())
    if pa.types.is_fixed_size_binary(array.type):
        if array.type.byte_width != width:
            raise BadCell(0, f"has {array.type.byte_width} bytes, not {width}")
        rows = np.frombuffer(array.buffers()[1], np.uint8).reshape(-1, width)
        rows = rows[array.offset : array.offset + len(array)]
        return np.where(valid[:, None], rows, np.uint8(0)) if array.null_count else rows, valid
    if _is_bytes(array.type):
        texts = Texts.of_array(array)
        wrong = valid & (texts.lengths != width)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise BadCell(row, f"has {int(texts.lengths[row])} bytes, not {width}")
        rows = np.zeros((len(array), width), np.uint8)
        rows[valid] = texts.used().reshape(-1, width)
        return rows, valid
    if _is_text(array.type):
        return _fixed_of_text(array, width)
    if pa.types.is_null(array.type):
        return np.zeros((len(array), width), np.uint8), valid
    raise BadCell(0, f"is neither hex text nor bytes but {array.type}")


def _fixed_of_text(array: pa.Array, width: int) -> tuple[Bytes, Mask]:
    texts = Texts.of_array(array)
    empty = texts.lengths == 0
    if not empty.any():
        return columns.fixed(texts, width), np.ones(len(array), np.bool_)
    return columns.fixed(Texts(texts.chars, texts.offsets, ~empty), width), ~empty


def _amounts(array: pa.Array) -> tuple[Words, Mask]:
    kind, valid = array.type, np.asarray(array.is_valid())
    if pa.types.is_integer(kind):
        values = np.asarray(pc.fill_null(array, 0).to_numpy(zero_copy_only=False))
        return columns.integer_words(values), valid
    if pa.types.is_decimal(kind):
        return columns.decimal_words(array), valid
    if _is_text(kind):
        return columns.decimals(array), valid
    if pa.types.is_fixed_size_binary(kind) or _is_bytes(kind):
        return columns.words_of(_fixed(array, 32)[0]), valid
    if pa.types.is_floating(kind):
        values = _floats(array)
        missing = np.isnan(values) | ~valid  # pandas writes a missing whole number as NaN
        return columns.float_words(np.where(missing, 0.0, values)), ~missing
    if pa.types.is_null(kind):
        return np.zeros((len(array), 4), np.uint64), valid
    raise BadCell(0, f"holds no numbers but {kind}")


def _floats(array: pa.Array) -> columns.Floats:
    floats = pc.fill_null(array.cast(pa.float64()), 0.0)
    return np.asarray(floats.to_numpy(zero_copy_only=False), np.float64)


def _seconds(array: pa.Array) -> tuple[Index, Mask]:
    valid = np.asarray(array.is_valid())
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        return np.asarray(pc.fill_null(array, 0).to_numpy(zero_copy_only=False)), valid
    words, valid = _amounts(array)
    return columns.saturated(words, columns.MAX_INT64).astype(np.int64), valid


def _flags(array: pa.Array) -> tuple[npt.NDArray[Any], Mask]:
    if pa.types.is_boolean(array.type):
        values = np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False))
        return values, np.asarray(array.is_valid())
    words, valid = _amounts(array)
    wrong = words[:, :3].any(axis=1) | (words[:, 3] > 1)
    if wrong.any():
        raise BadCell(int(np.argmax(wrong)), "is neither 0 nor 1")
    return words[:, 3], valid


def _data(array: pa.Array, pad_odd: bool) -> pa.Array:
    if _is_text(array.type):
        texts = Texts.of_array(array)
        filled = Texts(texts.chars, texts.offsets, texts.lengths > 0)  # empty text: no bytes
        return columns.data_array(*columns.data(filled, pad_odd=pad_odd), texts.valid)
    if _is_bytes(array.type):
        return array.cast(pa.binary())
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), pa.binary())
    raise BadCell(0, f"is neither hex text nor bytes but {array.type}")
