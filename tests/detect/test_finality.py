"""Finality that stays away: told once, by the chain's own limits, and never in a replay."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from chainwarden.schema import ETHEREUM, Chain, Position, Severity
from detect.alerts import AlertPolicy
from detect.detector import Detector
from detect.labels import LabelBook
from detect.rules import default_rules
from detect.rules.columns import ColumnCache
from detect.rules.finality_delay import FinalityDelay
from tests.detect.build import Block, Build, run
from tests.detect.runs import SMALL

FIRST = 18_000_000
EPOCH_START = 1606824023 + 12 * 32 * 210_000  # the first slot of an epoch, after the merge


def at(number: int) -> Position:
    """The position of a block."""
    return Position(number, b"")


class Live:
    """A rule that is told of blocks and of finality."""

    def __init__(self, first_slot: int = 0, chain: Chain = ETHEREUM) -> None:
        self.rule = FinalityDelay(chain, ColumnCache())
        self.build = Build(chain, FIRST, EPOCH_START + 12 * first_slot)

    def blocks(self, count: int, missed: int = 0) -> list[tuple[str, int, Severity]]:
        """What is said of so many blocks, with as many slots missed before each."""
        told = []
        for _ in range(count):
            self.build.time += 12 * missed
            for f in run(self.rule, self.build.batch(Block())):
                told.append((f.rule, self.build.number - 1 - FIRST, f.severity))
        return told


def test_usual_finality_is_quiet() -> None:
    """Two to three epochs behind, for as long as it goes on, nothing is said."""
    live = Live()
    for epoch in range(6):
        assert live.blocks(32) == []
        if epoch >= 2:
            live.rule.finalize(at(FIRST + 32 * (epoch - 2)))
    assert live.rule.gauges() == {"finality_delay": 191 - 96}


def test_a_stall_is_told_once_and_the_leak_once() -> None:
    """More than 128 blocks are medium; more than four epochs by the spec's count critical."""
    live = Live()
    live.blocks(33)
    live.rule.finalize(at(FIRST))
    # Block 0 is the checkpoint of its epoch; the epoch before the head's is five ahead at 192.
    assert live.blocks(300) == [
        ("finality_delay", 129, Severity.MEDIUM),
        ("inactivity_leak", 192, Severity.CRITICAL),
    ]


def test_the_checkpoint_of_an_epoch_may_lie_before_it() -> None:
    """Where an epoch's first slot was missed, the block before it is what is final of it."""
    live = Live(first_slot=31)
    live.blocks(1)  # in the last slot of an epoch, and the next epoch begins without a block
    live.blocks(1, missed=1)
    live.rule.finalize(at(FIRST))
    told = live.blocks(300)
    leak = [number for rule, number, _ in told if rule == "inactivity_leak"]
    assert leak == [192]  # six epochs after the one it is the checkpoint of began; else 160


def test_missed_slots_bring_the_leak_sooner_in_blocks() -> None:
    """Epochs are counted in slots: with every second slot missed 96 blocks are six epochs."""
    live = Live()
    live.blocks(33)
    live.rule.finalize(at(FIRST))
    told = live.blocks(110, missed=1)
    assert [rule for rule, _, _ in told] == ["finality_delay", "inactivity_leak"]
    assert told[0][1] == told[1][1] == 129  # not before the delay itself is told


def test_it_is_told_again_after_finality_was_back() -> None:
    """A second stall is news; one that goes on, finality creeping far behind, is not."""
    live = Live()
    live.blocks(33)
    live.rule.finalize(at(FIRST))
    assert len(live.blocks(140)) == 1
    live.rule.finalize(at(FIRST + 20))  # still 152 behind
    assert live.blocks(1) == []
    live.rule.finalize(at(FIRST + 150))
    assert live.blocks(10) == []
    assert [rule for rule, _, _ in live.blocks(130)] == ["finality_delay"]


def test_what_was_told_in_a_reverted_block_is_told_again() -> None:
    """The telling goes with its block and comes back with the next; the copy of a snapshot too."""
    live = Live()
    live.blocks(129)
    live.rule.finalize(at(FIRST))
    mark = live.build.mark()
    assert len(live.blocks(1)) == 1
    copy = FinalityDelay(ETHEREUM, ColumnCache())
    copy.restore(live.rule.snapshot())
    for rule in (live.rule, copy):
        rule.revert(129)
        live.build.back(mark)
        assert len(run(rule, live.build.batch(Block(fork=1)))) == 1


def test_a_replay_says_once_that_nothing_is_heard(caplog: pytest.LogCaptureFixture) -> None:
    """Without finality events there is nothing to judge, one line says so, and no gauge lies."""
    live = Live()
    with caplog.at_level(logging.INFO):
        assert live.blocks(600) == []
    assert sum("no finality" in r.message for r in caplog.records) == 1
    assert live.rule.gauges() == {}


def test_other_chains_stand_aside(caplog: pytest.LogCaptureFixture) -> None:
    """Where epochs are not known nothing is said but that."""
    base = Chain("base", 8453)
    with caplog.at_level(logging.INFO):
        live = Live(chain=base)
        live.rule.finalize(at(FIRST))
        assert live.blocks(300) == []
    assert sum("standing aside" in r.message for r in caplog.records) == 1


def test_a_block_that_is_not_the_newest_final_one_changes_nothing() -> None:
    """An older block said to be final later moves nothing back."""
    live = Live()
    live.blocks(100)
    live.rule.finalize(at(FIRST + 60))
    live.rule.finalize(at(FIRST + 30))
    assert live.rule.gauges() == {"finality_delay": 39.0}


def test_finality_leaves_the_state_of_the_chain_alone() -> None:
    """Told of finality or not: the same digest, so live equals replay; and only live has alerts."""

    def detected(*final: tuple[int, int]) -> tuple[str, list[Any]]:
        book = LabelBook()
        rules = default_rules(book, ETHEREUM)
        detector = Detector(ETHEREUM, SMALL, rules, AlertPolicy(ETHEREUM, labels=book))
        build, said = Build(number=FIRST, time=EPOCH_START), []
        for step in range(150):
            for at_block, number in final:
                if at_block == step:
                    detector.finalize(at(FIRST + number))
            found = detector.process(build.batch(Block()).batch)
            said += [alert.rule for alert in found.alerts]
        return detector.digest(), said

    quiet, none = detected()
    told, alerts = detected((1, 0))
    assert quiet == told
    assert none == []
    assert alerts == ["finality_delay"]
