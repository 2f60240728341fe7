"""The trail of funds: the last hops, each with the hop it follows, from which a path is read.

A rule that follows money keeps with each wallet the number of the hop that brought most of it. The
path of an alert is then the hop, the one before it, and so on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from chainwarden.schema import Hop, path_of
from detect.compiled import Array
from detect.rules.arrow_arrays import fixed_bytes, nulls

NONE: Final = -1
"""The number of no hop."""

HOP: Final = np.dtype(
    [
        ("before", np.int64),  # the number of the hop it follows, NONE for a first one
        ("has", np.uint8),  # bit 0: a transaction hash, bit 1: a token
        ("transaction", np.uint8, (32,)),
        ("sender", np.uint8, (20,)),
        ("receiver", np.uint8, (20,)),
        ("token", np.uint8, (20,)),
        ("amount", np.uint8, (32,)),
    ]
)
_COLUMNS: Final = {
    "transaction": "transaction_hash",
    "sender": "from_address",
    "receiver": "to_address",
    "token": "token_address",
    "amount": "value",
}
_HAS_TRANSACTION: Final = 1
_HAS_TOKEN: Final = 2
MOST: Final = 64  # hops that are followed back


@dataclass(slots=True)
class _Undo:
    """The hops of one call: those they were written over, and how many there were before."""

    serials: Array  # int64, of each hop's block
    count: int
    lost: Array


class Trail:
    """The last ``2 * window`` hops of a chain.

    A path reaches back ``window`` hops from the newest one it starts at, so that it is the same
    whatever came in the same pass. At most ``window`` hops are added at once.
    """

    def __init__(self, window: int) -> None:
        if window < 1:
            raise ValueError("a trail keeps at least one hop")
        self.window = window
        self.count = 0
        self._hops = np.zeros(2 * window, HOP)
        self._undo: list[_Undo] = []

    def add(self, hops: Array, serials: Array) -> None:
        """Add hops (records of ``HOP``) in order, each in the name of a block."""
        if len(hops) > self.window:
            raise ValueError(f"{len(hops)} hops at once, the window is {self.window}")
        if not len(hops):
            return
        places = self._places(self.count, len(hops))
        self._undo.append(
            _Undo(np.asarray(serials, np.int64).copy(), self.count, self._hops[places])
        )
        self._hops[places] = hops
        self.count += len(hops)

    def path(self, last: int, newest: int) -> tuple[Hop, ...]:
        """The way to hop ``last``, first hop first, as it was when ``newest`` was the newest."""
        hops: list[Hop] = []
        while newest - self.window < last and last != NONE and len(hops) < MOST:
            record = self._hops[last % len(self._hops)]
            hops.append(_hop(record))
            last = int(record["before"])
        return path_of(hops[::-1])

    def revert(self, serial: int) -> None:
        """Undo the block with that serial, the last one written."""
        while self._undo and self._undo[-1].serials[-1] == serial:
            undo = self._undo[-1]
            kept = int(np.searchsorted(undo.serials, serial))
            self.count = undo.count + kept
            places = self._places(self.count, len(undo.serials) - kept)
            self._hops[places] = undo.lost[kept:]
            if kept:
                undo.serials, undo.lost = undo.serials[:kept], undo.lost[:kept]
                return
            self._undo.pop()

    def forget(self, serial: int) -> None:
        """Drop the undo of blocks up to and including that serial."""
        kept = 0
        while kept < len(self._undo) and self._undo[kept].serials[-1] <= serial:
            kept += 1
        del self._undo[:kept]
        if self._undo and self._undo[0].serials[0] <= serial:
            undo = self._undo[0]
            gone = int(np.searchsorted(undo.serials, serial, "right"))
            self._undo[0] = _Undo(
                undo.serials[gone:].copy(), undo.count + gone, undo.lost[gone:].copy()
            )

    def dump(self) -> object:
        """The state, undo included."""
        undo = [[one.serials.tobytes(), one.count, one.lost.tobytes()] for one in self._undo]
        return [self.window, self.count, self._used().tobytes(), undo]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave, of a trail of the same window."""
        window, count, hops, undo = state
        if window != self.window:
            raise ValueError(f"a trail of {window} hops does not fit one of {self.window}")
        self.count = int(count)
        self._hops[:] = np.zeros(1, HOP)
        self._used()[:] = np.frombuffer(hops, HOP)
        self._undo = [
            _Undo(np.frombuffer(serials, np.int64), int(at), np.frombuffer(lost, HOP))
            for serials, at, lost in undo
        ]

    def content(self) -> bytes:
        """The hops."""
        return msgspec.msgpack.encode([self.window, self.count, self._used().tobytes()])

    def _used(self) -> Array:
        return self._hops[: min(self.count, len(self._hops))]

    def _places(self, first: int, count: int) -> Array:
        return np.arange(first, first + count) % len(self._hops)


def hops_of(flows: pa.Table, rows: Array, before: Array) -> Array:
    """Rows of a table of flows as hops; ``before`` are the numbers of the hops they follow."""
    out = np.zeros(len(rows), HOP)
    if not len(rows):
        return out
    out["before"] = before
    for name, column in _COLUMNS.items():
        out[name] = fixed_bytes(flows[column], HOP[name].shape[0])[rows]
    for name, bit in (("transaction", _HAS_TRANSACTION), ("token", _HAS_TOKEN)):
        unknown = nulls(flows[_COLUMNS[name]])[rows]
        out["has"][~unknown] |= bit
        out[name][unknown] = 0
    return out


def hop_record(hop: Hop, before: int) -> Any:
    """A hop that no flow tells of, as a record of the trail."""
    record = np.zeros((), HOP)
    record["before"] = before
    record["sender"] = np.frombuffer(hop.sender, np.uint8)
    record["receiver"] = np.frombuffer(hop.receiver, np.uint8)
    record["amount"] = np.frombuffer(hop.amount.to_bytes(32, "big"), np.uint8)
    for name, value, bit in (
        ("transaction", hop.transaction, _HAS_TRANSACTION),
        ("token", hop.token, _HAS_TOKEN),
    ):
        if value is not None:
            record[name] = np.frombuffer(value, np.uint8)
            record["has"] |= bit
    return record


def _hop(record: Any) -> Hop:
    return Hop(
        record["transaction"].tobytes() if record["has"] & _HAS_TRANSACTION else None,
        record["sender"].tobytes(),
        record["receiver"].tobytes(),
        int.from_bytes(record["amount"].tobytes(), "big"),
        record["token"].tobytes() if record["has"] & _HAS_TOKEN else None,
    )
