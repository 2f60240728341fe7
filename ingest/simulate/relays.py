"""Benign relays: others submit what users signed, as services, for a merchant, or to fill an order.

They are what a drainer's signed transfers look like; where the tokens go, how much they are and
what comes back is the difference.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import At, Call, pad, uint
from ingest.simulate.draft import Draft, Wallet
from ingest.simulate.payments import Action, top_up
from ingest.simulate.signatures import authorized_transfer, permit2_call
from ingest.simulate.tokens import USDC, WETH, approval_log, transfer_log
from ingest.simulate.world import World

MOST_REGULARS: Final = 60


def gasless(world: World) -> Iterable[Draft]:
    """A relayer submits a user's permit and moves the tokens into the contract the user uses."""
    user = world.user()
    amount = world.spendable(user, USDC, world.dollars(80))
    if not amount:
        return [top_up(world, user)]
    user.debit(At.USDC, amount)
    contract = world.services.relay_contract
    logs = [
        approval_log(At.USDC, user.address, contract, amount),
        transfer_log(At.USDC, user.address, contract, amount),
    ]
    data = Call.MULTICALL + pad(user.address) + uint(amount) + world.rng.randbytes(64)
    return [Draft(world.services.relayer, contract, data=data, logs=logs)]


def _authorize(
    world: World, user: Wallet, submitter: Wallet, dollars: float, target: bytes | None = None
) -> Iterable[Draft]:
    amount = world.spendable(user, USDC, dollars)
    if not amount:
        return [top_up(world, user)]
    user.debit(At.USDC, amount)
    payee = target or world.peer(user)
    signed, until = world.rng.randbytes(96), world.deadline()
    return [authorized_transfer(submitter, user.address, payee, amount, until, signed)]


def machine_payment(world: World) -> Iterable[Draft]:
    """A facilitator submits what clients of an API signed (x402): a few dollars, five merchants."""
    merchant = world.pick(world.merchants)
    return _authorize(
        world, world.user(), world.facilitator, world.dollars(6, 0.8), merchant.address
    )


def till(world: World) -> Iterable[Draft]:
    """A shop submits its customers' signed payments itself, to one wallet; many come again."""
    if world.regulars and world.rng.random() < 0.5:
        customer = world.pick(world.regulars)
    else:
        customer = world.user()
        if len(world.regulars) < MOST_REGULARS:
            world.regulars.append(customer)
    return _authorize(world, customer, world.till, world.dollars(40, 0.9), world.till.address)


def gasless_send(world: World) -> Iterable[Draft]:
    """A new relayer, in no list, pays the gas for what users send to whom they like."""
    return _authorize(world, world.user(), world.new_relayer, world.dollars(250))


def filled_permit(world: World) -> Iterable[Draft]:
    """A filler takes what a user signed for its contract and pays in wrapped ether at once."""
    user = world.user()
    amount = world.spendable(user, USDC, world.dollars(700))
    if not amount:
        return [top_up(world, user)]
    user.debit(At.USDC, amount)
    got = WETH.units(amount / 10**6)
    user.credit(At.WETH, got)
    filler, contract = world.filler, world.bot_contracts[0][::-1]
    signed = world.rng.randbytes(97)
    inner = permit2_call(At.USDC, user.address, filler.address, amount, world.deadline(), signed)
    logs = [
        transfer_log(At.USDC, user.address, filler.address, amount),
        transfer_log(At.WETH, filler.address, user.address, got),
    ]
    return [Draft(filler, contract, data=Call.MULTICALL + uint(32) + inner, logs=logs)]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.4, gasless),
    (0.3, machine_payment),
    (0.1, till),
    (0.2, gasless_send),
    (0.15, filled_permit),
)
"""Share of the traffic, in percent, of each kind of relay."""
