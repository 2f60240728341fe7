from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.detection.__main__ import SECTIONS
from benchmarks.detection.section import Section
from benchmarks.detection.simulated import Run, run
from benchmarks.detection.typologies import COLUMNS, table, together
from chainwarden.schema import Severity
from chainwarden.scorecard import RULES, RuleScore
from ingest.simulate import SimulationConfig
from tests.conftest import ROOT
from tests.environment import environment
from tests.test_scorecard import ALERT


@pytest.fixture(scope="module")
def attacked() -> Run:
    """A short chain with two kinds of attack."""
    kinds = ("address_poisoning", "double_spend")
    return run(SimulationConfig(seed=3, blocks=330, transactions_per_block=8.0, campaigns=kinds))


def test_the_table_has_every_rule_and_finds_what_is_there(attacked: Run) -> None:
    """A row per rule of the registry; the attacks that took place are found, the others are not
    there; alerts on benign traffic are counted by rule and per 1,000 blocks."""
    noise = [
        replace(
            ALERT, id=str(n), rule="ice_phishing", severity=Severity.HIGH if n else Severity.LOW
        )
        for n in range(3)
    ]
    odd = replace(ALERT, id="x", rule="a_rule_without_a_score")
    benign = Run((*noise, odd), (), 500, 0, 0.0, {})
    rows = {row[0]: dict(zip(COLUMNS, row, strict=True)) for row in table([attacked], [benign])}
    assert rows.keys() == {*RULES, odd.rule}
    assert rows["poisoning_payoff"]["recall"] == rows["double_spend"]["recall"] == 1.0
    assert rows["safe_delegatecall"]["recall"] is None
    assert rows["ice_phishing"]["false"] == 6.0
    assert rows["ice_phishing"]["grave"] == 4.0
    assert rows["double_spend"]["false"] == 0.0


def test_alerts_that_a_fork_took_back_do_not_count(attacked: Run) -> None:
    """Every double spend needs a fork; each alert stands once, on the winning chain."""
    assert len({alert.id for alert in attacked.alerts}) == len(attacked.alerts)
    ends = {campaign.end_block for campaign in attacked.campaigns}
    assert max(alert.position.number for alert in attacked.alerts) <= max(ends) + 330


def test_scores_of_several_chains_are_one() -> None:
    """Counts add up; the delay is the median of medians, of those there are."""
    one = RuleScore("r", "t", 4, 2, 1, 2, 10.0)
    two = RuleScore("r", "t", 1, 1, 2, 2, 30.0)
    none = RuleScore("r", "t", 0, 0, 0, 1, None)
    whole = together([one, two, none])
    assert (whole.precision, whole.recall, whole.blocks_to_alert) == (0.6, 0.6, 20.0)
    assert together([none]).blocks_to_alert is None


def test_a_section_says_why_it_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """As text and as JSON; figures are rows by column name."""
    Section("x", "Nothing", skipped="no data").show()
    assert "left out, no data" in capsys.readouterr().out
    made = Section("x", "Title", ("a", "b"), [("one", None)], ("a note",))
    made.show()
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("Title", "–", "a note"))
    assert json.loads(json.dumps(made.to_dict()))["rows"] == [{"a": "one", "b": None}]


def test_an_unknown_section_is_named() -> None:
    """One line with those there are, exit code 2, nothing on stdout."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.detection", "nonsense"],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert "nonsense" in done.stderr
    assert all(name in done.stderr for name in SECTIONS)
