"""A phishing wallet: strangers pay in one after the other, then nearly all is cashed out."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, Event, uint
from ingest.simulate.draft import Draft, Log, Script, Wallet
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay


def script(stage: Stage) -> Script:
    """Twelve to twenty-five victims; 90 to 97 % leaves to an exchange, or to the mixer."""
    attacker = stage.attacker()
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
            yield stage.attack(mix(stage, attacker, At.TORNADO_1, ETHER))
        yield stage.cash_out(attacker, None, out % ETHER)
        return
    for part in (out * 6 // 10, out * 4 // 10):
        yield stage.soon()
        yield stage.cash_out(attacker, None, part)


def mix(stage: Stage, depositor: Wallet, pool: bytes, value: int) -> Draft:
    """A deposit into a Tornado Cash pool through its router."""
    commitment = stage.rng.randbytes(32)
    when = stage.world.now.timestamp
    depositor.debit(None, value)
    leaf = stage.rng.randrange(60_000)
    log = Log(pool, (Event.TORNADO_DEPOSIT, commitment), uint(leaf) + uint(when))
    words = bytes(12) + pool + commitment + uint(96) + uint(0)
    data = Call.TORNADO_DEPOSIT + words
    return Draft(depositor, At.TORNADO_ROUTER, value, data, [log], gas_used=1_010_000)
