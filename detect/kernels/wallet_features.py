"""A wallet's features, from its row; and what a row is worth when the table is full."""

from __future__ import annotations

import math
from typing import Final

from detect.compiled import Array, compiled
from detect.kernels.scaling import (
    COUNT_TOP,
    DAY,
    DEGREE_TOP,
    NEUTRAL,
    SECONDS_TOP,
    WEI_TOP,
    WEI_UNIT,
    centred,
    flag,
    log_scaled,
    share,
)
from detect.kernels.table import CANDIDATES, COUNT, HAND

AMOUNT_TOP: Final = WEI_TOP / WEI_UNIT
LOG_WEI_TOP: Final = math.log1p(WEI_TOP)
IDLE_WEIGHT: Final = 0.5  # what being idle costs a row: e times as long, half a unit
RISK_WEIGHT: Final = 4.0


@compiled
def worth_of(
    events: float,
    peers: float,
    is_contract: bool,
    moved: float,
    fresh_in: float,
    coin_received: float,
    passed: float,
    in_value: float,
    idle: float,
) -> float:
    """What a wallet is worth keeping for: its activity, its value, its risk, less its idleness.

    Risk is the shape of a collecting wallet: fresh payers and income passed on. One-event wallets
    with dust are worth least, so a flood of them evicts itself and not the victims' history.
    """
    activity = math.log1p(events) + math.log1p(peers) + flag(is_contract)
    value = 0.5 * math.log1p(moved / WEI_UNIT / 1e3)
    risk = share(fresh_in, coin_received + 1) + share(passed, in_value)
    return activity + value + RISK_WEIGHT * risk - IDLE_WEIGHT * math.log1p(idle)


@compiled
def worth(rows: Array, row: int, now: int) -> float:
    """What a row is worth keeping for."""
    w = rows[row]
    return worth_of(
        w.events,
        w.peers,
        w.is_contract,
        w.in_value + w.out_value,
        w.fresh_in,
        w.coin_received,
        w.passed,
        w.in_value,
        max(0.0, float(now) - float(w.last_seen)),
    )


@compiled
def token_worth(rows: Array, row: int, now: int) -> float:
    """The same for a token: its flows and holders, less its idleness."""
    t = rows[row]
    idle = math.log1p(max(0.0, float(now) - float(t.last_seen)))
    return math.log1p(t.flows) + math.log1p(t.holders) - IDLE_WEIGHT * idle


@compiled
def least_wallet(rows: Array, state: Array, now: int, kept: int) -> int:
    """The row to evict, the least worth of a few and never ``kept``; -1 while there is room.

    The few are spread over the table, from a hand that moves on: neighbours came at the same time,
    and are often all worth keeping or all worth nothing.
    """
    capacity = len(rows) - 1
    if state[COUNT] < capacity:
        return -1
    least, chosen = math.inf, -1
    for step in range(CANDIDATES):
        row = (state[HAND] + step * capacity // CANDIDATES) % capacity
        value = worth(rows, row, now)
        if row != kept and (chosen < 0 or value < least):
            least, chosen = value, row
    return chosen


@compiled
def least_token(rows: Array, state: Array, now: int) -> int:
    """The same for tokens."""
    capacity = len(rows) - 1
    if state[COUNT] < capacity:
        return -1
    least, chosen = math.inf, -1
    for step in range(CANDIDATES):
        row = (state[HAND] + step * capacity // CANDIDATES) % capacity
        value = token_worth(rows, row, now)
        if chosen < 0 or value < least:
            least, chosen = value, row
    return chosen


@compiled
def wallet_features(rows: Array, row: int, now: int, f: Array) -> None:
    """Fill ``f`` (float32) with the wallet's features, in the order of ``WALLET_FEATURES``."""
    w = rows[row]
    age = max(0.0, float(now) - float(w.first_seen))
    gaps = max(0.0, float(w.last_seen) - float(w.first_seen))
    f[0] = log_scaled(w.events, COUNT_TOP)
    f[1] = share(w.sent, w.sent + w.received)
    f[2] = log_scaled(w.fan_in, DEGREE_TOP)
    f[3] = log_scaled(w.fan_out, DEGREE_TOP)
    f[4] = share(w.fan_in, w.received)
    f[5] = share(w.fan_out, w.sent)
    f[6] = share(w.fan_in + w.fan_out - w.peers, w.peers)
    f[7] = log_scaled(age, SECONDS_TOP)
    f[8] = log_scaled(w.events / (1.0 + age / DAY), COUNT_TOP)
    f[9] = log_scaled(gaps / max(1, w.events - 1), SECONDS_TOP)
    f[10] = log_scaled(w.longest_gap, SECONDS_TOP)
    f[11] = log_scaled(w.hour, COUNT_TOP)
    f[12] = log_scaled(w.day, COUNT_TOP)
    f[13] = log_scaled(w.in_value / WEI_UNIT, AMOUNT_TOP)
    f[14] = log_scaled(w.out_value / WEI_UNIT, AMOUNT_TOP)
    f[15] = share(w.held, w.in_value)
    f[16] = share(w.passed, w.in_value)
    f[17] = NEUTRAL
    if w.held_flows > 0:
        f[17] = min(1.0, w.hold_time / math.log1p(SECONDS_TOP))
    f[18] = min(1.0, w.in_mean / LOG_WEI_TOP)
    f[19] = math.sqrt(w.in_variance) / (1.0 + math.sqrt(w.in_variance))
    f[20] = min(1.0, w.out_mean / LOG_WEI_TOP)
    f[21] = math.sqrt(w.out_variance) / (1.0 + math.sqrt(w.out_variance))
    f[22] = share(w.equal_in, w.valued_in)
    f[23] = share(w.equal_out, w.valued_out)
    f[24] = share(w.round_amounts, w.coin_sent + w.coin_received)
    f[25] = share(w.zero_values, w.coin_sent + w.coin_received)
    f[26] = share(w.failed, w.sent)
    f[27] = share(w.fresh_in, w.coin_received)
    f[28] = share(w.fresh_out, w.coin_sent)
    f[29] = share(w.hub_in, w.coin_received)
    f[30] = share(w.hub_out, w.coin_sent)
    f[31] = min(1.0, w.payers_degree / math.log1p(DEGREE_TOP))
    f[32] = min(1.0, w.payers_age / math.log1p(SECONDS_TOP))
    f[33] = min(1.0, w.payees_degree / math.log1p(DEGREE_TOP))
    f[34] = min(1.0, w.payees_age / math.log1p(SECONDS_TOP))
    f[35] = f[36] = NEUTRAL
    if w.first_amount > 0.0:
        f[35] = w.funder_age
        f[36] = w.funder_fan_out
    f[37] = w.first_amount
    f[38] = share(w.called, w.coin_received)
    f[39] = share(w.calls, w.coin_sent)
    f[40] = share(w.token_flows, w.events)
    f[41] = flag(w.is_contract)
    f[42] = log_scaled(w.creations, DEGREE_TOP)
    f[43] = share(w.nonce_gaps, w.sent)
    f[44] = centred(w.gas_price)


@compiled
def is_milestone(events: int) -> bool:
    """Whether a wallet is looked at at its n-th event: the first 8, 12, 16, 24 … 64, every 64th.

    Every one of the first eight, because what a thief takes comes early and comes fast.
    """
    if events <= 8:
        return True
    if events >= 64:
        return events % 64 == 0
    half = events // 3 if events % 3 == 0 else events
    return half & (half - 1) == 0
