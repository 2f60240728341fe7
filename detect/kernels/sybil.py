"""Children of one funder that do the same: MinHash of what each did first, kept by group.

A child is a wallet first paid in view; its group is its funder's, and later that of the one wallet
it sends to. A group keeps the running spread of what its children were given, and the sketches of
eight of them, taken at their third, eighth and sixteenth action: sketches are compared only with
those taken at the same. Two sketches agree in a place with the Jaccard similarity of the two sets
of (target, selector) (Broder, 1997).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.flows import Flows, signed
from detect.kernels.rows import Record, open_blocks, row_for, row_of, same_key, set_key
from detect.kernels.table import Table, TableUndo, journal

SKETCH: Final = 16
SAMPLE: Final = 8

YOUNG_NONCE: Final = 64  # what acts are looked at: a child's first 16 actions, gaps allowed
YOUNG_FLOWS: Final = 128

# Places of ``limits``.
CHILDREN: Final = 0
SPREAD: Final = 1  # coefficient of variation of what they were given, at most
ALIKE: Final = 2  # share of the sampled pairs
PLACES: Final = 3  # that agree in so many places of 16
HOPS: Final = 4
ACTING: Final = 5  # links that called contracts
OUTSIDE_SHARE: Final = 6  # share of the children that others may have paid
YOUNG_SECONDS: Final = 7  # how long a wallet is watched

# What is known of a child: bits of ``CHILD.flags``.
VERIFIED: Final = 1  # its first transaction had nonce 0, or the source tells no nonces
OLD: Final = 2  # … had another: it lived before the view began
OUTSIDE: Final = 4  # somebody else than its funder paid it
CALLED: Final = 8  # it called a contract

# What a hit is.
STAR: Final = 0
CHAIN: Final = 1
SINK: Final = 2

CHILD: Final = np.dtype(
    [
        ("amount", np.float64),  # wei it was first given
        ("at", np.uint32),
        ("born", np.uint32),
        ("funder", np.uint32, (5,)),
        ("sink", np.uint32, (5,)),
        ("sketch", np.uint16, (SKETCH,)),
        ("actions", np.uint16),
        ("hops", np.uint16),  # first fundings behind it with similar amounts
        ("acting", np.uint16),  # how many of those before it called a contract
        ("flags", np.uint16),
        ("sampled", np.uint16),  # its place in its funder's sample, plus one
        ("unused", np.uint16, (3,)),
    ],
    align=True,
)

GROUP: Final = np.dtype(
    [
        ("mean", np.float64),  # wei given, over all members
        ("squares", np.float64),  # sum of squared deviations
        ("at", np.uint32),
        ("first", np.uint32),
        ("members", np.uint32),
        ("verified", np.uint32),
        ("outside", np.uint32),
        ("owners", np.uint32, (SAMPLE,)),  # the first word of each sampled child
        ("sketches", np.uint16, (SAMPLE, SKETCH)),
        ("stages", np.uint8, (SAMPLE,)),  # at which action it was taken; 0: none
        ("next", np.uint16),
        ("told", np.uint16),
    ],
    align=True,
)

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ODD = np.uint64(0xD6E8FEB86659FD93)
_S32, _S48 = np.uint64(32), np.uint64(48)


@compiled
def _action_hash(target: Array, selector: int) -> np.uint64:
    h = np.uint64(selector) + np.uint64(1)
    for word in range(5):
        h = (h ^ np.uint64(target[word])) * _MULTIPLIER
        h ^= h >> _S32
    return h


@compiled
def add_action(sketch: Array, target: Array, selector: int, first: bool) -> None:
    """Take an action into a MinHash sketch of 16 places of 16 bits."""
    h = _action_hash(target, selector)
    for place in range(16):
        h = (h ^ (h >> _S32)) * _ODD + np.uint64(2 * place + 1)
        value = np.uint16(h >> _S48)
        if first or value < sketch[place]:
            sketch[place] = value


@compiled
def alike(g: Record, similar: int) -> tuple[int, int]:
    """Pairs of sampled children, of the same stage, and those that agree in enough places."""
    pairs, agree = 0, 0
    for a in range(8):
        if g.stages[a] == 0:
            continue
        for b in range(a):
            if g.stages[b] != g.stages[a]:
                continue
            same = 0
            for place in range(16):
                same += g.sketches[a, place] == g.sketches[b, place]
            pairs += 1
            agree += same >= similar
    return pairs, agree


@compiled
def _sample(g: Record, child: Record, key: Array, stage: int, place: int) -> int:
    # Put the child's sketch into the group's sample, at its place or the next one; the place.
    if place < 0 or g.owners[place] != key[0]:
        place = g.next % 8
        g.next = (g.next + 1) % 8
    g.owners[place] = key[0]
    g.stages[place] = stage
    for at in range(16):
        g.sketches[place, at] = child.sketch[at]
    return place


@compiled
def spread(g: Record) -> float:
    """Coefficient of variation of what the members were given; infinite for fewer than two."""
    if g.members < 2 or g.mean <= 0.0:
        return math.inf
    return float(math.sqrt(max(0.0, g.squares) / (g.members - 1)) / g.mean)


@compiled
def _hit(
    hits: Array, shape: Array, who: Array, found: int, i: int, kind: int, g: Record, funder: Array,
    limits: Array,
) -> int:  # fmt: skip
    pairs, agree = alike(g, int(limits[3]))
    hits[found, 0], hits[found, 1] = i, kind
    hits[found, 2], hits[found, 3] = g.members, g.verified
    hits[found, 4], hits[found, 5] = pairs, agree
    shape[found, 0], shape[found, 1], shape[found, 2] = spread(g), g.first, g.mean
    set_key(who[found], funder)
    return found + 1


@compiled
def _born(
    children: Table, child_undo: TableUndo, funders: Table, funder_undo: TableUndo, stamp: int,
    sender: Array, receiver: Array, value: float, now: int, had_tokens: bool,
) -> None:  # fmt: skip
    parent = row_of(children, sender)
    hops, acting = 1, 0
    row = row_for(funders, funder_undo, stamp, sender)
    g = funders.rows[row]
    if parent >= 0:
        p = children.rows[parent]
        # A chain hands on most of what it got, each link to one wallet, or two.
        if g.members < 2 and 0.5 * p.amount <= value <= 1.05 * p.amount:
            hops = p.hops + 1
            acting = p.acting + ((p.flags & 8) != 0)
    c = children.rows[row_for(children, child_undo, stamp, receiver)]
    c.amount = value
    c.at = now
    c.born = now
    set_key(c.funder, sender)
    c.hops = hops
    c.acting = acting
    if g.members == 0:
        g.first = now
    g.members += 1
    off = value - g.mean
    g.mean += off / g.members
    g.squares += off * (value - g.mean)
    g.at = now
    if had_tokens:
        c.flags = 4
        g.outside += 1


@compiled
def _acts(f: Record, now: int, own: bool, limits: Array) -> bool:
    # Whether a flow is what a young wallet does: its transaction's own.
    return bool(
        own and now - f.from_first_seen <= limits[7] and f.from_sent < 128 and f.from_nonce < 64
    )


@compiled
def _pays(f: Record, now: int, own: bool, length: int, limits: Array) -> bool:
    # Whether a young wallet pays a wallet. A call that takes ether along pays for something.
    return bool(
        now - f.from_first_seen <= limits[7]
        and f.from_sent < 128
        and not f.to_is_contract
        and (not own or length <= 0)
    )


@compiled
def _is_paid(f: Record, now: int, limits: Array) -> bool:
    # Whether a young wallet is paid.
    return bool(now - f.to_first_seen <= limits[7] and f.to_events < 128)


@compiled
def scan_sybil(
    flows: Flows, listed: Array, listed_receivers: Array, listed_values: Array, first_serial: int,
    limits: Array, children: Table, child_undo: TableUndo, funders: Table, funder_undo: TableUndo,
    sinks: Table, sink_undo: TableUndo, hits: Array, shape: Array, who: Array,
) -> int:  # fmt: skip
    """One pass over the flows; how many hits there are.

    ``listed``: flows of disperse calls, in order, once for each that the call pays. ``limits``:
    see above. A hit is (flow, kind, members, verified, pairs, agreeing), of a chain (flow, kind,
    hops, acting, …); ``shape`` its (spread, time of the first, mean amount), ``who`` the funder of
    the child that brought it about.
    """
    found, opened, entry = 0, 0, 0
    for i in range(len(flows.times)):
        stop = flows.blocks[i] + 1
        open_blocks(children, child_undo, opened, stop)
        open_blocks(funders, funder_undo, opened, stop)
        open_blocks(sinks, sink_undo, opened, stop)
        opened = max(opened, stop)
        tx, stamp, now = flows.tx[i], first_serial + stop, flows.times[i]
        if not signed(flows.senders, flows.receivers, flows.signers, i, tx):
            continue
        f, own, coin, moved = flows.facts[i], flows.own[i], flows.coin[i], flows.moved[i]
        sender, receiver = flows.senders[i], flows.receivers[i]
        acts = _acts(f, now, own, limits)
        pays = moved and _pays(f, now, own, flows.lengths[tx], limits)
        if acts or pays:
            row = row_of(children, sender)
            if row >= 0 and (children.rows[row].flags & 2) == 0:
                journal(children, child_undo, row, stamp)
                found = _act(
                    children.rows[row], sender, receiver, flows.selectors[tx], flows.nonces[tx],
                    acts, pays, stamp, now, i, limits, funders, funder_undo, sinks, sink_undo,
                    hits, shape, who, found,
                )  # fmt: skip
        if moved and coin >= 0 and _is_paid(f, now, limits):
            first = coin == 0 and f.to_funder == np.uint64(0) and f.to_sent == 0
            _fund(
                children, child_undo, funders, funder_undo, stamp, sender, receiver,
                flows.values[i], now, first, f.to_received > 0,
            )  # fmt: skip
        while entry < len(listed) and listed[entry] <= i:
            if listed[entry] == i:
                _fund(
                    children, child_undo, funders, funder_undo, stamp, sender,
                    listed_receivers[entry], listed_values[entry], now, True, False,
                )  # fmt: skip
            entry += 1
    blocks = len(child_undo.marks)
    open_blocks(children, child_undo, opened, blocks)
    open_blocks(funders, funder_undo, opened, blocks)
    open_blocks(sinks, sink_undo, opened, blocks)
    return found


@compiled
def _fund(
    children: Table, child_undo: TableUndo, funders: Table, funder_undo: TableUndo, stamp: int,
    sender: Array, receiver: Array, value: float, now: int, first: bool, had_tokens: bool,
) -> None:  # fmt: skip
    # A wallet is paid: its first coins make it a child; a stranger's payment to a child is noted.
    row = row_of(children, receiver)
    if row < 0:
        if first:
            _born(
                children, child_undo, funders, funder_undo, stamp, sender, receiver, value, now,
                had_tokens,
            )  # fmt: skip
        return
    c = children.rows[row]
    if (c.flags & 4) == 0 and not same_key(c.funder, sender):
        journal(children, child_undo, row, stamp)
        c.flags |= 4
        group = row_of(funders, c.funder)
        if group >= 0:
            journal(funders, funder_undo, group, stamp)
            funders.rows[group].outside += 1


@compiled
def _act(
    c: Record, sender: Array, receiver: Array, selector: int, nonce: int, acts: bool,
    pays: bool, stamp: int, now: int, i: int, limits: Array, funders: Table, funder_undo: TableUndo,
    sinks: Table, sink_undo: TableUndo, hits: Array, shape: Array, who: Array, found: int,
) -> int:  # fmt: skip
    # A child does something: what it is known by, its group's sample, its sink. Hits so far.
    group = row_of(funders, c.funder)
    c.at = now
    if acts and c.actions < 16:
        if c.actions == 0:
            c.flags |= 1 if nonce <= 0 else 2
            if group >= 0:
                journal(funders, funder_undo, group, stamp)
                funders.rows[group].verified += c.flags & 1
            if c.flags & 2:
                return found
        add_action(c.sketch, receiver, selector, c.actions == 0)
        c.actions += 1
        if selector != 0 and (c.flags & 8) == 0:
            c.flags |= 8
            # Told at the fifth link, and again at every tenth.
            link = c.hops == limits[4] or (c.hops > limits[4] and c.hops % 10 == 0)
            if link and c.acting >= limits[5] and group >= 0:
                found = _hit(hits, shape, who, found, i, 1, funders.rows[group], c.funder, limits)
                hits[found - 1, 2], hits[found - 1, 3] = c.hops, c.acting + 1
        if group >= 0 and (c.actions == 3 or c.actions == 8 or c.actions == 16):
            journal(funders, funder_undo, group, stamp)
            g = funders.rows[group]
            c.sampled = _sample(g, c, sender, c.actions, int(c.sampled) - 1) + 1
            g.at = now
            if g.told == 0 and spread(g) <= limits[1] and _same_kind(g, limits):
                g.told = 1
                found = _hit(hits, shape, who, found, i, 0, g, c.funder, limits)
    if pays and c.actions >= 3 and (c.flags & 4) == 0 and not same_key(c.sink, receiver):
        old = row_of(sinks, c.sink)
        if old >= 0 and sinks.rows[old].members > 0:
            journal(sinks, sink_undo, old, stamp)
            sinks.rows[old].members -= 1
            sinks.rows[old].verified -= min(sinks.rows[old].verified, np.uint32(c.flags & 1))
        set_key(c.sink, receiver)
        s = sinks.rows[row_for(sinks, sink_undo, stamp, receiver)]
        if s.members == 0:
            s.first = now
        s.members += 1
        s.verified += c.flags & 1
        s.at = now
        stage = 3 if c.actions < 8 else 8 if c.actions < 16 else 16
        _sample(s, c, sender, stage, -1)
        if s.told == 0 and _same_kind(s, limits):
            s.told = 1
            found = _hit(hits, shape, who, found, i, 2, s, c.funder, limits)
    return found


@compiled
def _same_kind(g: Record, limits: Array) -> bool:
    # Enough children, new for sure, that nobody else pays and that do the same.
    if g.verified < limits[0] or g.outside > limits[6] * g.members:
        return False
    pairs, agree = alike(g, int(limits[3]))
    return pairs >= 10 and agree >= limits[2] * pairs
