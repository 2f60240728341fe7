"""Boosted trees that grow while rows come, one small tree at a time, fitted to what is kept.

A model has several members, ensembles that differ in the rows and features their trees see; it says
the mean of what they say. A tree is complete: node ``n`` of level ``d`` stands at ``2**d - 1 + n``,
its children at twice that and one more. Values are whole numbers, ``UNIT`` to one unit of log odds,
so that sums of them are exact in any order, and undone exactly.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled, inlined
from detect.kernels.scaling import probability

BINS: Final = 64  # of each feature; inputs are bins below it
UNIT: Final = 1 << 20
NO_SPLIT: Final = -1
MIN_CURVATURE: Final = 1e-6
TOGETHER: Final = 4  # features whose gradients are summed at once

COMMON: Final = 0  # kinds of rows: of the common kind, thinned when a tree is fitted,
RARE: Final = 1  # and of the rare one, all used
LEARNT: Final = 4  # state: rows kept by kind, where the next of each goes, rows learnt,
GROWN: Final = 5  # and trees grown so far by each member
STATE: Final = 6

_M1 = np.uint64(0x9E3779B97F4A7C15)
_M2 = np.uint64(0xBF58476D1CE4E5B9)
_S29, _S32, _S40 = np.uint64(29), np.uint64(32), np.uint64(40)


class Boosted(NamedTuple):
    """What is kept of rows, the common before the rare, and the trees; the oldest give way."""

    rows: Array  # uint8 (common + rare, features): bins
    targets: Array  # float32 (common + rare,): in [0, 1]
    sums: Array  # int64 (members, common + rare): what a member's trees say of the row
    feature: Array  # int16 (members, trees, 2**depth - 1), NO_SPLIT for none
    threshold: Array  # uint8 (members, trees, 2**depth - 1): greater bins go right
    value: Array  # int32 (members, trees, 2**(depth + 1) - 1): of every node, the leaves last
    state: Array  # int64 (STATE,)


class Growth(NamedTuple):
    """How trees grow, and room to grow them in."""

    every: int  # rows learnt from one tree to the next
    warm: int  # rare rows kept before the first
    common: int  # places for common rows; the rest are for rare ones
    sample: int  # common rows a tree is fitted to, about
    columns: float  # share of the features a tree may split on
    rate: float
    shrinkage: float  # L2 penalty of a leaf
    least: float  # curvature on each side of a split, at least
    seed: int
    chosen: Array  # int32 (rows,)
    slopes: Array  # float32 (rows,)
    curves: Array  # float32 (rows,)
    nodes: Array  # int32 (rows,)
    features: Array  # int32 (features,)
    bins: Array  # uint8 (features, rows): the chosen features of the chosen rows
    sides: Array  # float64 (TOGETHER, 2**depth, bins, 2)
    best: Array  # float64 (2**depth,)


class Regrowth(NamedTuple):
    """What rows and trees overwrote, in order, so that it can be put back."""

    places: Array  # int64 (n,): of rows
    rows: Array
    targets: Array
    states: Array  # int64 (n, STATE): before the row
    feature: Array  # (trees, members, …)
    threshold: Array
    value: Array
    used: Array  # int64 (2,): rows and trees
    marks: Array  # int64 (blocks, 2): both, at each block's start


@compiled
def chance(number: int, seed: int) -> float:
    """A number in [0, 1) that depends on nothing else (after SplitMix64's finaliser)."""
    z = np.uint64(number) * _M1 + np.uint64(seed) * _M2
    z ^= z >> _S29
    z *= _M2
    z ^= z >> _S32
    z *= _M1
    return float(z >> _S40) / 16777216.0


@compiled
def copy(target: Array, source: Array) -> None:
    """Copy a row; compiled code cannot assign one array to another without allocating."""
    for n in range(len(source)):
        target[n] = source[n]


@compiled
def said_by(feature: Array, threshold: Array, value: Array, trees: int, row: Array) -> int:
    """What the first trees of a member say of a row of bins, summed."""
    total, splits = 0, feature.shape[1]
    for tree in range(trees):
        at = 0
        while at < splits:
            f = feature[tree, at]
            at = 2 * at + 1 + (f >= 0 and row[f] > threshold[tree, at])
        total += value[tree, at]
    return int(total)


@compiled
def revalue(
    sums: Array, feature: Array, threshold: Array, value: Array, rows: Array, begin: int, end: int,
    sign: int,
) -> None:  # fmt: skip
    """Add what one tree says to the sums of rows, or take it away."""
    splits = len(feature)
    for r in range(begin, end):
        at = 0
        while at < splits:
            f = feature[at]
            at = 2 * at + 1 + (f >= 0 and rows[r, f] > threshold[at])
        sums[r] += sign * value[at]


@inlined
def trees_of(model: Boosted) -> int:
    """How many trees each member has."""
    return int(min(model.state[GROWN], model.feature.shape[1]))


@inlined
def boosted_logit(model: Boosted, row: Array) -> float:
    """The mean of what the members say of a row of bins, in log odds."""
    total, members = 0, len(model.sums)
    for m in range(members):
        total += said_by(model.feature[m], model.threshold[m], model.value[m], trees_of(model), row)
    return total / (UNIT * members)


@compiled
def tell_trees(
    feature: Array, threshold: Array, value: Array, trees: int, row: Array, unit: float,
    shares: Array,
) -> None:  # fmt: skip
    """Add each feature's share of what a member says to ``shares``; the last is nobody's.

    Along a row's path through a tree its value changes at every split; that is the share of the
    feature split on (Saabas, 2014).
    """
    splits = feature.shape[1]
    for tree in range(trees):
        at = 0
        now = value[tree, 0]
        shares[len(shares) - 1] += now * unit
        while at < splits:
            f = feature[tree, at]
            at = 2 * at + 1 + (f >= 0 and row[f] > threshold[tree, at])
            then = value[tree, at]
            shares[f if f >= 0 else len(shares) - 1] += (then - now) * unit
            now = then


@inlined
def tell_boosted(model: Boosted, row: Array, weight: float, shares: Array) -> None:
    """Add each feature's share of ``weight`` times what the members say; the last is nobody's."""
    unit = weight / (UNIT * len(model.sums))
    for m in range(len(model.sums)):
        tell_trees(
            model.feature[m], model.threshold[m], model.value[m], trees_of(model), row, unit,
            shares,
        )  # fmt: skip


@inlined
def add_tree(model: Boosted, common: int, m: int, tree: int, sign: int) -> None:
    """Add what a member's tree says to the sums of all rows kept, or take it away."""
    feature, threshold = model.feature[m, tree], model.threshold[m, tree]
    value, kept = model.value[m, tree], model.state
    revalue(model.sums[m], feature, threshold, value, model.rows, 0, kept[COMMON], sign)
    end = common + kept[RARE]
    revalue(model.sums[m], feature, threshold, value, model.rows, common, end, sign)


@inlined
def choose_rows(model: Boosted, g: Growth, m: int, number: int) -> int:
    """The rows that a tree is fitted to, and their gradients: all rare ones, some common ones."""
    kept, n = model.state[COMMON], 0
    part = min(1.0, g.sample / max(1, kept))
    for r in range(len(model.rows)):
        weight = 1.0
        if r < g.common:
            if r >= kept or chance(r, number) >= part:
                continue
            weight = 1.0 / part
        elif r >= g.common + model.state[RARE]:
            break
        p = probability(model.sums[m, r] / UNIT)
        g.chosen[n] = r
        g.slopes[n] = weight * (p - model.targets[r])
        g.curves[n] = weight * max(MIN_CURVATURE, p * (1.0 - p))
        g.nodes[n] = 0
        n += 1
    return n


@inlined
def choose_features(model: Boosted, g: Growth, number: int) -> int:
    """The features that a tree may split on; at least one."""
    n, features = 0, model.rows.shape[1]
    for f in range(features):
        if chance(f, number + 7919) < g.columns:
            g.features[n] = f
            n += 1
    if n == 0:
        g.features[0] = number % features
        n = 1
    return n


@compiled
def gather(bins: Array, rows: Array, chosen: Array, count: int, features: Array) -> None:
    """Turn the chosen rows into columns: every level of a tree reads them once more, in order."""
    for j in range(count):
        row = rows[chosen[j]]
        for k in range(len(features)):
            bins[k, j] = row[features[k]]


@compiled
def tally(
    sides: Array, width: int, rows: int, nodes: Array, bins: Array, slopes: Array, curves: Array
) -> None:
    """Sum the gradients of the rows by node and bin, for ``TOGETHER`` features at once.

    A sum waits for the one before where both go to the same place; others need not.
    """
    for k in range(len(bins)):
        for q in range(width):
            for b in range(sides.shape[2]):
                sides[k, q, b, 0] = 0.0
                sides[k, q, b, 1] = 0.0
    if len(bins) == TOGETHER:
        for j in range(rows):
            q, slope, curve = nodes[j], slopes[j], curves[j]
            for k in range(TOGETHER):
                at = bins[k, j]
                sides[k, q, at, 0] += slope
                sides[k, q, at, 1] += curve
        return
    for k in range(len(bins)):
        for j in range(rows):
            sides[k, nodes[j], bins[k, j], 0] += slopes[j]
            sides[k, nodes[j], bins[k, j], 1] += curves[j]


@compiled
def best_split(side: Array, shrinkage: float, least: float, best: float) -> tuple[int, float]:
    """The bin after which a node is best cut, and the gain; -1 where none is better than best."""
    slope, curve, cut = 0.0, 0.0, -1
    for b in range(len(side)):
        slope += side[b, 0]
        curve += side[b, 1]
    whole = slope * slope / (curve + shrinkage)
    left, left_curve = 0.0, 0.0
    for b in range(len(side) - 1):
        left += side[b, 0]
        left_curve += side[b, 1]
        if left_curve < least:
            continue
        if curve - left_curve < least:
            break
        right, right_curve = slope - left, curve - left_curve
        gain = left * left / (left_curve + shrinkage)
        gain += right * right / (right_curve + shrinkage) - whole
        if gain > best:
            best, cut = gain, b
    return cut, best


@inlined
def weigh_nodes(model: Boosted, g: Growth, m: int, tree: int, rows: int, width: int) -> None:
    """The values of the nodes of a level: what a leaf there would say (a Newton step)."""
    for q in range(width):
        g.sides[0, q, 0, 0] = 0.0
        g.sides[0, q, 0, 1] = 0.0
    for j in range(rows):
        g.sides[0, g.nodes[j], 0, 0] += g.slopes[j]
        g.sides[0, g.nodes[j], 0, 1] += g.curves[j]
    for q in range(width):
        step = g.rate * g.sides[0, q, 0, 0] / (g.sides[0, q, 0, 1] + g.shrinkage)
        model.value[m, tree, width - 1 + q] = -math.floor(step * UNIT + 0.5)


@compiled
def grow_tree(model: Boosted, g: Growth, m: int, tree: int, number: int) -> None:
    """Fit a tree to the gradients of the log loss, level by level, best split of each node."""
    rows = choose_rows(model, g, m, number)
    features = choose_features(model, g, number)
    gather(g.bins, model.rows, g.chosen, rows, g.features[:features])
    width = 1
    while width - 1 < model.feature.shape[2]:
        for q in range(width):
            g.best[q] = 0.0
            model.feature[m, tree, width - 1 + q] = NO_SPLIT
            model.threshold[m, tree, width - 1 + q] = 0
        weigh_nodes(model, g, m, tree, rows, width)
        for k in range(features):
            f, side = g.features[k], g.sides[k % TOGETHER]
            if k % TOGETHER == 0:
                some = g.bins[k : min(k + TOGETHER, features)]
                tally(g.sides, width, rows, g.nodes, some, g.slopes, g.curves)
            for q in range(width):
                cut, gain = best_split(side[q], g.shrinkage, g.least, g.best[q])
                if cut >= 0:
                    g.best[q] = gain
                    model.feature[m, tree, width - 1 + q] = f
                    model.threshold[m, tree, width - 1 + q] = cut
        for j in range(rows):
            at = width - 1 + g.nodes[j]
            f = model.feature[m, tree, at]
            right = f >= 0 and model.rows[g.chosen[j], f] > model.threshold[m, tree, at]
            g.nodes[j] = 2 * g.nodes[j] + right
        width *= 2
    weigh_nodes(model, g, m, tree, rows, width)


@inlined
def journal_row(model: Boosted, undo: Regrowth, place: int) -> None:
    """Remember what a row is about to overwrite."""
    n = undo.used[0]
    undo.places[n] = place
    copy(undo.rows[n], model.rows[place])
    undo.targets[n] = model.targets[place]
    copy(undo.states[n], model.state)
    undo.used[0] = n + 1


@inlined
def grow(model: Boosted, g: Growth, undo: Regrowth, journalled: bool) -> None:
    """Grow the next tree of every member, in the place of the oldest where there are enough."""
    grown, members = model.state[GROWN], len(model.sums)
    slot = grown % model.feature.shape[1]
    if journalled:
        n = undo.used[1]
        for m in range(members):
            copy(undo.feature[n, m], model.feature[m, slot])
            copy(undo.threshold[n, m], model.threshold[m, slot])
            copy(undo.value[n, m], model.value[m, slot])
        undo.used[1] = n + 1
    for m in range(members):
        if grown >= model.feature.shape[1]:
            add_tree(model, g.common, m, slot, -1)
        grow_tree(model, g, m, slot, (g.seed + m) * 1_000_003 + grown)
        add_tree(model, g.common, m, slot, 1)
    model.state[GROWN] = grown + 1


@inlined
def learn_boosted(
    model: Boosted, g: Growth, undo: Regrowth, journalled: bool, row: Array, target: float,
    kind: int,
) -> None:  # fmt: skip
    """Keep a row, in the place of the oldest of its kind where there is no room; maybe grow."""
    state = model.state
    place = state[2 + kind] + (g.common if kind == RARE else 0)
    room = len(model.rows) - g.common if kind == RARE else g.common
    if journalled:
        journal_row(model, undo, place)
    copy(model.rows[place], row)
    model.targets[place] = target
    for m in range(len(model.sums)):
        model.sums[m, place] = said_by(
            model.feature[m], model.threshold[m], model.value[m], trees_of(model), row
        )
    state[2 + kind] = (state[2 + kind] + 1) % room
    state[kind] = min(room, state[kind] + 1)
    state[LEARNT] += 1
    if state[LEARNT] % g.every == 0 and state[RARE] >= g.warm:
        grow(model, g, undo, journalled)


@compiled
def undo_boosted(model: Boosted, common: int, undo: Regrowth, rows: int, trees: int) -> None:
    """Put back what was there before the last rows and trees: down to so many of each.

    Trees first, then rows; the sums of rows that are put back are made anew, because trees may
    have come and gone since.
    """
    grown, room = model.state[GROWN], model.feature.shape[1]
    while undo.used[1] > trees:
        undo.used[1] -= 1
        grown -= 1
        slot, n = grown % room, undo.used[1]
        for m in range(len(model.sums)):
            add_tree(model, common, m, slot, -1)
            copy(model.feature[m, slot], undo.feature[n, m])
            copy(model.threshold[m, slot], undo.threshold[n, m])
            copy(model.value[m, slot], undo.value[n, m])
            if grown >= room:
                add_tree(model, common, m, slot, 1)
    last = undo.used[0]
    while undo.used[0] > rows:
        undo.used[0] -= 1
        n = undo.used[0]
        place = undo.places[n]
        copy(model.rows[place], undo.rows[n])
        model.targets[place] = undo.targets[n]
        copy(model.state, undo.states[n])
    for n in range(rows, last):
        place = undo.places[n]
        for m in range(len(model.sums)):
            model.sums[m, place] = said_by(
                model.feature[m], model.threshold[m], model.value[m], trees_of(model),
                model.rows[place],
            )  # fmt: skip
