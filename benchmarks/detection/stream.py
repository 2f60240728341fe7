"""The labelled stream through the detector that runs live, with what its risk model was given."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.detection.section import DATA
from chainwarden.evaluation import PHISHING, read_truth
from chainwarden.schema import ETHEREUM, BlockBatch
from detect.alerts import AlertPolicy
from detect.compiled import Array
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.evaluate import Record, Recorder, Window
from detect.features import RISK_FEATURES
from detect.kernels.arrays import Events, Seen
from detect.kernels.risk import Rows as RatedRows
from detect.labels import LabelBook, builtin_labels
from detect.risk_config import RiskConfig
from detect.rules import default_rules
from ingest.files import open_source
from ingest.source import TableSource

STREAM: Final = DATA / "labelled" / "stream.parquet"
LABELS: Final = DATA / "labelled" / "labels.csv"
WINDOW: Final = Window(1_522_540_800, 1_533_081_600)  # 2018-04-01 to 2018-08-01
DELAY: Final = 30 * 86_400
BATCH_BLOCKS: Final = 8_192
NO_DATA: Final = f"the real data is not beside the project ({STREAM.parent.name}/ of shared/data)"


@dataclass(frozen=True, slots=True)
class Rows:
    """Every wallet at its milestones, as the risk model was given it, in the order of the stream.

    ``features`` (rows, features); ``flow`` and ``side`` (0 sender, 1 receiver) say where in the
    stream; ``at`` block times, ``ages`` of the wallets, seconds; ``bad``: labelled phishing.
    """

    features: Array
    flow: Array
    side: Array
    at: Array
    ages: Array
    bad: Array

    def __len__(self) -> int:
        """How many rows."""
        return len(self.at)

    @property
    def born(self) -> Array:
        """The times of the wallets' first events."""
        return np.asarray(self.at - self.ages)

    def risks(self, scores: Array, flows: int) -> Array:
        """The rows' scores as a ``Record`` keeps them, (flows, 2); NaN where there is none."""
        risks = np.full((flows, 2), np.nan)
        risks[self.flow, self.side] = scores
        return risks


@dataclass(frozen=True, slots=True)
class Scored:
    """A stream as it was scored. ``risk_seconds`` is the model's own time out of ``seconds``."""

    record: Record
    rows: Rows
    phishing: frozenset[bytes]
    seconds: float
    risk_seconds: float


class WatchedDetector(Detector):
    """The detector, which also keeps what its risk model is given, and how long that takes."""

    def __init__(self, phishing: Collection[bytes], config: DetectorConfig) -> None:
        labels = LabelBook(builtin_labels())
        super().__init__(
            ETHEREUM,
            config,
            default_rules(labels, ETHEREUM),
            AlertPolicy(ETHEREUM, labels=labels),
            lambda address, _: address in phishing,
        )
        self.risk_seconds = 0.0
        self.parts: list[tuple[Array, ...]] = []
        self._flows = 0

    def log_odds(self, features: Array) -> float:
        """The log odds that the model gives a wallet's features as of now; nothing is learnt."""
        assert self._risk is not None
        return self._risk.log_odds(features)

    def _rate(
        self, batch: BlockBatch, events: Events, seen: Seen, flow_scores: Array, scores: Array
    ) -> RatedRows | None:
        began = time.perf_counter()
        rated = super()._rate(batch, events, seen, flow_scores, scores)
        self.risk_seconds += time.perf_counter() - began
        assert rated is not None
        flow, sends = seen.wallet_flow, seen.wallet_is_sender
        facts, at = seen.flow_facts[flow], events.flow_time[flow]
        born = np.where(sends, facts["from_first_seen"], facts["to_first_seen"])
        self.parts.append(
            (
                rated.features,
                flow + self._flows,
                np.where(sends, 0, 1),
                at.copy(),
                np.maximum(0, at - born),
            )
        )
        self._flows += len(events.flow_time)
        return rated


def read_stream(path: Path = STREAM) -> list[BlockBatch]:
    """The stream, in batches."""
    source = open_source(path, ETHEREUM)
    assert isinstance(source, TableSource)
    return list(source.batches(BATCH_BLOCKS))


def read_phishing(path: Path = LABELS) -> frozenset[bytes]:
    """The wallets that the list calls phishing."""
    assert PHISHING == "phishing"
    return read_truth(path).phishing


def watched(phishing: frozenset[bytes]) -> WatchedDetector:
    """The detector of ``chainwarden evaluate``."""
    return WatchedDetector(phishing, DetectorConfig(risk=RiskConfig(delay_seconds=DELAY)))


def score(batches: Iterable[BlockBatch], phishing: frozenset[bytes]) -> Scored:
    """Score a stream as ``chainwarden evaluate`` does: labels come late, no list is loaded."""
    detector = watched(phishing)
    recorder, began = Recorder(), time.perf_counter()
    for batch in batches:
        recorder.add(batch, detector.process(batch).features)
    seconds = time.perf_counter() - began
    record = recorder.record()
    parts = [np.concatenate(part) for part in zip(*detector.parts, strict=True)]
    return Scored(record, _rows(parts, record, phishing), phishing, seconds, detector.risk_seconds)


def _rows(parts: Sequence[Array], record: Record, phishing: Collection[bytes]) -> Rows:
    features, flow, side, at, ages = parts
    bad = np.zeros(len(record.addresses), np.bool_)
    bad[list(record.number_of(phishing).values())] = True
    assert features.shape[1] == len(RISK_FEATURES)
    return Rows(features, flow, side, at, ages, bad[record.events[flow, side]])
