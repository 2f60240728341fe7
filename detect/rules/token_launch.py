"""New tokens and their pools, watched from creation: for rug pulls and for honeypots.

One pass keeps what both typologies need of a launch; ``rug_pull`` and ``honeypot`` judge it. A pull
of the liquidity is told when its money moves on, or after an hour in which no liquidity came back:
a team that migrates to another pool puts it back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from chainwarden.schema import ZERO_ADDRESS
from detect.journal import Journaled, JournaledTable
from detect.known.pools import LOCKERS, REMOVE_LIMITS
from detect.known.prices import Prices
from detect.known.tokens import VALUE_TOKENS
from detect.rules.honeypot import HoneypotConfig, can_sell, judge_sales, judge_tax
from detect.rules.launches import (
    INSIDERS,
    PREFIX,
    Kind,
    Launch,
    Step,
    Steps,
    Token,
    coin_added,
    coin_paid,
    is_insider,
    token_moved,
    with_member,
)
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.pool_events import Liquidity, NewPool, PoolCache, PoolEvents
from detect.rules.pull_watch import PullWatch
from detect.rules.rug_pull import (
    RugPullConfig,
    judge_dump,
    judge_mint,
    judge_switch,
    judge_unseen_supply,
)
from detect.rules.rule import Finding
from detect.rules.verdict import Place
from detect.scored import ScoredBatch

BUYERS: Final = 32
FAILED: Final = 16
NEVER: Final = 2**62


@dataclass(frozen=True, slots=True)
class TokenLaunchConfig:
    """Thresholds of both typologies, and how much is remembered.

    A pool is watched for ``watch_seconds``. Bounds: ``tokens`` created in view, ``pools`` of them
    with a listed coin, ``pending`` pulls and waits that are not decided; the oldest go first.
    """

    watch_seconds: int = 30 * 86_400
    tokens: int = 65_536
    pools: int = 50_000
    pending: int = 4_096
    rug_pull: RugPullConfig = field(default_factory=RugPullConfig)
    honeypot: HoneypotConfig = field(default_factory=HoneypotConfig)
    prices: Prices = field(default_factory=Prices)


class TokenLaunch(Journaled):
    """Finds rug pulls and honeypots among tokens whose pool was created in view.

    What outsiders paid counts only where a Transfer of a listed coin to the pool, or a known V4
    manager, confirms it. Findings have the rule ids ``rug_pull`` and ``honeypot``.
    """

    id = "token_launch"
    version = 1
    confirms = "knowing whether a holder of a suspected honeypot could sell"

    def __init__(
        self,
        pools: PoolCache,
        config: TokenLaunchConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or TokenLaunchConfig()
        self._tokens = JournaledTable(self._config.tokens)
        self._launches = JournaledTable(self._config.pools)
        self._watch = PullWatch(
            self._config.rug_pull, self._config.prices, self._launches, self._config.pending
        )
        self._waits = JournaledTable(self._config.pending)  # pool -> (due,)
        super().__init__(
            {
                "tokens": self._tokens,
                "launches": self._launches,
                "pulls": self._watch.table,
                "waits": self._waits,
            }
        )
        self._pools = pools
        self._node = node
        self._soonest: int | None = None  # when the next thing is due; None: not known
        self._handlers: dict[Kind, Callable[[Step, Place], Finding | None]] = {
            Kind.CREATED: self._created,
            Kind.MINTED: self._minted,
            Kind.POOL: self._pool_created,
            Kind.LIQUIDITY: self._liquidity_changed,
            Kind.TRADE: self._traded,
            Kind.OWNER: self._owner_changed,
            Kind.SWITCH: self._switched,
            Kind.FAILED_SALE: self._sale_failed,
            Kind.MOVED: self._watch.moved,
        }

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        if not len(scored.batch):
            return ()
        events = self._pools.of(scored)
        steps = Steps(events, self._tokens.keys(), self._launches.keys())
        findings: list[Finding] = []
        row = -1
        for step in steps.sorted(self._watch.pullers()):
            if step.block_row != row:
                row = step.block_row
                findings += self._expire(events, row)
            finding = self._handlers[step.kind](step, Place.of(events, step))
            if finding is not None:
                findings.append(finding)
        findings += self._expire(events, len(scored.batch) - 1)
        return findings

    # --- what is remembered

    def _token(self, address: bytes) -> Token | None:
        row = self._tokens.get(address)
        return None if row is None else Token(*row)

    def _launch(self, pool: bytes, time: int) -> Launch | None:
        row = self._launches.get(pool)
        if row is None or time - row[4] > self._config.watch_seconds:
            return None
        return Launch(*row)

    def _known(self, pool: bytes, time: int) -> tuple[Launch, Token] | None:
        launch = self._launch(pool, time)
        token = None if launch is None else self._token(launch.token)
        return None if launch is None or token is None else (launch, token)

    # --- tokens

    def _created(self, step: Step, place: Place) -> None:
        assert isinstance(step.event, bytes)
        if self._token(step.event) is None:
            token = Token(place.signer, place.signer_hash, place.time)
            self._tokens.put(place.serial, step.event, token)

    def _minted(self, step: Step, place: Place) -> Finding | None:
        flows = place.columns.cells("flows")
        address, receiver = (
            flows["token_address"][step.row],
            flows["to_address"][step.row],
        )
        token, amount = self._token(address), float(place.columns.flow_value[step.row])
        if token is None:
            return None
        known = self._known(token.pool, place.time) if token.pool else None
        after = token._replace(supply=token.supply + amount)
        if known is None or not known[0].liquidity:
            after = after._replace(insiders=with_member(token.insiders, receiver, INSIDERS))
            self._tokens.put(place.serial, address, after)
            return None
        launch = known[0]
        share = amount / token.supply if token.supply else 0.0
        inside = is_insider(token, launch, place.signer, place.funder)
        inside = inside or is_insider(token, launch, receiver, 0)
        if not inside or share <= self._config.rug_pull.mint_share:
            self._tokens.put(place.serial, address, after)
            return None
        # The receiver of a hidden mint is one of them from now on: what it sells is a dump.
        after = after._replace(insiders=with_member(token.insiders, receiver, INSIDERS))
        self._tokens.put(place.serial, address, after)
        return judge_mint(self._config.rug_pull, self._config.prices, place, launch, share)

    def _owner_changed(self, step: Step, place: Place) -> None:
        address = place.columns.cells("logs")["address"][step.row]
        token = self._token(address)
        if token is not None:
            renounced = step.event == ZERO_ADDRESS
            self._tokens.put(place.serial, address, token._replace(renounced=renounced))

    def _switched(self, step: Step, place: Place) -> Finding | None:
        assert isinstance(step.event, bytes)
        token = self._token(step.event)
        if token is None or not token.renounced:
            return None
        launch = self._launch(token.pool, place.time)
        if launch is None or not is_insider(token, launch, place.signer, place.funder):
            return None
        selector = int(place.columns.selectors[step.row])
        if selector == REMOVE_LIMITS:  # gives holders more, not less
            return None
        return judge_switch(self._config.rug_pull, self._config.prices, place, launch, selector)

    # --- pools

    def _pool_created(self, step: Step, place: Place) -> None:
        assert isinstance(step.event, NewPool)
        new = step.event
        coins = [side in VALUE_TOKENS or side == ZERO_ADDRESS for side in (new.token0, new.token1)]
        if sum(coins) != 1 or self._launches.get(new.pool) is not None:
            return
        side = coins.index(False)
        address, coin = (new.token0, new.token1) if side == 0 else (new.token1, new.token0)
        launch = Launch(address, coin, side, new.version, place.time)
        self._launches.put(place.serial, new.pool, launch)
        token = self._token(address) or Token(place.signer, place.signer_hash, place.time)
        if not token.pool:
            token = token._replace(pool=new.pool)
        self._tokens.put(place.serial, address, token)

    def _liquidity_changed(self, step: Step, place: Place) -> None:
        assert isinstance(step.event, Liquidity)
        event = step.event
        known = self._known(event.pool, place.time)
        if known is None:
            return
        launch, token = known
        amounts = (event.amount0, event.amount1)
        coin, tokens = amounts[1 - launch.side], amounts[launch.side]
        if event.liquidity > 0:
            if launch.version == 4:
                coin = coin_added(place.columns, event.tx, launch.coin)
            self._added(place, event.pool, launch, event.liquidity, coin, tokens)
            return
        if launch.version == 3 and not event.collected:
            # A burn sets tokens aside; the collect that follows takes them out.
            left = launch.liquidity + event.liquidity
            self._launches.put(place.serial, event.pool, launch._replace(liquidity=left))
            return
        share = -coin / launch.reserve if launch.reserve > 0 else 0.0
        if launch.version == 4:
            share = -event.liquidity / launch.liquidity if launch.liquidity > 0 else 0.0
            coin = -share * launch.reserve
        after = launch._replace(
            liquidity=max(0.0, launch.liquidity + event.liquidity),
            reserve=max(0.0, launch.reserve + coin),
            token_reserve=max(0.0, launch.token_reserve + tokens),
        )
        self._launches.put(place.serial, event.pool, after)
        most = share >= self._config.rug_pull.removed_share and place.target not in LOCKERS
        if most and is_insider(token, launch, place.signer, place.funder):
            self._watch.pulled(place, event.pool, launch, share, -coin)
            self._soonest = None

    def _added(
        self, place: Place, pool: bytes, launch: Launch, liquidity: float, coin: float, more: float
    ) -> None:
        reserve = launch.reserve + coin
        after = launch._replace(
            liquidity=launch.liquidity + liquidity,
            reserve=reserve,
            token_reserve=launch.token_reserve + more,
            peak=max(launch.peak, reserve),
        )
        if not launch.adder:
            after = after._replace(adder=place.signer, adder_hash=place.signer_hash)
        self._launches.put(place.serial, pool, after)
        self._watch.returned(place, launch, coin)

    # --- trades

    def _traded(self, step: Step, place: Place) -> Finding | None:
        events, trades = place.events, place.events.trades
        pool, tx = events.pools[int(trades.pool[step.row])], int(trades.tx[step.row])
        known = self._known(pool, place.time)
        if known is None or place.columns.tx_status[tx] == 0:
            return None
        launch, token = known
        gains = trades.amount[step.row]
        coin, tokens = float(gains[1 - launch.side]), float(gains[launch.side])
        if launch.version != 4:
            moved = coin_paid(place.columns, tx, pool, launch.coin, coin > 0)
            if moved < 0.99 * abs(coin):
                return None  # a pool that says more than was paid
        inside = is_insider(token, launch, place.signer, place.funder)
        after = launch._replace(
            reserve=max(0.0, launch.reserve + coin),
            token_reserve=max(0.0, launch.token_reserve + tokens),
            peak=max(launch.peak, launch.reserve + coin),
        )
        if coin > 0 > tokens:
            return self._bought(place, pool, token, after, coin, inside)
        if tokens > 0 > coin:
            return self._sold(place, pool, token, launch, after, (-coin, tokens), inside)
        self._launches.put(place.serial, pool, after)
        return None

    def _bought(
        self, place: Place, pool: bytes, token: Token, launch: Launch, coin: float, inside: bool
    ) -> Finding | None:
        if inside:
            self._launches.put(place.serial, pool, launch)
            return None
        launch = launch._replace(
            paid_in=launch.paid_in + coin,
            first_buy=launch.first_buy or place.time,
            buyers=with_member(launch.buyers, place.signer[:PREFIX], BUYERS),
            holder=place.signer,
        )
        config = self._config.honeypot
        waiting = len(launch.buyers) // PREFIX >= config.buyers and not launch.sellers
        if waiting and place.time - launch.first_buy < config.quiet_seconds:
            if pool == token.pool and pool not in self._waits:
                self._soonest = None
                due = launch.first_buy + config.quiet_seconds
                self._waits.put(place.serial, pool, (due,))
            waiting = False
        return self._without_sellers(place, pool, token, launch, waiting)

    def _without_sellers(
        self, place: Place, pool: bytes, token: Token, launch: Launch, waiting: bool
    ) -> Finding | None:
        found = None
        if waiting:
            found, launch = self._judge_sales(place, pool, token, launch, launch.holder)
        self._launches.put(place.serial, pool, launch)
        return found

    def _judge_sales(
        self,
        place: Place,
        pool: bytes,
        token: Token,
        launch: Launch,
        holder: bytes,
        failing: bool = False,
    ) -> tuple[Finding | None, Launch]:
        # A node is asked only where there is a finding.
        told = (self._config.honeypot, self._config.prices, place, launch, token, failing)
        found, after = judge_sales(*told)
        if found is not None and launch.version != 4:
            sellable = can_sell(self._node, place, launch.token, pool, holder)
            if sellable is not None:
                found, after = judge_sales(*told, sellable)
        return found, after

    def _sold(
        self,
        place: Place,
        pool: bytes,
        token: Token,
        before: Launch,
        launch: Launch,
        amounts: tuple[float, float],
        inside: bool,
    ) -> Finding | None:
        coin, tokens = amounts
        rug, prices = self._config.rug_pull, self._config.prices
        found: Finding | None = None
        if inside:
            if place.time - launch.window > rug.dump_seconds:
                launch = launch._replace(
                    window=place.time, window_reserve=before.reserve, window_sold=0.0
                )
            launch = launch._replace(window_sold=launch.window_sold + coin)
            found, launch = judge_dump(rug, prices, place, launch)
        else:
            launch = launch._replace(
                paid_out=launch.paid_out + coin,
                sellers=with_member(launch.sellers, place.signer[:PREFIX], BUYERS),
            )
            self._tokens.put(place.serial, launch.token, token._replace(sales=token.sales + 1))
            given = -token_moved(place.columns, place.tx, launch.token, place.signer)
            settled = place.time - launch.first_buy >= self._config.honeypot.quiet_seconds
            if launch.first_buy and settled and given >= tokens > 0:
                tax = 1.0 - tokens / given
                mean = tax if not launch.taxed else launch.tax + 0.3 * (tax - launch.tax)
                launch = launch._replace(tax=mean, taxed=launch.taxed + 1)
                found, launch = judge_tax(self._config.honeypot, prices, place, launch)
        if found is None:
            found, launch = judge_unseen_supply(rug, prices, place, launch, token.supply)
        self._launches.put(place.serial, pool, launch)
        return found

    def _sale_failed(self, step: Step, place: Place) -> Finding | None:
        assert isinstance(step.event, bytes)
        token = self._token(step.event)
        launch = None if token is None else self._launch(token.pool, place.time)
        if token is None or launch is None or not launch.first_buy:
            return None
        # In the first minutes limits against bots make honest sales fail as well.
        if place.time - launch.first_buy < self._config.honeypot.quiet_seconds:
            return None
        token = token._replace(
            failed=with_member(token.failed, place.signer[:PREFIX], FAILED),
            failures=token.failures + 1,
        )
        self._tokens.put(place.serial, step.event, token)
        found, launch = self._judge_sales(
            place, token.pool, token, launch, place.signer, failing=True
        )
        self._launches.put(place.serial, token.pool, launch)
        return found

    # --- what time decides

    def _expire(self, events: PoolEvents, row: int) -> list[Finding]:
        times = events.columns.block_times
        if self._soonest is not None and times[row] < self._soonest:
            return []
        due = sorted(
            (int(value[0]), which, key)
            for which, table in enumerate((self._watch.table, self._waits))
            for key in list(table.keys())
            if (value := table.get(key)) is not None
        )
        findings = []
        for when, which, key in due:
            if when > times[row]:
                break
            place = Place.at_block(events, min(row, int(np.searchsorted(times, when))))
            finding = self._waited(place, key) if which else self._watch.overdue(place, key)
            if finding is not None:
                findings.append(finding)
        self._soonest = next((when for when, _, _ in due if when > times[row]), NEVER)
        return findings

    def _waited(self, place: Place, pool: bytes) -> Finding | None:
        self._waits.remove(place.serial, pool)
        known = self._known(pool, place.time)
        if known is None or known[0].sellers:
            return None
        launch, token = known
        return self._without_sellers(place, pool, token, launch, True)

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, which is the last one evaluated."""
        super().revert(serial)
        self._soonest = None

    def restore(self, state: bytes) -> None:
        """Take over a state. Raises SnapshotRefused for one it does not understand."""
        super().restore(state)
        self._soonest = None
