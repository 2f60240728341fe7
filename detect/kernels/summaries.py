"""What is kept of a wallet that had to give up its row, and how a new row begins with it.

A summary is 64 bytes where a row with its key and index is 300: whether the wallet is old or new,
who funded it, what it moved, and its counts, which share one scale if any is above 255. What a
summary does not hold (means, spreads, gaps, the first counterparties) starts anew, the usual
amounts from the mean ones. Summaries lie in sets of eight, in the emptier of two (Azar et al.,
1994: balanced allocations), so that hardly any gives way before nine in ten places are taken; of
two full sets the least worth goes.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.wallet_features import worth_of

SET: Final = 8  # summaries that share a set: their keys are one line of cache
_CONTRACT: Final = 128  # in ``flags``: it has code; the lower bits are the scale of the counts
_TOP: Final = 255
_S32 = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Summaries(NamedTuple):
    """The summaries: sets of eight, of which each wallet has two. None where ``rows`` is empty."""

    keys: Array  # uint64, the wallet's keyed hash; 0: empty
    rows: Array  # SUMMARY records
    recalled: Array  # SUMMARY (1,): scratch
    number: Array  # int64 (1,): how many there are


class SummaryUndo(NamedTuple):
    """Summaries as they were before each change, in order."""

    places: Array  # int64
    keys: Array
    rows: Array
    used: Array  # int64 (1,)
    marks: Array  # int64 (blocks,): first entry of each block


@compiled
def sets_of(summaries: Summaries, hashed: np.uint64) -> tuple[int, int]:
    """Where the two sets begin that a wallet's summary may be in."""
    sets = np.uint64(len(summaries.keys) // SET)
    one = ((hashed >> _S32) * sets) >> _S32
    other = ((hashed & _LOW) * sets) >> _S32
    return int(one) * SET, int(other) * SET


@compiled
def place_of(summaries: Summaries, hashed: np.uint64) -> int:
    """Where a wallet's summary is, -1 if it has none."""
    for first in sets_of(summaries, hashed):
        for place in range(first, first + SET):
            if summaries.keys[place] == hashed:
                return place
    return -1


@compiled
def _journal(summaries: Summaries, undo: SummaryUndo, journalled: bool, place: int) -> None:
    if journalled:
        at = undo.used[0]
        undo.places[at] = place
        undo.keys[at] = summaries.keys[place]
        undo.rows[at] = summaries.rows[place]
        undo.used[0] = at + 1


@compiled
def recall(summaries: Summaries, undo: SummaryUndo, journalled: bool, hashed: np.uint64) -> bool:
    """Move a wallet's summary to ``recalled``; whether there is one."""
    place = place_of(summaries, hashed)
    if place < 0:
        return False
    _journal(summaries, undo, journalled, place)
    summaries.recalled[0] = summaries.rows[place]
    summaries.keys[place] = 0
    summaries.number[0] -= 1
    return True


@compiled
def _worth(rows: Array, place: int, now: int) -> float:
    s = rows[place]
    scale = s.flags & (_CONTRACT - 1)
    return worth_of(
        float((int(s.sent) + int(s.received)) << scale),
        float(int(s.peers) << scale),
        s.flags >= _CONTRACT,
        float(s.in_value) + float(s.out_value),
        float(int(s.fresh_in) << scale),
        float(int(s.coin_received) << scale),
        float(s.passed),
        float(s.in_value),
        max(0.0, float(now) - float(s.last_seen)),
    )


@compiled
def _empty(summaries: Summaries, first: int) -> tuple[int, int]:
    """How many places of a set are empty, and one of them."""
    count, empty = 0, -1
    for place in range(first, first + SET):
        if summaries.keys[place] == 0:
            count, empty = count + 1, place
    return count, empty


@compiled
def _place(summaries: Summaries, hashed: np.uint64, now: int) -> int:
    """Where a summary may be written: in the emptier of its sets, else over the least worth."""
    one, other = sets_of(summaries, hashed)
    in_one, empty = _empty(summaries, one)
    in_other, another = _empty(summaries, other)
    if in_one > 0 or in_other > 0:
        return empty if in_one >= in_other else another
    least, chosen = math.inf, one
    for first in (one, other):
        for place in range(first, first + SET):
            value = _worth(summaries.rows, place, now)
            if value < least:
                least, chosen = value, place
    return chosen


@compiled
def summarise(
    summaries: Summaries,
    undo: SummaryUndo,
    journalled: bool,
    wallets: Array,
    row: int,
    hashed: np.uint64,
    now: int,
) -> None:
    """Keep a summary of the wallet in a row, which is about to be given to another."""
    place = _place(summaries, hashed, now)
    _journal(summaries, undo, journalled, place)
    s, w = summaries.rows[place], wallets[row]
    summaries.number[0] += summaries.keys[place] == 0
    summaries.keys[place] = hashed
    top, scale = max(w.sent, w.received, w.peers, w.fan_in, w.fan_out, w.token_flows), 0
    while top >> scale > _TOP:
        scale += 1
    s.funder = w.funder
    s.in_value = np.float32(w.in_value)
    s.out_value = np.float32(w.out_value)
    s.held = np.float32(w.held)
    s.passed = np.float32(w.passed)
    s.first_seen, s.last_seen, s.last_in, s.nonce = w.first_seen, w.last_seen, w.last_in, w.nonce
    s.sent, s.received = w.sent >> scale, w.received >> scale
    s.coin_sent, s.coin_received = w.coin_sent >> scale, w.coin_received >> scale
    s.valued_in, s.valued_out = w.valued_in >> scale, w.valued_out >> scale
    s.peers, s.fan_in, s.fan_out = w.peers >> scale, w.fan_in >> scale, w.fan_out >> scale
    s.fresh_in, s.fresh_out = w.fresh_in >> scale, w.fresh_out >> scale
    s.failed, s.zero_values = w.failed >> scale, w.zero_values >> scale
    s.round_amounts, s.token_flows = w.round_amounts >> scale, w.token_flows >> scale
    s.flags = scale + (_CONTRACT if w.is_contract else 0)


@compiled
def unfold(summaries: Summaries, wallets: Array, row: int) -> None:
    """Begin a wallet's new row with the summary that was recalled."""
    s, w = summaries.recalled[0], wallets[row]
    scale = s.flags & (_CONTRACT - 1)
    w.funder = s.funder
    w.in_value, w.out_value = s.in_value, s.out_value
    w.held, w.passed = s.held, s.passed
    w.first_seen, w.last_seen, w.last_in, w.nonce = s.first_seen, s.last_seen, s.last_in, s.nonce
    w.held_since = float(s.last_in)
    w.sent, w.received = int(s.sent) << scale, int(s.received) << scale
    w.events = w.sent + w.received
    w.coin_sent, w.coin_received = int(s.coin_sent) << scale, int(s.coin_received) << scale
    w.valued_in, w.valued_out = int(s.valued_in) << scale, int(s.valued_out) << scale
    w.peers = int(s.peers) << scale
    w.fan_in, w.fan_out = int(s.fan_in) << scale, int(s.fan_out) << scale
    w.fresh_in, w.fresh_out = int(s.fresh_in) << scale, int(s.fresh_out) << scale
    w.failed, w.zero_values = int(s.failed) << scale, int(s.zero_values) << scale
    w.round_amounts, w.token_flows = int(s.round_amounts) << scale, int(s.token_flows) << scale
    w.is_contract = s.flags >= _CONTRACT
    if w.valued_in > 0:
        w.in_mean = np.float32(math.log1p(w.in_value / w.valued_in))
    if w.valued_out > 0:
        w.out_mean = np.float32(math.log1p(w.out_value / w.valued_out))


@compiled
def undo_summaries(summaries: Summaries, undo: SummaryUndo, block: int) -> None:
    """Take back a block's changes to the summaries."""
    for at in range(undo.used[0] - 1, undo.marks[block] - 1, -1):
        place = undo.places[at]
        summaries.number[0] += int(undo.keys[at] != 0) - int(summaries.keys[place] != 0)
        summaries.keys[place] = undo.keys[at]
        summaries.rows[place] = undo.rows[at]
    undo.used[0] = undo.marks[block]
