"""A contract is deployed for an attack: out of the mixer, or from code that struck before."""

from __future__ import annotations

from ingest.simulate.bytecode import attack
from ingest.simulate.contracts import ETHER, At
from ingest.simulate.draft import Draft, Script, Wallet, creation_address
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay
from ingest.simulate.tornado import unmix
from ingest.simulate.world import World


def precedents(world: World) -> Script:
    """The earlier attack contracts, which lists will name: innocent as far as anyone can tell."""
    for template, exploiter in enumerate(world.exploiters):
        yield Draft(exploiter, None, data=attack(template, b"precedent %d" % template))


def script(stage: Stage) -> Script:
    """The maker deploys, calls its contract a few times, and leaves.

    By variant: it is funded by the mixer, up to three hops away, and its code is a copy with small
    changes; it is funded by an exchange, and its code is the same but for constants; it comes
    straight out of the mixer, and its code resembles none that is known.
    """
    world, rng, kind = stage.world, stage.rng, stage.variant % 3
    template = rng.randrange(len(world.exploiters))
    maker = stage.attacker("maker")
    if kind == 1:
        yield stage.fund(maker, 4 * ETHER)
    else:
        yield from _out_of_the_mixer(stage, maker, rng.randrange(1, 4) if kind == 0 else 0)
    yield stage.pause(0.1)
    if kind == 2:
        code = attack(100 + stage.variant, rng.randbytes(16))
    else:
        code = attack(template, rng.randbytes(16), changes=rng.randrange(1, 4) if kind == 0 else 0)
    creation = stage.attack(Draft(maker, None, data=code))
    yield creation
    contract = creation_address(creation)
    stage.record.involve("contract", contract)
    for _ in range(rng.randrange(2, 5)):
        yield stage.pause(0.1)
        yield stage.attack(Draft(maker, contract, data=rng.randbytes(4 + 32 * rng.randrange(1, 4))))
    yield stage.pause(0.05)
    yield stage.attack(pay(maker, stage.attacker("collector").address, ETHER))


def _out_of_the_mixer(stage: Stage, maker: Wallet, hops: int) -> Script:
    """Ten ether come out of the mixer and go to the maker through so many wallets."""
    chain = [*(stage.attacker("hop") for _ in range(hops)), maker]
    yield stage.attack(unmix(stage.world, stage.rng, chain[0], At.TORNADO_10, 10 * ETHER))
    for hop, payer in enumerate(chain[:-1]):
        yield stage.soon()
        yield stage.funded_by(payer, chain[hop + 1], (9 - hop) * ETHER)
