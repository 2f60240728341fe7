"""The features of a flow and of a wallet, read from what is remembered."""

from __future__ import annotations

import math

from tests.detect.chains import Flow
from tests.detect.oracle import (
    AMOUNTS,
    COUNTS,
    DAY,
    DEGREES,
    HOUR,
    SECONDS,
    WEI,
    centred,
    log_scaled,
    share,
)
from tests.detect.plain.numbers import (
    burst,
    decayed,
    deviation,
    is_round,
    log_scaled_single,
    single,
)
from tests.detect.plain.state import Token, Wallet
from tests.detect.plain.wallets import MAX_NONCE, World

LOG_DEGREES, LOG_SECONDS, LOG_WEI = map(math.log1p, (DEGREES, SECONDS, WEI))


def cleaned(x: Flow) -> float:
    """A flow's amount, between 0 and what there can be; what is not a number is 0."""
    return min(x.value, WEI if x.token is None else 1.2e77) if x.value > 0.0 else 0.0


def flow_features(
    world: World, x: Flow, value: float, s: Wallet | None, r: Wallet | None, token: Token | None
) -> dict[str, float]:
    """What is known of a flow before it is learnt; the zero address is None."""
    coin, now = x.token is None, x.time
    f = {
        "amount": log_scaled(value / 1e12, AMOUNTS) if coin else 0.0,
        "amount_vs_sender": 0.5,
        "amount_vs_receiver": 0.5,
        "amount_vs_token": 0.5,
        "share_of_held": 0.5,
        "round_amount": float(coin and is_round(value)),
        "zero_value": float(value == 0.0),
        "same_amount": 0.0,
        "is_token": float(not coin),
        "token_holders": 0.0,
        "token_age": 0.0,
        "has_input": float(x.has_input),
        "failed": float(x.failed),
        "pair_events": log_scaled(sum(world.pair(s, r)), COUNTS),
        "sender_new_share": 0.0,
        "receiver_new_share": 0.0,
        "receiver_fresh_share": 0.0,
        "hold_time": 0.5,
        "sender_failures": 0.0,
        "sender_zero_share": 0.0,
        "sender_nonce": 0.5,
        "nonce_gap": 0.0,
        "gas_price": centred(world.gas_ratio(x)),
        "gas_used_share": 0.5 if x.gas_share is None else share(x.gas_share, 1.0),
        "is_mint": float(s is None),
        "is_burn": float(r is None),
        **_party("sender", s, now),
        **_party("receiver", r, now),
    }
    if token is not None:
        f["amount_vs_token"] = deviation(math.log1p(value), token.mean, token.variance, token.flows)
        f["token_holders"] = log_scaled(token.holders, COUNTS)
        f["token_age"] = log_scaled(now - token.first_seen, SECONDS)
    if s is not None:
        f |= _sender(s, x, value)
    if r is not None:
        if coin and value > 0.0:
            amount = math.log1p(value)
            f["amount_vs_receiver"] = deviation(amount, r.in_mean, r.in_variance, r.valued_in)
        f["receiver_new_share"] = share(r.fan_in, r.received)
        f["receiver_fresh_share"] = share(r.fresh_in, r.coin_received)
    return {name: single(value) for name, value in f.items()}


def _sender(s: Wallet, x: Flow, value: float) -> dict[str, float]:
    f = {
        "sender_new_share": share(s.fan_out, s.sent),
        "sender_failures": share(s.failed, s.sent),
        "sender_zero_share": share(s.zero_values, s.coin_sent + s.coin_received),
    }
    if x.token is None and value > 0.0:
        f["amount_vs_sender"] = deviation(
            math.log1p(value), s.out_mean, s.out_variance, s.valued_out
        )
        f["same_amount"] = float(s.valued_out > 0 and s.last_out_value == single(value))
        if s.held > 0.0:
            f["share_of_held"] = share(value, s.held)
            f["hold_time"] = log_scaled(x.time - s.held_since, SECONDS)
    if x.nonce is not None:
        nonce = min(x.nonce, MAX_NONCE)
        f["sender_nonce"] = log_scaled(nonce, COUNTS)
        if s.nonce > 0:
            f["nonce_gap"] = log_scaled(nonce - s.nonce, DEGREES)
    return f


def _party(side: str, w: Wallet | None, now: int) -> dict[str, float]:
    if w is None:
        names = ("events", "fan_in", "fan_out", "age", "idle", "burst", "pass_through")
        return {f"{side}_{name}": 0.0 for name in (*names, "is_contract")}
    idle = max(0.0, float(now) - w.last_seen)
    return {
        f"{side}_events": log_scaled(w.events, COUNTS),
        f"{side}_fan_in": log_scaled(w.fan_in, DEGREES),
        f"{side}_fan_out": log_scaled(w.fan_out, DEGREES),
        f"{side}_age": log_scaled(now - w.first_seen, SECONDS),
        f"{side}_idle": log_scaled(idle, SECONDS),
        f"{side}_burst": log_scaled(decayed(w.hour, idle, HOUR), COUNTS),
        f"{side}_pass_through": share(w.passed, w.in_value),
        f"{side}_is_contract": float(w.is_contract),
    }


def wallet_features(w: Wallet, now: int) -> dict[str, float]:
    """What is known of a wallet after an event of its own."""
    age = max(0.0, float(now) - w.first_seen)
    life = max(0.0, float(w.last_seen) - w.first_seen)
    coins = w.coin_sent + w.coin_received
    in_spread, out_spread = single(math.sqrt(w.in_variance)), single(math.sqrt(w.out_variance))
    f = {
        "events": log_scaled(w.events, COUNTS),
        "sent_share": share(w.sent, w.sent + w.received),
        "fan_in": log_scaled(w.fan_in, DEGREES),
        "fan_out": log_scaled(w.fan_out, DEGREES),
        "fan_in_rate": share(w.fan_in, w.received),
        "fan_out_rate": share(w.fan_out, w.sent),
        "reciprocity": share(w.fan_in + w.fan_out - w.peers, w.peers),
        "age": log_scaled(age, SECONDS),
        "event_rate": log_scaled(w.events / (1.0 + age / DAY), COUNTS),
        "mean_gap": log_scaled(life / max(1, w.events - 1), SECONDS),
        "longest_gap": log_scaled_single(w.longest_gap, SECONDS),
        "burst_hour": burst(w.hour),
        "burst_day": burst(w.day),
        "in_value": log_scaled(w.in_value / 1e12, AMOUNTS),
        "out_value": log_scaled(w.out_value / 1e12, AMOUNTS),
        "held_share": share(w.held, w.in_value),
        "pass_through": share(w.passed, w.in_value),
        "hold_time": min(1.0, w.hold_time / LOG_SECONDS) if w.held_flows > 0 else 0.5,
        "in_amount": min(1.0, w.in_mean / LOG_WEI),
        "in_spread": in_spread / (1.0 + in_spread),
        "out_amount": min(1.0, w.out_mean / LOG_WEI),
        "out_spread": out_spread / (1.0 + out_spread),
        "equal_in_share": share(w.equal_in, w.valued_in),
        "equal_out_share": share(w.equal_out, w.valued_out),
        "round_share": share(w.round_amounts, coins),
        "zero_share": share(w.zero_values, coins),
        "failure_share": share(w.failed, w.sent),
        "fresh_in_share": share(w.fresh_in, w.coin_received),
        "fresh_out_share": share(w.fresh_out, w.coin_sent),
        "hub_in_share": share(w.hub_in, w.coin_received),
        "hub_out_share": share(w.hub_out, w.coin_sent),
        "payers_degree": min(1.0, w.payers_degree / LOG_DEGREES),
        "payers_age": min(1.0, w.payers_age / LOG_SECONDS),
        "payees_degree": min(1.0, w.payees_degree / LOG_DEGREES),
        "payees_age": min(1.0, w.payees_age / LOG_SECONDS),
        "funder_age": w.funder_age if w.first_amount > 0.0 else 0.5,
        "funder_fan_out": w.funder_fan_out if w.first_amount > 0.0 else 0.5,
        "first_amount": w.first_amount,
        "called_share": share(w.called, w.coin_received),
        "calls_share": share(w.calls, w.coin_sent),
        "token_share": share(w.token_flows, w.events),
        "is_contract": float(w.is_contract),
        "creations": log_scaled(w.creations, DEGREES),
        "nonce_gaps": share(w.nonce_gaps, w.sent),
        "gas_price": centred(w.gas_price),
    }
    return {name: single(value) for name, value in f.items()}


def is_milestone(events: int) -> bool:
    """The first eight events, 12, 16, 24 … 64, and every 64th."""
    if events <= 8 or events >= 64:
        return events <= 8 or events % 64 == 0
    return events in (12, 16, 24, 32, 48)
