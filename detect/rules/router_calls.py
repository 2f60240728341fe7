"""Which token a call of a router sells: read from calldata, which is there even where it failed."""

from __future__ import annotations

from typing import Final

from detect.known.pools import SALES, UNIVERSAL_EXECUTE

COMMANDS: Final = 16  # of a universal router call that are looked at
_V3_EXACT_IN, _V2_EXACT_IN, _COMMAND = 0x00, 0x08, 0x3F


def token_sold(data: bytes | None) -> bytes | None:
    """The first token on the path of a sale; None where the calldata is none, or malformed.

    Any bytes will do: offsets beyond the end lead nowhere, and at most 16 commands are read.
    """
    if data is None or len(data) < 4:
        return None
    selector = int.from_bytes(data[:4], "big")
    if selector not in SALES:
        return None
    body = data[4:]
    if selector != UNIVERSAL_EXECUTE:
        return _first_of_path(body, _number(body, 64))
    return _universal(body)


def _universal(body: bytes) -> bytes | None:
    at, inputs = _number(body, 0), _number(body, 32)
    if at is None or inputs is None:
        return None
    count = _number(body, at)
    for place, command in enumerate(body[at + 32 : at + 32 + min(count or 0, COMMANDS)]):
        offset = _number(body, inputs + 32 + 32 * place)
        if offset is None:
            return None
        start = inputs + 64 + offset  # behind the input's own length
        path = _number(body, start + 96)
        if path is None:
            continue
        if command & _COMMAND == _V2_EXACT_IN:
            return _first_of_path(body, start + path)
        if command & _COMMAND == _V3_EXACT_IN:
            token = body[start + path + 32 : start + path + 52]
            return token if len(token) == 20 else None
    return None


def _first_of_path(body: bytes, at: int | None) -> bytes | None:
    # An array of addresses: its length, then the addresses as words.
    if at is None or not _number(body, at):
        return None
    word = body[at + 32 : at + 64]
    return word[12:] if len(word) == 32 else None


def _number(body: bytes, at: int) -> int | None:
    word = body[at : at + 32]
    if len(word) < 32:
        return None
    value = int.from_bytes(word, "big")
    return value if value <= len(body) else None
