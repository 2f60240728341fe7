"""A phishing wallet: strangers pay in one after the other, then nearly all is cashed out."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At
from ingest.simulate.draft import Script
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay
from ingest.simulate.tornado import mix


def script(stage: Stage) -> Script:
    """Twelve to twenty-five victims; 90 to 97 % leaves to an exchange, or to the mixer."""
    world, attacker = stage.world, stage.attacker()
    taken = 0
    victims = stage.victims(12, 25)
    for victim in victims:
        yield stage.pause(0.5 / len(victims))
        value = stage.purse(victim, 900)
        taken += value
        attacker.credit(None, value)
        yield stage.attack(pay(victim, attacker.address, value))
    yield stage.pause(0.1)
    out = int(taken * stage.rng.uniform(0.90, 0.97))
    if stage.variant % 3 == 2 and out > ETHER:
        for _ in range(out // ETHER):
            yield stage.soon(3)
            yield stage.attack(mix(world, stage.rng, attacker, At.TORNADO_1, ETHER))
        yield stage.cash_out(attacker, None, out % ETHER)
        return
    for part in (out * 6 // 10, out * 4 // 10):
        yield stage.soon()
        yield stage.cash_out(attacker, None, part)
