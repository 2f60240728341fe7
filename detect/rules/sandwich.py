"""Sandwiches: somebody buys right before a victim's purchase and sells right after it.

Per block and pool, over V2, V3 and V4: trades i < j < k where i and k have an actor in common and j
has not, j goes the way of i and k the other way, and k gives back what i took to within 1 %, or
5 % where they are close together. It also looks across two blocks of one builder, which can order
both. Just-in-time liquidity, put into a pool before somebody's trade and taken out after it, is a
thing of its own: it takes the fee of other providers and gives the trader a better price.

This is MEV, not theft of funds: never above low. See Daian et al., "Flash Boys 2.0" (2020), and
Qin et al., "Quantifying Blockchain Extractable Value" (2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from chainwarden.schema import (
    Evidence,
    Reason,
    Role,
    Severity,
    hex_of,
)
from detect.journal import Journaled
from detect.known.prices import Prices
from detect.labels import LabelBook
from detect.rules.block_tail import BlockTail
from detect.rules.pool_events import Liquidity, PoolCache, PoolEvents
from detect.rules.rule import Finding
from detect.rules.trade_legs import Legs
from detect.rules.words import amount_text
from detect.scored import ScoredBatch

JIT: Final = "jit_liquidity"
VICTIMS_NAMED: Final = 8
FRONTS: Final = 4  # how many trades one after the other may make up the first slice


@dataclass(frozen=True, slots=True)
class SandwichConfig:
    """``tolerance``: how far the back may differ from the front, as a share.

    ``near_tolerance`` is that where at most ``near`` transactions lie between: bots keep a part of
    what they bought, or sell what they had. In 25 real blocks it finds 9 sandwiches more than the
    14 of 1 %, each with both slices next to their victim.

    ``low_dollars``: from such a gross profit on a sandwich is low, below it info. ``block_trades``:
    how many of a block's trades, the last ones, are kept to find a back in the next block of the
    same builder; 0 looks within blocks only. Prices are for the threshold alone.
    """

    tolerance: float = 0.01
    near_tolerance: float = 0.05
    near: int = 8
    low_dollars: float = 1_000.0
    block_trades: int = 2_048
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True)
class _Match:
    # Trades by their place in ``Legs``, and what came of it in the token that was paid first.
    fronts: tuple[int, ...]
    back: int
    victims: tuple[int, ...]
    actor: bytes
    paid: float  # by the fronts, for what they took
    taken: float
    given: float  # by the back, for what it got
    got: float

    @property
    def difference(self) -> float:
        """How far the back is from giving what the fronts took, as a share."""
        return abs(self.given - self.taken) / self.taken

    @property
    def gain(self) -> float:
        """What came out on the side paid first, beyond the cost of what was given back."""
        return self.got - self.paid * self.given / self.taken

    @property
    def other_gain(self) -> float:
        """The same gain, told on the other side at the price of the fronts."""
        return self.gain * self.taken / self.paid


class Sandwich(Journaled):
    """Finds sandwiches, info or low by gross profit, and just-in-time liquidity, always info.

    The subject is what the two slices have in common: the contract called, else the signer. Known
    services (routers, aggregators) are nobody's actor. Gross profit: gas and the builder's bribe
    are not taken off.
    """

    id = "sandwich"
    version = 1

    def __init__(
        self, labels: LabelBook, pools: PoolCache, config: SandwichConfig | None = None
    ) -> None:
        self._config = config or SandwichConfig()
        self._tail = BlockTail()
        super().__init__({"tail": self._tail})
        self._labels = labels
        self._pools = pools

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        if not len(scored.batch):
            return ()
        events = self._pools.of(scored)
        legs = Legs(events, self._tail.last)
        found = [self._finding(legs, match) for match in self._matches(events, legs)]
        found += self._just_in_time(events)
        self._remember(scored, legs)
        return sorted(found, key=lambda f: (f.block_row, f.transaction_index, f.ordinal))

    # --- matching

    def _matches(self, events: PoolEvents, legs: Legs) -> Iterator[_Match]:
        seen: set[tuple[int, bytes]] = set()
        if len(legs) < 3:
            return
        for accounts, name in ((legs.target, "target"), (legs.sender, "sender")):
            for before, back in legs.turns(accounts, self._config.block_trades, FRONTS):
                actor = legs.rows[back][name].tobytes()
                match = self._match(legs, before, back, actor)
                if match is None or self._is_service(events, actor, legs.block_row(back)):
                    continue
                key = (match.back, legs.rows[back]["pool"].tobytes())
                if key not in seen:
                    seen.add(key)
                    yield match

    def _match(self, legs: Legs, before: list[int], back: int, actor: bytes) -> _Match | None:
        # Whether the trade ``back`` gives back what the last one before it, or the last few
        # together, took out of the pool, with a victim in between and at a profit.
        sign = int(legs.sign[before[0]])
        side = 0 if sign > 0 else 1
        given, got = float(legs.amount[back, 1 - side]), -float(legs.amount[back, side])
        taken = paid = 0.0
        for count, front in enumerate(before, start=1):
            linked = legs.linked(front, back, self._config.block_trades)
            if not linked or int(legs.sign[front]) != sign:
                return None
            taken -= float(legs.amount[front, 1 - side])
            paid += float(legs.amount[front, side])
            match = _Match((), back, (), actor, paid, taken, given, got)
            if match.difference > self._tolerance(legs, front, back) or match.gain <= 0:
                continue
            victims = legs.between(front, back)
            if victims:
                fronts = tuple(reversed(before[:count]))
                return replace(match, fronts=fronts, victims=tuple(victims))
        return None

    def _tolerance(self, legs: Legs, front: int, back: int) -> float:
        one, other = legs.rows[front], legs.rows[back]
        near = one["block"] == other["block"]
        near = near and other["index"] - one["index"] <= self._config.near
        return self._config.near_tolerance if near else self._config.tolerance

    def _is_service(self, events: PoolEvents, actor: bytes, row: int) -> bool:
        time = int(events.columns.block_times[row])
        return self._labels.is_service(actor, time, events.columns.batch.chain.name)

    def _remember(self, scored: ScoredBatch, legs: Legs) -> None:
        if not self._config.block_trades:
            return
        numbers = scored.batch.numbers()
        lows = np.searchsorted(legs.rows["block"], numbers, "left").tolist()
        highs = np.searchsorted(legs.rows["block"], numbers, "right").tolist()
        for row, (low, high) in enumerate(zip(lows, highs, strict=True)):
            low = max(low, high - self._config.block_trades)
            self._tail.put(scored.first_serial + row, legs.rows[low:high].tobytes())

    # --- findings

    def _finding(self, legs: Legs, match: _Match) -> Finding:
        back = legs.rows[match.back]
        coin, profit = legs.coin(match.back, match.got), match.gain
        if coin is None:  # the side given may be the one with a price
            coin, profit = legs.coin(match.back, match.given), match.other_gain
        dollars = 0.0 if coin is None else self._config.prices.worth(coin, profit)
        large = dollars >= self._config.low_dollars
        gain = amount_text(coin, int(profit)) if coin else f"{match.gain / match.paid:.2%}"
        across = int(back["block"]) != int(legs.rows[match.fronts[0]]["block"])
        where = " across two blocks of one builder" if across else ""
        trades = (*match.fronts, *match.victims[:VICTIMS_NAMED], match.back)
        victims = (legs.rows[n]["sender"].tobytes() for n in match.victims[:VICTIMS_NAMED])
        pool = legs.pool_name(match.back)
        score = 0.5 if large else 0.3
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="sandwich",
            severity=Severity.LOW if large else Severity.INFO,
            score=score,
            subject=match.actor,
            role=Role.ATTACKER,
            block_row=legs.block_row(match.back),
            transaction_index=int(back["index"]),
            transaction_hash=_hash(back),
            ordinal=int(back["ordinal"]),
            sentence=(
                f"{hex_of(match.actor)} traded before and after {len(match.victims)} trade"
                f"{'s' if len(match.victims) > 1 else ''} of others in pool "
                f"{hex_of(pool)}{where} and gained {gain} before costs."
            ),
            reasons=(
                Reason("difference", match.difference, score / 3, self._config.near_tolerance),
                Reason("profit_dollars", dollars, score / 3, self._config.low_dollars),
                Reason("victim_trades", float(len(match.victims)), score / 3, 1.0),
            ),
            evidence=Evidence(
                transactions=tuple(
                    h for h in dict.fromkeys(_hash(legs.rows[n]) for n in trades) if h is not None
                ),
                addresses=tuple(dict.fromkeys((*(pool,)[: len(pool) == 20], *victims))),
                amounts=((coin, int(profit)),) if coin else (),
            ),
        )

    def _just_in_time(self, events: PoolEvents) -> list[Finding]:
        changes = [c for c in events.liquidity if c.liquidity and not c.collected]
        if len(changes) < 2:
            return []
        columns, found = events.columns, []
        added: dict[tuple[int, bytes, bytes], Liquidity] = {}
        senders = columns.cells("transactions")["from_address"]
        for change in sorted(changes, key=lambda c: c.log):
            block = int(columns.tx_block[change.tx])
            key = (block, change.pool, senders[change.tx])
            if change.liquidity > 0:
                added.setdefault(key, change)
                continue
            before = added.pop(key, None)
            if before is None or before.tx >= change.tx:
                continue
            if abs(before.liquidity + change.liquidity) > 0.01 * before.liquidity:
                continue
            between = self._traders(events, before, change)
            if between:
                found.append(self._jit_finding(events, before, change, key[2], between))
        return found

    def _traders(self, events: PoolEvents, first: Liquidity, last: Liquidity) -> list[int]:
        trades, pool = events.trades, events.pool_index.get(first.pool)
        if pool is None:
            return []
        low, high = np.searchsorted(trades.tx, [first.tx + 1, last.tx]).tolist()
        rows: list[int] = trades.tx[low:high][trades.pool[low:high] == pool].tolist()
        return rows

    def _jit_finding(
        self,
        events: PoolEvents,
        first: Liquidity,
        last: Liquidity,
        actor: bytes,
        between: list[int],
    ) -> Finding:
        columns = events.columns
        hashes = columns.cells("transactions")["transaction_hash"]
        told = [hashes[row] for row in (first.tx, *between[:VICTIMS_NAMED], last.tx)]
        block = columns.row_of_block(int(columns.tx_block[last.tx]))
        return Finding(
            rule=JIT,
            rule_version=self.version,
            typology=JIT,
            severity=Severity.INFO,
            score=0.2,
            subject=actor,
            role=Role.UNKNOWN,
            block_row=block,
            transaction_index=int(columns.tx_index[last.tx]),
            transaction_hash=told[-1],
            ordinal=int(columns.log_ordinal[last.log]),
            sentence=(
                f"{hex_of(actor)} gave liquidity to pool {hex_of(first.pool)} for {len(between)} "
                f"trade{'s' if len(between) > 1 else ''} in one block and took it out again."
            ),
            reasons=(Reason("trades_between", float(len(between)), 0.2, 1.0),),
            evidence=Evidence(
                transactions=tuple(h for h in dict.fromkeys(told) if h is not None),
                addresses=(first.pool[-20:],) if len(first.pool) == 20 else (),
            ),
        )


def _hash(leg: np.void) -> bytes | None:
    told: bytes = leg["hash"].tobytes()
    return told if any(told) else None
