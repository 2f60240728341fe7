"""A file of JSON lines gives every whole block with what stands beside it, and nothing escapes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chainwarden.errors import BadBlock, FileFormatError
from chainwarden.schema import ETHEREUM
from ingest import jsonl, lines, sidecar
from ingest.decode import decode_blocks
from ingest.files import open_source
from ingest.jsonl import JsonlSource, parse_block
from ingest.raw import RawBlock, RpcBlock
from tests.ingest.made_blocks import made_block
from tests.ingest.real_blocks import load, load_calls

BASE = msgspec.to_builtins(made_block().block)


def block(number: int, **fields: Any) -> dict[str, Any]:
    """A block object of that number; its hash is the number, too."""
    return {**BASE, "number": hex(number), "hash": f"0x{number:064x}", **fields}


def receipts_of(number: int, **fields: Any) -> dict[str, Any]:
    """A receipts line whose gas tells which block it is for."""
    receipt = {"transactionHash": "0x", "gasUsed": hex(number), "cumulativeGasUsed": "0x0"}
    line = {
        "blockNumber": hex(number),
        "blockHash": f"0x{number:064x}",
        "receipts": [{**receipt, "logsBloom": "0x", "logs": []}],
    }
    return {**line, **fields}


def calls_of(number: int) -> dict[str, Any]:
    """A calls line whose index tells which block it is for."""
    call = {"transactionHash": "0x", "index": number, "parentIndex": 0, "depth": 0}
    return {"blockNumber": hex(number), "calls": [{**call, "callType": "CALL", "from": "0x"}]}


def write(path: Path, rows: Sequence[Any]) -> Path:
    """Lines of JSON, gzip if the name says so; what is bytes already is written as it is."""
    text = b"".join(
        (row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows
    )
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


def read(path: Path) -> list[RawBlock | BadBlock]:
    """All that a file gives."""
    return list(JsonlSource(path, ETHEREUM).blocks())


def numbers(found: Sequence[RawBlock | BadBlock]) -> list[int | str]:
    """The number of each block; the reason of each bad one."""
    return [
        int(each.block.number, 16) if isinstance(each, RawBlock) else each.reason for each in found
    ]


def matched(found: Sequence[RawBlock | BadBlock]) -> list[tuple[int, int | None, int | None]]:
    """Block number, and the numbers that its receipts and its calls are marked with."""
    rows = []
    for raw in found:
        assert isinstance(raw, RawBlock)
        gas = int(raw.receipts[0].gas_used, 16) if raw.receipts is not None else None
        index = raw.calls[0].index if raw.calls is not None else None
        rows.append((int(raw.block.number, 16), gas, index))
    return rows


# --- real files --------------------------------------------------------------------------------


@pytest.mark.data
def test_the_real_files_are_read_whole(shared_data: Path) -> None:
    """138 blocks, the receipts of 40 and the calls of 25, each with the block it belongs to."""
    folder = shared_data / "blocks"
    for name in ("run", "forks"):
        found = read(folder / f"{name}.blocks.jsonl.gz")
        calls = load_calls(folder, name) if name == "run" else {}
        for line, (raw, expected) in enumerate(zip(found, load(folder, name), strict=True), 1):
            assert isinstance(raw, RawBlock)
            assert (raw.block, raw.receipts) == (expected.block, expected.receipts)
            assert raw.calls == calls.get(raw.block.number)
            assert (raw.where, raw.unknown_fields) == (f"{name}.blocks.jsonl.gz:{line}", ())
            decode_blocks(ETHEREUM, [raw], [True])


@pytest.mark.data
def test_the_order_of_the_files_does_not_matter(shared_data: Path, tmp_path: Path) -> None:
    """Receipts and calls in reverse, packed or not, come to the same blocks."""
    folder = shared_data / "blocks"
    expected = read(folder / "run.blocks.jsonl.gz")
    for kind in ("blocks", "receipts", "calls"):
        with gzip.open(folder / f"run.{kind}.jsonl.gz") as file:
            rows = list(file)
        rows = rows if kind == "blocks" else rows[::-1]
        (tmp_path / f"run.{kind}.jsonl").write_bytes(b"".join(rows))
    found = read(tmp_path / "run.blocks.jsonl")
    for raw, same in zip(found, expected, strict=True):
        assert isinstance(raw, RawBlock)
        assert isinstance(same, RawBlock)
        assert (raw.block, raw.receipts, raw.calls) == (same.block, same.receipts, same.calls)


# --- what stands beside ------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz"])
@pytest.mark.parametrize("ahead", [1, 3, 256])
@settings(
    deadline=None,
    max_examples=25,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_each_block_gets_its_own_whatever_the_order_and_the_look_ahead(
    tmp_path: Path, ending: str, ahead: int, data: st.DataObject
) -> None:
    """Some blocks in any order, receipts and calls for any of them in any other: all matched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sidecar, "MAX_AHEAD_LINES", ahead)
        some = st.lists(st.integers(1, 12), unique=True, max_size=12)
        order = data.draw(some.filter(len))
        receipts, calls = data.draw(some), data.draw(some)
        path = write(tmp_path / f"x.blocks{ending}", [block(n) for n in order])
        write(tmp_path / f"x.receipts{ending}", [receipts_of(n) for n in receipts])
        write(tmp_path / f"x.calls{ending}", [calls_of(n) for n in calls])
        assert matched(read(path)) == [
            (n, n if n in receipts else None, n if n in calls else None) for n in order
        ]


def test_memory_is_bounded_by_bytes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look-ahead that would hold too many bytes gives way to the index of offsets."""
    monkeypatch.setattr(sidecar, "MAX_AHEAD_BYTES", 400)
    path = write(tmp_path / "x.blocks.jsonl.gz", [block(n) for n in range(1, 30)])
    write(tmp_path / "x.receipts.jsonl.gz", [receipts_of(n) for n in range(29, 0, -1)])
    assert matched(read(path)) == [(n, n, None) for n in range(1, 30)]


def test_receipts_of_another_fork_are_not_taken(tmp_path: Path) -> None:
    """The same number with another hash is another block: its receipts are not this one's."""
    path = write(tmp_path / "x.blocks.jsonl", [block(1), block(2)])
    write(
        tmp_path / "x.receipts.jsonl",
        [receipts_of(1, blockHash="0x" + "ff" * 32), receipts_of(2, blockHash=None)],
    )
    assert matched(read(path)) == [(1, None, None), (2, 2, None)]


def test_a_packed_file_finds_an_unpacked_one_beside_it(tmp_path: Path) -> None:
    """X.blocks.jsonl.gz takes X.receipts.jsonl where that is what there is."""
    path = write(tmp_path / "x.blocks.jsonl.gz", [block(1)])
    write(tmp_path / "x.receipts.jsonl", [receipts_of(1)])
    assert matched(read(path)) == [(1, 1, None)]


def test_bad_receipts_make_a_bad_block_and_bad_lines_are_told(tmp_path: Path) -> None:
    """Unreadable receipts are never taken for none, and a line that names no block is reported."""
    path = write(tmp_path / "x.blocks.jsonl", [block(1), block(2), block(3)])
    broken = receipts_of(2, receipts=[{"gasUsed": 5}])
    write(tmp_path / "x.receipts.jsonl", [receipts_of(1), b"garbage", broken, receipts_of(3)])
    found = read(path)
    assert [getattr(each, "where", "") for each in found] == [
        "x.blocks.jsonl:1",
        "x.receipts.jsonl:2",
        "x.blocks.jsonl:2",
        "x.blocks.jsonl:3",
    ]
    assert numbers(found) == [1, "malformed", "malformed", 3]
    assert isinstance(found[2], BadBlock)
    assert (found[2].number, "receipts" in str(found[2])) == (2, True)


def test_a_bad_line_beside_is_told_once_even_when_the_file_is_indexed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading the file a second time for its offsets does not report its lines again."""
    monkeypatch.setattr(sidecar, "MAX_AHEAD_LINES", 2)
    path = write(tmp_path / "x.blocks.jsonl", [block(n) for n in (1, 2, 3)])
    rows = [b"{", receipts_of(3), receipts_of(2), b"[]", receipts_of(1)]
    write(tmp_path / "x.receipts.jsonl", rows)
    found = read(path)
    told = [each.where for each in found if isinstance(each, BadBlock)]
    assert told == ["x.receipts.jsonl:1", "x.receipts.jsonl:4"]
    assert matched([each for each in found if isinstance(each, RawBlock)]) == [
        (n, n, None) for n in (1, 2, 3)
    ]


# --- lines that are no block -------------------------------------------------------------------


def test_a_line_that_is_no_block_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    """Each bad line is a BadBlock with file and line; blank lines are nothing."""
    bad: list[Any] = [
        b"not json",
        b"{",
        [1, 2],
        "text",
        {"number": "0x1"},
        {**block(5), "transactions": ["0x" + "00" * 32]},
        {**block(5), "number": 5},
        {**block(5), "number": "0xzz"},
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"extraData": ' + b"9" * 5_000 + b"}",
        b'{"number": NaN}',
        b"\xff\xfe{}",
        {"jsonrpc": "2.0", "id": 1, "result": None},
        {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "header not found"}},
    ]
    path = write(tmp_path / "x.jsonl", [block(1), *bad, b"", block(2)])
    found = read(path)
    assert numbers(found) == [1, *["malformed"] * len(bad), 2]
    for line, each in enumerate(found, 1):
        if isinstance(each, BadBlock):
            assert each.where == f"x.jsonl:{line}"
            assert len(str(each)) < 400
    listed = found[6]
    assert isinstance(listed, BadBlock)
    assert "full transactions" in listed.hint


def test_an_answer_of_a_node_is_unwrapped(tmp_path: Path) -> None:
    """{"jsonrpc": …, "result": {…}} around blocks, receipts and calls is taken off."""

    def answer(result: Any) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": 7, "result": result}

    path = write(tmp_path / "x.blocks.jsonl", [answer(block(1)), block(2)])
    write(tmp_path / "x.receipts.jsonl", [answer(receipts_of(1)), receipts_of(2)])
    assert matched(read(path)) == [(1, 1, None), (2, 2, None)]


def test_fields_that_nobody_knows_are_named_and_bounded(tmp_path: Path) -> None:
    """Unknown header fields are kept by name; what nodes add harmlessly, and nulls, are not."""
    harmless: dict[str, Any] = {
        "size": "0x1",
        "uncles": [],
        "totalDifficulty": "0x0",
        "sealFields": [],
        "new": None,
    }
    future = {"verkleRoot": "0x00", "\ud83d\udd25": 1}
    flood = {f"field{i:03}" + "x" * 500: 1 for i in range(100)}
    path = write(
        tmp_path / "x.jsonl", [block(1, **harmless), block(2, **future), block(3, **flood)]
    )
    plain, odd, flooded = (each for each in read(path) if isinstance(each, RawBlock))
    assert plain.unknown_fields == ()
    assert odd.unknown_fields == ("verkleRoot", "\\U0001f525")
    assert len(flooded.unknown_fields) == 16
    assert max(map(len, flooded.unknown_fields)) <= 80


def test_a_line_that_is_too_long_is_skipped_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer than the cap: a BadBlock, and the next line is where it should be."""
    size = len(json.dumps(block(1)))
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", size + 100)
    monkeypatch.setattr(lines, "_READ", 1_000)
    for name in ("x.jsonl", "y.jsonl.gz"):
        path = write(tmp_path / name, [block(1), block(2, pad="x" * 5_000), block(3)])
        found = read(path)
        assert numbers(found) == [1, "malformed", 3]
        assert isinstance(found[1], BadBlock)
        assert found[1].where == f"{name}:2"


# --- files that are none -----------------------------------------------------------------------


def test_what_is_no_file_of_blocks_is_refused_with_a_hint(tmp_path: Path) -> None:
    """Empty, a folder, absent, of another kind, an array, receipts: each says what it is."""
    write(tmp_path / "x.blocks.jsonl", [block(1)])
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "pretty.json").write_text(json.dumps([block(1)], indent=1))
    (tmp_path / "zip.jsonl").write_bytes(b"PK\x03\x04" + bytes(50))
    (tmp_path / "binary.jsonl").write_bytes(bytes(range(256)))
    (tmp_path / "table.csv").write_text("hash,value\n")
    (tmp_path / "named.parquet").write_text("{}")
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "x.blocks.jsonl", [block(1)])
    write(tmp_path / "x.receipts.jsonl", [receipts_of(1)])
    for name, said in {
        "folder": "folder of JSON lines",
        "empty.jsonl": "empty",
        "absent.jsonl": "does not exist",
        "pretty.json": "array",
        "zip.jsonl": "zip",
        "binary.jsonl": "binary",
        "table.csv": "CSV",
        "named.parquet": "no Parquet",
        "x.receipts.jsonl": "holds receipts",
    }.items():
        with pytest.raises(FileFormatError, match=said):
            list(cast("JsonlSource", open_source(tmp_path / name, ETHEREUM)).blocks())
    with pytest.raises(FileFormatError, match="folder"):
        JsonlSource(tmp_path, ETHEREUM)


def test_a_gzip_file_without_a_line_is_empty(tmp_path: Path) -> None:
    """A packed file of nothing, or of blank lines, holds no blocks, and says so."""
    for rows in ([], [b"", b"  "]):
        path = write(tmp_path / "x.jsonl.gz", rows)
        with pytest.raises(FileFormatError, match="empty"):
            read(path)


def read_until_error(path: Path) -> tuple[list[RawBlock | BadBlock], str]:
    """All that a file gives before it breaks off, and what is said then."""
    found: list[RawBlock | BadBlock] = []
    try:
        for each in JsonlSource(path, ETHEREUM).blocks():
            found.append(each)
    except FileFormatError as error:
        return found, str(error)
    return found, ""


def test_a_truncated_file_gives_all_that_is_whole_and_then_says_where_it_ends(
    tmp_path: Path,
) -> None:
    """Cut anywhere, no whole line is lost, none is made up, and the line of the end is named."""
    whole = gzip.compress(b"".join(json.dumps(block(n)).encode() + b"\n" for n in range(1, 9)))
    path = tmp_path / "x.jsonl.gz"
    for cut in range(20, len(whole), max(1, len(whole) // 40)):
        path.write_bytes(whole[:cut])
        found, said = read_until_error(path)
        assert numbers(found) == list(range(1, len(found) + 1))
        assert said.startswith(f"x.jsonl.gz:{len(found) + 1}: "), cut
        assert "ends in the middle" in said
    path.write_bytes(whole[:-1])  # only the end of the checksum is missing
    found, said = read_until_error(path)
    assert (len(found), "x.jsonl.gz:9" in said) == (8, True)


def test_a_last_line_without_its_end_is_kept_if_it_is_whole(tmp_path: Path) -> None:
    """No newline at the end, with or without the gzip trailer: the block is there."""
    text = json.dumps(block(1)).encode()
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(text))
    assert numbers(read(path)) == [1]
    path.write_bytes(gzip.compress(text)[:-8])
    found, said = read_until_error(path)
    assert (numbers(found), "x.jsonl.gz:2" in said) == ([1], True)


def test_damage_in_the_middle_ends_the_file_behind_the_last_whole_line(tmp_path: Path) -> None:
    """A flipped byte: what was unpacked before it is yielded, then FileFormatError."""
    text = b"".join(json.dumps(block(n)).encode() + b"\n" for n in range(1, 200))
    whole = bytearray(gzip.compress(text))
    path = tmp_path / "x.jsonl.gz"
    for position in range(len(whole) // 2, len(whole), len(whole) // 7):
        damaged = whole.copy()
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        found, said = read_until_error(path)
        assert said
        good = [n for n in numbers(found) if n != "malformed"]
        assert good[:50] == list(range(1, 51))


def test_what_is_no_gzip_is_not_taken_for_one(tmp_path: Path) -> None:
    """Named .gz and plain: refused by line 1. Packed without the name: read."""
    path = tmp_path / "x.jsonl.gz"
    path.write_text(json.dumps(block(1)))
    found, said = read_until_error(path)
    assert (found, said.startswith("x.jsonl.gz:1: this is no gzip file")) == ([], True)
    packed = tmp_path / "y.jsonl"
    packed.write_bytes(gzip.compress(json.dumps(block(1)).encode()))
    assert numbers(read(packed)) == [1]


def test_members_and_padding_of_gzip_are_one_file(tmp_path: Path) -> None:
    """Concatenated members and zeros behind them, as tapes and pigz leave them."""
    path = tmp_path / "x.jsonl.gz"
    members = [gzip.compress(json.dumps(block(n)).encode() + b"\n") for n in (1, 2, 3)]
    path.write_bytes(b"".join(members) + bytes(1_000))
    assert numbers(read(path)) == [1, 2, 3]
    path.write_bytes(b"".join(members) + b"trailing garbage")
    found, said = read_until_error(path)
    assert (numbers(found), "damaged" in said) == ([1, 2, 3], True)


def test_a_truncated_sidecar_is_not_taken_for_missing_receipts(tmp_path: Path) -> None:
    """Blocks whose receipts were whole come; then FileFormatError, never a block without logs."""
    path = write(tmp_path / "x.blocks.jsonl", [block(n) for n in range(1, 9)])
    beside = write(tmp_path / "x.receipts.jsonl.gz", [receipts_of(n) for n in range(1, 9)])
    beside.write_bytes(beside.read_bytes()[:-40])
    found, said = read_until_error(path)
    assert 1 <= len(found) < 8
    assert all(isinstance(raw, RawBlock) and raw.receipts is not None for raw in found)
    assert said.startswith("x.receipts.jsonl.gz:")


# --- fuzz --------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.text(max_size=5),
        st.sampled_from(["0x", "0x1", "number", "result", "transactions", "blockHash"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([*sorted(BASE), "result", "error", "zz"]), inner, max_size=4
        ),
    ),
    max_leaves=8,
)
LINE = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(sorted(BASE)), JSON, max_size=2).map(
        lambda change: json.dumps({**BASE, **change}).encode()
    ),
)


@settings(
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(LINE, min_size=1, max_size=4), beside=st.lists(LINE, max_size=3))
def test_any_lines_give_blocks_and_bad_blocks_and_nothing_else(
    tmp_path: Path, rows: list[bytes], beside: list[bytes]
) -> None:
    """Hostile lines in all three files: one result a line that is not blank, no exception."""
    path = tmp_path / "x.blocks.jsonl"
    path.write_bytes(b"\n".join([json.dumps(block(1)).encode(), *rows]) + b"\n")
    for kind in ("receipts", "calls"):
        (tmp_path / f"x.{kind}.jsonl").write_bytes(b"\n".join(beside))
    own = [each for each in read(path) if getattr(each, "where", "").startswith("x.blocks")]
    assert len(own) == 1 + sum(1 for row in rows if row.strip())


@settings(deadline=None, max_examples=800)
@given(LINE)
def test_no_line_raises_anything_but_what_is_promised(line: bytes) -> None:
    """parse_block returns a block or raises a msgspec error, ValueError or RecursionError."""
    try:
        found, unknown = parse_block(line)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return
    assert isinstance(found, RpcBlock)
    assert len(unknown) <= 16
    assert jsonl.parse_block(msgspec.json.encode(found))[0] == found
