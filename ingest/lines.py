"""The lines of a text file or a gzip file, with bounded memory and honest ends."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

from chainwarden.errors import FileFormatError

MAX_LINE_BYTES: Final = 64 * 2**20
GZIP_MAGIC: Final = b"\x1f\x8b"

_READ: Final = 2**18
_MAX_INFLATED: Final = 2**22  # at a time: a bomb gets no more memory than a line may have
_GZIP: Final = 31  # zlib's window bits for a gzip header and trailer


class Line(NamedTuple):
    """A line without its end. ``number`` counts from 1, ``offset`` is in the unpacked text.

    ``text`` is None where the line is longer than ``MAX_LINE_BYTES``; it was skipped.
    """

    number: int
    offset: int
    text: bytes | None


class _Broken(Exception):
    """Nothing more can be unpacked, and why."""


def is_gzip(path: Path) -> bool:
    """Whether the file begins as gzip does."""
    with path.open("rb") as file:
        return file.read(2) == GZIP_MAGIC


def read_lines(path: Path) -> Iterator[Line]:
    """Every line of a file, plain or gzip by its first bytes.

    Raises FileFormatError, naming the line, where the file cannot be read, is named ``.gz`` and is
    no gzip, or ends or breaks in the middle; every whole line before that was yielded.
    """
    number, offset = 1, 0
    parts: list[bytes] = []
    size = 0
    try:
        for chunk in _chunks(path):
            start = 0
            while (end := chunk.find(b"\n", start)) >= 0:
                size += end - start
                text = b"".join([*parts, chunk[start:end]]) if size <= MAX_LINE_BYTES else None
                yield Line(number, offset, text)
                number, offset, start = number + 1, offset + size + 1, end + 1
                parts, size = [], 0
            size += len(chunk) - start
            if size <= MAX_LINE_BYTES:
                parts.append(chunk[start:])
            else:
                parts = []
    except OSError as error:
        raise FileFormatError(f"{path}: {error.strerror or error}") from error
    except _Broken as error:
        last = b"".join(parts)
        if _is_json(last):  # whole, but its end was lost
            yield Line(number, offset, last)
            number += 1
        raise FileFormatError(
            f"{path.name}:{number}: {error}", hint="fetch or unpack the file again"
        ) from error
    if size:
        yield Line(number, offset, b"".join(parts) if size <= MAX_LINE_BYTES else None)


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)
    except (msgspec.MsgspecError, RecursionError):
        return False
    return True


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        magic = file.read(2)
        file.seek(0)
        if magic == GZIP_MAGIC:
            yield from _inflated(file)
        elif path.suffix == ".gz" and magic:
            raise _Broken("this is no gzip file, whatever its name says")
        else:
            while chunk := file.read(_READ):
                yield chunk


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """The text of all members of a gzip file; zeros behind a member are padding."""
    inflate = zlib.decompressobj(_GZIP)
    while chunk := file.read(_READ):
        while chunk:
            if inflate.eof:
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
                inflate = zlib.decompressobj(_GZIP)
            before = inflate.copy()
            try:
                text = inflate.decompress(chunk, _MAX_INFLATED)
            except zlib.error as error:
                yield from _inflated_until_error(before, chunk)
                raise _Broken(f"the gzip data is damaged ({error})") from error
            if text:
                yield text
            chunk = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
    while not inflate.eof:
        text = inflate.decompress(b"", _MAX_INFLATED)
        if not text:
            raise _Broken("the gzip data ends in the middle")
        yield text


def _inflated_until_error(inflate: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """What can be unpacked of a chunk that is damaged somewhere, byte by byte."""
    for position in range(len(chunk)):
        try:
            text = inflate.decompress(chunk[position : position + 1])
        except zlib.error:
            return
        if text:
            yield text
