"""Whether one of two models is better than the other beyond chance, on the same rows.

Two tests. On the log loss, that of Diebold and Mariano: the mean difference against its standard
error, the latter from means of 256 consecutive rows each, because rows of one wallet come close
together and are no independent witnesses. At the alert level, McNemar's: of the rows that only one
of the two had right, how many each had. The first decides; the second says what alerts would feel.

References
----------
Diebold and Mariano, 1995. Comparing predictive accuracy.
McNemar, 1947. Note on the sampling error of the difference between correlated proportions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

LEVEL: Final = 0.01
"""What chance alone may bring about that is still called a difference."""
FEWEST: Final = 30
"""Observations below which the normal approximation is not to be trusted."""
EXACT_UP_TO: Final = 1000

BETTER: Final = "better"
WORSE: Final = "worse"
CHANCE: Final = "no difference beyond chance"
EARLY: Final = "too early to tell"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A first model against a second.

    ``difference`` is the first's mean log loss less the second's, ``standard_error`` its own;
    ``p_value`` is two-sided, of Diebold and Mariano's test on ``observations`` means. ``verdict``
    is what follows for the second model: better, worse, or neither. ``first_alone`` and
    ``second_alone`` are the rows that only one had right at its alert level, ``alerts_p_value``
    that of McNemar's test on them.
    """

    observations: int
    difference: float | None
    standard_error: float | None
    p_value: float | None
    first_alone: int
    second_alone: int
    alerts_p_value: float | None
    verdict: str

    def to_dict(self) -> dict[str, object]:
        """The documented JSON object."""
        return {name: getattr(self, name) for name in self.__slots__}


def compared(
    observations: int, total: float, squares: float, first_alone: int, second_alone: int
) -> Comparison:
    """The comparison that follows from sums over the observations, and counts of rows."""
    alerts = mcnemar(first_alone, second_alone)
    if observations < 2:
        return Comparison(observations, None, None, None, first_alone, second_alone, alerts, EARLY)
    mean = total / observations
    variance = max(0.0, (squares - total * mean) / (observations - 1))
    error = math.sqrt(variance / observations)
    p_value = two_sided(mean / error) if error > 0.0 else float(mean == 0.0)
    verdict = CHANCE
    if observations < FEWEST:
        verdict = EARLY
    elif p_value < LEVEL:
        verdict = BETTER if mean > 0.0 else WORSE
    return Comparison(
        observations, mean, error, p_value, first_alone, second_alone, alerts, verdict
    )


def two_sided(z: float) -> float:
    """How often a standard normal is at least that far from 0.

    >>> round(two_sided(-1.96), 3)
    0.05
    """
    return math.erfc(abs(z) / math.sqrt(2.0))


def mcnemar(one: int, other: int) -> float | None:
    """The p-value that a fair coin falls so; None for no throws.

    Exact up to a thousand, above that the normal approximation with continuity correction.

    >>> mcnemar(1, 9)
    0.021484375
    """
    throws, less = one + other, min(one, other)
    if not throws:
        return None
    if throws > EXACT_UP_TO:
        return two_sided(max(0.0, abs(one - other) - 1) / math.sqrt(throws))
    falls = sum(math.comb(throws, k) for k in range(less + 1))
    return min(1.0, math.ldexp(falls, 1 - throws))
