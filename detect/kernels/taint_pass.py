"""The pass over a batch's material flows that moves taint with them (``detect.kernels.taint``)."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detect.compiled import compiled, inlined
from detect.kernels.table import find, journal, open_block, place_row
from detect.kernels.taint import (
    ABSORBED,
    DROPPED,
    EVICTED_TAINT,
    FIFO,
    HAIRCUT,
    HOPS,
    OPENED,
    PAYMENTS,
    PAYS_SERVICE,
    SINK,
    SOURCE_BAD,
    SOURCE_MIXER,
    SOURCED,
    SUMS,
    TaintFlows,
    TaintLimits,
    TaintOut,
    TaintState,
    TaintUndo,
    copy_words,
    keyed,
    least_queue,
    least_tainted,
    pop_lots,
    push_lot,
)

NO_HOP: Final = -1
SOURCE: Final = SOURCE_BAD | SOURCE_MIXER
_U1 = np.uint64(1)
_U34 = np.uint64(34)


@inlined
def open_blocks(state: TaintState, undo: TaintUndo, upto: int, out: TaintOut) -> None:
    """Note where blocks start, up to and including one."""
    while out.counts[OPENED] <= upto:
        block = out.counts[OPENED]
        open_block(state.wallets, undo.wallets, block)
        open_block(state.queues, undo.queues, block)
        for method in range(2):
            for coin in range(state.sums.shape[1]):
                for kind in range(SUMS):
                    undo.sums[block, method, coin, kind] = state.sums[method, coin, kind]
        out.counts[OPENED] = block + 1


@inlined
def source_taint(flows: TaintFlows, state: TaintState, i: int, hashed: np.uint64) -> int:
    """All that a source pays is tainted: one lot. How many lots, which is 1."""
    coin, units = flows.coin[i], flows.units[i]
    kind = 0 if flows.sender_is[i] & SOURCE_BAD else 1
    state.carried[0] = 0.0
    state.carried[1] = 0.0
    state.carried[kind] = units
    state.sums[HAIRCUT, coin, SOURCED] += units
    state.sums[FIFO, coin, SOURCED] += units
    state.scratch[0, 0] = units
    state.scratch[0, 1] = units
    # An even number for labelled wallets, an odd one for mixers, never 0.
    state.origins[0] = np.uint32(((hashed >> _U34) << _U1) + np.uint64(2 + kind))
    copy_words(state.source, flows.sender[i])
    return 1


@inlined
def take_taint(
    flows: TaintFlows,
    state: TaintState,
    undo: TaintUndo,
    limits: TaintLimits,
    i: int,
    row: int,
    stamp: int,
) -> None:
    """Haircut: what leaves a wallet is as tainted as the balance it leaves."""
    coin, units = flows.coin[i], flows.units[i]
    journal(state.wallets, undo.wallets, row, stamp)
    w = state.wallets.rows[row]
    tainted = w.taint[0] + w.taint[1]
    held = flows.sender_held[i] if coin == 0 else w.balance
    held = max(held, tainted)
    w.balance = max(0.0, w.balance - units)
    if units >= held:
        state.carried[0] = w.taint[0]
        state.carried[1] = w.taint[1]
        w.taint[0] = 0.0
        w.taint[1] = 0.0
    else:
        part = units / held
        state.carried[0] = w.taint[0] * part
        state.carried[1] = w.taint[1] * part
        w.taint[0] -= state.carried[0]
        w.taint[1] -= state.carried[1]
        left = w.taint[0] + w.taint[1]
        if left < limits.floor[coin]:
            state.sums[HAIRCUT, coin, DROPPED] += left
            w.taint[0] = 0.0
            w.taint[1] = 0.0
    copy_words(state.source, w.source)


@inlined
def drop_small(
    flows: TaintFlows, state: TaintState, limits: TaintLimits, i: int, lots: int
) -> float:
    """Taint below the floor is let go; what FIFO carries after that."""
    coin = flows.coin[i]
    least = max(limits.floor[coin], limits.floor_share * flows.units[i])
    carried = state.carried[0] + state.carried[1]
    if carried < least:
        state.sums[HAIRCUT, coin, DROPPED] += carried
        state.carried[0] = 0.0
        state.carried[1] = 0.0
    fifo = 0.0
    for lot in range(lots):
        fifo += state.scratch[lot, 1]
    if fifo < least:
        state.sums[FIFO, coin, DROPPED] += fifo
        for lot in range(lots):
            state.scratch[lot, 1] = 0.0
            state.origins[lot] = 0
        fifo = 0.0
    return fifo


@inlined
def give_taint(
    flows: TaintFlows,
    state: TaintState,
    undo: TaintUndo,
    i: int,
    row: int,
    hashed: np.uint64,
    kept: int,
    stamp: int,
    before: int,
    hops: int,
    out: TaintOut,
) -> None:
    """The receiver has the haircut taint now; where it is most of it, also the way it came.

    ``row`` is the receiver's, -1 where it has none yet; ``state.key[1]`` is its key.
    """
    coin, carried = flows.coin[i], state.carried[0] + state.carried[1]
    if row < 0:
        evicted = least_tainted(state.wallets.rows, state.wallets.state, kept)
        if evicted >= 0:
            e = state.wallets.rows[evicted]
            state.sums[HAIRCUT, e.coin, EVICTED_TAINT] += e.taint[0] + e.taint[1]
        row = place_row(state.wallets, undo.wallets, stamp, state.key[1], hashed, evicted)
        state.wallets.rows[row].coin = coin
        state.wallets.rows[row].hop = NO_HOP
    journal(state.wallets, undo.wallets, row, stamp)
    w = state.wallets.rows[row]
    had = w.taint[0] + w.taint[1]
    w.balance += flows.units[i]
    w.taint[0] += state.carried[0]
    w.taint[1] += state.carried[1]
    if carried > 0.0 and carried >= had:
        number = out.counts[HOPS]
        out.hop_flow[number] = i
        out.hop_before[number] = before
        out.counts[HOPS] = number + 1
        w.hop = hops + number
        copy_words(w.source, state.source)


@inlined
def give_lots(
    flows: TaintFlows,
    state: TaintState,
    undo: TaintUndo,
    i: int,
    row: int,
    hashed: np.uint64,
    lots: int,
    kept: int,
    stamp: int,
) -> None:
    """The receiver's queue gets the lots, oldest first; ``row`` -1: it has none yet."""
    coin, queues = flows.coin[i], state.queues
    if row < 0:
        evicted = least_queue(queues.rows, queues.state, kept)
        if evicted >= 0:
            e = queues.rows[evicted]
            for lot in range(e.lots):
                state.sums[FIFO, e.coin, EVICTED_TAINT] += e.taint[lot]
        row = place_row(queues, undo.queues, stamp, state.key[1], hashed, evicted)
        queues.rows[row].coin = coin
        if coin == 0:
            push_lot(queues.rows, row, flows.receiver_held[i], 0.0, 0)
    journal(queues, undo.queues, row, stamp)
    for lot in range(lots):
        push_lot(queues.rows, row, state.scratch[lot, 0], state.scratch[lot, 1], state.origins[lot])


@inlined
def tell_payment(
    flows: TaintFlows,
    state: TaintState,
    limits: TaintLimits,
    i: int,
    row: int,
    fifo: float,
    before: int,
    newest: int,
    out: TaintOut,
) -> None:
    """Note a payment to a service where, over the window, it is much, and a new order of much.

    ``row`` -1: a source itself pays. ``fifo`` NaN: the sender has no queue.
    """
    coin, units, now = flows.coin[i], flows.units[i], flows.time[i]
    carried = state.carried[0] + state.carried[1]
    tainted, paid, least = carried, units, limits.alert[coin]
    earlier = False
    decade = 0.0
    if row >= 0:
        w = state.wallets.rows[row]
        if w.paid == 0.0 or now - w.paid_since > limits.window:
            w.paid_taint = 0.0
            w.paid = 0.0
            w.paid_since = now
        earlier = w.paid_taint >= least and w.paid_taint >= limits.alert_share * w.paid
        decade = math.floor(math.log10(w.paid_taint / least)) if earlier else 0.0
        w.paid_taint += carried
        w.paid += units
        tainted, paid = w.paid_taint, w.paid
    much = tainted >= least and tainted >= limits.alert_share * paid
    if much and earlier:
        much = math.floor(math.log10(tainted / least)) > decade
    first_lots = fifo >= least and fifo >= limits.alert_share * units
    if not much and not (first_lots and not earlier):
        return
    n = out.counts[PAYMENTS]
    out.flow[n] = i
    out.taint[n, 0] = state.carried[0]
    out.taint[n, 1] = state.carried[1]
    out.fifo[n] = fifo
    out.paid[n, 0] = tainted
    out.paid[n, 1] = paid
    out.hop[n] = before
    out.newest[n] = newest
    copy_words(out.source[n], state.source)
    out.counts[PAYMENTS] = n + 1


@compiled
def taint_pass(
    flows: TaintFlows,
    state: TaintState,
    undo: TaintUndo,
    limits: TaintLimits,
    first_serial: int,
    start: int,
    stop: int,
    hops: int,
    out: TaintOut,
) -> None:
    """Move taint with the flows ``start`` to ``stop``; ``hops`` is how many hops there were."""
    wallets, queues = state.wallets, state.queues
    for i in range(start, stop):
        open_blocks(state, undo, flows.block[i], out)
        stamp = first_serial + flows.block[i] + 1
        coin, units = flows.coin[i], flows.units[i]
        is_source = (flows.sender_is[i] & SOURCE) != 0
        absorbs = (flows.receiver_is[i] & (SOURCE | SINK)) != 0
        key = state.key[0]
        hashed = keyed(key, wallets.secret, flows.sender[i], coin)
        row, queue, lots, before = -1, -1, 1, NO_HOP
        state.carried[0] = 0.0
        state.carried[1] = 0.0
        state.scratch[0, 0] = units
        state.scratch[0, 1] = 0.0
        state.origins[0] = 0
        if is_source:
            lots = source_taint(flows, state, i, hashed)
        else:
            row = find(wallets.keys, wallets.slots, key, hashed)
            if row >= 0:
                take_taint(flows, state, undo, limits, i, row, stamp)
                before = wallets.rows[row].hop
            queue = find(queues.keys, queues.slots, key, hashed)
            if queue >= 0:
                journal(queues, undo.queues, queue, stamp)
                lots = pop_lots(queues.rows, queue, units, state.scratch, state.origins)
        fifo = 0.0
        if is_source or row >= 0 or queue >= 0:
            fifo = drop_small(flows, state, limits, i, lots)
        if absorbs:
            carried = state.carried[0] + state.carried[1]
            state.sums[HAIRCUT, coin, ABSORBED] += carried
            state.sums[FIFO, coin, ABSORBED] += fifo
            if (flows.receiver_is[i] & PAYS_SERVICE) != 0 and (carried > 0.0 or fifo > 0.0):
                known = is_source or queue >= 0
                newest = hops + out.counts[HOPS] - 1
                said = fifo if known else np.nan
                tell_payment(flows, state, limits, i, row, said, before, newest, out)
            continue
        carried = state.carried[0] + state.carried[1]
        key = state.key[1]
        hashed = keyed(key, wallets.secret, flows.receiver[i], coin)
        receiver = find(wallets.keys, wallets.slots, key, hashed)
        if receiver >= 0 or carried > 0.0:
            give_taint(flows, state, undo, i, receiver, hashed, row, stamp, before, hops, out)
        waiting = find(queues.keys, queues.slots, key, hashed)
        if waiting >= 0 or fifo > 0.0:
            give_lots(flows, state, undo, i, waiting, hashed, lots, queue, stamp)


@compiled
def close_pass(state: TaintState, undo: TaintUndo, blocks: int, out: TaintOut) -> None:
    """Open the blocks that had no flow, to the last."""
    open_blocks(state, undo, blocks - 1, out)
