"""Every feature from its definition: slow, plain Python over the history before the event."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from chainwarden.schema import ZERO_ADDRESS
from tests.detect.chains import Creation, Event, Flow, Mark

HOUR, DAY = 3600, 86_400
COUNTS, DEGREES, SECONDS, AMOUNTS, WEI = 1e5, 1e4, 3.2e8, 1e15, 1e27


def log_scaled(value: float, top: float) -> float:
    """0 at 0, 1 at ``top``."""
    return min(1.0, math.log1p(value) / math.log1p(top)) if value > 0 else 0.0


def share(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0


def centred(z: float) -> float:
    """Squashed into (0, 1)."""
    return 0.5 + 0.5 * z / (1 + abs(z))


def fading_mean(values: Sequence[float]) -> tuple[float, float]:
    """Mean and variance where the n-th value weighs 1/n, at least 1/20."""
    mean = variance = 0.0
    for n, value in enumerate(values, 1):
        weight = max(1 / n, 0.05)
        off = value - mean
        mean, variance = mean + weight * off, (1 - weight) * (variance + weight * off * off)
    return mean, variance


def is_round(value: float) -> bool:
    """At most two significant digits."""
    return value > 0 and len(str(int(value)).rstrip("0")) <= 2


class Wallet:
    """What the first ``n`` events say of an address."""

    def __init__(self, history: Sequence[Event], n: int, address: bytes) -> None:
        self.history, self.n, self.address = history, n, address
        past = [(k, e) for k, e in enumerate(history[:n])]
        self.flows = [
            (k, e) for k, e in past if isinstance(e, Flow) and address in (e.sender, e.receiver)
        ]
        self.sent = [(k, f) for k, f in self.flows if f.sender == address]
        self.received = [(k, f) for k, f in self.flows if f.receiver == address]
        self.coin_sent = [(k, f) for k, f in self.sent if f.token is None]
        self.coin_received = [(k, f) for k, f in self.received if f.token is None]
        moved = [(k, f) for k, f in self.flows if f.token is None and not f.failed and f.value > 0]
        self.moved = [(k, f) for k, f in moved if f.sender != f.receiver]
        self.ins = [(k, f) for k, f in self.moved if f.receiver == address]
        self.outs = [(k, f) for k, f in self.moved if f.sender == address]
        self.created = [e for _, e in past if isinstance(e, Creation) and e.creator == address]
        marks = [
            e.time
            for _, e in past
            if (isinstance(e, Mark) and e.address == address)
            or (isinstance(e, Creation) and e.contract == address)
        ]
        self.is_contract = bool(marks)
        times = marks + [e.time for e in self.created] + [f.time for _, f in self.flows]
        self.known = bool(times) and address != ZERO_ADDRESS
        self.first_seen = min(times) if times else 0
        self.last_seen = self.flows[-1][1].time if self.flows else self.first_seen

    def others(self, sends: bool) -> set[bytes]:
        """Those it paid, or was paid by."""
        side = self.sent if sends else self.received
        found = {f.receiver if sends else f.sender for _, f in side}
        return found - {self.address, ZERO_ADDRESS}

    @property
    def fan_out(self) -> int:
        """How many it paid."""
        return len(self.others(True))

    @property
    def fan_in(self) -> int:
        """How many paid it."""
        return len(self.others(False))

    @property
    def peers(self) -> int:
        """How many it met."""
        return len(self.others(True) | self.others(False))

    def level(self, now: int, half_life: float) -> float:
        """Its events, each halved per half-life."""
        return sum(2 ** (-(now - f.time) / half_life) for _, f in self.flows)

    def amounts(self, ins: bool) -> list[float]:
        """The logs of what came in, or left."""
        return [math.log1p(f.value) for _, f in (self.ins if ins else self.outs)]

    def purse(self) -> tuple[float, float, float, list[float]]:
        """What it holds, since when on average, what passed within a day, holding times."""
        held = since = passed = 0.0
        last_in, holds = 0, []
        for _, f in self.moved:
            if f.receiver == self.address:
                since = (since * held + f.time * f.value) / (held + f.value)
                held, last_in = held + f.value, f.time
            elif held > 0:
                holds.append(math.log1p(max(0, f.time - since)))
                if f.time - last_in <= DAY:
                    passed += min(f.value, held)
                held = max(0.0, held - f.value)
        return held, since, passed, holds

    def counterparts(self, sends: bool) -> list[tuple[Wallet, Flow]]:
        """The other side of each coin flow, as it was before that flow."""
        side = self.coin_sent if sends else self.coin_received
        pairs = [(k, f, f.receiver if sends else f.sender) for k, f in side]
        return [
            (Wallet(self.history, k, other), f)
            for k, f, other in pairs
            if other not in (self.address, ZERO_ADDRESS)
        ]

    def trait(self, sends: bool, of: Callable[[Wallet, Flow], float]) -> float:
        """A fading mean over counterparts; those that are nobody keep their weight."""
        mean = 0.0
        side = self.coin_sent if sends else self.coin_received
        met = {id(f): w for w, f in self.counterparts(sends)}
        for n, (_, f) in enumerate(side, 1):
            if id(f) in met:
                mean += max(1 / n, 0.05) * (of(met[id(f)], f) - mean)
        return mean

    @property
    def next_nonce(self) -> int:
        """One above its highest nonce, 0 for none."""
        nonces = [f.nonce for _, f in self.sent if f.own and f.nonce is not None]
        return 1 + max(nonces) if nonces else 0


def age(wallet: Wallet, flow: Flow) -> float:
    """How long a wallet had been seen at a flow."""
    return flow.time - wallet.first_seen if wallet.known else 0.0


def is_fresh(wallet: Wallet, flow: Flow) -> bool:
    """Hardly seen before."""
    return len(wallet.flows) < 5 and age(wallet, flow) <= 5 * DAY


def gas_ratio(history: Sequence[Event], n: int, flow: Flow) -> float:
    """The log of a flow's gas price over what is usual."""
    prices = [e.gas_price for e in history[:n] if isinstance(e, Flow) and e.own and e.gas_price]
    if flow.gas_price is None or not prices:
        return 0.0
    mean = 0.0
    for k, price in enumerate(prices, 1):
        mean += max(1 / k, 0.01) * (math.log(price) - mean)
    return math.log(flow.gas_price) - mean


def deviation(value: float, values: Sequence[float]) -> float:
    """Against earlier values."""
    if len(values) < 2:
        return 0.5
    mean, variance = fading_mean(values)
    return centred((value - mean) / math.sqrt(variance + 0.01))


def flow_features(history: Sequence[Event], n: int) -> dict[str, float]:
    """The features of flow ``n`` of a history, from the events before it."""
    x = history[n]
    assert isinstance(x, Flow)
    s, r = Wallet(history, n, x.sender), Wallet(history, n, x.receiver)
    mint, burn = x.sender == ZERO_ADDRESS, x.receiver == ZERO_ADDRESS
    coin = x.token is None
    log_value = math.log1p(x.value)
    f = {
        "amount": log_scaled(x.value / 1e12, AMOUNTS) if coin else 0.0,
        "amount_vs_sender": 0.5,
        "amount_vs_receiver": 0.5,
        "amount_vs_token": 0.5,
        "share_of_held": 0.5,
        "round_amount": float(coin and is_round(x.value)),
        "zero_value": float(x.value == 0),
        "same_amount": 0.0,
        "is_token": float(not coin),
        "token_holders": 0.0,
        "token_age": 0.0,
        "has_input": float(x.has_input),
        "failed": float(x.failed),
        "pair_events": 0.0,
        "hold_time": 0.5,
        "sender_nonce": 0.5,
        "nonce_gap": 0.0,
        "gas_price": centred(gas_ratio(history, n, x)),
        "gas_used_share": 0.5 if x.gas_share is None else min(1.0, x.gas_share),
        "is_mint": float(mint),
        "is_burn": float(burn),
    }
    if not mint and not burn and x.sender != x.receiver:
        between = [g for _, g in s.flows if x.receiver in (g.sender, g.receiver)]
        f["pair_events"] = log_scaled(len(between), COUNTS)
    if coin and x.value > 0:
        if not mint:
            f["amount_vs_sender"] = deviation(log_value, s.amounts(ins=False))
            f["same_amount"] = float(bool(s.outs) and s.outs[-1][1].value == x.value)
            held, since, _, _ = s.purse()
            if held > 0:
                f["share_of_held"] = share(x.value, held)
                f["hold_time"] = log_scaled(x.time - since, SECONDS)
        if not burn:
            f["amount_vs_receiver"] = deviation(log_value, r.amounts(ins=True))
    if not coin:
        past = [e for e in history[:n] if isinstance(e, Flow) and e.token == x.token]
        f["amount_vs_token"] = deviation(log_value, [math.log1p(e.value) for e in past])
        f["token_holders"] = log_scaled(len({e.receiver for e in past} - {ZERO_ADDRESS}), COUNTS)
        f["token_age"] = log_scaled(x.time - past[0].time, SECONDS) if past else 0.0
    if not mint and x.nonce is not None:
        f["sender_nonce"] = log_scaled(x.nonce, COUNTS)
        if s.next_nonce:
            f["nonce_gap"] = log_scaled(x.nonce - s.next_nonce, DEGREES)
    for side, w, here in (("sender", s, not mint), ("receiver", r, not burn)):
        idle = x.time - w.last_seen if w.known else 0
        f[f"{side}_events"] = log_scaled(len(w.flows), COUNTS) * here
        f[f"{side}_fan_in"] = log_scaled(w.fan_in, DEGREES) * here
        f[f"{side}_fan_out"] = log_scaled(w.fan_out, DEGREES) * here
        f[f"{side}_age"] = log_scaled(age(w, x), SECONDS) * here
        f[f"{side}_idle"] = log_scaled(idle, SECONDS) * here
        f[f"{side}_burst"] = log_scaled(w.level(x.time, HOUR), COUNTS) * here
        income = sum(g.value for _, g in w.ins)
        f[f"{side}_pass_through"] = share(w.purse()[2], income) * here
        f[f"{side}_is_contract"] = float(w.is_contract and here)
    f["sender_new_share"] = share(s.fan_out, len(s.sent)) * (not mint)
    f["receiver_new_share"] = share(r.fan_in, len(r.received)) * (not burn)
    fresh = [is_fresh(w, g) for w, g in r.counterparts(sends=False)]
    f["receiver_fresh_share"] = share(sum(fresh), len(r.coin_received)) * (not burn)
    f["sender_failures"] = share(sum(g.failed for _, g in s.sent), len(s.sent)) * (not mint)
    zeros = [g.value == 0 for _, g in (*s.coin_sent, *s.coin_received)]
    f["sender_zero_share"] = share(sum(zeros), len(zeros)) * (not mint)
    return f


def wallet_features(history: Sequence[Event], n: int, address: bytes) -> dict[str, float]:
    """The features of a wallet after event ``n`` of a history."""
    w = Wallet(history, n + 1, address)
    now = history[n].time
    seen_for = now - w.first_seen
    times = [f.time for _, f in w.flows]
    gaps = [b - a for a, b in pairwise(times)]
    held, _, passed, holds = w.purse()
    ins, outs = [f.value for _, f in w.ins], [f.value for _, f in w.outs]
    in_mean, in_variance = fading_mean(w.amounts(ins=True))
    out_mean, out_variance = fading_mean(w.amounts(ins=False))
    coins = [f for _, f in (*w.coin_sent, *w.coin_received)]
    payers, payees = w.counterparts(sends=False), w.counterparts(sends=True)
    nonces = gas = 0.0
    highest = 0
    for k, f in w.sent:
        if f.own:
            if f.nonce is not None:
                nonces += highest > 0 and f.nonce > highest
                highest = max(highest, f.nonce + 1)
            gas += 0.2 * (gas_ratio(history, k, f) - gas)
    funder = None
    if w.ins and w.ins[0][1].sender != ZERO_ADDRESS:
        funder = Wallet(history, w.ins[0][0], w.ins[0][1].sender)
    log_degree, log_seconds, log_wei = map(math.log1p, (DEGREES, SECONDS, WEI))
    return {
        "events": log_scaled(len(w.flows), COUNTS),
        "sent_share": share(len(w.sent), len(w.sent) + len(w.received)),
        "fan_in": log_scaled(w.fan_in, DEGREES),
        "fan_out": log_scaled(w.fan_out, DEGREES),
        "fan_in_rate": share(w.fan_in, len(w.received)),
        "fan_out_rate": share(w.fan_out, len(w.sent)),
        "reciprocity": share(len(w.others(True) & w.others(False)), w.peers),
        "age": log_scaled(seen_for, SECONDS),
        "event_rate": log_scaled(len(w.flows) / (1 + seen_for / DAY), COUNTS),
        "mean_gap": log_scaled((times[-1] - w.first_seen) / max(1, len(times) - 1), SECONDS),
        "longest_gap": log_scaled(max(gaps, default=0), SECONDS),
        "burst_hour": log_scaled(w.level(now, HOUR), COUNTS),
        "burst_day": log_scaled(w.level(now, DAY), COUNTS),
        "in_value": log_scaled(sum(ins) / 1e12, AMOUNTS),
        "out_value": log_scaled(sum(outs) / 1e12, AMOUNTS),
        "held_share": share(held, sum(ins)),
        "pass_through": share(passed, sum(ins)),
        "hold_time": min(1, fading_mean(holds)[0] / log_seconds) if holds else 0.5,
        "in_amount": min(1, in_mean / log_wei),
        "in_spread": math.sqrt(in_variance) / (1 + math.sqrt(in_variance)),
        "out_amount": min(1, out_mean / log_wei),
        "out_spread": math.sqrt(out_variance) / (1 + math.sqrt(out_variance)),
        "equal_in_share": share(sum(a == b for a, b in pairwise(ins)), len(ins)),
        "equal_out_share": share(sum(a == b for a, b in pairwise(outs)), len(outs)),
        "round_share": share(sum(is_round(f.value) for f in coins), len(coins)),
        "zero_share": share(sum(f.value == 0 for f in coins), len(coins)),
        "failure_share": share(sum(f.failed for _, f in w.sent), len(w.sent)),
        "fresh_in_share": share(sum(is_fresh(*p) for p in payers), len(w.coin_received)),
        "fresh_out_share": share(sum(is_fresh(*p) for p in payees), len(w.coin_sent)),
        "hub_in_share": share(sum(p.fan_out >= 100 for p, _ in payers), len(w.coin_received)),
        "hub_out_share": share(sum(p.fan_in >= 100 for p, _ in payees), len(w.coin_sent)),
        "payers_degree": w.trait(False, lambda p, _: math.log1p(p.peers)) / log_degree,
        "payers_age": w.trait(False, lambda p, f: math.log1p(age(p, f))) / log_seconds,
        "payees_degree": w.trait(True, lambda p, _: math.log1p(p.fan_in)) / log_degree,
        "payees_age": w.trait(True, lambda p, f: math.log1p(age(p, f))) / log_seconds,
        "funder_age": log_scaled(age(funder, w.ins[0][1]), SECONDS) if funder else 0.5,
        "funder_fan_out": log_scaled(funder.fan_out, DEGREES) if funder else 0.5,
        "first_amount": log_scaled(ins[0], WEI) if ins else 0.0,
        "called_share": share(sum(f.has_input for _, f in w.coin_received), len(w.coin_received)),
        "calls_share": share(sum(f.has_input for _, f in w.coin_sent), len(w.coin_sent)),
        "token_share": share(sum(f.token is not None for _, f in w.flows), len(w.flows)),
        "is_contract": float(w.is_contract),
        "creations": log_scaled(len(w.created), DEGREES),
        "nonce_gaps": share(nonces, len(w.sent)),
        "gas_price": centred(gas),
    }
