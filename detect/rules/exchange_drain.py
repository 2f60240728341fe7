"""Drained hot wallets: more leaves an exchange or a treasury than ever, and to nobody it knows.

Exchanges pay out all day and to newcomers as well. What does not happen is that the hour's outflow
beats the usual of that hour of the week while at least half of it goes to destinations never paid
before, or that one such destination gets token after token within minutes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.schema import FlowKind, Reason, Role, Severity, hex_of
from detect.compiled import Array
from detect.journal import Journaled, JournaledTable
from detect.known.services import SERVICE_ADDRESSES, SERVICE_LABELS
from detect.known.tokens import VALUE_TOKENS
from detect.labels import LabelBook
from detect.quantiles import Sketch
from detect.rules.arrow_arrays import address_set, address_word
from detect.rules.columns import ColumnCache, Columns
from detect.rules.node import WITHOUT_NODE, NodeCalls
from detect.rules.rule import Finding, about_flow
from detect.rules.settlement import worth_class
from detect.scored import ScoredBatch

WATCHED: Final = ("exchange", "treasury")
HOUR: Final = 3_600
WEEK_HOURS: Final = 168
ANY_HOUR: Final = WEEK_HOURS  # the sketch of all hours, until an hour of the week has its own
MILLI: Final = 1_000  # amounts are kept in thousandths, as integers: their sums are exact
MOST_MET: Final = 12  # who took part in more flows is no new destination
STRANGE: Final = 2  # flows that a destination may have had before, for its gas
FOREVER: Final = 2**62
MOST_WORTH: Final = 10**15  # thousandths of a dollar; more is no amount
_SERVICES: Final = address_set(SERVICE_ADDRESSES)
ETHER_DOLLARS: Final = 2_500  # only to add ether to dollars, for comparison with itself
# By ``Columns.flow_coin``, in dollars; 0 where nothing is known.
_WORTH: Final = np.array(
    [
        ETHER_DOLLARS,
        *({"dollar": 1, "ether": ETHER_DOLLARS}.get(worth_class(t), 0) for t in VALUE_TOKENS),
        0,
    ]
)


@dataclass(frozen=True, slots=True)
class ExchangeDrainConfig:
    """Thresholds, and how much is remembered.

    ``floor``: dollars an hour must see before it can be a drain. ``new_share`` of them must go to
    destinations never paid before, and they must exceed the ``quantile`` of the hour of the week,
    once it has ``samples``; before, ``times`` that of all hours, once there are ``hours``.
    ``balance_share``: of what the wallet had, where a node tells. ``tokens`` of different kinds
    to one destination within ``burst_seconds`` are a drain as well.
    """

    floor: int = 100_000
    new_share: float = 0.5
    quantile: float = 0.999
    samples: int = 8
    hours: int = 6
    times: float = 3.0
    balance_share: float = 0.3
    tokens: int = 5
    burst_seconds: int = 600
    remembered_hours: int = 200
    wallets: int = 1_000
    sketches: int = 32_768
    destinations: int = 16_384


@dataclass(slots=True)
class _Outflow:
    # What one wallet sent in one block, in milli-dollars.
    largest: int  # the row of the flow that is worth most
    worth: int = 0
    strange: int = 0  # of it to destinations never paid before
    most: int = 0

    def add(self, row: int, amount: int, strange: bool) -> None:
        self.worth += amount
        self.strange += amount * strange
        if amount > self.most:
            self.most, self.largest = amount, row


class ExchangeDrain(Journaled):
    """Finds watched wallets that are being emptied: those labelled exchange or treasury.

    High; critical where ten times the usual and the floor leaves, or nearly all of what a node says
    was there.
    Without a usual (a wallet in view for less than six hours) only bursts of tokens are told.
    Suppressed: what goes to services, which covers rotations between wallets labelled at both ends,
    and what stays below the floor, as proofs of reserve do.
    """

    id = "exchange_drain"
    version = 1
    confirms = "knowing which share of a hot wallet's ether an hour has taken"

    def __init__(
        self,
        labels: LabelBook,
        cache: ColumnCache,
        config: ExchangeDrainConfig | None = None,
        node: NodeCalls = WITHOUT_NODE,
    ) -> None:
        self._config = config or ExchangeDrainConfig()
        # wallet -> (hour, outflow and outflow to new destinations in milli-dollars, hours seen)
        self._hours = JournaledTable(self._config.wallets)
        # wallet + hour of the week -> (buckets, counts) of a sketch of hourly outflows
        self._usual = JournaledTable(self._config.sketches)
        # wallet + destination -> (since, tokens cut to four bytes)
        self._bursts = JournaledTable(self._config.destinations)
        super().__init__({"hours": self._hours, "usual": self._usual, "bursts": self._bursts})
        self._labels = labels
        self._cache = cache
        self._node = node

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        rows = self._outflows(columns)
        if not len(rows):
            return ()
        watched = self._watched(columns, rows)
        rows = rows[watched]
        findings = [*self._bursts_of(columns, rows), *self._hours_of(columns, rows)]
        findings.sort(key=lambda f: (f.block_row, f.transaction_index, f.ordinal))
        return findings

    def _outflows(self, columns: Columns) -> Array:
        # What moved out of a watched wallet to anybody but a service.
        none = np.empty(0, np.int64)
        if not columns.flow_count:
            return none
        times, chain = columns.block_times, columns.batch.chain.name
        start, end = int(times.min()), int(times.max())
        watched = self._labels.addresses_with(WATCHED, start, end, chain)
        if not len(watched):
            return none
        moved = columns.flow_moved & (columns.flow_tx >= 0)
        moved &= columns.members("flows", "from_address", watched)
        if not moved.any():
            return none
        services = self._labels.addresses_with(SERVICE_LABELS, start, end, chain)
        known = columns.members("flows", "to_address", services)
        known |= columns.members("flows", "to_address", _SERVICES)
        targets = columns.cells("flows")["to_address"]
        for row in np.flatnonzero(moved & known).tolist():
            now = int(times[columns.flow_row[row]])
            moved[row] = not self._labels.is_service(targets[row], now, chain)
        rows: Array = np.flatnonzero(moved)
        return rows

    def _watched(self, columns: Columns, rows: Array) -> Array:
        # Which of the rows come from a wallet whose label was in force at the time.
        chain, wallets = columns.batch.chain.name, columns.batch.flows["from_address"]
        encoded = pc.dictionary_encode(wallets.take(pa.array(rows))).combine_chunks()
        codes, times = encoded.indices.to_numpy(), columns.block_times[columns.flow_row[rows]]
        out = np.zeros(len(rows), np.bool_)
        for code, wallet in enumerate(encoded.dictionary.to_pylist()):
            for label in self._labels.labels_of(wallet):
                if label.label in WATCHED and label.chain in (None, chain):
                    until = FOREVER if label.valid_to is None else label.valid_to
                    out |= (codes == code) & (times >= label.valid_from) & (times < until)
        return out

    # --- bursts of tokens

    def _bursts_of(self, columns: Columns, rows: Array) -> Iterator[Finding]:
        # Token after token to one destination that was never paid before.
        facts, flows = columns.scored.flow_facts, columns.cells("flows")
        young = (facts["pair_events"][rows] <= MOST_MET) & (facts["to_events"][rows] <= MOST_MET)
        for row in rows[young & (columns.flow_kind[rows] == int(FlowKind.ERC20))].tolist():
            wallet, target = flows["from_address"][row], flows["to_address"][row]
            token = flows["token_address"][row]
            now = int(columns.block_times[columns.flow_row[row]])
            serial = columns.first_serial + int(columns.flow_row[row])
            since, tokens = self._bursts.get(wallet + target) or (now, ())
            if now - since > self._config.burst_seconds:
                if facts["pair_events"][row]:
                    continue  # somebody who has been paid for longer than a burst lasts
                since, tokens = now, ()
            if token[:4] in tokens or len(tokens) >= MOST_MET:
                continue
            tokens = (*tokens, token[:4])
            self._bursts.put(serial, wallet + target, (since, tokens))
            if len(tokens) == self._config.tokens:
                yield self._finding(
                    columns,
                    row,
                    wallet,
                    (Severity.HIGH, 0.8),
                    f"{hex_of(wallet)} sent {len(tokens)} different tokens within "
                    f"{max(1, (now - since) // 60)} min to {hex_of(target)}, which it had never "
                    "paid before.",
                    (("tokens_to_one_stranger", float(len(tokens)), float(self._config.tokens)),),
                    (target,),
                )

    # --- the hour's outflow

    def _hours_of(self, columns: Columns, rows: Array) -> Iterator[Finding]:
        # What each wallet sent in each block, added to its hour.
        facts, wallets = columns.scored.flow_facts, columns.cells("flows")["from_address"]
        worth = np.rint(columns.flow_units[rows] * _WORTH[columns.flow_coin[rows]] * MILLI)
        worth = np.where(np.isfinite(worth), np.minimum(worth, MOST_WORTH), 0.0).astype(np.int64)
        new = (facts["pair_events"][rows] == 0) & (facts["to_events"][rows] <= STRANGE)
        blocks: dict[tuple[int, bytes], _Outflow] = {}
        places = zip(
            rows.tolist(),
            columns.flow_row[rows].tolist(),
            worth.tolist(),
            new.tolist(),
            strict=True,
        )
        for row, block, amount, strange in places:
            key = block, wallets[row]
            outflow = blocks.get(key)
            if outflow is None:
                outflow = blocks[key] = _Outflow(row)
            outflow.add(row, amount, strange)
        for (block, wallet), outflow in blocks.items():
            yield from self._hour(columns, block, wallet, outflow)

    def _hour(
        self, columns: Columns, block: int, wallet: bytes, outflow: _Outflow
    ) -> Iterator[Finding]:
        now, serial = int(columns.block_times[block]), columns.first_serial + block
        hour, spent, strange, seen = self._hours.get(wallet) or (now // HOUR, 0, 0, 0)
        if hour != now // HOUR:
            self._remember(serial, wallet, hour, spent)
            hour, spent, strange, seen = (
                now // HOUR,
                0,
                0,
                min(seen + 1, self._config.remembered_hours),
            )
        before = spent
        spent, strange = (
            min(spent + outflow.worth, MOST_WORTH),
            min(strange + outflow.strange, MOST_WORTH),
        )
        self._hours.put(serial, wallet, (hour, spent, strange, seen))
        config = self._config
        if spent < config.floor * MILLI or strange < config.new_share * spent:
            return
        limit = self._limit(wallet, hour)
        taken = self._share_of_balance(columns, block, wallet)
        beyond = limit is not None and spent > limit
        emptied = taken is not None and taken >= config.balance_share
        # Told when the hour gets there, and again at each doubling.
        told_before = before >= config.floor * MILLI and (limit is None or before > limit)
        doubled = before and (spent // before) >= 2
        if not (beyond or emptied) or (told_before and not doubled):
            return
        worst = spent > 10 * config.floor * MILLI and limit is not None and spent > 10 * limit
        grave = worst or (taken is not None and taken > 0.99)
        target = columns.cells("flows")["to_address"][outflow.largest]
        usual = (
            "nothing is known of what is usual"
            if limit is None
            else (f"the most that is usual is {limit // MILLI:,} dollars")
        )
        yield self._finding(
            columns,
            outflow.largest,
            wallet,
            (Severity.CRITICAL, 0.95) if grave else (Severity.HIGH, 0.8),
            f"About {spent // MILLI:,} dollars left {hex_of(wallet)} within this hour, "
            f"{strange / spent:.0%} of it to destinations never paid before; {usual}.",
            (
                ("outflow_dollars", spent / MILLI, 0.0 if limit is None else limit / MILLI),
                ("share_to_new_destinations", strange / spent, config.new_share),
                ("share_of_balance", taken or 0.0, config.balance_share),
            ),
            (target,),
        )

    def _remember(self, serial: int, wallet: bytes, hour: int, spent: int) -> None:
        for slot in (hour % WEEK_HOURS, ANY_HOUR):
            key = wallet + bytes([slot])
            sketch = Sketch(*(self._usual.get(key) or ((), ())))
            sketch = sketch.add([float(spent)], self._config.remembered_hours)
            self._usual.put(serial, key, (sketch.buckets, sketch.counts))

    def _limit(self, wallet: bytes, hour: int) -> int | None:
        # The most that is usual in this hour of the week, else in any hour; None: too young.
        config = self._config
        sketch = Sketch(*(self._usual.get(wallet + bytes([hour % WEEK_HOURS])) or ((), ())))
        if sketch.count >= config.samples:
            return int(sketch.quantile(config.quantile))
        sketch = Sketch(*(self._usual.get(wallet + bytes([ANY_HOUR])) or ((), ())))
        if sketch.count >= config.hours:
            return int(sketch.quantile(config.quantile) * config.times)
        return None

    def _share_of_balance(self, columns: Columns, block: int, wallet: bytes) -> float | None:
        # Of the ether before this block, how much left within it; only a node knows.
        low, high = np.searchsorted(columns.flow_row, [block, block + 1]).tolist()
        mine = (columns.flow_from[low:high] == address_word(wallet)).all(axis=1)
        mine &= columns.flow_moved[low:high] & (columns.flow_coin[low:high] == 0)
        gone = float(columns.flow_value[low:high][mine].sum())
        left = self._node.balance_at(wallet, columns.batch.position(block)) if gone else None
        return None if left is None else gone / (gone + left)

    def _finding(
        self,
        columns: Columns,
        row: int,
        wallet: bytes,
        how: tuple[Severity, float],
        sentence: str,
        values: tuple[tuple[str, float, float], ...],
        addresses: tuple[bytes, ...],
    ) -> Finding:
        flows = columns.cells("flows")
        amount = int.from_bytes(flows["value"][row], "big")
        severity, score = how
        return about_flow(
            columns,
            row,
            rule=self.id,
            rule_version=self.version,
            typology="exchange_drain",
            severity=severity,
            score=score,
            subject=wallet,
            role=Role.VICTIM,
            sentence=sentence,
            reasons=tuple(
                Reason(name, value, score / len(values), threshold)
                for name, value, threshold in values
            ),
            addresses=addresses,
            amounts=((flows["token_address"][row], amount),),
        )
