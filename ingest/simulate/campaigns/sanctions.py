"""Dealings with sanctioned wallets; one that was delisted before is innocent.

Some are on the label list from the start. One gets onto the sanctions oracle's during the run: what
it did before was innocent, what it does afterwards is not.
"""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, Event, addresses, uint
from ingest.simulate.draft import Draft, Log, Script
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
    yield from _listed_on_the_way(stage)


def _listed_on_the_way(stage: Stage) -> Script:
    world = stage.world
    wallet = world.established()
    stage.record.involve("listed", wallet.address)
    for customer in world.users(2):
        yield stage.soon()
        yield pay(customer, wallet.address, stage.rng.randrange(1, 9) * ETHER // 10)
    yield stage.pause(0.05)
    data = uint(32) + addresses([wallet.address])
    log = Log(At.SANCTIONS_ORACLE, (Event.SANCTIONS_ADDED,), data)
    yield Draft(world.list_keeper, At.SANCTIONS_ORACLE, 0, Call.SANCTIONS_ADD + data, [log])
    for customer in world.users(2):
        yield stage.pause(0.05)
        yield stage.attack(pay(customer, wallet.address, stage.rng.randrange(1, 9) * ETHER // 10))
    yield stage.soon()
    yield stage.cash_out(wallet, None, ETHER)
