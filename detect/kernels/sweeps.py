"""Who emptied themselves into one wallet within hours: the last 16 payers of each receiver."""

from __future__ import annotations

from typing import Final

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.flows import Flows, signed
from detect.kernels.rows import Record, open_blocks, row_for, row_of, same_key, set_key
from detect.kernels.table import Table, TableUndo
from detect.kernels.update import Pairs, PairUndo, count_pair, mixed, pair_place

PAYERS: Final = 16

# Places of ``limits``.
WINDOW: Final = 0  # seconds that a sweep may take
AT_ONCE: Final = 1  # … and that of one wallet
FRESH: Final = 2  # seconds a fresh receiver has been in view, at most
RECEIVER_FLOWS: Final = 3
SENDER_SECONDS: Final = 4  # what a victim's wallet has behind it: seconds, or …
SENDER_NONCE: Final = 5
BUSY: Final = 6  # who has so many flows relates nobody
HELD_SECONDS: Final = 7  # in view for so long, what a wallet holds is known

# What is known of a payment that a payer made: bits of ``RECEIVER.what``.
COIN: Final = 1  # the chain's coin
TOKEN: Final = 2  # a listed token
EMPTIED: Final = 4  # all the payer was known to hold, or coins and tokens in one go
TOKEN_SHIFT: Final = 3  # from here on: which listed token it was last, counted from 1

RECEIVER: Final = np.dtype(
    [
        ("funders", np.uint64, (PAYERS,)),  # 0: unknown, or one who funds everybody
        ("hashes", np.uint64, (PAYERS,)),
        ("payers", np.uint32, (PAYERS, 5)),
        ("times", np.uint32, (PAYERS,)),  # of the last payment; 0: nobody
        ("at", np.uint32),
        ("what", np.uint8, (PAYERS,)),
        ("told", np.uint8),  # levels told of those who are emptied, as far as is in view
        ("asked", np.uint8),  # levels at which a node was worth asking
        ("unused", np.uint8, (2,)),
    ],
    align=True,
)


@compiled
def is_emptied(what: int) -> bool:
    """Whether what is in view says so: all it held, or coins and tokens in one go."""
    return (what & 4) != 0


@compiled
def _counts(r: Record, place: int, since: int, emptied: bool) -> bool:
    # Whether the payer at that place has paid since then; with ``emptied``, all it had.
    return bool(r.times[place] >= since and (not emptied or is_emptied(r.what[place])))


@compiled
def _one_person(r: Record, a: int, b: int, pairs: Pairs) -> bool:
    # Whether two payers belong together: one funder, one funded the other, or they have dealt.
    if r.funders[a] != 0 and r.funders[a] == r.funders[b]:
        return True
    x, y = r.hashes[a], r.hashes[b]
    if r.funders[a] == y or r.funders[b] == x:
        return True
    _, known = pair_place(pairs, mixed(min(x, y), max(x, y)))
    return known


@compiled
def _payers_since(r: Record, since: int) -> int:
    count = 0
    for place in range(16):
        count += r.times[place] >= since
    return count


@compiled
def unrelated(r: Record, since: int, emptied: bool, pairs: Pairs, person: Array) -> int:
    """How many people's wallets have paid since then; with ``emptied``, all they had.

    ``person`` (16 places): afterwards, per payer, the first payer who is the same person; -1 for
    who does not count.
    """
    count = 0
    for place in range(16):
        person[place] = -1
        if not _counts(r, place, since, emptied):
            continue
        person[place] = place
        count += 1
        for other in range(place):
            if person[other] < 0 or person[other] == person[place]:
                continue
            if _one_person(r, other, place, pairs):
                count -= 1
                first, gone = min(person[other], person[place]), max(person[other], person[place])
                for each in range(place + 1):
                    if person[each] == gone:
                        person[each] = first
    return count


@compiled
def _level(count: int, levels: Array) -> int:
    level = 0
    while level < len(levels) and count >= levels[level]:
        level += 1
    return level


@compiled
def _place(r: Record, payer: Array) -> int:
    # The payer's place, else -1 minus the place longest unused.
    best = 0
    for place in range(16):
        if r.times[place] != 0 and same_key(r.payers[place], payer):
            return place
        if r.times[place] < r.times[best]:
            best = place
    return -1 - best


@compiled
def _pay(
    r: Record, place: int, payer: Array, hashed: np.uint64, funder: np.uint64, what: int,
    now: int, since: int, at_once: int,
) -> None:  # fmt: skip
    # Note a payment of the payer at that place, or of one who takes place -1 - place.
    if place < 0:
        place = -1 - place
        set_key(r.payers[place], payer)
        r.hashes[place] = hashed
        r.funders[place] = funder
        r.what[place] = 0
    elif r.times[place] < since:
        r.what[place] = 0
    elif now - r.times[place] <= at_once and ((r.what[place] | what) & 3) == 3:
        r.what[place] |= 4
    if r.at != 0 and r.at < since:
        r.told = 0
        r.asked = 0
    r.times[place] = now
    r.what[place] |= what
    r.at = now


@compiled
def _are_dealing(f: Record, limits: Array) -> bool:
    # Whether two EOAs of people deal with one another.
    return bool(
        not f.to_is_contract
        and not f.from_is_contract
        and f.from_events < limits[6]
        and f.to_events < limits[6]
    )


@compiled
def _may_sweep(f: Record, now: int, nonce: int, hub: float, limits: Array) -> bool:
    # Whether a wallet with a past pays a fresh one that it is not related to.
    if now - f.to_first_seen > limits[2] or f.to_events >= limits[3]:
        return False
    if now - f.from_first_seen < limits[4] and nonce < limits[5]:
        return False
    if f.from_funder == f.to_hash or f.to_funder == f.from_hash:
        return False
    shared = f.from_funder == f.to_funder and f.from_funder != np.uint64(0)
    return not (shared and f.from_funder_fan_out < hub)


@compiled
def _what(f: Record, coin: int, value: float, now: int, limits: Array) -> int:
    # What a payment tells of its payer.
    if coin > 0:
        return 2 | coin << 3
    known = now - f.from_first_seen >= limits[7] and f.from_held > 0.0
    return 1 | (4 if known and 0.9 * f.from_held <= value <= f.from_held else 0)


@compiled
def scan_sweeps(
    flows: Flows, first_serial: int, limits: Array, hub: float, least: Array, levels: Array,
    table: Table, undo: TableUndo, pairs: Pairs, pair_undo: PairUndo, person: Array,
    hits: Array, rings: Array, ring_what: Array,
) -> int:  # fmt: skip
    """One pass over the flows; how many hits there are.

    ``hub``: a funder whose fan-out (scaled) is that much relates nobody. ``least``: what a payment
    must be worth, by coin. A hit is (flow, emptied, all, whether emptied rose): the payment with
    which a count of unrelated payers reached the next of ``levels``; the emptied count where they
    are most of all. ``rings`` has its payers, ``ring_what`` what they paid, 0 for who does not
    count.
    """
    found, opened, blocks = 0, 0, len(undo.marks)
    for i in range(len(flows.times)):
        while opened <= flows.blocks[i]:
            open_blocks(table, undo, opened, opened + 1)
            pair_undo.marks[opened] = pair_undo.used[0]
            opened += 1
        f, now, coin = flows.facts[i], flows.times[i], flows.coin[i]
        if not flows.moved[i] or coin < 0 or not _are_dealing(f, limits):
            continue
        if not signed(flows.senders, flows.receivers, flows.signers, i, flows.tx[i]):
            continue
        worth = flows.units[i] >= least[coin]
        if worth and _may_sweep(f, now, flows.nonces[flows.tx[i]], hub, limits):
            payer, since = flows.senders[i], max(1, now - limits[0])
            row = row_of(table, flows.receivers[i])
            place = -1 if row < 0 else _place(table.rows[row], payer)
            if place >= 0 or f.pair_events == 0:
                row = row_for(table, undo, first_serial + opened, flows.receivers[i])
                r = table.rows[row]
                funder = np.uint64(0) if f.from_funder_fan_out >= hub else f.from_funder
                what = _what(f, coin, flows.values[i], now, limits)
                _pay(r, place, payer, f.from_hash, funder, what, now, since, limits[1])
                told, asked, emptied, every = 0, 0, 0, 0
                if _level(_payers_since(r, since), levels) > min(r.told, r.asked):
                    emptied = unrelated(r, since, True, pairs, person)
                    every = unrelated(r, since, False, pairs, person)
                    told = _level(emptied, levels) if 2 * emptied > every else 0
                    asked = _level(every, levels)
                if told > r.told or asked > r.asked:
                    hits[found, 0], hits[found, 1], hits[found, 2] = i, emptied, every
                    hits[found, 3] = told > r.told
                    for at in range(16):
                        set_key(rings[found, at], r.payers[at])
                        ring_what[found, at] = r.what[at] if person[at] == at else 0
                    found += 1
                    r.told = max(r.told, told)
                    r.asked = max(r.asked, asked)
        x, y = f.from_hash, f.to_hash
        key = mixed(min(x, y), max(x, y))
        place, _ = pair_place(pairs, key)
        count_pair(pairs, pair_undo, True, place, key, x < y, now)
    while opened < blocks:
        open_blocks(table, undo, opened, opened + 1)
        pair_undo.marks[opened] = pair_undo.used[0]
        opened += 1
    return found
