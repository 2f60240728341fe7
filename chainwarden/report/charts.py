"""Charts as SVG: alerts over block time, stacked by rule, and how scores are spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from chainwarden.report.axes import count_marks, power_marks, time_marks
from chainwarden.report.facts import SCORE_BINS, TIMELINE_BINS, ScoreHistogram, Timeline
from chainwarden.report.svg import bar, label, line, picture
from chainwarden.report.words import moment, plain

COLOURS: Final = 8
"""Rules with a colour of their own; the rest share the last one."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The rectangle that data is drawn into, with room for the axes around it."""

    width: float
    height: float
    left: float = 44.0
    right: float = 8.0
    top: float = 10.0
    bottom: float = 26.0

    @property
    def inner_width(self) -> float:
        """Of the data alone."""
        return self.width - self.left - self.right

    @property
    def floor(self) -> float:
        """Where 0 is."""
        return self.height - self.bottom

    def x(self, part: float) -> float:
        """The place of a part (0 to 1) of the width."""
        return self.left + part * self.inner_width

    def y(self, part: float) -> float:
        """The place of a part (0 to 1) of the height."""
        return self.floor - part * (self.floor - self.top)


def legend(timeline: Timeline) -> list[tuple[int, str, int]]:
    """Colour, name and alerts of what is stacked; rules without their own colour are one."""
    named = [(rule, sum(bins)) for rule, bins in timeline.series]
    if len(named) > COLOURS:
        rest = named[COLOURS - 1 :]
        named = [*named[: COLOURS - 1], (f"{len(rest)} other rules", sum(n for _, n in rest))]
    return [(colour, plain(name), count) for colour, (name, count) in enumerate(named)]


def timeline_chart(timeline: Timeline, key: str, width: float, bins: int, marks: int) -> Markup:
    """Alerts over block time; ``bins`` divides the timeline's own, ``marks`` is for the times."""
    frame = Frame(width, 220.0)
    wide = TIMELINE_BINS // bins
    names = legend(timeline)
    stacked = [[0] * bins for _ in names]
    for row, (_, fine) in enumerate(timeline.series):
        for place, count in enumerate(fine):
            stacked[min(row, len(names) - 1)][place // wide] += count
    highest = max(sum(column) for column in zip(*stacked, strict=True))
    ticks = count_marks(highest)
    parts = [*count_axis(frame, [(n / ticks[-1], f"{n:,}") for n in ticks])]
    span = max(1, timeline.last - timeline.first)
    for place in range(bins):
        below = 0
        since = timeline.first + span * place // bins
        for (colour, name, _), counts in zip(names, stacked, strict=True):
            if not counts[place]:
                continue
            above = below + counts[place]
            tip = f"{name}: {counts[place]:,} alerts from {moment(since)} UTC"
            parts.append(
                bar(
                    frame.x(place / bins) + 0.5,
                    frame.y(above / ticks[-1]),
                    frame.inner_width / bins - 1,
                    frame.y(below / ticks[-1]),
                    f"s{colour}",
                    tip,
                )
            )
            below = above
    for time, text in time_marks(timeline.first, timeline.last, marks):
        parts += mark(frame, (time - timeline.first) / span, text)
    total = sum(count for _, _, count in names)
    words = (
        f"{total:,} alerts from {moment(timeline.first)} to {moment(timeline.last)} UTC: "
        + ", ".join(f"{name} {count:,}" for _, name, count in names)
        + f". The busiest of {bins} equal parts has {highest:,}."
    )
    return picture(key, "Alerts over block time", words, (frame.width, frame.height), parts)


def score_chart(scores: ScoreHistogram, key: str, title: str, width: float) -> Markup:
    """How many scores are in each twentieth of 0 to 1, on a logarithmic axis."""
    frame = Frame(width, 180.0, left=58.0)
    ticks = power_marks(max(scores.counts))
    top = math.log10(ticks[-1]) + 1.0  # room below for a bar of height 1
    axis = [((math.log10(n) + 1.0) / top, f"{n:,}") for n in ticks if len(ticks) < 7 or _even(n)]
    parts = [*count_axis(frame, [(0.0, "0"), *axis])]
    for place, count in enumerate(scores.counts):
        if count:
            tip = f"{place / SCORE_BINS:.2f} to {(place + 1) / SCORE_BINS:.2f}: {count:,}"
            height = (math.log10(count) + 1.0) / top
            x, wide = frame.x(place / SCORE_BINS) + 0.5, frame.inner_width / SCORE_BINS - 1
            parts.append(bar(x, frame.y(height), wide, frame.floor, "s0", tip))
    for fifth in range(6):
        parts += mark(frame, fifth / 5, f"{fifth / 5:.1f}")
    filled = [place for place, count in enumerate(scores.counts) if count]
    words = f"{scores.scored:,} scores, {scores.missing:,} without one."
    if filled:
        low, high = filled[0] / SCORE_BINS, (filled[-1] + 1) / SCORE_BINS
        words += f" They lie between {low:.2f} and {high:.2f}."
    return picture(key, title, words, (frame.width, frame.height), parts)


def _even(number: int) -> bool:
    return round(math.log10(number)) % 2 == 0


def count_axis(frame: Frame, marks: list[tuple[float, str]]) -> list[Markup]:
    """The marks on the left and the lines through them, by their part of the height."""
    parts = []
    for part, text in marks:
        y = frame.y(part)
        parts.append(line(frame.left, y, frame.width - frame.right, y, "grid"))
        parts.append(label(frame.left - 6, y + 4, text, "end"))
    return parts


def mark(frame: Frame, part: float, text: str) -> list[Markup]:
    """A mark on the lower axis; words near an end stay inside the drawing."""
    x = frame.x(part)
    half = len(text) * 3.4
    anchor = "end" if x + half > frame.width else "start" if x - half < 0 else "middle"
    return [
        line(x, frame.floor, x, frame.floor + 4, "axis"),
        label(x, frame.floor + 18, text, anchor),
    ]
