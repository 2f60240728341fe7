"""How a lake is read for one answer: the files of now, the newest first, in bounded time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from chainwarden.errors import StoreError
from chainwarden.schema import ADDRESS, FLOWS, LakeFile
from store.lake import Lake
from store.lake_flows import moved
from store.ledger import Ledger

SECONDS: Final = 3.0
"""How long the lake is looked through for one answer, but for the file or row group it is at."""

MOST_ROWS: Final = 10_000_000
"""Flows that are looked through, the newest first: a few seconds' work."""

SIDES: Final = ("from_address", "to_address")
TRIES: Final = 3
"""How often the lake is read for one answer where it is merged each time."""

_NEEDED: Final = (
    *SIDES, "block_number", "block_timestamp", "kind", "token_address", "value", "value_f64",
    "status",
)  # fmt: skip

Over = Callable[[], bool]
"""Says whether an answer has taken long enough."""

T = TypeVar("T")


def deadline(clock: Callable[[], float] = time.monotonic) -> Over:
    """Says whether ``SECONDS`` have passed since now."""
    ends = clock() + SECONDS
    return lambda: clock() > ends


def read_files(ledger: Ledger, find: Callable[[list[LakeFile]], T], *datasets: str) -> T:
    """What ``find`` finds in the files of some data sets. No read of the ledger may be open.

    Files may be merged while they are read: then those of now are. Raises StoreError where they
    cannot be read all the same.
    """
    for attempt in range(1, TRIES + 1):
        with ledger.reading():
            manifest = [file for name in datasets for file in ledger.files(name)]
        try:
            return find(manifest)
        except StoreError:
            if attempt == TRIES:
                raise
    raise AssertionError("unreachable")


class Touching(NamedTuple):
    """What moved from or to some wallets, in the order of the chain.

    ``since`` is the first block that was looked through, None where there is none. ``whole``: the
    lake has no older ones.
    """

    flows: pa.Table
    since: int | None
    whole: bool


def newest(
    manifest: Sequence[LakeFile], dataset: str, most_rows: int, over: Over
) -> Iterator[LakeFile]:
    """A data set's files from the newest blocks down: one at least, then while there is time."""
    files = [file for file in manifest if file.dataset == dataset]
    rows = 0
    for file in sorted(files, key=lambda file: -file.last.number):
        if rows and (rows + file.rows > most_rows or over()):
            return
        rows += file.rows
        yield file


def touching(
    lake: Lake,
    manifest: Sequence[LakeFile],
    addresses: Collection[bytes],
    over: Over,
    more: Sequence[str] = (),
    most_rows: int = MOST_ROWS,
) -> Touching:
    """What moved from or to some wallets in the newest blocks; ``more`` names more columns.

    Raises StoreError where the lake cannot be read.
    """
    columns = (*_NEEDED, *more)
    wanted = pa.array(sorted(addresses), ADDRESS)
    read, parts = list[LakeFile](), list[pa.Table]()
    for file in newest(manifest, "flows", most_rows, over):
        read.append(file)
        sides = lake.read([file], SIDES)
        mask = pc.or_(*(pc.is_in(sides[name], wanted) for name in SIDES))
        if pc.any(mask).as_py():
            found = lake.read([file], columns).filter(mask)
            parts.append(found.filter(moved(found)))
    nothing = pa.schema([FLOWS.field(name) for name in columns]).empty_table()
    flows = pa.concat_tables([*reversed(parts)] or [nothing]).combine_chunks()
    since = min((file.first.number for file in read), default=None)
    whole = len(read) == sum(file.dataset == "flows" for file in manifest)
    return Touching(flows, since, whole)
