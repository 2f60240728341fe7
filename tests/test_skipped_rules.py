"""A rule that fails says which it is, and can be left out."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from chainwarden.deployment import make_detector, new_book
from chainwarden.errors import RuleFailed, SettingsError
from chainwarden.schema import ETHEREUM
from chainwarden.settings import DetectSettings, Settings
from detect.detector import Detector
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from tests.detect.build import Block, Build
from tests.detect.runs import SMALL, Busy, EveryFinding


class Broken(Busy):
    """A rule with a bug."""

    id = "broken"

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """Fail."""
        raise IndexError(f"a bug, with {len(scored.batch)} blocks")


def test_a_rule_that_fails_names_itself_and_the_blocks(caplog: pytest.LogCaptureFixture) -> None:
    """The error says rule, block and setting, and the log has where it happened."""
    batch = Build().batch(Block(), Block()).batch
    detector = Detector(ETHEREUM, SMALL, (Broken(),), EveryFinding())
    first, last = batch.numbers()
    with pytest.raises(RuleFailed, match=f"rule broken failed at one of blocks {first} to {last}"):
        detector.process(batch)
    with pytest.raises(RuleFailed, match=r'IndexError: .* set detect.skip_rules = \["broken"\]'):
        Detector(ETHEREUM, SMALL, (Broken(),), EveryFinding()).process(batch.slice(0, 1))
    assert "in evaluate" in caplog.text


def test_a_rule_that_is_skipped_is_not_run() -> None:
    """Of the detector's rules those that are named are missing, and no other."""
    every = rules_of(Settings())
    skipping = Settings(detect=DetectSettings(skip_rules=["sybil", "taint"]))
    assert every - rules_of(skipping) == {"sybil", "taint"}


def rules_of(settings: Settings) -> set[str]:
    """The rules that a detector of these settings runs, by the seconds that it counts of each."""
    stats = make_detector(settings, ETHEREUM, new_book()).detector.stats()
    return {name.removeprefix("rule_seconds.") for name in stats if "rule_seconds." in name}


def test_a_rule_there_is_not_cannot_be_skipped() -> None:
    """A misspelt name is answered with the names there are."""
    settings = msgspec.convert({"detect": {"skip_rules": ["sibyl"]}}, Settings)
    with pytest.raises(SettingsError, match=r"no rule 'sibyl' .*\bsybil\b"):
        make_detector(settings, ETHEREUM, new_book())
