"""Our own lake, and single tables of it, come back as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from chainwarden.errors import FileFormatError
from chainwarden.schema import ETHEREUM, BlockBatch, Chain
from ingest.decode import decode_blocks
from ingest.parquet import ParquetSource
from tests.ingest.made_blocks import made_block
from tests.ingest.parquet_tables import read
from tests.ingest.real_blocks import load


def write_lake(folder: Path, batch: BlockBatch, chain: str = "ethereum", **options: Any) -> Path:
    """The tables as the lake lays them out."""
    for name, table in batch.tables.items():
        path = folder / name / f"chain={chain}" / "date=2023-07-13" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
    return folder


@pytest.mark.data
def test_our_lake_comes_back_as_it_was(shared_data: Path, tmp_path: Path) -> None:
    """Every table of the real blocks, written and read again in small pieces: equal."""
    raws = sorted(load(shared_data / "blocks", "run"), key=lambda raw: int(raw.block.number, 16))
    expected = decode_blocks(ETHEREUM, raws, [True] * len(raws))
    write_lake(tmp_path, expected, row_group_size=500)
    batch = read(tmp_path, batch_blocks=4)
    for name, table in expected.tables.items():
        assert table.equals(getattr(batch, name)), name


def test_the_lake_of_another_chain_is_not_read(tmp_path: Path) -> None:
    """One folder, two chains: only the files of the one that was asked for."""
    batch = decode_blocks(ETHEREUM, [made_block()], [True])
    write_lake(tmp_path, batch, "ethereum")
    write_lake(tmp_path, batch, "base")
    assert len(read(tmp_path)) == 1
    with pytest.raises(FileFormatError, match="optimism"):
        ParquetSource(tmp_path, Chain("optimism", 10))


def test_orphaned_blocks_of_the_lake_are_not_read(tmp_path: Path) -> None:
    """A lake that has seen forks gives the chain, not what was taken back."""
    batch = decode_blocks(ETHEREUM, [made_block()], [True])
    write_lake(tmp_path, batch)
    for name in ("blocks", "transactions"):
        orphans = tmp_path / f"orphaned_{name}" / "chain=ethereum" / "date=2026-01-01"
        orphans.mkdir(parents=True)
        pq.write_table(batch.tables[name], orphans / f"orphaned_{name}__ethereum__1-1.parquet")
    assert len(read(tmp_path)) == 1


def test_flows_alone_make_their_blocks(tmp_path: Path) -> None:
    """One file of our flows is enough: block rows are made of what is there."""
    expected = decode_blocks(ETHEREUM, [made_block()], [True])
    pq.write_table(expected.flows, tmp_path / "flows.parquet")
    batch = read(tmp_path / "flows.parquet")
    assert batch.flows.equals(expected.flows)
    assert batch.numbers().tolist() == [100]
    assert batch.blocks["verified"].to_pylist() == [False]


def test_transactions_of_ours_without_flows_get_their_native_flows(tmp_path: Path) -> None:
    """Binary columns and our names are read like anyone else's."""
    expected = decode_blocks(ETHEREUM, [made_block()], [True])
    pq.write_table(expected.transactions, tmp_path / "t.parquet")
    batch = read(tmp_path / "t.parquet")
    native = [f for f in expected.flows.to_pylist() if f["kind"] == 0]
    assert batch.flows.to_pylist() == native
    for name in ("value", "input", "nonce", "status", "gas_used", "contract_address"):
        assert batch.transactions[name].equals(expected.transactions[name]), name
