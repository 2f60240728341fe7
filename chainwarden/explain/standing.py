"""What a score means: how many are below it, and which levels it reaches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from chainwarden.explain.reading import Over, newest
from chainwarden.schema import LakeFile
from store.lake import Lake

MOST_ROWS: Final = 1_000_000
"""Flows whose scores a wallet's is compared with, the newest."""

UNUSUAL: Final = 0.99
RARE: Final = 0.999
"""A score above that share of all scores is called so."""

_SIDES: Final = ("from_score", "to_score")


def share_below(
    lake: Lake,
    manifest: Sequence[LakeFile],
    score: float,
    over: Over = lambda: False,
) -> float | None:
    """The share of wallets' anomaly scores, in the newest files of features, that are lower.

    Each flow counts with the score of its sender and of its receiver. None where there are no
    scores. It ends at the file at which ``over`` says that it has taken long enough. Raises
    StoreError where a file cannot be read, as when it was merged into another meanwhile.
    """
    lower = scored = 0
    for file in newest(manifest, "features", MOST_ROWS, over):
        with lake.opened(file) as parquet:
            if not set(_SIDES) <= set(parquet.schema_arrow.names):  # written without scores
                continue
            table = parquet.read(columns=list(_SIDES))
        for name in _SIDES:
            values = np.asarray(table[name].to_numpy(), np.float64)
            lower += int((values < score).sum())
            scored += int((~np.isnan(values)).sum())
    return lower / scored if scored else None


def anomaly_word(below: float | None) -> str:
    """``usual``, ``unusual`` or ``rare``, by the share of scores that are lower.

    >>> anomaly_word(0.5), anomaly_word(0.99), anomaly_word(1.0), anomaly_word(None)
    ('usual', 'unusual', 'rare', 'usual')
    """
    if below is None or below < UNUSUAL:
        return "usual"
    return "rare" if below >= RARE else "unusual"


def risk_levels(figures: dict[str, Any] | None) -> dict[str, float]:
    """The champion's levels by name, the lower first; none where there is no risk model."""
    champion = figures["champion"] if figures else None
    if champion is None:
        return {}
    levels = {name: float(champion["parameters"][name]) for name in ("alert", "grave")}
    return dict(sorted(levels.items(), key=lambda item: item[1]))


def risk_word(risk: float, levels: dict[str, float]) -> str:
    """The highest level that a risk reaches, else ``low``.

    >>> [risk_word(risk, {"alert": 0.5, "grave": 0.9}) for risk in (0.49, 0.5, 0.9)]
    ['low', 'alert', 'grave']
    """
    reached = [name for name, level in levels.items() if risk >= level]
    return reached[-1] if reached else "low"
