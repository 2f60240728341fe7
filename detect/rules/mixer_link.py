"""Which deposit a mixer's withdrawal may belong to: evidence with a probability, never a fact.

Five habits give people away (Béres et al., "Blockchain is Watching You", 2021; Wang et al., "On How
Zero-Knowledge Proof Blockchain Mixers Improve, and Worsen User Privacy", 2023): the same address on
both sides, a transfer between the two sides, a gas price that nobody else sets, the same numbers of
deposits and withdrawals per pool within a day, and, weakest, that who came first leaves first.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chainwarden.schema import Evidence, Hop, Reason, Role, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable, Value
from detect.known.mixers import TORNADO_POOLS
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache, Columns
from detect.rules.mixer_payouts import Deposit, Payout, deposits_of, payouts_of
from detect.rules.rule import Finding
from detect.rules.standing import BAD, SERVICE, MaterialFlows, Standings
from detect.scored import ScoredBatch

_GWEI: Final = 10**9
_FILTER_BITS: Final = 20


@dataclass(frozen=True, slots=True)
class MixerLinkConfig:
    """Probabilities that a habit alone makes a link true, and bounds.

    ``told``: from this probability on there is a finding. ``ring``: the last deposits of each pool
    that a withdrawal may belong to. ``window_seconds``: over which deposits and withdrawals are
    counted; ``counted``: how many there must be, in two pools at least, to say something.
    ``wallets``: depositors, and recipients, remembered. ``deposits``: of all pools together.
    """

    same_address: float = 0.95
    transfer: float = 0.7
    gas_price: float = 0.4
    numbers: float = 0.5
    first_out: float = 0.15
    told: float = 0.35
    ring: int = 10_000
    window_seconds: int = 86_400
    counted: int = 3
    wallets: int = 65_536
    deposits: int = 131_072


@dataclass(frozen=True, slots=True)
class _Link:
    depositor: bytes
    recipient: bytes
    habits: tuple[tuple[str, float], ...]
    among: int
    transaction: bytes | None
    path: tuple[Hop, ...]

    @property
    def probability(self) -> float:
        return 1.0 - math.prod(1.0 - p for _, p in self.habits)


Numbers = tuple[tuple[bytes, int], ...]
"""Deposits or withdrawals within the window, by pool, sorted."""


class MixerLink(Journaled):
    """Links withdrawals from Tornado Cash with deposits; needs receipts.

    ===================================  ========
    the likeliest depositor              severity
    ===================================  ========
    has a bad label, p ≥ 0.5             high
    has a bad label, less likely         medium
    is nobody                            low
    ===================================  ========
    """

    id = "mixer_link"
    version = 1

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        standings: Standings | None = None,
        config: MixerLinkConfig | None = None,
    ) -> None:
        self._config = config or MixerLinkConfig()
        self._cache = cache
        self._standings = standings or Standings(labels)
        config = self._config
        # pool, number -> (depositor, gas price, transaction)
        self._ring = JournaledTable(config.deposits)
        # pool -> (deposits so far, withdrawals so far)
        self._pools = JournaledTable(64)
        # wallet -> (numbers, since, pool, transaction)
        self._depositors = JournaledTable(config.wallets)
        self._recipients = JournaledTable(config.wallets)
        # pool, gas price -> (deposits in the ring, last depositor)
        self._prices = JournaledTable(config.deposits)
        # numbers -> the depositors with just these, at most two
        self._numbers = JournaledTable(config.wallets)
        self._filter = _Filter()
        super().__init__(
            {
                "ring": self._ring,
                "pools": self._pools,
                "depositors": self._depositors,
                "recipients": self._recipients,
                "prices": self._prices,
                "numbers": self._numbers,
            }
        )

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        steps: list[tuple[tuple[int, ...], Deposit | Payout | int]] = []
        steps += [((*d.place, 0), d) for d in deposits_of(columns)]
        steps += [((*p.place, 1), p) for p in payouts_of(columns) if any(p.recipient)]
        if not steps and not (len(self._depositors) and len(self._recipients)):
            return ()
        coming = [s.depositor if isinstance(s, Deposit) else s.recipient for _, s in steps
                  if not isinstance(s, int)]  # fmt: skip
        steps += self._transfers(columns, coming)
        findings = []
        for key, step in sorted(steps, key=lambda pair: pair[0]):
            serial = columns.first_serial + key[0]
            time = int(columns.block_times[key[0]])
            if isinstance(step, Deposit):
                self._deposit(step, serial, time)
                continue
            link = (
                self._payout(step, serial, time)
                if isinstance(step, Payout)
                else self._transfer(columns, step)
            )
            if link is not None and link.probability >= self._config.told:
                findings.append(self._finding(columns, link, key, time))
        return findings

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, which is the last one evaluated."""
        super().revert(serial)
        self._filter.clear()

    def restore(self, state: bytes) -> None:
        """Take over a state. Raises SnapshotRefused for one it does not understand."""
        super().restore(state)
        self._filter.clear()

    # --- deposits and withdrawals --------------------------------------------------------------

    def _deposit(self, deposit: Deposit, serial: int, time: int) -> None:
        pool, who = deposit.pool, deposit.depositor
        paid_in, paid_out = self._pools.get(pool) or (0, 0)
        self._pools.put(serial, pool, (paid_in + 1, paid_out))
        self._ring.put(
            serial, _numbered(pool, paid_in), (who, deposit.gas_price, deposit.transaction)
        )
        self._price(serial, pool, deposit.gas_price, who, 1)
        leaves = _numbered(pool, paid_in - self._config.ring)
        gone = self._ring.get(leaves) if paid_in >= self._config.ring else None
        if gone is not None:
            self._price(serial, pool, gone[1], gone[0], -1)
            self._ring.remove(serial, leaves)
        before = self._depositors.get(who)
        now = self._counted(before, pool, time)
        if before is not None:
            self._forget_numbers(serial, before[0], who)
        kept = (self._numbers.get(_digest(now[0])) or ((),))[0]
        if who not in kept:
            self._numbers.put(serial, _digest(now[0]), ((*kept, who)[-2:],))
        self._depositors.put(serial, who, (*now, pool, deposit.transaction))

    def _payout(self, payout: Payout, serial: int, time: int) -> _Link | None:
        pool, who, config = payout.pool, payout.recipient, self._config
        paid_in, paid_out = self._pools.get(pool) or (0, 0)
        numbers, since = self._counted(self._recipients.get(who), pool, time)
        self._recipients.put(serial, who, (numbers, since, pool, payout.transaction))
        habits: dict[bytes, list[tuple[str, float]]] = {}

        def speaks(depositor: bytes, habit: str, p: float) -> None:
            habits.setdefault(depositor, []).append((habit, p))

        known = self._depositors.get(who)
        if known is not None and any(of == pool for of, _ in known[0]):
            speaks(who, "same_address", config.same_address)
        # A relayer's gas price is the relayer's; round ones are everybody's.
        price = payout.gas_price
        if payout.by_itself and price and price % _GWEI:
            count, depositor = self._prices.get(_priced(pool, price)) or (0, b"")
            if count == 1:
                speaks(depositor, "gas_price", config.gas_price)
        # Of one pool alone, the numbers of many are the same.
        if len(numbers) >= 2 and sum(count for _, count in numbers) >= config.counted:
            alike = (self._numbers.get(_digest(numbers)) or ((),))[0]
            if len(alike) == 1 and self._recent(alike[0], time):
                speaks(alike[0], "same_numbers", config.numbers)
        first = self._ring.get(_numbered(pool, max(paid_out, paid_in - config.ring)))
        if first is not None:
            speaks(first[0], "first_in_first_out", config.first_out)
        self._pools.put(serial, pool, (paid_in, min(paid_in, paid_out + 1)))
        if not habits:
            return None
        # The likeliest; of equals the one that was named first.
        best = max(habits, key=lambda one: 1.0 - math.prod(1.0 - p for _, p in habits[one]))
        among = min(paid_in, config.ring)
        path = self._path(best, payout)
        return _Link(best, who, tuple(habits[best]), among, payout.transaction, path)

    def _path(self, depositor: bytes, payout: Payout) -> tuple[Hop, ...]:
        known = self._depositors.get(depositor)
        denomination = None if known is None else TORNADO_POOLS[known[2]]
        if known is None or denomination is None or payout.amount is None:
            return ()
        into = Hop(known[3], depositor, known[2], denomination)
        return into, Hop(payout.transaction, payout.pool, payout.recipient, payout.amount)

    def _counted(self, before: Value | None, pool: bytes, time: int) -> tuple[Numbers, int]:
        numbers: dict[bytes, int] = {}
        since = time
        if before is not None and time - before[1] <= self._config.window_seconds:
            numbers, since = dict(before[0]), before[1]
        numbers[pool] = numbers.get(pool, 0) + 1
        return tuple(sorted(numbers.items())), since

    def _recent(self, depositor: bytes, time: int) -> bool:
        known = self._depositors.get(depositor)
        return known is not None and time - known[1] <= 30 * self._config.window_seconds

    def _forget_numbers(self, serial: int, numbers: Numbers, who: bytes) -> None:
        key = _digest(numbers)
        kept = tuple(one for one in (self._numbers.get(key) or ((),))[0] if one != who)
        if kept:
            self._numbers.put(serial, key, (kept,))
        else:
            self._numbers.remove(serial, key)

    def _price(self, serial: int, pool: bytes, price: int | None, who: bytes, more: int) -> None:
        if not price or price % _GWEI == 0:
            return
        key = _priced(pool, price)
        count, last = self._prices.get(key) or (0, who)
        if count + more > 0:
            self._prices.put(serial, key, (count + more, who if more > 0 else last))
        else:
            self._prices.remove(serial, key)

    # --- transfers between the two sides -------------------------------------------------------

    def _transfers(
        self, columns: Columns, coming: list[bytes]
    ) -> list[tuple[tuple[int, ...], Deposit | Payout | int]]:
        """The material flows whose parties may both be known, in the batch or before it."""
        flows = self._standings.flows(columns)
        self._filter.hold((self._depositors, self._recipients), coming)
        places = np.flatnonzero(self._filter.has(flows.sender) & self._filter.has(flows.receiver))
        return [
            (
                (
                    int(flows.block[n]),
                    int(columns.flow_tx_index[flows.rows[n]]),
                    int(columns.flow_ordinal[flows.rows[n]]),
                    2,
                ),
                n,
            )
            for n in places.tolist()
        ]

    def _transfer(self, columns: Columns, place: int) -> _Link | None:
        flows: MaterialFlows = self._standings.flows(columns)
        if (flows.sender_bits[place] | flows.receiver_bits[place]) & SERVICE:
            return None
        sender, receiver = flows.sender[place].tobytes(), flows.receiver[place].tobytes()
        for depositor, recipient in ((sender, receiver), (receiver, sender)):
            paid, got = self._depositors.get(depositor), self._recipients.get(recipient)
            if paid is None or got is None:
                continue
            pools = {pool for pool, _ in paid[0]} & {pool for pool, _ in got[0]}
            if not pools:
                continue
            table, row = columns.cells("flows"), int(flows.rows[place])
            hop = Hop(
                table["transaction_hash"][row],
                sender,
                receiver,
                columns.amount(row),
                table["token_address"][row],
            )
            among = sum(min(self._config.ring, (self._pools.get(p) or (0,))[0]) for p in pools)
            habit = (("transfer", self._config.transfer),)
            return _Link(depositor, recipient, habit, among, hop.transaction, (hop,))
        return None

    # --- telling -------------------------------------------------------------------------------

    def _finding(self, columns: Columns, link: _Link, key: tuple[int, ...], time: int) -> Finding:
        row, index, ordinal, _ = key
        p, chain = link.probability, columns.batch.chain.name
        bad = bool(self._standings.at(link.depositor, time, chain) & BAD)
        severity = Severity.LOW
        if bad:
            severity = Severity.HIGH if p >= 0.5 else Severity.MEDIUM
        weights = [-math.log1p(-habit_p) for _, habit_p in link.habits]
        reasons = [
            Reason(habit, habit_p, 0.5 * p * weight / sum(weights), self._config.told)
            for (habit, habit_p), weight in zip(link.habits, weights, strict=True)
        ]
        if bad:
            reasons.append(Reason("depositor_is_labelled_bad", 1.0, 0.4))
        words = self._standings.words_at(link.depositor, time, chain)
        hashes = dict.fromkeys((*(hop.transaction for hop in link.path), link.transaction))
        return Finding(
            rule=self.id,
            rule_version=self.version,
            typology="mixer",
            severity=severity,
            score=sum(reason.contribution for reason in reasons),
            subject=link.recipient,
            role=Role.UNKNOWN,
            block_row=row,
            transaction_index=index,
            transaction_hash=link.transaction,
            ordinal=ordinal,
            sentence=(
                f"What {hex_of(link.recipient)} got out of Tornado Cash was, with probability "
                f"{p:.2f}, paid in by {hex_of(link.depositor)}{f' ({words})' if words else ''}, "
                f"one of {link.among} deposits: {', '.join(name for name, _ in link.habits)}."
            ),
            reasons=tuple(reasons),
            evidence=Evidence(
                transactions=tuple(hash_ for hash_ in hashes if hash_ is not None),
                addresses=(link.depositor,) if link.depositor != link.recipient else (),
                path=link.path,
            ),
        )


class _Filter:
    # Says of many addresses at once which may be among a few; never no for one that is. Derived
    # from the tables: it changes no result, and is built again when they have changed.

    def __init__(self) -> None:
        self._bits = np.zeros(1 << _FILTER_BITS, np.bool_)
        self._held: tuple[int, ...] = ()

    def clear(self) -> None:
        self._held = ()

    def hold(self, tables: tuple[JournaledTable, ...], more: list[bytes]) -> None:
        state = tuple(value for table in tables for value in (table.stamp, len(table)))
        if state != self._held or more:
            self._bits[:] = False
            keys = list(more)
            for table in tables:
                keys.extend(table.keys())
            self._bits[_places(np.frombuffer(b"".join(keys), "<u4").reshape(-1, 5))] = True
            self._held = () if more else state

    def has(self, parties: Array) -> Array:
        found: Array = self._bits[_places(parties)]
        return found


def _places(parties: Array) -> Array:
    mixed = parties[:, 0] ^ (parties[:, 2] >> np.uint32(7)) ^ (parties[:, 4] << np.uint32(3))
    mixed ^= mixed >> np.uint32(_FILTER_BITS)
    places: Array = mixed & np.uint32((1 << _FILTER_BITS) - 1)
    return places


def _numbered(pool: bytes, number: int) -> bytes:
    return pool + number.to_bytes(8, "big", signed=True)


def _priced(pool: bytes, price: int) -> bytes:
    return pool + min(price, 2**64 - 1).to_bytes(8, "big")


def _digest(numbers: Numbers) -> bytes:
    text = b"".join(pool + count.to_bytes(8, "big") for pool, count in numbers)
    return hashlib.blake2b(text, digest_size=16).digest()
