"""A known thief's money goes through mules to an exchange; framed strangers are innocent."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Script, Wallet
from ingest.simulate.payments import empty
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import USDT, Token, pay, transfer

FRAMED = 6


def script(stage: Stage) -> Script:
    """Two or three chains of two to five mules, each to a deposit address.

    By variant: ether; USDT; ether that a mule mixes with as much clean one from an exchange. Around
    it the thief pays strangers a little to frame them, and one who was cleared before pays others.
    """
    world, rng = stage.world, stage.rng
    thief = world.thieves[stage.variant % len(world.thieves)]
    stage.record.involve("thief", thief.address)
    token = USDT if stage.variant % 3 == 1 else None
    for _ in range(rng.randrange(2, 4)):
        yield from _chain(stage, thief, token, mixes=stage.variant % 3 == 2)
        for stranger in world.users(FRAMED // 2):
            value = rng.randrange(ETHER // 100, ETHER // 10)
            stranger.credit(None, value)
            yield pay(thief, stranger.address, value)
        (partner,) = world.users(1)
        partner.credit(None, 3 * ETHER)
        yield pay(world.cleared, partner.address, 3 * ETHER)


def _chain(stage: Stage, thief: Wallet, token: Token | None, mixes: bool) -> Script:
    """From the thief through its mules to a deposit address."""
    amount = stage.rng.randrange(15, 80) * ETHER
    if token is not None:
        amount = token.units(stage.rng.randrange(40_000, 200_000))
    mule = stage.attacker("mule")
    mule.credit(token.address if token else None, amount)
    if token is None:
        yield stage.attack(pay(thief, mule.address, amount))
    else:
        yield stage.fund(mule, ETHER // 50)
        yield stage.attack(transfer(thief, token.address, mule.address, amount))
    if mixes:
        yield stage.soon()
        yield stage.fund(mule, amount)
    for _ in range(stage.rng.randrange(1, 5)):
        yield stage.pause(0.03)
        following = stage.attacker("mule")
        if token is None:
            draft = empty(stage.world, mule, following.address)
            if draft is None:
                return
            following.credit(None, draft.value)
        else:
            yield stage.fund(following, ETHER // 50)
            draft = transfer(mule, token.address, following.address, amount)
            mule.debit(token.address, amount)
            following.credit(token.address, amount)
        yield stage.attack(draft)
        mule = following
    yield stage.pause(0.03)
    yield stage.cash_out(mule, token, amount if token else mule.balance - ETHER // 100)
