"""Columns of Arrow tables as arrays that numpy and the kernels take, without a copy if possible."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.schema import ADDRESS
from detect.compiled import Array

MANY: Final = 1_024  # items, from which on it pays to call Arrow to number them
FEW: Final = 4_096  # addresses, up to which it pays to look at the ends of values first


class RowsByKey:
    """The rows of each value of a column: sorted once, looked up by whoever asks.

    ``rows`` are those that the values stand in, in order; without it they are all.
    """

    def __init__(self, keys: Array, rows: Array | None = None) -> None:
        codes, values = numbered(keys)
        if len(values) <= 2**16:
            codes = codes.astype(np.uint16)  # which NumPy sorts in one pass
        order = np.argsort(codes, kind="stable")
        self._order = order if rows is None else rows[order]
        stops = np.cumsum(np.bincount(codes, minlength=len(values))).tolist()
        self._bounds = dict(zip(values, zip([0, *stops], stops, strict=False), strict=True))

    def of(self, keys: Iterable[Any]) -> Array:
        """The rows with one of these values, in order."""
        known = self._bounds
        bounds = [known[key] for key in set(keys) if key in known]
        if not bounds:
            return np.empty(0, np.int64)
        if len(bounds) == 1:
            return self._order[slice(*bounds[0])].copy()
        return np.sort(np.concatenate([self._order[start:stop] for start, stop in bounds]))


def rows_by_topic(logs: pa.Table) -> RowsByKey:
    """The rows of the logs by their topic 0."""
    topics = logs["topic0"]
    keys = np.ascontiguousarray(fixed_bytes(topics, 32)).view("V32").reshape(-1)
    if not topics.null_count:
        return RowsByKey(keys)
    rows = np.flatnonzero(~nulls(topics))
    return RowsByKey(keys[rows], rows)


def nullable(values: pa.ChunkedArray, default: int) -> Array:
    """An integer column as NumPy, nulls replaced."""
    kind = values.type.to_pandas_dtype()
    if values.null_count == len(values):
        return np.full(len(values), default, kind)
    chunk = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    if not values.null_count:
        return np.asarray(chunk.to_numpy())
    start = chunk.offset * values.type.byte_width
    filled = np.frombuffer(chunk.buffers()[1], kind, len(chunk), start).copy()
    filled[nulls(values)] = default
    return filled


def fixed_bytes(values: pa.ChunkedArray, width: int) -> Array:
    """A fixed-size binary column as a (rows, width) uint8 array; null rows hold anything."""
    if not len(values):
        return np.empty((0, width), np.uint8)
    array = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    data = array.buffers()[1]
    if data is None:
        return np.zeros((len(array), width), np.uint8)
    flat = np.frombuffer(data, np.uint8, count=len(array) * width, offset=array.offset * width)
    return flat.reshape(-1, width)


def address_words(values: pa.ChunkedArray) -> Array:
    """An address column as (rows, 5) uint32 words, big-endian: word 0 holds the first 8 digits."""
    raw = np.ascontiguousarray(fixed_bytes(values, 20))
    return raw.view(">u4").astype(np.uint32)


def address_word(address: bytes) -> Array:
    """One address as ``address_words`` gives them."""
    return np.frombuffer(address, ">u4").astype(np.uint32)


def address_key(address: bytes) -> int:
    """The first eight bytes of an address, as ``Columns.tx_to_key`` has them."""
    return int.from_bytes(address[:8], "big")


def address_set(addresses: Iterable[bytes]) -> pa.Array:
    """Addresses as the value set of ``Columns.members``. Raises ValueError for other bytes."""
    keys = sorted(addresses)
    joined = b"".join(keys)
    if len(joined) != 20 * len(keys):
        raise ValueError("an address has 20 bytes")
    return pa.Array.from_buffers(ADDRESS, len(keys), [None, pa.py_buffer(joined)])


def last_bytes(addresses: pa.ChunkedArray) -> Array:
    """The last two bytes per address, uint16; null rows hold anything."""
    return np.ascontiguousarray(fixed_bytes(addresses, 20)[:, 18:]).view(np.uint16).reshape(-1)


def among(values: pa.ChunkedArray, ends: Array, addresses: pa.Array) -> Array:
    """Per row whether an address is one of these; ``ends`` are the ``last_bytes`` of the values.

    Only values that end as one of a few addresses does are compared whole.
    """
    found = np.zeros(len(values), np.bool_)
    if not len(addresses) or not len(values):
        return found
    if len(addresses) > FEW or addresses.null_count:
        return np.asarray(pc.is_in(values, value_set=addresses).to_numpy())
    wanted = pa.chunked_array([addresses])
    ending = np.zeros(1 << 16, np.bool_)
    ending[last_bytes(wanted)] = True
    rows = np.flatnonzero(ending[ends])
    if len(rows):
        known = set(bytes_of(fixed_bytes(wanted, 20)))
        found[rows] = [value in known for value in bytes_of(fixed_bytes(values, 20)[rows])]
        found &= ~nulls(values)
    return found


def bytes_of(rows: Array) -> list[bytes]:
    """Rows of uint8 as bytes."""
    values: list[bytes] = np.ascontiguousarray(rows).view(f"V{rows.shape[1]}")[:, 0].tolist()
    return values


def numbered(values: Array) -> tuple[Array, list[Any]]:
    """Number the distinct items of an array in order of first appearance.

    They are integers, or bytes of one void type. A hash table does it in a tenth of the time that
    ``np.unique`` sorts such items in: Python's is there at once, Arrow's is faster by the item.
    """
    if len(values) < MANY:
        numbers: dict[Any, int] = {}
        codes = [numbers.setdefault(value, len(numbers)) for value in values.tolist()]
        return np.array(codes, np.int64), list(numbers)
    if values.dtype.kind != "V":
        encoded = pa.array(values).dictionary_encode()
        return encoded.indices.to_numpy().astype(np.int64), encoded.dictionary.to_numpy().tolist()
    buffer = pa.py_buffer(np.ascontiguousarray(values).tobytes())
    kind = pa.binary(values.dtype.itemsize)
    encoded = pa.Array.from_buffers(kind, len(values), [None, buffer]).dictionary_encode()
    named = np.frombuffer(encoded.dictionary.buffers()[1], values.dtype, len(encoded.dictionary))
    return encoded.indices.to_numpy().astype(np.int64), named.tolist()


def variable_bytes(values: pa.ChunkedArray) -> tuple[Array, Array, Array]:
    """Lengths (-1: null), offsets and bytes of a variable binary column, from its buffers."""
    count = len(values)
    if not count or values.null_count == count:
        return np.full(count, -1, np.int64), np.zeros(count, np.int64), np.empty(0, np.uint8)
    array = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    _, offset_buffer, data_buffer = array.buffers()
    bounds = np.frombuffer(offset_buffer, np.int32, count=count + 1, offset=array.offset * 4)
    lengths = np.diff(bounds).astype(np.int64)
    if values.null_count:
        lengths[nulls(values)] = -1
    data = np.frombuffer(data_buffer, np.uint8) if data_buffer else np.empty(0, np.uint8)
    return lengths, bounds[:-1].astype(np.int64), data


def nulls(values: pa.ChunkedArray) -> Array:
    """Per row whether it is null."""
    if not values.null_count:
        return np.zeros(len(values), np.bool_)
    array = values.chunk(0) if values.num_chunks == 1 else values.combine_chunks()
    valid = np.unpackbits(
        np.frombuffer(array.buffers()[0], np.uint8),
        count=array.offset + len(array),
        bitorder="little",
    )
    return np.equal(valid[array.offset :], 0)
