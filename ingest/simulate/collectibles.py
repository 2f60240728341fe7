"""Benign NFT traffic: minting, buying, approving marketplaces, giving away, claiming."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import At, Call
from ingest.simulate.draft import Draft, Pause, Script
from ingest.simulate.payments import Action, top_up
from ingest.simulate.tokens import (
    ZERO,
    Token,
    approve_all,
    buy_nft,
    ether,
    mint_nft,
    nft_log,
    send_1155,
    take_nft,
    transfer_log,
)
from ingest.simulate.world import Collection, World

SOLD_OUT: Final = 10_000  # items; then the next collection is in fashion


def collection(world: World) -> Collection:
    """A collection, the popular ones more often."""
    index = world.rank(len(world.collections))
    if len(world.collections[index].owners) >= SOLD_OUT:
        world.collections[index] = Collection(world.contract(), ether(world.dollars(150)))
    return world.collections[index]


def mint(world: World) -> Iterable[Draft]:
    """A user pays a real collection's ``mint()`` and gets an item."""
    user, nfts = world.user(), collection(world)
    price = min(nfts.floor // 3, world.spendable(user, None, 10_000.0))
    if not price:
        return [top_up(world, user)]
    nfts.owners.append(user)
    return [mint_nft(user, nfts.address, len(nfts.owners) - 1, price)]


def popular_mint(world: World) -> Iterable[Draft]:
    """A new collection that everybody wants at once: it takes a quarter of the gas for a while."""
    nfts = Collection(world.contract(), ether(world.dollars(90)))
    world.collections[world.rng.randrange(len(world.collections))] = nfts
    world.start(_rush(world, nfts))
    return []


def _rush(world: World, nfts: Collection) -> Script:
    for _ in range(world.rng.randrange(10, 20)):
        yield Pause(1)
        for user in world.users(world.rng.randrange(9, 15)):
            price = min(nfts.floor, world.spendable(user, None, 10_000.0))
            nfts.owners.append(user)
            yield mint_nft(user, nfts.address, len(nfts.owners) - 1, price)


def claim(world: World) -> Iterable[Draft]:
    """A user pays a fee to a real ``claim()`` and gets an item for it."""
    user, nfts = world.user(), collection(world)
    fee = world.spendable(user, None, 12.0)
    nfts.owners.append(user)
    logs = [nft_log(nfts.address, ZERO, user.address, len(nfts.owners) - 1)]
    user.debit(None, fee)
    return [Draft(user, nfts.address, fee, Call.CLAIM, logs)]


def claim_rewards(world: World) -> Iterable[Draft]:
    """A staker's ``claimRewards()``: no ether goes in, tokens come out."""
    user, token = world.user(), world.pools[4 + world.rank(20)].token
    amount = token.units(world.dollars(30))
    user.credit(token.address, amount)
    contract = token.address[::-1]
    logs = [transfer_log(token.address, contract, user.address, amount)]
    return [Draft(user, contract, 0, Call.CLAIM_REWARDS, logs)]


def buy(world: World) -> Iterable[Draft]:
    """A user buys an item of somebody else at about the floor price."""
    nfts, buyer = collection(world), world.user()
    if not nfts.owners:
        return mint(world)
    item = nfts.item(world.rng)
    seller = nfts.owners[item]
    price = int(nfts.floor * world.rng.lognormvariate(0.1, 0.25))
    if seller is buyer or world.spendable(buyer, None, 1e9) < price:
        return [top_up(world, buyer)]
    nfts.owners[item] = buyer
    seller.credit(None, price)
    return [buy_nft(buyer, seller.address, nfts.address, item, price)]


def list_items(world: World) -> Iterable[Draft]:
    """A user allows the marketplace's conduit all items of a collection, to sell them there."""
    return [approve_all(world.user(), collection(world).address, At.OPENSEA_CONDUIT)]


def give(world: World) -> Iterable[Draft]:
    """An owner sends an item to another wallet."""
    nfts, receiver = collection(world), world.user()
    if not nfts.owners:
        return mint(world)
    item = nfts.item(world.rng)
    owner = nfts.owners[item]
    nfts.owners[item] = receiver
    return [take_nft(owner, nfts.address, owner.address, receiver.address, item)]


def send_edition(world: World) -> Iterable[Draft]:
    """A user sends copies of an ERC-1155 edition."""
    item, count = world.rng.randrange(50), world.rng.randrange(1, 5)
    return [send_1155(world.user(), world.pick(world.editions), world.user().address, item, count)]


def airdrop(world: World) -> Iterable[Draft]:
    """A project drops its token on many users in one transaction."""
    sender = world.services.payroll
    token = Token(world.contract(), 18, 0.02)
    targets = [world.user().address for _ in range(world.rng.randrange(10, 40))]
    logs = [
        transfer_log(token.address, sender.address, target, token.units(20)) for target in targets
    ]
    words = b"".join(log.topics[2] for log in logs)
    return [Draft(sender, token.address, ether(0), Call.MULTICALL + words, logs)]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (1.0, mint),
    (0.005, popular_mint),
    (0.4, claim),
    (0.6, claim_rewards),
    (1.2, buy),
    (0.6, list_items),
    (0.5, give),
    (0.6, send_edition),
    (0.15, airdrop),
)
"""Share of the traffic, in percent, of each kind of NFT transaction."""
