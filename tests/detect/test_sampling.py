"""Where more rows come than could wait for their labels, a sample of wallets is learnt from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detect.kernels.sampling import PACE, ROWS, SECONDS, TIME, one_in, sample_rows
from detect.risk import RiskModel
from tests.detect.risk_story import FEATURES, OWN, Story, small

DAY = 86_400


def crowd(count: int, seconds_apart: int = 1, rows_each: int = 1) -> Story:
    """As many wallets, one a block, each at so many milestones."""
    rng = np.random.default_rng(count)
    times = 1000 + seconds_apart * np.arange(count)
    return Story(
        rng.random((count * rows_each, 3)).astype(np.float32),
        np.repeat(np.arange(count), rows_each),
        np.repeat(times, rows_each),
        np.zeros(count * rows_each),
        np.arange(0, count * rows_each + 1, rows_each),
        times,
    )


def half_bad(wallet: bytes, _now: int) -> bool:
    """Every second wallet is bad."""
    return wallet[0] % 2 == 1


def learning(capacity: int, delay: int = 10_000) -> RiskModel:
    """A model whose labels come hours late, with that much room."""
    config = dataclasses.replace(small(capacity=capacity), delay_seconds=delay)
    return RiskModel(config, FEATURES, len(OWN), 8, half_bad)


def test_it_learns_although_most_rows_do_not_fit() -> None:
    """Rows 50 times too many: as many as fit live to see their labels, of both kinds."""
    warden, told = learning(capacity=200), crowd(30_000)
    for b in range(0, 30_000, 500):
        warden.advance(told.batch(b, b + 500))
        assert warden.waiting <= 200
    assert warden.one_in == 128  # 10,000 / 128 is at most three quarters of 200, / 64 is not
    good, bad = warden.learnt
    assert 100 < good + bad < 400
    assert 0.35 < bad / (good + bad) < 0.65


def test_where_all_rows_fit_all_are_learnt() -> None:
    """At a pace that leaves room nobody is left out."""
    warden, told = learning(capacity=20_000), crowd(30_000)
    warden.advance(told.batch())
    assert warden.one_in == 1
    assert warden.learnt == (9_999, 10_000)  # the first is good, and nothing bad was known then


def test_all_rows_of_a_wallet_are_held_or_none() -> None:
    """It is wallets that are sampled."""
    warden, told = learning(capacity=400), crowd(6_000, rows_each=4)
    held = np.concatenate(
        [warden.advance(told.batch(b, b + 500)).held >= 0 for b in range(0, 6_000, 500)]
    )
    by_wallet = held.reshape(-1, 4)
    assert (by_wallet.all(axis=1) == by_wallet.any(axis=1)).all()
    assert 0.0 < by_wallet[-1_000:, 0].mean() < 0.05


def test_a_faster_day_is_followed_and_forgotten() -> None:
    """Five times as many rows for two days leave fewer wallets; a week takes all back."""
    paces = np.zeros((1, PACE))
    paces[0, TIME] = -1.0
    seen = []
    for rows, days in ((1, 4), (5, 2), (1, 7)):
        blocks = days * 144  # one in ten minutes
        times = np.arange(blocks) * 600 + max(0, int(paces[-1, TIME]) + 600)
        starts = np.arange(0, rows * blocks + 1, rows)
        paces = np.concatenate([paces[-1:], np.empty((blocks, PACE))])
        hashed, young = np.arange(rows * blocks, dtype=np.uint64), np.ones(rows * blocks, np.bool_)
        held = np.empty_like(young)
        sample_rows(starts, times, hashed, young, 30.0 * DAY, 6_000, paces, held)
        seen.append(one_in(paces[-1], 30.0 * DAY, 6_000))
    assert seen == [1, 8, 1]  # 19,000 rows would wait now, for three quarters of 6,000 places


@given(st.floats(0, 1e12), st.floats(0, 1e6), st.floats(0, 1e8), st.integers(1, 1 << 30))
def test_as_many_wallets_are_held_as_fit(
    rows: float, seconds: float, delay: float, capacity: int
) -> None:
    """The least power of two with which a quarter of the room is left."""
    pace = np.zeros(PACE)
    pace[ROWS], pace[SECONDS] = rows, seconds
    waiting = rows / max(600.0, seconds) * delay
    found = one_in(pace, delay, capacity)
    assert found.bit_count() == 1
    assert waiting <= 0.75 * capacity * found or found == 1 << 40
    assert found == 1 or waiting > 0.75 * capacity * found / 2


@pytest.mark.parametrize("at_once", [1, 7, 300])
def test_the_sample_is_the_same_however_blocks_are_batched(at_once: int) -> None:
    """What is held depends on the blocks before, not on the batches."""
    told, whole = crowd(300, rows_each=3), learning(capacity=20)
    expected = whole.advance(told.batch()).held >= 0
    parts = learning(capacity=20)
    found = [
        parts.advance(told.batch(b, min(300, b + at_once))).held >= 0
        for b in range(0, 300, at_once)
    ]
    assert np.array_equal(np.concatenate(found), expected)
    assert 0 < expected.sum() < len(expected)
