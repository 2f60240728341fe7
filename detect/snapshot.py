"""The bytes of a state: a header, arrays, a checksum. No pickle, nothing that runs when loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from chainwarden.errors import SnapshotRefused
from detect.compiled import Array

MAGIC: Final = b"chainwarden state\n"
VERSION: Final = 1
DIGEST_BYTES: Final = 32


class _Header(msgspec.Struct):
    version: int
    kind: str
    schema: str
    meta: dict[str, Any]
    arrays: list[tuple[str, str, list[int]]]


def pack(kind: str, schema: str, meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """A snapshot of the given kind. ``schema`` must be the same when it is loaded.

    ``meta`` is what JSON can hold; arrays keep their type, shape and order.
    """
    header = _Header(
        VERSION,
        kind,
        schema,
        dict(meta),
        [(name, str(a.dtype), list(a.shape)) for name, a in arrays.items()],
    )
    head = msgspec.json.encode(header)
    parts: list[bytes | memoryview] = [MAGIC, len(head).to_bytes(8, "little"), head]
    parts += [_bytes_of(a) for a in arrays.values()]
    hasher = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        hasher.update(part)
    return b"".join((*parts, hasher.digest()))


def unpack(
    data: bytes | memoryview,
    kind: str,
    schema: str,
    types: Mapping[str, np.dtype[Any]],
    copied: bool = True,
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The meta and the arrays of a snapshot. ``types`` are the record types by their name's end.

    Arrays that are not ``copied`` are those of the snapshot itself: they can only be read, and they
    keep it in memory.

    Raises SnapshotRefused for bytes that are no snapshot, of another version, kind or schema,
    truncated or altered.
    """
    hint = "rebuild the state from the blocks"
    whole = memoryview(data)
    body, digest = whole[:-DIGEST_BYTES], whole[-DIGEST_BYTES:]
    if (
        bytes(whole[: len(MAGIC)]) != MAGIC
        or hashlib.blake2b(body, digest_size=32).digest() != digest
    ):
        raise SnapshotRefused("the snapshot is truncated, altered or none at all", hint=hint)
    start = len(MAGIC) + 8
    size = int.from_bytes(whole[len(MAGIC) : start], "little")
    try:
        header = msgspec.json.decode(whole[start : start + size], type=_Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotRefused(f"the snapshot's header is unreadable: {error}", hint=hint) from error
    found, wanted = (header.version, header.kind, header.schema), (VERSION, kind, schema)
    if found != wanted:
        raise SnapshotRefused(f"the snapshot is {found}, this is {wanted}", hint=hint)
    try:
        arrays = _arrays(header, body, start + size, types)
        return header.meta, {name: a.copy() if copied else a for name, a in arrays}
    except (TypeError, ValueError, OverflowError) as error:  # numpy's, of kinds and shapes
        raise SnapshotRefused(
            f"the snapshot's arrays are unreadable: {error}", hint=hint
        ) from error


def _arrays(
    header: _Header, body: memoryview, at: int, types: Mapping[str, np.dtype[Any]]
) -> Iterator[tuple[str, Array]]:
    for name, kind, shape in header.arrays:
        dtype = types.get(name.rsplit(".", 1)[-1]) if kind.startswith("{") else np.dtype(kind)
        if dtype is None or str(dtype) != kind:
            raise SnapshotRefused(f"the snapshot's {name} holds {kind}, not {dtype}")
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if at + size > len(body):
            raise SnapshotRefused(f"the snapshot ends within {name}")
        yield name, np.frombuffer(body, dtype, size // dtype.itemsize, at).reshape(shape)
        at += size


def digest_of(*parts: bytes | Array) -> str:
    """A digest of bytes and arrays, as 32 hex digits."""
    hasher = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part if isinstance(part, bytes) else _bytes_of(part)
        hasher.update(len(data).to_bytes(8, "little"))
        hasher.update(data)
    return hasher.hexdigest()


def _bytes_of(array: Array) -> memoryview:
    """An array's bytes where they lie: states are too large to be copied on their way."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
