"""Key compromise: several people's wallets are emptied to one fresh receiver within minutes."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Script
from ingest.simulate.payments import empty
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import USDC, USDT, pay, transfer


def script(stage: Stage) -> Script:
    """Six to twelve victims who have paid their peers before; then all they have is gone."""
    world = stage.world
    victims = stage.victims(6, 12)
    for _ in range(2):
        for victim in victims:
            yield stage.pause(0.2 / len(victims))
            yield pay(victim, world.peer(victim), stage.purse(victim, 150))
    receiver = stage.attacker()
    for victim in victims:
        yield stage.soon(4)
        token = USDT if stage.rng.random() < 0.5 else USDC
        amount = stage.loot(victim, token, 2_500)
        receiver.credit(token.address, amount)
        victim.balance = max(victim.balance, stage.purse(victim, 800))
        yield stage.attack(transfer(victim, token.address, receiver.address, amount))
        draft = empty(world, victim, receiver.address)
        if draft:
            receiver.credit(None, draft.value)
            yield stage.attack(draft)
    yield stage.pause(0.05)
    for token in (USDT, USDC):
        if receiver.tokens.get(token.address):
            yield stage.cash_out(receiver, token, receiver.tokens[token.address])
    if receiver.balance > ETHER // 10:
        yield stage.cash_out(receiver, None, receiver.balance * 95 // 100)
