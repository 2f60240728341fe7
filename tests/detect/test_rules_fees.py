"""The fee market's rules: wrong fees, full blocks, fees out of season."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainwarden.schema import ETHEREUM, Chain, Severity
from detect.fees import next_base_fee, next_excess_blob_gas
from detect.known.gas import FEE_RULES, GAS_PER_BLOB
from detect.quantiles import ACCURACY, Sketch
from detect.rules.columns import ColumnCache
from detect.rules.fee_market import FeeMarket, FeeMarketConfig
from tests.detect.build import Block, Build, run, split
from tests.detect.test_rules_contract import real_batches, unknown

LIMIT, GWEI = 30_000_000, 10**9
PRAGUE = FEE_RULES[1].blobs[1]
IN_PRAGUE = 1_748_865_611  # a slot's time


def chain_of(*used: float, fee: int = 20 * GWEI, blobs: int = 0, time: int = IN_PRAGUE) -> Any:
    """Blocks filled to those shares, whose fees are what their parents demand."""
    blocks, excess, blob_gas = [], 10**7, blobs * GAS_PER_BLOB
    for share in used:
        gas = int(share * LIMIT)
        header = {
            "gas_limit": LIMIT,
            "gas_used": gas,
            "base_fee_per_gas": fee,
            "blob_gas_used": blob_gas,
            "excess_blob_gas": excess,
        }
        blocks.append(Block(time=time, header=header))
        excess = next_excess_blob_gas(excess, blob_gas, fee, PRAGUE)
        fee = int(next_base_fee(np.array([fee]), np.array([gas]), np.array([LIMIT]))[0])
        time += 12
    return blocks


def rule(chain: Chain = ETHEREUM, **config: Any) -> FeeMarket:
    """The rule."""
    return FeeMarket(chain, ColumnCache(), FeeMarketConfig(**config))


def told(found: Any) -> list[tuple[str, int, Severity]]:
    """What was found in which row."""
    return [(f.rule, f.block_row, f.severity) for f in found]


# --- exact


def test_a_base_fee_that_its_parent_does_not_allow_is_found() -> None:
    """One wei off is found in its block, and in the next, which follows the wrong one, not."""
    blocks = chain_of(0.3, 0.7, 0.5, 0.4)
    assert run(rule(), Build().batch(*blocks)) == []
    forged = chain_of(0.3, 0.7)
    forged[1].header["base_fee_per_gas"] += 1
    after = chain_of(0.7, 0.2, fee=forged[1].header["base_fee_per_gas"])[1:]
    after[0].header["excess_blob_gas"] = None
    found = run(rule(), Build().batch(forged[0], forged[1], *after))
    assert told(found) == [("wrong_fee", 1, Severity.HIGH)]
    (reason,) = found[0].reasons
    assert reason.threshold == reason.value - 1


def test_excess_blob_gas_that_its_parent_does_not_allow_is_found() -> None:
    """Excess blob gas is held against its parent by the fork's own target."""
    blocks = chain_of(0.5, 0.5, 0.5, blobs=9)
    assert run(rule(), Build().batch(*blocks)) == []
    blocks[2].header["excess_blob_gas"] += GAS_PER_BLOB
    assert told(run(rule(), Build().batch(*blocks))) == [("wrong_fee", 2, Severity.HIGH)]


def test_only_a_child_is_held_against_its_parent() -> None:
    """A gap in the source, a block of another branch, a missing fee: nothing is judged."""
    blocks = chain_of(0.3, 0.7)
    blocks[1].header["base_fee_per_gas"] += 5
    blocks[1].number = 18_000_009
    assert run(rule(), Build().batch(*blocks)) == []
    build, other = Build(), rule()
    run(other, build.batch(chain_of(0.3)[0]))
    build.parent = bytes(31) + bytes([9])
    assert run(other, build.batch(chain_of(0.3)[0])) == []
    blocks = chain_of(0.3, 0.7)
    blocks[1].header["base_fee_per_gas"] = None
    assert run(rule(), Build().batch(*blocks)) == []


def test_the_first_base_fee_is_a_gwei() -> None:
    """At London's block the fee is 1 gwei whatever the parent; before it there is none."""
    for fee, count in ((GWEI, 0), (GWEI + 1, 1)):
        old = Block(header={"gas_limit": LIMIT // 2, "gas_used": LIMIT // 2})
        first = Block(header={"gas_limit": LIMIT, "gas_used": 0, "base_fee_per_gas": fee})
        batch = Build(number=12_964_999, time=1_628_166_800).batch(old, first)
        assert len(run(rule(), batch)) == count


def test_other_chains_follow_other_rules(caplog: pytest.LogCaptureFixture) -> None:
    """Where the fee rules are not known nothing is called wrong, and that is said once."""
    blocks = chain_of(0.3, 0.7)
    blocks[1].header["base_fee_per_gas"] += 5
    base = Chain("base", 8453)
    with caplog.at_level(logging.INFO):
        there = rule(base)
        assert run(there, Build(base).batch(*blocks), Build(base).batch(*blocks)) == []
    assert sum("standing aside" in r.message for r in caplog.records) == 1
    assert there.gauges() == {}


def test_the_next_fees_are_known_exactly() -> None:
    """The gauges are what the next block has, to the wei."""
    blocks = chain_of(0.3, 0.9, 0.8, blobs=7)
    watching = rule()
    run(watching, Build().batch(*blocks[:2]))
    gauges = watching.gauges()
    assert gauges["next_base_fee"] == blocks[2].header["base_fee_per_gas"]
    assert gauges["next_blob_base_fee"] >= 1


# --- full blocks


def test_five_full_blocks_in_a_row_are_told_once() -> None:
    """The fifth full block is low, the tenth medium; a block that is not full begins anew."""
    full = [0.97] * 4
    assert run(rule(), Build().batch(*chain_of(*full, 0.94, *full))) == []
    found = run(rule(), Build().batch(*chain_of(*[0.97] * 12)))
    assert told(found) == [("full_blocks", 4, Severity.LOW), ("full_blocks", 9, Severity.MEDIUM)]
    again = chain_of(*[1.0] * 6, 0.5, *[1.0] * 5)
    assert [row for _, row, _ in told(run(rule(), Build().batch(*again)))] == [4, 11]


def test_full_blocks_are_counted_across_batches_and_not_across_gaps() -> None:
    """Two full blocks and three more are five; with a hole between they are not."""
    batch = Build().batch(*chain_of(*[1.0] * 5))
    assert len(run(rule(), *split(batch))) == 1
    blocks = chain_of(*[1.0] * 5)
    for number, block in enumerate(blocks):
        block.number = 18_000_000 + number + 3 * (number > 1)
    assert run(rule(), Build().batch(*blocks)) == []


def test_a_chain_without_a_gas_limit_has_no_full_blocks() -> None:
    """A gas limit of 2^50, as on rollups without one, makes no block full; nor does none."""
    blocks = chain_of(*[1.0] * 6)
    for limit in (2**50, 0):
        for block in blocks:
            block.header.update(gas_limit=limit, gas_used=limit, base_fee_per_gas=None)
        assert run(rule(), Build().batch(*blocks)) == []


# --- the season


def weeks(hours: int, busy: set[int], fee: int = 20) -> list[Block]:
    """Blocks every five minutes; in hours of the week that are busy, fees are ten times as high."""
    blocks = []
    for step in range(hours * 12):
        time = IN_PRAGUE // 3600 * 3600 + 300 * step
        high = time // 3600 % 168 in busy
        wei = (10 if high else 1) * fee * GWEI + step % 7 * GWEI // 10
        blocks.append(Block(time=time, header={"base_fee_per_gas": wei}))
    return blocks


SEASON: dict[str, Any] = {"known": 20, "rules": {}}
START_HOUR = IN_PRAGUE // 3600 % 168
BUSY = (START_HOUR + 5) % 168


def test_an_ordinary_busy_hour_is_no_spike() -> None:
    """An hour that is busy every week is busy this week too; in another hour it is a spike."""
    usual = weeks(2 * 168 + 24, {BUSY})
    assert run(rule(**SEASON), Build().batch(*usual)) == []
    odd = weeks(2 * 168 + 24, set())
    for block in odd[(2 * 168 + 5) * 12 :][:12]:
        block.header["base_fee_per_gas"] *= 10
    found = run(rule(**SEASON), Build().batch(*odd))
    assert [(f.rule, f.severity) for f in found] == [("base_fee_spike", Severity.MEDIUM)]
    assert found[0].block_row == (2 * 168 + 5) * 12 + 9  # the tenth block above
    assert "206 gwei" in found[0].sentence


def test_a_short_or_a_small_rise_is_no_spike() -> None:
    """Nine blocks above, or fees that are not twice the median, are not told."""
    for count, factor in ((9, 10.0), (12, 1.8)):
        blocks = weeks(2 * 168 + 24, set())
        for block in blocks[(2 * 168 + 5) * 12 :][:count]:
            wei = block.header["base_fee_per_gas"]
            block.header["base_fee_per_gas"] = int(wei * factor)
        assert run(rule(**SEASON), Build().batch(*blocks)) == []


def test_nothing_is_out_of_season_before_there_is_one() -> None:
    """With fewer than the known blocks of an hour of the week nothing is compared."""
    blocks = weeks(168 + 48, set())
    for block in blocks[-48:]:
        block.header["base_fee_per_gas"] *= 50
    assert run(rule(**SEASON), Build().batch(*blocks)) == []


def test_the_season_is_the_same_in_any_batches_and_undone_exactly() -> None:
    """Block by block, or with each hour's end reverted once, the same findings and digest."""
    blocks = weeks(168 + 8, {BUSY})
    for block in blocks[-20:]:
        block.header["base_fee_per_gas"] *= 30
    season = {**SEASON, "known": 10}
    whole, single, shaken = (rule(**season) for _ in range(3))
    batch = Build().batch(*blocks)
    at_once = run(whole, batch)
    assert at_once
    parts = split(batch)
    found = [f for part in parts for f in run(single, part)]
    assert [f.sentence for f in found] == [f.sentence for f in at_once]
    for serial, part in enumerate(parts):
        run(shaken, part)
        if serial % 12 == 0 and serial > 3:
            for back in range(3):
                shaken.revert(serial - back)
            for again in parts[serial - 2 : serial + 1]:
                run(shaken, again)
        shaken.forget(serial - 64)
    assert whole.digest() == single.digest() == shaken.digest()
    copy = rule(**season)
    copy.restore(shaken.snapshot())
    assert copy.digest() == whole.digest()
    assert len(shaken.snapshot()) < 200_000


def test_sketches_forget_and_stay_within_their_accuracy() -> None:
    """Quantiles are within 2 %; what is old weighs less with every halving; it stays small."""
    sketch = Sketch().add([float(n) for n in range(1, 1_001)], 2_000)
    for share in (0.01, 0.5, 0.995):
        exact = 1 + int(share * 999)
        assert sketch.quantile(share) == pytest.approx(exact, rel=ACCURACY + 0.002)
    for _ in range(12):
        sketch = sketch.add([5e6] * 500, 2_000)
    assert sketch.count <= 2_000
    assert sketch.quantile(0.05) == pytest.approx(5e6, rel=ACCURACY)


@pytest.mark.data
def test_real_blocks_follow_their_fee_rules(shared_data: Path) -> None:
    """25 real blocks, most of them consecutive, have no wrong fee."""
    path = shared_data / "blocks/run.blocks.jsonl.gz"
    watching = rule()
    found = []
    for serial, batch in enumerate(islice(real_batches(path), 25)):
        found += run(watching, unknown(batch, serial))
    assert [f.rule for f in found if f.rule == "wrong_fee"] == []
