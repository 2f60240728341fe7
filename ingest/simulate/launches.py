"""Benign launches: honest teams that lock or migrate liquidity, and hobbyists who give up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import ETHER, At, Call, pad, uint
from ingest.simulate.draft import Draft, Pause, Script
from ingest.simulate.payments import Action
from ingest.simulate.pools import Pool
from ingest.simulate.tokens import Token, approve, transfer_log
from ingest.simulate.trading import deploy_token, failed_sale
from ingest.simulate.world import World


def launch(world: World) -> Iterable[Draft]:
    """An honest token: created, given a pool, traded; the team keeps its liquidity in.

    In the first minutes limits against bots make some sales fail. Half of the teams hand their
    liquidity to a locker.
    """
    if len(world.pools) > 400:
        return []
    team = world.user()
    value = ETHER * world.rng.randrange(3, 20)
    team.balance += value + ETHER

    def script() -> Script:
        token, creation = deploy_token(world, team, world.dollars(0.001, 2.0))
        yield creation
        yield Pause(world.rng.randrange(2, 9))
        yield approve(team, token.address, At.V2_ROUTER)
        pair = Pool(world.contract(), token)
        yield pair.add(team, value, token.units(value / ETHER * 2_500), world.deadline())
        early = [world.user() for _ in range(world.rng.randrange(3, 7))]
        for buyer in early:
            yield Pause(world.rng.randrange(1, 4))
            paid = min(world.spendable(buyer, None, world.dollars(90)), pair.ether // 30)
            if paid:
                yield pair.buy(buyer, paid, world.deadline())
                yield failed_sale(world, buyer, pair)
        for holder in early[:3]:  # as everywhere, some of the first sell soon
            held = holder.tokens.get(token.address, 0)
            if held > 1:
                yield Pause(world.rng.randrange(5, 30))
                yield pair.sell(holder, held // 2, world.deadline())
        if world.rng.random() < 0.5:
            shares = pair.shares[team.address]
            data = Call.LOCK + pad(pair.address) + uint(shares) + uint(world.deadline() + 10**7)
            logs = [transfer_log(pair.address, team.address, At.LOCKER, shares)]
            yield Draft(team, At.LOCKER, 0, data, logs)
        world.pools.append(pair)

    world.start(script(), 1)
    return []


def migrate(world: World) -> Iterable[Draft]:
    """A team moves all of its liquidity to a new pool within the hour: no rug pull."""
    team = world.user()
    value = ETHER * world.rng.randrange(2, 8)
    team.balance += value + ETHER
    token = Token(world.contract(), 18, world.dollars(0.01, 2.0))
    old, new = Pool(world.contract(), token), Pool(world.contract(), token)
    tokens = token.units(value / ETHER * 2_500)
    team.credit(token.address, tokens)

    def script() -> Script:
        yield old.add(team, value, tokens, world.deadline())
        yield Pause(world.rng.randrange(60, 200))
        for _ in range(4):
            buyer = world.user()
            paid = world.spendable(buyer, None, world.dollars(60))
            if paid:
                yield old.buy(buyer, min(paid, old.ether // 20), world.deadline())
        yield Pause(world.rng.randrange(20, 90))
        ether_before, tokens_before = old.ether, old.tokens
        yield old.remove(team, 1.0, world.deadline())
        yield Pause(world.rng.randrange(1, 30))
        yield new.add(team, ether_before, tokens_before, world.deadline())

    world.start(script(), 1)
    return []


def give_up(world: World) -> Iterable[Draft]:
    """Somebody tries a token with a tenth of an ether, and takes it out when nobody comes."""
    user = world.user()
    value = ETHER // world.rng.randrange(5, 20)
    user.balance += value + ETHER

    def script() -> Script:
        token, creation = deploy_token(world, user, 0.001)
        yield creation
        pair = Pool(world.contract(), token)
        yield pair.add(user, value, user.tokens[token.address] // 2, world.deadline())
        yield Pause(world.rng.randrange(40, 200))
        yield pair.remove(user, 1.0, world.deadline())

    world.start(script(), 1)
    return []


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.03, launch),
    (0.02, migrate),
    (0.005, give_up),
)
"""Share of the traffic, in percent, of each kind."""
