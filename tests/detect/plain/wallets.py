"""What a flow changes of its two parties, their pair and its token."""

from __future__ import annotations

import math
from typing import Final

from chainwarden.schema import ZERO_ADDRESS
from detect.detector_config import DetectorConfig
from tests.detect.chains import Creation, Event, Flow, Mark
from tests.detect.oracle import DAY, DEGREES, HOUR, SECONDS, WEI, log_scaled, share
from tests.detect.plain.numbers import (
    decayed,
    is_round,
    mixed,
    nudged,
    running,
    single,
    siphash,
    weight,
)
from tests.detect.plain.state import Token, Wallet
from tests.detect.plain.tables import Pairs, Table, pair_key

MAX_NONCE: Final = 2**32 - 2


class World:
    """Every wallet, token and pair, and what gas usually costs."""

    def __init__(self, config: DetectorConfig) -> None:
        self.secret = config.hash_key
        self.wallets = Table(config.wallets, worth)
        self.tokens = Table(config.tokens, token_worth)
        self.pairs = Pairs(config.pairs)
        self.gas = 0.0  # mean of the log price
        self.prices = 0

    def wallet(self, address: bytes, now: int, kept: Wallet | None = None) -> Wallet | None:
        """A wallet, known from now on; None for the zero address."""
        if address == ZERO_ADDRESS:
            return None
        known = self.wallets.get(address)
        if known is None:
            fresh = Wallet(address, siphash(self.secret, address), now, now)
            known = self.wallets.admit(fresh, now, kept)
        return known

    def token(self, address: bytes, now: int) -> Token:
        """A token, known from now on."""
        known = self.tokens.get(address)
        return known or self.tokens.admit(Token(address, now), now)

    def note(self, event: Event) -> None:
        """An event that is no flow."""
        if isinstance(event, Mark):
            self._mark(event.address, event.time)
        if isinstance(event, Creation):
            self._mark(event.contract, event.time)
            creator = self.wallet(event.creator, event.time)
            if creator is not None:
                creator.creations += 1

    def _mark(self, address: bytes, now: int) -> None:
        wallet = self.wallet(address, now)
        if wallet is not None:
            wallet.is_contract = True

    def pair(self, s: Wallet | None, r: Wallet | None) -> tuple[int, int]:
        """Flows between two so far, from the one to the other and back."""
        if s is None or r is None or s is r:
            return 0, 0
        key, up = pair_key(s.hashed, r.hashed)
        pair = self.pairs.get(key)
        if pair is None:
            return 0, 0
        return (pair.up, pair.down) if up else (pair.down, pair.up)

    def gas_ratio(self, x: Flow) -> float:
        """The log of a flow's gas price over what is usual."""
        return math.log(x.gas_price) - self.gas if x.gas_price and self.prices else 0.0

    def learn(self, x: Flow, value: float, s: Wallet | None, r: Wallet | None) -> None:
        """What a flow changes of its parties and their pair. ``value`` is cleaned."""
        forth, back = self.pair(s, r)
        gas = self.gas_ratio(x)
        if s is not None:
            _count(s, x, value, sends=True)
        if r is not None:
            _count(r, x, value, sends=False)
        if s is not None and r is not None and s is not r and x.token is None:
            _learn_of_each_other(s, r, x.time)
        if x.token is None and not x.failed and value > 0.0 and s is not r:
            if r is not None:
                _take_in(r, s, value, x.time)
            if s is not None:
                _pay_out(s, value, x.time)
        if s is not None and x.own:
            _sign(s, x, gas)
        if s is not None and r is not None and s is not r:
            _meet(s, r, forth > 0, back > 0)
            key, up = pair_key(s.hashed, r.hashed)
            self.pairs.add(key, up, x.time)

    def learn_gas(self, x: Flow) -> None:
        """A price moves what is usual."""
        if x.gas_price:
            self.prices += 1
            share = max(1.0 / self.prices, 0.01)
            self.gas += share * (math.log(x.gas_price) - self.gas)

    def learn_token(self, token: Token, x: Flow, value: float, r: Wallet | None) -> None:
        """The token's distribution, and who has received it."""
        token.last_seen = x.time
        if x.failed:
            return
        token.flows += 1
        token.mean, token.variance = running(
            math.log1p(value), token.mean, token.variance, token.flows
        )
        if r is not None:
            key = mixed(siphash(self.secret, token.address), r.hashed)
            token.holders += self.pairs.get(key) is None
            self.pairs.add(key, True, x.time)


def seen(w: Wallet, x: Flow) -> None:
    """One more event of a wallet."""
    w.token_flows += x.token is not None
    gap = max(0.0, float(x.time) - w.last_seen)
    w.hour = single(decayed(w.hour, gap, HOUR) + 1.0)
    w.day = single(decayed(w.day, gap, DAY) + 1.0)
    if w.events > 0:
        w.longest_gap = single(max(w.longest_gap, gap))
    w.events += 1
    w.last_seen = x.time


def worth(w: Wallet, now: int) -> float:
    """What a wallet is worth remembering for."""
    activity = math.log1p(w.events) + math.log1p(w.peers) + float(w.is_contract)
    value = 0.5 * math.log1p((w.in_value + w.out_value) / 1e12 / 1e3)
    risk = share(w.fresh_in, w.coin_received + 1) + share(w.passed, w.in_value)
    return activity + value + 4.0 * risk - 0.5 * math.log1p(max(0.0, float(now) - w.last_seen))


def token_worth(t: Token, now: int) -> float:
    """The same of a token."""
    idle = math.log1p(max(0.0, float(now) - t.last_seen))
    return math.log1p(t.flows) + math.log1p(t.holders) - 0.5 * idle


def _count(w: Wallet, x: Flow, value: float, *, sends: bool) -> None:
    w.sent += sends
    w.received += not sends
    w.failed += sends and x.failed
    if x.token is None:
        w.coin_sent += sends
        w.coin_received += not sends
        w.calls += sends and x.has_input
        w.called += not sends and x.has_input
        w.zero_values += value == 0.0
        w.round_amounts += is_round(value)


def is_fresh(w: Wallet, now: int) -> bool:
    """Hardly seen before."""
    return w.events < 5 and now - w.first_seen <= 5 * DAY


def _learn_of_each_other(s: Wallet, r: Wallet, now: int) -> None:
    """Each side of a coin flow learns of the other as it was before the flow."""
    r.fresh_in += is_fresh(s, now)
    s.fresh_out += is_fresh(r, now)
    r.hub_in += s.fan_out >= 100
    s.hub_out += r.fan_in >= 100
    age, w = math.log1p(max(0.0, float(now) - s.first_seen)), weight(r.coin_received)
    r.payers_degree = nudged(r.payers_degree, math.log1p(s.peers), w)
    r.payers_age = nudged(r.payers_age, age, w)
    age, w = math.log1p(max(0.0, float(now) - r.first_seen)), weight(s.coin_sent)
    s.payees_degree = nudged(s.payees_degree, math.log1p(r.fan_in), w)
    s.payees_age = nudged(s.payees_age, age, w)


def _take_in(r: Wallet, s: Wallet | None, value: float, now: int) -> None:
    if r.valued_in == 0:
        r.first_amount = single(log_scaled(value, WEI))
        r.funder_age = r.funder_fan_out = 0.5
        if s is not None:
            r.funder_age = single(log_scaled(max(0.0, float(now) - s.first_seen), SECONDS))
            r.funder_fan_out = single(log_scaled(s.fan_out, DEGREES))
    r.valued_in += 1
    r.equal_in += r.valued_in > 1 and r.last_in_value == single(value)
    r.last_in_value = single(value)
    mean, variance = running(math.log1p(value), r.in_mean, r.in_variance, r.valued_in)
    r.in_mean, r.in_variance = single(mean), single(variance)
    r.held_since = (r.held_since * r.held + now * value) / (r.held + value)
    r.held += value
    r.in_value += value
    r.last_in = now


def _pay_out(s: Wallet, value: float, now: int) -> None:
    if s.held > 0.0:
        s.held_flows += 1
        held_for = math.log1p(max(0.0, now - s.held_since))
        s.hold_time = nudged(s.hold_time, held_for, weight(s.held_flows))
        if now - s.last_in <= DAY:
            s.passed += min(value, s.held)
        s.held = max(0.0, s.held - value)
    s.valued_out += 1
    s.equal_out += s.valued_out > 1 and s.last_out_value == single(value)
    s.last_out_value = single(value)
    mean, variance = running(math.log1p(value), s.out_mean, s.out_variance, s.valued_out)
    s.out_mean, s.out_variance = single(mean), single(variance)
    s.out_value += value


def _sign(s: Wallet, x: Flow, gas: float) -> None:
    if x.nonce is not None:
        nonce = min(x.nonce, MAX_NONCE)
        s.nonce_gaps += s.nonce > 0 and nonce > s.nonce
        s.nonce = max(s.nonce, nonce + 1)
    s.gas_price = nudged(s.gas_price, gas, 0.2)


def _knows(peers: list[int], hashed: int, counted: int, in_pair: bool) -> bool:
    """Whether it has met somebody this way: exact for its first four, then as the pair says."""
    return hashed >> 48 in peers or (counted >= 4 and in_pair)


def _meet(s: Wallet, r: Wallet, forth: bool, back: bool) -> None:
    paid = _knows(s.payees, r.hashed, s.fan_out, forth)
    was_paid = _knows(s.payers, r.hashed, s.fan_in, back)
    took = _knows(r.payers, s.hashed, r.fan_in, forth)
    gave = _knows(r.payees, s.hashed, r.fan_out, back)
    if not paid:
        if s.fan_out < 4:
            s.payees.append(r.hashed >> 48)
        s.fan_out += 1
        s.peers += not was_paid
    if not took:
        if r.fan_in < 4:
            r.payers.append(s.hashed >> 48)
        r.fan_in += 1
        r.peers += not gave
