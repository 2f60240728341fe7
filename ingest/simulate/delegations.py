"""Benign EIP-7702: users make their accounts smart ones, by themselves or with a sponsor's gas."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import At, Call, pad
from ingest.simulate.draft import Draft, Pause, Script, Wallet
from ingest.simulate.payments import Action, stable
from ingest.simulate.tokens import transfer
from ingest.simulate.world import World

WALLETS: Final = (
    At.METAMASK_DELEGATE,
    At.METAMASK_DELEGATE,
    At.METAMASK_DELEGATE,
    At.SIMPLE_7702,
    At.AMBIRE_DELEGATE,
    At.CALIBUR_DELEGATE,
)


def own(world: World) -> Iterable[Draft]:
    """A user delegates to its wallet's contract and pays for that itself."""
    user = world.user()
    return [Draft(user, user.address, gas_used=46_000, type=4, delegate=world.pick(WALLETS))]


def sponsored(world: World) -> Iterable[Draft]:
    """A wallet's relayer pays for the delegation of a user or two."""
    users = world.users(world.rng.randrange(1, 3))
    return [_sponsored(world, users, world.pick(WALLETS))]


def startup(world: World) -> Iterable[Draft]:
    """A new wallet that is in no list sponsors its users; they get paid, and pay whom they like."""
    users = world.users(2)
    token = stable(world)

    def script() -> Script:
        yield _sponsored(world, users, world.startup_delegate)
        for user in users:
            yield Pause(world.rng.randrange(1, 60))
            amount = token.units(world.dollars(90))
            hot = world.pick(world.exchange().hot)
            hot.tokens[token.address] = 10**30
            yield transfer(hot, token.address, user.address, amount)
            user.credit(token.address, amount)
            yield Pause(world.rng.randrange(3))
            yield transfer(user, token.address, world.peer(user), amount // 2)

    world.start(script(), 1)
    return []


def _sponsored(world: World, users: list[Wallet], delegate: bytes) -> Draft:
    return Draft(
        world.services.relayer,
        users[0].address,
        data=Call.INITIALIZE + pad(users[0].address),
        gas_used=40_000 + 25_000 * len(users),
        type=4,
        delegate=delegate,
        authorities=tuple(users),
    )


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.2, own),
    (0.1, sponsored),
    (0.04, startup),
)
"""Share of the traffic, in percent, of each kind of delegation."""
