"""Benign NFTs for nothing: gifts by private orders, collections moved to a wallet of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.collectibles import collection
from ingest.simulate.contracts import ETHER, At, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Pause, Script
from ingest.simulate.payments import Action
from ingest.simulate.tokens import mint_nft, nft_log, pay
from ingest.simulate.world import World


def gift(world: World) -> Iterable[Draft]:
    """An owner signs an order for nothing, and a friend whom it has paid before takes the item."""
    owner, friend = world.users(2)
    nfts = collection(world)
    nfts.owners.append(friend)
    item = len(nfts.owners) - 1
    owner.balance = max(owner.balance, ETHER)

    def script() -> Script:
        yield pay(owner, friend.address, ETHER // 50)
        yield mint_nft(owner, nfts.address, item, ETHER // 100)
        yield Pause(world.rng.randrange(5, 60))
        offer = uint(1) + uint(2) + pad(nfts.address) + uint(item) + uint(1)
        body = uint(item) + pad(friend.address) + uint(128) + uint(128 + len(offer)) + offer
        topics = (Event.ORDER_FULFILLED, pad(owner.address), bytes(32))
        logs = [Log(At.SEAPORT, topics, body + uint(0))]
        logs.append(nft_log(nfts.address, owner.address, friend.address, item))
        yield Draft(friend, At.SEAPORT, data=Call.FULFILL_ADVANCED_ORDER + offer, logs=logs)

    world.start(script(), 1)
    return []


def move_house(world: World) -> Iterable[Draft]:
    """A collector funds a new wallet of its own and moves its items there in one bulk transfer."""
    owner, target, nfts = world.users(1)[0], world.fresh(), collection(world)
    owner.balance = max(owner.balance, 2 * ETHER)
    items = []
    for _ in range(world.rng.randrange(3, 6)):
        nfts.owners.append(target)
        items.append(len(nfts.owners) - 1)

    def script() -> Script:
        for item in items:
            yield mint_nft(owner, nfts.address, item, ETHER // 100)
        yield Pause(world.rng.randrange(5, 60))
        target.credit(None, ETHER // 20)
        yield pay(owner, target.address, ETHER // 20)
        words = b"".join(uint(2) + pad(nfts.address) + uint(item) + uint(1) for item in items)
        logs = [nft_log(nfts.address, owner.address, target.address, item) for item in items]
        yield Draft(owner, At.TRANSFER_HELPER, data=Call.BULK_TRANSFER + words, logs=logs)

    world.start(script(), 1)
    return []


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.04, gift),
    (0.03, move_house),
)
"""Share of the traffic, in percent, of each kind of gift."""
