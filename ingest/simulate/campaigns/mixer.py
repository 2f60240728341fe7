"""Mixer funding: dirty ether goes in, a wallet without a past comes out and acts."""

from __future__ import annotations

from ingest.simulate.bytecode import ordinary
from ingest.simulate.contracts import ETHER, At
from ingest.simulate.draft import Draft, Script
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay
from ingest.simulate.tornado import mix, unmix


def script(stage: Stage) -> Script:
    """Four to eight deposits, mostly of 10 ETH, as many withdrawals to fresh wallets, which spend.

    By variant the depositor is careful, or takes all out of two pools to one wallet, or is paid by
    a recipient.
    """
    world, count = stage.world, stage.rng.randrange(4, 9)
    pools = [(At.TORNADO_10, 10 * ETHER)] * count
    if stage.variant % 3 == 1:
        pools[-2:] = [(At.TORNADO_1, ETHER)] * 2
    depositor = stage.attacker("depositor")
    yield stage.fund(depositor, (10 * count + 1) * ETHER)
    stage.record.involve("mixer", *(pool for pool, _ in pools))
    for pool, value in pools:
        yield stage.soon(12)
        yield stage.attack(mix(world, stage.rng, depositor, pool, value))
    yield stage.pause(0.25)
    recipients = [stage.attacker("funded") for _ in range(1 if stage.variant % 3 == 1 else 2)]
    for turn, (pool, value) in enumerate(pools):
        yield stage.pause(0.25 / count)
        recipient = recipients[turn % len(recipients)]
        yield stage.attack(unmix(world, stage.rng, recipient, pool, value))
    yield stage.pause(0.05)
    for recipient in recipients:
        yield stage.attack(Draft(recipient, None, data=ordinary(stage.rng.randbytes(700))))
        for _ in range(2):
            yield stage.soon()
            target = stage.attacker("paid")
            yield stage.attack(pay(recipient, target.address, 4 * ETHER))
    if stage.variant % 3 == 2:
        yield stage.soon()
        yield stage.attack(pay(recipients[0], depositor.address, ETHER))
