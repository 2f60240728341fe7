"""The contract model beside offline and online references, on real code split by code."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from river import linear_model, optim

from benchmarks.detection.section import DATA, Cell, Section
from detect.bytecode import FEATURES, Code, CodeReader, opcodes_of
from detect.code_learner import CodeLearner
from detect.compiled import Array
from detect.curves import auroc, average_precision, curve_of

CONTRACTS: Final = DATA / "contracts" / "ponzi.parquet"
TITLE: Final = "Contract risk: ponzi or dapp, by runtime code, one contract per code"
COLUMNS: Final = ("model", "AP", "AUROC", "log loss", "Brier", "mean score", "µs a contract")
SHINGLE: Final = 5  # opcodes
SAME_CODE: Final = 0.9  # Jaccard similarity of shingles from which two contracts are one code
DELAY: Final = 20  # contracts until a label is known
ORDERS: Final = 10
RETRAINED_EVERY: Final = 50
STRENGTHS: Final = (0.1, 1.0, 10.0, 100.0, 1000.0)  # scikit-learn's C
SPLIT_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Contracts:
    """One contract per code: what is read off it, and whether it is labelled ponzi."""

    codes: tuple[Code, ...]
    bad: Array  # bool
    halves: tuple[Array, Array]  # rows to choose and train on, rows to judge
    read: int
    seconds: float  # a contract took to read


Model = Callable[[Contracts, Sequence[int]], Array]
"""The probabilities of contracts that come in that order, NaN where there is none."""


def section(quick: bool) -> Section:
    """The table; ``quick`` takes one order instead of the mean of several."""
    if not CONTRACTS.exists():
        return Section("contracts", TITLE, skipped="the real data is not beside the project")
    contracts = read(CONTRACTS)
    train, judged = contracts.halves
    strength = chosen_strength(contracts)
    models: dict[str, Model] = {
        "chainwarden, as it ships, online": ours,
        "River LogisticRegression, AdaGrad, online": rivers,
        f"scikit-learn LogisticRegression, C {strength:g}, trained once": offline(strength),
        f"the same, trained again every {RETRAINED_EVERY} contracts": offline(
            strength, RETRAINED_EVERY
        ),
    }
    orders = [order_of(contracts, number) for number in range(1 if quick else ORDERS)]
    rows = [line(name, contracts, model, orders) for name, model in models.items()]
    notes = (
        f"{contracts.read} contracts are {len(contracts.codes)} codes: two are one if they share "
        f"{SAME_CODE:.0%} of the runs of {SHINGLE} opcodes that either has, in chains",
        f"codes shuffled once; {len(train)} to train on ({int(contracts.bad[train].sum())} ponzi), "
        f"then {len(judged)} that are judged ({int(contracts.bad[judged].sum())} ponzi)",
        f"online: a label is known {DELAY} contracts later, through both halves; means over "
        f"{len(orders)} orders of each half",
        f"C was chosen on the first half; reading a contract takes {contracts.seconds * 1e6:.0f} "
        "µs more",
    )
    return Section("contracts", TITLE, COLUMNS, rows, notes)


def read(path: Path) -> Contracts:
    """The labelled contracts, one for each code, the first in the file."""
    table = pq.read_table(path)
    reader = CodeReader()
    texts = table["runtime_bytecode"].to_pylist()
    runtimes = [bytes.fromhex(text.removeprefix("0x")) for text in texts]
    reader.of_runtime(runtimes[0])  # compiles, or loads
    began = time.perf_counter()
    codes = [reader.of_runtime(runtime) for runtime in runtimes]
    seconds = (time.perf_counter() - began) / len(codes)
    firsts = first_of_each(codes)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(firsts))
    half = len(firsts) // 2
    bad = np.array([label == "ponzi" for label in table["label"].to_pylist()])[firsts]
    kept = tuple(codes[first] for first in firsts)
    return Contracts(kept, bad, (order[:half], order[half:]), len(codes), seconds)


def first_of_each(codes: Sequence[Code]) -> list[int]:
    """The first of each group of contracts that are one code, by chains of similar ones."""
    shingles = [_shingles(code) for code in codes]
    group = list(range(len(codes)))

    def root(n: int) -> int:
        while group[n] != n:
            group[n] = group[group[n]]
            n = group[n]
        return n

    by_size = sorted(range(len(codes)), key=lambda n: len(shingles[n]))
    for place, n in enumerate(by_size):
        for other in by_size[place + 1 :]:
            if SAME_CODE * len(shingles[other]) > len(shingles[n]):
                break
            both = len(shingles[n] & shingles[other])
            if both >= SAME_CODE * (len(shingles[n]) + len(shingles[other]) - both):
                group[max(root(n), root(other))] = min(root(n), root(other))
    return [n for n in range(len(codes)) if root(n) == n]


def _shingles(code: Code) -> set[bytes]:
    opcodes = bytes(opcodes_of(code.runtime))
    return {opcodes[n : n + SHINGLE] for n in range(max(1, len(opcodes) - SHINGLE + 1))}


def order_of(contracts: Contracts, number: int) -> list[int]:
    """The contracts in one of several orders: the first half shuffled, then the second."""
    rng = np.random.default_rng(number)
    return [int(n) for half in contracts.halves for n in rng.permutation(half)]


# --- models ------------------------------------------------------------------------------------


def ours(contracts: Contracts, order: Sequence[int]) -> Array:
    """The model of the detector, which has no score in warm-up."""
    learner, scores = CodeLearner(), np.full(len(contracts.codes), np.nan)
    waiting: deque[tuple[int, float]] = deque()
    for serial, n in enumerate(order):
        if len(waiting) == DELAY:
            due, raw = waiting.popleft()
            learner.learn(serial, contracts.codes[due].features, raw, bool(contracts.bad[due]))
            learner.forget(serial)
        features = contracts.codes[n].features
        probability = learner.probability(features)
        scores[n] = math.nan if probability is None else probability
        waiting.append((n, learner.raw_logit(features)))
    return scores


def rivers(contracts: Contracts, order: Sequence[int]) -> Array:
    """River's own logistic regression on the same rows, at the best rate of the first half."""
    model: Any = linear_model.LogisticRegression(optim.AdaGrad(0.3, 1e-4))
    scores = np.full(len(contracts.codes), np.nan)
    rows = [_as_river(code) for code in contracts.codes]
    for place, n in enumerate(order):
        if place >= DELAY:
            due = order[place - DELAY]
            model.learn_one(rows[due], bool(contracts.bad[due]))
        scores[n] = model.predict_proba_one(rows[n])[True]
    return scores


def _as_river(code: Code) -> dict[int, float]:
    return dict.fromkeys(code.features.tolist(), 1.0 / math.sqrt(len(code.features)))


def offline(strength: float, every: int = 0) -> Model:
    """Logistic regression on the first half, or anew ``every`` so many on all that is known."""

    def run(contracts: Contracts, order: Sequence[int]) -> Array:
        X, half = matrix(contracts), len(contracts.halves[0])
        scores = np.full(len(X), np.nan)
        for start in range(half, len(order), every or len(order)):
            now = order[start : start + (every or len(order))]
            known = list(order[: max(half, start - DELAY)])
            scores[now] = fitted(X[known], contracts.bad[known], strength, X[now])
        return scores

    return run


def chosen_strength(contracts: Contracts) -> float:
    """The C with the best average precision in five-fold cross-validation of the first half."""
    X, train = matrix(contracts), contracts.halves[0]
    fold = np.empty(len(train), np.int64)  # as many ponzis in each fold
    for kind in (False, True):
        fold[contracts.bad[train] == kind] = (
            np.arange(int((contracts.bad[train] == kind).sum())) % 5
        )
    found = {}
    for strength in STRENGTHS:
        scores = np.empty(len(train))
        for held in range(5):
            rest = train[fold != held]
            now = train[fold == held]
            scores[fold == held] = fitted(X[rest], contracts.bad[rest], strength, X[now])
        found[strength] = average_precision(curve_of(scores, contracts.bad[train]))
    return max(found, key=lambda strength: (found[strength], -strength))


def fitted(X: Array, y: Array, strength: float, now: Array) -> Array:
    """What scikit-learn's logistic regression, fitted to rows, says of others."""
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(C=strength, max_iter=2_000)
    return np.asarray(model.fit(X, y).predict_proba(now)[:, 1])


def matrix(contracts: Contracts) -> Array:
    """The features as a dense matrix, rows of length 1."""
    X = np.zeros((len(contracts.codes), FEATURES))
    for row, code in zip(X, contracts.codes, strict=True):
        row[code.features] = 1.0 / math.sqrt(len(code.features))
    return X


# --- figures -----------------------------------------------------------------------------------


def line(
    name: str, contracts: Contracts, model: Model, orders: Sequence[Sequence[int]]
) -> tuple[Cell, ...]:
    """A row of the table: means over the orders, of the second half."""
    judged = contracts.halves[1]
    bad = contracts.bad[judged]
    found: list[tuple[float, ...]] = []
    seconds = 0.0
    for order in orders:
        began = time.perf_counter()
        scores = np.clip(model(contracts, order)[judged], 1e-12, 1.0 - 1e-12)
        seconds += time.perf_counter() - began
        loss = -float(np.mean(np.log(np.where(bad, scores, 1.0 - scores))))
        brier = float(np.mean((scores - bad) ** 2))
        curve = curve_of(scores, bad)
        mean = float(scores.mean())
        found.append((average_precision(curve), auroc(curve), loss, brier, mean))
    means = np.mean(found, axis=0).tolist()
    return name, *means, seconds / len(orders) / len(contracts.codes) * 1e6
