"""What is watched of rows as they are scored: drift of features, parting from the reference.

Means of 64 consecutive rows go through River's ADWIN, one for each feature: a feature is a bin of
64, so means are exact, and the error that ADWIN may make is divided among the features.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from river.drift.adwin import ADWIN

from detect.compiled import Array
from detect.growing import Growing
from detect.kernels.boosting import BINS
from detect.kernels.reference import ALARMS, LAST, STATE, SUMMED, follow_parting
from detect.risk_config import ReferenceConfig
from detect.snapshot import digest_of

CHUNK: Final = 64
DELTA: Final = 0.002

_adwin: Any = ADWIN  # untyped in River


class Watch:
    """Follows held rows in the order in which they were scored."""

    def __init__(self, features: int, config: ReferenceConfig) -> None:
        self._config = config
        self._features = features
        self._adwins = [_adwin(delta=DELTA / features) for _ in range(features)]
        self._drifts = np.zeros(features, np.int64)
        self._sums = np.zeros(features, np.int64)  # of the chunk under way
        self._rows = 0
        self._parting = np.zeros(STATE)
        self._parting[LAST] = -1.0

    @property
    def drifts(self) -> Array:
        """How often each feature drifted."""
        return self._drifts

    @property
    def alarms(self) -> int:
        """How often the online model and the reference parted ways."""
        return int(self._parting[ALARMS])

    @property
    def last_alarm_due(self) -> int:
        """When the label of the row that raised the last alarm is due; negative for none."""
        return int(self._parting[LAST])

    @property
    def distance(self) -> float:
        """How near the next alarm is, from 0 to 1."""
        return float(self._parting[SUMMED]) / self._config.limit

    def follow(self, bins: Array, apart: Array, due: Array) -> list[tuple[int, float]]:
        """Take in rows: those that raised an alarm, and the mean difference that led to it.

        ``bins`` (rows, features); ``apart`` how far online was from the reference, NaN where they
        were not compared; ``due`` when the rows' labels are.
        """
        self._follow_features(bins)
        alarms, means = np.empty(len(apart), np.int64), np.empty(len(apart))
        found = follow_parting(
            self._parting, apart, due, self._config.allowance, self._config.limit, alarms, means
        )
        return list(zip(alarms[:found].tolist(), means[:found].tolist(), strict=True))

    def copy_state(self, other: Watch) -> None:
        """Take over the state of another."""
        self.load(*other.dump())

    def dump(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The state, as a snapshot holds it."""
        windows = [np.frombuffer(one._helper.__getstate__(), np.uint8) for one in self._adwins]
        arrays = {
            "adwins": np.concatenate(windows),
            "sizes": np.array([len(window) for window in windows]),
            "drifts": self._drifts,
            "sums": self._sums,
            "drifted": np.array([bool(one.drift_detected) for one in self._adwins]),
            "parting": self._parting,
        }
        return {"rows": self._rows}, arrays

    def load(self, meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave."""
        self._rows = int(meta["rows"])
        self._drifts, self._sums = arrays["drifts"].copy(), arrays["sums"].copy()
        self._parting = arrays["parting"].copy()
        windows = np.split(arrays["adwins"], np.cumsum(arrays["sizes"])[:-1])
        self._adwins = [_adwin(delta=DELTA / self._features) for _ in windows]
        drifted = arrays["drifted"].tolist()
        for one, window, begins_anew in zip(self._adwins, windows, drifted, strict=True):
            one._helper.__setstate__(window.tobytes())
            one._drift_detected = begins_anew

    def digest(self) -> str:
        """A digest of the state."""
        meta, arrays = self.dump()
        return digest_of(repr(meta).encode(), *arrays.values())

    def _follow_features(self, bins: Array) -> None:
        chunks, left = divmod(self._rows + len(bins), CHUNK)
        if chunks:
            head = CHUNK - self._rows
            sums = np.empty((chunks, self._features), np.int64)
            sums[0] = self._sums + bins[:head].sum(axis=0, dtype=np.int64)
            whole = bins[head : len(bins) - left].reshape(chunks - 1, CHUNK, self._features)
            whole.sum(axis=1, dtype=np.int64, out=sums[1:])
            self._follow_means(sums / (CHUNK * BINS))
            bins = bins[len(bins) - left :]
            self._sums[:] = 0
        self._sums += bins.sum(axis=0, dtype=np.int64)
        self._rows = left

    def _follow_means(self, means: Array) -> None:
        # Feature by feature: they know nothing of each other. River's update, but for its Python.
        for n, column in enumerate(means.T.tolist()):
            adwin, left = self._adwins[n], iter(column)
            for mean in left:
                if adwin._drift_detected:
                    adwin._reset()
                update = adwin._helper.update
                if update(mean) or any(map(update, left)):
                    adwin._drift_detected = True
                    self._drifts[n] += 1


class RecentRows:
    """What a watch saw of the blocks since the settled one, so that it can be seen again."""

    def __init__(self, features: int) -> None:
        none = np.empty((0, features), np.uint8), np.empty(0), np.empty(0, np.int64)
        self._rows = tuple(Growing(part) for part in none)
        self._ends = np.zeros(1, np.int64)  # of the settled block and each since

    def extend(self, bins: Array, apart: Array, due: Array, tails: Array) -> None:
        """More blocks; ``tails`` (blocks + 1,) is where the rows of each begin and end."""
        for held, new in zip(self._rows, (bins, apart, due), strict=True):
            held.extend(new)
        self._ends = np.concatenate([self._ends, self._ends[-1] + tails[1:] - tails[0]])

    def revert(self) -> None:
        """Forget the last block."""
        last = int(self._ends[-1] - self._ends[-2])
        self._ends = self._ends[:-1]
        for held in self._rows:
            held.drop_last(last)

    def settle(self, watch: Watch, blocks: int) -> None:
        """Let a watch that follows the settled block see the next ones, and forget these."""
        passed = int(self._ends[blocks])
        bins, apart, due = (held.rows[:passed] for held in self._rows)
        watch.follow(bins, apart, due)
        for held in self._rows:
            held.drop_first(passed)
        self._ends = self._ends[blocks:] - passed

    def follow(self, watch: Watch) -> None:
        """Let a watch see all the rows."""
        bins, apart, due = (held.rows for held in self._rows)
        watch.follow(bins, apart, due)

    def dump(self) -> tuple[dict[str, Any], dict[str, Array]]:
        """The rows, as a snapshot holds them."""
        bins, apart, due = (held.rows for held in self._rows)
        return {}, {"bins": bins, "apart": apart, "due": due, "ends": self._ends}

    def load(self, _meta: dict[str, Any], arrays: dict[str, Array]) -> None:
        """Take over what ``dump`` gave."""
        self._rows = tuple(Growing(arrays[name]) for name in ("bins", "apart", "due"))
        self._ends = arrays["ends"]
