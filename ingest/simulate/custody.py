"""Benign moves of large sums: hot wallets and cold storage, and proofs of reserve."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Draft, Pause, Script
from ingest.simulate.payments import Action
from ingest.simulate.tokens import STABLES, pay, transfer
from ingest.simulate.world import World


def rotate(world: World) -> Iterable[Draft]:
    """An exchange moves most of a hot wallet into its labelled cold one, and some of it back."""
    venue = world.exchange()
    hot = world.pick(venue.hot)
    value = world.rng.randrange(2_000, 20_000) * ETHER

    def script() -> Script:
        venue.cold.credit(None, value)
        yield pay(hot, venue.cold.address, value)
        for token in STABLES:
            yield transfer(hot, token.address, venue.cold.address, token.units(5_000_000))
        yield Pause(world.rng.randrange(50, 400))
        hot.credit(None, value // 2)
        yield pay(venue.cold, hot.address, value // 2)

    world.start(script(), 1)
    return []


def prove(world: World) -> Iterable[Draft]:
    """An exchange proves its reserves: an odd small sum goes to a new address and comes back."""
    venue, keeper = world.exchange(), world.fresh()
    hot, value = world.pick(venue.hot), 10**15 * world.rng.randrange(1, 90)

    def script() -> Script:
        keeper.credit(None, value)
        yield pay(hot, keeper.address, value)
        for token in STABLES:
            yield transfer(hot, token.address, keeper.address, token.units(1))

    world.start(script(), 1)
    return []


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.02, rotate),
    (0.02, prove),
)
"""Share of the traffic, in percent, of each kind of move."""
