"""How much hangs on a single feature (A5): recall when an attacker makes it look ordinary.

The model is frozen at ``SPLIT``, and phishing wallets first seen after it are judged: as they are,
then with one feature at the median of the good wallets of that time, then with several. No attacker
can move a feature alone, so this is the worst of what he could do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.detection.section import Cell, Section
from benchmarks.detection.stream import (
    NO_DATA,
    STREAM,
    WINDOW,
    WatchedDetector,
    read_phishing,
    read_stream,
    score,
    watched,
)
from chainwarden.schema import column
from detect.compiled import Array
from detect.evaluate import LIFE_SECONDS, figures
from detect.features import RISK_FEATURES

SPLIT: Final = 1_527_811_200  # 2018-06-01
SHOWN: Final = 8
TOGETHER: Final = 3
TITLE: Final = "A5: one feature of phishing wallets made ordinary"
COLUMNS: Final = ("feature", "recall at the alert threshold", "points")


@dataclass(frozen=True, slots=True)
class Probe:
    """Rows of phishing wallets, to be judged by a model that stands still."""

    model: WatchedDetector
    rows: Array
    wallets: Array  # which wallet each row is of, 0 up
    ordinary: Array  # each feature's median among good wallets
    threshold: float  # log odds

    def recall(self, features: Iterable[int]) -> float:
        """The share of the wallets with a row at or above the threshold, those made ordinary."""
        rows = self.rows.copy()
        for feature in features:
            rows[:, feature] = self.ordinary[feature]
        best = np.full(int(self.wallets.max()) + 1, -np.inf)
        np.maximum.at(best, self.wallets, [self.model.log_odds(row) for row in rows])
        return float((best >= self.threshold).mean())


def section(quick: bool) -> Section:
    """The features that most hangs on, and several of them together."""
    del quick
    if not STREAM.exists():
        return Section("sensitivity", TITLE, skipped=NO_DATA)
    began = time.perf_counter()
    probe = make_probe()
    usual = probe.recall(())
    single = {n: probe.recall((n,)) for n in range(len(RISK_FEATURES))}
    ranked = sorted(single, key=lambda n: (single[n], n))
    lines: list[tuple[Cell, ...]] = [("none", usual, 0.0)]
    lines += [_line(RISK_FEATURES[n], single[n], usual) for n in ranked[:SHOWN]]
    several = ranked[:TOGETHER]
    names = " + ".join(RISK_FEATURES[n] for n in several)
    lines.append(_line(names, probe.recall(several), usual))
    untouched = sum(recall >= usual - 0.01 for recall in single.values())
    notes = (
        f"{len(np.unique(probe.wallets))} phishing wallets first seen from 2018-06-01 on, the model"
        " as it was then",
        f"{untouched} of {len(RISK_FEATURES)} features cost at most a point of recall",
    )
    return Section("sensitivity", TITLE, COLUMNS, lines, notes, time.perf_counter() - began)


def make_probe() -> Probe:
    """The stream as a whole for its rows, and up to the split for the model."""
    batches, phishing = read_stream(), read_phishing()
    scored = score(batches, phishing)
    rows = scored.rows
    model = watched(phishing)
    for batch in batches:
        # A batch is about a day: the one with the split in it is the first that is left out.
        if column(batch.blocks, "block_timestamp")[-1] >= SPLIT:
            break
        model.process(batch)
    threshold = figures(scored.record, phishing, WINDOW).alert_threshold
    assert threshold is not None
    judged = (rows.born >= SPLIT) & (rows.born < WINDOW.end) & (rows.ages <= LIFE_SECONDS)
    mine = np.flatnonzero(judged & rows.bad)
    wallets = scored.record.events[rows.flow[mine], rows.side[mine]]
    return Probe(
        model,
        rows.features[mine],
        np.unique(wallets, return_inverse=True)[1],
        np.median(rows.features[judged & ~rows.bad], axis=0),
        float(np.log(threshold / (1.0 - threshold))),
    )


def _line(name: str, recall: float, usual: float) -> tuple[Cell, ...]:
    return name, recall, 100.0 * (recall - usual)
