"""An issuer freezes a thief's stablecoins; the thief tries in vain to move them."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Script
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import USDC, USDT, ZERO, transfer, transfer_log


def script(stage: Stage) -> Script:
    """USDT, where the funds are destroyed in the end, or every other time USDC."""
    world = stage.world
    token = USDC if stage.variant % 2 else USDT
    thief = stage.attacker()
    yield stage.fund(thief, ETHER // 2)
    for victim in stage.victims(2, 3):
        yield stage.soon()
        amount = stage.loot(victim, token, 150_000)
        thief.credit(token.address, amount)
        yield stage.attack(transfer(victim, token.address, thief.address, amount))
    yield stage.pause(0.1)
    yield stage.attack(_freeze(stage, thief.address, usdt=token is USDT))
    for _ in range(3):
        yield stage.pause(0.06)
        data = Call.TRANSFER + stage.rng.randbytes(20).rjust(32, b"\0")
        data += uint(thief.tokens[token.address])
        yield stage.attack(Draft(thief, token.address, 0, data, status=0, gas_used=31_000))
    if token is USDT:
        yield stage.pause(0.1)
        seized = thief.tokens[token.address]
        logs = [
            transfer_log(At.USDT, thief.address, ZERO, seized),
            Log(At.USDT, (Event.USDT_DESTROYED,), pad(thief.address) + uint(seized)),
        ]
        data = Call.USDT_DESTROY + pad(thief.address)
        yield stage.attack(Draft(world.services.usdt_issuer, At.USDT, 0, data, logs))


def _freeze(stage: Stage, wallet: bytes, *, usdt: bool) -> Draft:
    """USDT names the wallet in the data of its event, USDC in a topic."""
    services = stage.world.services
    stage.record.involve("frozen", wallet)
    if usdt:
        log = Log(At.USDT, (Event.USDT_FROZEN,), pad(wallet))
        return Draft(services.usdt_issuer, At.USDT, 0, Call.USDT_FREEZE + pad(wallet), [log])
    log = Log(At.USDC, (Event.USDC_FROZEN, pad(wallet)), b"")
    return Draft(services.usdc_issuer, At.USDC, 0, Call.USDC_FREEZE + pad(wallet), [log])
