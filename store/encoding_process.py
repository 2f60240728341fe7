"""A process that writes the lake's files of a block at the head while the block is scored here.

Such files are a matter of Python and of system calls more than of encoding. A thread of this
process would have the scoring wait for the interpreter's lock with each of them: a quarter more of
its time. What is written has no name yet, so this process decides what is in the lake; whatever the
other one cannot do, this one does.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import threading
from contextlib import suppress
from ctypes import c_char
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from store.encoding import open_new, parquet_writer

log = logging.getLogger(__name__)

# The tables pass through memory that both have, so that nobody waits for the other to read. Those
# of a block of 200 transactions take 0.4 MB. All of it is taken at the start, when it is zeroed.
_MEMORY_BYTES: Final = 8 << 20
_ALIGNMENT: Final = 64
_ANSWER_SECONDS: Final = 5.0
_REFUSED: Final = -1

_Place = tuple[str, int, int]
"""A file to be written, and where its table is in the memory: from, to."""


class EncodingProcess:
    """Writes tables of few rows to files, elsewhere. Close it, or use it as a context.

    The process starts when it is first wanted, and ends with this one, however that ends. If it
    dies, or owes an answer for five seconds, it is given up, and nobody waits for it again. For one
    commit at a time; only ``close`` may come from another thread.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # nobody closes a pipe that somebody reads
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._memory: memoryview | None = None
        self._usable = True
        self._started = False
        self._filled = 0  # bytes of the memory
        self._owed = 0  # files that were asked for and not answered
        self._sizes: list[int] = []

    def __enter__(self) -> EncodingProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Harmless when repeated, and while it writes: it is given up then."""
        with self._lock:
            self._usable, self._owed = False, 0
            if self._pipe is not None:
                self._pipe.close()  # the process sees that, and ends
                self._pipe = None
            if self._process is not None:
                self._process.join(_ANSWER_SECONDS)
                if self._process.is_alive():
                    self._process.kill()
                    self._process.join()
                self._process = None
            self._memory = None
        atexit.unregister(self.close)

    def begin(self) -> bool:
        """Whether it takes the files of a commit now; what it wrote before is forgotten.

        False while the process is starting, which nobody waits for, and when it was given up.
        """
        with self._lock:
            if self._usable and self._pipe is None:
                self._start()
            if self._pipe is not None and not self._started and not self._pipe.poll():
                return False
            self._settle()
            self._filled, self._sizes = 0, []
            return self._usable

    def write(self, path: Path, table: pa.Table) -> bool:
        """Have a table written to a new file, and flushed. False where it is not going to be: it is
        too big, or the process was given up.
        """
        with self._lock:
            place = self._placed(path, table)
            if place is None or self._pipe is None:
                return False
            try:
                self._pipe.send(place)
            except OSError as error:
                self._give_up(error)
                return False
            self._owed += 1
            return True

    def sizes(self) -> list[int] | None:
        """How large the files are since ``begin``, in order, when all of them are on disk.

        None where one may not be: it was refused there, or the process was given up. Nobody writes
        to any of them any more, whichever it is.
        """
        with self._lock:
            self._settle()
            whole = self._usable and _REFUSED not in self._sizes
            return self._sizes if whole else None

    def _placed(self, path: Path, table: pa.Table) -> _Place | None:
        """Put a table in the memory, behind what is there; None where it does not fit."""
        if self._memory is None:
            return None
        start = -(-self._filled // _ALIGNMENT) * _ALIGNMENT
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(self._memory[start:]))
        try:
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
        except OSError:  # beyond the end
            return None
        self._filled = start + sink.tell()
        return str(path), start, self._filled

    def _start(self) -> None:
        # Not forked: this process has threads, and what they hold would be held for ever.
        context = multiprocessing.get_context("spawn")
        try:
            self._pipe, theirs = context.Pipe()
            with theirs:
                memory = RawArray(c_char, _MEMORY_BYTES)
                process = context.Process(target=_serve, args=(theirs, memory), daemon=True)
                process.start()
        except OSError as error:
            self._give_up(error)
            return
        atexit.register(self.close)  # before Python waits for it: it heeds no SIGTERM
        self._process, self._memory = process, memoryview(memory).cast("B")
        self._owed = 1  # its first word says that it is there

    def _settle(self) -> None:
        """Take every answer that is owed."""
        while self._owed:
            self._receive()

    def _receive(self) -> None:
        """Take the answer about the oldest file."""
        if self._pipe is None:
            return
        try:
            if not self._pipe.poll(_ANSWER_SECONDS):
                raise TimeoutError(f"no answer within {_ANSWER_SECONDS:.0f} s")
            size: int = self._pipe.recv()
        except (OSError, EOFError) as error:
            self._give_up(error)
            return
        self._started = True
        self._owed -= 1
        self._sizes.append(size)

    def _give_up(self, error: Exception) -> None:
        log.warning(
            "no process writes the files of a block any more (%s): this one does, which takes "
            "longer",
            str(error) or type(error).__name__,
        )
        if self._process is not None:
            self._process.kill()
        self.close()


def _serve(pipe: Connection, memory: Any) -> None:
    """Write what comes, until the other side is closed."""
    # Both are for the parent to handle, which has a last block to commit.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    buffer = pa.py_buffer(memory)
    with suppress(EOFError, OSError):
        pipe.send(0)
        while True:
            place: _Place = pipe.recv()
            path, start, end = place
            pipe.send(_written(Path(path), buffer[start:end]))


def _written(path: Path, content: pa.Buffer) -> int:
    """Write a table to a file; its size. Who asked finds out why it is refused, by writing it."""
    try:
        table = pa.ipc.open_stream(content).read_all()
        with open_new(path) as file:
            with parquet_writer(table.schema, file, quickly=True) as writer:
                writer.write_table(table)
            size = int(file.tell())
            os.fsync(file.fileno())
        return size
    except (OSError, pa.ArrowException):
        return _REFUSED
