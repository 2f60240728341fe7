"""A hot wallet's key is stolen: ether and token after token leave an exchange for fresh wallets."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Script
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import STABLES, Token, pay, transfer


def script(stage: Stage) -> Script:
    """Within a few minutes: hundreds of ether in several payments, then six to nine tokens.

    The thief gets some ether for gas from elsewhere first, and splits the loot afterwards.
    """
    world, rng = stage.world, stage.rng
    hot = world.exchanges[stage.variant % len(world.exchanges)].hot[stage.variant % 2]
    stage.record.involve("victim", hot.address)
    collector = stage.attacker("collector")
    yield stage.pause(0.8)
    for _ in range(rng.randrange(3, 7)):
        target = stage.attacker()
        value = rng.randrange(80, 600) * ETHER
        target.credit(None, value)
        yield stage.attack(pay(hot, target.address, value))
        yield stage.soon(2)
    tokens: list[Token] = [*STABLES, *(pool.token for pool in rng.sample(world.pools[4:], 6))]
    for token in tokens[: rng.randrange(6, 10)]:
        amount = token.units(rng.randrange(200_000, 4_000_000))
        collector.credit(token.address, amount)
        yield stage.attack(transfer(hot, token.address, collector.address, amount))
        yield stage.soon(2)
    yield stage.pause(0.1)
    for stolen in sorted(collector.tokens):
        yield stage.soon(3)
        half = collector.tokens[stolen] // 2
        yield stage.attack(
            transfer(collector, stolen, stage.attacker("pass_through").address, half)
        )
