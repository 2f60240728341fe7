"""The compiled detector against the plain one: the same numbers, to the last bit."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.schema import ETHEREUM, Alert, BlockBatch, BlockReverted, BlocksAdded, Chain
from detect.compiled import Array
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.kernels.arrays import Events, Seen
from detect.kernels.risk import Rows
from detect.risk_findings import NAMES, RISK_RULE, contributions
from detect.risk_watch import PARTING_RULE
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.simulate import Simulation, SimulationConfig
from tests.detect.chains import START, address, batch_of
from tests.detect.plain.comparison import differences, milestone_differences
from tests.detect.plain.detector import PlainDetector, Said
from tests.detect.plain.events import told
from tests.detect.risk_story import small
from tests.detect.runs import RISKY, EveryFinding, blocks

CONFIG = dataclasses.replace(RISKY, challenger=None, wallets=24)
# As the simulated chain wants it: labels after some minutes, judged for half an hour.
SOON = dataclasses.replace(
    small(), delay_seconds=300, life_seconds=1800, capacity=400, warm_up=5, wallets=1024
)
Outcomes = Callable[[bytes, int], bool]


@dataclass(frozen=True)
class Heard:
    """A block, who was to be asked for again before it, and what came of it."""

    block: BlockBatch
    turned: set[bytes]
    features: pa.Table
    own: Array
    rows: Rows
    findings: list[Finding]


class Watched(Detector):
    """A detector that keeps what the risk model was given and said of the last blocks."""

    own: Array
    rows: Rows

    def _rate(
        self, batch: BlockBatch, events: Events, seen: Seen, flow_scores: Array, scores: Array
    ) -> Rows | None:
        rows = super()._rate(batch, events, seen, flow_scores, scores)
        assert rows is not None
        self.own, self.rows = seen.wallet_features, rows
        return rows


class Listening(EveryFinding):
    """A policy that keeps the findings of the last blocks, but for those about a model itself."""

    findings: list[Finding]

    def decide(self, findings: Sequence[Finding], scored: ScoredBatch) -> tuple[Alert, ...]:
        """No alerts."""
        del scored
        self.findings = [finding for finding in findings if finding.rule != PARTING_RULE]
        return ()


class Course:
    """A detector fed block by block, forks and new labels included, and the plain one after it."""

    def __init__(self, config: DetectorConfig, outcomes: Outcomes, chain: Chain = ETHEREUM) -> None:
        self.config, self.outcomes = config, outcomes
        self.policy, self.turned = Listening(), set[bytes]()
        self.detector = Watched(chain, config, [], self.policy, outcomes, self._asked)
        self.heard: list[Heard] = []

    def _asked(self) -> set[bytes]:
        asked, self.turned = self.turned, set()
        return asked

    def add(self, block: BlockBatch, turned: Iterable[bytes] = ()) -> None:
        """One block; the labels of ``turned`` are others from now on."""
        self.turned |= set(turned)
        asked, features = set(self.turned), self.detector.process(block).features
        own, rows = self.detector.own, self.detector.rows
        self.heard.append(Heard(block, asked, features, own, rows, self.policy.findings))

    @property
    def now(self) -> int:
        """The head's time, 0 before the first block."""
        return int(self.heard[-1].block.blocks["block_timestamp"][0].as_py()) if self.heard else 0

    def drop(self) -> None:
        """Revert the head; who was asked for with it is asked for again with the next block."""
        last = self.heard.pop()
        self.detector.revert(last.block.position(0))
        self.turned |= last.turned

    def compare(self) -> list[Said]:
        """Everything said of the blocks that stayed is what the plain detector says of these."""
        plain, every = PlainDetector(self.config, self.outcomes), []
        for heard in self.heard:
            (block,) = told(heard.block)
            said = plain.process(block, heard.turned)
            found = differences(heard.features, said)
            found |= milestone_differences(heard.own, heard.rows.features, heard.rows.risks, said)
            assert {k: v for k, v in found.items() if v != 0.0} == {}, block.number
            assert Counter((f.rule, f.subject, f.score) for f in heard.findings) == Counter(
                finding for one in said for finding in one.found
            )
            _compare_evidence(heard.findings, said)
            every += said
        stats = self.detector.stats()
        assert stats["flow_score_drifts"] == plain.flow_model.drifts
        assert stats["wallet_score_drifts"] == plain.wallet_model.drifts
        assert plain.risk is not None
        assert stats["risk_rows_waiting"] == len(plain.risk.waiting)
        assert stats["risk_rows_learnt_bad"] == plain.risk.pairs.bad
        return every


def _compare_evidence(findings: Sequence[Finding], said: Sequence[Said]) -> None:
    """What a risk finding says moved it is what the plain model's shares make of it."""
    plain = {}
    for one in said:
        for at, rated in one.milestones:
            if rated is not None and rated.shares is not None:
                plain[at.wallet.address, rated.risk] = contributions(np.array(rated.shares))
    for finding in findings:
        if finding.rule == RISK_RULE:
            usual, parts = plain[finding.subject, finding.score]
            assert finding.reasons[0].contribution == usual
            for reason in finding.reasons[1:-1]:
                assert reason.contribution == parts[NAMES.index(reason.feature)]


def a_third_is_bad(wallet: bytes, now: int) -> bool:
    """One third of all wallets until some day, another one after it."""
    return wallet[0] % 3 == (0 if now < START + 20 * 86_400 else 1)


@settings(deadline=None, max_examples=4)
@given(
    seed=st.integers(0, 2**32),
    forks=st.lists(st.tuples(st.integers(20, 90), st.integers(1, 8)), max_size=3),
    turns=st.sets(st.integers(30, 90), max_size=3),
)
def test_every_number_is_the_plain_detectors(
    seed: int, forks: list[tuple[int, int]], turns: set[int]
) -> None:
    """On random chains with full tables, forks and labels that change, nothing differs."""
    course = Course(CONFIG, a_third_is_bad)
    wallets = {address(f"wallet {n}") for n in range(30)}
    for number in range(100):
        course.add(batch_of(blocks(seed, number, number + 1)), wallets if number in turns else ())
        for n, (_, depth) in enumerate(fork for fork in forks if fork[0] == number):
            for _ in range(depth):
                course.drop()
            for again in range(number - depth + 1, number + 1):
                course.add(batch_of(blocks(seed + n + 1, again, again + 1)))
    said = course.compare()
    assert sum(one.from_risk is not None for one in said) > 10
    assert sum(one.flow_score is not None for one in said) > 100


def test_a_simulated_chain_gives_the_plain_detectors_numbers() -> None:
    """Attacks, forks, and attackers that are found out half-way: nothing differs."""
    simulation = Simulation(SimulationConfig(seed=3, blocks=130, transactions_per_block=3.0))
    follower, events = ChainFollower(64), list[BlocksAdded | BlockReverted]()
    for raw in simulation.blocks():
        for event in follower.add(decode_blocks(simulation.chain, [raw], [True])):
            if isinstance(event, BlocksAdded | BlockReverted):
                events.append(event)
    attackers = {
        bytes.fromhex(text[2:])
        for campaign in simulation.truth().campaigns
        for text in campaign.addresses.get("attacker", [])
    }
    found_out = simulation.config.start_time + 65 * 12
    course = Course(
        dataclasses.replace(CONFIG, learn_depth=8, undo_depth=64, risk=SOON, window_size=250),
        lambda wallet, now: wallet in attackers and (now > found_out or wallet[0] % 2 == 0),
        simulation.chain,
    )
    reverted = 0
    for event in events:
        if isinstance(event, BlockReverted):
            course.drop()
            reverted += 1
        else:
            for block in event.batch.split():
                now = block.blocks["block_timestamp"][0].as_py()
                late = now > found_out and course.now <= found_out
                course.add(block, attackers if late else ())
    said = course.compare()
    assert reverted > 0
    assert len(said) > 3_000
    assert sum(one.from_risk is not None for one in said) > 500
    assert sum(len(one.found) for one in said) > 20
