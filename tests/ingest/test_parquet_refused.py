"""Parquet that cannot be meant is refused, by its file, column and row."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainwarden.errors import FileFormatError
from chainwarden.schema import ETHEREUM
from ingest import rows as rows_module
from ingest.files import open_source
from tests.ingest.parquet_tables import (
    address,
    chain_rows,
    etl,
    hexed,
    movement,
    read,
    word,
    write_stream,
    write_tables,
)


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
