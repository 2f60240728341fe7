"""A stream of movements, in Parquet: in any order, cut anywhere, it comes to the same tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwarden.schema import ETHEREUM, TABLES, BlockBatch
from ingest.parquet import ParquetSource
from tests.ingest.parquet_tables import address, hexed, movement, read, word, write_stream

FIXTURE = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def test_rows_of_one_transaction_are_its_own_flow_and_internal_ones(tmp_path: Path) -> None:
    """The first row of a hash is NATIVE and the transaction; the others are INTERNAL, -1, -2 …"""
    path = write_stream(
        tmp_path / "s.parquet",
        [
            movement(5, 1, 10, 11, method_id="0xa9059cbb"),
            movement(5, 1, 11, 12, value_eth=0.25),
            movement(5, 1, 11, 13, is_error=True),
            movement(5, 2, 10, None, method_id="0x123"),
            movement(9, 3, 14, 10, is_error=True),
        ],
    )
    batch = read(path)
    assert [
        (f["transaction_index"], f["ordinal"], f["kind"], f["status"])
        for f in batch.flows.to_pylist()
    ] == [(0, 0, 0, 1), (0, -1, 4, 1), (0, -2, 4, 0), (1, 0, 0, 1), (0, 0, 0, 0)]
    txs = batch.transactions.to_pylist()
    assert [(t["block_number"], t["transaction_index"], t["status"]) for t in txs] == [
        (5, 0, 1),
        (5, 1, 1),
        (9, 0, 0),
    ]
    assert [t["input"] for t in txs] == [bytes.fromhex("a9059cbb"), b"\x01\x23", b""]
    assert [t["to_address"] for t in txs] == [address(11), None, address(10)]
    assert batch.flows["to_address"].to_pylist()[3] == bytes(20)
    assert [b["transaction_count"] for b in batch.blocks.to_pylist()] == [2, 1]
    assert batch.blocks["block_timestamp"].to_pylist() == [1_500_000_075, 1_500_000_135]
    assert not any(batch.blocks["verified"].to_pylist())
    assert batch.blocks["block_hash"].null_count == 2


def test_rows_of_one_transaction_that_are_apart_come_together(tmp_path: Path) -> None:
    """A hash that appears again behind another one of its block is still one transaction."""
    path = write_stream(
        tmp_path / "s.parquet",
        [movement(5, 1, 10, 11), movement(5, 2, 12, 13), movement(5, 1, 11, 14)],
    )
    flows = read(path).flows.to_pylist()
    assert [(f["transaction_index"], f["ordinal"], f["to_address"]) for f in flows] == [
        (0, 0, address(11)),
        (0, -1, address(14)),
        (1, 0, address(13)),
    ]


@pytest.mark.data
def test_the_real_stream_is_what_a_slow_reader_finds(shared_data: Path) -> None:
    """All 320,881 rows, in order: parties, wei, transaction, ordinal and status; sums conserved."""
    path = shared_data / "labelled" / "stream.parquet"
    batch = read(path)
    assert (batch.flows.num_rows, batch.transactions.num_rows, len(batch)) == (
        320_881,
        309_548,
        265_831,
    )
    known: dict[str, int] = {}
    indexes: Counter[int] = Counter()
    places: dict[str, int] = {}
    expected = []
    for row in pq.read_table(path).to_pylist():
        tx = row["transaction_hash"]
        rank = known[tx] = known.get(tx, -1) + 1
        if rank == 0:
            places[tx] = indexes[row["block_number"]]
            indexes[row["block_number"]] += 1
        wei = round(row["value_eth"] * 1e18)
        expected.append(
            (
                *(row["block_number"], row["block_timestamp"], bytes.fromhex(tx[2:])),
                *(places[tx], -rank, 0, 4 if rank else 0, None, None),
                bytes.fromhex(row["from_address"][2:]),
                bytes.fromhex(row["to_address"][2:]) if row["to_address"] else bytes(20),
                *(word(wei), float(wei), 0 if row["is_error"] else 1),
            )
        )
    columns = [batch.flows[name].to_pylist() for name in batch.flows.column_names]
    assert list(zip(*columns, strict=True)) == expected


@pytest.mark.data
def test_batches_of_the_real_stream_do_not_change_a_row(shared_data: Path) -> None:
    """Cut to 1,000 blocks or not at all: the same rows, and no batch of more than 65,000."""
    path = shared_data / "labelled" / "stream.parquet"
    whole = read(path)
    small = list(ParquetSource(path, ETHEREUM).batches(1_000))
    assert max(len(batch) for batch in small) == 1_000
    large = list(ParquetSource(path, ETHEREUM).batches(10**6))
    assert max(batch.flows.num_rows for batch in large) <= 65_000
    for name, table in BlockBatch.concat(small).tables.items():
        assert table.equals(getattr(whole, name)), name


@FIXTURE
@given(
    rows=st.lists(
        st.tuples(st.integers(1, 12), st.integers(1, 6), st.integers(1, 9)), min_size=1, max_size=40
    ),
    group=st.integers(1, 7),
    batch_blocks=st.integers(1, 5),
)
def test_any_order_and_any_row_groups_give_the_same_blocks(
    tmp_path: Path, rows: list[tuple[int, int, int]], group: int, batch_blocks: int
) -> None:
    """Shuffled rows in small groups: sorted by block, transactions as they first appeared."""
    made = [movement(b, 100 * b + tx, n, n + 1) for b, tx, n in rows]
    path = write_stream(tmp_path / "s.parquet", made, row_group_size=group)
    batch = read(path, batch_blocks)
    in_blocks = sorted(made, key=lambda row: row["block_number"])
    appeared = {row["transaction_hash"]: i for i, row in reversed(list(enumerate(in_blocks)))}
    expected = sorted(in_blocks, key=lambda row: appeared[row["transaction_hash"]])
    found = batch.flows.to_pylist()
    assert [(hexed(f["transaction_hash"]), hexed(f["from_address"])) for f in found] == [
        (row["transaction_hash"], row["from_address"]) for row in expected
    ]


def test_several_files_and_a_folder_are_one_source(tmp_path: Path) -> None:
    """Files are read in order of their blocks, not of their names; hidden ones not at all."""
    first = write_stream(tmp_path / "b.parquet", [movement(n, n, 1, 2) for n in (1, 2)])
    second = write_stream(tmp_path / "a.parquet", [movement(n, n, 1, 2) for n in (2, 3)])
    write_stream(tmp_path / ".c.parquet", [movement(9, 9, 1, 2)])
    (tmp_path / "_tmp").mkdir()
    write_stream(tmp_path / "_tmp" / "d.parquet", [movement(9, 9, 1, 2)])
    for path in ([second, first], tmp_path):
        batch = read(path)
        assert batch.numbers().tolist() == [1, 2, 3]


def test_files_without_statistics_are_read_all_the_same(tmp_path: Path) -> None:
    """The range of a row group is read from its rows where the file does not tell it."""
    made = [movement(n // 2, n, 1, 2) for n in range(40)]
    path = write_stream(
        tmp_path / "s.parquet", made[::-1], row_group_size=6, write_statistics=False
    )
    assert read(path).numbers().tolist() == list(range(20))


def test_a_source_can_be_read_again_and_left_in_the_middle(tmp_path: Path) -> None:
    """batches() starts anew each time, and a reader that stops leaves no thread behind."""
    path = write_stream(
        tmp_path / "s.parquet", [movement(n, n, 1, 2) for n in range(50)], row_group_size=5
    )
    source = ParquetSource(path, ETHEREUM)
    first: Any = source.batches(3)
    assert next(first).numbers().tolist() == [0, 1, 2]
    first.close()
    assert np.concatenate([b.numbers() for b in source.batches(7)]).tolist() == list(range(50))
    assert all(schema is not None for schema in TABLES.values())
