"""Layering: stolen ether is split, passed through fresh wallets, and peeled off to exchanges."""

from __future__ import annotations

from ingest.simulate.contracts import ETHER
from ingest.simulate.draft import Script, Wallet
from ingest.simulate.payments import empty
from ingest.simulate.stage import Stage
from ingest.simulate.tokens import pay

HOPS = 5
PEELS = 5


def script(stage: Stage) -> Script:
    """Split to five fresh wallets, five hops each, the last two as a peel chain."""
    thief = stage.attacker("origin")
    (victim,) = stage.victims(1, 1)
    total = stage.rng.randrange(100, 600) * ETHER
    victim.balance = max(victim.balance, total + ETHER)
    thief.credit(None, total)
    yield stage.attack(pay(victim, thief.address, total))
    yield stage.soon()
    branches = []
    for _ in range(5):
        branch = stage.attacker("pass_through")
        yield stage.funded_by(thief, branch, total * 99 // 500)
        branches.append(branch)
    for _ in range(HOPS - 1):
        yield stage.pause(0.06)
        for index, branch in enumerate(branches):
            following = stage.attacker("pass_through")
            draft = empty(stage.world, branch, following.address)
            if draft:
                following.credit(None, draft.value)
                yield stage.attack(draft)
                yield stage.soon(3)
            branches[index] = following
    for branch in branches[:2]:
        yield from _peel(stage, branch)
    for branch in branches[2:]:
        yield stage.soon()
        yield stage.cash_out(branch, None, branch.balance - ETHER // 100)


def _peel(stage: Stage, wallet: Wallet) -> Script:
    """Little goes to an exchange, the rest to a fresh wallet, again and again."""
    for _ in range(PEELS):
        yield stage.pause(0.02)
        peeled = int(wallet.balance * stage.rng.uniform(0.08, 0.15))
        yield stage.cash_out(wallet, None, peeled)
        yield stage.soon(4)
        following = stage.attacker("pass_through")
        draft = empty(stage.world, wallet, following.address)
        if not draft:
            return
        following.credit(None, draft.value)
        yield stage.attack(draft)
        wallet = following
