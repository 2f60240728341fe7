"""A flow's features: what the state says about it before it is learnt."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.scaling import (
    COUNT_TOP,
    DEGREE_TOP,
    HOUR,
    NEUTRAL,
    SECONDS_TOP,
    WEI_TOP,
    WEI_UNIT,
    centred,
    decayed,
    deviation,
    flag,
    is_round,
    log_scaled,
    share,
)

AMOUNT_TOP: Final = WEI_TOP / WEI_UNIT


class FlowInput(NamedTuple):
    """What one flow brings itself, cleaned."""

    now: int
    value: float
    is_token: bool
    has_input: bool
    failed: bool
    nonce: int  # -1 where the source lacks it, or not the transaction's own flow
    gas_price: float  # log ratio to what is usual, 0 where the source lacks it
    gas_used_share: float  # neutral where the source lacks it
    pair_events: int


@compiled
def _party(rows: Array, row: int, now: int) -> tuple[float, float, float]:
    """Events, age and burst of a wallet before the flow."""
    w = rows[row]
    idle = max(0.0, float(now) - float(w.last_seen))
    return (
        log_scaled(max(0.0, float(now) - float(w.first_seen)), SECONDS_TOP),
        log_scaled(idle, SECONDS_TOP),
        log_scaled(decayed(w.hour, idle, HOUR), COUNT_TOP),
    )


@compiled
def flow_features(rows: Array, sender: int, receiver: int, x: FlowInput, f: Array) -> None:
    """Fill ``f`` (float32) with what the flow and its two parties say, row -1 for the zero address.

    What the token says (columns 3, 9 and 10) is left to ``token_features``.
    """
    valued = not x.is_token and x.value > 0.0
    f[:] = 0.0
    f[1] = f[2] = f[3] = f[4] = f[29] = f[34] = NEUTRAL
    log_value = math.log1p(x.value)
    if not x.is_token:
        f[0] = log_scaled(x.value / WEI_UNIT, AMOUNT_TOP)
        f[5] = flag(is_round(x.value))
    f[6] = flag(x.value == 0.0)
    f[8] = flag(x.is_token)
    f[11] = flag(x.has_input)
    f[12] = flag(x.failed)
    f[13] = log_scaled(x.pair_events, COUNT_TOP)
    if sender >= 0:
        s = rows[sender]
        if valued:
            f[1] = deviation(log_value, s.out_mean, s.out_variance, s.valued_out)
            f[7] = flag(s.valued_out > 0 and s.last_out_value == _single(x.value))
            if s.held > 0.0:
                f[4] = share(x.value, s.held)
                held_for = max(0.0, float(x.now) - s.held_since)
                f[29] = log_scaled(held_for, SECONDS_TOP)
        f[14] = log_scaled(s.events, COUNT_TOP)
        f[16] = log_scaled(s.fan_out, DEGREE_TOP)
        f[17] = log_scaled(s.fan_in, DEGREE_TOP)
        f[20] = share(s.fan_out, s.sent)
        f[23], f[25], f[27] = _party(rows, sender, x.now)
        f[30] = share(s.passed, s.in_value)
        f[32] = share(s.failed, s.sent)
        f[33] = share(s.zero_values, s.coin_sent + s.coin_received)
        if x.nonce >= 0:
            f[34] = log_scaled(x.nonce, COUNT_TOP)
            if s.nonce > 0:
                f[35] = log_scaled(x.nonce - s.nonce, DEGREE_TOP)
        f[38] = flag(s.is_contract)
    if receiver >= 0:
        r = rows[receiver]
        if valued:
            f[2] = deviation(log_value, r.in_mean, r.in_variance, r.valued_in)
        f[15] = log_scaled(r.events, COUNT_TOP)
        f[18] = log_scaled(r.fan_in, DEGREE_TOP)
        f[19] = log_scaled(r.fan_out, DEGREE_TOP)
        f[21] = share(r.fan_in, r.received)
        f[22] = share(r.fresh_in, r.coin_received)
        f[24], f[26], f[28] = _party(rows, receiver, x.now)
        f[31] = share(r.passed, r.in_value)
        f[39] = flag(r.is_contract)
    f[36] = centred(x.gas_price)
    f[37] = x.gas_used_share
    f[40] = flag(sender < 0)
    f[41] = flag(receiver < 0)


@compiled
def token_features(rows: Array, row: int, now: int, log_value: float, f: Array) -> None:
    """Fill in what the token's own history says."""
    t = rows[row]
    f[3] = deviation(log_value, t.mean, t.variance, t.flows)
    f[9] = log_scaled(t.holders, COUNT_TOP)
    f[10] = log_scaled(max(0.0, float(now) - float(t.first_seen)), SECONDS_TOP)


@compiled
def _single(value: float) -> float:
    """The value as a row keeps it, in single precision."""
    return float(np.float32(value))
