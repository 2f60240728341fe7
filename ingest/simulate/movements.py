"""Benign movements of much ether: temporary wallets, brokers, new wallets, and shares paid out.

They have what layering has, fresh wallets that are emptied at once, but not the depth of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Draft, Pause, Script, Wallet
from ingest.simulate.payments import Action, empty, ether_sweep
from ingest.simulate.tokens import pay
from ingest.simulate.world import World


def much(world: World) -> int:
    """Wei of somebody who moves a lot: 12 ether and more, 30 in the middle."""
    return 12 * ETHER + int(18 * ETHER * world.rng.lognormvariate(0.0, 0.8))


def _rich(world: World, value: int) -> Wallet:
    """A user, who has at least that much."""
    (user,) = world.users(1)
    user.balance = max(user.balance, value + ETHER)
    return user


def _pass_on(world: World, wallet: Wallet, layers: int) -> Script:
    """Fresh wallets that are emptied into one another, and the last into its exchange."""
    for _ in range(layers):
        following = world.fresh()
        yield Pause(world.rng.randrange(2, 40))
        draft = empty(world, wallet, following.address)
        if draft is None:
            return
        following.credit(None, draft.value)
        yield draft
        wallet = following
    yield Pause(world.rng.randrange(2, 40))
    deposit = world.deposit_address(wallet)
    draft = empty(world, wallet, deposit.address)
    if draft is not None:
        deposit.credit(None, draft.value)
        world.start(ether_sweep(world, deposit, wallet.exchange), 1)
        yield draft


def temporary(world: World) -> Iterable[Draft]:
    """A person pays through one temporary wallet, or two, into an exchange."""
    value = much(world)
    owner, wallet = _rich(world, value), world.fresh()
    wallet.credit(None, value)
    world.start(_pass_on(world, wallet, world.rng.randrange(0, 2)), 1)
    return [pay(owner, wallet.address, value)]


def private(world: World) -> Iterable[Draft]:
    """A customer's withdrawal hops twice before it goes to another exchange."""
    wallet, value = world.fresh(), much(world)
    world.start(_pass_on(world, wallet, 2), 1)
    return [world.withdrawal(wallet, value)]


def broker(world: World) -> Iterable[Draft]:
    """An OTC desk gets ether through a temporary wallet and pays a customer's new wallet."""
    desk, value = world.pick(world.bots), much(world)
    owner, wallet, customer = _rich(world, value), world.fresh(), world.fresh()
    wallet.credit(None, value)

    def script() -> Script:
        yield Pause(world.rng.randrange(2, 20))
        draft = empty(world, wallet, desk.address)
        if draft is None:
            return
        yield draft
        yield Pause(world.rng.randrange(2, 20))
        customer.credit(None, draft.value)
        yield pay(desk, customer.address, draft.value)
        yield from _pass_on(world, customer, 1)

    world.start(script(), 1)
    return [pay(owner, wallet.address, value)]


def migration(world: World) -> Iterable[Draft]:
    """A person moves what it has to a new wallet, and lives from that."""
    value = much(world)
    owner, wallet = _rich(world, value), world.fresh()
    wallet.credit(None, value)
    world.join(wallet)
    return [pay(owner, wallet.address, value)]


def shares(world: World) -> Iterable[Draft]:
    """A fund pays its partners equal shares to their new wallets, and some bank them at once."""
    fund, value = world.pick(world.safes)[1], much(world) // 4
    partners = [world.fresh() for _ in range(world.rng.randrange(5, 9))]

    def script() -> Script:
        for partner in partners:
            partner.credit(None, value)
            yield pay(fund, partner.address, value)
        for partner in partners[:3]:
            yield from _pass_on(world, partner, 0)

    world.start(script(), 1)
    return []


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.06, temporary),
    (0.03, private),
    (0.03, broker),
    (0.05, migration),
    (0.02, shares),
)
"""Share of the traffic, in percent, of each kind of movement."""
