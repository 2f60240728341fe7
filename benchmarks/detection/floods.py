"""Floods: of fresh wallets (A1), of aimed addresses (A2), of alerts (A6)."""

from __future__ import annotations

import os
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.detection.among import among, times_of
from benchmarks.detection.simulated import Run, run
from benchmarks.detection.traffic import Transfers, batch_of
from chainwarden.schema import ETHEREUM, BlockBatch, Reason, Role, Severity, column
from chainwarden.scorecard import score_rules
from detect.alerts import DIGEST_RULE, FORK_RULES, AlertConfig, AlertPolicy
from detect.compiled import Array, compiled
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.kernels.table import siphash
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from ingest.simulate import SimulationConfig

FLOOD_WEI: Final = 10**15  # above what any rule takes for dust
CROWDED: Final = 1_024  # slots that all aimed addresses fall into


# --- A1: fresh wallets --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Flooded:
    """Campaigns found without and with a flood, rows and resident bytes on the way."""

    usual: float
    flooded: float
    wallets: int  # fresh ones in the flood
    capacity: int
    rows: int
    evicted: int
    bytes_full: int  # resident when the table had filled up
    bytes_end: int
    flood_alerts: int  # about wallets of the flood

    @property
    def kept(self) -> float:
        """The share of what is found without the flood that is found in it."""
        return self.flooded / self.usual

    @property
    def grown(self) -> float:
        """Memory at the end over that when the table had filled up."""
        return self.bytes_end / self.bytes_full


def fresh_wallets(config: SimulationConfig, capacity: int, times: int = 10) -> Flooded:
    """A simulated chain, and the same while ``times`` as many wallets as there is room for come.

    Each flood transfer is between two wallets never seen, and more than dust.
    """
    usual = run(config, DetectorConfig(wallets=capacity))
    flood = _Flood(config.blocks, capacity * times)
    flooded = run(config, DetectorConfig(wallets=capacity), flood)
    return Flooded(
        found_share(usual),
        found_share(flooded),
        flood.wallets,
        capacity,
        int(flooded.stats["wallets"]),
        int(flooded.stats["wallets_evicted"]),
        flood.bytes_full,
        resident_bytes(),
        sum(alert.subject in flood.addresses for alert in flooded.alerts),
    )


class _Flood:
    """Puts its share of the flood into each batch."""

    def __init__(self, blocks: int, wallets: int) -> None:
        self.per_block = max(1, wallets // (2 * blocks))
        self.addresses: set[bytes] = set()
        self.bytes_full = 0
        self._enough = wallets // 5
        self._rng = np.random.default_rng(1)

    @property
    def wallets(self) -> int:
        """How many came so far."""
        return len(self.addresses)

    def __call__(self, batch: BlockBatch) -> BlockBatch:
        count = self.per_block * len(batch)
        first = self.wallets
        fresh = self._rng.integers(0, 256, (2, count, 20), np.uint8)
        self.addresses.update(a.tobytes() for a in fresh.reshape(-1, 20))
        if not self.bytes_full and self.wallets >= self._enough:
            self.bytes_full = resident_bytes()
        words = np.zeros((count, 4), np.uint64)
        words[:, 3] = FLOOD_WEI
        moves = Transfers(
            np.repeat(batch.numbers(), self.per_block),
            fresh[0],
            fresh[1],
            np.zeros((count, 20), np.uint8),
            fresh[0],
            words,
            np.full(count, float(FLOOD_WEI)),
        )
        return among(batch, batch_of(moves, 2**40 + first, times_of(batch)))


def found_share(result: Run) -> float:
    """The share of campaigns that any rule of theirs found."""
    scores = score_rules(result.alerts, result.campaigns)
    own = [score for score in scores if score.typology != "anomaly"]
    return sum(score.found for score in own) / max(1, sum(score.campaigns for score in own))


def resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# --- A2: aimed addresses ------------------------------------------------------------------------


@compiled
def _aim(secret: Array, slots: int, crowd: int, seed: int, out: Array) -> int:
    """Fill ``out`` with addresses that hash into the first ``crowd`` slots; how many were tried."""
    state = np.uint64(seed)
    tries, found = 0, 0
    while found < len(out):
        for word in range(5):
            state ^= state << np.uint64(13)
            state ^= state >> np.uint64(7)
            state ^= state << np.uint64(17)
            out[found, word] = np.uint32(state >> np.uint64(32))
        tries += 1
        if siphash(secret, out[found]) % np.uint64(slots) < np.uint64(crowd):
            found += 1
    return tries


def aimed(key: bytes, wallets: int, count: int) -> Array:
    """Addresses (count, 20) that crowd the wallet table of that size under that key."""
    slots = 1 << (2 * wallets - 1).bit_length()
    out = np.zeros((count, 5), np.uint32)
    _aim(np.frombuffer(key, "<u8").copy(), slots, CROWDED, 88_172_645_463_325_252, out)
    return out.view(np.uint8).reshape(count, 20)


def slow_down(addresses: Array, key: bytes, wallets: int, repeats: int = 3) -> float:
    """Seconds for flows among these wallets over those for as many random ones."""
    rng = np.random.default_rng(2)
    random = rng.integers(0, 256, addresses.shape, np.uint8)
    batches = [_between(own) for own in (random, addresses)]
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats):
        for batch, spent in zip(batches, seconds, strict=True):
            detector = Detector(
                ETHEREUM,
                DetectorConfig(wallets=wallets, hash_key=key),
                (),
                AlertPolicy(ETHEREUM),
            )
            began = time.perf_counter()
            detector.process(batch)
            spent.append(time.perf_counter() - began)
    usual, attacked = (statistics.median(spent) for spent in seconds)
    return attacked / usual


def _between(addresses: Array) -> BlockBatch:
    """Each pays the next, twice over."""
    count = 2 * len(addresses)
    sender = np.concatenate([addresses, addresses])
    words = np.zeros((count, 4), np.uint64)
    words[:, 3] = FLOOD_WEI
    return batch_of(
        Transfers(
            np.arange(count) // 200,
            sender,
            np.roll(sender, -1, axis=0),
            np.zeros((count, 20), np.uint8),
            sender,
            words,
            np.full(count, float(FLOOD_WEI)),
        )
    )


# --- A6: alerts ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Drowned:
    """Alerts of a chain without and with noise: the criticals of both, and what became of noise."""

    criticals: frozenset[str]
    criticals_in_noise: frozenset[str]
    noise: int
    granted: int  # noise that became alerts
    digested: int  # noise that digests count
    last_hour: int  # noise of the hour that had not ended: its digest is still to come
    busiest_hour: int  # alerts below critical and above info: those have a budget of their own
    budget: int

    @property
    def lost(self) -> int:
        """Noise that nobody is told of so far."""
        return self.noise - self.granted - self.digested


def drown(config: SimulationConfig, per_block: int) -> Drowned:
    """A simulated chain, and the same while a rule speaks of so many wallets in every block."""
    usual, noise = run(config), Noise(per_block)
    drowned = run(config, rules=[noise])
    hours = Counter(
        alert.block_timestamp // 3_600
        for alert in drowned.alerts
        if Severity.INFO < alert.severity < Severity.CRITICAL
        and alert.rule not in (DIGEST_RULE, *FORK_RULES)
    )
    return Drowned(
        _criticals(usual),
        _criticals(drowned),
        noise.told,
        sum(alert.rule == noise.id for alert in drowned.alerts),
        sum(
            int(reason.value)
            for alert in drowned.alerts
            if alert.rule == DIGEST_RULE
            for reason in alert.reasons
            if reason.feature == noise.id
        ),
        noise.in_last_hour,
        max(hours.values(), default=0),
        AlertConfig().budget_per_hour,
    )


def _criticals(result: Run) -> frozenset[str]:
    return frozenset(a.id for a in result.alerts if a.severity == Severity.CRITICAL)


class Noise:
    """A rule that speaks of ``per_block`` new wallets in every block, as medium."""

    id = "noise"
    version = 1

    def __init__(self, per_block: int) -> None:
        self.per_block = per_block
        self._hours: dict[int, int] = {}  # by block; the winning one of two comes later

    @property
    def told(self) -> int:
        """What was said of the blocks that stand."""
        return self.per_block * len(self._hours)

    @property
    def in_last_hour(self) -> int:
        """What of it was said in the last hour there was."""
        last = max(self._hours.values())
        return self.per_block * sum(hour == last for hour in self._hours.values())

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """The noise of a batch; who is spoken of depends on the block alone."""
        findings = []
        times = column(scored.batch.blocks, "block_timestamp").tolist()
        for row, number in enumerate(scored.batch.numbers().tolist()):
            self._hours[number] = times[row] // 3_600
            for place in range(self.per_block):
                subject = b"noise" + (number * self.per_block + place).to_bytes(15, "big")
                findings.append(
                    Finding(
                        rule=self.id, rule_version=1, typology="anomaly", severity=Severity.MEDIUM,
                        score=0.5, subject=subject, role=Role.ATTACKER, block_row=row,
                        transaction_index=-1, transaction_hash=None, ordinal=place,
                        sentence="Noise.", reasons=(Reason("noise", 1.0, 0.5),),
                    )
                )  # fmt: skip
        return findings

    def revert(self, serial: int) -> None:
        """Nothing is kept."""

    def forget(self, serial: int) -> None:
        """Nothing is kept."""

    def snapshot(self) -> bytes:
        """Nothing."""
        return b""

    def restore(self, state: bytes) -> None:
        """Nothing."""

    def digest(self) -> str:
        """Nothing."""
        return ""
