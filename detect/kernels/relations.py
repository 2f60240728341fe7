"""What a flow changes of what is remembered of its parties' relations, and the features of those.

Wallets are placed by their keyed hash in sets of four, as pairs are: the wallet with the fewest
events, the longest unseen, gives way. Everything is read as it was before the flow, then updated.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled, inlined
from detect.kernels.scaling import (
    COUNT_TOP,
    NEUTRAL,
    SECONDS_TOP,
    WEI_TOP,
    WEI_UNIT,
    flag,
    log_scaled,
    share,
)
from detect.kernels.update import SLOWEST

WAYS: Final = 4
NOBODY: Final = -1
SWEEP: Final = 0.9
DIGITS_TOP: Final = 15.0
AMOUNT_TOP: Final = WEI_TOP / WEI_UNIT

_U1 = np.uint64(1)
_S7 = np.uint64(7)


class Related(NamedTuple):
    """Who has which place, and what is known of them.

    A place is given the next row when it is first taken, and keeps it: searches go by the keys
    alone, which are close together, and of the rows only those in use are ever touched.
    """

    keys: Array  # uint64 (capacity,): keyed hashes, the lowest bit set; 0 where nobody is
    row: Array  # int32 (capacity,): row + 1 of a place, 0 before it is first taken
    place: Array  # int32 (capacity,): of a row
    rows: Array  # records (capacity,)
    used: Array  # int64 (1,): rows given out


class RelationUndo(NamedTuple):
    """Rows as they were before each change, in order."""

    places: Array  # int64
    rows: Array
    used: Array  # int64 (1,)
    marks: Array  # int64 (blocks,): the first entry of each block


@inlined
def row_at(table: Related, place: int) -> int:
    """The row of a place, given to it if it has none."""
    if table.row[place] == 0:
        n = table.used[0]
        table.place[n] = place
        table.row[place] = n + 1
        table.used[0] = n + 1
    return int(table.row[place]) - 1


@inlined
def row_of(table: Related, hashed: np.uint64, kept: int) -> int:
    """The row of a wallet, or the one that it may take, never ``kept``."""
    key = hashed | _U1
    first = int((key >> _S7) & np.uint64(len(table.keys) // WAYS - 1)) * WAYS
    best = NOBODY
    for place in range(first, first + WAYS):
        if table.keys[place] == key:
            return int(table.row[place]) - 1
    for place in range(first, first + WAYS):
        if table.keys[place] == 0:
            return row_at(table, place)
        row = int(table.row[place]) - 1
        if row == kept:
            continue
        if (
            best < 0
            or table.rows[row].events < table.rows[best].events
            or (
                table.rows[row].events == table.rows[best].events
                and table.rows[row].last_seen < table.rows[best].last_seen
            )
        ):
            best = row
    return best


@inlined
def find_row(table: Related, hashed: np.uint64) -> int:
    """The row of a wallet, -1 where it has none."""
    key = hashed | _U1
    first = int((key >> _S7) & np.uint64(len(table.keys) // WAYS - 1)) * WAYS
    for place in range(first, first + WAYS):
        if table.keys[place] == key:
            return int(table.row[place]) - 1
    return NOBODY


@compiled
def undo_relations(table: Related, undo: RelationUndo, block: int) -> None:
    """Put back the rows that the journalled blocks from ``block`` on changed."""
    first = undo.marks[block]
    for n in range(undo.used[0] - 1, first - 1, -1):
        place = undo.places[n]
        table.rows[table.row[place] - 1] = undo.rows[n]
        table.keys[place] = undo.rows[n].key
    undo.used[0] = first


@inlined
def remember(table: Related, undo: RelationUndo, journalled: bool, row: int) -> None:
    """Journal a row that is about to change."""
    if journalled:
        n = undo.used[0]
        undo.places[n] = table.place[row]
        undo.rows[n] = table.rows[row]
        undo.used[0] = n + 1


@inlined
def occupy(table: Related, blank: Array, row: int, hashed: np.uint64) -> None:
    """Give a row to a wallet, empty where it was somebody else's."""
    key = hashed | _U1
    if table.rows[row].key != key:
        table.rows[row] = blank[0]
        table.rows[row].key = key
        table.keys[table.place[row]] = key


@compiled
def blend(mean: float, value: float, count: int) -> np.float32:
    """A running mean after its ``count``-th value; from the 20th on older values fade."""
    return np.float32(mean + max(1.0 / count, SLOWEST) * (value - mean))


@compiled
def relate(rows: Array, sender: int, receiver: int, now: int, value: float, met: bool) -> None:
    """What either side of a coin flow learns of the other, as it was before the flow."""
    s, r = rows[sender], rows[receiver]
    r.received += 1
    s.sent += 1
    n = r.received
    part = value / s.held if 0.0 < value <= s.held else 1.0
    idle = log_scaled(float(now) - float(s.last_seen), SECONDS_TOP) if s.events > 0 else 0.0
    r.payers_share = blend(r.payers_share, part, n)
    r.payers_unfunded = blend(r.payers_unfunded, flag(s.incomes == 0), n)
    r.payers_income = blend(r.payers_income, log_scaled(s.in_value / WEI_UNIT, AMOUNT_TOP), n)
    r.payers_idle = blend(r.payers_idle, idle, n)
    r.payers_risk = blend(r.payers_risk, s.risk, n)
    r.payers_bad = blend(r.payers_bad, flag(s.is_bad > 0), n)
    r.lure_risk = blend(r.lure_risk, share(s.met_payees_risk, s.payees), n)
    r.lure_bad = blend(r.lure_bad, share(s.bad_payees, s.payees), n)
    r.payers_top_risk = max(r.payers_top_risk, s.risk)
    n = s.sent
    s.payees_income = blend(s.payees_income, log_scaled(r.in_value / WEI_UNIT, AMOUNT_TOP), n)
    s.payees_events = blend(s.payees_events, log_scaled(r.events, COUNT_TOP), n)
    s.payees_risk = blend(s.payees_risk, r.risk, n)
    s.payees_bad = blend(s.payees_bad, flag(r.is_bad > 0), n)
    s.sink_risk = blend(s.sink_risk, share(r.met_payers_risk, r.payers), n)
    s.sink_bad = blend(s.sink_bad, share(r.bad_payers, r.payers), n)
    s.payees_top_risk = max(s.payees_top_risk, r.risk)
    if not met:
        r.payers += 1
        s.payees += 1
        r.met_payers_risk += s.top_risk
        s.met_payees_risk += r.top_risk
        r.bad_payers += s.is_bad > 0
        s.bad_payees += r.is_bad > 0
    if r.incomes == 0:
        r.funder_risk = s.risk


@compiled
def receive(rows: Array, place: int, now: int, value: float, early: bool) -> None:
    """Book income."""
    r = rows[place]
    if r.incomes == 0:
        r.first_in = now
        r.smallest_in = np.float32(value)
    else:
        gap = log_scaled(float(now) - float(r.last_in), SECONDS_TOP)
        r.income_gap = blend(r.income_gap, gap, r.incomes)
    r.incomes += 1
    r.before_spending += r.spendings == 0
    r.last_in = now
    r.in_value += value
    r.held += value
    if early:
        r.early_value += value
    r.largest_in = max(r.largest_in, np.float32(value))
    r.smallest_in = min(r.smallest_in, np.float32(value))


@compiled
def spend(rows: Array, place: int, now: int, value: float) -> None:
    """Book a spending."""
    s = rows[place]
    if s.spendings == 0:
        s.first_out = now
    s.spendings += 1
    s.sweeps += s.held > 0.0 and value >= SWEEP * s.held
    s.held = max(0.0, s.held - value)
    s.out_value += value
    s.last_out = now


@compiled
def digits(value: float) -> float:
    """How many significant decimal digits an amount has, 0 to 15, as a double tells them.

    What people type is round; what programs send, fees taken off, is not.
    """
    if not value > 0.0:
        return 0.0
    scaled = value / 10.0 ** math.floor(math.log10(value))
    found = 1.0
    while found < DIGITS_TOP:
        if abs(scaled - math.floor(scaled + 0.5)) <= 1e-9:
            return found
        scaled *= 10.0
        found += 1.0
    return found


@compiled
def since(now: int, then: int) -> float:
    """The time since, scaled; 1 for what never was."""
    if then == 0:
        return 1.0
    return log_scaled(float(now) - float(then), SECONDS_TOP)


@compiled
def relation_features(
    rows: Array, place: int, other: int, sends: bool, value: float, now: int, f: Array
) -> None:
    """Fill ``f`` (float32) with the relations of a wallet, but for the anomaly scores, the last."""
    w = rows[place]
    f[0] = flag(sends)
    f[1] = digits(value) / DIGITS_TOP
    f[2] = log_scaled(w.largest_in / WEI_UNIT, AMOUNT_TOP)
    f[3] = log_scaled(w.smallest_in / WEI_UNIT, AMOUNT_TOP)
    f[4] = share(w.largest_in, w.in_value)
    f[5] = log_scaled(w.before_spending, COUNT_TOP)
    f[6] = share(w.sweeps, w.spendings)
    f[7] = 1.0
    if w.first_in > 0 and w.first_out > 0:
        f[7] = log_scaled(float(w.first_out) - float(w.first_in), SECONDS_TOP)
    f[8] = w.income_gap
    f[9] = since(now, w.last_in)
    f[10] = since(now, w.last_out)
    f[11] = w.payers_share
    f[12] = w.payers_unfunded
    f[13] = w.payers_income
    f[14] = w.payers_idle
    f[15] = w.payees_income
    f[16] = w.payees_events
    f[17] = rows[other].risk if other >= 0 else 0.0
    f[18] = w.funder_risk
    f[19] = w.payers_risk
    f[20] = w.payers_top_risk
    f[21] = w.payees_risk
    f[22] = w.payees_top_risk
    f[23] = w.lure_risk
    f[24] = w.sink_risk
    f[25] = w.payers_bad
    f[26] = w.payees_bad
    f[27] = w.lure_bad
    f[28] = w.sink_bad
    f[29] = f[30] = NEUTRAL
