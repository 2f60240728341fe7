"""Benign contracts that take money from many and pay out: staking, savings, lotteries."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import Call, uint
from ingest.simulate.draft import Draft, Wallet
from ingest.simulate.payments import Action, top_up
from ingest.simulate.tokens import USDC, ZERO, transfer, transfer_log
from ingest.simulate.world import World

TICKETS: Final = 12
TICKET_DOLLARS: Final = 20.0


def _put(fund: bytes, user: Wallet, amount: int, share: bytes | None) -> Draft:
    user.debit(USDC.address, amount)
    logs = [transfer_log(USDC.address, user.address, fund, amount)]
    if share is not None:
        logs.append(transfer_log(share, ZERO, user.address, amount))
    return Draft(user, fund, 0, Call.INVEST + uint(amount), logs)


def stake(world: World) -> Iterable[Draft]:
    """A user stakes for shares, or takes out what it has with a little interest."""
    return _save(world, world.vault, world.vault[::-1])


def save(world: World) -> Iterable[Draft]:
    """The same without shares; now and then the owner pays the interest in."""
    if world.rng.random() < 0.2:
        return [
            transfer(world.services.payroll, USDC.address, world.savings, USDC.units(40.0)),
        ]
    return _save(world, world.savings, None)


def _save(world: World, fund: bytes, share: bytes | None) -> Iterable[Draft]:
    held = world.deposits.setdefault(fund, [])
    if held and world.rng.random() < 0.45:
        owner, amount = held.pop(world.rng.randrange(len(held)))
        paid = amount + amount // 100
        owner.credit(USDC.address, paid)
        logs = [transfer_log(USDC.address, fund, owner.address, paid)]
        if share is not None:
            logs.insert(0, transfer_log(share, owner.address, ZERO, amount))
        return [Draft(owner, fund, 0, Call.WITHDRAW, logs)]
    user = world.user()
    amount = world.spendable(user, USDC, world.dollars(300))
    if not amount:
        return [top_up(world, user)]
    held.append((user, amount))
    return [_put(fund, user, amount, share)]


def lottery(world: World) -> Iterable[Draft]:
    """A user buys a ticket; after a dozen, one of them wins nine tenths of the pot."""
    user, price = world.user(), USDC.units(TICKET_DOLLARS)
    held = world.deposits.setdefault(world.lottery, [])
    user.tokens[USDC.address] = max(world.holding(user, USDC), price)
    held.append((user, price))
    drafts = [_put(world.lottery, user, price, None)]
    if len(held) >= TICKETS:
        winner, _ = world.pick(held)
        pot = price * TICKETS * 9 // 10
        winner.credit(USDC.address, pot)
        held.clear()
        logs = [transfer_log(USDC.address, world.lottery, winner.address, pot)]
        drafts.append(Draft(world.services.oracle, world.lottery, 0, Call.WITHDRAW, logs))
    return drafts


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.25, stake),
    (0.15, save),
    (0.2, lottery),
)
"""Share of the traffic, in percent, of each kind."""
