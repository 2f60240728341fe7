"""Benign order of a block: arbitrage, back-runs and liquidity just in time, and nobody's loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import GWEI
from ingest.simulate.draft import Draft, Log
from ingest.simulate.payments import Action, top_up
from ingest.simulate.pools import Pool
from ingest.simulate.trading import pool
from ingest.simulate.world import World


def arbitrage(world: World) -> Iterable[Draft]:
    """A bot goes through many pools in one transaction: a dozen transfers of several tokens."""
    bot = world.pick(world.bots)
    contract = world.bot_contracts[world.bots.index(bot)]
    logs: list[Log] = []
    for pair in world.rng.sample(world.pools, 4):
        paid = pair.ether // 4_000
        bought, first = pair.buy_logs(contract, contract, paid)
        _, second = pair.sell_logs(contract, contract, bought)
        logs += first + second
    calldata = world.rng.randbytes(100)
    return [Draft(bot, contract, data=calldata, logs=logs, type=1, tip=3 * GWEI)]


def back_run(world: World) -> Iterable[Draft]:
    """A bot trades in one pool, and sells in another right after a user's purchase there.

    Its two transactions are round the user's as a sandwich's would be, but what it sells it had.
    """
    victim, bot = world.user(), world.pick(world.bots)
    bought_from, sold_to = world.rng.sample(world.pools, 2)
    value = min(world.spendable(victim, None, world.dollars(900, 0.8)), sold_to.ether // 60)
    if not value:
        return [top_up(world, victim)]
    contract = world.bot_contracts[world.bots.index(bot)]
    _, first = bought_from.buy_logs(contract, contract, min(value, bought_from.ether // 60))
    middle = sold_to.buy(victim, value, world.deadline())
    _, last = sold_to.sell_logs(contract, contract, sold_to.tokens // world.rng.randrange(90, 400))
    calldata = world.rng.randbytes(68)
    return [
        Draft(bot, contract, data=calldata, logs=first, tip=0),
        middle,
        Draft(bot, contract, data=calldata[:36], logs=last, tip=8 * GWEI),
    ]


def crowd(world: World) -> Iterable[Draft]:
    """Three users trade one after the other in one pool: one buys, one buys, one sells."""
    pair = pool(world)
    users = [world.user() for _ in range(3)]
    if len({user.address for user in users}) < 3:
        return [top_up(world, users[0])]
    value = pair.ether // world.rng.randrange(300, 900)
    for user in users:
        user.balance = max(user.balance, 2 * value)
    first, second = (pair.buy(user, value, world.deadline()) for user in users[:2])
    amount = world.rng.randrange(pair.tokens // 1_000, pair.tokens // 300)
    users[2].credit(pair.token.address, amount)  # bought elsewhere
    return [first, second, pair.sell(users[2], amount, world.deadline())]


def just_in_time(world: World) -> Iterable[Draft]:
    """A bot gives a V3 pool liquidity for one user's trade, and takes it out in the same block."""
    user, bot = world.user(), world.pick(world.bots)
    deep = world.pick([each for each in world.deep_pools if each.version == 3])
    value = min(world.spendable(user, None, world.dollars(4_000, 0.6)), deep.ether // 60)
    if not value:
        return [top_up(world, user)]
    contract = world.bot_contracts[world.bots.index(bot)]
    share = world.rng.uniform(0.2, 0.9)
    come = deep.position_logs(contract, share, 1)
    trade = deep.buy(user, value, world.deadline())
    go = deep.position_logs(contract, share / (1 + share), -1)
    calldata = world.rng.randbytes(68)
    return [
        Draft(bot, contract, data=calldata, logs=come, tip=0),
        trade,
        Draft(bot, contract, data=calldata[:36], logs=go, tip=6 * GWEI),
    ]


def deep_swap(world: World) -> Iterable[Draft]:
    """A user trades in a V3 or V4 pool."""
    user = world.user()
    deep: Pool = world.pick(world.deep_pools)
    held = user.tokens.get(deep.token.address, 0)
    if held and world.rng.random() < 0.4:
        return [deep.sell(user, max(1, held // 2), world.deadline())]
    value = min(world.spendable(user, None, world.dollars(250, 1.3)), deep.ether // 50)
    if not value:
        return [top_up(world, user)]
    return [deep.buy(user, value, world.deadline())]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.9, arbitrage),
    (0.4, back_run),
    (0.15, crowd),
    (0.05, just_in_time),
    (1.5, deep_swap),
)
"""Share of the traffic, in percent, of each kind of transaction."""
