"""A score as the sum of weights of evidence, and the exact share of each in it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chainwarden.schema import Reason


@dataclass(frozen=True, slots=True)
class Weight:
    """A piece of evidence: what it is, its value, what it adds to the log odds."""

    feature: str
    value: float
    log_odds: float
    threshold: float | None = None


def probability(log_odds: float) -> float:
    """The logistic function, without overflow.

    >>> probability(0.0), probability(-1e9)
    (0.5, 0.0)
    """
    if log_odds >= 0.0:
        return 1.0 / (1.0 + math.exp(-log_odds))
    odds = math.exp(max(log_odds, -700.0)) if log_odds > -700.0 else 0.0
    return odds / (1.0 + odds)


def weighed(base: float, weights: Sequence[Weight]) -> tuple[float, tuple[Reason, ...]]:
    """The score of evidence upon a base rate, both in log odds, and the reasons, which sum to it.

    The shares are those of Aumann and Shapley: what each weight adds along the straight way from
    the base rate to the score. They are in proportion to the weights, and exact for the logistic
    function, where differences of probabilities one by one would depend on the order.

    >>> score, reasons = weighed(-2.0, [Weight("a", 1.0, 3.0), Weight("b", 1.0, -1.0)])
    >>> score, [round(r.contribution, 3) for r in reasons]
    (0.5, [0.119, 0.571, -0.19])
    """
    total = sum(weight.log_odds for weight in weights)
    start, score = probability(base), probability(base + total)
    # Where the weights cancel out, the slope in between stands for the ratio.
    rate = (score - start) / total if abs(total) > 1e-6 else start * (1.0 - start)
    reasons = [Reason("base_rate", start, start)]
    reasons += [
        Reason(w.feature, w.value, rate * w.log_odds, w.threshold) for w in weights if w.log_odds
    ]
    return sum(reason.contribution for reason in reasons), tuple(reasons)
