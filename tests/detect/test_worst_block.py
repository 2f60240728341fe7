"""The worst block that gas can buy, 34,168 logs, goes through every rule in its time."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from chainwarden.schema import ETHEREUM
from detect.alerts import AlertPolicy
from detect.detector import RULE_BUDGET_SECONDS, Detector
from detect.known.mixers import TORNADO_WITHDRAWAL
from detect.known.tokens import USDC, USDT
from detect.labels import LabelBook, builtin_labels
from detect.rules import default_rules
from detect.rules.rule import Finding
from detect.scored import ScoredBatch
from tests.detect.build import Block, Build, Tx, uint, wallet, word
from tests.detect.runs import SMALL, Busy

LOGS = 34_168  # of three topics and 32 bytes, in 60 M gas
A_TRANSACTION = 9_554  # in the 2^24 gas that one may use
HEADER = {"gas_limit": 60_000_000, "gas_used": 60_000_000, "base_fee_per_gas": 10**9}


def logs(shape: str, first: int, count: int) -> Tx:
    """A transaction of so many logs: transfers of listed or fake tokens, approvals, or others."""
    sender, target = wallet(first), wallet(first + 1)
    tx = Tx(sender, target, nonce=first, salt=first, gas_used=15_000_000)
    for n in range(count):
        one, two = wallet(10 + (7 * n) % 5_000), wallet(10 + (11 * n + first) % 5_000)
        if shape == "approvals":
            tx.approvals.append(
                {"token_address": USDC, "owner": one, "spender": two, "value": 2**256 - 1}
            )
        elif shape == "others":
            tx.logs.append((target, [TORNADO_WITHDRAWAL, word(one)], word(two) + uint(n)))
        else:
            token = {"listed": USDT, "dust": USDC, "fake": wallet(9_000 + n % 50)}[shape]
            tx.tokens.append((token, one, two, 1 if shape == "dust" else 10**9))
    return tx


def worst(shape: str, most: int = A_TRANSACTION) -> ScoredBatch:
    """A block full of logs of that shape, about wallets nobody knows."""
    counts = [min(most, count) for count in [A_TRANSACTION] * 3 + [LOGS - 3 * A_TRANSACTION]]
    txs = [logs(shape, 20_000 + 2 * n, count) for n, count in enumerate(counts)]
    return Build().batch(Block(txs, header={**HEADER, "miner": wallet(1)}))


@pytest.mark.parametrize("shape", ["listed", "dust", "fake", "approvals", "others"])
def test_the_worst_block_passes_all_rules_in_a_slot(shape: str) -> None:
    """All rules together take less than the twelve seconds of a slot, each its own share."""
    labels = LabelBook(builtin_labels())
    for rule in default_rules(labels, ETHEREUM):
        rule.evaluate(worst(shape, 40))  # kernels are compiled at the start, not in a block
    rules, batch = default_rules(labels.twin(), ETHEREUM), worst(shape)
    spent: dict[str, float] = {}
    for rule in rules:
        began = time.process_time()
        rule.evaluate(batch)
        spent[rule.id] = time.process_time() - began
    assert sum(spent.values()) < 12.0, spent


class Slow(Busy):
    """A rule that takes longer than it may when there is anything at all."""

    id = "slow"

    def evaluate(self, scored: ScoredBatch) -> Sequence[Finding]:
        """Say what the busy rule says, late."""
        time.sleep(1.1 * RULE_BUDGET_SECONDS * len(scored.batch))
        return super().evaluate(scored)


def test_a_rule_that_takes_too_long_is_counted_and_not_skipped() -> None:
    """Over its budget for a block a rule is counted in the stats, and says what it has to say."""
    found = []
    for rule in (Busy(), Slow()):
        policy = AlertPolicy(ETHEREUM, labels=LabelBook())
        detector = Detector(ETHEREUM, SMALL, [rule], policy)
        txs = [Tx(wallet(n), wallet(n + 1), 5, salt=n) for n in range(9)]
        alerts = detector.process(Build().batch(Block(txs)).batch).alerts
        found.append([alert.sentence for alert in alerts])
        stats = detector.stats()
        assert stats[f"rule_over_budget.{rule.id}"] == float(rule.id == "slow")
    assert found[0] == found[1] != []
