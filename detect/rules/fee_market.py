"""The fee market: a base fee that its parent does not allow, fees out of season, full blocks.

What a block's fees must be follows from its parent to the wei (EIP-1559, EIP-4844), so a block that
has others was never accepted by an honest client: its node lies, or the chain has rules that this
release does not know. That is a finding and not a reason to reject the block: verification holds
a block against its own commitments, and a fork nobody knew of must not stop the pipeline.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import msgspec
import numpy as np

from chainwarden.schema import Chain, Reason, Severity
from detect.compiled import Array
from detect.fees import (
    INITIAL_BASE_FEE,
    blob_base_fee,
    blob_rules_at,
    next_base_fee,
    next_excess_blob_gas,
)
from detect.journal import Journaled
from detect.known.gas import FEE_RULES, FeeRules
from detect.quantiles import Sketch
from detect.rules.block_log import HEADER, UNKNOWN, BlockLog, Versions
from detect.rules.columns import ColumnCache, Columns
from detect.rules.rule import Finding, about_chain
from detect.scored import ScoredBatch

log = logging.getLogger(__name__)

GWEI: Final = 10**9
HOUR: Final = 3600
WEEK: Final = 168  # hours
HOUR_BLOCKS: Final = 512  # of an hour that are learnt, the last ones: an hour has 300 slots
_NO_LIMIT: Final = 2**30  # a gas limit above it is none


@dataclass(frozen=True, slots=True)
class FeeMarketConfig:
    """``rules``: by chain id. ``full``: the share of the gas limit that makes a block full;
    ``full_blocks`` in a row make an alert, ``full_blocks_severe`` a medium one (1.1 and 3.2 times
    the fee before). ``quantile`` of the fees of that hour of the week, of which at least ``known``
    must have been seen, must be exceeded for ``spike_blocks`` in a row, and ``spike_factor`` times
    their median with it; ``spike_severe`` times the quantile is medium. An hour of the week
    remembers about ``memory`` blocks, eight weeks of them.
    """

    rules: dict[int, FeeRules] = field(default_factory=lambda: dict(FEE_RULES))
    full: float = 0.95
    full_blocks: int = 5
    full_blocks_severe: int = 10
    quantile: float = 0.995
    known: int = 500
    memory: int = 2_400
    spike_blocks: int = 10
    spike_factor: float = 2.0
    spike_severe: float = 5.0


class _Season(msgspec.Struct, frozen=True, array_like=True):
    # The base fees of each hour of the week, in wei.
    hours: tuple[Sketch, ...] = (Sketch(),) * WEEK


class FeeMarket(Journaled):
    """Finds ``wrong_fee``, ``base_fee_spike`` and ``full_blocks``, each once an episode.

    Only between a block and its child. ``wrong_fee`` stands aside on chains whose fee rules are not
    known, and says so once; a source without base fees gives it nothing to judge. An hour of the
    week is judged by the same hours of weeks before, never by itself.
    """

    id = "fee_market"
    version = 1

    def __init__(
        self, chain: Chain, cache: ColumnCache, config: FeeMarketConfig | None = None
    ) -> None:
        self._config = config or FeeMarketConfig()
        kind = [*HEADER, ("full_run", np.int32), ("over_run", np.int32)]
        self._blocks = BlockLog(kind, HOUR_BLOCKS)
        self._season = Versions(_Season(), _Season)
        super().__init__({"blocks": self._blocks, "season": self._season})
        self._cache = cache
        self._rules = self._config.rules.get(chain.id)
        if self._rules is None:
            log.info("wrong_fee: no fee rules for %s, standing aside", chain.name)

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The findings in a batch, in chain order."""
        columns = self._cache.of(scored)
        known = _says_anything(columns)
        if not len(known):
            return ()
        rows, start = self._blocks.follow(columns.headers[known])
        findings = self._wrong_fees(rows, start)
        findings += self._full_blocks(rows, start)
        findings += self._spikes(rows, start)
        self._blocks.append(rows[start:])
        placed = [replace(found, block_row=int(known[found.block_row])) for found in findings]
        return sorted(placed, key=lambda finding: (finding.block_row, finding.rule))

    def gauges(self) -> dict[str, float]:
        """What the next block's fees must be, in wei, where the head says so and rules are known.

        ``next_blob_base_fee`` is by the rules at the head's own time.
        """
        head = self._blocks.last
        if head is None or self._rules is None:
            return {}
        out = {}
        expected = int(_expected_base_fees(self._blocks.rows[-1:])[0])
        if expected >= 0:
            out["next_base_fee"] = float(expected)
        blobs = blob_rules_at(int(head["time"]), self._rules.blobs)
        if blobs is not None and head["excess_blob_gas"] >= 0 and head["base_fee"] >= 0:
            used, fee = int(head["blob_gas_used"]), int(head["base_fee"])
            excess = next_excess_blob_gas(int(head["excess_blob_gas"]), max(0, used), fee, blobs)
            out["next_blob_base_fee"] = float(blob_base_fee(excess, blobs))
        return out

    # --- exact

    def _wrong_fees(self, rows: Array, start: int) -> list[Finding]:
        if self._rules is None or len(rows) < 2:
            return []
        findings = []
        parents, children = rows[max(0, start - 1) : -1], rows[max(1, start) :]
        linked = children["run"] > 1
        expected = _expected_base_fees(parents)
        first = children["number"] == self._rules.london
        expected[first & (parents["base_fee"] == UNKNOWN)] = INITIAL_BASE_FEE
        judged = linked & (expected >= 0) & (children["base_fee"] >= 0)
        for place in np.flatnonzero(judged & (children["base_fee"] != expected)).tolist():
            child, must = children[place], int(expected[place])
            row = place + max(1, start) - start
            findings.append(_wrong(row, child, "base fee", "wei", int(child["base_fee"]), must))
        has_blobs = (children["excess_blob_gas"] >= 0) & (parents["excess_blob_gas"] >= 0)
        known = has_blobs & linked & (parents["base_fee"] >= 0) & (parents["blob_gas_used"] >= 0)
        for place in np.flatnonzero(known).tolist():
            child, parent = children[place], parents[place]
            blobs = blob_rules_at(int(child["time"]), self._rules.blobs)
            if blobs is None:
                continue
            used, fee = int(parent["blob_gas_used"]), int(parent["base_fee"])
            must = next_excess_blob_gas(int(parent["excess_blob_gas"]), used, fee, blobs)
            if must != child["excess_blob_gas"]:
                row, found = place + max(1, start) - start, int(child["excess_blob_gas"])
                findings.append(_wrong(row, child, "excess blob gas", "gas", found, must))
        return findings

    # --- anomalies

    def _full_blocks(self, rows: Array, start: int) -> list[Finding]:
        config = self._config
        limits = rows["gas_limit"]
        full = (rows["gas_used"] >= config.full * limits) & (limits > 0) & (limits < _NO_LIMIT)
        runs = _fill_runs(rows, start, "full_run", full)
        findings = []
        severe = config.full_blocks_severe
        for place in np.flatnonzero((runs == config.full_blocks) | (runs == severe)).tolist():
            number, count = int(rows["number"][start + place]), int(runs[place])
            severity, score = (Severity.MEDIUM, 0.6) if count == severe else (Severity.LOW, 0.4)
            findings.append(
                about_chain(
                    "full_blocks",
                    self.version,
                    "gas",
                    severity,
                    place,
                    number,
                    f"{count} blocks in a row are {config.full:.0%} full or more, up to block "
                    f"{number}; each raises the base fee by up to an eighth.",
                    (Reason("full_blocks", float(count), score, float(config.full_blocks)),),
                )
            )
        return findings

    def _spikes(self, rows: Array, start: int) -> list[Finding]:
        fees, hours = rows["base_fee"], rows["time"] // HOUR
        if (fees < 0).all():
            return []
        findings: list[Finding] = []
        over = np.zeros(len(rows), np.bool_)
        limits = np.full(len(rows), math.nan)
        edges = np.flatnonzero(np.diff(hours[start:])) + start + 1
        for low, high in zip([start, *edges], [*edges, len(rows)], strict=True):
            if low > 0 and hours[low] != hours[low - 1]:
                self._learn(rows, int(low))
            hour = self._season.newest.hours[int(hours[low] % WEEK)]
            if hour.count >= self._config.known:
                limits[low:high] = hour.quantile(self._config.quantile)
                least = max(limits[low], self._config.spike_factor * hour.quantile(0.5))
                over[low:high] = fees[low:high] > least
        runs = _fill_runs(rows, start, "over_run", over)
        for place in np.flatnonzero(runs == self._config.spike_blocks).tolist():
            findings.append(self._spike(place, rows[start + place], float(limits[start + place])))
        return findings

    def _learn(self, rows: Array, end: int) -> None:
        """The hour that has just ended is known to the season from row ``end`` on."""
        hours = rows["time"] // HOUR
        last = slice(max(0, end - HOUR_BLOCKS), end)
        fees = rows["base_fee"][last][hours[last] == hours[end - 1]]
        fees = fees[fees > 0]
        if len(fees):
            season, hour = self._season.newest.hours, int(hours[end - 1] % WEEK)
            learnt = season[hour].add(fees.tolist(), self._config.memory)
            new = _Season((*season[:hour], learnt, *season[hour + 1 :]))
            self._season.replace(int(rows["serial"][end]), new)

    def _spike(self, place: int, row: Array, limit: float) -> Finding:
        fee, number = int(row["base_fee"]), int(row["number"])
        severe = fee >= self._config.spike_severe * limit
        severity, score = (Severity.MEDIUM, 0.6) if severe else (Severity.LOW, 0.4)
        return about_chain(
            "base_fee_spike",
            self.version,
            "gas",
            severity,
            place,
            number,
            f"The base fee is {fee / GWEI:.4g} gwei at block {number}, and has been above "
            f"{limit / GWEI:.4g} gwei, the highest of 200 usual at this hour of the week, for "
            f"{self._config.spike_blocks} blocks.",
            (Reason("base_fee_gwei", fee / GWEI, score, limit / GWEI),),
        )


def _says_anything(columns: Columns) -> Array:
    # The rows of the blocks whose source says something of gas: none of a table of transactions.
    blocks = columns.batch.blocks
    limits, fees = blocks["gas_limit"], blocks["base_fee_per_gas"]
    if not limits.null_count and not fees.null_count:
        return np.arange(len(blocks))
    if limits.null_count == fees.null_count == len(blocks):
        return np.zeros(0, np.int64)
    return np.flatnonzero((columns.headers["gas_limit"] >= 0) | (columns.headers["base_fee"] >= 0))


def _expected_base_fees(parents: Array) -> Array:
    return next_base_fee(parents["base_fee"], parents["gas_used"], parents["gas_limit"])


def _fill_runs(rows: Array, start: int, name: str, holds: Array) -> Array:
    # How many linked blocks up to each one it holds for; of the new rows, which are filled in.
    places = np.arange(len(rows))
    last = np.maximum.accumulate(np.where(holds[start:], -1, places[start:]))
    before = int(rows[name][start - 1]) if start else 0
    count = np.where(last >= 0, places[start:] - last, places[start:] - start + 1 + before)
    rows[name][start:] = np.minimum(count, rows["run"][start:])
    return np.asarray(rows[name][start:])


def _wrong(row: int, child: Array, what: str, unit: str, found: int, must: int) -> Finding:
    number = int(child["number"])
    return about_chain(
        "wrong_fee",
        FeeMarket.version,
        "consensus",
        Severity.HIGH,
        row,
        2 * number + (what != "base fee"),
        f"The {what} of block {number} is {found} {unit} where its parent demands exactly {must}: "
        "the block is of no honest client, or the chain follows rules that are not known here.",
        (Reason(what.replace(" ", "_"), float(found), 0.9, float(must)),),
    )
