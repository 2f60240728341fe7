"""Parquet in every shape comes to the same tables that a node's blocks come to."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwarden.errors import FileFormatError
from chainwarden.schema import ETHEREUM, TABLES, BlockBatch, Chain
from ingest import rows as rows_module
from ingest.decode import decode_blocks
from ingest.files import open_source
from ingest.parquet import ParquetSource
from ingest.raw import RawBlock
from tests.ingest import slow_decode
from tests.ingest.made_blocks import made_block
from tests.ingest.real_blocks import load

FIXTURE = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(path: Path | Sequence[Path], batch_blocks: int = 10**6) -> BlockBatch:
    """All batches of a source as one, every column checked by Arrow."""
    batches = list(ParquetSource(path, ETHEREUM).batches(batch_blocks))
    for batch in batches:
        assert len(batch) <= batch_blocks
        for table in batch.tables.values():
            table.validate(full=True)
    return BlockBatch.concat(batches)


def hexed(value: bytes | None) -> str | None:
    """Bytes as hex text."""
    return None if value is None else "0x" + value.hex()


def address(number: int) -> bytes:
    """A small number as an address."""
    return number.to_bytes(20, "big")


def word(number: int) -> bytes:
    """A number as 32 bytes."""
    return number.to_bytes(32, "big")


# --- a stream of movements ---------------------------------------------------------------------


def movement(block: int, tx: int, sender: int, to: int | None, **fields: Any) -> dict[str, Any]:
    """A row of a stream; the transaction is told by a number."""
    return {
        "transaction_hash": hexed(word(tx)),
        "block_number": block,
        "block_timestamp": 1_500_000_000 + 15 * block,
        "from_address": hexed(address(sender)),
        "to_address": None if to is None else hexed(address(to)),
        "value_eth": 1.5,
        "method_id": "0x",
        "is_error": False,
        **fields,
    }


def write_stream(path: Path, rows: Sequence[Mapping[str, Any]], **options: Any) -> Path:
    """The rows as a Parquet file."""
    table = pa.Table.from_pylist(list(rows))
    if not rows or all(row["to_address"] is None for row in rows):
        table = table.set_column(4, "to_address", pa.nulls(len(rows), pa.string()))
    pq.write_table(table, path, **options)
    return path


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


# --- chains: ethereum-etl, cryo, AWS -----------------------------------------------------------

BLOCK_TIME = 1_689_000_000
AMOUNTS = [0, 1, 10**18, 2**53 + 1, 2**64 + 1, 2**128, 2**255, 2**256 - 1]


def chain_rows() -> list[dict[str, Any]]:
    """Transactions of two blocks with every edge amount; one creates, one failed."""
    rows = []
    for i, amount in enumerate(AMOUNTS):
        rows.append(
            {
                "hash": word(1_000 + i),
                "nonce": i,
                "block_number": 7 if i < 5 else 9,
                "transaction_index": i if i < 5 else i - 5,
                "from_address": address(50 + i),
                "to_address": None if i == 3 else address(60 + i),
                "value": amount,
                "gas": 21_000 + i,
                "gas_price": 10**9 + i,
                "input": bytes(range(i)),
                "status": 0 if i == 4 else 1,
                "gas_used": 20_000 + i,
            }
        )
    return rows


def time_of(row: Mapping[str, Any]) -> int:
    """The time of a row's block."""
    return BLOCK_TIME + 12 * int(row["block_number"])


def etl(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Table]:
    """As ethereum-etl writes them: hex text, decimal text, receipts apart."""
    transactions = [
        {
            **{k: row[k] for k in ("nonce", "block_number", "transaction_index", "gas")},
            "hash": hexed(row["hash"]),
            "block_hash": hexed(word(row["block_number"])),
            "from_address": hexed(row["from_address"]),
            "to_address": hexed(row["to_address"]),
            "value": str(row["value"]),
            "gas_price": row["gas_price"],
            "input": hexed(row["input"]),
            "block_timestamp": time_of(row),
            "max_fee_per_gas": float("nan"),
            "transaction_type": 0,
        }
        for row in rows
    ]
    receipts = [
        {
            "transaction_hash": hexed(row["hash"]),
            "transaction_index": row["transaction_index"],
            "block_number": row["block_number"],
            "cumulative_gas_used": row["gas_used"],
            "gas_used": row["gas_used"],
            "contract_address": None,
            "status": row["status"],
            "effective_gas_price": row["gas_price"],
        }
        for row in rows
    ]
    return {
        "transactions": pa.Table.from_pylist(transactions),
        "receipts": pa.Table.from_pylist(receipts[::-1]),
    }


def cryo(rows: Sequence[dict[str, Any]], value: str = "value_binary") -> dict[str, pa.Table]:
    """As cryo writes them: binary columns, unsigned numbers, the amount in one of its forms."""
    forms: dict[str, Callable[[int], Any]] = {
        "value_binary": word,
        "value_string": str,
        "value_f64": float,
    }
    transactions = [
        {
            "block_number": row["block_number"],
            "transaction_index": row["transaction_index"],
            "transaction_hash": row["hash"],
            "nonce": row["nonce"],
            "from_address": row["from_address"],
            "to_address": row["to_address"],
            value: forms[value](row["value"]),
            "input": row["input"],
            "gas_limit": row["gas"],
            "gas_used": row["gas_used"],
            "gas_price": row["gas_price"],
            "transaction_type": 0,
            "success": row["status"] == 1,
            "timestamp": time_of(row),
            "chain_id": 1,
        }
        for row in rows
    ]
    table = pa.Table.from_pylist(transactions)
    for name in ("block_number", "transaction_index", "transaction_type", "timestamp"):
        position = table.column_names.index(name)
        table = table.set_column(position, name, table[name].cast(pa.uint32()))
    return {"ethereum__transactions__7_to_9": table}


def aws(rows: Sequence[dict[str, Any]]) -> dict[str, pa.Table]:
    """As AWS publishes them: by date, timestamps, receipt_ columns, the amount as a double."""
    transactions = [
        {
            "hash": hexed(row["hash"]),
            "nonce": row["nonce"],
            "transaction_index": row["transaction_index"],
            "from_address": hexed(row["from_address"]),
            "to_address": hexed(row["to_address"]),
            "value": float(row["value"]) if row["value"] < 2**255 else 2.0**200,
            "gas": row["gas"],
            "gas_price": row["gas_price"],
            "input": hexed(row["input"]),
            "receipt_gas_used": row["gas_used"],
            "receipt_status": row["status"],
            "receipt_contract_address": None,
            "block_timestamp": datetime.datetime.fromtimestamp(time_of(row), datetime.UTC),
            "block_number": row["block_number"],
            "block_hash": hexed(word(row["block_number"])),
        }
        for row in rows
    ]
    days = pa.Table.from_pylist(transactions)
    return {
        "date=2023-07-10/part-0": days.slice(0, 5),
        "date=2023-07-11/part-0": days.slice(5),
    }


SHAPES: dict[str, Callable[[Sequence[dict[str, Any]]], dict[str, pa.Table]]] = {
    "etl": etl,
    "cryo": cryo,
    "cryo as text": lambda rows: cryo(rows, "value_string"),
    "cryo as float": lambda rows: cryo(rows[:7], "value_f64"),
    "aws": aws,
}


def write_tables(folder: Path, tables: Mapping[str, pa.Table], **options: Any) -> Path:
    """Each table as a file of its name, which may have folders in it."""
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
    return folder


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


# --- our own -----------------------------------------------------------------------------------


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


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"from_address": "0x12"}, "column from_address"),
        ({"from_address": "0x" + "zz" * 20}, "column from_address"),
        ({"from_address": "12" * 21}, "column from_address"),
        ({"from_address": None}, "column from_address"),
        ({"to_address": "nobody"}, "column to_address"),
        ({"transaction_hash": "0x" + "0" * 63}, "column transaction_hash"),
        ({"value_eth": -1.0}, "column value_eth"),
        ({"value_eth": float("nan")}, "column value_eth"),
        ({"value_eth": float("inf")}, "column value_eth"),
        ({"value_eth": 1e60}, "column value_eth"),
        ({"value_eth": None}, "column value_eth"),
        ({"method_id": "transfer()"}, "column method_id"),
        ({"block_timestamp": -5}, "column block_timestamp"),
        ({"block_number": None}, "block_number is null"),
    ],
)
def test_a_bad_cell_is_named_by_file_column_and_row(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """The row is that of the file, although rows before it were sorted and cut."""
    made = [movement(50 - n // 2, n, 1, 2) for n in range(30)]
    made[17] |= change
    path = write_stream(tmp_path / "bad.parquet", made, row_group_size=8)
    with pytest.raises(FileFormatError, match=said) as caught:
        read(path)
    assert f"{path}, row 17" in str(caught.value)


@pytest.mark.parametrize("value", ["-5", "1.5", "1e3", "", "x", str(2**256), "0x10"])
def test_a_bad_amount_is_refused(tmp_path: Path, value: str) -> None:
    """Decimal texts are unsigned whole numbers below 2^256, nothing else."""
    rows = chain_rows()
    table = etl(rows)["transactions"]
    texts = [*(str(row["value"]) for row in rows[:-1]), value]
    table = table.set_column(table.column_names.index("value"), "value", pa.array(texts))
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(FileFormatError, match="column value") as caught:
        read(tmp_path / "t.parquet")
    assert "row 7" in str(caught.value)


def test_decimal_columns_are_exact(tmp_path: Path) -> None:
    """DECIMAL(38, 9), as BigQuery exports it, keeps every wei, and a fraction is refused."""
    table = etl(chain_rows()[:5])["transactions"]
    at = table.column_names.index("value")
    for amounts, fine in (([0, 1, 10**28, 2**90, 7], True), ([0, 1, 2, 3, Decimal("1.5")], False)):
        column = pa.array([Decimal(str(amount)) for amount in amounts], pa.decimal128(38, 9))
        pq.write_table(table.set_column(at, "value", column), tmp_path / "t.parquet")
        if fine:
            values = read(tmp_path / "t.parquet").transactions["value"].to_pylist()
            assert [int.from_bytes(value, "big") for value in values] == amounts
        else:
            with pytest.raises(FileFormatError, match="row 4"):
                read(tmp_path / "t.parquet")


def test_a_transaction_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """Exports that overlap would count value twice: the row is named."""
    table = etl(chain_rows())["transactions"]
    pq.write_table(pa.concat_tables([table, table.slice(2, 1)]), tmp_path / "t.parquet")
    with pytest.raises(FileFormatError, match="transaction 2 of block 7 is there twice"):
        read(tmp_path / "t.parquet")


def test_logs_of_a_transaction_that_is_not_there_are_refused(tmp_path: Path) -> None:
    """A log must have its transaction, in its block or behind the last one."""
    for number, said in ((7, "not there"), (700, "which has no transactions")):
        tables = etl(chain_rows())
        tables["token_transfers"] = pa.Table.from_pylist(
            [
                {
                    "token_address": hexed(address(99)),
                    "from_address": hexed(address(1)),
                    "to_address": hexed(address(2)),
                    "value": "1",
                    "transaction_hash": hexed(word(77)),
                    "log_index": 1,
                    "block_number": number,
                }
            ]
        )
        with pytest.raises(FileFormatError, match=said):
            read(write_tables(tmp_path, tables))


def test_what_is_too_unsorted_to_sort_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Above the bound, within a row group or over several: the rows are named, never a guess."""
    monkeypatch.setattr(rows_module, "PIECE_ROWS", 10)
    monkeypatch.setattr(rows_module, "MAX_SORT_ROWS", 20)
    made = [movement(100 - n, n, 1, 2) for n in range(40)]
    one = write_stream(tmp_path / "one.parquet", made)
    with pytest.raises(FileFormatError, match=r"row 1: block numbers fall"):
        read(one)
    spread = [movement(n % 7, n, 1, 2) for n in range(40)]
    many = write_stream(tmp_path / "many.parquet", spread, row_group_size=8)
    with pytest.raises(FileFormatError, match="too many to sort"):
        read(many)
    made.sort(key=lambda row: row["block_number"])
    fine = write_stream(tmp_path / "fine.parquet", made)
    assert read(fine).flows.num_rows == 40  # sorted: read in pieces, whatever its size


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    """No Parquet, empty, unknown columns, two shapes at once: each says what it is."""
    (tmp_path / "text.parquet").write_text("PAR1 and then nothing")
    (tmp_path / "empty.parquet").touch()
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "other.parquet")
    (tmp_path / "mixed").mkdir()
    write_stream(tmp_path / "mixed" / "s.parquet", [movement(1, 1, 1, 2)])
    write_tables(tmp_path / "mixed", etl(chain_rows()))
    (tmp_path / "nothing").mkdir()
    for name, said in {
        "text.parquet": "no Parquet file",
        "empty.parquet": "empty|no Parquet",
        "other.parquet": "neither transactions nor flows",
        "mixed": "beside other data sets",
        "nothing": "no Parquet files",
    }.items():
        with pytest.raises(FileFormatError, match=said):
            open_source(tmp_path / name, ETHEREUM)


@pytest.mark.parametrize("piece_rows", [10**6, 300])
def test_a_damaged_page_is_an_error_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_rows: int
) -> None:
    """Bytes flipped in the middle of a file: FileFormatError that names it, or all the rows."""
    path = write_stream(
        tmp_path / "s.parquet", [movement(n, n, n, 2) for n in range(2_000)], compression="snappy"
    )
    monkeypatch.setattr(rows_module, "PIECE_ROWS", piece_rows)
    whole = path.read_bytes()
    refused = 0
    for position in range(200, len(whole) - 2_000, len(whole) // 15):
        damaged = bytearray(whole)
        damaged[position : position + 40] = b"\xff" * 40
        path.write_bytes(damaged)
        try:
            assert len(read(path)) <= 2_000
        except FileFormatError as error:
            refused += "s.parquet" in str(error)
    assert refused >= 10


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
