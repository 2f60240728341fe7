"""Half-Space Trees as arrays: a leaf per tree and row, then counting and looking up.

A tree's splits never change, so where a row ends in each tree can be found once, tree by tree (its
splits stay in cache). Learning is then one count per tree; a node's mass is the sum of its leaves'.
The mass profile that a row is scored with is constant within a window, so its sum along the path to
each leaf is tabulated once per window, and scoring is one look-up per tree. All sums are of whole
numbers, exact in any order: the scores are River's to the last bit.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled, inlined

COUNTER: Final = 0  # Forest.state: rows learnt in the window under way
WINDOWS: Final = 1  # windows completed: 0 is warm-up
ROWS: Final = 128  # looked up at a time

_U0, _U2 = np.uint64(0), np.uint64(2)


class Forest(NamedTuple):
    """The trees; node ``n`` has the children ``2n + 1`` and ``2n + 2``."""

    feature: Array  # int16 (trees, splits): column of each split
    threshold: Array  # float64 (trees, splits)
    mass: Array  # int64 (trees, leaves): l_mass, of the window under way
    reference: Array  # int64 (trees, leaves): r_mass, of the window before
    profile: Array  # int64 (trees, leaves): what each leaf scores
    nodes: Array  # int64 (2, nodes): scratch
    state: Array  # int64 (2,)


class Growing(NamedTuple):
    """What trees grow from, and scratch."""

    columns: Array  # int16 (features,): the column of each
    limits: Array  # float64 (features, 2)
    draws: Array  # float64 (trees, splits, 2): random numbers in [0, 1), a tree's in preorder
    bounds: Array  # float64 (splits, features, 2), scratch: the region of each split
    turns: Array  # int64 (splits,), scratch: where in preorder each split comes
    widths: Array  # float64 (features,), scratch: widths of a region, added up


@inlined
def preorder(turns: Array) -> None:
    """Where each node comes when a parent is before its left subtree, and that before the right."""
    inside = len(turns)  # how many nodes there are from the node at hand down
    for node in range(len(turns)):
        if node == 0:
            turns[0] = 0
            continue
        if node & (node + 1) == 0:  # the first of its depth
            inside //= 2
        turns[node] = turns[(node - 1) // 2] + 1 + (inside if node % 2 == 0 else 0)


@compiled
def grow(forest: Forest, padding: float, growing: Growing) -> None:
    """Draw the splits as River's ``make_padded_tree`` does from the same random numbers.

    A region is split on a feature drawn in proportion to its width there, at a place that keeps
    ``padding`` of that width from either border. The last bit is River's because each operation
    is done in the order in which River and Python's ``random`` do it.
    """
    splits, features = forest.feature.shape[1], len(growing.limits)
    bounds, turns, widths = growing.bounds, growing.turns, growing.widths
    preorder(turns)
    for t in range(len(forest.feature)):
        for node in range(splits):
            above, region = (node - 1) // 2, bounds[node]
            for k in range(features):
                for side in range(2):
                    before = growing.limits[k, side] if node == 0 else bounds[above, k, side]
                    region[k, side] = before
            if node > 0:  # a left child, odd, ends where its parent was split; a right one begins
                region[forest.feature[t, above], node % 2] = forest.threshold[t, above]
            total = 0.0
            for k in range(features):
                total += region[k, 1] - region[k, 0]
                widths[k] = total
            aim = growing.draws[t, turns[node], 0] * total
            on, last = 0, features - 1
            while on < last:
                middle = (on + last) // 2
                if aim < widths[middle]:
                    last = middle
                else:
                    on = middle + 1
            low, high = region[on, 0], region[on, 1]
            begin, end = low + padding * (high - low), high - padding * (high - low)
            forest.feature[t, node] = on
            forest.threshold[t, node] = begin + (end - begin) * growing.draws[t, turns[node], 1]
        for node in range(splits):
            forest.feature[t, node] = growing.columns[forest.feature[t, node]]


@inlined
def below(splits: Array, bounds: Array, row: Array, node: np.uint64) -> np.uint64:
    """The child that a row goes on to."""
    return _U2 * node + _U2 - np.uint64(row[np.uint64(splits[node])] < bounds[node])


@compiled
def find_leaves(feature: Array, threshold: Array, height: int, X: Array, leaves: Array) -> None:
    """``leaves[i, t]`` is where row ``i`` of ``X`` ends in tree ``t``; NaN goes right."""
    first = np.uint64((1 << height) - 1)
    # Some rows go down all trees while they are in the nearest cache. Each step down waits for the
    # one before: eight rows at a time keep the processor busy. Nodes are unsigned because a signed
    # place is looked at for being negative each time.
    for begin in range(0, len(X), ROWS):
        end = min(len(X), begin + ROWS)
        whole = begin + (end - begin) // 8 * 8
        for t in range(len(feature)):
            splits, bounds = feature[t], threshold[t]
            for i in range(begin, whole, 8):
                a = b = c = d = e = f = g = h = _U0
                for _ in range(height):
                    a = below(splits, bounds, X[i], a)
                    b = below(splits, bounds, X[i + 1], b)
                    c = below(splits, bounds, X[i + 2], c)
                    d = below(splits, bounds, X[i + 3], d)
                    e = below(splits, bounds, X[i + 4], e)
                    f = below(splits, bounds, X[i + 5], f)
                    g = below(splits, bounds, X[i + 6], g)
                    h = below(splits, bounds, X[i + 7], h)
                leaves[i, t] = a - first
                leaves[i + 1, t] = b - first
                leaves[i + 2, t] = c - first
                leaves[i + 3, t] = d - first
                leaves[i + 4, t] = e - first
                leaves[i + 5, t] = f - first
                leaves[i + 6, t] = g - first
                leaves[i + 7, t] = h - first
            for i in range(whole, end):
                a = _U0
                for _ in range(height):
                    a = below(splits, bounds, X[i], a)
                leaves[i, t] = a - first


@compiled
def node_masses(counts: Array, height: int, nodes: Array) -> None:
    """The mass of every node of one tree from those of its leaves."""
    leaves = 1 << height
    for leaf in range(leaves):
        nodes[leaves - 1 + leaf] = counts[leaf]
    for node in range(leaves - 2, -1, -1):
        nodes[node] = nodes[2 * node + 1] + nodes[2 * node + 2]


@compiled
def tabulate(forest: Forest, height: int, limit: float) -> None:
    """What each leaf scores: mass times 2^depth along its path, down to where mass is below limit.

    A node past that end carries its sum on as a negative number less one.
    """
    masses, sums = forest.nodes[0], forest.nodes[1]
    splits = (1 << height) - 1
    for t in range(len(forest.reference)):
        node_masses(forest.reference[t], height, masses)
        sums[0] = masses[0] if masses[0] >= limit else -masses[0] - 1
        weight = 2
        first = 1
        for depth in range(1, height + 1):
            for node in range(first, 2 * first + 1):
                above = sums[(node - 1) // 2]
                total = above
                if above >= 0:
                    total = above + masses[node] * weight
                    if masses[node] < limit and depth < height:
                        total = -total - 1
                sums[node] = total
            first = 2 * first + 1
            weight *= 2
        for leaf in range(splits + 1):
            total = sums[splits + leaf]
            forest.profile[t, leaf] = total if total >= 0 else -total - 1


@compiled
def pivot(forest: Forest, height: int, limit: float) -> None:
    """A window is full: its masses become the reference, and counting starts anew."""
    for t in range(len(forest.mass)):
        for leaf in range(forest.mass.shape[1]):
            forest.reference[t, leaf] = forest.mass[t, leaf]
            forest.mass[t, leaf] = 0
    forest.state[COUNTER] = 0
    forest.state[WINDOWS] += 1
    tabulate(forest, height, limit)


@compiled
def learn_leaves(
    forest: Forest, height: int, window: int, leaves: Array, start: int, stop: int
) -> None:
    """Learn the rows ``start`` to ``stop``, given where they end in each tree."""
    for i in range(start, stop):
        for t in range(len(forest.mass)):
            forest.mass[t, leaves[i, t]] += 1
        forest.state[COUNTER] += 1
        if forest.state[COUNTER] == window:
            pivot(forest, height, 0.1 * window)


@compiled
def score_leaves(
    forest: Forest, top: float, leaves: Array, start: int, stop: int, scores: Array
) -> None:
    """Score the rows ``start`` to ``stop``; NaN in warm-up. ``top`` is the largest sum."""
    for i in range(start, stop):
        if forest.state[WINDOWS] == 0:
            scores[i] = np.nan
            continue
        total = 0
        for t in range(len(forest.profile)):
            total += forest.profile[t, leaves[i, t]]
        scores[i] = 1.0 - float(total) / top


@compiled
def attribute(
    forest: Forest,
    height: int,
    top: float,
    profile: Array,
    reference: Array,
    leaves: Array,
    shares: Array,
) -> None:
    """Credit a row's score to features: ``shares[k]`` is column ``k``, the bias last.

    A node's estimate is the mean score of the reference window's rows below it (of all leaves
    below it, where there are none). Each step down changes the estimate, and the change is the
    split's feature's. Credits sum to the score.
    """
    shares[:] = 0.0
    bias = len(shares) - 1
    shares[bias] = 1.0
    for t in range(len(profile)):
        low, high = 0, 1 << height
        estimate = _mean(profile[t], reference[t], low, high)
        shares[bias] -= estimate / top
        node = 0
        for _ in range(height):
            middle = (low + high) // 2
            left = leaves[t] < middle
            if left:
                high = middle
            else:
                low = middle
            below = _mean(profile[t], reference[t], low, high)
            shares[forest.feature[t, node]] -= (below - estimate) / top
            estimate = below
            node = 2 * node + 2 - left


@compiled
def _mean(profile: Array, reference: Array, low: int, high: int) -> float:
    """The mean profile of the leaves ``low`` to ``high``, by reference mass if there is any."""
    mass, weighted, plain = 0, 0, 0
    for leaf in range(low, high):
        mass += reference[leaf]
        weighted += reference[leaf] * profile[leaf]
        plain += profile[leaf]
    return weighted / mass if mass > 0 else plain / (high - low)
