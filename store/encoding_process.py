"""A process that writes the lake's files of a block at the head while the block is scored here.

Such files are a matter of Python and of system calls more than of encoding. A thread of this
process would have the scoring wait for the interpreter's lock with each of them: a quarter more of
its time. What is written has no name yet, so this process decides what is in the lake; whatever the
other one cannot do, this one does.
"""

from __future__ import annotations

import os
from ctypes import Array, c_char
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Final, Self

import msgspec
import pyarrow as pa

from chainwarden.child_process import ChildProcess, serve_messages
from store.encoding import open_new, parquet_writer

# The tables pass through memory that both have, so that nobody waits for the other to read. Those
# of a block of 200 transactions take 0.4 MB. All of it is taken at the start, when it is zeroed.
_MEMORY_BYTES: Final = 8 << 20
_ALIGNMENT: Final = 64


class _Place(msgspec.Struct, array_like=True):
    """A file to be written, and where its table is in the memory."""

    path: str
    start: int
    end: int


class _Written(msgspec.Struct, array_like=True):
    """How large a file is that is on disk; None where it was refused."""

    size: int | None


_PLACE: Final = msgspec.msgpack.Decoder(_Place)
_WRITTEN: Final = msgspec.msgpack.Decoder(_Written)


class EncodingProcess:
    """Writes tables of few rows to files, elsewhere. Close it, or use it as a context.

    For one commit at a time, until its process is given up; see ``ChildProcess``.
    """

    def __init__(self) -> None:
        self._child = ChildProcess("writes the files of a block", _serve, self._shared)
        self._memory = memoryview(bytearray())  # until the process starts
        self._filled = 0  # bytes of the memory
        self._asked = 0  # files

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Harmless when repeated, and while it writes: it is given up then."""
        self._child.close()

    def begin(self) -> bool:
        """Whether it takes the files of a commit now; what it wrote before is forgotten.

        False while the process is starting, which nobody waits for, and when it was given up.
        """
        self._filled = self._asked = 0
        return self._child.begin()

    def write(self, path: Path, table: pa.Table) -> bool:
        """Have a table written to a new file, and flushed. False where it is not going to be: it is
        too big, or the process was given up.
        """
        start = -(-self._filled // _ALIGNMENT) * _ALIGNMENT
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(self._memory[start:]))
        try:
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
        except OSError:  # beyond the end
            return False
        self._filled = start + sink.tell()
        sent = self._child.send(msgspec.msgpack.encode(_Place(str(path), start, self._filled)))
        self._asked += sent
        return sent

    def sizes(self) -> list[int] | None:
        """How large the files are since ``begin``, in order, when all of them are on disk.

        None where one may not be: it was refused there, or the process was given up. Nobody writes
        to any of them any more, whichever it is.
        """
        found = [_WRITTEN.decode(answer).size for answer in self._child.answers()]
        sizes = [size for size in found if size is not None]
        return sizes if len(sizes) == self._asked else None

    def _shared(self) -> tuple[object, ...]:
        memory = RawArray(c_char, _MEMORY_BYTES)
        self._memory = memoryview(memory).cast("B")
        return (memory,)


def _serve(pipe: Connection, memory: Array[c_char]) -> None:
    serve_messages(pipe, partial(_answer, pa.py_buffer(memory)))


def _answer(memory: pa.Buffer, message: bytes) -> bytes:
    return msgspec.msgpack.encode(_Written(_size_written(memory, _PLACE.decode(message))))


def _size_written(memory: pa.Buffer, place: _Place) -> int | None:
    """Write a table to a file. Who asked finds out why it is refused, by writing it."""
    try:
        table = pa.ipc.open_stream(memory[place.start : place.end]).read_all()
        with open_new(Path(place.path)) as file:
            with parquet_writer(table.schema, file, quickly=True) as writer:
                writer.write_table(table)
            size = int(file.tell())
            os.fsync(file.fileno())
        return size
    except (OSError, pa.ArrowException):
        return None
