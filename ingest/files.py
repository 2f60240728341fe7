"""The one entry to files: what a path holds, told by what is in it, not by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chainwarden.errors import FileFormatError
from chainwarden.schema import Chain
from ingest.jsonl import JsonlSource
from ingest.lines import read_lines
from ingest.parquet import ParquetSource
from ingest.source import BlockSource, TableSource

MOST_COUNTED_BYTES: Final = 64 * 1024 * 1024
"""The lines of files up to that size are counted: a second or two, if they are compressed."""

_PARQUET = b"PAR1"


def count_blocks(path: Path, chain: Chain) -> int | None:
    """How many blocks a file or folder holds, where that is told without reading all of it.

    None where it is not: Parquet without a table of blocks, and JSON Lines above
    ``MOST_COUNTED_BYTES``. Raises FileFormatError as ``open_source`` does.
    """
    source = open_source(path, chain)
    if isinstance(source, ParquetSource):
        return source.block_count()
    if path.stat().st_size > MOST_COUNTED_BYTES:
        return None
    try:
        return sum(line.text is None or bool(line.text.strip()) for line in read_lines(path))
    except FileFormatError:  # it breaks off: whoever reads the blocks tells
        return None


def open_source(path: Path, chain: Chain) -> BlockSource | TableSource:
    """The source over a file or folder: Parquet, or JSON Lines (plain or gzip).

    A folder is one of Parquet files. Raises FileFormatError where there is nothing, or nothing that
    is understood.
    """
    if path.is_dir():
        blocks = sorted(path.glob("*.blocks.jsonl*"))
        if blocks and not any(path.rglob("*.parquet")):
            raise FileFormatError(
                f"{path} is a folder of JSON lines", hint=f"name one file, such as {blocks[0]}"
            )
        return ParquetSource(path, chain)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError as error:
        raise FileFormatError(
            f"{path} does not exist", hint="give a file of blocks, or a folder of Parquet files"
        ) from error
    except OSError as error:
        raise FileFormatError(f"{path}: {error.strerror or error}") from error
    if magic == _PARQUET:
        return ParquetSource(path, chain)
    if path.suffix == ".csv":
        raise FileFormatError(f"{path} is CSV", hint="convert it to Parquet: the types are kept")
    if path.suffix == ".parquet":
        raise FileFormatError(f"{path} is no Parquet file, whatever its name says")
    return JsonlSource(path, chain)
