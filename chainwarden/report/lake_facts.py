"""What the lake knows about a replay: its span, its wallets, their scores, who paid whom.

One pass over the flow files, one file in memory at a time; nothing is kept of a flow but what
touches a case.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import StoreError
from chainwarden.report.facts import SCORE_BINS, ScoreHistogram
from chainwarden.schema import ADDRESS, FLOWS, HASH, LakeFile
from store.lake import Lake
from store.lake_flows import moved

_KEYS: Final = ("block_number", "ordinal", "batch_index")
_MOVED: Final = (
    "transaction_hash", "kind", "token_address", "from_address", "to_address", "value", "value_f64",
)  # fmt: skip
_MERGE_ROWS: Final = 1_000_000
_SCORES: Final = ("flow_score", "from_score", "to_score")


@dataclass(frozen=True, slots=True)
class Span:
    """The blocks in the lake: how many, how many of them verified, and from where to where."""

    blocks: int
    verified: int
    first_block: int
    last_block: int
    first_time: int
    last_time: int


@dataclass(frozen=True, slots=True)
class FlowFacts:
    """``flows`` moved something from or to one of the subjects, ``moves`` in a transaction."""

    wallets: int
    flows: pa.Table
    moves: pa.Table
    flow_scores: ScoreHistogram | None
    wallet_scores: ScoreHistogram | None


def read_span(lake: Lake, manifest: Sequence[LakeFile]) -> Span | None:
    """The span of a manifest's blocks; None where there are none."""
    files = [file for file in manifest if file.dataset == "blocks"]
    spans = []
    for file in files:
        table = lake.read([file], ["block_number", "block_timestamp", "verified"])
        numbers, times = pc.min_max(table["block_number"]), pc.min_max(table["block_timestamp"])
        spans.append(
            Span(
                table.num_rows,
                pc.sum(table["verified"]).as_py() or 0,
                numbers["min"].as_py(),
                numbers["max"].as_py(),
                times["min"].as_py(),
                times["max"].as_py(),
            )
        )
    if not spans:
        return None
    return Span(
        sum(s.blocks for s in spans),
        sum(s.verified for s in spans),
        min(s.first_block for s in spans),
        max(s.last_block for s in spans),
        min(s.first_time for s in spans),
        max(s.last_time for s in spans),
    )


def read_flows(
    lake: Lake,
    manifest: Sequence[LakeFile],
    subjects: Iterable[bytes],
    transactions: Iterable[bytes] = (),
) -> FlowFacts:
    """Wallets and scores of a manifest, and the flows of some subjects and of some transactions.

    A wallet's score is the highest it ever had. Scores are None where features are missing, are of
    other flows, or cannot be read. Raises StoreError where flows cannot be read.
    """
    wanted = pa.array(sorted(subjects), ADDRESS)
    hashes = pa.array(sorted(transactions), HASH)
    features = {_place(file): file for file in manifest if file.dataset == "features"}
    files = [file for file in manifest if file.dataset == "flows"]
    scored = bool(files) and all(_place(file) in features for file in files)
    wallets = _Wallets()
    flow_scores = _Scores()
    touching, moves = [_nothing()], [_nothing()]
    for file in files:
        table = lake.read([file], [*_KEYS, *_MOVED, "status"])
        scores = _scores_of(lake, features[_place(file)], table) if scored else None
        if scores is None:
            scored = False
        else:
            flow_scores.add(scores["flow_score"])
        wallets.add(table, scores)
        table = table.filter(moved(table)).select(_MOVED)
        by_subject = pc.or_(
            pc.is_in(table["from_address"], wanted), pc.is_in(table["to_address"], wanted)
        )
        touching.append(table.filter(by_subject))
        moves.append(table.filter(pc.is_in(table["transaction_hash"], hashes)))
    return FlowFacts(
        wallets=wallets.count(),
        flows=pa.concat_tables(touching).combine_chunks(),
        moves=pa.concat_tables(moves).combine_chunks(),
        flow_scores=flow_scores.histogram() if scored else None,
        wallet_scores=wallets.histogram() if scored else None,
    )


def _nothing() -> pa.Table:
    return pa.schema([FLOWS.field(name) for name in _MOVED]).empty_table()


def _place(file: LakeFile) -> tuple[int, int, int]:
    """What a file of flows and the file of their features have in common."""
    return file.first.number, file.last.number, file.rows


def _scores_of(lake: Lake, file: LakeFile, flows: pa.Table) -> pa.Table | None:
    """The scores of the flows, row by row; None where the file has others, or cannot be read."""
    try:
        scores = lake.read([file], [*_KEYS, *_SCORES])
    except StoreError:
        return None
    return scores if scores.select(_KEYS).equals(flows.select(_KEYS)) else None


class _Scores:
    """A histogram that grows by columns of scores."""

    def __init__(self) -> None:
        self._counts = np.zeros(SCORE_BINS, np.int64)
        self._missing = 0

    def add(self, scores: pa.ChunkedArray) -> None:
        """Count a column; null and NaN are no score."""
        values = np.asarray(scores.to_numpy(), np.float64)
        values = values[~np.isnan(values)]
        self._counts += np.histogram(np.clip(values, 0.0, 1.0), SCORE_BINS, (0.0, 1.0))[0]
        self._missing += len(scores) - len(values)

    def histogram(self) -> ScoreHistogram:
        """What was counted."""
        return ScoreHistogram(tuple(int(n) for n in self._counts), self._missing)


class _Wallets:
    """The wallets on either side of a flow, each with the highest score it had.

    Sides of flows wait until there are as many as wallets: a live run's lake has a file a block.
    """

    def __init__(self) -> None:
        schema = pa.schema([("address", ADDRESS), ("score", pa.float64())])
        self._best = schema.empty_table()
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def add(self, flows: pa.Table, scores: pa.Table | None) -> None:
        """Note both sides of every flow."""
        for side in ("from", "to"):
            score = pa.nulls(flows.num_rows, pa.float64())
            if scores is not None:
                score = scores[f"{side}_score"]
            self._waiting.append(pa.table({"address": flows[f"{side}_address"], "score": score}))
        self._rows += 2 * flows.num_rows
        if self._rows > max(_MERGE_ROWS, self._best.num_rows):
            self._merge()

    def count(self) -> int:
        """How many wallets."""
        self._merge()
        return int(self._best.num_rows)

    def histogram(self) -> ScoreHistogram:
        """Their highest scores."""
        self._merge()
        scores = _Scores()
        scores.add(self._best["score"])
        return scores.histogram()

    def _merge(self) -> None:
        if not self._waiting:
            return
        sides = pa.concat_tables([self._best, *self._waiting])
        best = sides.group_by("address", use_threads=False).aggregate([("score", "max")])
        self._best = pa.table({"address": best["address"], "score": best["score_max"]})
        self._waiting, self._rows = [], 0
