"""The compiled Half-Space Trees against River's own."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Iterator
from itertools import dropwhile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import anomaly, checks, datasets

from chainwarden.errors import DetectError, SnapshotRefused
from detect.compiled import Array
from detect.models import HalfSpaceTrees

NAMES = tuple(f"x{n}" for n in range(6))
PARAMETERS: dict[str, Any] = {"n_trees": 5, "height": 4, "window_size": 20, "seed": 7}


def rivers(parameters: dict[str, Any]) -> Any:
    """River's own, which has no types."""
    return anomaly.HalfSpaceTrees(**parameters)


def rows(count: int, seed: int = 0) -> Array:
    """Uniform rows, a few beyond the limits."""
    return np.random.default_rng(seed).normal(0.5, 0.4, (count, len(NAMES)))


def observations(X: Array, missing: float = 0.0, seed: int = 0) -> Iterator[dict[str, float]]:
    """The rows as River takes them, with features missing at random."""
    rng = random.Random(seed)
    for row in X.tolist():
        yield {k: v for k, v in zip(NAMES, row, strict=True) if rng.random() >= missing}


@settings(deadline=None, max_examples=60)
@given(
    n_trees=st.integers(1, 6),
    height=st.integers(0, 6),
    window_size=st.integers(1, 40),
    seed=st.integers(0, 2**32),
    missing=st.sampled_from([0.0, 0.3]),
    wide=st.booleans(),
)
def test_scores_are_rivers_to_the_last_bit(
    n_trees: int, height: int, window_size: int, seed: int, missing: float, wide: bool
) -> None:
    """Same parameters, same seed, same observations: the same floats, missing features included."""
    parameters: dict[str, Any] = {
        "n_trees": n_trees,
        "height": height,
        "window_size": window_size,
        "seed": seed,
        "limits": {"x0": (-3.0, 2.0), "x3": (0.0, 0.1)} if wide else None,
    }
    theirs, ours = rivers(parameters), HalfSpaceTrees(**parameters)
    # Trees cannot grow from an observation without features: the next test.
    for x in dropwhile(lambda x: not x, observations(rows(120, seed), missing, seed)):
        assert ours.score_one(x) == theirs.score_one(x)
        assert type(ours.score_one(x)) is type(theirs.score_one(x))
        theirs.learn_one(x)
        ours.learn_one(x)
    assert ours.limits == theirs.limits
    assert ours.rng.getstate() == theirs.rng.getstate()


def test_a_first_observation_without_features_is_refused() -> None:
    """River raises from within ``random``; ours says why, and learns from the next one on."""
    theirs, ours = rivers(PARAMETERS), HalfSpaceTrees(**PARAMETERS)
    with pytest.raises(IndexError):
        theirs.learn_one({})
    with pytest.raises(DetectError, match="nothing can be split"):
        ours.learn_one({})
    ours.learn_one({"x0": 0.5})
    ours.learn_one({})


def test_odd_values_go_where_river_sends_them() -> None:
    """NaN, infinities, integers beyond all floats and booleans take River's way."""
    theirs, ours = rivers(PARAMETERS), HalfSpaceTrees(**PARAMETERS)
    odd: list[Any] = [float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), True, 0]
    rng = random.Random(3)
    for x in observations(rows(100)):
        y = {name: rng.choice([value, rng.choice(odd)]) for name, value in x.items()}
        assert ours.score_one(y) == theirs.score_one(y)
        theirs.learn_one(y)
        ours.learn_one(y)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
def test_arrays_give_what_single_observations_give(kind: type) -> None:
    """score_learn_many, score_many and learn_many equal River's verbs; NaN marks the warm-up."""
    X: Array = rows(333).astype(kind)
    theirs = rivers(PARAMETERS)
    expected = []
    for x in observations(X):
        expected.append(theirs.score_one(x))
        theirs.learn_one(x)
    together = HalfSpaceTrees(**PARAMETERS, features=NAMES)
    apart = HalfSpaceTrees(**PARAMETERS, features=NAMES)
    got = np.concatenate([together.score_learn_many(X[:50]), together.score_learn_many(X[50:])])
    assert np.isnan(got[:20]).all()
    assert got[20:].tolist() == expected[20:]
    single = []
    for row in X:
        single.append(apart.score_many(row[None])[0])
        apart.learn_many(row[None])
    assert np.array_equal(single, got, equal_nan=True)
    assert apart.digest() == together.digest()


def test_columns_may_be_declared_in_any_order() -> None:
    """River splits on sorted features: where their columns stand changes no score."""
    X, back = rows(60), np.arange(len(NAMES))[::-1]
    ours = HalfSpaceTrees(**PARAMETERS, features=tuple(NAMES[n] for n in back))
    theirs = rivers(PARAMETERS)
    expected = []
    for x in observations(X):
        expected.append(theirs.score_one(x))
        theirs.learn_one(x)
    assert ours.score_learn_many(X[:, back])[20:].tolist() == expected[20:]


def test_arrays_need_declared_columns() -> None:
    """Without declared features arrays are refused, and so is another number of columns."""
    with pytest.raises(DetectError):
        HalfSpaceTrees().score_many(rows(1))
    with pytest.raises(DetectError):
        HalfSpaceTrees(features=NAMES).score_many(rows(1)[:, 1:])
    with pytest.raises(DetectError):
        HalfSpaceTrees(height=16)


@pytest.mark.parametrize("upper", [1.0, float("inf"), float("nan")])
def test_limits_that_leave_nothing_to_split_are_refused(upper: float) -> None:
    """Features of no width, or of a width that is no number, have no split to draw."""
    trees = HalfSpaceTrees(limits={"x0": (1.0, upper)}, features=("x0",))
    with pytest.raises(DetectError, match="nothing can be split"):
        trees.score_many(rows(1)[:, :1])
    HalfSpaceTrees(height=0, limits={"x0": (1.0, upper)}, features=("x0",)).learn_many(
        rows(1)[:, :1]
    )


class Shuttle:
    """River's bundled anomaly data in place of the set that it would download."""

    def __init__(self) -> None:
        self._rows = [
            ({name: (value + 128) / 256 for name, value in x.items()}, y)
            for x, y in datasets.Shuttle().take(10_000)
        ]

    def take(self, count: int) -> Iterator[tuple[dict[str, float], Any]]:
        """The first rows."""
        return iter(self._rows[:count])


@pytest.mark.parametrize("estimator", [anomaly.HalfSpaceTrees, HalfSpaceTrees])
def test_rivers_own_checks_pass(estimator: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that river.checks asks of an estimator holds for ours as for River's."""
    data = Shuttle()
    monkeypatch.setattr(datasets, "CreditCard", lambda: data)
    names = [check.__name__ for check in checks.yield_checks(estimator(seed=1))]
    assert "check_roc_auc" in names
    assert "check_emerging_features" in names
    checks.check_estimator(estimator(seed=1))
    checks.check_estimator(estimator())


def trained(count: int = 150) -> HalfSpaceTrees:
    """A model beyond its warm-up."""
    model = HalfSpaceTrees(**PARAMETERS, features=NAMES)
    model.learn_many(rows(count))
    return model


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_alike(copied: Any) -> None:
    """A deep copy and a pickled one continue bit for bit, and apart from the original."""
    model = trained()
    twin = copied(model)
    X = rows(100, seed=2)
    assert np.array_equal(twin.score_learn_many(X), model.score_learn_many(X))
    twin.learn_many(X[:5])
    assert twin.digest() != model.digest()


def test_a_snapshot_goes_on_alike_and_refuses_strangers() -> None:
    """Bytes restore the state exactly; those of other parameters are refused."""
    model, twin = trained(), HalfSpaceTrees(**PARAMETERS, features=NAMES)
    twin.restore(model.snapshot())
    X = rows(100, seed=2)
    assert np.array_equal(twin.score_learn_many(X), model.score_learn_many(X))
    assert twin.digest() == model.digest()
    other = HalfSpaceTrees(**PARAMETERS | {"seed": 8}, features=NAMES)
    with pytest.raises(SnapshotRefused):
        other.restore(model.snapshot())


def test_shares_sum_to_the_score_and_find_the_culprit() -> None:
    """The features' shares and the bias sum to the score; the odd feature has the largest."""
    rng = np.random.default_rng(5)
    X = rng.normal(0.5, 0.03, (2000, len(NAMES)))
    model = HalfSpaceTrees(n_trees=25, height=8, window_size=250, seed=1, features=NAMES)
    model.learn_many(X)
    for _ in range(50):
        x = dict(zip(NAMES, rng.random(len(NAMES)).tolist(), strict=True))
        assert sum(model.explain_one(x).values()) == pytest.approx(model.score_one(x), abs=1e-12)
    odd = dict.fromkeys(NAMES, 0.5) | {"x4": 0.99}
    shares = model.explain_one(odd)
    bias = shares.pop(None)
    assert max(shares, key=lambda name: shares[name]) == "x4"
    assert 0 <= bias < model.score_one(odd)


def test_warm_up_has_nothing_to_explain() -> None:
    """Before the first window is full there is no score and no explanation."""
    with pytest.raises(DetectError):
        HalfSpaceTrees(**PARAMETERS, features=NAMES).explain_one(dict.fromkeys(NAMES, 0.5))
