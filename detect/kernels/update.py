"""How a flow changes the rows of its two parties, their pair and its token."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.flow_features import FlowInput
from detect.kernels.scaling import (
    DAY,
    DEGREE_TOP,
    HOUR,
    NEUTRAL,
    SECONDS_TOP,
    WEI_TOP,
    decayed,
    is_round,
    log_scaled,
)

SLOWEST: Final = 0.05  # running means forget with at least this weight
FRESH_EVENTS: Final = 5  # a fresh wallet: fewer events than this, and not older than
FRESH_SECONDS: Final = 5 * DAY
HUB_DEGREE: Final = 100
FIRST_PEERS: Final = 4
WAYS: Final = 4  # pairs that share a place in the pair table

_U1 = np.uint64(1)
_MIX1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX2 = np.uint64(0xC4CEB9FE1A85EC53)
_S33 = np.uint64(33)
_S48 = np.uint64(48)


class Pairs(NamedTuple):
    """The pair table: sets of four, the pair least seen gives way. No growth, no deletion."""

    rows: Array  # PAIR records; a power of two


class PairUndo(NamedTuple):
    """Pair rows as they were before each change, in order."""

    places: Array  # int64
    rows: Array
    used: Array  # int64 (1,)
    marks: Array  # int64 (blocks,): first entry of each block


@compiled
def mixed(low: np.uint64, high: np.uint64) -> np.uint64:
    """One 64-bit key of two keyed hashes; never 0, which marks an empty place."""
    h = low * _MIX1 + high
    h ^= h >> _S33
    h *= _MIX1
    h ^= h >> _S33
    h *= _MIX2
    h ^= h >> _S33
    return h | _U1


@compiled
def pair_place(pairs: Pairs, key: np.uint64) -> tuple[int, bool]:
    """Where a pair is, and whether it is there; else the place that it may take.

    Which pair gives way: an empty place, else the one with the fewest flows, the longest unseen.
    """
    first = int((key >> _U1) & np.uint64(len(pairs.rows) // WAYS - 1)) * WAYS
    best = first
    for place in range(first, first + WAYS):
        if pairs.rows[place].key == key:
            return place, True
    for place in range(first, first + WAYS):
        if pairs.rows[place].key == 0:
            return place, False
        flows = pairs.rows[place].up + pairs.rows[place].down
        fewest = pairs.rows[best].up + pairs.rows[best].down
        if flows < fewest or (
            flows == fewest and pairs.rows[place].last_seen < pairs.rows[best].last_seen
        ):
            best = place
    return best, False


@compiled
def count_pair(
    pairs: Pairs, undo: PairUndo, journalled: bool, place: int, key: np.uint64, up: bool, now: int
) -> None:
    """Add a flow to a pair, at the place that ``pair_place`` gave."""
    if journalled:
        at = undo.used[0]
        undo.places[at] = place
        undo.rows[at] = pairs.rows[place]
        undo.used[0] = at + 1
    p = pairs.rows[place]
    if p.key != key:
        p.key = key
        p.up = 0
        p.down = 0
    if up:
        p.up += 1
    else:
        p.down += 1
    p.last_seen = now


@compiled
def undo_pairs(pairs: Pairs, undo: PairUndo, block: int) -> None:
    """Take back a block's changes to the pairs."""
    for at in range(undo.used[0] - 1, undo.marks[block] - 1, -1):
        pairs.rows[undo.places[at]] = undo.rows[at]
    undo.used[0] = undo.marks[block]


@compiled
def knows(peers: Array, hashed: np.uint64, counted: int, seen_in_pair: bool) -> bool:
    """Whether a wallet has met a counterparty in this direction: exact for its first four."""
    print_ = np.uint16(hashed >> _S48)
    for place in range(min(counted, FIRST_PEERS)):
        if peers[place] == print_:
            return True
    return counted >= FIRST_PEERS and seen_in_pair


@compiled
def seen(rows: Array, row: int, now: int, is_token: bool) -> None:
    """Count an event of a wallet, and the time since the one before."""
    w = rows[row]
    w.token_flows += is_token
    gap = max(0.0, float(now) - float(w.last_seen))
    w.hour = np.float32(decayed(w.hour, gap, HOUR) + 1.0)
    w.day = np.float32(decayed(w.day, gap, DAY) + 1.0)
    if w.events > 0:
        w.longest_gap = np.float32(max(float(w.longest_gap), gap))
    w.events += 1
    w.last_seen = now


@compiled
def running(value: float, mean: float, variance: float, count: int) -> tuple[float, float]:
    """Mean and variance after the ``count``-th value; from the 20th on older values fade."""
    weight = max(1.0 / count, SLOWEST)
    off = value - mean
    return mean + weight * off, (1.0 - weight) * (variance + weight * off * off)


@compiled
def is_fresh(rows: Array, row: int, now: int) -> bool:
    """Whether a wallet had hardly been seen before."""
    w = rows[row]
    return bool(w.events < FRESH_EVENTS and float(now) - float(w.first_seen) <= FRESH_SECONDS)


@compiled
def learn_counterparts(rows: Array, sender: int, receiver: int, now: int) -> None:
    """What each side of a coin flow learns of the other as it was before the flow."""
    s, r = rows[sender], rows[receiver]
    fresh_sender, fresh_receiver = is_fresh(rows, sender, now), is_fresh(rows, receiver, now)
    r.fresh_in += fresh_sender
    s.fresh_out += fresh_receiver
    r.hub_in += s.fan_out >= HUB_DEGREE
    s.hub_out += r.fan_in >= HUB_DEGREE
    weight = max(1.0 / r.coin_received, SLOWEST)
    sender_age = math.log1p(max(0.0, float(now) - float(s.first_seen)))
    r.payers_degree += np.float32(weight * (math.log1p(s.peers) - r.payers_degree))
    r.payers_age += np.float32(weight * (sender_age - r.payers_age))
    weight = max(1.0 / s.coin_sent, SLOWEST)
    receiver_age = math.log1p(max(0.0, float(now) - float(r.first_seen)))
    s.payees_degree += np.float32(weight * (math.log1p(r.fan_in) - s.payees_degree))
    s.payees_age += np.float32(weight * (receiver_age - s.payees_age))


@compiled
def pay_out(rows: Array, sender: int, x: FlowInput) -> None:
    """Take coins that left from what the sender holds."""
    s = rows[sender]
    now = float(x.now)
    if s.held > 0.0:
        s.held_flows += 1
        held_for = math.log1p(max(0.0, now - s.held_since))
        weight = max(1.0 / s.held_flows, SLOWEST)
        s.hold_time += np.float32(weight * (held_for - s.hold_time))
        if now - float(s.last_in) <= DAY:
            s.passed += min(x.value, s.held)
        s.held = max(0.0, s.held - x.value)
    s.valued_out += 1
    s.equal_out += s.valued_out > 1 and s.last_out_value == np.float32(x.value)
    s.last_out_value = np.float32(x.value)
    mean, variance = running(math.log1p(x.value), s.out_mean, s.out_variance, s.valued_out)
    s.out_mean, s.out_variance = np.float32(mean), np.float32(variance)
    s.out_value += x.value


@compiled
def take_in(rows: Array, sender: int, receiver: int, sender_hash: np.uint64, x: FlowInput) -> None:
    """Add coins that came in to what the receiver holds; the first income names its funder."""
    r = rows[receiver]
    now = float(x.now)
    if r.valued_in == 0:
        r.first_amount = np.float32(log_scaled(x.value, WEI_TOP))
        r.funder_age = np.float32(NEUTRAL)
        r.funder_fan_out = np.float32(NEUTRAL)
        if sender >= 0:
            s = rows[sender]
            r.funder = sender_hash
            r.funder_age = np.float32(log_scaled(max(0.0, now - float(s.first_seen)), SECONDS_TOP))
            r.funder_fan_out = np.float32(log_scaled(s.fan_out, DEGREE_TOP))
    r.valued_in += 1
    r.equal_in += r.valued_in > 1 and r.last_in_value == np.float32(x.value)
    r.last_in_value = np.float32(x.value)
    mean, variance = running(math.log1p(x.value), r.in_mean, r.in_variance, r.valued_in)
    r.in_mean, r.in_variance = np.float32(mean), np.float32(variance)
    r.held_since = (r.held_since * r.held + now * x.value) / (r.held + x.value)
    r.held += x.value
    r.in_value += x.value
    r.last_in = x.now


@compiled
def meet(
    rows: Array,
    sender: int,
    receiver: int,
    sender_hash: np.uint64,
    receiver_hash: np.uint64,
    forward: bool,
    backward: bool,
) -> None:
    """Count distinct counterparties. ``forward``, ``backward``: what the pair table has seen."""
    s, r = rows[sender], rows[receiver]
    paid = knows(s.payees, receiver_hash, s.fan_out, forward)
    was_paid = knows(s.payers, receiver_hash, s.fan_in, backward)
    took = knows(r.payers, sender_hash, r.fan_in, forward)
    gave = knows(r.payees, sender_hash, r.fan_out, backward)
    if not paid:
        if s.fan_out < FIRST_PEERS:
            s.payees[s.fan_out] = np.uint16(receiver_hash >> _S48)
        s.fan_out += 1
        s.peers += not was_paid
    if not took:
        if r.fan_in < FIRST_PEERS:
            r.payers[r.fan_in] = np.uint16(sender_hash >> _S48)
        r.fan_in += 1
        r.peers += not gave


@compiled
def count_flow(rows: Array, row: int, x: FlowInput, sends: bool) -> None:
    """Count a flow on one side, before anything is learnt of the other side."""
    w = rows[row]
    w.sent += sends
    w.received += not sends
    w.failed += sends and x.failed
    if x.is_token:
        return
    if sends:
        w.coin_sent += 1
        w.calls += x.has_input
    else:
        w.coin_received += 1
        w.called += x.has_input
    w.zero_values += x.value == 0.0
    w.round_amounts += is_round(x.value)


@compiled
def sign(rows: Array, sender: int, x: FlowInput) -> None:
    """Learn from what only a transaction's own flow has: its nonce and its gas price."""
    s = rows[sender]
    if x.nonce >= 0:
        s.nonce_gaps += s.nonce > 0 and x.nonce > s.nonce
        s.nonce = max(int(s.nonce), min(x.nonce + 1, 0xFFFFFFFF))
    s.gas_price += np.float32(0.2 * (x.gas_price - s.gas_price))
