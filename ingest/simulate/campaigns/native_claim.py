"""Native phishing: victims pay ``claim()`` or ``SecurityUpdate()`` and get nothing."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, Call
from ingest.simulate.draft import Draft, Script, creation_address
from ingest.simulate.stage import Stage


def script(stage: Stage) -> Script:
    """Ten to twenty victims; the target is a fresh EOA, or every other time a fresh contract."""
    attacker = stage.attacker()
    yield stage.fund(attacker, ETHER // 2)
    target = attacker.address
    if stage.variant % 2:
        yield stage.soon()
        creation = stage.attack(Draft(attacker, None, data=stage.rng.randbytes(400)))
        yield creation
        target = creation_address(creation)
        stage.record.involve("phishing_contract", target)
    selector = Call.SECURITY_UPDATE if stage.variant % 3 == 1 else Call.CLAIM
    victims, taken = stage.victims(10, 20), 0
    for victim in victims:
        yield stage.pause(0.5 / len(victims))
        value = stage.purse(victim, 700)
        victim.debit(None, value)
        taken += value
        yield stage.attack(Draft(victim, target, value, selector, gas_used=23_400))
    yield stage.pause(0.08)
    if target != attacker.address:
        yield stage.attack(Draft(attacker, target, 0, Call.WITHDRAW, gas_used=34_000))
        yield stage.soon()
    attacker.credit(None, taken)
    yield stage.cash_out(attacker, None, attacker.balance * 97 // 100)
