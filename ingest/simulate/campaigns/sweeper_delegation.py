"""EIP-7702 sweepers: leaked keys sign a delegation, and all that comes in is forwarded at once."""

from __future__ import annotations

from typing import Final

from ingest.simulate.contracts import ETHER, Call, address, pad, uint
from ingest.simulate.draft import Draft, Script, Wallet, creation_address
from ingest.simulate.payments import stable
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import Token, transfer, transfer_log

# The commonest sweeper on mainnet in 2025: it forwards ether.
KNOWN: Final = address("0x930FcC37d6042c79211EE18A02857Cb1Fd7F0D0b")


def script(stage: Stage) -> Script:
    """Twelve to sixteen accounts delegate by a sponsor's transactions; then their income is swept.

    Every second instance uses a delegate that is publicly known. Some of the sponsor's transactions
    fail: the delegations hold all the same.
    """
    sponsor, sink = stage.attacker(), stage.attacker("sink")
    yield stage.fund(sponsor, ETHER)
    delegate = KNOWN
    if stage.variant % 2 == 0:
        creation = stage.attack(Draft(sponsor, None, data=stage.rng.randbytes(260)))
        yield creation
        delegate = creation_address(creation)
    stage.record.involve("delegate", delegate)
    victims = stage.victims(12, 16)
    done = 0
    while done < len(victims):
        yield stage.pause(0.03)
        group = victims[done : done + stage.rng.randrange(1, 4)]
        done += len(group)
        yield stage.attack(_delegation(stage, sponsor, group, delegate))
    for victim in stage.rng.sample(victims, len(victims)):
        yield stage.pause(0.04)
        yield from _income(stage, sponsor, victim, sink)
    token = max((t for t in sink.tokens), key=lambda t: sink.tokens[t])
    yield stage.pause(0.02)
    yield stage.attack(
        transfer(sink, token, stage.attacker("pass_through").address, sink.tokens[token])
    )


def _delegation(stage: Stage, sponsor: Wallet, authorities: list[Wallet], delegate: bytes) -> Draft:
    failed = stage.rng.random() < 0.25
    return Draft(
        sponsor,
        authorities[0].address,
        data=Call.INITIALIZE + pad(sponsor.address),
        gas_used=38_000 + 25_000 * len(authorities),
        status=0 if failed else 1,
        type=4,
        delegate=delegate,
        authorities=tuple(authorities),
    )


def _income(stage: Stage, sponsor: Wallet, victim: Wallet, sink: Wallet) -> Script:
    """An exchange pays out to the account, and the sponsor's bot takes it a moment later."""
    world, token = stage.world, stable(stage.world)
    amount = token.units(world.dollars(2_500, 0.8))
    hot = world.pick(world.exchange().hot)
    hot.tokens[token.address] = 10**30
    yield transfer(hot, token.address, victim.address, amount)
    sink.credit(token.address, amount)
    victim.tokens[token.address] = 0
    yield stage.attack(_sweep(sponsor, victim, sink, token, amount))


def _sweep(sponsor: Wallet, victim: Wallet, sink: Wallet, token: Token, amount: int) -> Draft:
    return Draft(
        sponsor,
        victim.address,
        data=Call.SWEEP_TOKEN + pad(token.address) + uint(amount) + pad(sink.address),
        logs=[transfer_log(token.address, victim.address, sink.address, amount)],
    )
