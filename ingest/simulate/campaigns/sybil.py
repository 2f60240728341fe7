"""A sybil farm: one funder, many children that do the same, one sink."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call
from ingest.simulate.draft import Draft, Script
from ingest.simulate.payments import empty
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import Token, approve, ether, transfer, transfer_log


def script(stage: Stage) -> Script:
    """25 to 32 children get the same, swap, claim an airdrop, and send all of it to one sink."""
    world, rng = stage.world, stage.rng
    funder, sink = stage.attacker("funder"), stage.attacker("sink")
    children = [stage.attacker("child") for _ in range(rng.randrange(25, 33))]
    amount = ether(120)
    yield stage.fund(funder, amount * (len(children) + 5))
    yield stage.soon()
    for child in children:
        # The same to within one percent, as farmers do to look less alike.
        yield stage.funded_by(funder, child, amount + rng.randrange(amount // 100))
        if rng.random() < 0.5:
            yield stage.soon(2)
    pair = world.pools[0]
    token, campaign = Token(world.contract(), 18, 0.5), world.contract()
    for child in children:
        yield stage.pause(0.3 / len(children))
        yield stage.attack(approve(child, pair.token.address, At.V2_ROUTER))
        yield stage.attack(pair.buy(child, amount // 4, world.deadline()))
        got = token.units(200)
        child.credit(token.address, got)
        logs = [transfer_log(token.address, campaign, child.address, got)]
        yield stage.attack(Draft(child, campaign, 0, Call.CLAIM, logs))
    yield stage.pause(0.1)
    for child in children:
        yield stage.attack(
            transfer(child, token.address, sink.address, child.tokens[token.address])
        )
        draft = empty(world, child, sink.address)
        if draft:
            yield stage.attack(draft)
        if rng.random() < 0.5:
            yield stage.soon(2)
    sink.credit(token.address, token.units(200) * len(children))
    sink.credit(None, ETHER // 10)
    yield stage.pause(0.05)
    yield stage.attack(
        transfer(sink, token.address, world.contract(), token.units(200) * len(children))
    )
