"""Quantiles of positive numbers in bounded memory, mergeable and forgetful.

DDSketch (Masson, Rim and Lee, 2019): a count for each bucket of a geometric scale, so that any
quantile is off by at most ``ACCURACY`` of itself, whatever the distribution.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Final

import msgspec

ACCURACY: Final = 0.02
_GAMMA: Final = (1 + ACCURACY) / (1 - ACCURACY)
_LOG_GAMMA: Final = math.log(_GAMMA)


class Sketch(msgspec.Struct, frozen=True, array_like=True):
    """Counts by bucket, in order. Never changed in place."""

    buckets: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        """How many numbers it stands for."""
        return sum(self.counts)

    def add(self, values: Iterable[float], most: int) -> Sketch:
        """The sketch with more numbers, of at least 1 each.

        One that would stand for more than ``most`` has all its counts halved first: what is old
        weighs ever less.
        """
        counts = dict(zip(self.buckets, self.counts, strict=True))
        new = [math.ceil(math.log(max(1.0, value)) / _LOG_GAMMA) for value in values]
        if self.count + len(new) > most:
            counts = {bucket: count // 2 for bucket, count in counts.items() if count > 1}
        for bucket in new:
            counts[bucket] = counts.get(bucket, 0) + 1
        order = sorted(counts)
        return Sketch(tuple(order), tuple(counts[bucket] for bucket in order))

    def quantile(self, share: float) -> float:
        """The number below which that share lies, within ``ACCURACY``; NaN of an empty sketch."""
        rank = share * (self.count - 1)
        for bucket, below in zip(self.buckets, itertools.accumulate(self.counts), strict=True):
            if below > rank:
                return 2.0 * float(_GAMMA**bucket) / (_GAMMA + 1)
        return math.nan
