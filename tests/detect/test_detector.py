"""The detector: one result for a chain of blocks, whatever happened on the way."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import ChainError, DeepReorg, DetectError, SnapshotRefused
from chainwarden.schema import (
    ETHEREUM,
    BlockBatch,
    Chain,
    Position,
)
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.feature_table import feature_table_schema
from detect.features import FLOW_FEATURES
from detect.models import HalfSpaceTrees
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from tests.detect.chains import batch_of, random_block
from tests.detect.runs import SMALL, Busy, EveryFinding, Run, blocks, detector


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), cuts=st.lists(st.integers(1, 59), max_size=8))
def test_batching_changes_nothing(seed: int, cuts: list[int]) -> None:
    """Features, scores, alerts and digest are the same however the blocks are batched."""
    chain, run = blocks(seed, 0, 60), Run()
    for start, stop in pairwise(sorted({0, *cuts, 60})):
        run.add(chain[start:stop])
    run.check_against_a_fresh_run()


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32),
    forks=st.lists(st.tuples(st.integers(1, 8), st.integers(1, 4)), min_size=1, max_size=5),
)
def test_any_forks_end_as_a_fresh_run_on_the_winning_chain(
    seed: int, forks: list[tuple[int, int]]
) -> None:
    """After reverts and new branches all is as if the orphaned blocks had never been."""
    run = Run()
    for block in blocks(seed, 0, 50):
        run.add([block])
    for n, (depth, size) in enumerate(forks):
        for _ in range(depth):
            run.drop()
        branch = blocks(seed + n + 1, len(run.chain), len(run.chain) + depth + 1)
        for start in range(0, len(branch), size):
            run.add(branch[start : start + size])
    run.check_against_a_fresh_run()


def test_a_block_may_come_and_go_many_times() -> None:
    """Flipping between two branches a hundred times leaves no trace and no growth."""
    run = Run()
    run.add(blocks(1, 0, 50))
    for n in range(100):
        run.drop()
        run.drop()
        run.add(blocks(n % 2, 48, 50))
    assert run.detector.stats()["journal_bytes"] < 1e6
    run.check_against_a_fresh_run()


@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 2**32), at=st.integers(0, 50), reverts=st.integers(0, 8))
def test_a_snapshot_in_the_middle_changes_nothing(seed: int, at: int, reverts: int) -> None:
    """Restored anywhere, reverted or not, the detector goes on to the same result."""
    run = Run()
    for block in blocks(seed, 0, at):
        run.add([block])
    data, run.detector = run.detector.snapshot(), detector()
    run.detector.restore(data)
    assert run.detector.snapshot() == data
    for _ in range(min(reverts, at)):
        run.drop()
    run.add(blocks(seed + 1, len(run.chain), 60))
    run.check_against_a_fresh_run()


def test_every_hash_seed_gives_the_same_digest() -> None:
    """PYTHONHASHSEED is nothing to the detector."""
    code = (
        "from tests.detect.runs import Run, blocks\n"
        "run = Run(); run.add(blocks(1, 0, 60)); print(run.detector.digest())"
    )
    root = Path(__file__).resolve().parents[2]
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "random")
    }
    run = Run()
    run.add(blocks(1, 0, 60))
    assert digests == {run.detector.digest() + "\n"}


def test_scores_are_those_of_the_model_as_of_that_block() -> None:
    """A block is scored by trees that have learnt exactly the blocks at least learn_depth below."""
    chain, run = blocks(5, 0, 60), Run()
    run.add(chain)
    model = HalfSpaceTrees(n_trees=4, height=4, window_size=30, seed=1, features=FLOW_FEATURES)
    X = [np.array([c.to_numpy() for c in f.select(FLOW_FEATURES)]).T.copy() for f, _ in run.said]
    for n, (features, _) in enumerate(run.said):
        scores = features["flow_score"].to_numpy()
        if len(X[n]):
            assert np.array_equal(model.score_many(X[n]), scores, equal_nan=True)
        if n >= 5 and len(X[n - 5]):
            model.learn_many(X[n - 5])
    assert np.isfinite(scores).all()


def test_warm_up_gives_no_score() -> None:
    """Before a model's first window is full its scores are null, not 0."""
    run = Run()
    run.add(blocks(2, 0, 6))
    features = pa.concat_tables([f for f, _ in run.said])
    assert features["flow_score"].null_count == len(features) > 0
    assert run.detector.stats()["flow_model_warming_up"] == 1
    run.add(blocks(2, 6, 60))
    assert run.said[-1][0]["flow_score"].null_count == 0
    assert run.detector.stats()["flow_model_warming_up"] == 0


def test_features_have_the_declared_schema() -> None:
    """A row per flow, with its key, its scores and every feature; an empty batch has none."""
    batch = batch_of(blocks(2, 0, 20))
    found = detector().process(batch)
    assert found.features.schema == feature_table_schema()
    for name in ("transaction_hash", "transaction_index", "ordinal", "batch_index"):
        assert found.features[name].equals(batch.flows[name])
    assert detector().process(BlockBatch.of(ETHEREUM)).features.schema == feature_table_schema()


def test_only_the_head_can_be_reverted() -> None:
    """Another position is refused, and so is more than the undo depth; nothing changes then."""
    run = Run()
    run.add(blocks(3, 0, 30))
    digest = run.detector.digest()
    with pytest.raises(ChainError):
        run.detector.revert(run.chain[-2].position)
    assert run.detector.digest() == digest
    for _ in range(8):
        run.drop()
    digest = run.detector.digest()
    with pytest.raises(DeepReorg):
        run.detector.revert(run.chain[-1].position)
    assert run.detector.digest() == digest


def test_a_whole_chain_can_be_reverted_to_nothing() -> None:
    """A chain shorter than the undo depth is undone to the state before its first block."""
    run = Run()
    empty = run.detector.digest()
    run.add(blocks(3, 0, 6))
    for _ in range(6):
        run.drop()
    assert run.detector.digest() == empty
    assert run.detector.head is None
    with pytest.raises(ChainError):
        run.detector.revert(Position(0, b""))


def test_what_is_final_or_before_a_gap_stays() -> None:
    """Finalized blocks cannot be reverted, nor those before a gap; the state itself is the same."""
    run, other = Run(), Run()
    run.add(blocks(4, 0, 20))
    other.add(blocks(4, 0, 20))
    run.detector.finalize(run.chain[16].position)
    assert run.detector.digest() == other.detector.digest()
    for _ in range(3):
        run.drop()
    with pytest.raises(DeepReorg):
        run.detector.revert(run.chain[-1].position)
    run.detector.process(batch_of(blocks(9, 40, 42)), gap=True)
    for number in (41, 40):
        run.detector.revert(random_block(number, "9").position)
    assert run.detector.head == run.chain[-1].position
    with pytest.raises(DeepReorg):
        run.detector.revert(run.chain[-1].position)


def test_numbers_and_times_may_go_back_after_a_gap() -> None:
    """A segment of older blocks is scored like any other: ages are clipped at 0."""
    warden = detector()
    warden.process(batch_of(blocks(6, 100, 130)))
    found = warden.process(batch_of(blocks(6, 0, 30)), gap=True)
    X = np.array([found.features[name].to_numpy() for name in FLOW_FEATURES])
    assert np.isfinite(X).all()
    assert X.min() >= 0
    assert X.max() <= 1
    assert found.features["flow_score"].null_count == 0


def test_strange_snapshots_are_refused() -> None:
    """Other configuration, other rules, other chain, damaged bytes: SnapshotRefused."""
    run = Run()
    run.add(blocks(3, 0, 10))
    data = run.detector.snapshot()
    strangers: list[Any] = [
        Detector(ETHEREUM, SMALL, [], EveryFinding()),
        Detector(Chain("other", 7), SMALL, [Busy()], EveryFinding()),
        detector(DetectorConfig()),
    ]
    for stranger in strangers:
        with pytest.raises(SnapshotRefused):
            stranger.restore(data)
    for broken in (b"", data[:-9], data[:500] + b"!" + data[501:]):
        with pytest.raises(SnapshotRefused):
            detector().restore(broken)


def test_a_batch_of_another_chain_is_refused() -> None:
    """One detector, one chain."""
    with pytest.raises(DetectError):
        detector().process(BlockBatch.of(Chain("other", 7)))
    with pytest.raises(DetectError):
        Detector(ETHEREUM, SMALL, [Busy(), Busy()], EveryFinding())


def test_facts_are_as_of_the_event() -> None:
    """The score a rule reads is the wallet's last before the flow, in a batch and one by one."""
    chain = blocks(8, 0, 50)
    seen: dict[bool, list[np.ndarray]] = {True: [], False: []}

    class Reader(Busy):
        def __init__(self, batched: bool) -> None:
            super().__init__()
            self.batched = batched

        def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
            seen[self.batched].append(scored.flow_facts.copy())
            return ()

    for batched in (True, False):
        warden = Detector(ETHEREUM, SMALL, [Reader(batched)], EveryFinding())
        for part in [chain] if batched else [[block] for block in chain]:
            warden.process(batch_of(part))
    whole, parts = (np.concatenate(seen[batched]) for batched in (True, False))
    assert whole.tobytes() == parts.tobytes()
    assert np.isfinite(whole["from_score"]).sum() > 50
    assert whole["pair_events"].max() == 2
    assert whole["from_nonce"].max() == 5
