"""What is remembered of new tokens and their first pools, and what happened to them in a batch."""

from __future__ import annotations

from collections.abc import Iterator, KeysView
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np

from chainwarden.schema import ZERO_ADDRESS, FlowKind
from detect.known.pools import OWNERSHIP_TRANSFERRED, POOL_MANAGERS, SALES, SWITCHES
from detect.known.prices import Prices
from detect.known.tokens import VALUE_TOKENS
from detect.rules.columns import Columns, within_transaction
from detect.rules.pool_events import Liquidity, NewPool, PoolEvents
from detect.rules.router_calls import token_sold

INSIDERS: Final = 8  # wallets that a token was first minted to
PREFIX: Final = 8  # bytes of an address by which buyers and sellers are told apart
_LAST: Final = (2, 0)  # behind all that a transaction logs: what comes of it is known by then
_NUMBERS: Final = {token: number for number, token in enumerate(VALUE_TOKENS, start=1)}


class Token(NamedTuple):
    """A contract that was created in view, or got its first pool there.

    ``insiders`` are the first receivers of its supply, ``failed`` the (shortened) senders whose
    sales failed: both end to end. ``supply`` is what was minted in view, 0 if its creation was not.
    """

    deployer: bytes
    deployer_hash: int
    created: int
    supply: float = 0.0
    renounced: bool = False
    insiders: bytes = b""
    pool: bytes = b""
    failed: bytes = b""
    failures: int = 0
    sales: int = 0


class Launch(NamedTuple):
    """A pool of a token with a listed coin, since its creation. Amounts are in units of the coin.

    ``side`` is the token's side of the pair; ``coin`` 20 zero bytes is the chain's own.
    ``paid_in`` and ``paid_out`` are what outsiders paid and got, ``tax`` a running mean over
    ``taxed`` sales.
    ``told`` holds a bit for each kind of finding that was made. ``holder`` bought last.
    """

    token: bytes
    coin: bytes
    side: int
    version: int
    created: int
    adder: bytes = b""
    adder_hash: int = 0
    liquidity: float = 0.0
    reserve: float = 0.0
    token_reserve: float = 0.0
    peak: float = 0.0
    paid_in: float = 0.0
    paid_out: float = 0.0
    first_buy: int = 0
    buyers: bytes = b""
    sellers: bytes = b""
    tax: float = 0.0
    taxed: int = 0
    window: int = 0
    window_reserve: float = 0.0
    window_sold: float = 0.0
    told: int = 0
    holder: bytes = b""

    def dollars(self, prices: Prices, amount: float) -> float:
        """What an amount of the coin is worth."""
        return prices.worth(None if self.coin == ZERO_ADDRESS else self.coin, amount)

    def loss(self, prices: Prices) -> float:
        """Dollars that outsiders have put in and not got out."""
        return self.dollars(prices, max(0.0, self.paid_in - self.paid_out))


def with_member(members: bytes, one: bytes, most: int) -> bytes:
    """The end-to-end list with one more member, unless it is there or the list is full."""
    size = len(one)
    known = len(members) // size
    if known >= most or any(members[n * size : n * size + size] == one for n in range(known)):
        return members
    return members + one


def is_insider(token: Token, pool: Launch, wallet: bytes, funder: int) -> bool:
    """Whether a wallet deployed the token, gave the first liquidity, or belongs to who did.

    ``funder`` is the keyed hash of who first paid it coins.
    """
    if wallet in (token.deployer, pool.adder):
        return True
    if funder and funder in (token.deployer_hash, pool.adder_hash):
        return True
    insiders = token.insiders
    return any(insiders[n : n + 20] == wallet for n in range(0, len(insiders), 20))


class Kind(IntEnum):
    """What a step is about; of two at one place the lower comes first."""

    CREATED = 0
    MINTED = 1
    POOL = 2
    LIQUIDITY = 3
    TRADE = 4
    OWNER = 5
    SWITCH = 6
    FAILED_SALE = 7
    MOVED = 8


class Step(NamedTuple):
    """Something that happened: where, what, and the row or event that tells."""

    block_row: int
    tx_index: int
    within: tuple[int, int]
    kind: Kind
    row: int
    tx: int
    event: NewPool | Liquidity | bytes | None = None


class Steps:
    """What happened in a batch to tokens and pools that are, or may become, remembered."""

    def __init__(self, events: PoolEvents, tokens: KeysView[bytes], pools: KeysView[bytes]) -> None:
        self._events = events
        self._columns = events.columns
        self._created = self._creations()
        self._tokens = tokens
        self._new_tokens = {token for _, token in self._created}
        self._new_tokens |= {side for new in events.created for side in (new.token0, new.token1)}
        self._pools = pools
        self._new_pools = {new.pool for new in events.created}

    def _is_token(self, address: bytes | None) -> bool:
        return address in self._tokens or address in self._new_tokens

    def _is_pool(self, name: bytes) -> bool:
        return name in self._pools or name in self._new_pools

    def sorted(self, movers: set[bytes]) -> list[Step]:
        """The steps in chain order; ``movers`` are wallets whose payments matter."""
        pullers = {self.sender(event.tx) for event in self._liquidity() if _leaves(event)}
        found = [
            *(self._step(tx, (0, 0), Kind.CREATED, tx, token) for tx, token in self._created),
            *self._mints(),
            *(
                self._step(new.tx, self._log_place(new.log), Kind.POOL, new.log, new)
                for new in self._events.created
            ),
            *(
                self._step(event.tx, self._log_place(event.log), Kind.LIQUIDITY, event.log, event)
                for event in self._liquidity()
            ),
            *self._trades(),
            *self._owners(),
            *self._calls(),
            *self._payments(movers | pullers),
        ]
        return sorted(found, key=lambda step: step[:5])

    def sender(self, tx: int) -> bytes:
        """Who signed a transaction."""
        signer: bytes = self._columns.cells("transactions")["from_address"][tx]
        return signer

    def _step(
        self,
        tx: int,
        within: tuple[int, int],
        kind: Kind,
        row: int,
        event: NewPool | Liquidity | bytes | None = None,
    ) -> Step:
        columns = self._columns
        block = columns.row_of_block(int(columns.tx_block[tx]))
        return Step(block, int(columns.tx_index[tx]), within, kind, row, tx, event)

    def _log_place(self, log: int) -> tuple[int, int]:
        return within_transaction(int(self._columns.log_ordinal[log]))

    def _creations(self) -> list[tuple[int, bytes]]:
        creations, columns = self._columns.batch.creations, self._columns
        if not creations.num_rows:
            return []
        contracts = columns.cells("creations")["contract_address"]
        return [
            (tx, contracts[row])
            for row, tx in enumerate(columns.creation_tx.tolist())
            if tx >= 0 and columns.tx_status[tx] != 0
        ]

    def _mints(self) -> Iterator[Step]:
        columns = self._columns
        if not columns.flow_count:
            return
        mints = (columns.flow_kind == FlowKind.ERC20) & columns.flow_moved
        rows = np.flatnonzero(mints & columns.flow_minted)
        tokens = columns.cells("flows")["token_address"]
        for row in rows.tolist():
            if self._is_token(tokens[row]):
                within = within_transaction(int(columns.flow_ordinal[row]))
                yield self._step(int(columns.flow_tx[row]), within, Kind.MINTED, row)

    def _liquidity(self) -> list[Liquidity]:
        return [event for event in self._events.liquidity if self._is_pool(event.pool)]

    def _trades(self) -> Iterator[Step]:
        events = self._events
        wanted = np.array([self._is_pool(pool) for pool in events.pools], np.bool_)
        trades = events.trades
        for row in np.flatnonzero(wanted[trades.pool]).tolist():
            place = self._log_place(int(trades.log[row]))
            yield self._step(int(trades.tx[row]), place, Kind.TRADE, row)

    def _owners(self) -> Iterator[Step]:
        columns, logs = self._columns, self._columns.cells("logs")
        for row in columns.logs_with((OWNERSHIP_TRANSFERRED,)).tolist():
            owner = logs["topic2"][row]
            if owner is not None and self._is_token(logs["address"][row]):
                tx = self._events.log_tx(row)
                yield self._step(tx, self._log_place(row), Kind.OWNER, row, owner[12:])

    def _calls(self) -> Iterator[Step]:
        columns, transactions = self._columns, self._columns.cells("transactions")
        if not columns.flow_count:
            return  # an orphan out of the lake, which keeps no flows of those
        for row in columns.transactions_with(SWITCHES).tolist():
            token = transactions["to_address"][row]
            if columns.tx_status[row] == 1 and self._is_token(token):
                yield self._step(row, _LAST, Kind.SWITCH, row, token)
        sales = columns.transactions_with(SALES)
        for row in sales[columns.tx_status[sales] == 0].tolist():
            token = token_sold(transactions["input"][row])
            if token is not None and self._is_token(token):
                yield self._step(row, _LAST, Kind.FAILED_SALE, row, token)

    def _payments(self, movers: set[bytes]) -> Iterator[Step]:
        columns = self._columns
        if not movers or not columns.flow_count:
            return
        words = np.frombuffer(b"".join(sorted(movers)), ">u4").astype(np.uint32).reshape(-1, 5)
        likely = np.isin(columns.flow_from[:, 4], words[:, 4])
        rows = np.flatnonzero(likely & columns.flow_moved & (columns.flow_coin >= 0))
        senders = columns.cells("flows")["from_address"]
        for row in rows.tolist():
            tx = int(columns.flow_tx[row])
            if tx >= 0 and senders[row] in movers:
                yield self._step(tx, _LAST, Kind.MOVED, row)


def _leaves(event: Liquidity) -> bool:
    return event.liquidity < 0 or event.collected


def coin_paid(columns: Columns, tx: int, pool: bytes, coin: bytes, inward: bool) -> float:
    """How much of a listed coin a transaction moved into, or out of, a V2 or V3 pool."""
    number, total = _NUMBERS.get(coin), 0.0
    if number is None:
        return 0.0
    ends = columns.cells("flows")["to_address" if inward else "from_address"]
    coins = columns.flow_coin.data
    for row in range(*columns.flows_of(tx)):
        if coins[row] == number and ends[row] == pool:
            total += float(columns.flow_value[row])
    return total


def coin_added(columns: Columns, tx: int, coin: bytes) -> float:
    """What a transaction gave V4's pool manager: V4 tells liquidity, not amounts."""
    if coin == ZERO_ADDRESS:
        return float(columns.tx_value[tx])
    return sum(coin_paid(columns, tx, manager, coin, True) for manager in POOL_MANAGERS)


def token_moved(columns: Columns, tx: int, token: bytes, wallet: bytes) -> float:
    """What a wallet got (above 0) or gave of a token in a transaction."""
    flows, total, erc20 = columns.cells("flows"), 0.0, FlowKind.ERC20
    kinds, tokens = flows["kind"], flows["token_address"]
    for row in range(*columns.flows_of(tx)):
        if kinds[row] == erc20 and tokens[row] == token:
            value = float(columns.flow_value[row])
            total += value * (flows["to_address"][row] == wallet)
            total -= value * (flows["from_address"][row] == wallet)
    return total
