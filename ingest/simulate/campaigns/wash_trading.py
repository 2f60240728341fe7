"""Wash trading: a few wallets with one funder trade the same NFTs, or a token, in a circle."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At
from ingest.simulate.draft import Script, Wallet
from ingest.simulate.pools import Pool
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import approve, approve_all, buy_nft, ether, mint_nft, transfer
from ingest.simulate.trading import deploy_token
from ingest.simulate.world import Collection

ROUNDS = 7


def script(stage: Stage) -> Script:
    """NFTs in the first instance and every other one after it, a token in the rest."""
    funder = stage.attacker("funder")
    ring = [stage.attacker("trader") for _ in range(2 + stage.variant % 2)]
    yield stage.fund(funder, 40 * ETHER)
    yield stage.soon()
    for wallet in ring:
        yield stage.funded_by(funder, wallet, 8 * ETHER)
    yield stage.pause(0.05)
    yield from (_token(stage, ring) if stage.variant % 2 else _items(stage, ring))


def _items(stage: Stage, pair: list[Wallet]) -> Script:
    """Four items go back and forth between two wallets at rising prices."""
    nfts = Collection(stage.world.contract(), ether(300))
    stage.record.involve("collection", nfts.address)
    for wallet in pair:
        yield stage.attack(approve_all(wallet, nfts.address, At.OPENSEA_CONDUIT))
    for item in range(4):
        yield stage.attack(mint_nft(pair[0], nfts.address, item, nfts.floor // 5))
    for turn in range(ROUNDS):
        seller, buyer = pair[turn % 2], pair[(turn + 1) % 2]
        for item in range(4):
            yield stage.pause(0.02)
            price = int(nfts.floor * (1.0 + 0.2 * turn))
            buyer.balance = max(buyer.balance, price + ETHER)
            seller.credit(None, price)
            yield stage.attack(buy_nft(buyer, seller.address, nfts.address, item, price))


def _token(stage: Stage, ring: list[Wallet]) -> Script:
    """A token goes round in a circle in equal amounts, and in and out of its own pool."""
    world, maker = stage.world, ring[0]
    token, creation = deploy_token(world, maker, 0.01)
    stage.record.involve("token", token.address)
    yield stage.attack(creation)
    pair = Pool(world.contract(), token)
    yield stage.soon()
    yield stage.attack(approve(maker, token.address, At.V2_ROUTER))
    tokens = maker.tokens[token.address] // 2
    yield stage.attack(pair.add(maker, 3 * ETHER, tokens, world.deadline()))
    amount = maker.tokens[token.address] // 3
    for _ in range(ROUNDS):
        for index, sender in enumerate(ring):
            yield stage.pause(0.015)
            receiver = ring[(index + 1) % len(ring)]
            sent = amount - stage.rng.randrange(amount // 500)
            sent = min(sent, sender.tokens[token.address])
            receiver.credit(token.address, sent)
            yield stage.attack(transfer(sender, token.address, receiver.address, sent))
    for _ in range(3):
        yield stage.soon()
        before = ring[1].tokens.get(token.address, 0)
        yield stage.attack(pair.buy(ring[1], ETHER // 2, world.deadline()))
        yield stage.soon()
        bought = ring[1].tokens[token.address] - before
        yield stage.attack(pair.sell(ring[1], bought, world.deadline()))
