"""Score at the head, learn at depth, block by block; and the running quantile of the scores."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.trees import WINDOWS, Forest, learn_leaves, score_leaves

BINS: Final = 4096
FINEST: Final = 1e-6  # scores this close to 1 share a bin
RECENT: Final = 0  # Quantile.state: scores in the generation under way
TOTAL: Final = 1  # scores in both generations
BIN: Final = 2  # the quantile's bin
ABOVE: Final = 3  # scores in bins above it
_SPAN: Final = -math.log(FINEST)


class Quantile(NamedTuple):
    """A running high quantile: two generations of a histogram, finer towards 1.

    A generation lasts ``generation`` scores; the quantile is of the one under way and the one
    before, so it forgets. Its bin is the lowest with at most a share ``rest`` of scores above.
    """

    counts: Array  # int64 (2, BINS): under way, before
    state: Array  # int64 (4,)


@compiled
def bin_of(score: float) -> int:
    """The bin of a score in [0, 1]."""
    return min(BINS - 1, max(0, int(-math.log(1.0 - score + FINEST) / _SPAN * BINS)))


@compiled
def upper_edge(place: int) -> float:
    """The score at which a bin ends."""
    return 1.0 + FINEST - math.exp(-_SPAN * (place + 1) / BINS)


@compiled
def settle_bin(quantile: Quantile, rest: float) -> None:
    """Move the quantile's bin to where it belongs."""
    counts, state = quantile.counts, quantile.state
    allowed = int(rest * state[TOTAL])
    while state[ABOVE] > allowed:
        state[BIN] += 1
        state[ABOVE] -= counts[0, state[BIN]] + counts[1, state[BIN]]
    while state[BIN] > 0:
        here = counts[0, state[BIN]] + counts[1, state[BIN]]
        if state[ABOVE] + here > allowed:
            break
        state[BIN] -= 1
        state[ABOVE] += here


@compiled
def tally(quantile: Quantile, score: float, rest: float, generation: int) -> None:
    """Count a score; NaN is none."""
    if math.isnan(score):
        return
    counts, state = quantile.counts, quantile.state
    place = bin_of(score)
    counts[0, place] += 1
    state[RECENT] += 1
    state[TOTAL] += 1
    state[ABOVE] += place > state[BIN]
    if state[RECENT] == generation:
        state[ABOVE] = 0
        for k in range(BINS):
            counts[1, k] = counts[0, k]
            counts[0, k] = 0
            if k > state[BIN]:
                state[ABOVE] += counts[1, k]
        state[RECENT] = 0
        state[TOTAL] = generation
    settle_bin(quantile, rest)


@compiled
def tally_many(
    quantile: Quantile, scores: Array, start: int, stop: int, rest: float, generation: int
) -> None:
    """Count the scores ``start`` to ``stop``."""
    for i in range(start, stop):
        tally(quantile, scores[i], rest, generation)


@compiled
def advance(
    forest: Forest,
    quantile: Quantile,
    sizes: tuple[int, int, int, float, float],
    depth: int,
    leaves: Array,
    starts: Array,
    known: int,
    scores: Array,
    thresholds: Array,
    version: Array,
    profiles: Array,
    references: Array,
) -> None:
    """For each block after the first ``known``: score it, then learn the one ``depth`` before it.

    ``leaves`` and ``scores`` hold the rows of all blocks, cut by ``starts``. ``thresholds`` is the
    quantile before each row, NaN while there are too few scores to tell. ``version`` says which of
    ``profiles`` and ``references`` a row was scored with: they are kept to explain it. ``sizes``
    are height, window, generation, the share above the quantile, and the largest sum of a row.
    """
    height, window, generation, rest, top = sizes
    kept = 0
    keep(forest, profiles, references, 0)
    for block in range(known, len(starts) - 1):
        start, stop = starts[block], starts[block + 1]
        score_leaves(forest, top, leaves, start, stop, scores)
        for i in range(start, stop):
            version[i] = kept
            thresholds[i] = np.nan
            if quantile.state[TOTAL] * rest >= 1.0:
                thresholds[i] = upper_edge(quantile.state[BIN])
            tally(quantile, scores[i], rest, generation)
        if block >= depth:
            windows = forest.state[WINDOWS]
            begin, end = starts[block - depth], starts[block - depth + 1]
            learn_leaves(forest, height, window, leaves, begin, end)
            if forest.state[WINDOWS] != windows:
                kept += 1
                keep(forest, profiles, references, kept)


@compiled
def keep(forest: Forest, profiles: Array, references: Array, at: int) -> None:
    """Keep what rows are scored with from here on."""
    for t in range(len(forest.profile)):
        for leaf in range(forest.profile.shape[1]):
            profiles[at, t, leaf] = forest.profile[t, leaf]
            references[at, t, leaf] = forest.reference[t, leaf]


@compiled
def chunk_means(values: Array, means: Array) -> None:
    """The means of consecutive chunks of ``values``, added in order."""
    size = len(values) // max(1, len(means))
    for k in range(len(means)):
        total = 0.0
        for i in range(k * size, (k + 1) * size):
            total += values[i]
        means[k] = total / size
