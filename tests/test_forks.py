"""Forks, any tree in any order: what is left is what a fresh run on the winning chain gives."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from chainwarden.schema import ETHEREUM, Alert, BlockReverted, BlocksAdded, ChainEvent, Position
from detect.alerts import AlertConfig, AlertPolicy
from detect.detector import Detector
from detect.labels import LabelBook
from detect.rules import default_rules
from ingest.chain import ChainFollower
from tests.detect.runs import RISKY, every_third_is_bad
from tests.figures import Tell
from tests.rigs.fork_trees import LABELS, Tree, Wood, claim, together

SEEDS = 4
TREES_PER_SEED = 250
ABOUT_FORKS = ("double_spend", "reorg_depth")


def detector_of(
    book: LabelBook, undo_depth: int, without: tuple[str, ...] = ABOUT_FORKS
) -> Detector:
    """A small detector with the rules of a chain, and a budget of alerts that is soon spent.

    The rules about forks are left out, if nothing else is said: by design they know more than the
    winning chain tells (tests/detect/test_orphans.py).
    """
    rules = [rule for rule in default_rules(book, ETHEREUM) if rule.id not in without]
    policy = AlertPolicy(ETHEREUM, AlertConfig(cooldown_seconds=3600, budget_per_hour=60), book)
    config = dataclasses.replace(RISKY, undo_depth=undo_depth, learn_depth=undo_depth)
    return Detector(ETHEREUM, config, rules, policy, every_third_is_bad)


class Observed:
    """A detector, and what it said about the blocks that still stand."""

    def __init__(self, undo_depth: int = 64) -> None:
        self.detector = detector_of(LabelBook(LABELS), undo_depth)
        self.alerts: dict[tuple[str, Position], Alert] = {}
        self.features: dict[Position, pa.Table] = {}
        self.retracted: list[tuple[str, Position]] = []

    def handle(self, events: Iterable[ChainEvent]) -> None:
        """Score and undo. A block's alerts, all and only they, are taken back with it, once."""
        for event in events:
            if isinstance(event, BlocksAdded):
                self._add(event)
            elif isinstance(event, BlockReverted):
                due = sorted(key for key in self.alerts if key[1] == event.position)
                back = sorted(
                    (r.alert_id, r.position) for r in self.detector.revert(event.position)
                )
                assert back == due
                self.retracted += back
                for key in back:
                    del self.alerts[key]
                del self.features[event.position]

    def _add(self, event: BlocksAdded) -> None:
        found = self.detector.process(event.batch, event.gap)
        for alert in found.alerts:
            assert (alert.id, alert.position) not in self.alerts
            self.alerts[alert.id, alert.position] = alert
        for position in event.batch.positions():
            mine = pc.equal(found.features["block_number"], position.number)
            self.features[position] = found.features.filter(mine)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_tree_of_forks_leaves_what_the_winning_chain_alone_gives(seed: int, tell: Tell) -> None:
    """250 trees a seed, one upon the other, branches up to 64 deep, heads in any order.

    Alerts, features and the digest of all state equal, after every tree, those of a detector that
    only ever saw the winning chain; every alert of an orphaned block was retracted, and stands
    again where its transactions moved to another block.
    """
    wood, follower = Wood(seed), ChainFollower(64, linked=True)
    forked, straight = Observed(), Observed()
    first = Tree(wood.tip, heads=[wood.tip])
    for one in (forked, straight):
        one.handle(claim(ChainFollower(), first, wood.tip))
    follower.add(wood.tip.batch())
    moved: Counter[str] = Counter()
    for number in range(TREES_PER_SEED):
        tree = wood.tree()
        before, gone = len(forked.alerts), len(forked.retracted)
        for head in tree.heads:
            forked.handle(together(claim(follower, tree, head)))
        assert follower.head == wood.tip.position
        straight.handle(tree.won())
        assert forked.alerts == straight.alerts, f"tree {number}"
        assert forked.features == straight.features, f"tree {number}"
        assert forked.detector.digest() == straight.detector.digest(), f"tree {number}"
        standing = {alert for alert, _ in forked.alerts}
        back = forked.retracted[gone:]
        moved["moved"] += sum(alert in standing for alert, _ in back)
        moved["retracted"] += sum(alert not in standing for alert, _ in back)
        moved["stands"] += len(forked.alerts) - before
    rules = Counter(alert.rule for alert in straight.alerts.values())
    assert len(rules) >= 5
    assert min(moved.values()) >= 20
    tell(
        f"seed {seed}: {TREES_PER_SEED} trees of forks, alerts, features and state equal after "
        f"each; {moved['retracted']} alerts retracted, {moved['moved']} moved"
    )


@pytest.mark.timeout(600)
def test_a_thousand_flip_flops_leave_no_trace_and_no_growth() -> None:
    """Back and forth between two branches: each time the same state, alerts and size.

    A switch takes back what the branch that is left had raised, once, and raises no more than the
    other branch has.
    """
    wood, follower, run = Wood(3), ChainFollower(64, linked=True), Observed()
    run.handle(claim(follower, Tree(wood.tip, heads=[wood.tip]), wood.tip))
    for _ in range(20):
        tree = wood.tree()
        for head in tree.heads:
            run.handle(together(claim(follower, tree, head)))
    tree = wood.rivals(2)
    seen: dict[bytes, tuple[str, dict[tuple[str, Position], Alert], int]] = {}
    for switch in range(1_000):
        head = tree.heads[switch % 2]
        before, gone = set(run.alerts), len(run.retracted)
        run.handle(together(claim(follower, tree, head)))
        assert follower.head == head.position
        back = run.retracted[gone:]
        assert sorted(back) == sorted(before - set(run.alerts))
        if switch in (4, 5, 998, 999):
            now = run.detector.digest(), dict(run.alerts), len(run.detector.snapshot())
            assert seen.setdefault(head.position.hash, now) == now
    assert len(seen) == 2
    assert len({digest for digest, _, _ in seen.values()}) == 2
    assert len(run.retracted) > 999  # both branches have alerts
