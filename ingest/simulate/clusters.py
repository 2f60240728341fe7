"""Many wallets that belong together, or seem to, for innocent reasons.

Look-alikes of farms (a workshop's students), of stolen keys (somebody moves house, or into a Safe),
of phishing wallets (a presale, a shop) and of spam (an airdrop of a real token, gas for newcomers).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ingest.simulate.contracts import ETHER, Call, Event, pad, uint
from ingest.simulate.draft import Draft, Log, Pause, Script, Wallet
from ingest.simulate.payments import Action, empty, to_exchange, top_up
from ingest.simulate.tokens import USDC, approve, ether, pay, transfer, transfer_log
from ingest.simulate.world import World


def workshop(world: World) -> Iterable[Draft]:
    """A teacher gives 24 students the same for gas, and each does with it what it likes."""
    teacher = world.user()
    each = ETHER // 100
    if teacher.balance < 30 * each:
        return [top_up(world, teacher)]
    students = [world.fresh() for _ in range(24)]

    def script() -> Script:
        for student in students:
            student.credit(None, each)
            yield pay(teacher, student.address, each)
            if world.rng.random() < 0.3:
                yield Pause(1)
        for student in students:
            yield Pause(world.rng.randrange(1, 12))
            for _ in range(world.rng.randrange(1, 5)):
                yield _something(world, student)
            world.join(student)

    world.start(script(), 1)
    return []


def _something(world: World, user: Wallet) -> Draft:
    """What somebody does who tries things out."""
    choice = world.rng.random()
    if choice < 0.35:
        return pay(user, world.user().address, ETHER // world.rng.randrange(2_000, 9_000))
    if choice < 0.6:
        return approve(user, world.pick(world.pools).token.address, world.contract(), ETHER)
    data = world.rng.randbytes(4) + uint(world.rng.randrange(10**6))
    return Draft(user, world.pick(world.collections).address[::-1], 0, data)


def move_house(world: World) -> Iterable[Draft]:
    """One person's four old wallets, which have paid one another before, move into a new one.

    Every other time the new one is a Safe, made for it.
    """
    wallets = world.users(4)
    safe = world.contract() if world.rng.random() < 0.5 else None
    target = world.fresh()

    def script() -> Script:
        for wallet, other in zip(wallets, [*wallets[1:], wallets[0]], strict=True):
            yield pay(wallet, other.address, max(1, wallet.balance // 10))
            yield Pause(world.rng.randrange(3, 40))
        home = target.address if safe is None else safe
        if safe is None:
            yield pay(wallets[0], home, max(1, wallets[0].balance // 50))
        else:
            logs = [Log(safe, (Event.SAFE_SETUP, pad(wallets[0].address)), uint(1))]
            yield Draft(wallets[0], world.contract(), data=Call.MULTICALL + pad(safe), logs=logs)
        yield Pause(world.rng.randrange(3, 20))
        for wallet in wallets:
            if held := wallet.tokens.get(USDC.address):
                yield transfer(wallet, USDC.address, home, held)
            if draft := empty(world, wallet, home):
                yield draft
            yield Pause(world.rng.randrange(1, 5))

    world.start(script(), 1)
    return []


def presale(world: World) -> Iterable[Draft]:
    """Strangers buy a token before it is there; the team keeps the money and sends the tokens."""
    team, token = world.fresh(), world.contract()
    buyers = world.users(world.rng.randrange(12, 25))

    def script() -> Script:
        for buyer in buyers:
            yield Pause(world.rng.randrange(1, 12))
            value = ether(world.dollars(300, 0.6))
            buyer.balance = max(buyer.balance, 2 * value)
            team.credit(None, value)
            yield pay(buyer, team.address, value)
        yield Pause(world.rng.randrange(20, 60))
        logs = [transfer_log(token, team.address, b.address, 10**21) for b in buyers]
        yield Draft(team, token, 0, Call.MULTICALL + b"".join(log.topics[2] for log in logs), logs)

    world.start(script(), 1)
    return []


def shop(world: World) -> Iterable[Draft]:
    """A shop of long standing takes payments of strangers, and cashes out when it has enough."""
    customer = world.user()
    value = world.spendable(customer, None, world.dollars(60, 0.8))
    if not value:
        return [top_up(world, customer)]
    shop = world.shop
    shop.tokens[b"till"] = shop.tokens.get(b"till", 0) + value
    drafts = [pay(customer, shop.address, value)]
    if shop.tokens[b"till"] > ether(1_500):
        drafts.append(to_exchange(world, shop, None, shop.tokens.pop(b"till")))
    return drafts


def airdrop(world: World) -> Iterable[Draft]:
    """A project pushes its real token to a hundred holders and more."""
    sender, token = world.established(), world.pick(world.pools[4:]).token
    holders = [world.user().address for _ in range(world.rng.randrange(110, 160))]

    def script() -> Script:
        for start in range(0, len(holders), 40):
            part = holders[start : start + 40]
            logs = [transfer_log(token.address, sender.address, h, token.units(40)) for h in part]
            words = b"".join(log.topics[2] for log in logs)
            yield Draft(sender, world.contract(), 0, Call.MULTICALL + words, logs)
            yield Pause(2)

    world.start(script(), 1)
    return []


def drip(world: World) -> Iterable[Draft]:
    """A game gives newcomers gas for a few moves: more than dust, and always the same."""
    newcomer = world.fresh()
    world.join(newcomer)
    newcomer.credit(None, ETHER // 2_000)
    return [pay(world.gas_giver, newcomer.address, ETHER // 2_000)]


ACTIONS: Final[tuple[tuple[float, Action], ...]] = (
    (0.012, workshop),
    (0.06, move_house),
    (0.012, presale),
    (0.4, shop),
    (0.006, airdrop),
    (0.15, drip),
)
"""Share of the traffic, in percent, of each."""
