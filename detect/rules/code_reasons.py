"""What moved the contract model, in words: opcodes, selectors and flags with their share."""

from __future__ import annotations

import numpy as np

from detect.bytecode import Code, feature_name
from detect.compiled import Array
from detect.rules.log_odds import Weight


def code_weights(code: Code, shares: Array, shown: int) -> tuple[float, list[Weight]]:
    """The bias of all codes, and the weights of this one: the largest by name, the rest as one.

    ``shares`` are the model's, one for each feature of the code, the bias last.
    """
    own = shares[:-1]
    order = np.argsort(-np.abs(own), kind="stable")
    weights = [
        Weight(f"code: {feature_name(int(code.features[n]), code)}", 1.0, float(own[n]))
        for n in order[:shown].tolist()
    ]
    rest = order[shown:]
    if len(rest):
        weights.append(Weight("code: the rest", float(len(rest)), float(own[rest].sum())))
    return float(shares[-1]), weights
