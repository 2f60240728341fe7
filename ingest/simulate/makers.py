"""Benign round trips: an over-the-counter desk, a loan between friends, an item bought back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.collectibles import collection
from ingest.simulate.draft import Draft, Pause, Script
from ingest.simulate.payments import Action, top_up
from ingest.simulate.tokens import buy_nft, transfer
from ingest.simulate.world import World

CLIENTS: Final = 8


def desk(world: World) -> Iterable[Draft]:
    """A desk buys and sells one token all day, with many clients; its position stays at nothing."""
    maker, token = world.pick(world.bots), world.pools[4 + world.rank(20)].token
    clients = world.users(CLIENTS)
    lot = token.units(2_000)

    def script() -> Script:
        for number in range(4 * CLIENTS):
            client = clients[number // 2 % CLIENTS]
            ends = (maker, client) if number % 2 else (client, maker)
            yield Pause(world.rng.randrange(1, 12))
            ends[1].credit(token.address, lot)
            yield transfer(ends[0], token.address, ends[1].address, lot)

    world.start(script(), 1)
    return []


def loan(world: World) -> Iterable[Draft]:
    """A user lends a token to a friend, who gives it back: one round trip."""
    user, friend = world.users(2)
    token = world.pools[4 + world.rank(20)].token
    amount = token.units(world.dollars(100))

    def script() -> Script:
        friend.credit(token.address, amount)
        yield transfer(user, token.address, friend.address, amount)
        yield Pause(world.rng.randrange(30, 400))
        yield transfer(friend, token.address, user.address, amount)

    world.start(script(), 1)
    return []


def buy_back(world: World) -> Iterable[Draft]:
    """A collector regrets a sale and buys the item back from whoever has it now."""
    nfts, buyer = collection(world), world.user()
    if not nfts.owners:
        return [top_up(world, buyer)]
    item = nfts.item(world.rng)
    seller, price = nfts.owners[item], int(nfts.floor * 1.1)
    if seller is buyer or world.spendable(buyer, None, 1e9) < price:
        return [top_up(world, buyer)]

    def script() -> Script:
        seller.credit(None, price)
        yield buy_nft(buyer, seller.address, nfts.address, item, price)
        yield Pause(world.rng.randrange(50, 300))
        seller.balance = max(seller.balance, 2 * price)
        buyer.credit(None, price)
        yield buy_nft(seller, buyer.address, nfts.address, item, price)

    world.start(script(), 1)
    return []


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.02, desk),
    (0.05, loan),
    (0.05, buy_back),
)
"""Share of the traffic, in percent, of each kind of round trip."""
