"""A process that recovers senders while the rest of their block is verified and decoded here.

Recovering takes longer than all else of a block's verification. Where there are many blocks,
``workers`` take each a whole one; this is for the one block that somebody waits for. A thread would
not do: it would wait for the interpreter's lock between any two signatures.
"""

from __future__ import annotations

from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Final, Self

from chainwarden.child_process import ChildProcess, serve_messages
from ingest.senders import Signature, recover

CHUNK: Final = 16
"""Signatures that are sent at a time: the first are recovered while the others are being read."""

_SIGNATURE_SIZE: Final = 32 + 65
_ADDRESS_SIZE: Final = 20
_NOBODY: Final = bytes(_ADDRESS_SIZE)


class SenderProcess:
    """Recovers who signed, elsewhere. Close it, or use it as a context.

    For one block at a time, until its process is given up; see ``ChildProcess``.
    """

    def __init__(self) -> None:
        self._child = ChildProcess("recovers senders", _serve)
        self._waiting: list[Signature] = []  # for their chunk to be full

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process. Harmless when repeated, and while it is asked: it is given up then."""
        self._child.close()

    def begin(self) -> bool:
        """Whether it takes the signatures of a block now; what it was asked before is forgotten.

        False while the process is starting, which nobody waits for, and when it was given up.
        """
        self._waiting = []
        return self._child.begin()

    def ask(self, signature: Signature) -> None:
        """Have it recovered, with those before and behind it."""
        self._waiting.append(signature)
        if len(self._waiting) == CHUNK:
            self.send()

    def send(self) -> None:
        """Send what waits for its chunk to be full: there may be no more of this block."""
        if self._waiting:
            self._child.send(b"".join(map(b"".join, self._waiting)))
            self._waiting = []

    def answers(self) -> list[bytes | None]:
        """The address that signed, of all that were asked, in order; None where there is none.

        Shorter than what was asked where the process was given up meanwhile.
        """
        self.send()
        found = b"".join(self._child.answers())
        addresses = (found[at : at + _ADDRESS_SIZE] for at in range(0, len(found), _ADDRESS_SIZE))
        return [None if address == _NOBODY else address for address in addresses]


def _serve(pipe: Connection) -> None:
    serve_messages(pipe, _recovered)


def _recovered(chunk: bytes) -> bytes:
    return b"".join(map(_address, _signatures(chunk)))


def _signatures(chunk: bytes) -> Iterator[Signature]:
    for at in range(0, len(chunk), _SIGNATURE_SIZE):
        yield Signature(chunk[at : at + 32], chunk[at + 32 : at + _SIGNATURE_SIZE])


def _address(signature: Signature) -> bytes:
    try:
        return recover(signature)
    except ValueError:
        return _NOBODY
