"""Benign deployments: contracts of every sort, clones, searchers, and makers who like privacy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate import bytecode
from ingest.simulate.contracts import ETHER, At, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Pause, Script
from ingest.simulate.payments import Action
from ingest.simulate.world import World


def deploy(world: World) -> Iterable[Draft]:
    """Somebody creates a contract of their own."""
    size = world.rng.randrange(120, 900)
    code = bytecode.ordinary(world.rng.randbytes(size))
    # What the chain's fees see does not depend on how the code is written.
    return [Draft(world.user(), None, data=code, gas_used=57_000 + 72 * (16 + size))]


def clone(world: World) -> Iterable[Draft]:
    """A minimal proxy of one of a few well-known contracts, one of thousands alike."""
    target = world.safes[world.rank(len(world.safes))][0]
    return [Draft(world.user(), None, data=bytecode.minimal_proxy(target), gas_used=95_000)]


def searcher(world: World) -> Iterable[Draft]:
    """Somebody new, paid by an exchange, deploys a flash-loan arbitrage bot."""
    maker = world.fresh()
    code = bytecode.borrower(world.rng.randbytes(16))

    def script() -> Script:
        yield world.withdrawal(maker, 6 * ETHER)
        yield Pause(world.rng.randrange(5, 60))
        yield Draft(maker, None, data=code)

    world.start(script(), 1)
    return []


def private_developer(world: World) -> Iterable[Draft]:
    """A developer who was paid out of Railgun deploys the same sort of bot."""
    maker, value = world.fresh(), 5 * ETHER
    code = bytecode.borrower(world.rng.randbytes(16))
    words = pad(maker.address) + uint(0) + pad(At.WETH) + uint(0) + uint(value) + uint(value // 400)
    unshield = Log(At.RAILGUN, (Event.RAILGUN_UNSHIELD,), words)
    relayer = world.services.relayer
    maker.credit(None, value)

    def script() -> Script:
        data = world.rng.randbytes(4) + words
        yield Draft(relayer, At.RAILGUN_RELAY, 0, data, [unshield], gas_used=900_000)
        yield Pause(world.rng.randrange(5, 60))
        yield Draft(maker, None, data=code)

    world.start(script(), 1)
    return []


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.6, deploy),
    (0.15, clone),
    (0.02, searcher),
    (0.004, private_developer),
)
"""Share of the traffic, in percent, of each kind."""
