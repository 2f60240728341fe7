"""Benign upkeep: upgrades of contracts, and Safes that move to another published release."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import At, Call, Event, pad
from ingest.simulate.draft import Draft, Log, Pause, Script, creation_address
from ingest.simulate.payments import Action, safe_call
from ingest.simulate.world import World


def issuer_upgrade(world: World) -> Iterable[Draft]:
    """The issuer of a stablecoin, a known service, gives it new code and says who may mint."""
    issuer = world.services.usdc_issuer

    def script() -> Script:
        creation = Draft(issuer, None, data=world.rng.randbytes(400))
        yield creation
        code = creation_address(creation)
        yield Pause(world.rng.randrange(5, 40))
        log = Log(At.USDC, (Event.UPGRADED, pad(code)), b"")
        yield Draft(issuer, At.USDC, data=Call.UPGRADE_TO + pad(code), logs=[log])

    world.start(script(), 1)
    return []


def approved_upgrade(world: World) -> Iterable[Draft]:
    """Several owners of a project's Safe upgrade its contract to what their deployer made."""
    safe, owner = world.safes[0]

    def script() -> Script:
        deployer = world.pick(world.bots)
        creation = Draft(deployer, None, data=world.rng.randbytes(400))
        yield creation
        code, contract = creation_address(creation), world.services.billing_contract
        yield Pause(world.rng.randrange(5, 40))
        log = Log(contract, (Event.UPGRADED, pad(code)), b"")
        yield safe_call(owner, safe, contract, 0, Call.UPGRADE_TO + pad(code), [log])

    world.start(script(), 1)
    return []


def safe_update(world: World) -> Iterable[Draft]:
    """A Safe moves to another release that Safe has published."""
    safe, owner = world.pick(world.safes)
    log = Log(safe, (Event.CHANGED_MASTER_COPY,), pad(At.SAFE_1_1_1))
    call = Call.CHANGE_MASTER_COPY + pad(At.SAFE_1_1_1)
    return [safe_call(owner, safe, safe, 0, call, [log])]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.01, issuer_upgrade),
    (0.003, approved_upgrade),
    (0.02, safe_update),
)
"""Share of the traffic, in percent, of each kind of upkeep."""
