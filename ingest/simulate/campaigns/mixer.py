"""Mixer funding: dirty ether goes in, a wallet without a past comes out and acts."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At
from ingest.simulate.draft import Draft, Script
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay
from ingest.simulate.tornado import mix, unmix


def script(stage: Stage) -> Script:
    """Four to eight deposits of 10 ETH, as many withdrawals to fresh wallets, which then spend."""
    world, count = stage.world, stage.rng.randrange(4, 9)
    depositor = stage.attacker("depositor")
    yield stage.fund(depositor, (10 * count + 1) * ETHER)
    stage.record.involve("mixer", At.TORNADO_10)
    for _ in range(count):
        yield stage.soon(12)
        yield stage.attack(mix(world, stage.rng, depositor, At.TORNADO_10, 10 * ETHER))
    yield stage.pause(0.25)
    recipients = [stage.attacker("funded") for _ in range(2)]
    for turn in range(count):
        yield stage.pause(0.25 / count)
        yield stage.attack(unmix(world, stage.rng, recipients[turn % 2], At.TORNADO_10, 10 * ETHER))
    yield stage.pause(0.05)
    for recipient in recipients:
        yield stage.attack(Draft(recipient, None, data=stage.rng.randbytes(700)))
        for _ in range(2):
            yield stage.soon()
            target = stage.attacker("paid")
            yield stage.attack(pay(recipient, target.address, 4 * ETHER))
