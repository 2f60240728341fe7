"""Boosted trees that grow while rows come, fitted to the rows that are kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from detect.boosting import BoostingConfig
from tests.detect.plain.numbers import chance, probability, single

BINS = 64
UNIT = 1 << 20

Bins = Sequence[int]


@dataclass
class Node:
    """A node and what a leaf there would say; those whose bin is greater than ``cut`` go right."""

    value: int
    feature: int = -1
    cut: int = 0
    left: Node | None = None
    right: Node | None = None

    def towards(self, bins: Bins) -> Node | None:
        """The next node on a row's way, None at a leaf."""
        return self.right if bins[self.feature] > self.cut else self.left

    def says(self, bins: Bins) -> int:
        """What the tree says of a row."""
        node, below = self, self.towards(bins)
        while below is not None:
            node, below = below, below.towards(bins)
        return node.value


@dataclass
class Row:
    """A row that is kept, and what each member's trees say of it together."""

    bins: Bins
    target: float
    sums: list[int] = field(default_factory=list)


@dataclass
class Pull:
    """A row with its gradient of the log loss and its curvature, as a tree is fitted to it."""

    bins: Bins
    slope: float
    curve: float


class BoostedTrees:
    """A few members, each so many trees; the oldest rows and trees give way."""

    def __init__(self, config: BoostingConfig, features: int) -> None:
        self.config, self.features = config, features
        self.kept: dict[bool, list[Row]] = {False: [], True: []}  # by whether they are rare
        self.next = {False: 0, True: 0}
        self.members: list[list[Node]] = [[] for _ in range(config.members)]
        self.learnt = self.grown = 0

    def logit(self, bins: Bins) -> float:
        """The mean of what the members say."""
        total = sum(tree.says(bins) for trees in self.members for tree in trees)
        return total / (UNIT * len(self.members))

    def learn(self, bins: Bins, target: float, rare: bool) -> None:
        """Keep a row; every so many rows, grow a tree of each member."""
        c, kept, place = self.config, self.kept[rare], self.next[rare]
        row = Row(bins, single(target))
        row.sums = [sum(tree.says(bins) for tree in trees) for trees in self.members]
        if place == len(kept):
            kept.append(row)
        else:
            kept[place] = row
        self.next[rare] = (place + 1) % (c.rare if rare else c.common)
        self.learnt += 1
        if self.learnt % c.every == 0 and len(self.kept[True]) >= c.warm_up:
            for m in range(c.members):
                self._add_tree(m)
            self.grown += 1

    def shares(self, bins: Bins, weight: float, shares: list[float]) -> None:
        """Add each feature's share of ``weight`` times the logit: what a tree's value changes by at
        the splits on it (Saabas, 2014). The last is nobody's."""
        unit = weight / (UNIT * len(self.members))
        for node in (tree for trees in self.members for tree in trees):
            shares[-1] += node.value * unit
            below = node.towards(bins)
            while below is not None:
                shares[node.feature] += (below.value - node.value) * unit
                node, below = below, below.towards(bins)

    def _add_tree(self, m: int) -> None:
        trees, slot = self.members[m], self.grown % self.config.trees
        rows = [*self.kept[False], *self.kept[True]]
        if slot < len(trees):
            for row in rows:
                row.sums[m] -= trees[slot].says(row.bins)
        number = (self.config.seed + m) * 1_000_003 + self.grown
        tree = self._grow(self._pulls(m, number), self._columns(number), self.config.depth)
        if slot < len(trees):
            trees[slot] = tree
        else:
            trees.append(tree)
        for row in rows:
            row.sums[m] += tree.says(row.bins)

    def _pulls(self, m: int, number: int) -> list[Pull]:
        """All rare rows, and some of the common ones, which weigh for those left out."""
        common = self.kept[False]
        part = min(1.0, self.config.sample / max(1, len(common)))
        chosen = [row for r, row in enumerate(common) if chance(r, number) < part]
        weighed = [(row, 1.0 / part) for row in chosen]
        weighed += [(row, 1.0) for row in self.kept[True]]
        pulls = []
        for row, weight in weighed:
            p = probability(row.sums[m] / UNIT)
            curve = weight * max(1e-6, p * (1.0 - p))
            pulls.append(Pull(row.bins, single(weight * (p - row.target)), single(curve)))
        return pulls

    def _columns(self, number: int) -> list[int]:
        every = range(self.features)
        some = [f for f in every if chance(f, number + 7919) < self.config.columns]
        return some or [number % self.features]

    def _grow(self, rows: list[Pull], columns: list[int], depth: int) -> Node:
        slope = curve = 0.0
        for row in rows:
            slope += row.slope
            curve += row.curve
        step = self.config.rate * slope / (curve + self.config.shrinkage)
        node = Node(-math.floor(step * UNIT + 0.5))
        if depth == 0:
            return node
        best = 0.0
        for f in columns:
            cut, gain = self._best_cut(rows, f, best)
            if cut is not None:
                best, node.feature, node.cut = gain, f, cut
        if node.feature >= 0:
            left = [row for row in rows if row.bins[node.feature] <= node.cut]
            right = [row for row in rows if row.bins[node.feature] > node.cut]
            node.left = self._grow(left, columns, depth - 1)
            node.right = self._grow(right, columns, depth - 1)
        return node

    def _best_cut(self, rows: list[Pull], feature: int, best: float) -> tuple[int | None, float]:
        """The bin after which rows are best cut, and the gain; None where none beats ``best``."""
        slopes, curves = [0.0] * BINS, [0.0] * BINS
        for row in rows:
            at = row.bins[feature]
            slopes[at] += row.slope
            curves[at] += row.curve
        slope = curve = 0.0
        for b in range(BINS):
            slope += slopes[b]
            curve += curves[b]
        penalty, least = self.config.shrinkage, self.config.least
        whole, found = slope * slope / (curve + penalty), None
        left = left_curve = 0.0
        for b in range(BINS - 1):
            left += slopes[b]
            left_curve += curves[b]
            if left_curve < least:
                continue
            if curve - left_curve < least:
                break
            right = slope - left
            gain = left * left / (left_curve + penalty)
            gain += right * right / (curve - left_curve + penalty) - whole
            if gain > best:
                best, found = gain, b
        return found, best
