"""Bytes that a decoder should not expect: anything, sound ones damaged, and bombs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

# A value in JSON, TOML or CSV: text in quotes, a number, a word.
_VALUE: Final = re.compile(rb'"[^"\n]{0,4000}"|[-+0-9.a-z]+')
DEEP: Final = 100_000

JUNK: Final[tuple[bytes, ...]] = (
    b"null", b"true", b"[]", b"{}", b"[[]]", b'""', b'"0x"', b'"0x0"', b'"-0x1"', b'"0xzz"', b"-1",
    b"0.5", b"1e999", b"-1e999", b"NaN", b"Infinity", b"1e-999", b"18446744073709551616",
    b"9" * 5_000, b'"' + b"9" * 5_000 + b'"', b'"0x' + b"f" * 5_000 + b'"',
    b'"0x' + b"f" * 64 + b'"',
    b'"0x8000000000000000"', b'"\\ud800"', b'"\\u0000"', b'"\x00"', b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"=cmd|\' /C calc\'!A0"', b'"' + b"a" * 100_000 + b'"', b"[" * DEEP, b'{"a":' * (DEEP // 2),
    b"[" * DEEP + b"]" * DEEP, b'"\xe2\x80\xae"', b"0x1", b"1979-13-45", b"''", b'"""',
)  # fmt: skip
BOMBS: Final[tuple[bytes, ...]] = (
    b"", b"\n", b"\x00" * 1000, b"\xff" * 1000, b"[" * DEEP, b"{" * DEEP, b'{"a":' * DEEP,
    b"[" * DEEP + b"]" * DEEP, b'{"a":' * 5000 + b"1" + b"}" * 5000, b"a=" + b"[" * DEEP,
    b"a." * 5_000 + b"b=1", b"9" * 100_000, b"a=" + b"9" * 5_000, b'"' * 10_001, b"PAR1" * 64,
    "address,label\n0x12,x\n".encode("utf-16"),
    b"\x1f\x8b" + b"\x00" * 100, b"null", b"0", b'""', b"[]", b"{}", b"[[[]]]",
    b"{" * 100 + b"}" * 100,
    b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b"address,label\n" + b'"' + b"x" * 200_000, b"," * 100_000,
)  # fmt: skip


def _other_value(seed: bytes, place: int, junk: bytes) -> bytes:
    found = list(_VALUE.finditer(seed))
    if not found:
        return junk
    match = found[place % len(found)]
    return seed[: match.start()] + junk + seed[match.end() :]


def _damaged(seed: bytes, cuts: Sequence[tuple[str, int, bytes]]) -> bytes:
    data = bytearray(seed)
    for kind, place, junk in cuts:
        at = place % (len(data) + 1)
        if kind == "cut":
            del data[at:]
        elif kind == "insert":
            data[at:at] = junk
        elif kind == "drop":
            del data[at : at + len(junk)]
        elif kind == "over":
            data[at : at + len(junk)] = junk
        elif kind == "twice":
            data += data[at:]
    return bytes(data[:1_000_000])


def hostile(seeds: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes for a decoder that takes ``seeds``."""
    seed, place = st.sampled_from(list(seeds)), st.integers(0, 1_000_000)
    cut = st.tuples(
        st.sampled_from(["cut", "insert", "drop", "over", "twice"]), place, st.binary(max_size=8)
    )
    return st.one_of(
        st.builds(_other_value, seed, place, st.sampled_from(JUNK)),
        st.builds(_other_value, seed, place, st.binary(max_size=40)),
        st.builds(_damaged, seed, st.lists(cut, min_size=1, max_size=4)),
        st.sampled_from(BOMBS),
        st.binary(max_size=300),
    )
