"""A multisig takeover: a Safe delegates to the attacker's contract, which then empties it."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, pad, uint
from ingest.simulate.draft import Draft, Script, creation_address
from ingest.simulate.payments import safe_call
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import USDC, USDT, transfer, transfer_log


def script(stage: Stage) -> Script:
    """``execTransaction`` with operation 1 to what is no MultiSend, then the sweeps."""
    attacker = stage.attacker()
    yield stage.fund(attacker, ETHER)
    yield stage.soon()
    creation = stage.attack(Draft(attacker, None, data=stage.rng.randbytes(350)))
    yield creation
    implementation = creation_address(creation)
    stage.record.involve("implementation", implementation)
    yield stage.pause(0.3)
    safe, owner = stage.world.pick(stage.world.safes)
    stage.record.involve("victim", safe)
    stage.record.involve("owner", owner.address)
    inner = Call.TRANSFER + pad(implementation) + uint(0)
    yield stage.attack(safe_call(owner, safe, implementation, 1, inner, []))
    for token in (USDT, USDC):
        yield stage.soon(3)
        amount = token.units(stage.rng.randrange(1_000_000, 40_000_000))
        attacker.credit(token.address, amount)
        logs = [transfer_log(token.address, safe, attacker.address, amount)]
        data = Call.SWEEP_TOKEN + pad(token.address) + uint(amount) + pad(attacker.address)
        yield stage.attack(Draft(attacker, safe, 0, data, logs))
    for stolen in (At.USDT, At.USDC):
        part = attacker.tokens[stolen] // 5
        for _ in range(5):
            yield stage.soon()
            yield stage.attack(
                transfer(attacker, stolen, stage.attacker("pass_through").address, part)
            )
