"""Drift of a stream of scores: River's ADWIN over means of consecutive scores."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from river.drift.adwin import ADWIN

from detect.compiled import Array
from detect.kernels.learning import chunk_means
from detect.snapshot import digest_of

EVERY: Final = 32

_adwin: Any = ADWIN  # untyped in River


class ScoreDrift:
    """ADWIN, fed the mean of each 32 consecutive scores, however they are batched.

    Scores that are NaN (warm-up) do not count. ``detections`` says how often the stream drifted,
    ``last_block`` the number of the block of the last one, -1 for none.

    References
    ----------
    Bifet and Gavalda, 2007. Learning from time-changing data with adaptive windowing.
    """

    def __init__(self, delta: float = 0.002) -> None:
        self.delta = delta
        self.detections = 0
        self.last_block = -1
        self._adwin: Any = _adwin(delta=delta)
        self._waiting = np.empty(0)  # fewer than 32 scores whose mean is to come

    def update_many(self, scores: Array, blocks: Array) -> None:
        """Feed scores, with the number of the block that each is of."""
        valid = ~np.isnan(scores)
        waiting = np.concatenate([self._waiting, scores[valid]])
        chunks = len(waiting) // EVERY
        if chunks:
            # The block of a chunk is that of its last score, which is among those given.
            last = np.arange(1, chunks + 1) * EVERY - 1 - len(self._waiting)
            means = np.empty(chunks)
            chunk_means(waiting[: chunks * EVERY], means)
            for mean, block in zip(means.tolist(), blocks[valid][last].tolist(), strict=True):
                self._adwin.update(mean)
                if self._adwin.drift_detected:
                    self.detections += 1
                    self.last_block = block
        self._waiting = waiting[chunks * EVERY :].copy()

    def copy_state(self, other: ScoreDrift) -> None:
        """Take over the state of another."""
        self.load(*other.dump())

    def dump(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The state, as a snapshot holds it."""
        meta = {
            "detections": self.detections,
            "last_block": self.last_block,
            "detected": bool(self._adwin.drift_detected),
        }
        window = np.frombuffer(self._adwin._helper.__getstate__(), np.uint8)
        return meta, {"adwin": window, "waiting": self._waiting}

    def load(self, meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave."""
        self.detections, self.last_block = int(meta["detections"]), int(meta["last_block"])
        self._adwin = _adwin(delta=self.delta)
        self._adwin._helper.__setstate__(arrays["adwin"].tobytes())
        self._adwin._drift_detected = bool(meta["detected"])
        self._waiting = arrays["waiting"].copy()

    def digest(self) -> str:
        """A digest of the state."""
        meta, arrays = self.dump()
        return digest_of(repr(sorted(meta.items())).encode(), *arrays.values())
