"""Dealings with sanctioned wallets; one that was delisted before is innocent."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Script
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import USDC, USDT, pay, transfer


def script(stage: Stage) -> Script:
    """A sanctioned wallet pays fresh ones, trades with users, and dusts strangers."""
    world = stage.world
    listed = world.sanctioned[stage.variant % len(world.sanctioned)]
    stage.record.involve("sanctioned", listed.address)
    for _ in range(3):
        yield stage.pause(0.1)
        helper = stage.attacker("counterparty")
        yield stage.funded_by(listed, helper, stage.rng.randrange(2, 30) * ETHER)
        yield stage.soon()
        yield stage.cash_out(helper, None, helper.balance * 9 // 10)
    for partner in world.users(3):
        yield stage.pause(0.1)
        stage.record.involve("counterparty", partner.address)
        token = USDC if stage.rng.random() < 0.5 else USDT
        amount = stage.loot(partner, token, 9_000)
        yield stage.attack(transfer(partner, token.address, listed.address, amount))
        yield pay(world.delisted, partner.address, stage.rng.randrange(1, 9) * ETHER // 10)
    for stranger in world.users(3):
        yield stage.soon()
        stage.record.involve("dusted", stranger.address)
        yield stage.attack(pay(listed, stranger.address, 1_000))
