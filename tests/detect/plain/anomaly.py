"""An anomaly model: River's trees and River's drift, scored at the head and learnt at depth."""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import Any, Final

from river import anomaly, drift

from detect.detector_config import DetectorConfig

BINS: Final = 4096
FINEST: Final = 1e-6
SPAN: Final = -math.log(FINEST)
GENERATION: Final = 65_536
CHUNK: Final = 32

_adwin: Any = drift.ADWIN  # untyped in River


class Quantile:
    """A high quantile of the scores of this generation and the one before, by bins of a histogram
    that is finer towards 1."""

    def __init__(self, level: float) -> None:
        self.rest = 1.0 - level
        self.counts: Counter[int] = Counter()
        self.before: Counter[int] = Counter()
        self.total = self.recent = 0
        self.bin = self.above = 0  # the lowest with at most a share ``rest`` of scores above

    @property
    def value(self) -> float | None:
        """None while there are too few to tell."""
        if self.total * self.rest < 1.0:
            return None
        return 1.0 + FINEST - math.exp(-SPAN * (self.bin + 1) / BINS)

    def update(self, score: float) -> None:
        """One more score."""
        place = int(-math.log(1.0 - score + FINEST) / SPAN * BINS)
        place = min(BINS - 1, max(0, place))
        self.counts[place] += 1
        self.recent += 1
        self.total += 1
        self.above += place > self.bin
        if self.recent == GENERATION:
            self.before, self.counts = self.counts, Counter()
            self.recent, self.total = 0, GENERATION
            self.above = sum(n for k, n in self.before.items() if k > self.bin)
        allowed = int(self.rest * self.total)
        while self.above > allowed:
            self.bin += 1
            self.above -= self._in(self.bin)
        while self.bin > 0 and self.above + self._in(self.bin) <= allowed:
            self.above += self._in(self.bin)
            self.bin -= 1

    def _in(self, place: int) -> int:
        return self.counts[place] + self.before[place]


class AnomalyModel:
    """River's Half-Space Trees over blocks of observations, which are learnt so many blocks late.

    Scores are None until the first window is full.
    """

    def __init__(self, config: DetectorConfig, level: float) -> None:
        self.depth, self.window = config.learn_depth, config.window_size
        self.trees: Any = anomaly.HalfSpaceTrees(
            n_trees=config.n_trees,
            height=config.height,
            window_size=config.window_size,
            seed=config.seed,
        )
        self.learnt = 0
        self.blocks: deque[list[dict[str, float]]] = deque([[]])  # the last is under way
        self.quantile = Quantile(level)
        self.drift = _adwin(delta=0.002)
        self.drifts = 0
        self.chunk: list[float] = []

    def score_one(self, x: dict[str, float]) -> tuple[float | None, bool]:
        """The score, and whether it stands out from those before it."""
        self.blocks[-1].append(x)
        if self.learnt < self.window:
            return None, False
        score, usual = float(self.trees.score_one(x)), self.quantile.value
        self.quantile.update(score)
        self._watch(score)
        return score, usual is not None and score > usual

    def end_block(self) -> None:
        """Learn what is deep enough."""
        if len(self.blocks) > self.depth:
            for x in self.blocks.popleft():
                self.trees.learn_one(x)
                self.learnt += 1
        self.blocks.append([])

    def _watch(self, score: float) -> None:
        self.chunk.append(score)
        if len(self.chunk) == CHUNK:
            total = 0.0  # not sum(), which newer Pythons round otherwise
            for one in self.chunk:
                total += one
            self.drift.update(total / CHUNK)
            self.drifts += self.drift.drift_detected
            self.chunk.clear()
