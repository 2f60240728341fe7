from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pytest

from benchmarks.detection import floods, framing, hardness, worst_block
from benchmarks.detection.among import among, times_of
from benchmarks.detection.hardness import KEY, OTHER_KEY, QUICK
from benchmarks.detection.traffic import batch_of, benign
from chainwarden.schema import BlockBatch, FlowKind, column
from detect.kernels.table import siphash
from detect.known.tokens import USDC
from ingest.simulate import SimulationConfig

SMALL = SimulationConfig(seed=5, blocks=330, transactions_per_block=8.0)


def test_a_flood_of_fresh_wallets_hides_nothing() -> None:
    """Ten times as many as there is room for: what is found stays found, rows and memory bounded.

    (A1, at a hundred and twenty-fifth of the scale.)
    """
    found = floods.fresh_wallets(SMALL, capacity=8_000)
    assert found.wallets >= 80_000
    assert found.evicted >= found.wallets - found.capacity - 10_000
    assert found.rows <= found.capacity
    assert found.usual > 0.7
    assert found.kept >= 0.95
    assert found.grown <= 1.1
    assert found.flood_alerts == 0


def test_addresses_cannot_be_aimed_without_the_key() -> None:
    """20,000 that crowd the table under one key are as any others under another (A2)."""
    addresses = floods.aimed(KEY, 65_536, 20_000)
    assert len(np.unique(addresses.view("V20"))) == len(addresses)
    words = addresses.view(np.uint32)
    slots = [
        {int(siphash(np.frombuffer(key, "<u8"), row)) % 131_072 for row in words[:2_000]}
        for key in (KEY, OTHER_KEY)
    ]
    assert max(slots[0]) < floods.CROWDED
    assert len(slots[1]) > 1_900
    assert floods.slow_down(addresses, OTHER_KEY, 65_536) <= 2.0


def test_noise_drowns_no_critical_alert() -> None:
    """50 alerts of nothing a block: the same criticals, the budget kept, digests exact (A6)."""
    found = floods.drown(SMALL, per_block=50)
    assert found.noise == 50 * SMALL.blocks
    assert len(found.criticals) > 3
    assert found.criticals <= found.criticals_in_noise
    assert 0 < found.granted < found.noise / 10
    assert found.busiest_hour <= found.budget
    # Whatever is in no alert and in no digest yet belongs to the hour that goes on.
    assert 0 <= found.lost <= found.last_hour


def test_logs_that_anybody_can_write_accuse_nobody() -> None:
    """Approvals and transfers of made-up tokens in the name of active wallets (A7).

    Signed by the owners, of a token that counts as value, it is a theft, and told.
    """
    found = framing.phony_logs(4_000)
    assert (found.attempts, found.wallets) == (4_000, 1_000)
    assert found.brought == 0
    assert found.elsewhere == ()
    real = framing.phony_logs(4_000, np.frombuffer(USDC, np.uint8).reshape(1, 20))
    assert len(real.elsewhere) > 50
    assert {alert.rule for alert in real.elsewhere} >= {"ice_phishing"}


def test_tainted_dust_frames_nobody() -> None:
    """10,000 active wallets get a little from sanctioned and phishing wallets (A8)."""
    found = framing.tainted_dust(10_000)
    assert found.wallets == 10_000
    assert found.brought == 0
    assert "sanctions_touch" in {alert.rule for alert in found.elsewhere}


def test_phony_approvals_are_in_the_blocks() -> None:
    """As many approvals as were made of transfers, in transactions of their own, none moving."""
    made = batch_of(benign(200, np.arange(5), 1, wallets=50))
    tokens = int(pc.sum(pc.equal(made.flows["kind"], int(FlowKind.ERC20))).as_py())
    approved = framing._as_approvals(made)
    assert approved.approvals.num_rows == tokens > 0
    assert set(approved.flows["kind"].to_pylist()) == {int(FlowKind.NATIVE)}
    assert approved.transactions.num_rows == 200


@pytest.mark.parametrize("shape", sorted(worst_block.shapes()))
def test_the_worst_block_is_scored_in_its_slot(shape: str) -> None:
    """34,168 logs in four transactions, through every rule, in less than 12 seconds (A9)."""
    before, block = worst_block.shapes()[shape]()
    assert (len(block), block.transactions.num_rows) == (1, 4)
    rows = block.flows.num_rows - 4 + block.logs.num_rows
    assert rows >= worst_block.LOGS
    assert worst_block.cost(before, block).seconds < hardness.BLOCK_SECONDS


def test_rows_are_put_behind_those_of_their_blocks() -> None:
    """Chain order is kept, and the block's own transactions stay where they are."""
    own = batch_of(benign(300, np.arange(10), 1, wallets=50))
    more = batch_of(benign(100, np.arange(10), 2, wallets=50), 10_000, times_of(own))
    whole = among(own, more)
    assert whole.transactions.num_rows == 400
    places = [
        (number, index, ordinal)
        for number, index, ordinal in zip(
            column(whole.flows, "block_number").tolist(),
            whole.flows["transaction_index"].to_pylist(),
            column(whole.flows, "ordinal").tolist(),
            strict=True,
        )
    ]
    assert places == sorted(places)
    first = whole.transactions.filter(pc.less(whole.transactions["transaction_index"], 1_000_000))
    assert first.equals(own.transactions)
    assert BlockBatch.concat(list(whole.split())).flows.equals(whole.flows)


def test_a_figure_beyond_its_bound_is_said() -> None:
    """The last word of a line is whether the bound holds; without one there is none."""
    assert hardness.at_most("a", "f", 2.0, 1.0)[-1] == "NO"
    assert hardness.at_most("a", "f", 1.0, 1.0)[-1] == "yes"
    assert hardness.at_most("a", "f", 9.0, None)[-1] is None
    assert hardness.at_least("a", "f", 0.9, 0.95)[-1] == "NO"
    assert QUICK.capacity < hardness.FULL.capacity
