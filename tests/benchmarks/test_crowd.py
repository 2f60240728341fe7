from __future__ import annotations

import pytest

from benchmarks.crowd import acquaintances, address_of, strangers
from benchmarks.rules import PARTS
from chainwarden.schema import column


def test_strangers_are_never_seen_twice() -> None:
    """Ten thousand wallets are ten thousand addresses, each in one flow, in whole blocks."""
    batches = list(strangers(10_000, flows_a_block=50, blocks_a_batch=30))
    seen: list[bytes] = []
    for batch in batches:
        seen += batch.flows["from_address"].to_pylist() + batch.flows["to_address"].to_pylist()
    assert len(seen) == len(set(seen)) == 10_000
    assert seen[0] == address_of(0)
    numbers = [number for batch in batches for number in batch.numbers().tolist()]
    assert numbers == list(range(100))


def test_acquaintances_are_of_the_crowd() -> None:
    """Flows among the first so many wallets are between those and no others."""
    crowd = {address_of(wallet) for wallet in range(40)}
    batch = acquaintances(40, flows_a_block=10, blocks=5, first_block=7, seed=1)
    assert len(column(batch.flows, "value_f64")) == 50
    assert set(batch.flows["from_address"].to_pylist()) <= crowd
    assert batch.numbers().tolist() == list(range(7, 12))


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, name, _ in PARTS])
def test_every_part_that_is_timed_is_there(owner: object, name: str) -> None:
    """The parts that the benchmark of rules times are the detector's."""
    assert callable(getattr(owner, name))
