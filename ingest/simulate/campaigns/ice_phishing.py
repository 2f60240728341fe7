"""Approval phishing: victims grant a fresh EOA an allowance, and it takes everything."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, UNLIMITED
from ingest.simulate.draft import Draft, Script, Wallet
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import (
    USDC,
    USDT,
    approve,
    approve_all,
    increase_allowance,
    mint_nft,
    pay,
    permit,
    permit2_permit,
    permit2_transfer_from,
    take_nft,
    transfer_from,
)

OPERATOR_SHARE = 5  # the drainer's operator takes one fifth, its customer the rest


def script(stage: Stage) -> Script:
    """Eight to fourteen victims; the first five approve, the others fall for any variant."""
    spender, collector = stage.attacker(), stage.attacker("collector")
    operator = stage.attacker("operator")
    victims = stage.victims(8, 14)
    yield stage.fund(spender, ETHER // 2)
    for count, victim in enumerate(victims):
        yield stage.pause(0.55 / len(victims))
        way = 0 if count < 5 else stage.rng.randrange(5)
        if way == 4:
            yield from _take_items(stage, victim, spender, collector)
            continue
        token = USDC if way in (2, 3) or stage.rng.random() < 0.5 else USDT
        amount = stage.loot(victim, token, 4_000)
        yield stage.attack(_grant(stage, way, victim, spender, token.address))
        if way < 2:
            yield stage.soon(12)
        cut = amount // OPERATOR_SHARE if stage.variant % 2 else 0
        take = permit2_transfer_from if way == 3 else transfer_from
        for share, target in ((cut, operator), (amount - cut, collector)):
            if share:
                target.credit(token.address, share)
                yield stage.attack(
                    take(spender, token.address, victim.address, target.address, share)
                )
        victim.tokens[token.address] = 0
    yield stage.pause(0.1)
    yield stage.attack(pay(spender, collector.address, ETHER // 20))
    for token in (USDT, USDC):
        if collector.tokens.get(token.address):
            yield stage.cash_out(collector, token, collector.tokens[token.address])


def _grant(stage: Stage, way: int, victim: Wallet, spender: Wallet, token: bytes) -> Draft:
    until = stage.world.now.timestamp + 86_400
    if way == 1:
        return increase_allowance(victim, token, spender.address, UNLIMITED)
    if way == 2:
        return permit(spender, token, victim.address, until, stage.rng.randbytes(64))
    if way == 3:
        return permit2_permit(spender, token, victim.address, until, stage.rng.randbytes(96))
    return approve(victim, token, spender.address)


def _take_items(stage: Stage, victim: Wallet, spender: Wallet, collector: Wallet) -> Script:
    """The victim minted NFTs some time ago and signs ``setApprovalForAll``."""
    nfts = stage.world.collections[0]
    items = []
    for _ in range(2):
        nfts.owners.append(collector)
        items.append(len(nfts.owners) - 1)
        yield mint_nft(victim, nfts.address, items[-1], stage.purse(victim, 40))
    yield stage.soon()
    yield stage.attack(approve_all(victim, nfts.address, spender.address))
    yield stage.soon()
    for item in items:
        yield stage.attack(take_nft(spender, nfts.address, victim.address, collector.address, item))
