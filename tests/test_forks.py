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
from tests.rigs.fork_trees import LABELS, Tree, Wood, claim, together

SEEDS = 4
TREES_PER_SEED = 250
ABOUT_FORKS = ("double_spend", "reorg_depth")


class Observed:
    """A detector with the rules of a chain, and what it said about the blocks that still stand.

    The rules about forks are left out: by design they know more than the winning chain tells
    (tests/detect/test_orphans.py).
    """

    def __init__(self) -> None:
        book = LabelBook(LABELS)
        rules = [rule for rule in default_rules(book, ETHEREUM) if rule.id not in ABOUT_FORKS]
        policy = AlertPolicy(ETHEREUM, AlertConfig(cooldown_seconds=3600, budget_per_hour=60), book)
        config = dataclasses.replace(RISKY, undo_depth=64, learn_depth=64)
        self.detector = Detector(ETHEREUM, config, rules, policy, every_third_is_bad)
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_any_tree_of_forks_leaves_what_the_winning_chain_alone_gives(seed: int) -> None:
    """250 trees a seed, one upon the other, branches up to 64 deep, heads in any order.

    Alerts and features equal, after every tree, those of a detector that only ever saw the winning
    chain, and after every tenth so does the digest of all state; every alert of an orphaned block
    was retracted, and stands again where its transactions moved to another block.
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
        if number % 10 == 9:
            assert forked.detector.digest() == straight.detector.digest(), f"tree {number}"
        standing = {alert for alert, _ in forked.alerts}
        back = forked.retracted[gone:]
        moved["moved"] += sum(alert in standing for alert, _ in back)
        moved["retracted"] += sum(alert not in standing for alert, _ in back)
        moved["stands"] += len(forked.alerts) - before
    assert forked.detector.digest() == straight.detector.digest()
    rules = Counter(alert.rule for alert in straight.alerts.values())
    assert len(rules) >= 5
    assert min(moved.values()) >= 20
