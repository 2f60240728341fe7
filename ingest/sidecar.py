"""What stands beside a file of blocks: receipts and calls, found by block hash or number."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from chainwarden.errors import BadBlock, FileFormatError
from ingest.codec import quantity_of
from ingest.lines import Line, is_gzip, read_lines

Payload = TypeVar("Payload")
Key: TypeAlias = "str | int"  # a block hash in lower case, or a number where there is no hash

MAX_AHEAD_LINES: Final = 256
MAX_AHEAD_BYTES: Final = 64 * 2**20
MAX_REJECTED: Final = 1_000


_NULL: Final = msgspec.Raw(b"null")


class _Place(NamedTuple):
    number: int
    offset: int
    size: int


class Sidecar(Generic[Payload]):
    """Hands out what a file has for each block asked for; ``path`` None has nothing.

    Read along with the blocks, lines of later blocks are held, up to 256 lines or 64 MB. A block
    that is not among them makes it read on to the end once, and from then on lines are found by
    their offsets (for gzip in an unpacked copy, in a temporary file that has no name).
    """

    def __init__(self, path: Path | None, kind: type[Payload], name: str) -> None:
        self._path = path
        self._name = name
        line = msgspec.defstruct(
            "SidecarLine",
            [
                ("block_number", str | int | None, None),
                ("block_hash", str | None, None),
                ("payload", kind | None, msgspec.field(default=None, name=name)),
                ("result", msgspec.Raw, _NULL),
            ],
            rename="camel",
        )
        self._whole: msgspec.json.Decoder[Any] = msgspec.json.Decoder(line)
        self._lines: Iterator[Line] | None = None if path is None else read_lines(path)
        self._ahead: dict[Key, Line] = {}
        self._ahead_bytes = 0
        self._seen = 0  # the last line that was read
        self._index: dict[Key, _Place] | None = None
        self._open = ExitStack()
        self._unpacked: IO[bytes] | None = None
        self._broken: FileFormatError | None = None
        self._rejected: list[BadBlock] = []

    def take(self, block_hash: str, number: int) -> Payload | None:
        """What the file has for that block; None where it has nothing.

        Raises ValueError, msgspec.MsgspecError or RecursionError where its line is unreadable, and
        FileFormatError where the file breaks off before anything for the block was found.
        """
        if self._path is None:
            return None
        for key in (block_hash, number):
            line = self._ahead.pop(key, None)
            if line is not None:
                self._ahead_bytes -= len(line.text or b"")
                return self._payload(line.text)
        if self._index is None:
            found = self._read_ahead(block_hash, number)
            if found is not None:
                return self._payload(found.text)
        if self._index is not None:
            for key in (block_hash, number):
                if key in self._index:
                    return self._payload(self._text_at(self._index[key]))
        if self._broken is not None:
            raise self._broken
        return None

    def rejected(self) -> Iterator[BadBlock]:
        """The lines that name no block, once each, as far as the file was read."""
        rejected, self._rejected = self._rejected, []
        yield from rejected

    def close(self) -> None:
        """Close the files."""
        self._open.close()

    def _payload(self, text: bytes | None) -> Payload | None:
        assert text is not None  # what is too long has no key
        try:
            line = self._whole.decode(text)
            if line.payload is None and line.result is not _NULL:  # a node's answer is around it
                line = self._whole.decode(line.result)
        except msgspec.MsgspecError as error:
            raise ValueError(f"its {self._name} are unreadable: {error}") from error
        payload: Payload | None = line.payload
        return payload

    def _read_ahead(self, block_hash: str, number: int) -> Line | None:
        """The block's line, holding those in front of it; None if not found or too far."""
        assert self._lines is not None
        try:
            for line in self._lines:
                self._seen = line.number
                key = self._key(line)
                if key is None:
                    continue
                if key in (block_hash, number):
                    return line
                self._ahead.setdefault(key, line)
                self._ahead_bytes += len(line.text or b"")
                if len(self._ahead) >= MAX_AHEAD_LINES or self._ahead_bytes >= MAX_AHEAD_BYTES:
                    self._build_index()
                    break
        except FileFormatError as error:
            self._broken = error
        return None

    def _build_index(self) -> None:
        """Read the whole file once more, and note where each block's line is."""
        assert self._path is not None
        self._ahead, self._ahead_bytes = {}, 0
        index = self._index = {}
        try:
            packed = is_gzip(self._path)
            unpacked = self._open.enter_context(_nameless() if packed else self._path.open("rb"))
            self._unpacked = unpacked
            for line in read_lines(self._path):
                if packed:
                    line = line._replace(offset=unpacked.tell())
                    unpacked.write(line.text or b"")
                key = self._key(line)
                if key is not None:
                    size = len(line.text or b"")
                    index.setdefault(key, _Place(line.number, line.offset, size))
        except FileFormatError as error:
            self._broken = error
        except OSError as error:
            raise FileFormatError(
                f"{self._path.name}: cannot be indexed: {error.strerror or error}",
                hint="sort it as the blocks are, or free space for temporary files",
            ) from error

    def _text_at(self, place: _Place) -> bytes:
        assert self._unpacked is not None
        self._unpacked.seek(place.offset)
        return self._unpacked.read(place.size)

    def _key(self, line: Line) -> Key | None:
        """The block a line is for; None for a blank line, or a bad one, which is noted."""
        if line.text is not None and not line.text.strip():
            return None
        try:
            if line.text is None:
                raise ValueError("the line is too long")
            head = _HEAD.decode(line.text)
            if head.block_number is None and head.block_hash is None and head.result is not _NULL:
                head = _HEAD.decode(head.result)
            return _key_of(head)
        except (msgspec.MsgspecError, RecursionError, ValueError) as error:
            first_time = self._index is None or line.number > self._seen
            if first_time and len(self._rejected) < MAX_REJECTED:
                assert self._path is not None
                self._rejected.append(
                    BadBlock(
                        f"names no block with {self._name}: {ascii(str(error))[1:-1][:200]}",
                        where=f"{self._path.name}:{line.number}",
                        reason="malformed",
                    )
                )
            return None


def _nameless() -> IO[bytes]:
    return tempfile.TemporaryFile()


class _Head(msgspec.Struct, rename="camel"):
    block_number: str | int | None = None
    block_hash: str | None = None
    result: msgspec.Raw = _NULL


_HEAD: Final = msgspec.json.Decoder(_Head)


def _key_of(head: _Head) -> Key:
    if head.block_hash is not None:
        return head.block_hash.lower()
    if isinstance(head.block_number, str):
        return quantity_of(head.block_number, "blockNumber", 63)
    if head.block_number is None:
        raise ValueError("neither blockHash nor blockNumber")
    return head.block_number
