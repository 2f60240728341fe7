"""Detectors on random chains, with what they said about each block."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.schema import ETHEREUM, Alert, Role, Severity, alert_id
from detect.anomaly import AnomalyGates
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.risk_config import RiskConfig
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from tests.detect.chains import START, Block, Shape, batch_of, random_block
from tests.detect.risk_story import REFERENCE, STAKES, TREES

SMALL = DetectorConfig(
    wallets=64,
    tokens=16,
    pairs=256,
    learn_depth=5,
    undo_depth=8,
    n_trees=4,
    height=4,
    window_size=30,
    flow_level=0.9,
    wallet_level=0.9,
    gates=AnomalyGates(flow_value=1e18, wallet_value=1e18, wallet_events=2),
)


# With a risk model and its challenger: labels after five days, more rows than there is room for.
RISK = RiskConfig(
    delay_seconds=5 * 86_400,
    life_seconds=9 * 86_400,
    capacity=40,
    wallets=64,
    rate=0.1,
    warm_up=2,
    trees=TREES,
    stake=STAKES,
    reference=dataclasses.replace(REFERENCE, every_seconds=9 * 86_400, warm_up=2),
)
RISKY = dataclasses.replace(
    SMALL, risk=RISK, challenger=dataclasses.replace(RISK, rate=0.3, alert=0.4)
)


def every_third_is_bad(wallet: bytes, now: int) -> bool:
    """The labels, from a week after the chain's start on."""
    return wallet[0] % 3 == 0 and now > START + 7 * 86_400


class Busy:
    """A rule whose state is the number of flows per block, and a finding at each contract met."""

    id = "busy"
    version = 1

    def __init__(self) -> None:
        self.counts: list[int] = []

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """Count, and find the busy ones."""
        numbers = scored.batch.flows["block_number"].to_numpy()
        findings = []
        for row, number in enumerate(scored.batch.numbers()):
            assert scored.first_serial + row == len(self.counts)
            self.counts.append(int((numbers == number).sum()))
            if self.counts[-1] > 6:
                findings.append(self.finding(row, scored))
        return findings

    def finding(self, row: int, scored: ScoredBatch) -> Finding:
        """What is said of a busy block."""
        return Finding(
            rule=self.id,
            rule_version=1,
            typology="anomaly",
            severity=Severity.INFO,
            score=0.5,
            subject=bytes(20),
            role=Role.UNKNOWN,
            block_row=row,
            transaction_index=-1,
            transaction_hash=None,
            ordinal=int(scored.batch.numbers()[row]),
            sentence="A busy block.",
        )

    def revert(self, serial: int) -> None:
        """Undo the last block, and no other."""
        assert serial == len(self.counts) - 1
        self.counts.pop()

    def forget(self, serial: int) -> None:
        """Nothing is kept for undo."""

    def snapshot(self) -> bytes:
        """The counts."""
        return msgspec.json.encode(self.counts)

    def restore(self, state: bytes) -> None:
        """Take the counts over."""
        self.counts = msgspec.json.decode(state, type=list[int])

    def digest(self) -> str:
        """The counts."""
        return str(self.counts)


class EveryFinding:
    """A policy that lets every finding through and remembers the alerts of each block."""

    def __init__(self) -> None:
        self.alerts: dict[int, list[str]] = {}

    def decide(self, findings: Sequence[Finding], scored: ScoredBatch) -> tuple[Alert, ...]:
        """An alert for each."""
        return tuple(self._alert(finding, scored) for finding in findings)

    def _alert(self, f: Finding, scored: ScoredBatch) -> Alert:
        batch = scored.batch
        ident = alert_id(ETHEREUM, f.rule, 1, f.subject, f.transaction_hash, f.ordinal)
        self.alerts.setdefault(scored.first_serial + f.block_row, []).append(ident)
        return Alert(
            id=ident,
            chain=ETHEREUM,
            rule=f.rule,
            rule_version=1,
            typology=f.typology,
            severity=f.severity,
            score=f.score,
            subject=f.subject,
            role=f.role,
            position=batch.position(f.block_row),
            block_timestamp=batch.blocks["block_timestamp"][f.block_row].as_py(),
            transaction_hash=f.transaction_hash,
            ordinal=f.ordinal,
            sentence=f.sentence,
            reasons=f.reasons,
            evidence=f.evidence,
        )

    def revert(self, serial: int) -> tuple[str, ...]:
        """The ids of the last block's alerts."""
        return tuple(self.alerts.pop(serial, []))

    def forget(self, serial: int) -> None:
        """Alerts stay for the digest."""

    def snapshot(self) -> bytes:
        """The ids."""
        return msgspec.json.encode({str(k): v for k, v in self.alerts.items()})

    def restore(self, state: bytes) -> None:
        """Take the ids over."""
        self.alerts = {int(k): v for k, v in msgspec.json.decode(state).items()}

    def digest(self) -> str:
        """The ids."""
        return str(sorted(self.alerts.items()))


def detector(config: DetectorConfig = RISKY) -> Detector:
    """A detector that has seen nothing."""
    return Detector(ETHEREUM, config, [Busy()], EveryFinding(), every_third_is_bad)


def blocks(seed: int, first: int, stop: int) -> list[Block]:
    """Blocks of a chain, or of a fork of it."""
    return [
        random_block(n, str(seed), Shape(wallets=30, transactions=4)) for n in range(first, stop)
    ]


class Run:
    """A detector fed block by block or in batches, with what it said about each block."""

    def __init__(self) -> None:
        self.detector = detector()
        self.chain: list[Block] = []
        self.said: list[tuple[pa.Table, tuple[Alert, ...]]] = []

    def add(self, chain: list[Block]) -> None:
        """Process blocks as one batch."""
        found = self.detector.process(batch_of(chain))
        for block in chain:
            mask = pc.equal(found.features["block_number"], block.number)
            alerts = tuple(a for a in found.alerts if a.position == block.position)
            self.said.append((found.features.filter(mask), alerts))
        self.chain += chain

    def drop(self) -> None:
        """Revert the head; exactly its alerts are taken back."""
        block, (_, alerts) = self.chain.pop(), self.said.pop()
        retracted = self.detector.revert(block.position)
        assert [r.alert_id for r in retracted] == [a.id for a in alerts]
        assert all(r.position == block.position for r in retracted)

    def check_against_a_fresh_run(self) -> None:
        """All that was said, and the state, is what the chain alone would have given."""
        fresh = Run()
        fresh.add(self.chain)
        assert self.detector.digest() == fresh.detector.digest()
        assert self.detector.head == fresh.detector.head
        for (features, alerts), (other, expected) in zip(self.said, fresh.said, strict=True):
            assert features.equals(other)
            assert alerts == expected
