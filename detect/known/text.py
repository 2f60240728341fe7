"""From the written form to bytes."""

from __future__ import annotations


def at(text: str) -> bytes:
    """20 bytes of ``0x…`` text with an EIP-55 checksum."""
    return bytes.fromhex(text[2:])
