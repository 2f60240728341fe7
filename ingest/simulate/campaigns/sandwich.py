"""Sandwiches: a fresh bot buys right before users' purchases and sells right after them."""

from __future__ import annotations

from collections.abc import Iterator

from ingest.simulate.contracts import ETHER, GWEI
from ingest.simulate.draft import Draft, Room, Script, Wallet, creation_address
from ingest.simulate.pools import Pool
from ingest.simulate.stage import Stage

SANDWICH_GAS = 900_000  # of three transactions, at most


def script(stage: Stage) -> Script:
    """Six to ten users are sandwiched: in V2 pairs, V3 pools, or V4 pools, by the instance."""
    world, rng = stage.world, stage.rng
    bot = stage.attacker()
    yield stage.fund(bot, 40 * ETHER)
    yield stage.soon()
    creation = stage.attack(Draft(bot, None, data=rng.randbytes(600)))
    yield creation
    contract = creation_address(creation)
    stage.record.involve("bot_contract", contract)
    version = (2, 3, 4)[stage.variant % 3]
    deep: list[Pool] = [each for each in world.deep_pools if each.version == version]
    # Shallow pools: a purchase must move the price by more than two fees.
    pools = sorted(deep or world.pools, key=lambda each: each.ether)[:3]
    for victim in stage.victims(6, 10):
        yield stage.pause(0.8 / 8)
        yield Room(SANDWICH_GAS)
        yield from _slices(stage, bot, contract, rng.choice(pools), victim)


def _slices(
    stage: Stage, bot: Wallet, contract: bytes, pool: Pool, victim: Wallet
) -> Iterator[Draft]:
    """Front, victim and back; some bots keep a little of what they bought."""
    world, rng = stage.world, stage.rng
    value = pool.ether // rng.randrange(14, 30)
    victim.balance = max(victim.balance, 2 * value)
    front = pool.ether // rng.randrange(10, 20)
    bought, before = pool.buy_logs(contract, contract, front)
    middle = pool.buy(victim, value, world.deadline())
    sold = bought - (bought * rng.randrange(2) // 100 if rng.random() < 0.3 else 0)
    _, after = pool.sell_logs(contract, contract, sold)
    calldata = rng.randbytes(68)
    yield stage.attack(Draft(bot, contract, data=calldata, logs=before, tip=0))
    yield stage.attack(middle)
    yield stage.attack(Draft(bot, contract, data=calldata[:36], logs=after, tip=9 * GWEI))
