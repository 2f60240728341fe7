"""Real address poisonings replayed into benign traffic: how many are found, how many made up.

Each of the 75 recorded transfers comes as many blocks after the genuine one as it did, by its own
attacker, on its own victim, signed by its own operator. False alarms are findings about anything
else: before the policy, so that no cool-down or budget hides one.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.detection.section import DATA, Cell, Section
from benchmarks.detection.traffic import Transfers, batches, benign, hash_of, merged, transfer
from chainwarden.schema import ETHEREUM, Alert
from detect.alerts import AlertPolicy
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook
from detect.rules import default_rules
from detect.rules.rule import Finding
from detect.scored import ScoredBatch

TRANSFERS: Final = DATA / "poisoning" / "transfers.csv"
TITLE: Final = "Address poisoning: 75 real transfers replayed into benign traffic"
RULES: Final = ("address_poisoning", "poisoning_payoff")
COLUMNS: Final = ("what", "transfers", "found", "per million")
WORDS: Final = {"dust": "dust", "zero": "nothing", "fake": "a fake token"}
DOLLAR: Final = 10**6
MARGIN: Final = 2_000  # blocks of traffic before the first genuine transfer
PER_BLOCK: Final = 100


class Witness(AlertPolicy):
    """The policy, which keeps what the rules found before it decides."""

    def __init__(self, labels: LabelBook) -> None:
        super().__init__(ETHEREUM, labels=labels)
        self.found: list[Finding] = []

    def decide(self, findings: Sequence[Finding], scored: ScoredBatch) -> tuple[Alert, ...]:
        """As the policy does."""
        self.found += [finding for finding in findings if finding.rule in RULES]
        return super().decide(findings, scored)


def section(quick: bool) -> Section:
    """Found by kind, and false alarms per million; ``quick`` has a tenth of the traffic."""
    if not TRANSFERS.exists():
        return Section("poisoning", TITLE, skipped="the real transfers are not beside the project")
    count = 100_000 if quick else 1_000_000
    rows, notes = measure(read(TRANSFERS), count)
    return Section("poisoning", TITLE, COLUMNS, rows, notes)


def read(path: Path) -> list[dict[str, str]]:
    """The recorded transfers; the file's last two columns have no name in its header."""
    with path.open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    return [dict(zip([*header, "side", "digits"], row, strict=True)) for row in rows]


def measure(
    recorded: Sequence[dict[str, str]], count: int, seed: int = 1
) -> tuple[list[tuple[Cell, ...]], tuple[str, ...]]:
    """Rows and notes for the recorded transfers among ``count`` benign ones."""
    span = max(int(row["block_distance"]) for row in recorded) + 2 * MARGIN
    # As many transfers to a block as there are in life, in as many of the blocks as that fills.
    numbers = np.unique(np.linspace(0, span, max(2, count // PER_BLOCK)).astype(np.int64))
    outcome = replay(merged([benign(count, numbers, seed), *staged(recorded, span)]), recorded)
    rows: list[tuple[Cell, ...]] = [
        (
            f"poisonings by {WORDS[kind]}",
            sum(row["phishing_type"] == kind for row in recorded),
            outcome.found[kind],
            None,
        )
        for kind in WORDS
    ]
    rows.append(("poisonings", len(recorded), sum(outcome.found.values()), None))
    rows.append(
        ("benign transfers", count, outcome.false_alarms, 1e6 * outcome.false_alarms / count)
    )
    notes = (
        f"benign traffic in {len(numbers):,} blocks out of {span:,}, so that each poison keeps its"
        " distance from the genuine payment",
        f"found by the rule, before the policy: {outcome.held_back} of the findings waited for a"
        " digest",
    )
    return rows, notes


def staged(recorded: Sequence[dict[str, str]], span: int) -> list[Transfers]:
    """The genuine and the poisonous transfers; the poisons are spread over the last blocks."""
    out = []
    for place, row in enumerate(recorded):
        end = span - MARGIN + place * MARGIN // len(recorded)
        victim, imitated = address(row["victim"]), address(row["similar_norm"])
        genuine = USDT if row["symbol"] == "usdt" else USDC
        start = end - int(row["block_distance"])
        out.append(transfer(start, victim, imitated, genuine, victim, 500 * DOLLAR))
        value = {"dust": DOLLAR // 1000, "zero": 0, "fake": 500 * DOLLAR}[row["phishing_type"]]
        token, signer = address(row["fake_token_address"]), address(row["tx_from"])
        out.append(transfer(end, *_parties(row), token, signer, value))
    return out


@dataclass(frozen=True, slots=True)
class Outcome:
    """Recorded transfers found, by kind; findings about anything else; findings no alert told."""

    found: Counter[str]
    false_alarms: int
    held_back: int


def replay(traffic: Transfers, recorded: Sequence[dict[str, str]]) -> Outcome:
    """The traffic through the whole detector. Found is what is told of the right lookalike."""
    labels = LabelBook()
    policy = Witness(labels)
    detector = Detector(ETHEREUM, DetectorConfig(), default_rules(labels, ETHEREUM), policy)
    alerts = 0
    for batch in batches(traffic):
        alerts += sum(alert.rule in RULES for alert in detector.process(batch).alerts)
    poisons = {_parties(row): row for row in recorded}
    pairs = (
        (traffic.sender[n].tobytes(), traffic.receiver[n].tobytes()) for n in range(len(traffic))
    )
    hashes = {hash_of(n): poisons[pair] for n, pair in enumerate(pairs) if pair in poisons}
    told = {(finding.transaction_hash, finding.subject) for finding in policy.found}
    return Outcome(
        Counter(
            row["phishing_type"]
            for hash_, row in hashes.items()
            if (hash_, address(row["attacker"])) in told
        ),
        sum(finding.transaction_hash not in hashes for finding in policy.found),
        len(policy.found) - alerts,
    )


def address(text: str) -> bytes:
    """20 bytes of ``0x…`` text."""
    return bytes.fromhex(text.removeprefix("0x"))


def _parties(row: dict[str, str]) -> tuple[bytes, bytes]:
    """Sender and receiver of a poisonous transfer: only dust comes from the attacker."""
    attacker, victim = address(row["attacker"]), address(row["victim"])
    return (attacker, victim) if row["phishing_type"] == "dust" else (victim, attacker)
