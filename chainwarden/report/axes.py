"""Where the marks on an axis go: round numbers, round times, powers of ten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_STEPS: Final = (
    60, 300, 600, 900, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600,
)  # fmt: skip
_MONTHS: Final = (1, 3, 6, 12, 24, 60, 120)


def count_marks(highest: int, at_most: int = 5) -> list[int]:
    """Round counts from 0 to the first that is not below ``highest``.

    >>> count_marks(7), count_marks(42), count_marks(1)
    ([0, 2, 4, 6, 8], [0, 10, 20, 30, 40, 50], [0, 1])
    """
    step, scale = 1, 1
    while True:
        for factor in (1, 2, 5):
            step = factor * scale
            steps = max(1, -(-highest // step))
            if steps <= at_most:
                return [step * place for place in range(steps + 1)]
        scale *= 10


def power_marks(highest: int) -> list[int]:
    """Powers of ten from 1 to the first that is not below ``highest``.

    >>> power_marks(70_000), power_marks(0)
    ([1, 10, 100, 1000, 10000, 100000], [1, 10])
    """
    marks = [1, 10]
    while marks[-1] < highest:
        marks.append(marks[-1] * 10)
    return marks


def time_marks(first: int, last: int, at_most: int) -> list[tuple[int, str]]:
    """Round times between two times, at most so many, with the words for each.

    Days and months begin where they begin in UTC.

    >>> time_marks(1_748_865_611, 1_748_873_099, 4)
    [(1748867400, '12:30'), (1748869200, '13:00'), (1748871000, '13:30'), (1748872800, '14:00')]
    """
    for step in _STEPS:
        start = -(-first // step) * step
        times = range(start, last + 1, step)
        if len(times) <= at_most:
            form = "%H:%M" if step < 86_400 and last - first < 86_400 else "%d %b"
            form = "%d %b %H:%M" if step < 86_400 <= last - first else form
            return [(time, _format(time, form)) for time in times]
    for months in _MONTHS:
        times_ = list(_month_starts(first, last, months))
        if len(times_) <= at_most:
            return [(time, _format(time, "%Y" if months >= 12 else "%b %Y")) for time in times_]
    return []


def _month_starts(first: int, last: int, step: int) -> Iterator[int]:
    begin, end = (datetime.fromtimestamp(time, UTC) for time in (first, last))
    for index in range(begin.year * 12, end.year * 12 + 12):
        if index % step == 0:
            time = int(datetime(index // 12, index % 12 + 1, 1, tzinfo=UTC).timestamp())
            if first <= time <= last:
                yield time


def _format(time: int, form: str) -> str:
    return datetime.fromtimestamp(time, UTC).strftime(form)
