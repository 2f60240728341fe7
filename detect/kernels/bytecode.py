"""One pass over machine code for its opcode 4-grams and selectors, and one over init code to find
what it deploys; sketches of sets of features, and how alike two are.

A sweep from the first byte on, without following jumps; the operands of pushes are passed over, and
all pushes count as one opcode, so that other constants, addresses and compiler versions make no
other code.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from detect.compiled import Array, compiled

GRAM_BITS: Final = 12
SELECTOR_BITS: Final = 10
GRAMS: Final = 1 << GRAM_BITS
SELECTORS: Final = 1 << SELECTOR_BITS
SKETCH: Final = 128
MOST_ADDRESSES: Final = 16

# What a sweep counts, by place in ``found``.
SELFDESTRUCT: Final = 0
DELEGATECALL: Final = 1
CALLCODE: Final = 2
CREATE: Final = 3
CREATE2: Final = 4
ORIGIN_COMPARED: Final = 5
ADDRESSES: Final = 6
OPCODES: Final = 7
FOUND: Final = 8

UNKNOWN: Final = -1
STACK: Final = 64
COPIES: Final = 16

_MIX1 = np.uint64(0x9E3779B97F4A7C15)
_MIX2 = np.uint64(0xD6E8FEB86659FD93)
_S32 = np.uint64(32)
_S29 = np.uint64(29)
_S52 = np.uint64(64 - GRAM_BITS)
_S54 = np.uint64(64 - SELECTOR_BITS)
_S45 = np.uint64(45)
_BIN = np.uint64(SKETCH - 1)
_LOW = np.uint64(0x7FFFFFFF)
EMPTY: Final = np.uint32(0xFFFFFFFF)


@compiled
def mix(value: int) -> np.uint64:
    """A 64-bit hash of an integer: multiply, fold, twice."""
    h = np.uint64(value) * _MIX1
    h = (h ^ (h >> _S32)) * _MIX2
    return h ^ (h >> _S29)


@compiled
def gram_bucket(gram: int) -> int:
    """The bucket of an opcode 4-gram (big-endian uint32)."""
    return int(mix(gram) >> _S52)


@compiled
def selector_bucket(selector: int) -> int:
    """The bucket of a selector, after those of the 4-grams."""
    return GRAMS + int(mix(selector) >> _S54)


@compiled
def sweep(code: Array, seen: Array, found: Array, selectors: Array, addresses: Array) -> int:
    """Note what is in a code; the number of selectors found, at most as many as fit.

    ``seen`` uint8 (GRAMS + SELECTORS,), ``found`` int64 (FOUND,), ``selectors`` uint32 (n, 2): the
    selector, and whether calldata is compared with it (a function of this contract's own, not one
    that it calls). ``addresses`` (MOST_ADDRESSES, 20) uint8: constants of 20 bytes but for masks
    and small numbers.
    """
    seen[:] = 0
    found[:] = 0
    window, ops, named, at, size = 0, 0, 0, 0, len(code)
    while at < size:
        op = int(code[at])
        width = 0
        if 0x5F <= op <= 0x7F:
            width = op - 0x5F
            op = 0x60
        window = ((window << 8) | op) & 0xFFFFFFFF
        ops += 1
        if ops >= 4:
            seen[gram_bucket(window)] = 1
        if width == 4 and at + 4 < size:
            named = _note_selector(code, at + 1, seen, selectors, named)
        elif width == 20 and at + 20 < size:
            _note_address(code, at + 1, found, addresses)
        elif op == 0xFF:
            found[SELFDESTRUCT] += 1
        elif op == 0xF4:
            found[DELEGATECALL] += 1
        elif op == 0xF2:
            found[CALLCODE] += 1
        elif op == 0xF0:
            found[CREATE] += 1
        elif op == 0xF5:
            found[CREATE2] += 1
        elif op == 0x14:
            before = ((window >> 8) & 0xFF, (window >> 16) & 0xFF, window >> 24)
            found[ORIGIN_COMPARED] += 0x32 in before
        at += 1 + width
    found[OPCODES] = ops
    return named


@compiled
def _note_selector(code: Array, at: int, seen: Array, selectors: Array, named: int) -> int:
    selector = 0
    for k in range(4):
        selector = (selector << 8) | int(code[at + k])
    if selector == 0xFFFFFFFF:  # a mask
        return named
    seen[selector_bucket(selector)] = 1
    after = int(code[at + 4]) if at + 4 < len(code) else 0
    if after == 0x81 and at + 5 < len(code):  # DUP2: Vyper compares a copy
        after = int(code[at + 5])
    own = after == 0x14 or after == 0x18 or after == 0x03  # EQ, XOR, SUB
    for k in range(named):
        if selectors[k, 0] == selector:
            selectors[k, 1] |= own
            return named
    if named == len(selectors):
        return named
    selectors[named, 0], selectors[named, 1] = selector, own
    return named + 1


@compiled
def _note_address(code: Array, at: int, found: Array, addresses: Array) -> None:
    # 2^160-1 is a mask; what begins with eight zeros is a small number or a precompile.
    ones, zeros = 0, 0
    for k in range(20):
        ones += code[at + k] == 0xFF
        zeros += k < 8 and code[at + k] == 0
    known = found[ADDRESSES]
    if ones == 20 or zeros == 8 or known == len(addresses):
        return
    for n in range(known):
        same = 0
        for k in range(20):
            same += addresses[n, k] == code[at + k]
        if same == 20:
            return
    for k in range(20):
        addresses[known, k] = code[at + k]
    found[ADDRESSES] += 1


@compiled
def features_of(seen: Array, features: Array) -> int:
    """Where ``seen`` is not 0, in order; how many there are. There is room for one more."""
    used = 0
    for k in range(len(seen)):
        features[used] = k
        used += seen[k] > 0
    return used


@compiled
def fill_sketch(features: Array, sketch: Array) -> bool:
    """A one-permutation MinHash of the 4-grams among a code's features; False where it has none.

    ``sketch`` is uint32 (SKETCH,). The share of places in which two sketches agree estimates the
    Jaccard similarity. An empty place borrows from one that its own number and the attempt pick,
    the same in every sketch, which keeps that unbiased.

    References
    ----------
    Shrivastava, 2017. Optimal densification for fast and accurate minwise hashing.
    """
    sketch[:] = EMPTY
    any_gram = False
    for k in features:
        if k < GRAMS:
            any_gram = True
            h = mix(int(k) + 1)
            place = (h >> _S45) & _BIN
            sketch[place] = min(sketch[place], np.uint32(h & _LOW))
    for k in range(SKETCH if any_gram else 0):
        attempt = 0
        while sketch[k] == EMPTY:
            attempt += 1
            # Values are 31 bits wide: bit 31 tells borrowed ones from those that may be borrowed.
            other = int(mix(k * 1_000_003 + attempt) & _BIN)
            if sketch[other] < np.uint32(0x80000000):
                sketch[k] = sketch[other] | np.uint32(0x80000000)
    return any_gram


@compiled
def jaccard(a: Array, b: Array) -> float:
    """The share of 4-gram buckets that two codes have in common, of those that either has.

    ``a`` and ``b`` are the features of each, in order.
    """
    i, j, both, either = 0, 0, 0, 0
    while i < len(a) or j < len(b):
        x = int(a[i]) if i < len(a) else GRAMS
        y = int(b[j]) if j < len(b) else GRAMS
        if x >= GRAMS and y >= GRAMS:
            break
        either += 1
        both += x == y
        i += x <= y
        j += y <= x
    return both / either if either else 0.0


@compiled
def deployed_part(code: Array, pops: Array, pushes: Array, stack: Array, copies: Array) -> int:
    """Where in init code the code that it deploys is: its start, -1 where that cannot be told.

    Its length is left in ``copies[0, 0]``. A straight sweep with a stack of small constants, as
    compilers write it: what the first RETURN gives back of what CODECOPY put in memory. ``pops``
    and ``pushes`` are uint8 (256,), ``stack`` int64 (STACK,), ``copies`` int64 (COPIES, 3).
    """
    top, copied, at, size = 0, 0, 0, len(code)
    while at < size:
        op = int(code[at])
        if 0x5F <= op <= 0x7F:
            width = op - 0x5F
            value = 0 if width <= 7 else UNKNOWN
            for k in range(min(width, 7) if width <= 7 else 0):
                value = (value << 8) | (int(code[at + 1 + k]) if at + 1 + k < size else 0)
            top = _push(stack, top, value)
            at += 1 + width
            continue
        at += 1
        if 0x80 <= op <= 0x8F:
            place = top - (op - 0x7F)
            top = _push(stack, top, stack[place] if place >= 0 else UNKNOWN)
        elif 0x90 <= op <= 0x9F:
            place = top - 1 - (op - 0x8F)
            if place >= 0:
                stack[place], stack[top - 1] = stack[top - 1], stack[place]
        elif op == 0x39 or op == 0xF3:
            first = stack[top - 1] if top >= 1 else UNKNOWN
            second = stack[top - 2] if top >= 2 else UNKNOWN
            third = stack[top - 3] if top >= 3 else UNKNOWN
            if op == 0x39:
                top = max(0, top - 3)
                inside = second >= 0 and third > 0 and second + third <= size
                if inside and copied < COPIES:
                    copies[copied, 0], copies[copied, 1], copies[copied, 2] = first, second, third
                    copied += 1
                continue
            top = max(0, top - 2)
            for n in range(copied - 1, -1, -1):
                if copies[n, 2] == second and copies[n, 0] == first:
                    copies[0, 0] = copies[n, 2]
                    return int(copies[n, 1])
        else:
            top = _other(op, pops, pushes, stack, top, size)
    return -1


@compiled
def _push(stack: Array, top: int, value: int) -> int:
    if top == STACK:  # deeper than any constructor keeps what matters: forget the bottom
        for k in range(STACK - 1):
            stack[k] = stack[k + 1]
        top -= 1
    stack[top] = value
    return top + 1


@compiled
def _other(op: int, pops: Array, pushes: Array, stack: Array, top: int, size: int) -> int:
    a = stack[top - 1] if top >= 1 else UNKNOWN
    b = stack[top - 2] if top >= 2 else UNKNOWN
    value = UNKNOWN
    if op == 0x3D or op == 0x34:  # nothing was returned yet, and nothing was paid
        value = 0
    elif op == 0x38:
        value = size
    elif op == 0x01 and a >= 0 and b >= 0:
        value = a + b
    elif op == 0x03 and a >= 0 and b >= 0:
        value = a - b if a >= b else UNKNOWN
    top = max(0, top - int(pops[op]))
    for _ in range(pushes[op]):
        top = _push(stack, top, value)
    return top
