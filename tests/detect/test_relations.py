"""Relations against a plain bookkeeping of the same flows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.compiled import Array
from detect.features import RELATION_FEATURES
from detect.kernels.relations import digits
from detect.kernels.scaling import SECONDS_TOP, log_scaled
from tests.detect.risk_story import FEATURES, OWN, Story, small, story
from tests.detect.test_risk import model


@dataclass
class Books:
    """What a wallet received and spent."""

    ins: list[tuple[int, float]] = field(default_factory=list)
    outs: list[tuple[int, float]] = field(default_factory=list)
    held: float = 0.0
    sweeps: int = 0
    before: int = 0


def expected(told: Story) -> list[dict[str, float]]:
    """Some relations of every row's wallet, counted plainly."""
    batch = told.batch()
    flows, rows, books = batch.flows, batch.rows, defaultdict[int, Books](Books)
    out = []
    for i in range(len(flows.at)):
        sender, receiver = int(flows.sender[i]), int(flows.receiver[i])
        now, value = int(flows.at[i]), float(flows.value[i])
        if flows.is_coin[i] and flows.moved[i]:
            if not flows.no_receiver[i]:
                mine = books[receiver]
                mine.before += not mine.outs
                mine.ins.append((now, value))
                mine.held += value
            payer = books[sender]
            payer.sweeps += payer.held > 0 and value >= 0.9 * payer.held
            payer.held = max(0.0, payer.held - value)
            payer.outs.append((now, value))
        own = books[sender if rows.sends[i] else receiver]
        income = [v for _, v in own.ins]
        out.append(
            {
                "sends": float(rows.sends[i]),
                "largest_in_share": max(income) / sum(income) if income else 0.0,
                "sweep_share": own.sweeps / len(own.outs) if own.outs else 0.0,
                "since_income": (log_scaled(now - own.ins[-1][0], SECONDS_TOP) if own.ins else 1.0),
                "since_spending": (
                    log_scaled(now - own.outs[-1][0], SECONDS_TOP) if own.outs else 1.0
                ),
                "incomes_before_spending": log_scaled(own.before, 1e5),
            }
        )
    return out


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_relations_are_what_they_say(seed: int) -> None:
    """Amounts, times and counts equal a plain recount of the flows before and at the row."""
    told = story(seed, 60)
    # Room enough that nobody is evicted: 256 wallets and their partners in sets of four.
    warden = model(small(wallets=1 << 14))
    rows = warden.advance(told.batch())
    for row, wanted in zip(rows.features, expected(told), strict=True):
        got = dict(zip(FEATURES[len(OWN) :], row[len(OWN) :].tolist(), strict=False))
        assert set(wanted) <= set(RELATION_FEATURES)
        for name, value in wanted.items():
            assert abs(got[name] - value) < 1e-5, name


def test_digits_are_those_that_people_type() -> None:
    """Round amounts have few significant digits, amounts less a fee have many."""
    amounts: Array = np.array([0.0, 1e18, 2.5e18, 1.2345e18, 123456789012345678.0])
    assert [digits(float(a)) for a in amounts] == [0, 1, 2, 5, 15]
    assert digits(float("nan")) == 0


def test_everything_the_model_sees_is_finite_and_in_range() -> None:
    """Whatever came before, with a table far too small, features stay in [0, 1]."""
    warden = model(small(wallets=16))
    for first in range(0, 300, 20):
        X = warden.advance(story(9, 300).batch(first, first + 20)).features
        assert np.isfinite(X).all()
        assert X.min(initial=0.0) >= 0
        assert X.max(initial=0.0) <= 1
