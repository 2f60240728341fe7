"""Processes of ours that work for this one, beside it.

They are spawned, not forked: this process has threads, and what they hold would be held for ever in
a fork. An interrupt and a request to end are for the parent to handle, which may have a last block
to commit: a child ends when its pipe is closed, or its parent is gone.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final, Self

log = logging.getLogger(__name__)

_END_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 5.0
# Messages that may be owed an answer: either pipe has room for them, so that nobody waits to send.
_MOST_OWED: Final = 32


class ChildProcess:
    """A process that answers messages, for as long as it can. Close it, or use it as a context.

    It starts when it is first wanted, and ends with this one, however that ends. If it dies, or
    owes an answer for five seconds, it is given up, and nobody waits for it again: whoever asked
    does the work. Messages and answers are small (a few KB). One caller at a time; only ``close``
    may come from another thread.

    ``does`` says what it does, for the log; ``serve`` is called there with a pipe (see
    ``serve_messages``) and with what ``arguments`` gives here when it starts.
    """

    def __init__(
        self,
        does: str,
        serve: Callable[..., None],
        arguments: Callable[[], tuple[object, ...]] = tuple,
    ) -> None:
        self._does = does
        self._serve = serve
        self._arguments = arguments
        self._lock = threading.RLock()  # nobody closes a pipe that somebody reads
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._usable = True
        self._started = False
        self._owed = 0  # messages that were sent and not answered
        self._answers: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Harmless when repeated, and while it is asked: it is given up then."""
        with self._lock:
            self._usable, self._owed = False, 0
            if self._process is not None and self._pipe is not None:
                stop_process(self._process, self._pipe)
            self._process = self._pipe = None
        atexit.unregister(self.close)

    def begin(self) -> bool:
        """Whether it takes messages now; what it was asked before is forgotten.

        False while the process is starting, which nobody waits for, and when it was given up.
        """
        with self._lock:
            if self._usable and self._pipe is None:
                self._start()
            if self._pipe is not None and not self._started and not self._pipe.poll():
                return False
            self._settle()
            self._answers = []
            return self._usable

    def send(self, message: bytes) -> bool:
        """Have a message answered; False where the process was given up."""
        with self._lock:
            if self._owed == _MOST_OWED:
                self._receive()
            if self._pipe is None:
                return False
            try:
                self._pipe.send_bytes(message)
            except OSError as error:
                self._give_up(error)
                return False
            self._owed += 1
            return True

    def answers(self) -> list[bytes]:
        """Those to all messages since ``begin``, in order; fewer where it was given up meanwhile.

        Whichever it is, nothing is under way there any more.
        """
        with self._lock:
            self._settle()
            return self._answers

    def _start(self) -> None:
        try:
            self._process, self._pipe = start_process(self._serve, *self._arguments())
        except OSError as error:
            self._give_up(error)
            return
        atexit.register(self.close)
        self._owed = 1  # its first word says that it is there

    def _settle(self) -> None:
        """Take every answer that is owed."""
        while self._owed:
            self._receive()

    def _receive(self) -> None:
        """Take the answer to the oldest message."""
        if self._pipe is None:
            return
        try:
            if not self._pipe.poll(_ANSWER_SECONDS):
                raise TimeoutError(f"no answer within {_ANSWER_SECONDS:.0f} s")
            answer = self._pipe.recv_bytes()
        except (OSError, EOFError) as error:
            self._give_up(error)
            return
        self._started = True
        self._owed -= 1
        self._answers.append(answer)

    def _give_up(self, error: Exception) -> None:
        log.warning(
            "no process %s any more (%s): this one does, which takes longer",
            self._does,
            str(error) or type(error).__name__,
        )
        if self._process is not None:
            self._process.kill()
        self.close()


def serve_messages(pipe: Connection, answer: Callable[[bytes], bytes]) -> None:
    """In the process that was started: answer what comes, until the other side is closed."""
    heed_no_signals()
    with suppress(EOFError, OSError):
        pipe.send_bytes(b"")
        while True:
            pipe.send_bytes(answer(pipe.recv_bytes()))


def start_process(
    serve: Callable[..., None], *arguments: object
) -> tuple[SpawnProcess, Connection]:
    """A process that calls ``serve`` with a pipe and the arguments, and our end of the pipe.

    Raises OSError. As it heeds no signal, it must be stopped before Python waits for it at exit.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with theirs:
        process = context.Process(target=serve, args=(theirs, *arguments), daemon=True)
        try:
            process.start()
        except OSError:
            ours.close()
            raise
    return process, ours


def stop_process(process: SpawnProcess, pipe: Connection) -> None:
    """Have such a process end by itself, or else kill it."""
    pipe.close()  # it sees that, and ends
    process.join(_END_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()


def heed_no_signals() -> None:
    """In a process that was started: leave SIGINT and SIGTERM to the parent."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def end_with_parent() -> None:
    """In a process that was started: end when the parent has, in the middle of anything.

    One that was killed closes its pipe, too, but who does not read the pipe does not see it. A
    thread waits for that; this returns at once.
    """
    threading.Thread(target=_wait, name="parent", daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
