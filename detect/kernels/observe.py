"""The pass over a batch: every event in chain order, read before update.

Chain order: within a transaction its creations first, then flows, approvals and other logs by
ordinal (all flows that no log carries count as ordinal 0); withdrawals after all transactions. An
address becomes known as a contract when it is created, when it emits a log, or when a transaction
sent to it leaves logs: from that event on, so however blocks are batched.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detect.compiled import Array, compiled, inlined
from detect.kernels.arrays import NO_TRANSACTION, Events, Seen, State, Undo
from detect.kernels.facts import read_approval, read_facts
from detect.kernels.flow_features import FlowInput, flow_features, token_features
from detect.kernels.scaling import NEUTRAL, TOKEN_TOP, WEI_TOP, clean, share
from detect.kernels.summaries import recall, summarise, unfold
from detect.kernels.table import (
    find,
    is_zero,
    journal,
    open_block,
    place_row,
    siphash,
)
from detect.kernels.update import (
    count_flow,
    count_pair,
    learn_counterparts,
    meet,
    mixed,
    pair_place,
    pay_out,
    running,
    seen,
    sign,
    take_in,
)
from detect.kernels.wallet_features import (
    is_milestone,
    least_token,
    least_wallet,
    wallet_features,
)

GAS_SLOWEST: Final = 0.01
MAX_NONCE: Final = 2**32 - 2


@inlined
def wallet_of(state: State, undo: Undo, stamp: int, key: Array, now: int, kept: int) -> int:
    """The row of a wallet, admitted if it has none; -1 for the zero address."""
    if is_zero(key):
        return -1
    hashed = siphash(state.wallets.secret, key)
    row = find(state.wallets.keys, state.wallets.slots, key, hashed)
    if row < 0:
        evicted = least_wallet(state.wallets.rows, state.wallets.state, now, kept)
        known = False
        if evicted >= 0 and len(state.summaries.rows) > 0:  # only a full table has left any
            known = recall(state.summaries, undo.summaries, stamp > 0, hashed)
            leaving = siphash(state.wallets.secret, state.wallets.keys[evicted])
            summarise(
                state.summaries,
                undo.summaries,
                stamp > 0,
                state.wallets.rows,
                evicted,
                leaving,
                now,
            )
        row = place_row(state.wallets, undo.wallets, stamp, key, hashed, evicted)
        w = state.wallets.rows[row]
        w.first_seen = now
        w.last_seen = now
        w.score = np.nan
        if known:
            unfold(state.summaries, state.wallets.rows, row)
    return row


@inlined
def mark_contract(state: State, undo: Undo, stamp: int, key: Array, now: int) -> int:
    """Remember that an address has code."""
    row = wallet_of(state, undo, stamp, key, now, -1)
    if row >= 0 and not state.wallets.rows[row].is_contract:
        journal(state.wallets, undo.wallets, row, stamp)
        state.wallets.rows[row].is_contract = True
    return row


@inlined
def create(events: Events, state: State, undo: Undo, stamp: int, c: int) -> None:
    """A contract is created."""
    now = events.creation_time[c]
    mark_contract(state, undo, stamp, events.creation_contract[c], now)
    creator = wallet_of(state, undo, stamp, events.creation_creator[c], now, -1)
    if creator >= 0:
        journal(state.wallets, undo.wallets, creator, stamp)
        state.wallets.rows[creator].creations += 1


@inlined
def approve(events: Events, state: State, undo: Undo, stamp: int, a: int, out: Seen) -> None:
    """An approval: what is known of both parties; only the token is learnt, as a contract."""
    read_approval(events, state, a, out)
    mark_contract(state, undo, stamp, events.approval_token[a], events.approval_time[a])


@inlined
def read_input(events: Events, state: State, i: int, t: int, pair_events: int) -> FlowInput:
    """Flow ``i``, cleaned; ``t`` its transaction if the flow is that transaction's own, or -1."""
    is_token = bool(events.flow_is_token[i])
    nonce, has_input, gas_price, gas_share = -1, False, 0.0, NEUTRAL
    if t >= 0:
        nonce = min(events.transaction_nonce[t], MAX_NONCE)
        has_input = events.transaction_input[t] > 0
        price = events.transaction_gas_price[t]
        if price > 0.0 and state.gas[1] > 0.0:
            gas_price = math.log(price) - state.gas[0]
        used = events.transaction_gas_share[t]
        if used >= 0.0:
            gas_share = share(used, 1.0)
    return FlowInput(
        events.flow_time[i],
        clean(events.flow_value[i], TOKEN_TOP if is_token else WEI_TOP),
        is_token,
        has_input,
        events.flow_status[i] == 0,
        nonce,
        gas_price,
        gas_share,
        pair_events,
    )


@inlined
def learn_gas(events: Events, state: State, t: int) -> None:
    """Move what is usual towards a transaction's gas price."""
    price = events.transaction_gas_price[t]
    if price > 0.0:
        state.gas[1] += 1.0
        weight = max(1.0 / state.gas[1], GAS_SLOWEST)
        state.gas[0] += weight * (math.log(price) - state.gas[0])


@inlined
def learn_token(
    state: State, undo: Undo, stamp: int, row: int, hashed: np.uint64, to: np.uint64, x: FlowInput
) -> None:
    """A token's own distribution, and who has received it (0: the zero address)."""
    journal(state.tokens, undo.tokens, row, stamp)
    token = state.tokens.rows[row]
    token.last_seen = x.now
    if x.failed:
        return
    token.flows += 1
    token.mean, token.variance = running(
        math.log1p(x.value), token.mean, token.variance, token.flows
    )
    if to != 0:
        key = mixed(hashed, to)
        place, held = pair_place(state.pairs, key)
        token.holders += not held
        count_pair(state.pairs, undo.pairs, stamp > 0, place, key, True, x.now)


@inlined
def learn_flow(
    state: State, sender: int, receiver: int, sender_hash: np.uint64, x: FlowInput, own: bool
) -> None:
    """What a flow changes of its parties, but for whom they have met."""
    rows = state.wallets.rows
    two = sender >= 0 and receiver >= 0 and sender != receiver
    if sender >= 0:
        count_flow(rows, sender, x, True)
    if receiver >= 0:
        count_flow(rows, receiver, x, False)
    if two and not x.is_token:
        learn_counterparts(rows, sender, receiver, x.now)
    if not x.is_token and not x.failed and x.value > 0.0 and sender != receiver:
        if receiver >= 0:
            take_in(rows, sender, receiver, sender_hash, x)
        if sender >= 0:
            pay_out(rows, sender, x)
    if own and sender >= 0:
        sign(rows, sender, x)


@inlined
def read_wallet(
    state: State, row: int, i: int, is_sender: bool, n: int, now: int, out: Seen
) -> int:
    """Read a wallet's features if it is at a milestone; returns how many rows there are now."""
    w = state.wallets.rows[row]
    if not is_milestone(w.events):
        return n
    wallet_features(state.wallets.rows, row, now, out.wallet_features[n])
    out.wallet_row[n] = row
    out.wallet_flow[n] = i
    out.wallet_is_sender[n] = is_sender
    out.wallet_value[n] = w.in_value + w.out_value
    w.score_row = n + 1
    return n + 1


@inlined
def observe_token(
    events: Events,
    state: State,
    undo: Undo,
    stamp: int,
    i: int,
    holder: np.uint64,
    x: FlowInput,
    out: Seen,
) -> None:
    """What a flow's token says of it; then the token learns the flow."""
    token = events.flow_token[i]
    hashed = siphash(state.tokens.secret, token)
    row = find(state.tokens.keys, state.tokens.slots, token, hashed)
    if row < 0:
        evicted = least_token(state.tokens.rows, state.tokens.state, x.now)
        row = place_row(state.tokens, undo.tokens, stamp, token, hashed, evicted)
        state.tokens.rows[row].first_seen = x.now
    token_features(state.tokens.rows, row, x.now, math.log1p(x.value), out.flow_features[i])
    learn_token(state, undo, stamp, row, hashed, holder, x)
    mark_contract(state, undo, stamp, token, x.now)


@inlined
def observe_flow(
    events: Events, state: State, undo: Undo, stamp: int, i: int, t: int, n: int, out: Seen
) -> int:
    """One flow: read, then update. Returns how many wallet rows there are now."""
    wallets, now = state.wallets, events.flow_time[i]
    sender = wallet_of(state, undo, stamp, events.flow_from[i], now, -1)
    receiver = wallet_of(state, undo, stamp, events.flow_to[i], now, sender)
    two = sender >= 0 and receiver >= 0 and sender != receiver
    from_hash = siphash(wallets.secret, events.flow_from[i])
    to_hash = siphash(wallets.secret, events.flow_to[i])
    forward = backward = up = False
    pair_events, place, key = 0, 0, from_hash
    if two:
        up = bool(from_hash < to_hash)
        key = mixed(from_hash, to_hash) if up else mixed(to_hash, from_hash)
        place, known = pair_place(state.pairs, key)
        if known:
            p = state.pairs.rows[place]
            forward = (p.up if up else p.down) > 0
            backward = (p.down if up else p.up) > 0
            pair_events = p.up + p.down
    x = read_input(events, state, i, t, pair_events)
    read_facts(state, sender, receiver, now, i, out)
    out.flow_facts[i].pair_events = pair_events
    out.flow_facts[i].from_hash = from_hash
    out.flow_facts[i].to_hash = to_hash
    flow_features(wallets.rows, sender, receiver, x, out.flow_features[i])
    if sender >= 0:
        journal(wallets, undo.wallets, sender, stamp)
    if receiver >= 0:
        journal(wallets, undo.wallets, receiver, stamp)
    learn_flow(state, sender, receiver, from_hash, x, t >= 0)
    if two:
        meet(wallets.rows, sender, receiver, from_hash, to_hash, forward, backward)
        count_pair(state.pairs, undo.pairs, stamp > 0, place, key, up, now)
    if sender >= 0:
        seen(wallets.rows, sender, now, x.is_token)
        n = read_wallet(state, sender, i, True, n, now, out)
    if receiver >= 0 and receiver != sender:
        seen(wallets.rows, receiver, now, x.is_token)
        n = read_wallet(state, receiver, i, False, n, now, out)
    if t >= 0:
        learn_gas(events, state, t)
        if events.transaction_logs[t] > 0:
            mark_contract(state, undo, stamp, events.flow_to[i], now)
    if x.is_token:
        holder = to_hash if receiver >= 0 else np.uint64(0)
        observe_token(events, state, undo, stamp, i, holder, x, out)
    return n


@inlined
def before(
    events: Events, state: State, undo: Undo, stamp: int, block: int, at: Array, key: int, out: Seen
) -> None:
    """Everything of a block that comes before the flow with that key, and is not seen yet.

    A key is a transaction index and an ordinal, 32 bits each. ``at`` are the next creation,
    approval and log.
    """
    while at[0] < events.creation_starts[block + 1]:
        if events.creation_transaction[at[0]] > key >> 32:
            break
        create(events, state, undo, stamp, at[0])
        at[0] += 1
    while at[1] < events.approval_starts[block + 1]:
        place = (events.approval_transaction[at[1]] << 32) | events.approval_ordinal[at[1]]
        if place >= key:
            break
        approve(events, state, undo, stamp, at[1], out)
        at[1] += 1
    while at[2] < events.log_starts[block + 1]:
        place = (events.log_transaction[at[2]] << 32) | events.log_ordinal[at[2]]
        if place >= key:
            break
        mark_contract(state, undo, stamp, events.log_address[at[2]], events.log_time[at[2]])
        at[2] += 1


@compiled
def observe(
    events: Events,
    state: State,
    undo: Undo,
    first_serial: int,
    journal_from: int,
    at: Array,
    out: Seen,
) -> int:
    """Pass over a batch; blocks from row ``journal_from`` on are journalled into ``undo``.

    Returns how many wallet rows were read. ``at`` is scratch, int64 (3,).
    """
    n = 0
    for block in range(len(events.flow_starts) - 1):
        stamp = 0
        if block >= journal_from:
            stamp = first_serial + block + 1
            open_block(state.wallets, undo.wallets, block - journal_from)
            open_block(state.tokens, undo.tokens, block - journal_from)
            undo.pairs.marks[block - journal_from] = undo.pairs.used[0]
            undo.summaries.marks[block - journal_from] = undo.summaries.used[0]
            undo.gas[block - journal_from, 0] = state.gas[0]
            undo.gas[block - journal_from, 1] = state.gas[1]
        at[0] = events.creation_starts[block]
        at[1] = events.approval_starts[block]
        at[2] = events.log_starts[block]
        t = events.transaction_starts[block]
        for i in range(events.flow_starts[block], events.flow_starts[block + 1]):
            index, ordinal = events.flow_transaction[i], events.flow_ordinal[i]
            before(events, state, undo, stamp, block, at, (index << 32) | max(0, ordinal), out)
            while t < events.transaction_starts[block + 1] and events.transaction_index[t] < index:
                t += 1
            own = -1
            if (
                ordinal == 0
                and events.flow_kind[i] == 0
                and t < events.transaction_starts[block + 1]
                and events.transaction_index[t] == index
            ):
                own = t
            n = observe_flow(events, state, undo, stamp, i, own, n, out)
        before(events, state, undo, stamp, block, at, (NO_TRANSACTION + 1) << 32, out)
        out.wallet_starts[block + 1] = n
    return n
