"""The audit chain: every record of the ledger bound to all that were written before it.

An entry has the SHA-256 of what a record held when it was written, and a digest of its own that
covers the digest of the entry before it. Who knows the digest of one entry can tell later whether
anything up to it was changed, left out or put in between: such a hash chain is what Schneier and
Kelsey's "Secure audit logs to support computer forensics" (1999) rests on.

Both digests are of JSON without blanks, so that anybody can compute them again::

    content = SHA-256([value, …])                       the record's columns, in their order
    digest  = SHA-256([previous, serial, kind, key, content])

Bytes are Base64 in it, and NaN and the infinities are null. The first entry has serial 1, and 32
zero bytes for its previous digest.
"""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

GENESIS: Final = bytes(32)
"""What stands for the digest before the first entry's."""


@dataclass(frozen=True, slots=True)
class Note:
    """A record that was written: what kind, which one, and the digest of what it holds."""

    kind: str
    key: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A note with its place in the chain. Serials begin with 1 and have no gaps."""

    serial: int
    kind: str
    key: str
    content: bytes
    digest: bytes


def content_of(values: Sequence[object]) -> bytes:
    """The digest of what a record holds: 32 bytes, whatever types its numbers have.

    >>> content_of([b"\\x01", 2, 0.5, None]).hex()[:16]
    '866db67a0305fc71'
    """
    return _digest(values)


def linked(previous: bytes, serial: int, notes: Iterable[Note]) -> Iterator[Entry]:
    """The entries of some notes behind the entry of that serial, whose digest is ``previous``."""
    for number, note in enumerate(notes, serial + 1):
        previous = digest_of(previous, number, note)
        yield Entry(number, note.kind, note.key, note.content, previous)


def digest_of(previous: bytes, serial: int, note: Note) -> bytes:
    """The digest of the entry with that serial, behind an entry whose digest is ``previous``."""
    return _digest((previous, serial, note.kind, note.key, note.content))


def _digest(values: Sequence[object]) -> bytes:
    return hashlib.sha256(_JSON.encode(values)).digest()


def _plain(value: object) -> object:
    """What JSON has no form for: NumPy's numbers, which equal those that the database gives."""
    match value:
        case numbers.Integral():
            return int(value)
        case numbers.Real():
            return float(value)
        case _:
            raise TypeError(f"no record holds a {type(value).__name__}")


_JSON: Final = msgspec.json.Encoder(enc_hook=_plain)
