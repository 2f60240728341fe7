"""A rug pull: a token, a pool, buyers, and the deployer takes the liquidity out."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call
from ingest.simulate.draft import Draft, Script
from ingest.simulate.pools import Pool
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import approve
from ingest.simulate.trading import deploy_token


def script(stage: Stage) -> Script:
    """25 to 40 buyers put in more than the deployer; at least 90 % of the pool leaves at once."""
    world = stage.world
    deployer = stage.attacker("deployer")
    yield stage.fund(deployer, 6 * ETHER)
    yield stage.soon()
    token, creation = deploy_token(world, deployer, 0.0025)
    yield stage.attack(creation)
    stage.record.involve("token", token.address)
    pair = Pool(world.contract(), token)
    stage.record.involve("pool", pair.address)
    yield stage.soon()
    yield stage.attack(approve(deployer, token.address, At.V2_ROUTER))
    yield stage.attack(
        pair.add(deployer, 5 * ETHER, deployer.tokens[token.address] * 9 // 10, world.deadline())
    )
    yield stage.attack(Draft(deployer, token.address, 0, Call.OPEN_TRADING, gas_used=48_000))
    buyers = stage.victims(25, 40)
    for count, buyer in enumerate(buyers):
        yield stage.pause(0.5 / len(buyers))
        paid = stage.purse(buyer, 700)
        yield stage.attack(pair.buy(buyer, paid, world.deadline()))
        if count % 9 == 8:  # some sell a little: this is no honeypot
            part = buyer.tokens[token.address] // 4
            yield stage.attack(pair.sell(buyer, part, world.deadline()))
    yield stage.pause(0.05)
    yield stage.attack(pair.remove(deployer, stage.rng.uniform(0.93, 1.0), world.deadline()))
    yield stage.soon()
    yield stage.cash_out(deployer, None, deployer.balance * 9 // 10)
