from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.contracts import (
    DELAY,
    Contracts,
    first_of_each,
    line,
    offline,
    order_of,
    ours,
    read,
)
from detect.bytecode import CodeReader
from tests.detect.codes import program

READER = CodeReader()


def made(count: int = 240) -> Contracts:
    """Contracts of which the bad ones know a selector that the good ones do not."""
    bad = np.arange(count) % 4 == 0
    codes = tuple(
        READER.of_runtime(
            (b"\x63\x01\x02\x03\x04" if b else b"\x63\x0a\x0b\x0c\x0d") + program(n, 80)
        )
        for n, b in enumerate(bad)
    )
    order = np.random.default_rng(1).permutation(count)
    return Contracts(codes, bad, (order[: count // 2], order[count // 2 :]), count, 0.0)


def test_copies_are_one_code_and_the_first_stands_for_them() -> None:
    """Contracts that differ in constants, or a little, are one; others are not."""
    original = program(1)
    copies = [original, program(2), original + b"\x5b", program(3), b"\x73" + bytes(20) + original]
    assert first_of_each([READER.of_runtime(code) for code in copies]) == [0, 1, 3]


def test_labels_reach_the_online_model_late_and_the_judged_half_is_scored() -> None:
    """Turning the labels that can be known changes scores; turning those that cannot does not."""
    contracts = made()
    order = order_of(contracts, 0)
    scores = ours(contracts, order)
    assert not np.isnan(scores[contracts.halves[1]]).any()
    for turned, place in ((order[-DELAY - 2], -1), (order[-DELAY], -1)):
        other = contracts.bad.copy()
        other[turned] = ~other[turned]
        again = ours(Contracts(contracts.codes, other, contracts.halves, 0, 0.0), order)
        known = turned == order[-DELAY - 2]
        assert (again[order[place]] != scores[order[place]]) == known
    row = line("ours", contracts, ours, [order])
    assert row[0] == "ours"
    assert isinstance(row[1], float)
    assert row[1] > 0.9


def test_the_offline_model_never_sees_what_it_judges() -> None:
    """Turning every label of the second half leaves its scores as they are."""
    contracts = made()
    order = order_of(contracts, 0)
    other = contracts.bad.copy()
    other[contracts.halves[1]] = ~other[contracts.halves[1]]
    turned = Contracts(contracts.codes, other, contracts.halves, 0, 0.0)
    once = offline(1.0)
    assert np.array_equal(once(contracts, order), once(turned, order), equal_nan=True)


@pytest.mark.data
def test_the_model_is_as_good_as_one_trained_offline_on_real_code(shared_data: Path) -> None:
    """On 410 real codes that come after 410 others: at least the offline model's figures."""
    contracts = read(shared_data / "contracts" / "ponzi.parquet")
    assert (contracts.read, len(contracts.codes), int(contracts.bad.sum())) == (978, 820, 56)
    orders = [order_of(contracts, 0)]
    mine, theirs = (line("", contracts, model, orders) for model in (ours, offline(100.0)))
    assert isinstance(mine[1], float)
    assert isinstance(theirs[1], float)
    assert mine[1] >= theirs[1] - 1e-9
    assert mine[1] > 0.99
