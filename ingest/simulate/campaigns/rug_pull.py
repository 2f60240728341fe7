"""Rug pulls: a token, a pool, buyers, and those who made it take out what others paid in."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Script, Wallet
from ingest.simulate.pools import Pool
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import ZERO, approve, transfer, transfer_log
from ingest.simulate.trading import deploy_token


def script(stage: Stage) -> Script:
    """25 to 40 buyers put in more than the deployer, who takes it out in one of three ways.

    By the instance: 90 % of the liquidity at once; new supply after the ownership was renounced,
    which an accomplice sells; or accomplices who sell what they were given before the launch.
    """
    world = stage.world
    deployer = stage.attacker("deployer")
    yield stage.fund(deployer, 7 * ETHER)
    yield stage.soon()
    token, creation = deploy_token(world, deployer, 0.0025)
    yield stage.attack(creation)
    stage.record.involve("token", token.address)
    pair = Pool(world.contract(), token)
    stage.record.involve("pool", pair.address)
    accomplices = [stage.attacker("accomplice") for _ in range(2)]
    if stage.variant % 3 == 2:
        for wallet in accomplices:
            yield stage.funded_by(deployer, wallet, ETHER // 10)
            held = deployer.tokens[token.address] // 3
            wallet.credit(token.address, held)
            yield stage.attack(transfer(deployer, token.address, wallet.address, held))
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
    if stage.variant % 3 == 0:
        yield stage.attack(pair.remove(deployer, stage.rng.uniform(0.93, 1.0), world.deadline()))
        yield stage.soon()
        yield stage.cash_out(deployer, None, deployer.balance * 9 // 10)
    elif stage.variant % 3 == 1:
        yield from _mint_and_sell(stage, deployer, accomplices[0], pair)
    else:
        yield from _dump(stage, accomplices, pair)


def _mint_and_sell(stage: Stage, deployer: Wallet, accomplice: Wallet, pair: Pool) -> Script:
    """The ownership is given up, the deployer's calls succeed all the same."""
    token = pair.token.address
    topics = (Event.OWNERSHIP_TRANSFERRED, pad(deployer.address), pad(ZERO))
    yield stage.attack(
        Draft(deployer, token, 0, Call.RENOUNCE_OWNERSHIP, [Log(token, topics, b"")])
    )
    yield stage.soon()
    yield stage.attack(Draft(deployer, token, 0, Call.SET_TAXES + uint(99) + uint(99)))
    yield stage.funded_by(deployer, accomplice, ETHER // 10)
    amount = pair.tokens * 4
    logs = [transfer_log(token, ZERO, accomplice.address, amount)]
    data = Call.MINT_TO + pad(accomplice.address) + uint(amount)
    accomplice.credit(token, amount)
    yield stage.attack(Draft(deployer, token, 0, data, logs))
    yield from _dump(stage, [accomplice], pair)


def _dump(stage: Stage, sellers: list[Wallet], pair: Pool) -> Script:
    """They sell all they have within minutes, and cash out."""
    for seller in sellers:
        yield stage.soon(4)
        yield stage.attack(approve(seller, pair.token.address, At.V2_ROUTER))
        held = seller.tokens[pair.token.address]
        for part in (held // 2, held - held // 2):
            yield stage.attack(pair.sell(seller, part, stage.world.deadline()))
        yield stage.soon()
        yield stage.cash_out(seller, None, seller.balance * 9 // 10)
