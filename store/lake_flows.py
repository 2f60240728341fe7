"""One wallet's flows, the newest first, out of the lake's files: a page at a time.

There is no index by wallet. Files are looked through from the newest block down, row group by row
group, and of each at first the two columns of addresses only; block numbers, dates and times that
were asked for spare what lies outside of them. Whoever asks says when it has taken long enough: the
page then ends where it is, and the next one goes on below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Literal, NamedTuple, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from chainwarden.schema import FlowKind, LakeFile
from store.lake import Lake, date_of

Direction = Literal["in", "out", "any"]
Row = dict[str, Any]

SCORES: Final = ("flow_score", "from_score", "to_score", "from_risk", "to_risk")
_SIDES: Final = ("from_address", "to_address")
_KEY: Final = ("block_number", "transaction_index", "ordinal", "batch_index")
_READ: Final = (
    *_KEY, *_SIDES, "block_timestamp", "transaction_hash", "kind", "token_address", "token_id",
    "value", "value_f64", "status",
)  # fmt: skip
_PLACE: Final = re.compile(r"(\d{1,18})(?:\.(\d{1,9}|w)\.(-?\d{1,9})\.(\d{1,9}))?")


class FlowPlace(NamedTuple):
    """Where in the chain a page ended: at a flow, or, with no more than a block, at all of it.

    ``transaction_index`` None is a withdrawal's.
    """

    block_number: int
    transaction_index: int | None = None
    ordinal: int | None = None
    batch_index: int = 0

    @classmethod
    def read(cls, text: str) -> Self:
        """A place from its text. Raises ValueError.

        >>> FlowPlace.read("17.w.3.0")
        FlowPlace(block_number=17, transaction_index=None, ordinal=3, batch_index=0)
        >>> str(FlowPlace.read("17.2.-1.0")), str(FlowPlace.read("17"))
        ('17.2.-1.0', '17')
        """
        found = _PLACE.fullmatch(text)
        if found is None or not text.isascii():
            raise ValueError("no place of a flow")
        block, transaction, ordinal, batch = found.groups()
        if transaction is None:
            return cls(int(block))
        index = None if transaction == "w" else int(transaction)
        return cls(int(block), index, int(ordinal), int(batch))

    def __str__(self) -> str:
        if self.ordinal is None:
            return str(self.block_number)
        index = "w" if self.transaction_index is None else self.transaction_index
        return f"{self.block_number}.{index}.{self.ordinal}.{self.batch_index}"

    def order(self) -> tuple[float, int, int, int]:
        """Greater the later it comes in its block; see ``FLOWS`` in the schema."""
        ordinal = self.ordinal or 0
        phase = 0 if ordinal == 0 else 1 if ordinal < 0 else 2
        index = math.inf if self.transaction_index is None else self.transaction_index
        return index, phase, abs(ordinal), self.batch_index


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Which flows of a wallet are asked for; what is None does not narrow.

    ``token`` is a token's address, empty for the chain's own coin. Times are block times, ``since``
    included, ``until`` not; blocks are both included. ``after`` is where the page before ended.
    """

    address: bytes
    direction: Direction = "any"
    token: bytes | None = None
    counterparty: bytes | None = None
    since: int | None = None
    until: int | None = None
    first_block: int | None = None
    last_block: int | None = None
    limit: int = 100
    after: FlowPlace | None = None

    @property
    def highest(self) -> float:
        """No block above it can have one of them."""
        ends = [math.inf if self.last_block is None else self.last_block]
        if self.after is not None:
            ends.append(self.after.block_number - (self.after.ordinal is None))
        return min(ends)

    @property
    def lowest(self) -> int:
        """No block below it can have one of them."""
        return self.first_block or 0


@dataclass(frozen=True, slots=True)
class FlowPage:
    """Rows as the lake has them, with the scores as ``SCORES`` names them, the newest first.

    ``after`` is where the next page goes on, None where there can be no more; ``searched_to`` the
    lowest block that was looked through, None where there was none.
    """

    rows: list[Row]
    after: FlowPlace | None
    searched_to: int | None


class _Chunk(NamedTuple):
    """A row group of a file, and the blocks it can hold."""

    file: LakeFile
    parquet: pq.ParquetFile
    group: int
    low: int
    high: int


def find_flows(
    lake: Lake,
    manifest: Sequence[LakeFile],
    wanted: FlowFilter,
    over: Callable[[], bool],
    features: Sequence[str] = (),
) -> FlowPage:
    """A page of the flows that moved something from or to a wallet; failed ones did not.

    At least one row group is looked through, whatever ``over`` says, so pages come to an end.
    ``features`` names more columns of the features. Raises StoreError where a file cannot be read,
    as when it was merged into another meanwhile: ask again with the manifest of now.
    """
    scored = {(f.first.number, f.last.number): f for f in manifest if f.dataset == "features"}
    parts: list[Row] = []
    low: int | None = None
    for chunk in _chunks(lake, manifest, wanted):
        if low is not None and chunk.high < low and over():
            return FlowPage(parts, FlowPlace(low), low)
        table, ended = _matching(chunk, wanted, wanted.limit + 1 - len(parts))
        if table is not None:
            table = _with_scores(lake, chunk, scored, table, features)
            parts += reversed(table.to_pylist())
        low = chunk.low
        if len(parts) > wanted.limit:
            page = parts[: wanted.limit]
            return FlowPage(page, _place_of(page[-1]), page[-1]["block_number"])
        if ended:
            break
    return FlowPage(parts, None, low)


def _chunks(lake: Lake, manifest: Sequence[LakeFile], wanted: FlowFilter) -> Iterator[_Chunk]:
    """The row groups that may have what is wanted, from the newest block down."""
    files = [
        file
        for file in manifest
        if file.dataset == "flows"
        and file.first.number <= wanted.highest
        and file.last.number >= wanted.lowest
        and (wanted.until is None or date_of(file.path) < wanted.until)
    ]
    for file in sorted(files, key=lambda f: (-f.last.number, f.path)):
        with lake.opened(file) as parquet:
            for group in reversed(range(parquet.num_row_groups)):
                low, high = _blocks_of(parquet, group, file)
                if low <= wanted.highest and high >= wanted.lowest:
                    yield _Chunk(file, parquet, group, low, high)


def _matching(chunk: _Chunk, wanted: FlowFilter, room: int) -> tuple[pa.Table | None, bool]:
    """The last ``room`` rows of a chunk that are wanted, with ``row``, their place in it.

    And whether whatever lies below is too old to be wanted.
    """
    sides = chunk.parquet.read_row_group(chunk.group, columns=list(_SIDES))
    rows = pc.indices_nonzero(_touching(sides, wanted))
    ended = False
    if wanted.since is not None:
        times = chunk.parquet.read_row_group(chunk.group, columns=["block_timestamp"])[0]
        ended = times[0].as_py() < wanted.since
    if not len(rows):
        return None, ended
    table = chunk.parquet.read_row_group(chunk.group, columns=list(_READ)).take(rows)
    table = table.append_column("row", rows)
    for condition in _conditions(table, wanted):
        table = table.filter(condition)
    after = wanted.after
    if after is not None and after.ordinal is not None and chunk.high >= after.block_number:
        table = _before(table, after)
    kept = table.slice(max(0, table.num_rows - room))
    return (kept if kept.num_rows else None), ended


def _touching(sides: pa.Table, wanted: FlowFilter) -> pa.ChunkedArray:
    """Which rows are of the wallet, in the direction and with the other side that is wanted."""
    sender, receiver = (pc.equal(sides[name], wanted.address) for name in _SIDES)
    if wanted.counterparty is not None:
        by, to = (pc.equal(sides[name], wanted.counterparty) for name in _SIDES)
        sender, receiver = pc.and_(sender, to), pc.and_(receiver, by)
    if wanted.direction == "any":
        return pc.or_(sender, receiver)
    return sender if wanted.direction == "out" else receiver


def _conditions(table: pa.Table, wanted: FlowFilter) -> Iterator[pa.ChunkedArray]:
    """What else is asked of each row, one after the other of the rows that are left."""
    numbers, times, token = (
        table[name] for name in ("block_number", "block_timestamp", "token_address")
    )
    conditions = [moved(table), pc.greater_equal(numbers, wanted.lowest)]
    if wanted.highest < math.inf:
        conditions.append(pc.less_equal(numbers, int(wanted.highest)))
    if wanted.since is not None:
        conditions.append(pc.greater_equal(times, wanted.since))
    if wanted.until is not None:
        conditions.append(pc.less(times, wanted.until))
    if wanted.token is not None:
        coin = not wanted.token
        conditions.append(
            pc.is_null(token) if coin else pc.fill_null(pc.equal(token, wanted.token), False)
        )
    yield reduce(pc.and_, conditions)


def moved(table: pa.Table) -> pa.ChunkedArray:
    """Which flows moved something: a failed transaction's did not, nor does a call without value.

    It needs ``kind``, ``value_f64`` and ``status``.
    """
    call = pc.and_(pc.equal(table["kind"], int(FlowKind.NATIVE)), pc.equal(table["value_f64"], 0.0))
    failed = pc.equal(pc.fill_null(table["status"], 1), 0)
    return pc.invert(pc.or_(call, failed))


def _before(table: pa.Table, place: FlowPlace) -> pa.Table:
    """The rows that come before a place; only those of its block are compared one by one."""
    last = place.order()
    keep = [
        number < place.block_number or FlowPlace(number, *rest).order() < last
        for number, *rest in zip(*(table[name].to_pylist() for name in _KEY), strict=True)
    ]
    return table.filter(pa.array(keep, pa.bool_()))


def _with_scores(
    lake: Lake,
    chunk: _Chunk,
    scored: Mapping[tuple[int, int], LakeFile],
    table: pa.Table,
    features: Sequence[str],
) -> pa.Table:
    """The rows with their scores, nulls where the lake has none of them."""
    file = scored.get((chunk.file.first.number, chunk.file.last.number))
    names = [*SCORES, *features]
    found: pa.Table | None = None
    if file is not None and file.rows == chunk.file.rows:
        with lake.opened(file) as parquet:
            known = set(parquet.schema_arrow.names)
            rows = chunk.parquet.metadata.row_group(chunk.group).num_rows
            # A row of features for each flow, in the same order, and written by the same hand.
            if (
                known.issuperset(names)
                and parquet.num_row_groups == chunk.parquet.num_row_groups
                and parquet.metadata.row_group(chunk.group).num_rows == rows
            ):
                read = parquet.read_row_group(chunk.group, columns=[*_KEY, *names])
                found = read.take(table["row"])
    if found is None or any(found[name] != table[name] for name in _KEY):
        nothing = pa.nulls(table.num_rows, pa.float64())
        found = pa.table(dict.fromkeys(names, nothing))
    for name in names:
        table = table.append_column(name, found[name])
    return table


def _place_of(row: Row) -> FlowPlace:
    return FlowPlace(*(row[name] for name in _KEY))


def _blocks_of(parquet: pq.ParquetFile, group: int, file: LakeFile) -> tuple[int, int]:
    """The first and last block of a row group, by its statistics."""
    place = parquet.schema_arrow.names.index("block_number")
    statistics = parquet.metadata.row_group(group).column(place).statistics
    if statistics is None or not statistics.has_min_max:
        return file.first.number, file.last.number
    return int(statistics.min), int(statistics.max)
