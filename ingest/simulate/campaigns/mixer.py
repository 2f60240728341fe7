"""Mixer funding: dirty ether goes in, a wallet without a past comes out and acts."""

from __future__ import annotations

from ingest.simulate.campaigns.phishing_wallet import mix
from ingest.simulate.contracts import ETHER, At, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Script, Wallet
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay


def script(stage: Stage) -> Script:
    """Four to eight deposits of 10 ETH, as many withdrawals to fresh wallets, which then spend."""
    count = stage.rng.randrange(4, 9)
    depositor = stage.attacker("depositor")
    yield stage.fund(depositor, (10 * count + 1) * ETHER)
    stage.record.involve("mixer", At.TORNADO_10)
    for _ in range(count):
        yield stage.soon(12)
        yield stage.attack(mix(stage, depositor, At.TORNADO_10, 10 * ETHER))
    yield stage.pause(0.25)
    recipients = [stage.attacker("funded") for _ in range(2)]
    for turn in range(count):
        yield stage.pause(0.25 / count)
        yield stage.attack(withdraw(stage, recipients[turn % 2], At.TORNADO_10, 10 * ETHER))
    yield stage.pause(0.05)
    for recipient in recipients:
        yield stage.attack(Draft(recipient, None, data=stage.rng.randbytes(700)))
        for _ in range(2):
            yield stage.soon()
            target = stage.attacker("paid")
            yield stage.attack(pay(recipient, target.address, 4 * ETHER))


def withdraw(stage: Stage, recipient: Wallet, pool: bytes, denomination: int) -> Draft:
    """A relayer pays out of a Tornado Cash pool; who gets it stands only in the event's data."""
    relayer = stage.world.services.tornado_relayer
    fee = denomination // 250
    nullifier = stage.rng.randbytes(32)
    recipient.credit(None, denomination - fee)
    topics = (Event.TORNADO_WITHDRAWAL, pad(relayer.address))
    log = Log(pool, topics, pad(recipient.address) + nullifier + uint(fee))
    words = pad(pool) + uint(256) + stage.rng.randbytes(32) + nullifier
    words += pad(recipient.address) + pad(relayer.address) + uint(fee) + uint(0)
    proof = uint(256) + stage.rng.randbytes(256)
    data = Call.TORNADO_WITHDRAW + words + proof
    return Draft(relayer, At.TORNADO_ROUTER, 0, data, [log], gas_used=372_000)
