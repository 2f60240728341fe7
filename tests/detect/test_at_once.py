"""Rules that read no score work while the models do, and nothing of the result is another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

from benchmarks.detection.simulated import events_of, label_book
from chainwarden.errors import DetectError, RuleFailed
from chainwarden.schema import ETHEREUM, Alert, BlocksAdded
from detect import detector as detector_module
from detect.alerts import AlertPolicy
from detect.detector import Detector
from detect.detector_config import DetectorConfig
from detect.rules import default_rules
from detect.rules.rule import Finding, Rule
from detect.scored import ScoredBatch
from ingest.simulate import Simulation, SimulationConfig
from tests.detect.chains import batch_of
from tests.detect.runs import RISK, SMALL, Busy, EveryFinding, blocks, every_third_is_bad

CONFIG = DetectorConfig(risk=RISK)
SIMULATED = SimulationConfig(blocks=400, seed=5)
Told = tuple[list[Alert], list[pa.Table], str]


def told(make: Callable[[Simulation], Detector]) -> Told:
    """Alerts, features and state after the simulated chain, forks included."""
    simulation = Simulation(SIMULATED)
    detector = make(simulation)
    alerts: list[Alert] = []
    features: list[pa.Table] = []
    for event in events_of(simulation):
        if isinstance(event, BlocksAdded):
            found = detector.process(event.batch, event.gap)
            alerts += found.alerts
            features.append(found.features)
        else:
            detector.revert(event.position)
    return alerts, features, detector.digest()


def with_rules(simulation: Simulation, *, early: bool) -> Detector:
    """With all of our rules, that come before the models or after them."""
    book = label_book(simulation)
    policy = AlertPolicy(simulation.chain, labels=book)
    rules: list[Rule] = default_rules(book, simulation.chain)
    late, ahead = ([], rules) if early else (rules, [])
    return Detector(simulation.chain, CONFIG, late, policy, every_third_is_bad, None, ahead)


@pytest.fixture(name="as_of_scores", scope="module")
def _as_of_scores() -> Told:
    """What is told when every rule is shown the scores."""
    return told(lambda simulation: with_rules(simulation, early=False))


def rules_first(
    models: Callable[[], object], rules: Callable[[], object], *, at_once: bool
) -> tuple[object, object]:
    """What both return, with no score there yet when the rules look."""
    del at_once
    found = rules()
    return models(), found


@pytest.mark.parametrize("how", ["before", "beside", "after"])
def test_none_of_our_rules_reads_a_score(
    as_of_scores: Told, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the models, beside them or after them: the same alerts, features and state."""
    monkeypatch.setattr(detector_module, "APART_FLOWS", 0 if how == "beside" else 1 << 60)
    if how == "before":
        monkeypatch.setattr(detector_module, "_both", rules_first)
    mine = told(lambda simulation: with_rules(simulation, early=True))
    assert len(mine[0]) > 50
    scored = sum(len(table) - table["flow_score"].null_count for table in mine[1])
    assert scored > 1_000
    assert mine == as_of_scores


def test_an_early_rule_is_shown_no_features() -> None:
    """One that comes later has a row of them for each flow."""
    seen: dict[bool, tuple[int, int]] = {}

    class Reader(Busy):
        def __init__(self, late: bool) -> None:
            super().__init__()
            self.id, self.late = f"reader {late}", late

        def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
            seen[self.late] = scored.features.num_rows, len(scored.flow_facts)
            return ()

    early, late = Reader(False), Reader(True)
    detector = Detector(ETHEREUM, SMALL, [late], EveryFinding(), early=[early])
    detector.process(batch_of(blocks(3, 0, 20)))
    assert seen[False][0] == 0
    assert seen[True][0] == seen[True][1] == seen[False][1] > 0


@pytest.mark.parametrize("apart", [0, 1 << 60])
def test_what_fails_on_either_side_is_raised_when_both_have_ended(
    apart: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule's failure, a model's, and no thread that goes on with a state that is lost."""
    monkeypatch.setattr(detector_module, "APART_FLOWS", apart)
    before, batch = threading.active_count(), batch_of(blocks(4, 0, 20))

    class Broken(Busy):
        def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
            raise IndexError(f"a bug, with {len(scored.batch)} blocks")

    def no_space(_: pa.Table) -> None:
        raise DetectError("the disk is full")

    with pytest.raises(RuleFailed, match="a bug"):
        Detector(ETHEREUM, SMALL, [], EveryFinding(), early=[Broken()]).process(batch)
    with pytest.raises(DetectError, match="the disk is full"):
        Detector(ETHEREUM, SMALL, [], EveryFinding(), early=[Busy()]).process(batch, heard=no_space)
    assert threading.active_count() == before
