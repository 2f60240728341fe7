"""The population of a simulated chain: users, exchanges, pools, collections, and their clock.

Activity is heavy-tailed: who acts next is drawn by Zipf's law over users, tokens and peers, and
amounts are log-normal. Everything is drawn from one seeded generator, in chain order.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ingest.simulate.concentrated import ConcentratedPool
from ingest.simulate.contracts import ETHER, GWEI
from ingest.simulate.draft import Draft, Keyring, Script, Wallet
from ingest.simulate.pools import Pool
from ingest.simulate.tokens import DAI, STABLES, USDC, USDT, WBTC, Token, ether, pay

T = TypeVar("T")

EXCHANGES: Final = ("Northgate", "Bitmarkt", "Harbour", "Coinlane", "Meridian", "Octant")
MOST_USERS: Final = 200_000  # what the population grows to at most: it bounds the memory
FULL_SUPPLY: Final = 10**9 * ETHER


@dataclass(slots=True)
class Moment:
    """The block that is being filled."""

    number: int
    timestamp: int
    base_fee: int


@dataclass(frozen=True, slots=True)
class Exchange:
    """A custodial exchange: hot wallets that pay out, one that hands out gas, and cold storage."""

    name: str
    hot: tuple[Wallet, ...]
    gas: Wallet
    cold: Wallet


@dataclass(slots=True)
class Collection:
    """An NFT collection with the items that were minted and who has them."""

    address: bytes
    floor: int  # price in wei
    owners: list[Wallet] = field(default_factory=list)  # by item

    def item(self, rng: random.Random) -> int:
        """Some item that exists; the collection must have one."""
        return rng.randrange(len(self.owners))


@dataclass(frozen=True, slots=True)
class Services:
    """Keyed accounts of well-known businesses, all labelled."""

    payroll: Wallet
    faucet: Wallet
    relayer: Wallet
    relay_contract: bytes
    biller: Wallet
    billing_contract: bytes
    rollup: Wallet
    rollup_inbox: bytes
    oracle: Wallet
    oracle_contract: bytes
    tornado_relayer: Wallet
    usdt_issuer: Wallet
    usdc_issuer: Wallet


class World:
    """Everybody on the chain, and what they have agreed to do later.

    ``now`` is set by the simulation before a block is filled. ``start`` puts a script on the
    agenda; ``due`` gives those whose time has come.
    """

    def __init__(self, seed: int, users: int) -> None:
        self.rng = random.Random(f"world {seed}")
        self.keys = Keyring(seed)
        self.now = Moment(0, 0, GWEI)
        self._agenda: list[tuple[int, int, Script]] = []
        self._sequence = itertools.count()
        self._users: list[Wallet | None] = [None] * users
        self.exchanges = tuple(self._exchange(name) for name in EXCHANGES)
        self.services = self._services()
        self.pools = self._found_pools()
        self.collections = [
            Collection(self.contract(), ether(self.dollars(150))) for _ in range(12)
        ]
        self.editions = [self.contract() for _ in range(5)]  # ERC-1155
        self.safes = [(self.contract(), self.established()) for _ in range(20)]
        self.bots = [self.established() for _ in range(8)]
        self.bot_contracts = [self.contract() for _ in self.bots]
        self.donation = self.established()
        self.startup_delegate = self.contract()  # EIP-7702 code of a wallet in no list
        self.shop = self.established()
        self.gas_giver = self.established()
        # Sanctioned wallets; the last one was taken off the list before the run.
        self.sanctioned = tuple(self.established() for _ in range(4))
        self.delisted = self.established()
        self.list_keeper = self.established()  # writes to the sanctions oracle
        self.deep_pools = self._found_deep_pools()
        self.lending_vault, self.closer = self.contract(), self.contract()
        self.vault, self.savings, self.lottery = (self.contract() for _ in range(3))
        self.deposits: dict[bytes, list[tuple[Wallet, int]]] = {}  # by fund
        # Thieves whom lists name; the last one was cleared before the run.
        self.thieves = tuple(self.established() for _ in range(3))
        self.cleared = self.established()
        # Those who deploy the first contracts of attack; nothing else draws on their keys.
        attackers = Keyring(seed + 2**32)
        self.exploiters = tuple(attackers.wallet(20 * ETHER) for _ in range(3))
        # Those who submit what others signed, in no list; nothing else draws on their keys either.
        relays = Keyring(seed + 2**33)
        self.facilitator, self.till, self.new_relayer, self.filler = (
            relays.wallet(20 * ETHER) for _ in range(4)
        )
        self.merchants = tuple(relays.wallet() for _ in range(5))
        self.regulars: list[Wallet] = []  # customers of the till

    # --- who ------------------------------------------------------------------------------------

    def established(self) -> Wallet:
        """A wallet with a long past and plenty of ether."""
        wallet = self.keys.wallet(ether(self.dollars(2_000_000)))
        wallet.nonce = self.rng.randrange(500, 50_000)
        return wallet

    def fresh(self) -> Wallet:
        """A wallet that has never been seen."""
        return self.keys.wallet()

    def user(self) -> Wallet:
        """Some user: by Zipf's law a few act very often."""
        index = self.rank(len(self._users), 12.0)
        wallet = self._users[index]
        if wallet is None:
            wallet = self.keys.wallet(ether(self.dollars(3_000, 1.6)))
            wallet.nonce = int(10 * len(self._users) / (index + 10) * self.rng.random())
            self._users[index] = wallet
        return wallet

    def users(self, count: int) -> list[Wallet]:
        """So many different users who are not the busiest."""
        found: dict[bytes, Wallet] = {}
        while len(found) < count:
            index = self.rng.randrange(len(self._users) // 20, len(self._users))
            wallet = self._users[index]
            if wallet is None:
                wallet = self.keys.wallet(ether(self.dollars(4_000, 1.4)))
                wallet.nonce = self.rng.randrange(3, 60)
                self._users[index] = wallet
            found[wallet.address] = wallet
        return list(found.values())

    def join(self, wallet: Wallet) -> None:
        """A newcomer is a user from now on, with nothing but what is sent to it."""
        wallet.tokens.update(dict.fromkeys((t.address for t in STABLES), 0))
        if len(self._users) < MOST_USERS:
            self._users.append(wallet)
            index = self.rng.randrange(len(self._users))
            self._users[-1], self._users[index] = self._users[index], self._users[-1]
        else:
            self._users[self.rng.randrange(len(self._users))] = wallet

    def peer(self, user: Wallet) -> bytes:
        """Whom the user pays: mostly those it has paid before."""
        if user.peers and self.rng.random() < 0.7:
            return user.peers[self.rank(len(user.peers))]
        known = self.rng.random() < 0.6
        target = self.user().address if known else self.rng.randbytes(20)
        if len(user.peers) < 16:
            user.peers.append(target)
        return target

    def contract(self) -> bytes:
        """The address of some contract that was there before."""
        return self.rng.randbytes(20)

    def exchange(self) -> Exchange:
        """Some exchange, the big ones more often."""
        return self.exchanges[self.rank(len(self.exchanges))]

    def deposit_address(self, user: Wallet) -> Wallet:
        """The user's own deposit address at its exchange."""
        if user.deposit is None:
            user.deposit = self.keys.wallet()
            user.exchange = self.rank(len(self.exchanges))
        return user.deposit

    def withdrawal(self, target: Wallet, value: int) -> Draft:
        """An exchange pays out ether: how most wallets begin."""
        target.credit(None, value)
        return pay(self.pick(self.exchange().hot), target.address, value, tip=2 * GWEI)

    # --- how much -------------------------------------------------------------------------------

    def dollars(self, median: float, sigma: float = 1.3) -> float:
        """A log-normal amount in dollars."""
        return self.rng.lognormvariate(math.log(median), sigma)

    def holding(self, user: Wallet, token: Token) -> int:
        """What the user has of a token; drawn when it is first asked for."""
        amount = user.tokens.get(token.address)
        if amount is None:
            amount = user.tokens[token.address] = token.units(self.dollars(1_500, 1.6))
        return amount

    def spendable(self, user: Wallet, token: Token | None, dollars: float) -> int:
        """An amount worth about ``dollars``, at most most of what the user has; 0: too little."""
        if token is None:
            have, want, least = user.balance * 3 // 5, ether(dollars), ETHER // 500
        else:
            have, want = self.holding(user, token), token.units(dollars)
            least = token.units(2)
        amount = min(have, want)
        if amount < least:
            return 0
        if token is not None and amount == want and self.rng.random() < 0.4:
            amount = max(least, round(amount, -token.decimals))  # people like whole numbers
        return amount

    # --- when -----------------------------------------------------------------------------------

    def start(self, script: Script, blocks: int = 0) -> None:
        """Begin a script that many blocks from now."""
        self._push(self.now.number + blocks, script)

    def due(self) -> list[Script]:
        """The scripts whose time has come, in the order they were put on the agenda."""
        ready = []
        while self._agenda and self._agenda[0][0] <= self.now.number:
            ready.append(heapq.heappop(self._agenda)[2])
        return ready

    def _push(self, number: int, script: Script) -> None:
        heapq.heappush(self._agenda, (number, next(self._sequence), script))

    def deadline(self) -> int:
        """What wallets put as the deadline of a swap."""
        return self.now.timestamp + 1_200

    # --- chance ---------------------------------------------------------------------------------

    def rank(self, count: int, shift: float = 1.0) -> int:
        """A rank below ``count`` by the Zipf-Mandelbrot law (exponent 1, that shift)."""
        spread = ((count + shift) / shift) ** self.rng.random()
        return min(count - 1, int(shift * (spread - 1.0)))

    def pick(self, items: Sequence[T]) -> T:
        """One of the items, each as likely."""
        return items[int(self.rng.random() * len(items))]

    # --- foundation -----------------------------------------------------------------------------

    def _exchange(self, name: str) -> Exchange:
        hot = tuple(self.established() for _ in range(2))
        for wallet in hot:
            wallet.balance = 10**6 * ETHER
        gas = self.established()
        gas.balance = 10**5 * ETHER
        return Exchange(name, hot, gas, self.established())

    def _services(self) -> Services:
        return Services(
            payroll=self.established(),
            faucet=self.established(),
            relayer=self.established(),
            relay_contract=self.contract(),
            biller=self.established(),
            billing_contract=self.contract(),
            rollup=self.established(),
            rollup_inbox=self.contract(),
            oracle=self.established(),
            oracle_contract=self.contract(),
            tornado_relayer=self.established(),
            usdt_issuer=self.established(),
            usdc_issuer=self.established(),
        )

    def _found_pools(self) -> list[Pool]:
        tokens = [(token, 40_000_000.0) for token in (USDC, USDT, DAI, WBTC)]
        for _ in range(24):
            price = self.dollars(0.01, 3.0)
            tokens.append((Token(self.contract(), 18, price), self.dollars(400_000, 1.2)))
        return [
            Pool(
                self.contract(),
                token,
                ether(depth),
                token.units(depth),
                {ZERO_PROVIDER: ether(depth)},
                ether(depth),
            )
            for token, depth in tokens
        ]

    def _found_deep_pools(self) -> list[ConcentratedPool]:
        """V3 and V4 pools: a deep one of USDC, and three of small tokens, of either version."""
        pools = []
        for version in (3, 4):
            tokens = [(USDC, 60_000_000.0)]
            for _ in range(3):
                price = self.dollars(0.02, 2.5)
                tokens.append((Token(self.contract(), 18, price), self.dollars(300_000, 1.0)))
            for token, depth in tokens:
                pools.append(
                    ConcentratedPool(
                        self.contract(), token, ether(depth), token.units(depth), version=version
                    )
                )
        return pools


ZERO_PROVIDER: Final = bytes(20)  # liquidity from before the run
