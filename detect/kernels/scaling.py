"""How numbers become features: finite, log-scaled, clipped, in [0, 1]."""

from __future__ import annotations

import math
from typing import Final

from detect.compiled import compiled

WEI_UNIT: Final = 1e12  # a millionth of an ether: below it amounts are dust
WEI_TOP: Final = 1e27  # 8 times all the ether there is
TOKEN_TOP: Final = 1.2e77  # 2^256
COUNT_TOP: Final = 1e5
DEGREE_TOP: Final = 1e4
SECONDS_TOP: Final = 3.2e8  # ten years
NEUTRAL: Final = 0.5
HOUR: Final = 3600.0
DAY: Final = 86400.0


@compiled
def clean(value: float, top: float) -> float:
    """The value between 0 and ``top``; what is not a number is 0."""
    if not value > 0.0:  # NaN too
        return 0.0
    return min(value, top)


@compiled
def log_scaled(value: float, top: float) -> float:
    """``log(1 + value)`` with 0 at 0 and 1 at ``top`` and above."""
    if not value > 0.0:
        return 0.0
    return min(1.0, math.log1p(value) / math.log1p(top))


@compiled
def share(part: float, whole: float) -> float:
    """``part / whole`` in [0, 1]; 0 of nothing is 0."""
    if not whole > 0.0:
        return 0.0
    return min(1.0, max(0.0, part / whole))


@compiled
def centred(z: float) -> float:
    """A signed number in (0, 1): 0.5 at 0, softly saturating."""
    return 0.5 + 0.5 * z / (1.0 + abs(z))


@compiled
def deviation(value: float, mean: float, variance: float, count: int) -> float:
    """How far a value is from a running distribution, in (0, 1); neutral below two observations."""
    if count < 2:
        return NEUTRAL
    return centred((value - mean) / math.sqrt(variance + 0.01))


@compiled
def decayed(level: float, elapsed: float, half_life: float) -> float:
    """What is left of a decayed count after ``elapsed`` seconds."""
    return float(level * 2.0 ** (-elapsed / half_life))


@compiled
def is_round(value: float) -> bool:
    """Whether an amount has at most two significant decimal digits."""
    if not value > 0.0:
        return False
    digits = value / 10.0 ** math.floor(math.log10(value)) * 10.0
    return abs(digits - round(digits)) < 1e-9 * digits


@compiled
def flag(holds: bool) -> float:
    """1.0 or 0.0."""
    return 1.0 if holds else 0.0


@compiled
def probability(logit: float) -> float:
    """The logistic function."""
    if logit >= 0.0:
        return 1.0 / (1.0 + math.exp(-logit))
    odds = math.exp(logit)
    return odds / (1.0 + odds)
