"""The benign traffic: which kind of transaction comes next, in mainnet's proportions."""

from __future__ import annotations

import itertools
import math
from bisect import bisect
from collections.abc import Iterable
from typing import Final

from ingest.simulate import (
    background,
    clusters,
    collectibles,
    custody,
    delegations,
    deployments,
    gifts,
    launches,
    lending,
    makers,
    mev,
    movements,
    payments,
    relays,
    savings,
    splits,
    trading,
    upkeep,
)
from ingest.simulate.draft import Draft
from ingest.simulate.world import World

BUSY_RATE: Final = 1 / 2_500  # of the blocks begin a busy time


class Traffic:
    """Draws benign drafts for a world, and says how many fit the hour."""

    def __init__(self, world: World, transactions_per_block: float) -> None:
        table = (
            *payments.ACTIONS,
            *relays.ACTIONS,
            *splits.ACTIONS,
            *delegations.ACTIONS,
            *makers.ACTIONS,
            *custody.ACTIONS,
            *gifts.ACTIONS,
            *clusters.ACTIONS,
            *trading.ACTIONS,
            *mev.ACTIONS,
            *launches.ACTIONS,
            *lending.ACTIONS,
            *savings.ACTIONS,
            *collectibles.ACTIONS,
            *background.ACTIONS,
            *movements.ACTIONS,
            *deployments.ACTIONS,
            *upkeep.ACTIONS,
        )
        self._actions = [action for _, action in table]
        self._bounds = list(itertools.accumulate(weight for weight, _ in table))
        self._world = world
        self._mean = transactions_per_block
        self._busy_until = 0

    def next(self) -> Iterable[Draft]:
        """What the next actor does: one draft, a few that belong together, or none yet."""
        world = self._world
        mark = world.rng.random() * self._bounds[-1]
        return self._actions[bisect(self._bounds, mark)](world)

    def demand(self, usual_base_fee: int) -> int:
        """How many transactions people want in this block.

        Busiest at 15:00 UTC and quietest at 03:00, fewer where the base fee is above the usual,
        and spread from block to block; now and then, for a quarter of an hour and more, half as
        many again.
        """
        world = self._world
        if world.rng.random() < BUSY_RATE:
            self._busy_until = world.now.number + world.rng.randrange(80, 160)
        busy = 1.5 if world.now.number < self._busy_until else 1.0
        hour = world.now.timestamp % 86_400 / 3_600
        rhythm = 1.0 + 0.25 * math.cos((hour - 15.0) / 24.0 * math.tau)
        elasticity: float = (usual_base_fee / world.now.base_fee) ** 0.5
        spread = world.rng.lognormvariate(-0.06, 0.35)
        return round(self._mean * busy * rhythm * min(2.0, elasticity) * spread)
