"""Signed transfers: victims sign for Permit2 or EIP-3009, and the thief submits it himself."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER, At, Call, uint
from ingest.simulate.draft import Draft, Script, Wallet, creation_address
from ingest.simulate.signatures import (
    authorized_transfer,
    permit2_batch,
    permit2_call,
    permit2_signed,
    permit2_witnessed,
)
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import DAI, USDC, USDT, Token, transfer_log


def script(stage: Stage) -> Script:
    """Six to ten victims lose all they have of a token, or of two, on nothing but a signature.

    By variant: through Permit2 called by the thief's wallet, by EIP-3009 authorizations of USDC,
    or through Permit2 by a contract of the thief's.
    """
    thief, collector = stage.attacker(), stage.attacker("collector")
    victims = stage.victims(6, 10)
    yield stage.fund(thief, ETHER // 2)
    contract = None
    if stage.variant % 3 == 2:
        yield stage.soon()
        creation = stage.attack(Draft(thief, None, data=stage.rng.randbytes(380)))
        yield creation
        contract = creation_address(creation)
        stage.record.involve("drainer", contract)
    for victim in victims:
        yield stage.pause(0.55 / len(victims))
        token = USDC if stage.variant % 3 == 1 else (USDC, USDT, DAI)[stage.rng.randrange(3)]
        amount = stage.loot(victim, token, 4_000)
        collector.credit(token.address, amount)
        yield stage.attack(_take(stage, thief, contract, victim, collector, token, amount))
        victim.tokens[token.address] = 0
    yield stage.pause(0.1)
    for token in (USDC, USDT, DAI):
        if collector.tokens.get(token.address):
            yield stage.cash_out(collector, token, collector.tokens[token.address])


def _take(
    stage: Stage,
    thief: Wallet,
    contract: bytes | None,
    victim: Wallet,
    collector: Wallet,
    token: Token,
    amount: int,
) -> Draft:
    until = stage.world.now.timestamp + 1_800
    signed = stage.rng.randbytes(97)
    owner, target = victim.address, collector.address
    if stage.variant % 3 == 1:
        return authorized_transfer(thief, owner, target, amount, until, signed)
    if contract is not None:
        inner = permit2_call(token.address, owner, target, amount, until, signed)
        logs = [transfer_log(token.address, owner, target, amount)]
        return Draft(thief, contract, data=Call.MULTICALL + uint(32) + inner, logs=logs)
    way = stage.rng.randrange(3)
    if way == 2:
        also = stage.loot(victim, DAI, 900)
        if token is not DAI:
            collector.credit(At.DAI, also)
            victim.tokens[At.DAI] = 0
            pair = [(token.address, amount), (At.DAI, also)]
            return permit2_batch(thief, owner, target, pair, until, signed)
    make = permit2_witnessed if way else permit2_signed
    return make(thief, token.address, owner, target, amount, until, signed)
