"""Flash loans, and what honest borrowers do with them: arbitrage, liquidation, closing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import GWEI, At, Event, pad, uint
from ingest.simulate.draft import Draft, Log
from ingest.simulate.payments import Action
from ingest.simulate.tokens import USDC, WETH, ZERO, transfer_log
from ingest.simulate.world import World


def borrow(
    world: World, lender: int, receiver: bytes, token: bytes, amount: int, inside: list[Log]
) -> list[Log]:
    """The logs of a loan of that much with what happens inside it; 0 Balancer, 1 Aave, 2 a pool."""
    who = lender % 3
    if who == 0:
        topics = (Event.BALANCER_LOAN, pad(receiver), pad(token))
        out = transfer_log(token, At.BALANCER, receiver, amount)
        back = transfer_log(token, receiver, At.BALANCER, amount)
        return [out, *inside, back, Log(At.BALANCER, topics, uint(amount) + uint(0))]
    if who == 1:
        fee = amount * 5 // 10_000
        vault = world.lending_vault
        event = (Event.AAVE_V3_LOAN, pad(receiver), pad(token), uint(0))
        words = pad(receiver) + uint(amount) + uint(0) + uint(fee)
        return [
            transfer_log(token, vault, receiver, amount),
            *inside,
            transfer_log(token, receiver, vault, amount + fee),
            Log(At.AAVE_V3, event, words),
        ]
    pool = next(each for each in world.deep_pools if each.version == 3)
    fee = amount * 5 // 10_000
    zero_is_token = token == min(pool.token.address, At.WETH)
    sides = (amount, 0, fee, 0) if zero_is_token else (0, amount, 0, fee)
    topics = (Event.V3_FLASH, pad(receiver), pad(receiver))
    return [
        transfer_log(token, pool.address, receiver, amount),
        *inside,
        transfer_log(token, receiver, pool.address, amount + fee),
        Log(pool.address, topics, b"".join(map(uint, sides))),
    ]


def flash_arbitrage(world: World) -> Iterable[Draft]:
    """A bot borrows, goes through six pools, and keeps a few hundred dollars."""
    bot = world.pick(world.bots)
    contract = world.bot_contracts[world.bots.index(bot)]
    loan = WETH.units(world.dollars(400_000, 0.6))
    inside: list[Log] = []
    for pair in world.rng.sample(world.pools, 6):
        bought, first = pair.buy_logs(contract, contract, pair.ether // 5_000)
        _, second = pair.sell_logs(contract, contract, bought)
        inside += first + second
    gain = WETH.units(world.dollars(600, 1.0))
    inside.append(transfer_log(At.WETH, world.pick(world.pools).address, contract, gain))
    logs = borrow(world, world.rng.randrange(3), contract, At.WETH, loan, inside)
    return [Draft(bot, contract, 0, world.rng.randbytes(96), logs, 900_000, tip=4 * GWEI)]


def liquidate(world: World) -> Iterable[Draft]:
    """A bot repays somebody's debt with a loan and gets the collateral at a discount of 5 %."""
    bot = world.pick(world.bots)
    contract = world.bot_contracts[world.bots.index(bot)]
    debt = USDC.units(world.dollars(900_000, 1.0))
    bonus = debt * 5 // 100
    borrower = world.user()
    event = (Event.LIQUIDATION, pad(At.WETH), pad(At.USDC), pad(borrower.address))
    words = uint(debt) + uint(WETH.units(debt / 10**6 * 1.05)) + pad(contract) + uint(0)
    inside = [
        transfer_log(At.USDC, contract, world.lending_vault, debt),
        Log(At.AAVE_V3, event, words),
        transfer_log(At.USDC, world.pools[0].address, contract, debt + bonus),
    ]
    logs = borrow(world, 0, contract, At.USDC, debt, inside)
    return [Draft(bot, contract, 0, world.rng.randbytes(68), logs, 800_000, tip=5 * GWEI)]


def close_position(world: World) -> Iterable[Draft]:
    """A user closes a loan with a loan: the debt is repaid, the collateral comes out."""
    user = world.user()
    closer = world.closer
    debt, own = USDC.units(world.dollars(90_000)), USDC.units(world.dollars(120_000))
    receipt = world.lending_vault[::-1]
    inside = [
        transfer_log(At.USDC, closer, world.lending_vault, debt),
        transfer_log(receipt, user.address, ZERO, debt + own),
        transfer_log(At.USDC, world.lending_vault, closer, debt + own),
        transfer_log(At.USDC, closer, user.address, own),
    ]
    user.credit(At.USDC, own)
    logs = borrow(world, 0, closer, At.USDC, debt, inside)
    return [Draft(user, closer, 0, world.rng.randbytes(132), logs, 700_000)]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.08, flash_arbitrage),
    (0.03, liquidate),
    (0.03, close_position),
)
"""Share of the traffic, in percent, of each kind."""
