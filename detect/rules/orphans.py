"""The transactions that forks took away, and what became of each."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np
import pyarrow as pa

from detect.known.calls import TRANSFER
from detect.known.tokens import VALUE_TOKENS
from detect.rules.arrow_arrays import address_set
from detect.rules.columns import Columns

COLUMNS: Final = ["nonce", "from_address", "transaction_hash", "to_address", "value", "input"]
VARIANTS: Final = 4  # orphaned transactions remembered of one sender and nonce
OUTCOMES: Final = ("moved", "sped_up", "replaced", "dropped")
"""The same transaction again; the same payment; another one; none in time."""

Payment = tuple[bytes, bytes, bytes, int]
"""Hash, payee (b"" for a creation), token (b"" for the chain's coin), amount."""

Key = tuple[bytes, int]
"""Sender and nonce: of all that have these two, a chain takes one."""


class Orphans:
    """The transactions of blocks that were reverted, by sender and nonce, and what became of them.

    Those of blocks that can still be reverted are slices of their own columns: a reference per
    batch, nothing per block. ``wait`` is how many blocks an orphan has to come back. ``counts``
    counts outcomes since the start, in blocks reverted later too.
    """

    def __init__(self, capacity: int, wait: int) -> None:
        self._capacity = capacity
        self._wait = wait
        self.counts: Counter[str] = Counter()
        self._pending: dict[Key, int] = {}  # -> the serial of the block it has to be back by
        # By the serial of the block that settled it: the orphan, when it was due, its outcome.
        self._settled: dict[int, list[tuple[Key, int, str]]] = {}
        self._batches: list[tuple[int, pa.Table, np.ndarray[Any, Any]]] = []  # first serial, bounds
        self._floor = -1  # blocks up to this one will never be reverted
        self._restored: dict[int, list[tuple[bytes, int, Payment]]] = {}
        self._orphans: dict[Key, tuple[Payment, ...]] = {}
        self._senders: pa.Array | None = None  # of the orphans, until they change

    def remember(self, columns: Columns) -> None:
        """The transactions of a batch, in case its blocks are reverted."""
        bounds = np.searchsorted(columns.tx_block, columns.block_numbers, "left")
        bounds = np.append(bounds, len(columns.tx_block))
        table = columns.batch.transactions.select(COLUMNS)
        self._batches.append((columns.first_serial, table, bounds))

    def senders(self) -> pa.Array:
        """Whose transactions were orphaned."""
        if self._senders is None:
            self._senders = address_set({sender for sender, _ in self._orphans})
        return self._senders

    def of(self, key: Key) -> tuple[Payment, ...]:
        """What was orphaned of a sender and nonce, the newest last."""
        return self._orphans.get(key, ())

    def settle(self, serial: int, key: Key, outcome: str) -> None:
        """What became of an orphan, in the block with that serial."""
        due = self._pending.pop(key, None)
        if due is not None:
            self._settled.setdefault(serial, []).append((key, due, outcome))
            self.counts[outcome] += 1

    def overdue(self, serial: int) -> list[tuple[int, Key]]:
        """Those that had to be back by that block and are not, settled as dropped; oldest first."""
        late = sorted((due, key) for key, due in self._pending.items() if due <= serial)
        for due, key in late:
            self.settle(due, key, "dropped")
        return late

    def revert(self, serial: int) -> None:
        """The block's transactions are orphans now; those it settled wait again."""
        self._senders = None
        self._pending.update((key, due) for key, due, _ in self._settled.pop(serial, ()))
        rows = self._restored.pop(serial, None)
        if rows is None:
            rows = self._rows(serial)
        for sender, nonce, payment in rows:
            held = self._orphans.pop((sender, nonce), ())
            kept = tuple(p for p in held if p[0] != payment[0])[-(VARIANTS - 1) :]
            self._orphans[sender, nonce] = (*kept, payment)  # newest last
            self._pending[sender, nonce] = serial + self._wait
        while len(self._orphans) > self._capacity:
            oldest = next(iter(self._orphans))
            del self._orphans[oldest]
            self._pending.pop(oldest, None)
        self._batches = [
            (first, table, bounds[: max(1, min(len(bounds), serial - first + 1))])
            for first, table, bounds in self._batches
            if first < serial
        ]

    def forget(self, serial: int) -> None:
        """Blocks up to that serial will never be reverted: a nonce that was used there is used."""
        for old in [s for s in self._settled if s <= serial]:
            for key, _, outcome in self._settled.pop(old):
                if outcome != "dropped" and key not in self._pending:
                    self._orphans.pop(key, None)
                    self._senders = None
        self._floor = max(self._floor, serial)
        passed = 0
        for first, _, bounds in self._batches:
            if first + len(bounds) - 2 > serial:
                break
            passed += 1
        del self._batches[:passed]
        for old in [s for s in self._restored if s <= serial]:
            del self._restored[old]

    def dump(self) -> object:
        """The orphans, and those that may become some."""
        recent = dict(self._restored)
        for first, _, bounds in self._batches:
            for serial in range(max(first, self._floor + 1), first + len(bounds) - 1):
                recent[serial] = self._rows(serial)
        return [
            [[serial, [_flat(row) for row in rows]] for serial, rows in sorted(recent.items())],
            [[s, n, [_plain(p) for p in payments]] for (s, n), payments in self._orphans.items()],
            [[s, n, due] for (s, n), due in self._pending.items()],
            [
                [at, [[s, n, due, outcome] for (s, n), due, outcome in keys]]
                for at, keys in self._settled.items()
            ],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        recent, orphans, pending, settled = state
        restored = {
            int(serial): [(bytes(s), int(n), _read(p)) for s, n, p in rows]
            for serial, rows in recent
        }
        loaded = {(bytes(s), int(n)): tuple(_read(p) for p in ps) for s, n, ps in orphans}
        self._pending = {(bytes(s), int(n)): int(due) for s, n, due in pending}
        self._settled = {
            int(at): [((bytes(s), int(n)), int(due), str(outcome)) for s, n, due, outcome in keys]
            for at, keys in settled
        }
        self._batches, self._restored, self._orphans = [], restored, loaded
        self._floor = -1
        self._senders = None

    def content(self) -> bytes:
        """Nothing: a replay of the winning chain has no orphans."""
        return b""

    def _rows(self, serial: int) -> list[tuple[bytes, int, Payment]]:
        for first, table, bounds in reversed(self._batches):
            place = serial - first
            if 0 <= place < len(bounds) - 1:
                return [
                    (
                        table["from_address"][r].as_py(),
                        table["nonce"][r].as_py(),
                        payment_of(table, r),
                    )
                    for r in range(int(bounds[place]), int(bounds[place + 1]))
                ]
        return []


def payment_of(table: pa.Table, row: int) -> Payment:
    """What a transaction pays to whom, seen through the transfer of a listed token."""
    tx_hash = table["transaction_hash"][row].as_py() or b""
    to = table["to_address"][row].as_py() or b""
    data = table["input"][row].as_py() or b""
    if to in VALUE_TOKENS and len(data) == 68 and int.from_bytes(data[:4], "big") == TRANSFER:
        return tx_hash, data[16:36], to, int.from_bytes(data[36:], "big")
    return tx_hash, to, b"", int.from_bytes(table["value"][row].as_py(), "big")


def _plain(payment: Payment) -> list[Any]:
    return [*payment[:3], payment[3].to_bytes(32, "big")]


def _flat(row: tuple[bytes, int, Payment]) -> list[Any]:
    return [row[0], row[1], _plain(row[2])]


def _read(plain: Any) -> Payment:
    tx_hash, payee, token, amount = plain
    if bytes(token) and bytes(token) not in VALUE_TOKENS:
        raise ValueError("an orphan of an unlisted token")
    return bytes(tx_hash), bytes(payee), bytes(token), int.from_bytes(amount, "big")
