"""What simulated trouble with blocks themselves looks like."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from ingest.simulate.contracts import ETHER
from tests.ingest.campaigns.reading import (
    role,
    several,
)
from tests.ingest.simulated import Run


def test_double_spends_reuse_the_nonce_for_another_recipient(chain: Run) -> None:
    """The merchant's payment is only on the branch that lost, at depth one to three."""
    depths = set()
    for campaign in several(chain, "double_spend"):
        first, second = campaign.transactions
        lost, won = chain.orphaned[first], chain.mined[second]
        assert first not in chain.mined
        assert (lost.sender, lost.transaction.nonce) == (won.sender, won.transaction.nonce)
        assert lost.to == role(campaign, "merchant")
        assert won.to == role(campaign, "own_address")
        assert lost.value == won.value >= 10 * ETHER
        depths.add(campaign.note.split(" depth ")[1][0])
    assert depths == {"1", "2", "3"}


def test_outages_miss_many_slots(chain: Run) -> None:
    """At least five of 64 slots are missed, four of them in a row."""
    for campaign in chain.campaigns("consensus"):
        times = [
            int(raw.block.timestamp, 16)
            for raw in chain.canonical
            if campaign.start_block - 1 <= int(raw.block.number, 16) <= campaign.end_block
        ]
        missed = [(after - before) // 12 - 1 for before, after in pairwise(times)]
        assert max(missed) >= 4
        assert sum(missed) >= 5
        assert (times[-1] - times[0]) // 12 <= 64


def test_gas_spam_fills_blocks_from_few_wallets(chain: Run) -> None:
    """A few wallets call one fresh contract block after block, for half of what blocks hold."""
    (campaign,) = chain.campaigns("gas_spam")
    target = role(campaign, "spammed_contract")
    calls = [m for m in chain.of(campaign) if m.to == target]
    blocks = Counter(m.number for m in calls)
    gas = sum(int(m.receipt.gas_used, 16) for m in calls)
    limit = int(chain.blocks[0].block.gas_limit, 16)
    assert len(blocks) >= 12
    assert max(blocks) - min(blocks) <= 24
    assert gas >= 0.5 * limit * len(blocks)
    assert 2 <= len({m.sender for m in calls}) <= 4
    full = [
        int(raw.block.gas_used, 16) >= 0.95 * limit
        for raw in chain.canonical
        if min(blocks) <= int(raw.block.number, 16) <= max(blocks)
    ]
    assert sum(full) >= 6


def test_one_builder_comes_to_build_nearly_every_block(chain: Run) -> None:
    """Before it the biggest has 44 %, from then on nearly all."""
    (campaign,) = chain.campaigns("builders")
    assert campaign.end_block == int(chain.canonical[-1].block.number, 16)
    shares = []
    for captured in (False, True):
        miners = [
            raw.block.miner
            for raw in chain.canonical
            if (int(raw.block.number, 16) >= campaign.start_block) == captured
        ]
        shares.append(Counter(miners).most_common(1)[0][1] / len(miners))
    assert 0.38 < shares[0] < 0.5
    assert shares[1] > 0.95
