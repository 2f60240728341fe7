"""How well wallets are judged: progressive validation with a label delay.

Judged is every wallet whose first event is in a window. Its verdict is the highest risk it got when
it was scored, from its first event until ``LIFE_SECONDS`` later. Nothing is scored here: the scores
are those that a detector gave, in order, while it knew no label before its time.

References
----------
Grzenda, Gomes and Bifet, 2020. Delayed labelling evaluation for data streams.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import DetectError
from chainwarden.schema import ADDRESS, ZERO_ADDRESS, BlockBatch, column
from detect.compiled import Array
from detect.curves import (
    Curve,
    auroc,
    average_precision,
    best_f1,
    curve_of,
    recall_at_precision,
    threshold_for_precision,
)

LIFE_SECONDS: Final = 30 * 86_400
"""How long from its first event a wallet is judged, and how long before a window alerts are set."""

ALERT_PRECISION: Final = 0.7
ALERT_ERRORS: Final = 1.0
"""How many standard errors above it the precision must be where the threshold is set: there are
about a hundred alerts then, and the lowest threshold that happened to do would be a lucky one."""
NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Window:
    """First events from ``start`` on, before ``end``, in unix seconds."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.start >= self.end:
            raise DetectError("a window ends after it starts")


@dataclass(frozen=True, slots=True)
class Record:
    """A scored stream, in order. Wallets are numbered by address; the zero address is none.

    ``events`` (flows, 2): sender and receiver; ``at`` block times; ``coins`` what arrived, 0 for
    failed flows, tokens and payments to oneself; ``risks`` (flows, 2), NaN where not scored.
    """

    addresses: Array  # V20, sorted
    events: Array
    at: Array
    coins: Array
    risks: Array

    def number_of(self, addresses: Collection[bytes]) -> dict[bytes, int]:
        """The numbers of those of the addresses that the stream has."""
        wanted = np.array(sorted(addresses), "V20")
        _, at, _ = np.intersect1d(self.addresses, wanted, return_indices=True)
        return {self.addresses[n].tobytes(): int(n) for n in at}

    def first_events(self) -> Array:
        """The time of each wallet's first event; events count in the order of the stream."""
        _, first = np.unique(self.events, return_index=True)
        return np.asarray(self.at[first // 2])


class Recorder:
    """Keeps of a scored stream what is needed to judge it: about 80 bytes a flow."""

    def __init__(self, columns: tuple[str, str] = ("from_risk", "to_risk")) -> None:
        self.columns = columns
        self._parts: list[_Part] = []

    def add(self, batch: BlockBatch, features: pa.Table) -> None:
        """The next blocks, and the features table that the detector gave for them."""
        flows = batch.flows
        parties = [_addresses(flows[name]) for name in ("from_address", "to_address")]
        failed = pc.fill_null(pc.equal(flows["status"], 0), False).to_numpy()
        token = flows["token_address"].is_valid().to_numpy()
        unmoved = failed | token | (parties[0] == parties[1])
        risks = [pc.fill_null(features[name], float("nan")).to_numpy() for name in self.columns]
        ends = np.searchsorted(column(flows, "block_number"), batch.numbers(), "right")
        self._parts.append(
            _Part(
                np.append(0, ends),
                np.stack(parties, axis=1),
                column(flows, "block_timestamp").astype(np.int64),
                np.where(unmoved, 0.0, column(flows, "value_f64")),
                np.stack(risks, axis=1),
            )
        )

    def revert(self) -> None:
        """Drop the last block. Raises DetectError where there is none."""
        while self._parts and len(self._parts[-1].starts) == 1:
            self._parts.pop()
        if not self._parts:
            raise DetectError("there is no block to drop")
        last = self._parts[-1]
        end = last.starts[-2]
        self._parts[-1] = _Part(last.starts[:-1], *(values[:end] for values in last[1:]))

    def record(self) -> Record:
        """What was added so far. Raises DetectError where that is no flow at all."""
        if not sum(len(part.at) for part in self._parts):
            raise DetectError("there is no flow to judge")
        columns = list(zip(*self._parts, strict=True))[1:]
        parties, at, coins, risks = (np.concatenate(parts) for parts in columns)
        addresses, numbers = np.unique(parties, return_inverse=True)
        return Record(addresses, numbers.reshape(parties.shape), at, coins, risks)


class _Part(NamedTuple):
    # A batch: where its blocks start, and its flows.
    starts: Array
    parties: Array
    at: Array
    coins: Array
    risks: Array


def _addresses(values: pa.ChunkedArray) -> Array:
    filled = pc.fill_null(values, pa.scalar(ZERO_ADDRESS, ADDRESS)).combine_chunks()
    if isinstance(filled, pa.ChunkedArray):
        filled = pa.concat_arrays(filled.chunks) if filled.num_chunks else pa.array([], ADDRESS)
    if not len(filled):
        return np.empty(0, "V20")
    return np.frombuffer(filled.buffers()[1], "V20", len(filled), filled.offset * 20)


@dataclass(frozen=True, slots=True)
class Judged:
    """The wallets of a window, by address: their numbers, verdicts (-inf: never scored), labels."""

    wallets: Array
    verdicts: Array
    positive: Array


def judge(record: Record, phishing: Collection[bytes], window: Window) -> Judged:
    """Every wallet whose first event is in the window, but the zero address."""
    first = record.first_events()
    chosen = (first >= window.start) & (first < window.end)
    bad = np.zeros(len(first), np.bool_)
    bad[list(record.number_of(phishing).values())] = True
    chosen[list(record.number_of([ZERO_ADDRESS]).values())] = False
    verdicts = np.full(len(first), -np.inf)
    scored = ~np.isnan(record.risks) & _in_life(record, first)
    np.maximum.at(verdicts, record.events[scored], record.risks[scored])
    wallets = np.flatnonzero(chosen)
    return Judged(wallets, verdicts[wallets], bad[wallets])


def _in_life(record: Record, first: Array) -> Array:
    """Which events, (flows, 2), are no later than a wallet's judged life."""
    return np.asarray(record.at[:, None] <= first[record.events] + LIFE_SECONDS)


class Losses(NamedTuple):
    """What the phishing wallets of a window received in their judged lives, flow by flow.

    ``late``: it came after the wallet's first alert.
    """

    at: Array
    coins: Array
    wallets: Array  # their numbers
    late: Array


def first_alerts(record: Record, threshold: float | None) -> Array:
    """The flow of each wallet's first alert in its judged life; NEVER where there is none.

    An alert is the first score at or above the threshold; None: there are no alerts.
    """
    first = record.first_events()
    alerted = np.full(len(first), NEVER)
    if threshold is not None:
        flows, side = np.nonzero(_in_life(record, first) & (record.risks >= threshold))
        np.minimum.at(alerted, record.events[flows, side], flows)
    return alerted


def losses(record: Record, judged: Judged, threshold: float | None) -> Losses:
    """What arrived, in the order of the stream. The flow that raises the alert is not late."""
    alive = _in_life(record, record.first_events())[:, 1]
    to = record.events[:, 1]
    victims = np.zeros(len(record.addresses), np.bool_)
    victims[judged.wallets[judged.positive]] = True
    flows = np.flatnonzero(alive & victims[to] & (record.coins > 0.0))
    alerted = first_alerts(record, threshold)
    return Losses(record.at[flows], record.coins[flows], to[flows], flows > alerted[to[flows]])


def value_saved(record: Record, judged: Judged, threshold: float | None) -> tuple[float, float]:
    """The share of what phishing wallets received that arrived after their first alert.

    The mean over wallets, and pooled over all of them; of wallets that received anything. NaN
    where no phishing wallet received anything.
    """
    _, coins, wallets, late = losses(record, judged, threshold)
    if not len(coins):
        return float("nan"), float("nan")
    victims, own = np.unique(wallets, return_inverse=True)
    received = np.bincount(own, coins, len(victims))
    saved = np.bincount(own, np.where(late, coins, 0.0), len(victims))
    return float((saved / received).mean()), float(saved.sum() / received.sum())


class Detail(NamedTuple):
    """What stands behind the figures.

    ``scores`` are all that judged wallets got in their lives, ``outcomes`` whether they are
    phishing. ``alerts_at`` has the time of each judged wallet's first alert, NEVER for none.
    """

    judged: Judged
    scores: Array
    outcomes: Array
    alerts_at: Array
    losses: Losses


def detail(record: Record, judged: Judged, threshold: float | None) -> Detail:
    """The detail of a window at an alert threshold."""
    of_window = np.zeros(len(record.addresses), np.int8)
    of_window[judged.wallets] = 1 + judged.positive
    kinds = of_window[record.events]
    given = (kinds > 0) & ~np.isnan(record.risks) & _in_life(record, record.first_events())
    alerted = first_alerts(record, threshold)[judged.wallets]
    at = np.where(alerted == NEVER, NEVER, record.at[np.minimum(alerted, len(record.at) - 1)])
    return Detail(
        judged, record.risks[given], kinds[given] == 2, at, losses(record, judged, threshold)
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """Detection quality in a window; see ``figures``. ``unscored`` wallets never got a score."""

    wallets: int
    positives: int
    average_precision: float
    auroc: float
    best_f1: float
    precision: float
    recall: float
    recall_at_precision_0_9: float
    value_saved_per_wallet: float | None
    value_saved: float | None
    alert_precision: float | None
    alert_recall: float
    alert_threshold: float | None
    unscored: int
    curve: Curve
    detail: Detail

    def to_dict(self) -> dict[str, object]:
        """All but the curve and the detail."""
        drawn = ("curve", "detail")
        return {name: getattr(self, name) for name in self.__slots__ if name not in drawn}


def figures(record: Record, phishing: Collection[bytes], window: Window) -> Figures:
    """Everything about a window.

    ``precision`` and ``recall`` are those of the best F1. Alerts are given at the lowest threshold
    whose precision on the wallets of the 30 days before was ``ALERT_PRECISION`` with
    ``ALERT_ERRORS`` to spare; without one there are none, and their precision is None. Raises
    DetectError for a window without wallets of both kinds.
    """
    judged = judge(record, phishing, window)
    _check(record, phishing, judged)
    curve = curve_of(judged.verdicts, judged.positive)
    best = best_f1(curve)
    threshold = _alert_threshold(record, phishing, window)
    alerted = judged.verdicts >= (np.inf if threshold is None else threshold)
    mean, pooled = value_saved(record, judged, threshold)
    return Figures(
        wallets=len(judged.wallets),
        positives=int(judged.positive.sum()),
        average_precision=average_precision(curve),
        auroc=auroc(curve),
        best_f1=best.f1,
        precision=best.precision,
        recall=best.recall,
        recall_at_precision_0_9=recall_at_precision(curve, 0.9),
        value_saved_per_wallet=None if np.isnan(mean) else mean,
        value_saved=None if np.isnan(pooled) else pooled,
        alert_precision=float(judged.positive[alerted].mean()) if alerted.any() else None,
        alert_recall=float(alerted[judged.positive].mean()),
        alert_threshold=threshold,
        unscored=int(np.isneginf(judged.verdicts).sum()),
        curve=curve,
        detail=detail(record, judged, threshold),
    )


def _check(record: Record, phishing: Collection[bytes], judged: Judged) -> None:
    """Raises DetectError for a window in which there is nothing to tell apart, saying why."""
    if not len(judged.wallets):
        raise DetectError(
            "no wallet has its first event in the window",
            hint=f"the stream spans {_span(record.at)}",
        )
    if judged.positive.all():
        raise DetectError(
            f"all {len(judged.wallets)} wallets of the window are phishing: nothing to tell apart",
            hint="the stream needs other wallets as well",
        )
    if judged.positive.any():
        return
    bad = list(record.number_of(phishing).values())
    if not bad:
        raise DetectError(
            f"none of the {len(phishing)} wallets that the list calls phishing is in the stream",
            hint="are the labels of the same chain and time?",
        )
    raise DetectError(
        f"none of the {len(judged.wallets)} wallets of the window is phishing",
        hint=f"those of the stream were first seen from {_span(record.first_events()[bad])}",
    )


def _alert_threshold(record: Record, phishing: Collection[bytes], window: Window) -> float | None:
    before = judge(record, phishing, Window(window.start - LIFE_SECONDS, window.start))
    if not before.positive.any():
        return None
    curve, positives = curve_of(before.verdicts, before.positive), int(before.positive.sum())
    threshold = threshold_for_precision(curve, ALERT_PRECISION, positives, ALERT_ERRORS)
    # What was never scored cannot raise an alert, however rare the good wallets are.
    return None if threshold is None or np.isinf(threshold) else threshold


def _span(times: Array) -> str:
    first, last = np.datetime64(int(times.min()), "s"), np.datetime64(int(times.max()), "s")
    return f"{first} to {last}"
