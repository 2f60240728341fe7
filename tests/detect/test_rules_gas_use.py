"""What the gas goes to: hogs and crowds, failures, selectors."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainwarden.schema import Label, Severity
from detect.labels import LabelBook
from detect.rules.columns import ColumnCache
from detect.rules.gas_use import CHUNK, GasUse, GasUseConfig
from detect.rules.tallies import Habits
from tests.detect.build import Block, Build, Tx, run, split, wallet
from tests.detect.test_rules_contract import real_batches, unknown

SPAM, MINT, EXCHANGE = wallet(900), wallet(901), wallet(902)
LABELS = LabelBook([Label(EXCHANGE, "exchange", "test")])
FIRST = 18_000_000


def rule(**config: Any) -> GasUse:
    """The rule."""
    return GasUse(LABELS, ColumnCache(), GasUseConfig(**config))


def usual(rng: random.Random, count: int = 20) -> list[Tx]:
    """Ordinary calls: many contracts, many senders, few failures."""
    return [
        Tx(
            wallet(rng.randrange(400)),
            wallet(500 + rng.randrange(60)),
            data=bytes([rng.randrange(1, 30), 0, 0, 1]),
            status=int(rng.random() > 0.03),
            salt=rng.getrandbits(60),
        )
        for _ in range(count)
    ]


def calls(target: bytes, senders: range, count: int, gas: int = 100_000, **more: Any) -> list[Tx]:
    """So many calls of one contract, by these in turn."""
    return [
        Tx(wallet(senders[n % len(senders)]), target, gas_used=gas, salt=10_000 + n, **more)
        for n in range(count)
    ]


def told(found: Any) -> list[tuple[str, int, Severity, bytes]]:
    """What was found in which row."""
    return [(f.rule, f.block_row, f.severity, f.subject) for f in found]


# --- hogs


def test_a_contract_that_takes_a_fifth_of_ten_blocks_is_a_hog() -> None:
    """A few senders that call one contract: medium, once, about the contract."""
    rng = random.Random(1)
    blocks = [Block(usual(rng)) for _ in range(12)]
    blocks += [Block([*usual(rng), *calls(SPAM, range(3), 10)]) for _ in range(15)]
    found = run(rule(), Build().batch(*blocks))
    # A third of a block's gas: with six of the ten blocks it is more than a fifth of them.
    assert told(found) == [("gas_hog", 17, Severity.MEDIUM, SPAM)]
    assert found[0].evidence.addresses == (SPAM,)


def test_a_popular_mint_is_a_crowd_and_no_hog() -> None:
    """As much gas by as many senders as calls is nothing; neither is a labelled exchange."""
    rng = random.Random(2)
    mint = [Block([*usual(rng), *calls(MINT, range(40 * n, 40 * n + 10), 10)]) for n in range(15)]
    assert run(rule(), Build().batch(*mint)) == []
    hot = [Block([*usual(rng), *calls(EXCHANGE, range(2), 10)]) for _ in range(15)]
    assert run(rule(), Build().batch(*hot)) == []


def test_less_than_a_fifth_or_a_shorter_time_is_no_hog() -> None:
    """Two busy blocks, or a steady seventh of the gas, are usual."""
    rng = random.Random(3)
    short = [Block([*usual(rng), *(calls(SPAM, range(2), 10) if n in (11, 12) else [])])
             for n in range(20)]  # fmt: skip
    assert run(rule(), Build().batch(*short)) == []
    steady = [Block([*usual(rng), *calls(SPAM, range(2), 3)]) for n in range(20)]
    assert run(rule(), Build().batch(*steady)) == []


def test_ten_blocks_must_follow_one_another() -> None:
    """Blocks of a source with holes add up to nothing; nor do those without receipts."""
    rng = random.Random(4)
    blocks = [Block(calls(SPAM, range(2), 9), number=FIRST + 2 * n) for n in range(20)]
    assert run(rule(), Build().batch(*blocks)) == []
    bare = calls(SPAM, range(2), 9, status=None)
    for tx in bare:
        tx.gas_used = None
    assert run(rule(), Build().batch(*[Block([*usual(rng), *bare])] * 3)) == []


# --- against what is usual


def history(rng: random.Random, hours: int = 4) -> list[Block]:
    """Hours of ordinary blocks, an hour at the end of which what is usual is learnt."""
    return [Block(usual(rng)) for _ in range(hours * CHUNK)]


def test_failures_three_times_as_many_as_usual_are_a_spike() -> None:
    """A third of the calls fails where three in a hundred do: low, once."""
    rng = random.Random(5)
    bad = [Block([*usual(rng), *calls(wallet(600 + n), range(99), 10, status=0)]) for n in range(9)]
    blocks = [*history(rng), *bad]
    watching = rule()
    found = [f for f in run(watching, Build().batch(*blocks)) if f.rule == "failure_spike"]
    assert [(f.severity, f.block_row) for f in found] == [(Severity.LOW, 4 * CHUNK + 2)]
    # Where that is usual it is no spike.
    often = [Block([*usual(rng), *calls(wallet(600 + n % 9), range(99), 10, status=0)])
             for n in range(4 * CHUNK + 20)]  # fmt: skip
    found = run(rule(), Build().batch(*often))
    assert [f.rule for f in found if f.rule == "failure_spike"] == []


def test_a_call_that_is_suddenly_everywhere_is_a_spike() -> None:
    """A new selector, by few senders on many contracts, is low; a crowd's is a popular mint."""
    rng = random.Random(6)
    before = history(rng)
    data = bytes.fromhex("deadbeef")
    for senders, expected in ((range(3), ["selector_spike"]), (range(300), [])):
        after = []
        for n in range(12):
            made = calls(wallet(0), range(senders[0], senders[-1] + 1), 10, data=data)
            for m, tx in enumerate(made):
                tx.to = wallet(700 + 10 * n + m)
                tx.sender = wallet(senders[(10 * n + m) % len(senders)])
            after.append(Block([*usual(rng), *made]))
        found = run(rule(), Build().batch(*before, *after))
        assert [f.rule for f in found] == expected
        assert all("0xdeadbeef" in f.sentence for f in found)


def test_what_is_usual_must_be_known_first() -> None:
    """Without three hours of blocks there is nothing to compare with."""
    rng = random.Random(7)
    bad = [Block(calls(wallet(600 + n), range(99), 20, status=0)) for n in range(30)]
    found = run(rule(), Build().batch(*history(rng, 1), *bad))
    assert [f.rule for f in found if f.rule != "gas_hog"] == []


def test_habits_fade_and_are_counted_to_the_call() -> None:
    """An estimate is never too low; what is old weighs less; the sketch keeps its size."""
    rows = np.zeros(2, [("calls", "i4"), ("failed", "i4"), ("selectors", "u4", 4),
                        ("selector_calls", "i4", 4)])  # fmt: skip
    rows["calls"], rows["failed"] = 10, 1
    rows["selectors"], rows["selector_calls"] = [1, 2, 3, 4], [4, 3, 2, 1]
    habits = Habits().after(rows)
    assert [habits.calls_of(n) for n in (1, 2, 3, 4, 99)] == [4, 3, 2, 1, 0]
    assert habits.failed_share == pytest.approx(0.1)
    rows["selectors"] = 0
    for _ in range(200):
        habits = habits.after(rows)
    assert habits.calls_of(1) < 0.01
    assert len(habits.cells) == 8 * 4 * 4_096


def test_the_same_in_any_batches_and_undone_exactly() -> None:
    """One batch, single blocks, or with reverts over an hour's end: same findings, same digest."""
    rng = random.Random(8)
    blocks = [Block(usual(rng, 4)) for _ in range(2 * CHUNK - 20)]
    blocks += [Block([*usual(rng, 4), *calls(SPAM, range(2), 9, status=0)]) for _ in range(40)]
    config = {"known": 200, "failed_calls": 10}
    whole, single, shaken = rule(**config), rule(**config), rule(**config)
    batch = Build().batch(*blocks)
    parts = split(batch)
    at_once = [(f.block_row, f.sentence) for f in run(whole, batch)]
    assert {f.rule for f in run(rule(**config), batch)} >= {"gas_hog", "failure_spike"}
    assert at_once == [(p.first_serial, f.sentence) for p in parts for f in run(single, p)]
    for serial, part in enumerate(parts):
        run(shaken, part)
        if serial % 100 == 5 and serial > 100:
            for back in range(15):
                shaken.revert(serial - back)
            copy = rule(**config)
            copy.restore(shaken.snapshot())
            shaken = copy
            for again in parts[serial - 14 : serial + 1]:
                run(shaken, again)
        shaken.forget(serial - 64)
    assert whole.digest() == single.digest() == shaken.digest()


@pytest.mark.data
def test_real_blocks_have_no_hog(shared_data: Path) -> None:
    """25 real blocks, with a router that takes a lot: nothing is said."""
    path = shared_data / "blocks/run.blocks.jsonl.gz"
    watching, found = rule(), []
    for serial, batch in enumerate(real_batches(path)):
        found += run(watching, unknown(batch, serial))
    assert found == []
