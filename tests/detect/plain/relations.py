"""What the risk model remembers of wallets beside their own state: those they deal with."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tests.detect.chains import Flow
from tests.detect.oracle import AMOUNTS, COUNTS, SECONDS, log_scaled, share
from tests.detect.plain.numbers import leading, single, weight

WAYS = 4


@dataclass(slots=True)
class Relation:
    """A wallet's relations."""

    key: int
    in_value: float = 0.0
    held: float = 0.0
    early_value: float = 0.0  # received within the life that is judged
    first_in: int = 0
    last_in: int = 0
    first_out: int = 0
    last_out: int = 0
    last_seen: int = 0
    events: int = 0
    incomes: int = 0
    spendings: int = 0
    before_spending: int = 0
    sweeps: int = 0
    received: int = 0
    sent: int = 0
    payers: int = 0
    payees: int = 0
    bad_payers: int = 0
    bad_payees: int = 0
    is_bad: bool = False
    largest_in: float = 0.0
    smallest_in: float = 0.0
    income_gap: float = 0.0
    payers_share: float = 0.0
    payers_unfunded: float = 0.0
    payers_income: float = 0.0
    payers_idle: float = 0.0
    payees_income: float = 0.0
    payees_events: float = 0.0
    payers_risk: float = 0.0
    payees_risk: float = 0.0
    lure_risk: float = 0.0
    sink_risk: float = 0.0
    payers_bad: float = 0.0
    payees_bad: float = 0.0
    lure_bad: float = 0.0
    sink_bad: float = 0.0
    risk: float = 0.0
    top_risk: float = 0.0
    payers_top_risk: float = 0.0
    payees_top_risk: float = 0.0
    funder_risk: float = 0.0
    met_payers_risk: float = 0.0
    met_payees_risk: float = 0.0


class Relations:
    """Sets of four by keyed hash: the one with the fewest events, the longest unseen, gives way."""

    def __init__(self, capacity: int) -> None:
        self.count = capacity // WAYS
        self.sets: dict[int, list[Relation]] = {}

    def get(self, hashed: int) -> Relation | None:
        """The relations of a wallet, if they are remembered."""
        key = hashed | 1
        here = self.sets.get((key >> 7) % self.count, ())
        return next((one for one in here if one.key == key), None)

    def of(self, hashed: int, kept: Relation | None = None) -> Relation:
        """The relations of a wallet, remembered from now on; never in the place of ``kept``."""
        known = self.get(hashed)
        if known is None:
            known = Relation(hashed | 1)
            here = self.sets.setdefault((known.key >> 7) % self.count, [])
            if len(here) < WAYS:
                here.append(known)
            else:
                others = [n for n in range(WAYS) if here[n] is not kept]
                least = min(others, key=lambda n: (here[n].events, here[n].last_seen))
                here[least] = known
        return known

    def learn(
        self, x: Flow, value: float, hashes: tuple[int | None, int | None], met: bool, early: bool
    ) -> tuple[Relation | None, Relation | None]:
        """What a flow changes of its parties' relations; both, None for the zero address."""
        s = None if hashes[0] is None else self.of(hashes[0])
        r = s if hashes[0] == hashes[1] else None
        if r is None and hashes[1] is not None:
            r = self.of(hashes[1], s)
        if x.token is None and s is not r:
            if s is not None and r is not None:
                _relate(s, r, x.time, value, met)
            if not x.failed and value > 0.0:
                if r is not None:
                    _receive(r, x.time, value, early)
                if s is not None:
                    _spend(s, x.time, value)
        for one in (s, r) if s is not r else (s,):
            if one is not None:
                one.events += 1
                one.last_seen = x.time
        return s, r


def _blend(mean: float, value: float, count: int) -> float:
    """A running mean after the n-th value."""
    return single(mean + weight(count) * (value - mean))


def _blend_risk(mean: float, risk: float, count: int) -> float:
    """The same of a risk: both are in single precision, and so is their difference."""
    return single(mean + weight(count) * single(risk - mean))


def _relate(s: Relation, r: Relation, now: int, value: float, met: bool) -> None:
    """Each side learns of the other as it was before the flow."""
    r.received += 1
    s.sent += 1
    n = r.received
    part = value / s.held if 0.0 < value <= s.held else 1.0
    idle = log_scaled(float(now) - s.last_seen, SECONDS) if s.events > 0 else 0.0
    r.payers_share = _blend(r.payers_share, part, n)
    r.payers_unfunded = _blend(r.payers_unfunded, float(s.incomes == 0), n)
    r.payers_income = _blend(r.payers_income, log_scaled(s.in_value / 1e12, AMOUNTS), n)
    r.payers_idle = _blend(r.payers_idle, idle, n)
    r.payers_risk = _blend_risk(r.payers_risk, s.risk, n)
    r.payers_bad = _blend(r.payers_bad, float(s.is_bad), n)
    r.lure_risk = _blend(r.lure_risk, share(s.met_payees_risk, s.payees), n)
    r.lure_bad = _blend(r.lure_bad, share(s.bad_payees, s.payees), n)
    r.payers_top_risk = max(r.payers_top_risk, s.risk)
    n = s.sent
    s.payees_income = _blend(s.payees_income, log_scaled(r.in_value / 1e12, AMOUNTS), n)
    s.payees_events = _blend(s.payees_events, log_scaled(r.events, COUNTS), n)
    s.payees_risk = _blend_risk(s.payees_risk, r.risk, n)
    s.payees_bad = _blend(s.payees_bad, float(r.is_bad), n)
    s.sink_risk = _blend(s.sink_risk, share(r.met_payers_risk, r.payers), n)
    s.sink_bad = _blend(s.sink_bad, share(r.bad_payers, r.payers), n)
    s.payees_top_risk = max(s.payees_top_risk, r.risk)
    if not met:
        r.payers += 1
        s.payees += 1
        r.met_payers_risk = single(r.met_payers_risk + s.top_risk)
        s.met_payees_risk = single(s.met_payees_risk + r.top_risk)
        r.bad_payers += s.is_bad
        s.bad_payees += r.is_bad
    if r.incomes == 0:
        r.funder_risk = s.risk


def _receive(r: Relation, now: int, value: float, early: bool) -> None:
    if r.incomes == 0:
        r.first_in = now
        r.smallest_in = single(value)
    else:
        gap = log_scaled(float(now) - r.last_in, SECONDS)
        r.income_gap = _blend(r.income_gap, gap, r.incomes)
    r.incomes += 1
    r.before_spending += r.spendings == 0
    r.last_in = now
    r.in_value += value
    r.held += value
    if early:
        r.early_value += value
    r.largest_in = max(r.largest_in, single(value))
    r.smallest_in = min(r.smallest_in, single(value))


def _spend(s: Relation, now: int, value: float) -> None:
    if s.spendings == 0:
        s.first_out = now
    s.spendings += 1
    s.sweeps += s.held > 0.0 and value >= 0.9 * s.held
    s.held = max(0.0, s.held - value)
    s.last_out = now


def digits(value: float) -> float:
    """How many significant digits an amount has, 15 at most."""
    if value <= 0.0:
        return 0.0
    scaled = leading(value)
    for found in range(1, 15):
        if abs(scaled - math.floor(scaled + 0.5)) <= 1e-9:
            return float(found)
        scaled *= 10.0
    return 15.0


def _since(now: int, then: int) -> float:
    return log_scaled(float(now) - then, SECONDS) if then else 1.0


def relation_features(
    w: Relation, other: Relation | None, sends: bool, value: float, now: int
) -> dict[str, float]:
    """The relations of a wallet at a flow, but for the anomaly scores."""
    delay = 1.0
    if w.first_in > 0 and w.first_out > 0:
        delay = log_scaled(float(w.first_out) - w.first_in, SECONDS)
    f = {
        "sends": float(sends),
        "digits": digits(value) / 15.0,
        "largest_in": log_scaled(w.largest_in / 1e12, AMOUNTS),
        "smallest_in": log_scaled(w.smallest_in / 1e12, AMOUNTS),
        "largest_in_share": share(w.largest_in, w.in_value),
        "incomes_before_spending": log_scaled(w.before_spending, COUNTS),
        "sweep_share": share(w.sweeps, w.spendings),
        "spend_delay": delay,
        "income_gap": w.income_gap,
        "since_income": _since(now, w.last_in),
        "since_spending": _since(now, w.last_out),
        "payers_share": w.payers_share,
        "payers_unfunded": w.payers_unfunded,
        "payers_income": w.payers_income,
        "payers_idle": w.payers_idle,
        "payees_income": w.payees_income,
        "payees_events": w.payees_events,
        "other_risk": 0.0 if other is None else other.risk,
        "funder_risk": w.funder_risk,
        "payers_risk": w.payers_risk,
        "payers_top_risk": w.payers_top_risk,
        "payees_risk": w.payees_risk,
        "payees_top_risk": w.payees_top_risk,
        "lure_risk": w.lure_risk,
        "sink_risk": w.sink_risk,
        "payers_bad": w.payers_bad,
        "payees_bad": w.payees_bad,
        "lure_bad": w.lure_bad,
        "sink_bad": w.sink_bad,
    }
    return {name: single(value) for name, value in f.items()}
