"""Flash-loan exploits: a fresh contract borrows, drains a protocol, and pays the loan back."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Draft, Script, creation_address
from ingest.simulate.lending import borrow
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import USDC, WETH, Token, transfer_log


def script(stage: Stage) -> Script:
    """Funded, deployed, and within hours one to three transactions that drain one protocol.

    The lender is Balancer, Aave V3 or a V3 pool by the instance; every third attacker works through
    an older contract of its own.
    """
    world, rng = stage.world, stage.rng
    attacker = stage.attacker()
    yield stage.fund(attacker, 3 * ETHER)
    yield stage.soon()
    creation = stage.attack(Draft(attacker, None, data=rng.randbytes(1_400)))
    yield creation
    contract = creation_address(creation)
    stage.record.involve("exploit_contract", contract)
    victim = world.contract()
    stage.record.involve("victim", victim)
    yield stage.pause(0.4)
    token: Token = (USDC, WETH)[stage.variant % 2]
    for _ in range(rng.randrange(1, 4)):
        loan, stolen = token.units(rng.uniform(5e6, 4e7)), token.units(rng.uniform(2.5e5, 3e6))
        # The price is pushed with the loan, the protocol pays by the pushed price.
        other = world.contract()
        moves = [
            transfer_log(token.address, contract, other, loan),
            transfer_log(token.address, victim, contract, stolen),
            transfer_log(token.address, other, contract, loan),
        ]
        logs = borrow(world, stage.variant, contract, token.address, loan, moves)
        attacker.credit(token.address, stolen)
        logs.append(transfer_log(token.address, contract, attacker.address, stolen))
        yield stage.attack(Draft(attacker, contract, 0, rng.randbytes(4), logs, 1_900_000))
        yield stage.soon()
    yield stage.pause(0.1)
    yield stage.cash_out(attacker, token, attacker.tokens[token.address] * 9 // 10)
