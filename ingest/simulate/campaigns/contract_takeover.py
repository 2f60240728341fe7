"""A protocol's contract changes hands: a stolen key gives it new code, which is then emptied."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Script, Wallet, creation_address
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import USDC, USDT, transfer_log


def script(stage: Stage) -> Script:
    """The contract's owner, admin or roles go to the attacker, then its code, then its tokens.

    By variant: the owner's stolen key hands it over, changes the proxy's admin, or grants the role
    of admin. The attacker's code is deployed before.
    """
    services = stage.world.services
    attacker, key = stage.attacker(), stage.attacker("stolen_key")
    key.nonce = stage.rng.randrange(600, 9_000)  # of somebody who has looked after it for long
    contract = (services.relay_contract, At.BASE_PORTAL, services.billing_contract)[
        stage.variant % 3
    ]
    stage.record.involve("victim", contract)
    yield stage.fund(attacker, ETHER)
    yield stage.fund(key, ETHER // 4)
    yield stage.soon()
    creation = stage.attack(Draft(attacker, None, data=stage.rng.randbytes(420)))
    yield creation
    code = creation_address(creation)
    stage.record.involve("implementation", code)
    yield stage.pause(0.2)
    yield stage.attack(_hand_over(stage, key, contract, attacker))
    yield stage.soon(4)
    upgraded = Log(contract, (Event.UPGRADED, pad(code)), b"")
    yield stage.attack(Draft(attacker, contract, 0, Call.UPGRADE_TO + pad(code), [upgraded]))
    for token in (USDC, USDT):
        yield stage.soon(3)
        amount = token.units(stage.rng.randrange(200_000, 9_000_000))
        attacker.credit(token.address, amount)
        logs = [transfer_log(token.address, contract, attacker.address, amount)]
        data = Call.SWEEP_TOKEN + pad(token.address) + uint(amount) + pad(attacker.address)
        yield stage.attack(Draft(attacker, contract, 0, data, logs))
    yield stage.pause(0.05)
    yield stage.cash_out(attacker, USDT, attacker.tokens[At.USDT] // 2)


def _hand_over(stage: Stage, key: Wallet, contract: bytes, attacker: Wallet) -> Draft:
    new = pad(attacker.address)
    if stage.variant % 3 == 1:
        log = Log(contract, (Event.ADMIN_CHANGED,), pad(key.address) + new)
        return Draft(key, contract, 0, Call.CHANGE_ADMIN + new, [log])
    if stage.variant % 3 == 2:
        log = Log(contract, (Event.ROLE_GRANTED, bytes(32), new, pad(key.address)), b"")
        return Draft(key, contract, 0, Call.GRANT_ROLE + bytes(32) + new, [log])
    log = Log(contract, (Event.OWNERSHIP_TRANSFERRED, pad(key.address), new), b"")
    return Draft(key, contract, 0, Call.TRANSFER_OWNERSHIP + new, [log])
