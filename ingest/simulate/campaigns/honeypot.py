"""Honeypots: a token that anybody can buy and only its makers can sell."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call
from ingest.simulate.draft import Draft, Script, Wallet
from ingest.simulate.pools import Pool
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import approve, transfer_log
from ingest.simulate.trading import deploy_token, failed_sale


def script(stage: Stage) -> Script:
    """24 to 34 buyers; then, by the instance, sales fail, nobody sells, or a tax takes 90 %."""
    world = stage.world
    deployer = stage.attacker("deployer")
    yield stage.fund(deployer, 5 * ETHER)
    yield stage.soon()
    token, creation = deploy_token(world, deployer, 0.0025)
    yield stage.attack(creation)
    stage.record.involve("token", token.address)
    pair = Pool(world.contract(), token)
    stage.record.involve("pool", pair.address)
    yield stage.soon()
    yield stage.attack(approve(deployer, token.address, At.V2_ROUTER))
    supply = deployer.tokens[token.address]
    yield stage.attack(pair.add(deployer, 4 * ETHER, supply * 9 // 10, world.deadline()))
    yield stage.attack(Draft(deployer, token.address, 0, Call.OPEN_TRADING, gas_used=48_000))
    buyers = stage.victims(24, 34)
    for count, buyer in enumerate(buyers):
        yield stage.pause(0.7 / len(buyers))
        yield stage.attack(pair.buy(buyer, stage.purse(buyer, 700), world.deadline()))
        if count > len(buyers) // 2 and stage.rng.random() < 0.7:
            seller = buyers[count - 8]
            if stage.variant % 3 == 0:
                yield stage.attack(failed_sale(world, seller, pair))
            elif stage.variant % 3 == 2:
                yield stage.attack(_taxed_sale(stage, seller, pair))
    for _ in range(3):
        yield stage.soon()
        part = deployer.tokens[token.address] // 2
        yield stage.attack(pair.sell(deployer, part, world.deadline()))
    yield stage.cash_out(deployer, None, deployer.balance * 9 // 10)


def _taxed_sale(stage: Stage, seller: Wallet, pair: Pool) -> Draft:
    """The token keeps nine tenths of what is sold."""
    held = seller.tokens[pair.token.address] // 2
    taken = held * 9 // 10
    seller.debit(pair.token.address, taken)
    draft = pair.sell(seller, held - taken, stage.world.deadline())
    token = pair.token.address
    draft.logs.insert(0, transfer_log(token, seller.address, token, taken))
    return draft
