from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from benchmarks.detection.poisoning import address, measure, read, replay, staged
from benchmarks.detection.traffic import (
    HIGHEST,
    NATIVE,
    Transfers,
    batches,
    benign,
    hash_of,
    merged,
    transfer,
)
from chainwarden.schema import BlockBatch, FlowKind
from detect.known.tokens import USDC
from tests.detect.build import wallet


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> list[dict[str, str]]:
    """The 75 real transfers."""
    return read(shared_data / "poisoning" / "transfers.csv")


@pytest.mark.data
def test_every_recorded_poisoning_is_found_among_benign_transfers(
    recorded: list[dict[str, str]],
) -> None:
    """75 of 75 among 40,000 others, and nothing said of those."""
    rows, _ = measure(recorded, 40_000)
    found = {str(row[0]): row[1:3] for row in rows}
    assert found["poisonings"] == (75, 75)
    assert found["benign transfers"] == (40_000, 0)


@pytest.mark.data
def test_without_the_genuine_transfer_there_is_nothing_to_imitate(
    recorded: list[dict[str, str]],
) -> None:
    """Had the victims paid somebody else, none of the poisons is found: the count can fail."""
    others = random.Random(1)
    strangers = [{**row, "similar_norm": "0x" + others.randbytes(20).hex()} for row in recorded]
    traffic = merged([benign(2_000, np.arange(100), 1), *staged(strangers, 500_000)])
    assert not replay(traffic, strangers).found


@pytest.mark.data
def test_chance_likenesses_count_as_false_alarms(recorded: list[dict[str, str]]) -> None:
    """A poisoning that the list does not have is a false alarm."""
    traffic = merged([benign(2_000, np.arange(100), 1), *staged(recorded, 500_000)])
    outcome = replay(traffic, recorded[1:])
    assert sum(outcome.found.values()) == 74
    assert outcome.false_alarms >= 1


def whole(transfers: Transfers, rows: int) -> list[BlockBatch]:
    """In batches of about so many."""
    return list(batches(transfers, rows))


def test_transfers_become_whole_blocks_however_they_are_batched() -> None:
    """The same tables in small batches and in one, no block in two of them."""
    transfers = benign(3_000, np.arange(0, 600, 3), seed=2, wallets=500)
    (one,) = whole(transfers, 10_000)
    many = whole(transfers, 100)
    assert len(many) > 10
    joined = BlockBatch.concat(many)
    for name, table in one.tables.items():
        assert table.equals(joined.tables[name]), name
    assert one.transactions.num_rows == 3_000
    tokens = np.count_nonzero(transfers.token.any(axis=1))
    assert one.flows.num_rows == 3_000 + tokens
    kinds = one.flows["kind"].to_pylist()
    assert kinds.count(FlowKind.ERC20) == tokens


@pytest.mark.parametrize("value", [0, 1, 2**53 + 1, 2**64, HIGHEST])
def test_amounts_are_exact(value: int) -> None:
    """Coins and tokens keep every wei, and a token transfer moves no coin."""
    a, b, signer = (wallet(n) for n in range(3))
    parts: Sequence[Transfers] = (
        transfer(7, a, b, NATIVE, a, value),
        transfer(7, a, b, USDC, signer, value),
    )
    (batch,) = whole(merged(parts), 10)
    told = [
        (row["transaction_hash"], row["ordinal"], row["from_address"], row["token_address"],
         int.from_bytes(row["value"], "big"))
        for row in batch.flows.to_pylist()
    ]  # fmt: skip
    assert told == [
        (hash_of(0), 0, a, None, value),
        (hash_of(1), 0, signer, None, 0),
        (hash_of(1), 1, a, USDC, value),
    ]


def test_benign_amounts_are_what_their_words_say() -> None:
    """The float is the exact amount, to its own precision."""
    made = benign(2_000, np.arange(50), seed=3, wallets=100)
    exact = [int.from_bytes(words.astype(">u8").tobytes(), "big") for words in made.words]
    assert [float(n) for n in exact] == made.value.tolist()
    assert max(exact) > 2**64
    assert min(exact) == 0


def test_addresses_are_read_with_and_without_a_prefix() -> None:
    """Lists are not of one mind."""
    assert address("0x" + "0a" * 20) == address("0A" * 20) == b"\n" * 20
