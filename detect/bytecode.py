"""Machine code as features: what a contract consists of, read off its bytes alone.

A code is told by what it does, not by its constants: opcode 4-grams in 2^12 buckets, the selectors
it knows in 2^10, and a few flags. Only whether a feature is there counts, not how often. A digest
tells equal codes, a sketch (MinHash of the 4-grams) similar ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from detect.compiled import Array
from detect.kernels.bytecode import (
    ADDRESSES,
    CALLCODE,
    COPIES,
    CREATE,
    CREATE2,
    DELEGATECALL,
    FOUND,
    GRAMS,
    MOST_ADDRESSES,
    OPCODES,
    ORIGIN_COMPARED,
    SELECTORS,
    SELFDESTRUCT,
    SKETCH,
    STACK,
    deployed_part,
    features_of,
    fill_sketch,
    gram_bucket,
    selector_bucket,
    sweep,
)
from detect.known.bytecode import FLASH_CALLBACKS, METAMORPHIC_PREFIX, PROXY_PATTERNS
from detect.known.opcodes import INSTRUCTIONS, MNEMONICS

LARGEST_INIT: Final = 49_152  # bytes (EIP-3860); older blocks may have more, which is passed over
MOST_SELECTORS: Final = 1024
SIZES: Final = 16
FLAGS: Final = (
    "SELFDESTRUCT",
    "DELEGATECALL",
    "CALLCODE",
    "CREATE",
    "CREATE2",
    "ORIGIN compared",
    "embedded addresses",
    "metamorphic prefix",
    "flash-loan callback",
    "no metadata",
    "unread constructor",
    *(f"size {1 << k} to {(2 << k) - 1} bytes" for k in range(SIZES)),
)
FEATURES: Final = GRAMS + SELECTORS + len(FLAGS)
"""Buckets of 4-grams, then of selectors, then the flags."""

PACKED_BYTES: Final = (FEATURES + 7) // 8
_FLAG: Final = {name: GRAMS + SELECTORS + place for place, name in enumerate(FLAGS)}
_COUNTED: Final = {
    "SELFDESTRUCT": SELFDESTRUCT,
    "DELEGATECALL": DELEGATECALL,
    "CALLCODE": CALLCODE,
    "CREATE": CREATE,
    "CREATE2": CREATE2,
    "ORIGIN compared": ORIGIN_COMPARED,
    "embedded addresses": ADDRESSES,
}


@dataclass(frozen=True, slots=True)
class Code:
    """A contract's code, read.

    ``runtime`` is what runs, without the compiler's metadata; ``digest`` (16 bytes) is that of its
    opcodes and short constants: the same for clones that differ in embedded addresses only.
    ``features`` (uint16) are those that it has, in order. ``selectors`` are those it knows, be it
    to be called by or to call; ``flash_callbacks`` those of lenders that it can be called by.
    ``target`` is what a minimal proxy (EIP-1167) delegates to; then nothing else of the code says
    anything.
    """

    runtime: bytes
    digest: bytes
    features: Array
    flags: frozenset[str]
    opcodes: int
    selectors: tuple[int, ...]
    flash_callbacks: tuple[str, ...]
    addresses: tuple[bytes, ...]
    target: bytes | None


class CodeReader:
    """Reads codes, one at a time; it owns the arrays that takes."""

    def __init__(self) -> None:
        self._seen = np.zeros(FEATURES, np.uint8)
        self._found = np.zeros(FOUND, np.int64)
        self._selectors = np.zeros((MOST_SELECTORS, 2), np.uint32)
        self._addresses = np.zeros((MOST_ADDRESSES, 20), np.uint8)
        self._features = np.zeros(FEATURES + 1, np.uint16)
        self._stack = np.zeros(STACK, np.int64)
        self._copies = np.zeros((COPIES, 3), np.int64)
        self._pops, self._pushes = _arities()

    def of_init(self, init_code: bytes) -> Code:
        """What a creation deploys, as its init code tells it.

        Immutables, which the constructor fills in, are zeros. Where the deployed part cannot be
        told (a constructor out of the ordinary), the init code stands for it, and a flag says so.
        """
        init = init_code[:LARGEST_INIT]
        array = np.frombuffer(init, np.uint8)
        start = deployed_part(array, self._pops, self._pushes, self._stack, self._copies)
        if init.startswith(METAMORPHIC_PREFIX):
            return self._read(init, ("metamorphic prefix",))
        if start < 0:
            return self._read(init, ("unread constructor",))
        return self._read(init[start : start + int(self._copies[0, 0])], ())

    def of_runtime(self, code: bytes) -> Code:
        """A code as it is on the chain."""
        return self._read(code[:LARGEST_INIT], ())

    def _read(self, code: bytes, flags: tuple[str, ...]) -> Code:
        runtime = without_metadata(code)
        code_array = np.frombuffer(runtime, np.uint8)
        named = sweep(code_array, self._seen, self._found, self._selectors, self._addresses)
        pairs = self._selectors[:named].tolist()
        callbacks = tuple(FLASH_CALLBACKS[s] for s, own in pairs if own and s in FLASH_CALLBACKS)
        counted = self._found.tolist()
        held = [name for name, place in _COUNTED.items() if counted[place]]
        held += flags
        if callbacks:
            held.append("flash-loan callback")
        if len(runtime) == len(code):
            held.append("no metadata")
        if runtime:
            held.append(FLAGS[len(FLAGS) - SIZES + min(SIZES, len(runtime).bit_length()) - 1])
        for name in held:
            self._seen[_FLAG[name]] = 1
        used = features_of(self._seen, self._features)
        known = self._addresses[: counted[ADDRESSES]].tobytes()
        addresses = tuple(known[n : n + 20] for n in range(0, len(known), 20))
        return Code(
            runtime=runtime,
            digest=_digest(runtime, addresses),
            features=self._features[:used].copy(),
            flags=frozenset(held),
            opcodes=counted[OPCODES],
            selectors=tuple(selector for selector, _ in pairs),
            flash_callbacks=callbacks,
            addresses=addresses,
            target=proxy_target(runtime),
        )


def without_metadata(code: bytes) -> bytes:
    """The code without the CBOR that Solidity appends (a hash of sources, the compiler's version).

    >>> without_metadata(bytes.fromhex("6001") + bytes.fromhex("a264697066735822") + bytes(45)
    ...                  + (53).to_bytes(2, "big")).hex()
    '6001'
    """
    size = int.from_bytes(code[-2:], "big") + 2
    if 4 < size <= min(len(code), 512) and code[-size] & 0xF0 == 0xA0:
        return code[:-size]
    return code


def proxy_target(code: bytes) -> bytes | None:
    """What a minimal proxy delegates every call to (EIP-1167 and its like), else None."""
    for head, tail in PROXY_PATTERNS:
        if (
            len(code) == len(head) + 20 + len(tail)
            and code.startswith(head)
            and code.endswith(tail)
        ):
            return code[len(head) : len(head) + 20]
    return None


def pack_features(features: Array) -> bytes:
    """Features as bits, or one by one where that is shorter: at most ``PACKED_BYTES`` + 1 bytes."""
    if 2 * len(features) < PACKED_BYTES:
        return b"s" + features.astype("<u2").tobytes()
    bits = np.zeros(8 * PACKED_BYTES, np.bool_)
    bits[features] = True
    return b"d" + np.packbits(bits).tobytes()


def unpack_features(data: bytes) -> Array:
    """The features that ``pack_features`` packed."""
    if data[:1] == b"s":
        return np.frombuffer(data, "<u2", -1, 1).astype(np.uint16)
    bits = np.unpackbits(np.frombuffer(data, np.uint8, -1, 1))
    return np.flatnonzero(bits).astype(np.uint16)


def sketch_of(features: Array) -> Array | None:
    """The sketch (uint32, SKETCH) of a code's 4-grams; None where it has none."""
    sketch = np.empty(SKETCH, np.uint32)
    return sketch if fill_sketch(features, sketch) else None


def feature_name(feature: int, code: Code, most: int = 2) -> str:
    """A feature by what this code has in it: of a bucket, its own 4-grams or selectors.

    Several things share a bucket, and the model cannot tell them apart; named are those of this
    code, at most ``most``.
    """
    if feature >= GRAMS + SELECTORS:
        return FLAGS[feature - GRAMS - SELECTORS]
    if feature >= GRAMS:
        names = [f"0x{s:08x}" for s in code.selectors if selector_bucket(s) == feature]
        return "selector " + _several(names, most)
    found = dict.fromkeys(g for g in grams_of(code.runtime) if gram_bucket(g) == feature)
    return _several([gram_name(gram) for gram in found], most)


def opcodes_of(code: bytes) -> Iterator[int]:
    """The opcodes in order, without operands; all pushes are 0x60."""
    at = 0
    while at < len(code):
        op = code[at]
        at += 1
        if 0x5F <= op <= 0x7F:
            at += op - 0x5F
            op = 0x60
        yield op


def grams_of(code: bytes) -> Iterator[int]:
    """Every opcode 4-gram in order, as a big-endian number."""
    window = 0
    for count, op in enumerate(opcodes_of(code), start=1):
        window = ((window << 8) | op) & 0xFFFFFFFF
        if count >= 4:
            yield window


def gram_name(gram: int) -> str:
    """An opcode 4-gram in words.

    >>> gram_name(0x60545B56)
    'PUSH SLOAD JUMPDEST JUMP'
    """
    return " ".join(MNEMONICS.get(op, f"0x{op:02x}") for op in gram.to_bytes(4, "big"))


def _several(names: list[str], most: int) -> str:
    shown = " / ".join(names[:most])
    return f"{shown} / …" if len(names) > most else shown


def _digest(runtime: bytes, addresses: tuple[bytes, ...]) -> bytes:
    # Embedded addresses are what makes every clone of a template another code: they are left out.
    for address in addresses:
        runtime = runtime.replace(b"\x73" + address, b"\x73" + bytes(20))
    return hashlib.blake2b(runtime, digest_size=16).digest()


def _arities() -> tuple[Array, Array]:
    pops, pushes = np.zeros(256, np.uint8), np.zeros(256, np.uint8)
    for op, (_, taken, put) in INSTRUCTIONS.items():
        pops[op], pushes[op] = taken, put
    return pops, pushes
