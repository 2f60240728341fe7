"""Who builds the blocks, and blocks with nothing in them."""

from __future__ import annotations

import logging
import random
from collections import Counter
from typing import Any

import pytest

from chainwarden.schema import ETHEREUM, Chain, Severity
from detect.known.mixers import TORNADO_POOLS
from detect.known.services import BUILDERS
from detect.rules.builders import Builders, BuildersConfig
from detect.rules.columns import ColumnCache
from detect.rules.empty_blocks import EmptyBlocks
from tests.detect.build import Block, Build, Tx, run, split, wallet

BEAVER, TITAN = list(BUILDERS)[:2]
POOL = next(iter(TORNADO_POOLS))
SMALL: dict[str, int] = {"ring": 100, "known": 40}


def rule(**config: Any) -> Builders:
    """The rule with a small ring."""
    return Builders(ColumnCache(), BuildersConfig(**{**SMALL, **config}))


def built(*builders: bytes | None, txs: tuple[Tx, ...] = ()) -> list[Block]:
    """A block by each of these."""
    return [Block(list(txs), header={"miner": builder}) for builder in builders]


def shares(count: int, seed: int, *parts: float) -> list[bytes | None]:
    """Builders 0, 1, … drawn by their shares."""
    rng = random.Random(seed)
    names = [wallet(number) for number in range(len(parts))]
    return list(rng.choices(names, parts, k=count))


def test_a_majority_is_told_once_about_its_builder() -> None:
    """When the ring is full more than half is a majority; it is told as it comes about."""
    others = [wallet(n) for n in range(50)]
    found = run(rule(), Build().batch(*built(*others, *[TITAN] * 51, *[TITAN] * 20)))
    # Block 100 fills the ring with 50 of 100; the next one makes it 51.
    assert [(f.rule, f.block_row, f.severity, f.subject) for f in found] == [
        ("builder_majority", 100, Severity.MEDIUM, TITAN)
    ]
    assert "titan" in found[0].sentence
    assert found[0].reasons[0].value == pytest.approx(0.51)


def test_before_the_ring_is_full_chance_must_not_explain_it() -> None:
    """Twelve of twenty are no majority yet; ninety of a hundred are, from the known blocks on."""
    mixed = [wallet(n % 2 if n % 5 else 1) for n in range(90)]  # 60 % to one of them
    assert run(rule(), Build().batch(*built(*mixed))) == []
    found = run(rule(), Build().batch(*built(*[TITAN] * 90)))
    assert [f.block_row for f in found] == [39]


def test_two_builders_that_share_the_market_are_no_majority() -> None:
    """44 % and 40 %, as in 2025, raise nothing in ten days of small rings."""
    blocks = built(*shares(3_000, 5, 0.44, 0.40, 0.10, 0.06))
    watching = rule(ring=1_000, known=200)
    assert run(watching, Build().batch(*blocks)) == []
    gauges = watching.gauges()
    assert gauges["nakamoto/50"] == 2
    assert gauges["nakamoto/33"] == 1


def test_concentration_is_that_of_the_last_ring() -> None:
    """Herfindahl and Nakamoto are exact over the blocks of the ring, whatever came before."""
    blocks = built(*shares(350, 3, 0.3, 0.3, 0.2, 0.1, 0.1))
    watching = rule()
    run(watching, Build().batch(*blocks))
    counts = Counter(block.header["miner"] for block in blocks[-100:])
    gauges = watching.gauges()
    assert gauges["builder_hhi"] == pytest.approx(sum((c / 100) ** 2 for c in counts.values()))
    top = sorted(counts.values(), reverse=True)
    assert sum(top[: int(gauges["nakamoto/50"])]) > 50
    assert sum(top[: int(gauges["nakamoto/50"]) - 1]) <= 50


def test_a_market_that_moves_in_a_day_is_told_once() -> None:
    """The index of this ring against that of the ring before: low, once while it lasts."""
    even, uneven = shares(200, 1, 1, 1, 1, 1), [wallet(n % 3 and 9 + n % 7) for n in range(100)]
    found = run(rule(share=1.0), Build().batch(*built(*even, *uneven, *uneven)))
    assert {(f.rule, f.severity) for f in found} == {("builder_shift", Severity.LOW)}
    assert 1 <= len(found) <= 3
    steady = shares(600, 2, 0.44, 0.4, 0.16)
    assert run(rule(ring=200), Build().batch(*built(*steady))) == []


def test_blocks_without_a_builder_are_not_counted() -> None:
    """A source without fee recipients gives nothing; single blocks without one are passed over."""
    watching = rule()
    assert run(watching, Build().batch(*built(*[None] * 300))) == []
    assert watching.gauges() == {}
    mixed = [TITAN if n % 2 else None for n in range(300)]
    found = run(rule(), Build().batch(*built(*mixed)))
    assert [f.block_row for f in found] == [79]


def test_the_ring_turns_the_same_in_any_batches_and_is_undone_exactly() -> None:
    """One batch, single blocks, or with reverts of up to twenty: the same findings and digest."""
    blocks = built(*shares(260, 9, 0.7, 0.2, 0.1))
    whole, single, shaken = rule(), rule(), rule()
    batch = Build().batch(*blocks)
    parts = split(batch)
    at_once = [(f.block_row, f.sentence) for f in run(whole, batch)]
    one_by_one = [(p.first_serial, f.sentence) for p in parts for f in run(single, p)]
    assert at_once == one_by_one
    assert at_once
    for serial, part in enumerate(parts):
        run(shaken, part)
        if serial % 37 == 36:
            for back in range(20):
                shaken.revert(serial - back)
            copy = rule()
            copy.restore(shaken.snapshot())
            shaken = copy
            for again in parts[serial - 19 : serial + 1]:
                run(shaken, again)
        shaken.forget(serial - 64)
    assert whole.digest() == single.digest() == shaken.digest()
    assert shaken.gauges() == whole.gauges()


def test_who_includes_what_is_sanctioned_is_a_figure() -> None:
    """A builder that leaves calls to Tornado Cash out has 0, one that does not more than 1."""
    watching = rule()
    mixing = (Tx(wallet(5), POOL, 10**18),)
    blocks = built(*[TITAN] * 20, txs=mixing) + built(*[BEAVER] * 20)
    run(watching, Build().batch(*blocks))
    gauges = watching.gauges()
    assert gauges["sanctioned_inclusion/beaver"] == 0
    assert gauges["sanctioned_inclusion/titan"] == 2
    assert "sanctioned_inclusion/rsync" not in gauges
    assert gauges["builder_share/titan"] == gauges["builder_share/beaver"] == 0.5
    assert gauges["builder_share/rsync"] == 0


# --- empty blocks


def empties(*at: int, count: int = 300) -> list[Block]:
    """Blocks in every slot, of which some are empty."""
    return [Block(header={"gas_used": 0 if n in at else 10**6}) for n in range(count)]


def test_the_third_empty_block_in_225_slots_is_told() -> None:
    """Three are more than one per cent; two, or three in a longer time, are not; told once."""

    def told(*at: int) -> list[int]:
        found = run(EmptyBlocks(ETHEREUM, ColumnCache()), Build().batch(*empties(*at)))
        assert all(f.severity == Severity.LOW for f in found)
        return [f.block_row for f in found]

    assert told(3, 100) == []
    assert told(3, 100, 227) == [227]
    assert told(3, 100, 228) == []  # 225 slots after the first
    assert told(3, 100, 200, 210, 220) == [200]


def test_missed_slots_count_as_time() -> None:
    """The window is slots, not blocks: with missed ones between the first is out of it sooner."""
    blocks = empties(0, 100, 150, count=160)
    for n, block in enumerate(blocks):
        block.time = 1_700_000_003 + 12 * (2 * n)
    assert run(EmptyBlocks(ETHEREUM, ColumnCache()), Build().batch(*blocks)) == []


def test_a_test_network_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Where no slots are known empty blocks mean nothing, and that is said once."""
    dev = Chain("anvil", 31337)
    with caplog.at_level(logging.INFO):
        watching = EmptyBlocks(dev, ColumnCache())
        assert run(watching, Build(dev).batch(*empties(*range(50)))) == []
    assert sum("standing aside" in r.message for r in caplog.records) == 1
    assert watching.gauges() == {}
