"""Free-buy orders: victims sign a sale of their NFTs for nothing, and the phisher fulfils it."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Script, Wallet
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import mint_nft, nft_log


def script(stage: Stage) -> Script:
    """Six to nine owners lose one to four items each; in every third instance by bulk transfer."""
    taker = stage.attacker()
    yield stage.fund(taker, ETHER // 2)
    nfts = stage.world.collections[stage.variant % len(stage.world.collections)]
    for victim in stage.victims(6, 9):
        items = []
        for _ in range(stage.rng.randrange(1, 5)):
            nfts.owners.append(taker)
            items.append(len(nfts.owners) - 1)
            yield mint_nft(victim, nfts.address, items[-1], stage.purse(victim, 60))
        yield stage.pause(0.1)
        if stage.variant % 3 == 2:
            yield stage.attack(_bulk(victim, taker, nfts.address, items))
        else:
            yield stage.attack(_free_buy(taker, victim, nfts.address, items))


def _free_buy(taker: Wallet, victim: Wallet, collection: bytes, items: list[int]) -> Draft:
    offer = uint(len(items)) + b"".join(
        uint(2) + pad(collection) + uint(item) + uint(1) for item in items
    )
    body = uint(items[0]) + pad(taker.address) + uint(128) + uint(128 + len(offer))
    topics = (Event.ORDER_FULFILLED, pad(victim.address), bytes(32))
    logs = [Log(At.SEAPORT, topics, body + offer + uint(0))]
    logs += [nft_log(collection, victim.address, taker.address, item) for item in items]
    return Draft(taker, At.SEAPORT, data=Call.FULFILL_ADVANCED_ORDER + offer, logs=logs)


def _bulk(victim: Wallet, taker: Wallet, collection: bytes, items: list[int]) -> Draft:
    words = b"".join(uint(2) + pad(collection) + uint(item) + uint(1) for item in items)
    logs = [nft_log(collection, victim.address, taker.address, item) for item in items]
    return Draft(victim, At.TRANSFER_HELPER, data=Call.BULK_TRANSFER + words, logs=logs)
