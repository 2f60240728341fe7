"""How money passes through fresh wallets: pass-through, peeling and splitting, hop by hop.

A wallet is followed from the first large payment that it gets while it is fresh, for as long as it
passes on within the window. Its *depth* is how many such wallets the money had passed through
before; its *root* is the first of them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled, inlined
from detect.kernels.table import (
    CANDIDATES,
    COUNT,
    HAND,
    Table,
    TableUndo,
    find,
    journal,
    open_block,
    place_row,
)
from detect.kernels.taint import copy_words, keyed

LAYER: Final = np.dtype(
    [
        ("came", np.float64),  # whole coins that came in, since the wallet was fresh
        ("largest", np.float64),  # of the payments that came in
        ("left", np.float64),  # that went on
        ("small", np.float64),  # of it in payments of at most a fifth: peeled off
        ("fresh", np.float64),  # of it to fresh wallets
        ("equal", np.float64),  # the first payment to a fresh wallet that was no most of it
        ("through", np.float64),  # of a root: what got deep enough to be told
        ("last_in", np.int64),
        ("hop", np.int64),  # that brought the largest payment
        ("root", np.uint32, (5,)),
        ("parent", np.uint32, (5,)),  # who paid the largest
        ("origin", np.uint32, (5,)),  # who paid the root
        ("equals", np.uint32),  # payments to fresh wallets that are as large as the first
        ("depth", np.uint32),
        ("pending", np.uint32),  # how the last layer counts: see PASSED and so on
        ("origin_is", np.uint32),
        ("coin", np.uint32),
    ]
)

# Why a layer counts. Peeled and fanned ones count once the parent has done the rest of it.
PASSED: Final = 0
PEELED: Final = 1
FANNED: Final = 2

# What an origin is.
UNKNOWN: Final = 0
SERVICE_ORIGIN: Final = 1
BAD_ORIGIN: Final = 2

DEEP: Final = 0
SPLIT: Final = 1

NO_HOP: Final = -1


class LayerFlows(NamedTuple):
    """Large flows in chain order, and what is known of their parties."""

    coin: Array  # int64
    units: Array  # float64, whole coins
    time: Array  # int64
    block: Array  # int64: rows of the batch's blocks
    sender: Array  # uint32 (n, 5)
    receiver: Array
    origin_is: Array  # uint8: what the sender is as an origin
    young: Array  # bool: the sender is no contract, and first seen within the window
    fresh: Array  # bool: the receiver is, and has no code
    stops: Array  # bool: the receiver is a service, a hub or a contract


class LayerLimits(NamedTuple):
    """Shares of what came in; amounts per coin."""

    window: int
    passed: float
    rest: float
    fee: Array
    peeled_most: float
    peeled_on: float
    equal: float
    equals: int
    hops: int
    service_hops: int
    alert: Array


class LayerOut(NamedTuple):
    """What a pass gives: what is worth an alert, and new hops."""

    flow: Array  # int64
    why: Array  # int64: DEEP or SPLIT
    amount: Array  # float64: what got so deep from that root, or was split
    depth: Array  # int64
    origin_is: Array  # int64
    hop: Array  # int64: that the flow follows
    newest: Array  # int64
    root: Array  # uint32 (n, 5)
    origin: Array  # uint32 (n, 5)
    hop_flow: Array  # int64
    hop_before: Array  # int64
    counts: Array  # int64 (3,): findings, hops, blocks that were opened
    key: Array  # uint32 (3, 5): scratch


FOUND: Final = 0
HOPS: Final = 1
OPENED: Final = 2


@compiled
def least_layer(rows: Array, state: Array, now: int, kept: int) -> int:
    """The row to evict, of a few the one that nothing came to for the longest; -1: there is room.

    Small ones go first: an hour's wait weighs as much as double the amount.
    """
    capacity = len(rows) - 1
    if state[COUNT] < capacity:
        return -1
    least, chosen = np.inf, -1
    for step in range(CANDIDATES):
        row = (state[HAND] + step * capacity // CANDIDATES) % capacity
        r = rows[row]
        value = np.log2(1e-9 + r.came + r.through) - max(0.0, float(now - r.last_in)) / 3600.0
        if row != kept and (chosen < 0 or value < least):
            least, chosen = value, row
    return chosen


@inlined
def depth_of(table: Table, limits: LayerLimits, row: int, key: Array) -> int:
    """How many layers the money of a wallet has behind it; a pending one if it has come true."""
    r = table.rows[row]
    depth = int(r.depth)
    if r.pending == PASSED:
        return depth
    hashed = keyed(key, table.secret, r.parent, int(r.coin))
    parent = find(table.keys, table.slots, key, hashed)
    true = False
    if parent >= 0:
        p = table.rows[parent]
        if r.pending == PEELED:
            true = p.small > 0.0
        else:
            true = p.fresh >= limits.passed * p.came or p.equals >= limits.equals
    return depth if true else depth - 1


@inlined
def found(
    out: LayerOut,
    i: int,
    why: int,
    amount: float,
    depth: int,
    row: int,
    table: Table,
    hops: int,
) -> None:
    """Note a finding about the root of a wallet's money; depth outweighs a split by one flow."""
    r = table.rows[row]
    n = out.counts[FOUND]
    if n > 0 and out.flow[n - 1] == i:
        n -= 1
    out.flow[n] = i
    out.why[n] = why
    out.amount[n] = amount
    out.depth[n] = depth
    out.origin_is[n] = r.origin_is
    out.hop[n] = r.hop
    out.newest[n] = hops + out.counts[HOPS] - 1
    copy_words(out.root[n], r.root)
    copy_words(out.origin[n], r.origin)
    out.counts[FOUND] = n + 1


@inlined
def pay_on(
    flows: LayerFlows,
    table: Table,
    undo: TableUndo,
    limits: LayerLimits,
    i: int,
    row: int,
    stamp: int,
    hops: int,
    out: LayerOut,
) -> tuple[int, int]:
    """A followed wallet pays: the depth of what it pays on (0: none), and what it waits for."""
    journal(table, undo, row, stamp)
    r = table.rows[row]
    coin, units = flows.coin[i], flows.units[i]
    depth = depth_of(table, limits, row, out.key[2])
    before = r.left
    r.left = before + units
    if units <= limits.peeled_most * r.came:
        r.small += units
    rest = r.came - r.left
    if flows.fresh[i]:
        r.fresh += units
    if units >= limits.passed * r.came and rest <= limits.rest * r.came + limits.fee[coin]:
        return depth + 1, PASSED
    if not flows.fresh[i] or flows.stops[i]:
        return 0, PASSED
    if units >= limits.peeled_on * r.came:
        return depth + 1, PASSED if r.small > 0.0 else PEELED
    if r.equals == 0:
        r.equal = units
    if abs(units - r.equal) <= limits.equal * r.equal:
        r.equals += 1
        if r.equals == limits.equals and r.fresh >= limits.alert[coin]:
            found(out, i, SPLIT, r.fresh, depth, row, table, hops)
    return depth + 1, FANNED


@inlined
def follow(
    flows: LayerFlows,
    table: Table,
    undo: TableUndo,
    limits: LayerLimits,
    i: int,
    sender: int,
    depth: int,
    pending: int,
    stamp: int,
    hops: int,
    out: LayerOut,
) -> None:
    """A fresh wallet is paid, or one that is followed; ``sender`` -1: by somebody who is not."""
    coin, units, now = flows.coin[i], flows.units[i], flows.time[i]
    key = out.key[1]
    hashed = keyed(key, table.secret, flows.receiver[i], coin)
    row = find(table.keys, table.slots, key, hashed)
    if row < 0:
        if not flows.fresh[i]:
            return
        evicted = least_layer(table.rows, table.state, now, sender)
        row = place_row(table, undo, stamp, key, hashed, evicted)
    elif now - table.rows[row].last_in > limits.window:
        journal(table, undo, row, stamp)
        table.rows[row] = table.rows[len(table.keys)]
        if not flows.fresh[i]:
            return
    journal(table, undo, row, stamp)
    r = table.rows[row]
    r.coin = coin
    r.last_in = now
    r.came += units
    if units <= r.largest:
        return
    r.largest = units
    copy_words(r.parent, flows.sender[i])
    number = out.counts[HOPS]
    out.hop_flow[number] = i
    out.hop_before[number] = NO_HOP
    out.counts[HOPS] = number + 1
    if sender >= 0 and depth > 0:
        s = table.rows[sender]
        out.hop_before[number] = s.hop
        r.depth = depth
        r.pending = pending
        r.origin_is = s.origin_is
        copy_words(r.root, s.root)
        copy_words(r.origin, s.origin)
    else:
        r.depth = 0
        r.pending = PASSED
        r.origin_is = flows.origin_is[i]
        copy_words(r.root, flows.receiver[i])
        copy_words(r.origin, flows.sender[i])
    r.hop = hops + number


@inlined
def went_deep(
    flows: LayerFlows,
    table: Table,
    undo: TableUndo,
    limits: LayerLimits,
    i: int,
    row: int,
    depth: int,
    stamp: int,
    hops: int,
    out: LayerOut,
) -> None:
    """Money has got deep enough: it adds up at its root, and is told from there."""
    coin, amount = flows.coin[i], flows.units[i]
    key = out.key[2]
    hashed = keyed(key, table.secret, table.rows[row].root, coin)
    root = find(table.keys, table.slots, key, hashed)
    if root >= 0:
        journal(table, undo, root, stamp)
        table.rows[root].through += amount
        amount = table.rows[root].through
    if amount >= limits.alert[coin]:
        found(out, i, DEEP, amount, depth, row, table, hops)


@compiled
def layering_pass(
    flows: LayerFlows,
    table: Table,
    undo: TableUndo,
    limits: LayerLimits,
    first_serial: int,
    start: int,
    stop: int,
    hops: int,
    out: LayerOut,
) -> None:
    """Follow the flows ``start`` to ``stop``; ``hops`` is how many hops there were before."""
    for i in range(start, stop):
        while out.counts[OPENED] <= flows.block[i]:
            open_block(table, undo, out.counts[OPENED])
            out.counts[OPENED] += 1
        stamp = first_serial + flows.block[i] + 1
        row = -1
        if flows.young[i] and flows.origin_is[i] != SERVICE_ORIGIN:
            key = out.key[0]
            hashed = keyed(key, table.secret, flows.sender[i], flows.coin[i])
            row = find(table.keys, table.slots, key, hashed)
            if row >= 0:
                r = table.rows[row]
                if r.came == 0.0 or flows.time[i] - r.last_in > limits.window:
                    row = -1
        depth, pending = 0, PASSED
        if row >= 0:
            depth, pending = pay_on(flows, table, undo, limits, i, row, stamp, hops, out)
        if flows.stops[i]:
            continue
        if row >= 0 and depth > 0:
            r = table.rows[row]
            deep = limits.service_hops if r.origin_is == SERVICE_ORIGIN else limits.hops
            # What waited for its parent is told with the next hop, once it has come true.
            if (depth == deep and pending == PASSED) or (depth == deep + 1 and r.pending != PASSED):
                went_deep(flows, table, undo, limits, i, row, depth, stamp, hops, out)
        follow(flows, table, undo, limits, i, row, depth, pending, stamp, hops, out)


@compiled
def open_rest(table: Table, undo: TableUndo, blocks: int, out: LayerOut) -> None:
    """Open the blocks that had no flow, to the last."""
    while out.counts[OPENED] < blocks:
        open_block(table, undo, out.counts[OPENED])
        out.counts[OPENED] += 1
