"""Logistic regression on bins and on pairs of bins, by AdaGrad, with its calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from tests.detect.plain.numbers import probability

Cell = tuple[object, ...]
BIAS: Cell = ()
SLOPE: Cell = ("slope",)
OFFSET: Cell = ("offset",)


class BinsAndPairs:
    """A dictionary of weights, one row of coarse bins at a time."""

    def __init__(self, rate: float, prior: float) -> None:
        self.rate, self.prior = rate, prior
        self.weights: dict[Cell, float] = {SLOPE: 1.0}
        self.squares: dict[Cell, float] = {}
        self.bad = 0

    def cells(self, bins: Sequence[int]) -> Iterator[Cell]:
        """The bias, then each feature's bin, and its pairs with those before it."""
        yield BIAS
        ones = list(enumerate(bins))
        for j, one in enumerate(ones):
            yield one
            for other in ones[:j]:
                yield one, other

    def logit(self, bins: Sequence[int]) -> float:
        """Before calibration."""
        total = 0.0  # not sum(), which newer Pythons round otherwise
        for cell in self.cells(bins):
            total += self.weights.get(cell, 0.0)
        return total

    def calibrated(self, logit: float) -> float:
        """The log odds."""
        return self.weights[SLOPE] * logit + self.weights.get(OFFSET, 0.0)

    def learn(self, bins: Sequence[int], scored: float, label: bool) -> None:
        """One step of the calibration, from what the row was scored, then one of the weights."""
        off = probability(self.calibrated(scored)) - label
        self._step(SLOPE, off, scored)
        self._step(OFFSET, off)
        off = probability(self.logit(bins)) - label
        for cell in self.cells(bins):
            self._step(cell, off)
        self.bad += label

    def shares(self, bins: Sequence[int], weight: float, shares: list[float]) -> None:
        """Add each feature's share of ``weight`` times the logit; a pair's is halved, and the last
        is nobody's."""
        ones = list(enumerate(bins))
        shares[-1] += weight * self.weights.get(BIAS, 0.0)
        for j, one in enumerate(ones):
            shares[j] += weight * self.weights.get(one, 0.0)
            for k, other in enumerate(ones[:j]):
                half = 0.5 * weight * self.weights.get((one, other), 0.0)
                shares[j] += half
                shares[k] += half

    def _step(self, cell: Cell, off: float, x: float = 1.0) -> None:
        gradient = off * x
        squares = self.squares.get(cell, self.prior) + gradient * gradient
        self.squares[cell] = squares
        move = self.rate * off * x / math.sqrt(squares)
        self.weights[cell] = self.weights.get(cell, 0.0) - move
