from __future__ import annotations

import math
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import checks, linear_model, optim

from chainwarden.errors import DetectError
from detect.bytecode import FEATURES
from detect.code_classifier import CodeClassifier
from detect.code_learner import CodeLearner, CodeLearnerConfig
from detect.compiled import Array

SMALL = CodeLearnerConfig(warm_up=2, kept=3, rehearsals=4)


def row(rng: random.Random, bad: bool, count: int = 60) -> Array:
    """A code: mostly anything, and of bad ones a few features out of ten that good ones lack."""
    features = set(rng.sample(range(100, FEATURES), count))
    features |= set(rng.sample(range(10), 4)) if bad else set(rng.sample(range(10, 30), 4))
    return np.array(sorted(features), np.uint16)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    rate=st.sampled_from([0.1, 0.5]),
    epsilon=st.sampled_from([1e-4, 0.1]),
)
def test_the_log_odds_are_those_of_rivers_logistic_regression(
    seed: int, rate: float, epsilon: float
) -> None:
    """The same rows in the same order: River's LogisticRegression and ours agree to rounding."""
    rng = random.Random(seed)
    ours = CodeClassifier(FEATURES, rate, epsilon, calibration_rate=0.0)
    theirs: Any = linear_model.LogisticRegression(optim.AdaGrad(rate, epsilon), intercept_lr=0.01)
    for n in range(60):
        features = row(rng, n % 3 == 0, rng.randrange(1, 80))
        x = dict.fromkeys(features.tolist(), 1.0 / math.sqrt(len(features)))
        expected = theirs.predict_proba_one(x)[True]
        assert ours.predict_proba_one(x)[True] == pytest.approx(expected, rel=1e-9)
        theirs.learn_one(x, n % 3 == 0)
        ours.learn_one(x, n % 3 == 0)


def test_rivers_own_checks_pass() -> None:
    """All that river.checks asks of a classifier holds."""
    checks.check_estimator(CodeClassifier())


def test_parameters_that_make_no_model_are_refused() -> None:
    """No features, too many, no rate, nothing to warm up on."""
    parameters: list[dict[str, Any]] = [
        {"n_features": 0},
        {"n_features": 70_000},
        {"rate": 0.0},
        {"epsilon": 0.0},
    ]
    for bad in parameters:
        with pytest.raises(DetectError):
            CodeClassifier(**bad)
    with pytest.raises(DetectError):
        CodeLearnerConfig(warm_up=0)


def test_shares_sum_to_the_log_odds_and_name_the_culprits() -> None:
    """The features' shares and the bias sum to the log odds; what only bad codes have leads."""
    rng, learner = random.Random(1), CodeLearner(SMALL)
    for serial in range(200):
        features, bad = row(rng, serial % 4 == 0), serial % 4 == 0
        learner.learn(serial, features, learner.raw_logit(features), bad)
    features = row(rng, True)
    probability = learner.probability(features)
    assert probability is not None
    shares = learner.explain(features)
    assert 1.0 / (1.0 + math.exp(-float(shares.sum()))) == pytest.approx(probability, abs=1e-12)
    leading = features[np.argsort(-shares[:-1])[:3]]
    assert all(feature < 10 for feature in leading.tolist())


def test_warm_up_has_no_score() -> None:
    """Before enough bad and enough good codes are learnt there is none: not 0, not a half."""
    rng, learner = random.Random(2), CodeLearner(SMALL)
    for serial, bad in enumerate([True, True, True, False]):
        learner.learn(serial, row(rng, bad), 0.0, bad)
        assert learner.probability(row(rng, True)) is None
    learner.learn(4, row(rng, False), 0.0, False)
    assert not learner.warming_up
    assert learner.probability(row(rng, True)) is not None
    assert learner.learnt == (2, 3)


def test_the_probability_is_calibrated() -> None:
    """Where a tenth of like codes is bad, whatever they have, the mean score is about a tenth."""
    rng, learner = random.Random(3), CodeLearner()
    scores, truth = [], []
    for serial in range(3_000):
        bad = rng.random() < 0.1
        # Half of the bad ones look like good ones: a sure model would be wrong.
        features = row(rng, bad and rng.random() < 0.5)
        probability = learner.probability(features)
        if probability is not None and serial > 1_000:
            scores.append(probability)
            truth.append(bad)
        learner.learn(serial, features, learner.raw_logit(features), bad)
        learner.forget(serial)
    assert np.mean(scores) == pytest.approx(np.mean(truth), abs=0.02)
    low = np.array(scores) < 0.3
    assert np.mean(np.array(scores)[low]) == pytest.approx(np.mean(np.array(truth)[low]), abs=0.02)


Lessons = list[tuple[int, bool]]
LESSONS = st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=14)


def taught(learner: CodeLearner, lessons: Lessons, serial: int, seed: int) -> int:
    """Teach lessons: each one so many blocks after the last; the last serial."""
    rng = random.Random(seed)
    for gap, bad in lessons:
        serial += gap
        features = row(rng, bad, 12)
        learner.learn(serial, features, learner.raw_logit(features), bad)
    return serial


@settings(deadline=None, max_examples=60)
@given(LESSONS, LESSONS, LESSONS, st.integers(0, 20), st.booleans())
def test_a_reverted_branch_leaves_no_trace(
    trunk: Lessons, branch: Lessons, after: Lessons, forgotten: int, restored: bool
) -> None:
    """What a taken-back branch taught is gone to the last bit, settled or not, restored or not."""
    learner, fresh = CodeLearner(SMALL), CodeLearner(SMALL)
    last = taught(learner, trunk, 0, 1)
    assert taught(fresh, trunk, 0, 1) == last
    learner.forget(min(forgotten, last))
    end = taught(learner, branch, last + 1, 2)
    if restored:
        copy = CodeLearner(SMALL)
        copy.load(msgspec.msgpack.decode(msgspec.msgpack.encode(learner.dump())))
        assert copy.content() == learner.content()
        learner = copy
    for serial in range(end, last, -1):
        learner.revert(serial)
    assert learner.content() == fresh.content()
    taught(learner, after, last + 1, 3)
    taught(fresh, after, last + 1, 3)
    assert learner.content() == fresh.content()
    assert learner.learnt == fresh.learnt


def test_the_model_is_bounded_whatever_it_learns() -> None:
    """After thousands of lessons a state is below half a megabyte."""
    rng, learner = random.Random(4), CodeLearner()
    for serial in range(1_500):
        learner.learn(serial, row(rng, serial % 3 == 0, 900), 0.0, serial % 3 == 0)
        learner.forget(serial)
    assert len(msgspec.msgpack.encode(learner.dump())) < 512 * 1024


def test_a_state_of_other_sizes_is_refused() -> None:
    """Rows beyond what is kept, and weights of other shapes, are no state of this model."""
    big, small = CodeLearner(), CodeLearner(SMALL)
    rng = random.Random(5)
    for serial in range(20):
        big.learn(serial, row(rng, True), 0.0, True)
        big.forget(serial)
    state: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(big.dump()))
    with pytest.raises(ValueError, match="kept"):
        small.load(state)
    state[0][0][0][1] = state[0][0][0][1][:-8]
    with pytest.raises(ValueError, match="not"):
        big.load(state)
