"""Drift of scores, against River's ADWIN fed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from detect.compiled import Array
from detect.drift import EVERY, ScoreDrift


def shifting(count: int = 20_000) -> Array:
    """Scores that drift twice, the first hundred in warm-up."""
    rng = np.random.default_rng(1)
    scores = rng.normal(0.5, 0.05, count)
    scores[count // 3 :] += 0.2
    scores[2 * count // 3 :] -= 0.3
    scores[:100] = np.nan
    return scores


def test_it_is_adwin_over_means_of_32() -> None:
    """Detections are those of River's ADWIN over the means, at the block of the last score."""
    scores = shifting()
    blocks = np.arange(len(scores)) // 7 + 1000
    untyped: Any = drift
    ours, theirs = ScoreDrift(), untyped.ADWIN()
    ours.update_many(scores, blocks)
    found = []
    for end in range(100 + EVERY, len(scores) + 1, EVERY):
        theirs.update(sum(scores[end - EVERY : end].tolist()) / EVERY)
        if theirs.drift_detected:
            found.append(int(blocks[end - 1]))
    assert len(found) >= 2
    assert ours.detections == len(found)
    assert ours.last_block == found[-1]


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(1, 19_999), max_size=20))
def test_batching_and_restoring_change_nothing(cuts: list[int]) -> None:
    """However the scores are cut, and restored at each cut, the state is the same."""
    scores = shifting()
    blocks = np.arange(len(scores))
    whole, parts = ScoreDrift(), ScoreDrift()
    whole.update_many(scores, blocks)
    for piece in np.split(np.arange(len(scores)), sorted(cuts)):
        parts.update_many(scores[piece], blocks[piece])
        restored = ScoreDrift()
        restored.load(*parts.dump())
        assert restored.digest() == parts.digest()
        parts = restored
    assert parts.digest() == whole.digest()
    assert parts.detections == whole.detections
