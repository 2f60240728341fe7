"""Whether a probability means what it says: of those told 10 %, is one in ten bad?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chainwarden.errors import DetectError
from detect.compiled import Array


class Group(NamedTuple):
    """Scores next to one another in rank: their number, their mean, and the share that was bad."""

    size: int
    said: float
    was: float


def calibration(scores: Array, positive: Array, groups: int = 10) -> tuple[Group, ...]:
    """The scores by rank in ``groups`` of equal size, to one; the lowest first.

    Equal scores may be in two groups: ties are as good as in any order. Fewer groups where there
    are fewer scores, none for none.

    >>> calibration(np.array([0.1, 0.9, 0.2, 0.8]), np.array([False, True, False, False]), 2)
    (Group(size=2, said=0.15, was=0.0), Group(size=2, said=0.85, was=0.5))
    """
    if len(scores) != len(positive) or not np.isfinite(scores).all():
        raise DetectError("every score is a number, and has its outcome")
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, max(1, min(groups, len(order))))
    return tuple(
        Group(len(part), round(float(scores[part].mean()), 12), float(positive[part].mean()))
        for part in parts
        if len(part)
    )


def calibration_error(groups: tuple[Group, ...]) -> float | None:
    """The mean distance between what was said and what was, by size of the groups; None for none.

    Expected calibration error (Naeini, Cooper and Hauskrecht, 2015).
    """
    total = sum(group.size for group in groups)
    if not total:
        return None
    return sum(group.size * abs(group.said - group.was) for group in groups) / total
