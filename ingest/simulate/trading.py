"""Benign trading: swaps, liquidity, and approvals of routers and Permit2."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.codec import contract_address
from ingest.simulate import bytecode
from ingest.simulate.contracts import UNLIMITED, At, Call, Event, addresses, pad, uint
from ingest.simulate.draft import Draft, Log, Pause, Script, Wallet
from ingest.simulate.payments import Action, stable, top_up
from ingest.simulate.pools import Pool
from ingest.simulate.tokens import (
    ZERO,
    Token,
    approve,
    permit2_approve,
    transfer_log,
)
from ingest.simulate.world import World


def pool(world: World) -> Pool:
    """A pool, the popular ones more often."""
    return world.pools[world.rank(len(world.pools))]


def swap(world: World) -> Iterable[Draft]:
    """A user buys a token with ether, or sells some of what it has, after approving the router."""
    user, pair = world.user(), pool(world)
    token = pair.token
    if world.rng.random() < 0.45 and user.tokens.get(token.address):
        return sell(world, user, pair)
    value = world.spendable(user, None, world.dollars(150, 1.3))
    value = min(value, pair.ether // 50)
    if not value:
        return [top_up(world, user)]
    return [pair.buy(user, value, world.deadline())]


def sell(world: World, user: Wallet, pair: Pool) -> Iterable[Draft]:
    """A user sells a part of its tokens; the first time it approves the router before."""
    amount = min(
        int(user.tokens[pair.token.address] * world.rng.uniform(0.2, 1.0)), pair.tokens // 50
    )
    if not amount:
        return [top_up(world, user)]
    drafts = []
    if world.rng.random() < 0.35:
        drafts.append(approve(user, pair.token.address, At.V2_ROUTER))
    return [*drafts, pair.sell(user, amount, world.deadline())]


def approve_router(world: World) -> Iterable[Draft]:
    """A user allows a well-known router, or Permit2, everything or what it will swap."""
    user, token = world.user(), pool(world).token
    spender = world.pick((At.V2_ROUTER, At.PERMIT2, At.PERMIT2, At.UNIVERSAL_ROUTER, At.ONE_INCH))
    amount = UNLIMITED if world.rng.random() < 0.7 else token.units(world.dollars(500))
    return [approve(user, token.address, spender, amount)]


def allow_permit2(world: World) -> Iterable[Draft]:
    """A user lets Permit2 hand out an allowance to the universal router."""
    user, token = world.user(), stable(world)
    return [
        permit2_approve(user, token.address, At.UNIVERSAL_ROUTER, world.now.timestamp + 2_592_000)
    ]


def revoke(world: World) -> Iterable[Draft]:
    """A careful user revokes an approval."""
    return [approve(world.user(), stable(world).address, At.ONE_INCH, 0)]


def universal_swap(world: World) -> Iterable[Draft]:
    """A swap of wrapped ether through the universal router."""
    user, pair = world.user(), pool(world)
    value = min(world.spendable(user, None, world.dollars(200, 1.3)), pair.ether // 50)
    if not value:
        return [top_up(world, user)]
    user.debit(None, value)
    got, logs = pair.buy_logs(At.UNIVERSAL_ROUTER, user.address, value)
    user.credit(pair.token.address, got)
    wrap = Log(At.WETH, (Event.WETH_DEPOSIT, pad(At.UNIVERSAL_ROUTER)), uint(value))
    data = Call.UNIVERSAL_EXECUTE + uint(96) + uint(160) + uint(world.deadline())
    data += uint(value) + uint(got) + pad(user.address)
    return [Draft(user, At.UNIVERSAL_ROUTER, value, data, [wrap, *logs])]


def wrap(world: World) -> Iterable[Draft]:
    """A user wraps ether, or unwraps it again."""
    user = world.user()
    held = user.tokens.get(At.WETH, 0)
    if held and world.rng.random() < 0.5:
        user.debit(At.WETH, held)
        user.credit(None, held)
        log = Log(At.WETH, (Event.WETH_WITHDRAWAL, pad(user.address)), uint(held))
        return [Draft(user, At.WETH, data=Call.WETH_WITHDRAW + uint(held), logs=[log])]
    value = world.spendable(user, None, world.dollars(300, 1.4))
    if not value:
        return [top_up(world, user)]
    user.debit(None, value)
    user.credit(At.WETH, value)
    log = Log(At.WETH, (Event.WETH_DEPOSIT, pad(user.address)), uint(value))
    return [Draft(user, At.WETH, value, Call.WETH_DEPOSIT, [log])]


def provide(world: World) -> Iterable[Draft]:
    """A user adds liquidity and takes a part of it back later: nowhere near all there is."""
    user, pair = world.user(), pool(world)
    value = min(world.spendable(user, None, world.dollars(700, 1.0)), pair.ether // 20)
    if not value:
        return [top_up(world, user)]

    def later() -> Script:
        yield Pause(world.rng.randrange(40, 400))
        yield pair.remove(user, world.rng.uniform(0.3, 1.0), world.deadline())

    if world.rng.random() < 0.6:
        world.start(later(), 1)
    tokens = pair.tokens * value // pair.ether
    user.credit(pair.token.address, tokens)  # bought elsewhere
    return [pair.add(user, value, tokens, world.deadline())]


def deploy_token(world: World, deployer: Wallet, dollars: float) -> tuple[Token, Draft]:
    """Create a token contract as the deployer's next transaction; it gets all of the supply."""
    token = Token(contract_address(deployer.address, deployer.nonce), 18, dollars)
    supply = token.units(1_000_000)
    deployer.credit(token.address, supply)
    owned = (Event.OWNERSHIP_TRANSFERRED, bytes(32), pad(deployer.address))
    return token, Draft(
        deployer,
        None,
        data=bytecode.token(world.rng.randbytes(900)),
        logs=[
            Log(token.address, owned, b""),
            transfer_log(token.address, ZERO, deployer.address, supply),
        ],
        gas_used=1_150_000,
    )


def failed_sale(world: World, seller: Wallet, pair: Pool) -> Draft:
    """``swapExactTokensForETHSupportingFeeOnTransferTokens`` that reverts."""
    amount = max(1, seller.tokens.get(pair.token.address, 0) // 2)
    path = addresses([pair.token.address, At.WETH])
    words = uint(amount) + uint(0) + uint(160) + pad(seller.address) + uint(world.deadline())
    data = Call.SWAP_TAXED_FOR_ETH + words + path
    return Draft(seller, At.V2_ROUTER, 0, data, status=0, gas_used=61_000)


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (11.0, swap),
    (2.5, universal_swap),
    (4.0, approve_router),
    (1.2, allow_permit2),
    (0.4, revoke),
    (1.2, wrap),
    (0.5, provide),
)
"""Share of the traffic, in percent, of each kind of trade."""
