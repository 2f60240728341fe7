"""Benign splits: royalties, payrolls, relayed purchases and filled orders share out in round parts.

They have the very ratios of a drainer's split; who signs, and what comes back, is the difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import At, Call, uint
from ingest.simulate.draft import Draft
from ingest.simulate.payments import Action, stable, top_up
from ingest.simulate.tokens import WETH, batch, transfer_log
from ingest.simulate.world import World

SHARES: Final = (10, 20, 30)  # per cent


def royalty(world: World) -> Iterable[Draft]:
    """A buyer pays a seller and, through the same splitter, the creator's royalty."""
    buyer, token = world.user(), stable(world)
    price = world.spendable(buyer, token, world.dollars(120)) // 100 * 100
    if not price:
        return [top_up(world, buyer)]
    buyer.debit(token.address, price)
    fee = price // 100 * world.pick(SHARES)
    creator, seller = world.pick(world.bots).address, world.user().address
    logs = [
        transfer_log(token.address, buyer.address, creator, fee),
        transfer_log(token.address, buyer.address, seller, price - fee),
    ]
    return [batch(buyer, world.pick(world.collections).address[::-1], logs)]


def wages(world: World) -> Iterable[Draft]:
    """A small employer pays two people in one transaction, a quarter to the one on quarter time."""
    employer, token = world.user(), stable(world)
    total = world.spendable(employer, token, world.dollars(900)) // 100 * 100
    if not total:
        return [top_up(world, employer)]
    employer.debit(token.address, total)
    parts = (total // 4, total - total // 4)
    people = world.users(2)
    logs = [
        transfer_log(token.address, employer.address, person.address, part)
        for person, part in zip(people, parts, strict=True)
    ]
    return [batch(employer, world.pick(world.collections).address[::-1], logs)]


def relayed(world: World) -> Iterable[Draft]:
    """A labelled relayer pays a merchant out of a user's permit, and its own fee wallet a tenth."""
    user, token = world.user(), stable(world)
    total = world.spendable(user, token, world.dollars(60)) // 100 * 100
    if not total:
        return [top_up(world, user)]
    user.debit(token.address, total)
    merchant, fees = world.user().address, world.services.biller.address
    logs = [
        transfer_log(token.address, user.address, fees, total // 10),
        transfer_log(token.address, user.address, merchant, total - total // 10),
    ]
    return [batch(world.services.relayer, world.services.relay_contract, logs)]


def filled_order(world: World) -> Iterable[Draft]:
    """A keeper fills a user's signed order from two makers' wallets: ether comes back at once."""
    user, token = world.user(), stable(world)
    total = world.spendable(user, token, world.dollars(700)) // 100 * 100
    if not total:
        return [top_up(world, user)]
    keeper, makers = world.pick(world.bots), world.users(2)
    user.debit(token.address, total)
    got = WETH.units(total / 10**token.decimals)
    user.credit(At.WETH, got)
    part = total // 100 * world.pick(SHARES)
    logs = [
        transfer_log(token.address, user.address, makers[0].address, part),
        transfer_log(token.address, user.address, makers[1].address, total - part),
        transfer_log(At.WETH, makers[1].address, user.address, got),
    ]
    data = Call.MULTICALL + uint(total) + uint(got)
    return [Draft(keeper, world.bot_contracts[world.bots.index(keeper)], 0, data, logs)]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.20, royalty),
    (0.15, wages),
    (0.10, relayed),
    (0.15, filled_order),
)
"""Share of the traffic, in percent, of each kind of split."""
