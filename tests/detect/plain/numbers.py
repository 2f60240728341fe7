"""Numbers as the detector makes them: single precision where rows keep it, and keyed hashes."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import Final

from tests.detect.oracle import COUNTS, centred

SLOWEST: Final = 0.05  # what a new value weighs at least in a running mean
WORD: Final = 2**64 - 1

# C's own: numba takes it for numbers in single precision.
_log1pf = ctypes.CDLL(None).log1pf
_log1pf.argtypes, _log1pf.restype = [ctypes.c_float], ctypes.c_float


def single(x: float) -> float:
    """Rounded to single precision."""
    return ctypes.c_float(x).value


def log_scaled_single(value: float, top: float) -> float:
    """``log_scaled`` with the logarithm taken in single precision, as of numbers kept in it."""
    if value <= 0:
        return 0.0
    return min(1.0, float(_log1pf(value)) / math.log1p(top))


def burst(level: float) -> float:
    """A decayed count of events as a feature."""
    return log_scaled_single(level, COUNTS)


def weight(count: int) -> float:
    """What the n-th value weighs in a running mean."""
    return max(1.0 / count, SLOWEST)


def running(value: float, mean: float, variance: float, count: int) -> tuple[float, float]:
    """Mean and variance after the n-th value."""
    w, off = weight(count), value - mean
    return mean + w * off, (1.0 - w) * (variance + w * off * off)


def nudged(mean: float, value: float, share: float) -> float:
    """A mean in single precision that moves by a share of the way to a value."""
    return single(mean + single(share * (value - mean)))


def deviation(value: float, mean: float, variance: float, count: int) -> float:
    """How far a value is from a running distribution; neutral below two values."""
    return 0.5 if count < 2 else centred((value - mean) / math.sqrt(variance + 0.01))


def decayed(level: float, elapsed: float, half_life: float) -> float:
    """What is left of a count after so many seconds."""
    return level * math.exp2(-elapsed / half_life)


def leading(value: float) -> float:
    """A positive number without its power of ten, which is made by squaring as numba makes it."""
    exponent = math.floor(math.log10(value))
    power, square, left = 1.0, 10.0, abs(exponent)
    while left:
        power *= square if left & 1 else 1.0
        square *= square
        left >>= 1
    return value / (power if exponent >= 0 else 1.0 / power)


def is_round(value: float) -> bool:
    """At most two significant digits."""
    if value <= 0:
        return False
    digits = leading(value) * 10.0
    return abs(digits - round(digits)) < 1e-9 * digits


def probability(logit: float) -> float:
    """The logistic function."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1.0 + odds)


def _rotated(x: int, bits: int) -> int:
    return ((x << bits) | (x >> (64 - bits))) & WORD


def _sip_round(v: list[int]) -> None:
    v[0] = (v[0] + v[1]) & WORD
    v[1] = _rotated(v[1], 13) ^ v[0]
    v[0] = _rotated(v[0], 32)
    v[2] = (v[2] + v[3]) & WORD
    v[3] = _rotated(v[3], 16) ^ v[2]
    v[0] = (v[0] + v[3]) & WORD
    v[3] = _rotated(v[3], 21) ^ v[0]
    v[2] = (v[2] + v[1]) & WORD
    v[1] = _rotated(v[1], 17) ^ v[2]
    v[2] = _rotated(v[2], 32)


@functools.lru_cache(maxsize=1 << 18)
def siphash(secret: bytes, message: bytes, compress: int = 1, finish: int = 3) -> int:
    """SipHash (Aumasson and Bernstein, 2012) of less than 256 bytes, the 1-3 one unless told."""
    k0, k1 = int.from_bytes(secret[:8], "little"), int.from_bytes(secret[8:], "little")
    v = [
        k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573,
    ]  # fmt: skip
    tail = len(message) % 8
    padded = message + bytes(7 - tail) + bytes([len(message)])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v[3] ^= word
        for _ in range(compress):
            _sip_round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(finish):
        _sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def mixed(low: int, high: int) -> int:
    """One key of two hashes (MurmurHash3's finaliser); never 0."""
    h = (low * 0xFF51AFD7ED558CCD + high) & WORD
    h ^= h >> 33
    h = (h * 0xFF51AFD7ED558CCD) & WORD
    h ^= h >> 33
    h = (h * 0xC4CEB9FE1A85EC53) & WORD
    return (h ^ (h >> 33)) | 1


def chance(number: int, seed: int) -> float:
    """A number in [0, 1) that depends on nothing else (SplitMix64's finaliser)."""
    z = (number * 0x9E3779B97F4A7C15 + seed * 0xBF58476D1CE4E5B9) & WORD
    z ^= z >> 29
    z = (z * 0xBF58476D1CE4E5B9) & WORD
    z ^= z >> 32
    z = (z * 0x9E3779B97F4A7C15) & WORD
    return (z >> 40) / 16777216.0
