from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainwarden.errors import StoreError
from chainwarden.schema import ETHEREUM, TABLES, BlockBatch, Chain, LakeFile, Position
from store.lake import Lake
from tests.store.made import blocks, features, position


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A new lake."""
    return Lake(tmp_path / "lake", ETHEREUM)


def paths(lake: Lake) -> set[str]:
    """Every file under the lake."""
    return {str(p.relative_to(lake.folder)) for p in lake.folder.rglob("*") if p.is_file()}


def rows(lake: Lake, files: tuple[LakeFile, ...] | list[LakeFile], dataset: str) -> pa.Table:
    """The rows of one dataset."""
    return lake.read([file for file in files if file.dataset == dataset])


def test_every_value_comes_back(lake: Lake) -> None:
    """All tables, types, nulls, uint256 and float bits are the same after reading."""
    batch = blocks(100, 7)
    table = features(batch)
    files = lake.write(batch, table)
    for name, schema in TABLES.items():
        expected = getattr(batch, name)
        if expected.num_rows:
            read = rows(lake, files, name)
            assert read.schema.equals(schema)
            assert read.equals(expected)
    assert rows(lake, files, "features").equals(table)
    assert {file.dataset for file in files} == {
        "blocks", "transactions", "flows", "creations", "logs", "features",
    }  # fmt: skip
    assert lake.verify(files) == ()


def test_a_file_says_what_it_holds(lake: Lake) -> None:
    """Path and manifest entry give dataset, chain, day of block time and block range."""
    files = lake.write(blocks(100, 7), None)
    file = next(file for file in files if file.dataset == "flows")
    folder, name = file.path.rsplit("/", 1)
    assert folder == "flows/chain=ethereum/date=2023-11-14"
    assert name.startswith("flows__ethereum__100-106__")
    assert (file.first, file.last, file.rows) == (position(100), position(106), 28)
    assert file.size_bytes == (lake.folder / file.path).stat().st_size
    statistics = pq.read_metadata(lake.folder / file.path).row_group(0).column(0).statistics
    assert (statistics.min, statistics.max) == (100, 106)


def test_a_retry_replaces_its_own_files_and_no_other(lake: Lake) -> None:
    """The same blocks have the same names; the other branch of a fork has others."""
    first = lake.write(blocks(100, 2), None)
    before = paths(lake)
    assert lake.write(blocks(100, 2), None) == first
    assert paths(lake) == before
    other = lake.write(blocks(100, 2, branch="b"), None)
    assert not {file.path for file in first} & {file.path for file in other}


def test_batches_that_come_one_by_one_are_one_file(lake: Lake) -> None:
    """A writer's files have the names and rows of one ``write``; before ``finish`` nothing does."""
    parts = [blocks(100, 3), blocks(103, 1, flows=0), blocks(104, 3)]
    whole = BlockBatch.concat(parts)
    tables = [features(part) for part in parts]
    writer = lake.writer()
    for part, table in zip(parts, tables, strict=True):
        writer.append(part, table)
    assert all(path.endswith(".tmp") for path in paths(lake))
    files = writer.finish()
    assert rows(lake, files, "features").equals(pa.concat_tables(tables))
    for name, table in whole.tables.items():
        if table.num_rows:
            assert rows(lake, files, name).equals(table)
    assert lake.verify(files) == ()
    at_once = lake.write(whole, pa.concat_tables(tables))
    assert [file.path for file in at_once] == [file.path for file in files]


@pytest.mark.parametrize("before", [0, 1, 2])
def test_the_last_blocks_may_come_before_their_features(lake: Lake, before: int) -> None:
    """The files are those that ``append`` makes of them, and have no names before ``finish``."""
    parts = [blocks(100, 3), blocks(103, 2), blocks(105, 1, flows=0)][-1 - before :]
    writer = lake.writer()
    for part in parts[:-1]:
        writer.append(part, features(part))
    writer.conclude(parts[-1])
    writer.conclude_features(features(parts[-1]))
    assert all(path.endswith(".tmp") for path in paths(lake))
    files = writer.finish()
    assert lake.verify(files) == ()
    assert paths(lake) == {file.path for file in files}
    content = {file.path: (lake.folder / file.path).read_bytes() for file in files}
    other = lake.writer()
    for part in parts:
        other.append(part, features(part))
    assert other.finish() == files
    assert {path: (lake.folder / path).read_bytes() for path in content} == content


def test_what_is_discarded_leaves_nothing(lake: Lake) -> None:
    """Neither unfinished files nor, of the same blocks, any that a commit names."""
    files = lake.write(blocks(100, 2), features(blocks(100, 2)))
    writer = lake.writer()
    writer.conclude(blocks(100, 2))
    writer.conclude_features(features(blocks(100, 2)))
    writer.discard()
    assert paths(lake) == {file.path for file in files}
    assert lake.verify(files) == ()


def test_what_goes_wrong_behind_is_raised_and_leaves_no_piece(lake: Lake) -> None:
    """A batch that cannot be written is an error of the next call; unfinished files are gone."""
    writer = lake.writer()
    writer.append(blocks(100, 2), features(blocks(100, 2)))
    other = features(blocks(102, 2)).drop_columns("log_value")
    writer.append(blocks(102, 2), other)
    with pytest.raises(ValueError, match="schema"):
        writer.finish()
    assert not paths(lake)


def test_an_empty_batch_writes_nothing(lake: Lake) -> None:
    """No blocks, no files."""
    assert lake.write(BlockBatch.of(ETHEREUM), None) == ()
    assert paths(lake) == set()


def test_a_reverted_block_of_its_own_is_only_removed(lake: Lake) -> None:
    """The usual reorg costs no rewriting, and other blocks' files are left alone."""
    files = [file for n in (100, 101) for file in lake.write(blocks(n, 1), None)]
    added, removed = lake.without(files, [position(101)])
    assert added == ()
    assert set(removed) == {file for file in files if file.first == position(101)}
    assert lake.verify(files) == (), "nothing is deleted before the commit"
    lake.remove(removed)
    assert lake.verify([file for file in files if file not in removed]) == ()
    assert len(lake.verify(removed)) == len(removed)


def test_reverted_blocks_are_cut_from_larger_files(lake: Lake) -> None:
    """The other blocks' rows stay as they were, and the new files end where they now end."""
    batch = blocks(100, 5)
    files = lake.write(batch, features(batch))
    added, removed = lake.without(files, [position(104), position(103)])
    assert set(removed) == set(files)
    for name in ("blocks", "transactions", "flows", "creations", "logs"):
        assert rows(lake, added, name).equals(getattr(batch.slice(0, 3), name))
    assert rows(lake, added, "features").equals(features(batch).slice(0, 12))
    (blocks_file,) = (file for file in added if file.dataset == "blocks")
    assert (blocks_file.first, blocks_file.last) == (position(100), position(102))
    assert lake.verify(added) == ()
    again, _ = lake.without(added, [position(102)])
    assert rows(lake, again, "flows").equals(batch.slice(0, 2).flows)


def test_a_block_of_another_branch_touches_nothing(lake: Lake) -> None:
    """Only the block with that hash is taken out, not its height."""
    files = lake.write(blocks(100, 1), None)
    assert lake.without(files, [position(100, "b")]) == ((), ())
    assert lake.without(files, [position(99)]) == ((), ())


def test_blocks_without_hashes_are_found_by_number(lake: Lake) -> None:
    """Sources without hashes have positions without hashes."""
    batch = blocks(100, 2)
    index = batch.blocks.schema.get_field_index("block_hash")
    bare = batch.blocks.set_column(index, TABLES["blocks"].field(index), pa.nulls(2, pa.binary(32)))
    files = lake.write(BlockBatch.of(ETHEREUM, **{**batch.tables, "blocks": bare}), None)
    added, removed = lake.without(files, [Position(101, b"")])
    assert set(removed) == set(files)
    assert rows(lake, added, "blocks")["block_number"].to_pylist() == [100]


def test_compaction_keeps_every_row_in_order(lake: Lake) -> None:
    """Many small files become few, dataset by dataset, with the same rows."""
    files = [file for n in range(100, 120) for file in lake.write(blocks(n, 1), None)]
    added, removed = lake.compact(files[::-1])
    assert set(removed) == set(files)
    whole = blocks(100, 20)
    for name in ("blocks", "transactions", "flows", "creations", "logs"):
        assert rows(lake, added, name).equals(getattr(whole, name))
    assert len(added) == 5
    (flows,) = (file for file in added if file.dataset == "flows")
    assert (flows.first, flows.last) == (position(100), position(119))
    few, _ = lake.compact([file for file in files if file.dataset == "flows"], max_rows=12)
    assert [file.rows for file in few] == [12] * 6 + [8]
    assert lake.compact(added) == ((), ()), "nothing is left to merge"


def test_sweeping_leaves_exactly_the_manifest(lake: Lake) -> None:
    """Files of a commit that never was go, unfinished ones too; another chain's stay."""
    manifest = lake.write(blocks(100, 1), None)
    lake.write(blocks(101, 1), None)
    unfinished = lake.folder / f"{manifest[0].path}.77.tmp"
    unfinished.write_bytes(b"PAR1")
    other = Lake(lake.folder, Chain("base", 8453))
    theirs = other.write(BlockBatch(other.chain, **blocks(100, 1).tables), None)
    swept = lake.sweep(manifest)
    assert len(swept) == 6
    assert paths(lake) == {file.path for file in (*manifest, *theirs)}
    assert lake.sweep(manifest) == ()


def test_damage_is_found(lake: Lake) -> None:
    """A missing, a shortened and a scrambled file are each named."""
    files = lake.write(blocks(100, 3), None)
    first, second, third, *_ = files
    (lake.folder / first.path).unlink()
    data = (lake.folder / second.path).read_bytes()
    (lake.folder / second.path).write_bytes(data[:-9])
    (lake.folder / third.path).write_bytes(b"x" * third.size_bytes)
    problems = lake.verify(files)
    assert [problem.split(":")[0] for problem in problems] == [f.path for f in files[:3]]
    for file in files[:3]:
        with pytest.raises(StoreError):
            lake.read([file])
