"""Benign payments: between people, to and from exchanges, payroll, subscriptions, treasuries."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from ingest.simulate.contracts import (
    ETHER,
    GWEI,
    At,
    Call,
    Event,
    address,
    pad,
    tail,
    uint,
)
from ingest.simulate.draft import Draft, Log, Pause, Script, Wallet
from ingest.simulate.tokens import (
    STABLES,
    USDC,
    USDT,
    Token,
    approve,
    disperse_ether,
    disperse_token,
    ether,
    pay,
    transfer,
    transfer_log,
)
from ingest.simulate.world import World

Action = Callable[[World], Iterable[Draft]]


def stable(world: World) -> Token:
    """A stablecoin, the popular ones more often."""
    return STABLES[world.rank(len(STABLES))]


def top_up(world: World, user: Wallet) -> Draft:
    """An exchange pays out to a user who is short, as ether or as a stablecoin."""
    amount = world.dollars(600, 1.5)
    if world.rng.random() < 0.55:
        return world.withdrawal(user, ether(amount))
    token = stable(world)
    units = token.units(amount)
    hot = world.pick(world.exchange().hot)
    world.holding(user, token)
    user.credit(token.address, units)
    hot.tokens[token.address] = 10**30
    return transfer(hot, token.address, user.address, units)


def pay_ether(world: World) -> Iterable[Draft]:
    """A user pays a peer in ether."""
    user = world.user()
    value = world.spendable(user, None, world.dollars(120, 1.7))
    if not value:
        return [top_up(world, user)]
    return [pay(user, world.peer(user), value, type=0 if world.rng.random() < 0.25 else 2)]


def pay_stable(world: World) -> Iterable[Draft]:
    """A user pays a peer in a stablecoin."""
    user = world.user()
    token = stable(world)
    amount = world.spendable(user, token, world.dollars(250, 1.7))
    if not amount:
        return [top_up(world, user)]
    return [transfer(user, token.address, world.peer(user), amount)]


def withdraw(world: World) -> Iterable[Draft]:
    """An exchange pays out to a user, one time in seven to somebody new."""
    if world.rng.random() < 0.15:
        newcomer = world.fresh()
        world.join(newcomer)
        return [world.withdrawal(newcomer, ether(world.dollars(400, 1.4)))]
    return [top_up(world, world.user())]


def sweep_price(world: World) -> int:
    """A legacy gas price that stays above the base fee for some blocks."""
    return world.now.base_fee * 3 // 2 + GWEI // 10


def empty(world: World, wallet: Wallet, target: bytes) -> Draft | None:
    """Send all ether of a wallet, to the last wei after the fee; None if the fee eats it."""
    price = sweep_price(world)
    value = wallet.balance - 21_000 * price
    if value <= 0:
        return None
    return pay(wallet, target, value, type=0, gas_price=price)


def ether_sweep(world: World, deposit: Wallet, exchange: int) -> Script:
    """The exchange collects a deposit of ether after its confirmations."""
    yield Pause(world.rng.randrange(8, 60))
    hot = world.pick(world.exchanges[exchange].hot)
    draft = empty(world, deposit, hot.address)
    if draft:
        yield draft


def token_sweep(world: World, deposit: Wallet, exchange: int, token: Token) -> Script:
    """The exchange sends gas to a deposit address, then collects the tokens."""
    yield Pause(world.rng.randrange(8, 60))
    venue = world.exchanges[exchange]
    if deposit.balance < ETHER // 500:
        value = ETHER // 250 + world.rng.randrange(GWEI)
        deposit.credit(None, value)
        yield pay(venue.gas, deposit.address, value)
        yield Pause(world.rng.randrange(1, 4))
    amount = deposit.tokens.get(token.address, 0)
    if amount:
        yield transfer(deposit, token.address, world.pick(venue.hot).address, amount)


def to_exchange(world: World, user: Wallet, token: Token | None, amount: int) -> Draft:
    """A user pays into its exchange; the sweep is put on the agenda."""
    deposit = world.deposit_address(user)
    deposit.credit(token.address if token else None, amount)
    if token is None:
        world.start(ether_sweep(world, deposit, user.exchange), 1)
        return pay(user, deposit.address, amount)
    world.start(token_sweep(world, deposit, user.exchange, token), 1)
    return transfer(user, token.address, deposit.address, amount)


def deposit(world: World) -> Iterable[Draft]:
    """A user pays into its exchange."""
    user = world.user()
    token = None if world.rng.random() < 0.5 else stable(world)
    amount = world.spendable(user, token, world.dollars(800, 1.6))
    if not amount:
        return [top_up(world, user)]
    return [to_exchange(world, user, token, amount)]


def payroll(world: World) -> Iterable[Draft]:
    """A company pays its people through the disperse contract, in tokens or in ether."""
    payer = world.services.payroll
    people = [world.user().address for _ in range(world.rng.randrange(5, 40))]
    if world.rng.random() < 0.4:
        return [disperse_ether(payer, people, [ether(world.dollars(900, 0.4)) for _ in people])]
    amounts = [USDC.units(world.dollars(2_500, 0.4)) for _ in people]
    return [disperse_token(payer, At.USDC, people, amounts)]


def faucet(world: World) -> Iterable[Draft]:
    """A faucet gives everybody the same: one funder, many children who do different things."""
    target = world.fresh() if world.rng.random() < 0.3 else world.user()
    if not target.nonce:
        world.join(target)
    target.credit(None, ETHER // 200)
    return [pay(world.services.faucet, target.address, ETHER // 200)]


def donate(world: World) -> Iterable[Draft]:
    """Many give to one wallet that spends little: fan-in without cash-out."""
    user = world.user()
    value = world.spendable(user, None, world.dollars(40, 1.0))
    if not value:
        return [top_up(world, user)]
    return [pay(user, world.donation.address, value)]


def subscribe(world: World) -> Iterable[Draft]:
    """A user allows a biller a limited amount, and is billed later by its contract."""
    user = world.user()
    fee = USDC.units(10 * world.rng.randrange(1, 6))
    contract = world.services.billing_contract

    def bills() -> Script:
        for _ in range(3):
            yield Pause(world.rng.randrange(200, 500))
            if world.holding(user, USDC) < fee:
                return
            user.debit(At.USDC, fee)
            logs = [transfer_log(At.USDC, user.address, contract, fee)]
            data = Call.PULL + pad(user.address) + uint(fee)
            yield Draft(world.services.biller, contract, data=data, logs=logs)

    world.start(bills(), 1)
    return [approve(user, At.USDC, contract, 12 * fee)]


def safe_call(
    owner: Wallet, safe: bytes, target: bytes, operation: int, inner: bytes, logs: list[Log]
) -> Draft:
    """``execTransaction`` of a Safe; operation 0 calls, 1 delegates to ``target``."""
    words = pad(target) + uint(0) + uint(320) + uint(operation) + bytes(160)
    payload = tail(inner)
    words += uint(320 + len(payload)) + payload + tail(owner.address * 3 + b"\x01" * 5)
    success = Log(safe, (Event.SAFE_SUCCESS,), pad(owner.address) + uint(0))
    return Draft(owner, safe, data=Call.EXEC_TRANSACTION + words, logs=[*logs, success])


def treasury(world: World) -> Iterable[Draft]:
    """A Safe pays from its treasury, or several payees at once through MultiSend."""
    safe, owner = world.pick(world.safes)
    payees = [world.user().address for _ in range(1 if world.rng.random() < 0.6 else 4)]
    amounts = [USDT.units(world.dollars(4_000)) for _ in payees]
    logs = [
        transfer_log(At.USDT, safe, payee, amount)
        for payee, amount in zip(payees, amounts, strict=True)
    ]
    calls = [
        Call.TRANSFER + pad(payee) + uint(amount)
        for payee, amount in zip(payees, amounts, strict=True)
    ]
    if len(payees) == 1:
        return [safe_call(owner, safe, At.USDT, 0, calls[0], logs)]
    packed = b"".join(b"\0" + At.USDT + uint(0) + uint(len(call)) + call for call in calls)
    inner = Call.MULTI_SEND + uint(32) + tail(packed)
    return [safe_call(owner, safe, At.MULTI_SEND, 1, inner, logs)]


def consolidate(world: World) -> Iterable[Draft]:
    """One person's wallets, all funded by the first of them, are emptied into a new one."""
    owner = world.user()
    value = world.spendable(owner, None, world.dollars(900, 0.8))
    if value < ETHER // 10:
        return [top_up(world, owner)]
    wallets = [world.fresh() for _ in range(4)]
    target = world.fresh()

    def script() -> Script:
        for wallet in wallets:
            wallet.credit(None, value // 5)
            yield pay(owner, wallet.address, value // 5)
        yield Pause(world.rng.randrange(20, 120))
        for wallet in wallets:
            draft = empty(world, wallet, target.address)
            if draft:
                target.credit(None, draft.value)
                yield draft
        world.join(target)

    world.start(script(), 1)
    return []


def vanity(world: World) -> Iterable[Draft]:
    """One owner's vanity addresses look alike; the owner gives each gas, tests it, then uses it."""
    owner = world.user()
    if world.holding(owner, USDT) < USDT.units(300):
        return [top_up(world, owner)]
    mine = address("0x1188") + world.rng.randbytes(16) + address("0x8811")
    second = mine[:2] + world.rng.randbytes(16) + mine[-2:]

    def script() -> Script:
        for target in (mine, second):
            yield pay(owner, target, ETHER // 500)
            yield transfer(owner, At.USDT, target, USDT.units(0.01))
            yield Pause(world.rng.randrange(2, 9))
            yield transfer(owner, At.USDT, target, USDT.units(100))
            yield Pause(world.rng.randrange(20, 90))

    world.start(script(), 1)
    return []


def bridge(world: World) -> Iterable[Draft]:
    """A user sends ether to a rollup through its portal."""
    user = world.user()
    value = world.spendable(user, None, world.dollars(300, 1.4))
    if not value:
        return [top_up(world, user)]
    user.debit(None, value)
    words = pad(user.address) + uint(value) + uint(100_000) + uint(0) + uint(160) + uint(0)
    topics = (Event.BRIDGE_DEPOSIT, pad(user.address), pad(user.address), uint(0))
    payload = uint(32) + tail(uint(value) * 2 + b"\0" * 9)
    logs = [Log(At.BASE_PORTAL, topics, payload)]
    return [Draft(user, At.BASE_PORTAL, value, Call.BRIDGE_DEPOSIT + words, logs)]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (20.0, pay_ether),
    (24.0, pay_stable),
    (10.0, withdraw),
    (8.0, deposit),
    (0.3, payroll),
    (0.5, faucet),
    (0.4, donate),
    (0.25, subscribe),
    (0.7, treasury),
    (0.05, consolidate),
    (0.03, vanity),
    (1.0, bridge),
)
"""Share of the traffic, in percent, of each kind of payment."""
