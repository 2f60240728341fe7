"""Boosted trees: what they learn, and that they undo it exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.boosting import BoostedTrees, BoostingConfig
from detect.compiled import Array, compiled
from detect.kernels.boosting import (
    BINS,
    COMMON,
    RARE,
    TOGETHER,
    UNIT,
    Boosted,
    Growth,
    Regrowth,
    boosted_logit,
    copy,
    learn_boosted,
    tally,
    tell_boosted,
)

FEATURES = 6
TINY = BoostingConfig(
    members=2, trees=4, depth=3, every=5, common=30, rare=15, sample=20, warm_up=1, least=0.01
)


@compiled
def feed(
    model: Boosted, g: Growth, undo: Regrowth, journal_from: int, rows: Array, bad: Array,
    starts: Array, said: Array,
) -> None:  # fmt: skip
    """Blocks of rows: each is scored, then learnt."""
    for b in range(len(starts) - 1):
        journalled = b >= journal_from
        if journalled:
            copy(undo.marks[b - journal_from], undo.used)
        for i in range(starts[b], starts[b + 1]):
            said[i] = boosted_logit(model, rows[i])
            kind = RARE if bad[i] else COMMON
            target = 1.0 if bad[i] else 0.0
            learn_boosted(model, g, undo, journalled, rows[i], target, kind)


@compiled
def told(model: Boosted, row: Array, shares: Array) -> None:
    """The shares of a row."""
    tell_boosted(model, row, 1.0, shares)


def learn(
    trees: BoostedTrees, rows: Array, bad: Array, starts: Array, first: int, journal_from: int = 0
) -> Array:
    """Feed blocks whose first has that serial; what was said of the rows before."""
    said = np.empty(len(rows))
    undo = trees.room(int(starts[-1] - starts[journal_from]), len(starts) - 1 - journal_from)
    feed(trees.model, trees.growth, undo, journal_from, rows, bad, starts, said)
    trees.journal(first + journal_from, undo)
    return said


def made(seed: int, blocks: int) -> tuple[Array, Array, Array]:
    """Rows that are bad where two features are high together, in blocks of up to five."""
    rng = np.random.default_rng(seed)
    starts = np.append(0, np.cumsum(rng.integers(0, 6, blocks)))
    rows = rng.integers(0, 64, (starts[-1], FEATURES)).astype(np.uint8)
    bad = (rows[:, 1] > 40) & (rows[:, 3] > 40)
    return rows, bad, starts


def test_it_learns_an_interaction() -> None:
    """Rows bad for two reasons together are told from those with one of them."""
    config = BoostingConfig(members=1, trees=40, depth=3, every=64, common=4096, rare=1024)
    trees = BoostedTrees(config, FEATURES)
    rows, bad, starts = made(1, 3000)
    said = learn(trees, rows, bad, starts, 0)
    half = len(rows) // 2
    assert said[half:][bad[half:]].min() > said[half:][~bad[half:]].max() - 1.0
    assert said[half:][bad[half:]].mean() - said[half:][~bad[half:]].mean() > 3


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), back=st.integers(0, 12))
def test_what_is_undone_leaves_no_trace(seed: int, back: int) -> None:
    """Blocks taken back, and others in their place: the state of never having seen them."""
    rows, bad, starts = made(seed, 60)
    trees, fresh = BoostedTrees(TINY, FEATURES), BoostedTrees(TINY, FEATURES)
    learn(trees, rows, bad, starts, 0, journal_from=0)
    kept = int(starts[60 - back])
    learn(fresh, rows[:kept], bad[:kept], starts[: 61 - back], 0)
    for serial in range(59, 59 - back, -1):
        trees.revert(serial)
    assert trees.digest() == fresh.digest()
    undone, content = trees.dump()
    again = BoostedTrees(TINY, FEATURES)
    again.load(undone, content)
    other = made(seed + 1, 20)
    said = [learn(one, *other, 60 - back) for one in (trees, fresh, again)]
    assert np.array_equal(said[0], said[1])
    assert np.array_equal(said[0], said[2])
    assert trees.digest() == fresh.digest() == again.digest()


def test_sums_are_what_the_trees_say() -> None:
    """After any number of trees have come and gone, each row's sum is what its trees give."""
    trees = BoostedTrees(TINY, FEATURES)
    rows, bad, starts = made(7, 200)
    learn(trees, rows, bad, starts, 0)
    m = trees.model
    assert trees.grown > 2 * TINY.trees
    kept = [*range(m.state[COMMON]), *range(TINY.common, TINY.common + m.state[RARE])]
    for r in kept:
        shares = np.zeros(FEATURES + 1)
        told(m, m.rows[r], shares)
        assert round(float(shares.sum()) * UNIT * TINY.members) == int(m.sums[:, r].sum())


def test_undo_is_forgotten_with_its_blocks() -> None:
    """What can no longer be reverted is kept no longer."""
    trees = BoostedTrees(TINY, FEATURES)
    rows, bad, starts = made(3, 10)
    learn(trees, rows, bad, starts, 0)
    assert trees.dump()[0] == [[0, 10]]
    trees.forget(9)
    assert trees.dump()[0] == []


@pytest.mark.parametrize("features", range(1, TOGETHER + 1))
def test_gradients_are_summed_for_each_feature(features: int) -> None:
    """By node and bin, however many features are left; what stood there before is gone."""
    rng, count, nodes = np.random.default_rng(features), 500, 4
    bins = rng.integers(0, BINS, (features, count)).astype(np.uint8)
    at = rng.integers(0, nodes, count).astype(np.int32)
    slopes, curves = rng.random((2, count), np.float32)
    sides = np.full((TOGETHER, nodes, BINS, 2), np.nan)
    tally(sides, nodes, count, at, bins, slopes, curves)
    for own, side in zip(bins, sides[:features], strict=True):
        expected = np.zeros((nodes, BINS, 2))
        np.add.at(expected, (at, own), np.stack([slopes, curves], axis=1))
        assert np.array_equal(side, expected)
