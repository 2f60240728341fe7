"""Drainer-as-a-service: phishers rent a kit, whose operator takes a fixed share of every loss."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Draft, Log, Script, Wallet, creation_address
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import (
    STABLES,
    Token,
    approval_log,
    approve,
    batch,
    permit,
    transfer_from,
    transfer_log,
)

SHARES = (0.10, 0.15, 0.20, 0.20, 0.25, 0.30)


def script(stage: Stage) -> Script:
    """Three partners with three or four victims each; the operator's share of each loss is one.

    By variant: one multicall of the kit's contract that splits in two, two transactions a few
    blocks apart by a wallet with the victim's permit, or a multicall with a reseller's share.
    """
    operator, bot = stage.attacker("operator"), stage.attacker()
    share = stage.rng.choice(SHARES)
    yield stage.fund(operator, ETHER)
    yield stage.fund(bot, ETHER // 2)
    yield stage.soon()
    creation = stage.attack(Draft(operator, None, data=stage.rng.randbytes(420)))
    yield creation
    kit = creation_address(creation)
    stage.record.involve("drainer", kit)
    reseller = stage.attacker("reseller") if stage.variant % 3 == 2 else None
    victims = stage.victims(9, 12)
    for number, partner in enumerate([stage.attacker("partner") for _ in range(3)]):
        for victim in victims[number::3]:
            yield stage.pause(0.05)
            token = STABLES[stage.rng.randrange(2)]
            # A loss that the share divides without a rest, as amounts of whole dollars do.
            loss = stage.loot(victim, token, 6_000) // 1_000 * 1_000
            parts = [(operator, int(loss * share))]
            if reseller is not None:
                parts.append((reseller, loss // 10))
            parts.append((partner, loss - sum(part for _, part in parts)))
            for wallet, part in parts:
                wallet.credit(token.address, part)
            victim.tokens[token.address] = 0
            if stage.variant % 3 == 1:
                yield from _in_steps(stage, bot, victim, token, parts)
            else:
                yield from _at_once(stage, bot, kit, victim, token, parts)
        held = max(STABLES, key=lambda t: partner.tokens.get(t.address, 0))
        yield stage.pause(0.02)
        yield stage.cash_out(partner, held, partner.tokens[held.address])


def _at_once(
    stage: Stage,
    bot: Wallet,
    kit: bytes,
    victim: Wallet,
    token: Token,
    parts: list[tuple[Wallet, int]],
) -> Script:
    """The victim allows the kit everything, or signs a permit for it, and it takes all at once."""
    logs: list[Log] = []
    if stage.rng.random() < 0.6:
        yield stage.attack(approve(victim, token.address, kit))
        yield stage.soon(10)
    else:
        logs.append(approval_log(token.address, victim.address, kit, 2**256 - 1))
    logs += [
        transfer_log(token.address, victim.address, wallet.address, part) for wallet, part in parts
    ]
    yield stage.attack(batch(bot, kit, logs))


def _in_steps(
    stage: Stage, bot: Wallet, victim: Wallet, token: Token, parts: list[tuple[Wallet, int]]
) -> Script:
    """A wallet cashes in the victim's permit, share by share."""
    until = stage.world.now.timestamp + 86_400
    yield stage.attack(permit(bot, token.address, victim.address, until, stage.rng.randbytes(64)))
    for wallet, part in parts:
        yield stage.attack(transfer_from(bot, token.address, victim.address, wallet.address, part))
        yield stage.soon(2)
