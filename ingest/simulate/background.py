"""The rest of a block: rollups, oracles, bots, failures, dust and spam."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import At, Call, pad, uint
from ingest.simulate.draft import Draft
from ingest.simulate.payments import Action, stable, top_up
from ingest.simulate.tokens import pay, transfer_log
from ingest.simulate.trading import pool
from ingest.simulate.world import World


def call(world: World) -> Iterable[Draft]:
    """A call of some contract that moves nothing: games, votes, registries."""
    user = world.user()
    data = world.rng.randbytes(4) + uint(world.rng.randrange(10**6)) * world.rng.randrange(1, 4)
    return [Draft(user, world.pick(world.collections).address[::-1], 0, data)]


def oracle(world: World) -> Iterable[Draft]:
    """A price oracle writes its round."""
    data = b"\xc9\x80\x75\x39" + uint(world.now.timestamp) + uint(world.rng.randrange(10**12))
    return [Draft(world.services.oracle, world.services.oracle_contract, 0, data)]


def rollup(world: World) -> Iterable[Draft]:
    """A rollup posts its batch as blobs (type 3)."""
    return [Draft(world.services.rollup, world.services.rollup_inbox, gas_used=21_000, type=3)]


def probe(world: World) -> Iterable[Draft]:
    """A bot's transaction with an access list (type 1) that found nothing to take."""
    index = world.rank(len(world.bots))
    data = world.rng.randbytes(36)
    return [Draft(world.bots[index], world.bot_contracts[index], 0, data, type=1)]


def fail(world: World) -> Iterable[Draft]:
    """A transaction that reverts: too much slippage, or too few tokens."""
    user = world.user()
    if world.rng.random() < 0.5:
        token = stable(world)
        data = Call.TRANSFER + pad(world.peer(user)) + uint(token.units(world.dollars(400)))
        return [Draft(user, token.address, 0, data, status=0, gas_used=29_000)]
    value = world.spendable(user, None, world.dollars(100))
    if not value:
        return [top_up(world, user)]
    words = uint(value) + uint(128) + pad(user.address) + uint(world.deadline())
    path = uint(2) + pad(At.WETH) + pad(pool(world).token.address)
    data = Call.SWAP_ETH_FOR_TOKENS + words + path
    return [Draft(user, At.V2_ROUTER, value, data, status=0, gas_used=41_000)]


def dust(world: World) -> Iterable[Draft]:
    """Somebody sends a few wei to a stranger."""
    value = world.rng.randrange(1, 1_000)
    return [pay(world.pick(world.bots), world.user().address, value)]


def spam(world: World) -> Iterable[Draft]:
    """A worthless token is dropped on some strangers, once; its address is in no list."""
    token, sender = world.contract(), world.fresh()
    logs = [
        transfer_log(token, sender.address, world.user().address, 10**21)
        for _ in range(world.rng.randrange(8, 50))
    ]
    words = b"".join(log.topics[2] for log in logs)
    gas = world.withdrawal(sender, 10**16)
    return [gas, Draft(sender, token, 0, Call.MULTICALL + words, logs)]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (3.5, call),
    (0.8, oracle),
    (0.5, rollup),
    (1.0, probe),
    (2.2, fail),
    (0.4, dust),
    (0.25, spam),
)
"""Share of the traffic, in percent, of each kind of background transaction."""
