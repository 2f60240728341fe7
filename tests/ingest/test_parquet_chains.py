"""ethereum-etl's, cryo's and AWS' chains in Parquet come to the tables of a node's blocks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainwarden.schema import ETHEREUM
from ingest.decode import decode_blocks
from ingest.raw import RawBlock
from tests.ingest import slow_decode
from tests.ingest.parquet_tables import (
    BLOCK_TIME,
    SHAPES,
    address,
    chain_rows,
    etl,
    hexed,
    read,
    time_of,
    word,
    write_tables,
)
from tests.ingest.real_blocks import load


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_transactions(tmp_path: Path, shape: str) -> None:
    """Parties, exact amounts, status, gas, input and time, as far as the shape can hold them."""
    rows = chain_rows()[:7] if "float" in shape else chain_rows()
    batch = read(write_tables(tmp_path, SHAPES[shape](rows)))
    exact = shape not in ("cryo as float", "aws")
    flows = batch.flows.to_pylist()
    found = batch.transactions.to_pylist()
    assert len(found) == len(flows) == len(rows)
    for row, tx, flow in zip(rows, found, flows, strict=True):
        amount = row["value"] if exact else int(float(row["value"]))
        if shape == "aws" and row["value"] >= 2**255:
            amount = 2**200
        for each in (tx, flow):
            assert each["transaction_hash"] == row["hash"]
            assert each["block_number"] == row["block_number"]
            assert each["block_timestamp"] == time_of(row)
            assert each["transaction_index"] == row["transaction_index"]
            assert each["from_address"] == row["from_address"]
            assert int.from_bytes(each["value"], "big") == amount
            assert each["value_f64"] == float(amount)
            assert each["status"] == row["status"]
        assert tx["to_address"] == row["to_address"]
        assert (tx["nonce"], tx["gas"], tx["gas_used"]) == (
            row["nonce"],
            row["gas"],
            row["gas_used"],
        )
        assert (tx["gas_price"], tx["input"]) == (row["gas_price"], row["input"])
        assert tx["max_fee_per_gas"] is None
        new = slow_decode.created_by(row["from_address"], row["nonce"])
        assert flow["to_address"] == row["to_address"] or flow["to_address"] == new
        assert tx["contract_address"] == (new if row["to_address"] is None else None)
    (creation,) = batch.creations.to_pylist()
    assert creation["init_code"] == rows[3]["input"]
    hashes = batch.blocks["block_hash"].to_pylist()
    assert hashes == ([None, None] if "cryo" in shape else [word(7), word(9)])
    counts = batch.blocks["transaction_count"].to_pylist()
    assert counts == [5, len(rows) - 5]


@pytest.mark.data
def test_the_real_etl_file_conserves_its_values(shared_data: Path) -> None:
    """28,426 unsorted transactions: sorted, summed to the wei, creations at computed addresses."""
    path = shared_data / "blocks" / "etl-2015-11.transactions.parquet"
    batch = read(path)
    rows = pq.read_table(path).to_pylist()
    rows.sort(key=lambda row: (row["block_number"], row["transaction_index"]))
    txs = batch.transactions.to_pylist()
    assert [hexed(tx["transaction_hash"]) for tx in txs] == [row["hash"] for row in rows]
    assert [int.from_bytes(tx["value"], "big") for tx in txs] == [int(r["value"]) for r in rows]
    assert [hexed(tx["input"]) for tx in txs] == [row["input"] for row in rows]
    total = sum(int.from_bytes(flow, "big") for flow in batch.flows["value"].to_pylist())
    assert total == sum(int(row["value"]) for row in rows)
    creating = [row for row in rows if row["to_address"] is None]
    assert batch.creations.num_rows == len(creating) == 178
    for row, made in zip(creating, batch.creations.to_pylist(), strict=True):
        sender = bytes.fromhex(row["from_address"][2:])
        assert made["contract_address"] == slow_decode.created_by(sender, row["nonce"])
    assert batch.transactions["status"].null_count == len(rows)
    assert batch.blocks["block_hash"].null_count == 0


def node_as_tables(raws: Sequence[RawBlock], lists: bool) -> dict[str, pa.Table]:
    """What ethereum-etl would have exported of these blocks: transactions, receipts, logs, blocks.

    With ``lists`` topics are one column of lists and logs know only their hash, else as cryo's.
    """
    transactions, receipts, logs, blocks = [], [], [], []
    for raw in raws:
        block = raw.block
        number, log_index = int(block.number, 16), 0
        blocks.append(
            {
                "number": number,
                "hash": block.hash,
                "parent_hash": block.parent_hash,
                "miner": block.miner,
                "gas_limit": int(block.gas_limit, 16),
                "gas_used": int(block.gas_used, 16),
                "timestamp": int(block.timestamp, 16),
                "extra_data": block.extra_data,
                "base_fee_per_gas": int(block.base_fee_per_gas or "0x0", 16),
            }
        )
        for index, (tx, receipt) in enumerate(
            zip(block.transactions, raw.receipts or (), strict=True)
        ):
            where = {"block_number": number, "transaction_index": index}
            transactions.append(
                {
                    **where,
                    "hash": tx.hash,
                    "nonce": int(tx.nonce, 16),
                    "from_address": tx.from_,
                    "to_address": tx.to,
                    "value": str(int(tx.value, 16)),
                    "input": tx.input,
                    "gas": int(tx.gas, 16),
                    "gas_price": int(tx.gas_price or "0x0", 16),
                    "block_timestamp": int(block.timestamp, 16),
                    "transaction_type": int(tx.type, 16),
                }
            )
            receipts.append(
                {
                    **where,
                    "transaction_hash": tx.hash,
                    "cumulative_gas_used": int(receipt.cumulative_gas_used, 16),
                    "gas_used": int(receipt.gas_used, 16),
                    "contract_address": receipt.contract_address,
                    "status": int(receipt.status or "0x0", 16),
                }
            )
            for log in receipt.logs:
                own: dict[str, Any] = {"topics": log.topics} if lists else where.copy()
                if not lists:
                    padded = [*log.topics, None, None, None, None]
                    own |= {f"topic{i}": padded[i] for i in range(4)}
                logs.append(
                    {
                        **own,
                        "block_number": number,
                        "log_index": log_index,
                        "transaction_hash": tx.hash,
                        "address": log.address,
                        "data": log.data,
                    }
                )
                log_index += 1
    made = {"transactions": transactions, "receipts": receipts, "logs": logs, "blocks": blocks}
    return {name: pa.Table.from_pylist(rows) for name, rows in made.items()}


@pytest.mark.data
@pytest.mark.parametrize("lists", [True, False])
def test_logs_in_tables_give_what_logs_of_a_node_give(
    shared_data: Path, tmp_path: Path, lists: bool
) -> None:
    """25 real blocks exported as ethereum-etl's tables: same flows, approvals, logs, creations."""
    raws = sorted(load(shared_data / "blocks", "run"), key=lambda raw: int(raw.block.number, 16))
    expected = decode_blocks(ETHEREUM, raws, [False] * len(raws))
    tables = node_as_tables(raws, lists)
    batch = read(write_tables(tmp_path, tables, row_group_size=700), batch_blocks=3)
    for name in ("flows", "approvals", "logs", "creations"):
        assert getattr(batch, name).equals(getattr(expected, name)), name
    for name in ("block_hash", "parent_hash", "miner", "gas_used", "base_fee_per_gas"):
        assert batch.blocks[name].equals(expected.blocks[name]), name
    for name in ("status", "gas_used", "contract_address", "input", "value", "nonce"):
        assert batch.transactions[name].equals(expected.transactions[name]), name


def test_token_transfers_without_logs_are_flows_of_tokens(tmp_path: Path) -> None:
    """ethereum-etl's token_transfers: found by transaction hash, in order of their logs."""
    tables = etl(chain_rows())
    tables["token_transfers"] = pa.Table.from_pylist(
        [
            {
                "token_address": hexed(address(99)),
                "from_address": hexed(address(1)),
                "to_address": hexed(address(2)),
                "value": str(amount),
                "transaction_hash": hexed(word(1_000 + tx)),
                "log_index": index,
                "block_number": 7 if tx < 5 else 9,
            }
            for amount, tx, index in [(2**256 - 1, 6, 8), (5, 2, 3), (6, 2, 1)]
        ]
    )
    batch = read(write_tables(tmp_path, tables))
    tokens = [f for f in batch.flows.to_pylist() if f["kind"] == 1]
    assert [
        (f["block_number"], f["transaction_index"], f["ordinal"], int.from_bytes(f["value"], "big"))
        for f in tokens
    ] == [(7, 2, 2, 6), (7, 2, 4, 5), (9, 1, 9, 2**256 - 1)]
    assert batch.flows.num_rows == 11


def test_headers_without_transactions_are_blocks_too(tmp_path: Path) -> None:
    """Empty blocks between and behind the others come in their place."""
    tables = etl(chain_rows())
    tables["blocks"] = pa.Table.from_pylist(
        [
            {
                "number": number,
                "hash": hexed(word(number)),
                "miner": hexed(address(3)),
                "gas_limit": 30_000_000,
                "gas_used": 0,
                "timestamp": BLOCK_TIME + 12 * number,
            }
            for number in (6, 7, 8, 9, 10, 11)
        ]
    )
    batch = read(write_tables(tmp_path, tables), batch_blocks=2)
    assert batch.numbers().tolist() == [6, 7, 8, 9, 10, 11]
    assert batch.blocks["transaction_count"].to_pylist() == [0, 5, 0, 3, 0, 0]
    assert batch.blocks["miner"].to_pylist() == [address(3)] * 6
