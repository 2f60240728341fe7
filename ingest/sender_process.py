"""A process that recovers senders while the rest of their block is verified and decoded here.

Recovering takes longer than all else of a block's verification. Where there are many blocks,
``workers`` take each a whole one; this is for the one block that somebody waits for. A thread would
not do: it would wait for the interpreter's lock between any two signatures.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from ingest.senders import Signature, recover

log = logging.getLogger(__name__)

CHUNK: Final = 16
"""Signatures that are sent at a time: the first are recovered while the others are being read."""

# Chunks that may be owed: what lies in either pipe has room there, so that nobody waits to send.
_MOST_OWED: Final = 32
_ANSWER_SECONDS: Final = 5.0
_SIGNATURE_SIZE: Final = 32 + 65
_ADDRESS_SIZE: Final = 20
_NOBODY: Final = bytes(_ADDRESS_SIZE)


class SenderProcess:
    """Recovers who signed, elsewhere. Close it, or use it as a context.

    The process starts when it is first wanted, and ends with this one, however that ends. If it
    dies, or owes an answer for five seconds, it is given up, and nobody waits for it again. For one
    block at a time; only ``close`` may come from another thread.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # nobody closes a pipe that somebody reads
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._usable = True
        self._started = False
        self._waiting: list[Signature] = []  # for their chunk to be full
        self._owed = 0  # chunks that were sent and not answered
        self._found: list[bytes] = []

    def __enter__(self) -> SenderProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Harmless when repeated, and while it is asked: it is given up then."""
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

    def begin(self) -> bool:
        """Whether it takes the signatures of a block now; what it was asked before is forgotten.

        False while the process is starting, which nobody waits for, and when it was given up.
        """
        with self._lock:
            if self._usable and self._pipe is None:
                self._start()
            if self._pipe is not None and not self._started and not self._pipe.poll():
                return False
            self._settle()
            self._waiting, self._found = [], []
            return self._usable

    def ask(self, signature: Signature) -> None:
        """Have it recovered, with those before and behind it."""
        self._waiting.append(signature)
        if len(self._waiting) == CHUNK:
            self.send()

    def send(self) -> None:
        """Send what waits for its chunk to be full: there may be no more of this block."""
        chunk, self._waiting = self._waiting, []
        with self._lock:
            if self._owed == _MOST_OWED:
                self._receive()
            if not chunk or self._pipe is None:
                return
            try:
                self._pipe.send_bytes(b"".join(map(b"".join, chunk)))
                self._owed += 1
            except OSError as error:
                self._give_up(error)

    def answers(self) -> list[bytes | None]:
        """The address that signed, of all that were asked, in order; None where there is none.

        Shorter than what was asked where the process was given up meanwhile.
        """
        self.send()
        with self._lock:
            self._settle()
        return [None if address == _NOBODY else address for address in self._found]

    def _start(self) -> None:
        # Not forked: this process has threads, and what they hold would be held for ever.
        context = multiprocessing.get_context("spawn")
        try:
            self._pipe, theirs = context.Pipe()
            with theirs:
                process = context.Process(target=_serve, args=(theirs,), daemon=True)
                process.start()
        except OSError as error:
            self._give_up(error)
            return
        self._process = process
        self._owed = 1  # its first word says that it is there

    def _settle(self) -> None:
        """Take every answer that is owed."""
        while self._owed:
            self._receive()

    def _receive(self) -> None:
        """Take the answer to the oldest chunk."""
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
        self._found += [
            answer[at : at + _ADDRESS_SIZE] for at in range(0, len(answer), _ADDRESS_SIZE)
        ]

    def _give_up(self, error: Exception) -> None:
        log.warning(
            "no process recovers senders any more (%s): this one does, which takes longer",
            str(error) or type(error).__name__,
        )
        if self._process is not None:
            self._process.kill()
        self.close()


def _serve(pipe: Connection) -> None:
    """Recover what comes, until the other side is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for the parent to handle
    pipe.send_bytes(b"")
    while True:
        try:
            chunk = pipe.recv_bytes()
            pipe.send_bytes(b"".join(_address(each) for each in _signatures(chunk)))
        except (EOFError, OSError):
            return


def _signatures(chunk: bytes) -> Iterator[Signature]:
    for at in range(0, len(chunk), _SIGNATURE_SIZE):
        yield Signature(chunk[at : at + 32], chunk[at + 32 : at + _SIGNATURE_SIZE])


def _address(signature: Signature) -> bytes:
    try:
        return recover(signature)
    except ValueError:
        return _NOBODY
