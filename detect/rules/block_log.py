"""The newest blocks as rows: what rules about the chain itself keep, and how it is undone.

What such a rule says of a block depends on the rows before it alone, so a revert is dropping the
last row. What is remembered for longer (a baseline, a model's weights) is never changed in place:
each change is a new version, and a revert drops that too.
"""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from chainwarden.schema import BlockBatch
from detect.compiled import Array
from detect.growing import Growing
from detect.rules.arrow_arrays import fixed_bytes, nullable, nulls

UNKNOWN: Final = -1  # a quantity that the source does not give

HEADER: Final = [
    ("serial", np.int64),
    ("number", np.int64),
    ("time", np.int64),
    ("hash", np.uint64),  # folded, 0 unknown
    ("parent", np.uint64),
    ("gas_limit", np.int64),
    ("gas_used", np.int64),
    ("base_fee", np.int64),  # wei, saturated
    ("blob_gas_used", np.int64),
    ("excess_blob_gas", np.int64),
    ("run", np.int32),  # blocks that follow one another up to this one, itself included
]
"""What every log has of a block."""

T = TypeVar("T")


def headers_of(batch: BlockBatch, first_serial: int) -> Array:
    """The headers of a batch as records of ``HEADER``; ``run`` is not filled in."""
    blocks = batch.blocks
    rows = np.zeros(len(batch), HEADER)
    rows["serial"] = np.arange(first_serial, first_serial + len(rows))
    rows["number"] = batch.numbers()
    rows["time"] = blocks["block_timestamp"].to_numpy()
    rows["hash"], rows["parent"] = folded(blocks["block_hash"]), folded(blocks["parent_hash"])
    for name in ("gas_limit", "gas_used", "blob_gas_used", "excess_blob_gas"):
        rows[name] = nullable(blocks[name], UNKNOWN)
    fees = blocks["base_fee_per_gas"]
    rows["base_fee"] = np.minimum(nullable(fees, 0), np.uint64(2**63 - 1))
    rows["base_fee"][nulls(fees)] = UNKNOWN
    return rows


def folded(hashes: pa.ChunkedArray) -> Array:
    """Hashes as uint64, their four words folded into one; 0 where there are none."""
    raw = np.ascontiguousarray(fixed_bytes(hashes, 32)).view(np.uint64).reshape(-1, 4)
    out = np.bitwise_xor.reduce(raw, axis=1)
    if hashes.null_count:
        out[nulls(hashes)] = 0
    return np.asarray(out)


class BlockLog:
    """The last ``keep`` blocks as a record array, and those below until their undo is dropped.

    ``kind`` begins with ``HEADER``.
    """

    def __init__(self, kind: list[Any], keep: int) -> None:
        self.kind = np.dtype(kind)
        self.keep = keep
        self._held = Growing(np.zeros(0, self.kind))

    def followed_by(self, new: Array) -> tuple[Array, int]:
        """The rows kept and new ones behind them, as a copy, and where the new ones begin."""
        before = self.rows
        rows = np.empty(len(before) + len(new), self.kind)
        rows[: len(before)], rows[len(before) :] = before, new
        return rows, len(before)

    def follow(self, headers: Array) -> tuple[Array, int]:
        """The rows kept and those of new blocks behind them, and where these begin.

        ``headers`` are records of ``HEADER``, or of more of the log's columns. ``run`` is filled
        in; the caller fills in the rest and gives the new ones to ``append``.
        """
        new = headers
        if headers.dtype != self.kind:
            new = np.zeros(len(headers), self.kind)
            for name in headers.dtype.names or ():
                new[name] = headers[name]
        rows, start = self.followed_by(new)
        if not len(headers):
            return rows, start
        last = max(0, start - 1)  # the row that the first new one may follow
        one, two = rows[last:-1], rows[last + 1 :]
        unknown = (one["hash"] == 0) | (two["parent"] == 0)
        linked = np.zeros(len(headers), np.bool_)
        linked[len(headers) - len(two) :] = (two["number"] == one["number"] + 1) & (
            (one["hash"] == two["parent"]) | unknown
        )
        places = np.arange(len(headers))
        broken = np.maximum.accumulate(np.where(linked, -1, places))
        so_far = int(rows["run"][last]) if start else 0
        rows["run"][start:] = np.where(broken >= 0, places - broken, places + so_far) + 1
        return rows, start

    def append(self, rows: Array) -> None:
        """Take in the rows of new blocks."""
        self._held.extend(rows)

    @property
    def last(self) -> Any:
        """The newest row, None before the first."""
        return self._held.rows[-1] if len(self._held) else None

    @property
    def rows(self) -> Array:
        """The last ``keep`` rows, to be read before the log changes."""
        return self._held.rows[-self.keep :]

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one appended."""
        while len(self._held) and self.last["serial"] == serial:
            self._held.drop_last(1)

    def forget(self, serial: int) -> None:
        """Drop what only a revert of blocks up to that serial would ask for."""
        if len(self._held) > self.keep:
            final = int(self._held.rows["serial"].searchsorted(serial, "right"))
            self._held.drop_first(max(0, final - self.keep))

    def dump(self) -> object:
        """The rows, undo included."""
        return [str(self.kind), self._held.rows.tobytes()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        kind, data = state
        if kind != str(self.kind):
            raise ValueError("a log of other columns")
        self._held = Growing(np.frombuffer(data, self.kind))

    def content(self) -> bytes:
        """The last ``keep`` rows."""
        return self.rows.tobytes()


class Versions(Generic[T]):
    """A value that is replaced now and then, with the serial of each block that replaced it.

    Values are never changed in place. ``T`` is anything msgspec encodes, named by its type.
    """

    def __init__(self, first: T, kind: type[T]) -> None:
        self._first, self._kind = first, kind
        self._held: list[tuple[int, T]] = []

    @property
    def newest(self) -> T:
        """The value now."""
        return self._held[-1][1] if self._held else self._first

    def replace(self, serial: int, value: T) -> None:
        """Another value, from the block with that serial on."""
        if self._held and self._held[-1][0] == serial:
            self._held.pop()
        self._held.append((serial, value))

    def revert(self, serial: int) -> None:
        """Undo the block with that serial."""
        while self._held and self._held[-1][0] == serial:
            self._held.pop()

    def forget(self, serial: int) -> None:
        """Keep the newest of those that cannot be reverted, and all that can."""
        final = sum(1 for at, _ in self._held if at <= serial)
        if final:
            self._first = self._held[final - 1][1]
            del self._held[:final]

    def dump(self) -> object:
        """The values, undo included."""
        encode = msgspec.msgpack.encode
        return [encode(self._first), [[at, encode(value)] for at, value in self._held]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        first, held = state
        decoder = msgspec.msgpack.Decoder(self._kind)
        self._first = decoder.decode(first)
        self._held = [(int(at), decoder.decode(value)) for at, value in held]

    def content(self) -> bytes:
        """The value now."""
        return msgspec.msgpack.encode(self.newest)
