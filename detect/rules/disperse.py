"""Whom a ``disperseEther`` call pays: the ether moves inside the contract and leaves no log."""

from __future__ import annotations

from typing import Final

MOST_PAID: Final = 1_000  # of one call; a block's gas pays for hardly more

_WORD: Final = 32


def dispersed(data: bytes, value: int) -> list[tuple[bytes, int]]:
    """Receivers and wei of ``disperseEther(address[],uint256[])``; empty where it is none.

    Total over any bytes: what does not decode, has arrays of unequal length, more than
    ``MOST_PAID`` receivers, or pays out more than ``value``, is no such call.
    """
    receivers, amounts = _words(data, 0), _words(data, 1)
    if receivers is None or amounts is None or len(receivers) != len(amounts):
        return []
    if any(word[:12] != bytes(12) for word in receivers):
        return []
    paid = [int.from_bytes(word, "big") for word in amounts]
    if sum(paid) > value:
        return []
    return [(word[12:], wei) for word, wei in zip(receivers, paid, strict=True) if wei]


def _words(data: bytes, argument: int) -> list[bytes] | None:
    """The words of a dynamic array, which that argument points to; None where it is none."""
    body = memoryview(data)[4:]
    place = _uint(body, argument * _WORD)
    length = None if place is None else _uint(body, place)
    if place is None or length is None or length > MOST_PAID:
        return None
    start, end = place + _WORD, place + _WORD * (1 + length)
    if end > len(body):
        return None
    return [bytes(body[at : at + _WORD]) for at in range(start, end, _WORD)]


def _uint(body: memoryview, at: int) -> int | None:
    word = body[at : at + _WORD]
    return int.from_bytes(word, "big") if len(word) == _WORD else None
