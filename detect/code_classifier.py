"""The contract model: River's logistic regression as a compiled estimator, calibrated."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from river import base

from chainwarden.errors import DetectError
from detect.compiled import Array
from detect.kernels.code_model import (
    OFFSET_SQUARES,
    SLOPE,
    SLOPE_SQUARES,
    STATE,
    CodeSettings,
    CodeWeights,
    calibrate,
    calibrated,
    learn_row,
    raw_logit,
    shares,
)
from detect.kernels.scaling import probability


class CodeClassifier(base.Classifier):
    """Probability of *bad* from which of many sparse features a row has.

    River's ``LogisticRegression`` with ``AdaGrad`` on presences scaled to unit length, with the
    same numbers to rounding, some hundred times as fast; then Platt scaling by two more weights
    that learn from the logits as they were scored. Only presence counts: a feature is there if its
    value is above 0.

    Parameters
    ----------
    n_features
        Number of columns. Features named by integers below it are columns; others are hashed.
    rate, epsilon
        Of AdaGrad.
    intercept_rate
        Of the intercept, which AdaGrad does not learn.
    calibration_rate
        Of the calibration, learnt by AdaGrad as well; 0 leaves the log odds as they are.

    References
    ----------
    [^1]: Duchi, J., Hazan, E. and Singer, Y., 2011. Adaptive subgradient methods for online
        learning and stochastic optimization.
    [^2]: Platt, J., 1999. Probabilistic outputs for support vector machines.
    """

    def __init__(
        self,
        n_features: int = 4096,
        rate: float = 0.5,
        epsilon: float = 0.01,
        intercept_rate: float = 0.01,
        calibration_rate: float = 0.05,
    ) -> None:
        if not 1 <= n_features <= 65_536 or min(rate, epsilon) <= 0.0:
            raise DetectError("1 to 65,536 features; the rate and epsilon are positive")
        self.n_features = n_features
        self.rate = rate
        self.epsilon = epsilon
        self.intercept_rate = intercept_rate
        self.calibration_rate = calibration_rate
        self._model = _empty(n_features)

    # --- River's verbs -------------------------------------------------------------------------

    def learn_one(self, x: Mapping[Hashable, float], y: Any) -> None:
        """Learn one row; the calibration learns from what the row scores right now."""
        row = self._row(x)
        self.calibrate(self.raw_logit(row), bool(y))
        self.learn_row(row, bool(y))

    def predict_proba_one(
        self, x: Mapping[Hashable, float], **_: Any
    ) -> dict[bool | str | int, float]:
        """The probabilities of False and True: True is bad."""
        bad = self.probability_of(self.raw_logit(self._row(x)))
        return {False: 1.0 - bad, True: bad}

    # --- rows: the features that are there, uint16, in order -----------------------------------

    def raw_logit(self, row: Array) -> float:
        """The log odds of a row before calibration."""
        return float(raw_logit(self._model, row))

    def logit_of(self, raw: float) -> float:
        """The calibrated log odds that a raw logit stands for now."""
        return float(calibrated(self._model, raw))

    def probability_of(self, raw: float) -> float:
        """The probability that a raw logit stands for now."""
        return float(probability(self.logit_of(raw)))

    def learn_row(self, row: Array, bad: bool) -> None:
        """Learn a row, the calibration apart."""
        learn_row(self._model, self._settings(), row, int(bad))

    def calibrate(self, raw: float, bad: bool) -> None:
        """Learn from a raw logit, as it was scored, how far logits are to be believed."""
        calibrate(self._model, self._settings(), raw, int(bad))

    def explain_row(self, row: Array) -> Array:
        """Each feature's share of the calibrated log odds, the bias last; they sum to them."""
        out = np.empty(len(row) + 1)
        shares(self._model, row, out)
        return out

    # --- state ---------------------------------------------------------------------------------

    def copy_state(self, other: CodeClassifier) -> None:
        """Take over the weights of a model of the same parameters."""
        for own, theirs in zip(self._model, other._model, strict=True):
            own[...] = theirs

    def arrays(self) -> dict[str, Array]:
        """The state, by name."""
        return self._model._asdict()

    def load(self, arrays: Mapping[str, Array]) -> None:
        """Take over a state. Raises ValueError for one of another shape."""
        for name, own in self._model._asdict().items():
            if arrays[name].shape != own.shape:
                raise ValueError(f"{name} is {arrays[name].shape}, not {own.shape}")
            own[...] = arrays[name]

    def _settings(self) -> CodeSettings:
        return CodeSettings(self.rate, self.epsilon, self.intercept_rate, self.calibration_rate)

    def _row(self, x: Mapping[Hashable, float]) -> Array:
        places = {self._column(name) for name, value in x.items() if value > 0.0}
        return np.array(sorted(places), np.uint16)

    def _column(self, name: Hashable) -> int:
        if isinstance(name, int) and 0 <= name < self.n_features:
            return name
        digest = hashlib.blake2b(repr(name).encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.n_features


def _empty(features: int) -> CodeWeights:
    state = np.zeros(STATE)
    state[SLOPE] = state[SLOPE_SQUARES] = state[OFFSET_SQUARES] = 1.0
    return CodeWeights(np.zeros(features), np.zeros(features), state)
