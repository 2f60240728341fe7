"""Trades as the slices of sandwiches: who made them, which way, and how they stand to others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import pyarrow as pa

from detect.compiled import Array
from detect.known.services import SERVICE_ADDRESSES
from detect.rules.arrow_arrays import fixed_bytes, nulls, numbered
from detect.rules.pool_events import PoolEvents

SCANNED: Final = 256  # how many trades between two slices are looked at for victims
_NOBODY: Final = bytes(20)
_CLOSED: Final = SERVICE_ADDRESSES | {_NOBODY}  # anybody acts through these, or nobody

LEG: Final = np.dtype(
    [
        ("pool", "V32"),
        ("sender", "V20"),
        ("target", "V20"),
        ("amount", "<f8", (2,)),
        ("hash", "V32"),
        ("index", "<i4"),
        ("ordinal", "<i4"),
        ("block", "<i8"),
        ("miner", "V20"),
    ]
)
"""A trade as it is kept for the next block; a V2 or V3 pool is its padded address."""


class Legs:
    """The trades of a batch behind those kept of the block before, in chain order.

    ``rows`` is an array of ``LEG``, ``sign`` which way each went (1: into token0's reserve, 0:
    neither way), ``sender`` and ``target`` number the accounts, -1 for whom nobody acts through.
    """

    def __init__(self, events: PoolEvents, kept: bytes) -> None:
        self._events = events
        before = np.frombuffer(kept, LEG)
        self._first = len(before)
        count = len(before) + len(events.trades)
        self.rows = np.zeros(count, LEG)
        self.rows[: self._first] = before
        _fill(self.rows[self._first :], events)
        self.amount = self.rows["amount"]
        into = self.amount > 0
        out = self.amount < 0
        self.sign: Array = (into[:, 0] & out[:, 1]).astype(np.int8) - (out[:, 0] & into[:, 1])
        ids, accounts = numbered(np.concatenate([self.rows["sender"], self.rows["target"]]))
        self.sender, self.target = ids[:count], ids[count:].copy()
        closed = np.array([account in _CLOSED for account in accounts], np.bool_)
        self.target[closed[self.target]] = -1
        self._pool, _ = numbered(self.rows["pool"])
        self._by_pool = np.argsort(self._pool, kind="stable")
        self._place = np.empty(count, np.int64)  # of each trade among those sorted by pool
        self._place[self._by_pool] = np.arange(count)
        # How many trades of its block come after each.
        self._until_end = np.searchsorted(self.rows["block"], self.rows["block"], "right")
        self._until_end -= np.arange(count) + 1

    def __len__(self) -> int:
        return len(self.rows)

    def turns(self, accounts: Array, kept: int, most: int) -> Iterator[tuple[list[int], int]]:
        """Where an account turned round in a pool: its trades before, the nearest first, and that.

        ``accounts`` is ``sender`` or ``target``; ``most`` bounds the trades before.
        """
        rows = np.flatnonzero((accounts >= 0) & (self.sign != 0))
        order = rows[np.lexsort((rows, accounts[rows], self._pool[rows]))]
        if len(order) < 2:
            return
        pool, who = self._pool[order], accounts[order]
        same = (pool[1:] == pool[:-1]) & (who[1:] == who[:-1])
        turned = same & (self.sign[order[1:]] == -self.sign[order[:-1]])
        for place in (np.flatnonzero(turned) + 1).tolist():
            if order[place] < self._first:  # said when its own block came
                continue
            if not self.linked(int(order[place - 1]), int(order[place]), kept):
                continue
            start = place - 1
            while start > 0 and same[start - 1] and place - start < most:
                start -= 1
            yield order[start:place][::-1].tolist(), int(order[place])

    def linked(self, front: int, back: int, kept: int) -> bool:
        """Whether they are in one block, or in two in a row of one builder, near enough."""
        first, last = self.rows[front], self.rows[back]
        if first["block"] == last["block"]:
            return True
        miner = first["miner"].tobytes()
        return bool(
            first["block"] + 1 == last["block"]
            and self._until_end[front] < kept
            and miner == last["miner"].tobytes() != _NOBODY
        )

    def between(self, front: int, back: int) -> list[int]:
        """The trades between that went the way of the first, by others than whose the two are."""
        low, high = int(self._place[front]) + 1, int(self._place[back])
        rows = self._by_pool[low : min(high, low + SCANNED)]
        apart = self.sign[rows] == self.sign[front]
        for end in (front, back):
            apart &= self.sender[rows] != self.sender[end]
            if self.target[end] >= 0:
                apart &= self.target[rows] != self.target[end]
        found: list[int] = rows[apart].tolist()
        return found

    def block_row(self, leg: int) -> int:
        """Row in the batch of the block of a trade."""
        return self._events.columns.row_of_block(int(self.rows[leg]["block"]))

    def pool_name(self, leg: int) -> bytes:
        """The pool's address, or its id where it is a V4 pool."""
        key: bytes = self.rows[leg]["pool"].tobytes()
        return key[12:] if not any(key[:12]) else key

    def coin(self, leg: int, amount: float) -> bytes | None:
        """The listed token of which the trade moved that amount in or out of its pool."""
        columns, row = self._events.columns, self.rows[leg]
        tx = columns.tx_row(int(row["block"]), int(row["index"]))
        pool = self.pool_name(leg)
        for flow in range(*columns.flows_of(tx)):
            if columns.flow_coin[flow] <= 0:
                continue
            if abs(columns.flow_value[flow] - amount) > 1e-9 * amount:
                continue
            flows = columns.cells("flows")
            ends = (flows["from_address"][flow], flows["to_address"][flow])
            if len(pool) == 32 or pool in ends:
                token: bytes = flows["token_address"][flow]
                return token
        return None


def _fill(legs: Array, events: PoolEvents) -> None:
    # Legs that are all zero, one per trade.
    trades, columns = events.trades, events.columns
    if not len(trades):
        return
    transactions, blocks = columns.batch.transactions, columns.batch.blocks
    tx = trades.tx
    names = np.frombuffer(b"".join(pool.rjust(32, b"\0") for pool in events.pools), "V32")
    legs["pool"] = names[trades.pool]
    for name, source in (("sender", "from_address"), ("target", "to_address")):
        legs[name] = _column(transactions[source], 20)[tx]
    legs["hash"] = _column(transactions["transaction_hash"], 32)[tx]
    legs["amount"] = trades.amount
    legs["index"] = columns.tx_index[tx]
    legs["ordinal"] = columns.log_ordinal[trades.log]
    legs["block"] = columns.tx_block[tx]
    legs["miner"] = _column(blocks["miner"], 20)[columns.block_row(columns.tx_block[tx])]


def _column(values: pa.ChunkedArray, width: int) -> Array:
    # Nulls are all zeros: their bytes mean nothing.
    raw = np.ascontiguousarray(fixed_bytes(values, width))
    if values.null_count:
        raw = raw.copy()
        raw[nulls(values)] = 0
    return raw.view(f"V{width}").reshape(-1)
