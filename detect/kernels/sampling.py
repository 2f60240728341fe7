"""Of which wallets rows are held, where more come than could wait for their labels.

A sample of wallets, by their keyed hashes: one in a power of two, all rows of a wallet or none, so
that what is learnt is as bad wallets and good ones are. How many are left out depends on how many
rows came lately; the samples of two rates are one within the other.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detect.compiled import Array, compiled

PACE_SECONDS: Final = 86_400.0  # how fast rows come is a mean over about so long,
LEAST_SECONDS: Final = 600.0  # and taken for slower at first than it may be
SPARE: Final = 0.25  # share of the room that is left for faster days
ROWS: Final = 0  # pace: rows that came and
SECONDS: Final = 1  # seconds that passed, both faded alike,
TIME: Final = 2  # and the time of the last block, -1 before the first
PACE: Final = 3
_MOST: Final = 1 << 40
_MIX = np.uint64(0x9E3779B97F4A7C15)
_HIGH = np.uint64(24)


@compiled
def one_in(pace: Array, delay: float, capacity: int) -> int:
    """Of how many wallets one is held, for its rows to wait ``delay`` seconds: a power of two."""
    waiting = pace[ROWS] / max(LEAST_SECONDS, pace[SECONDS]) * delay
    held = 1
    while waiting > (1.0 - SPARE) * capacity * held and held < _MOST:
        held *= 2
    return held


@compiled
def sample_rows(
    starts: Array, times: Array, hashed: Array, young: Array, delay: float, capacity: int,
    paces: Array, held: Array,
) -> None:  # fmt: skip
    """Which rows of whole blocks are held, and how fast they came.

    Blocks are cut by ``starts`` (blocks + 1,) and have ``times``; ``young`` rows are those that
    could be learnt. ``paces`` (blocks + 1, PACE) has the pace before the first block; the pace
    after each, and ``held``, are filled in. A block's rows do not change what is held of it.
    """
    for b in range(len(times)):
        others = np.uint64(one_in(paces[b], delay, capacity) - 1)
        came = 0
        for r in range(starts[b], starts[b + 1]):
            held[r] = young[r] and (hashed[r] * _MIX >> _HIGH) & others == 0
            came += young[r]
        if paces[b, TIME] >= 0.0:
            passed = max(0.0, times[b] - paces[b, TIME])
            faded = math.exp(-passed / PACE_SECONDS)
            paces[b + 1, ROWS] = paces[b, ROWS] * faded + came
            paces[b + 1, SECONDS] = paces[b, SECONDS] * faded + passed
        else:  # how long the first block's rows took to come is not known
            paces[b + 1, ROWS] = paces[b + 1, SECONDS] = 0.0
        paces[b + 1, TIME] = times[b]
