"""What happened in pools during a batch, decoded once for all rules that ask.

Amounts are what a pool's reserves gained (above 0) or lost, in token units as float64, for V2, V3
and V4 alike. V2 and V3 pools are named by their address, V4 pools by their 32-byte id, and events
with V4's topics count only where a known pool manager emitted them. Anybody can emit the others: a
rule that counts value checks it against the transfers of listed tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from chainwarden.schema import column
from detect.compiled import Array
from detect.known.pools import (
    PAIR_CREATED,
    POOL_CREATED,
    POOL_MANAGERS,
    V2_BURN,
    V2_MINT,
    V2_SWAP,
    V2_SYNC,
    V3_BURN,
    V3_COLLECT,
    V3_MINT,
    V3_SWAP,
    V4_INITIALIZE,
    V4_MODIFY,
    V4_SWAP,
)
from detect.rules.arrow_arrays import fixed_bytes, nulls, numbered, variable_bytes
from detect.rules.columns import ColumnCache, Columns
from detect.scored import ScoredBatch

SHAPES: Final[dict[bytes, tuple[int, int]]] = {
    V2_SWAP: (3, 4),
    V2_SYNC: (1, 2),
    V2_MINT: (2, 2),
    V2_BURN: (3, 2),
    V3_SWAP: (3, 5),
    V3_MINT: (4, 4),
    V3_BURN: (4, 3),
    V3_COLLECT: (4, 3),
    V4_SWAP: (3, 6),
    V4_MODIFY: (3, 4),
    PAIR_CREATED: (3, 2),
    POOL_CREATED: (4, 2),
    V4_INITIALIZE: (4, 5),
}
"""Topics and data words of each event; a log of another shape is somebody else's event."""


@dataclass(frozen=True, slots=True)
class Trades:
    """Per transaction and pool what all its swaps there came to, in chain order of the first one.

    ``pool`` indexes ``PoolEvents.pools``; ``amount`` is (trades, 2), the gain of either reserve;
    ``log`` is the row of the first swap, ``swaps`` how many there were.
    """

    tx: Array
    pool: Array
    amount: Array
    log: Array
    swaps: Array

    def __len__(self) -> int:
        return len(self.tx)


@dataclass(frozen=True, slots=True)
class Liquidity:
    """A change of a pool's liquidity. ``amount0`` and ``amount1`` are unknown (0) in V4.

    ``collected``: what left is a position's tokens, its liquidity was burnt before (V3 Collect).
    """

    tx: int
    log: int
    pool: bytes
    liquidity: float
    amount0: float
    amount1: float
    collected: bool = False


@dataclass(frozen=True, slots=True)
class NewPool:
    """A pool that a factory announced: the tokens, 20 zero bytes for the chain's own coin."""

    tx: int
    log: int
    pool: bytes
    token0: bytes
    token1: bytes
    version: int


class PoolEvents:
    """The pool events of a batch, in chain order."""

    def __init__(self, columns: Columns) -> None:
        self.columns = columns

    @cached_property
    def pools(self) -> list[bytes]:
        """The pools that had swaps."""
        return self._trades[0]

    @cached_property
    def pool_index(self) -> dict[bytes, int]:
        """Where in ``pools`` each is."""
        return {pool: index for index, pool in enumerate(self.pools)}

    @cached_property
    def trades(self) -> Trades:
        """What every transaction did in every pool."""
        return self._trades[1]

    @cached_property
    def liquidity(self) -> list[Liquidity]:
        """Liquidity that came and went, in chain order."""
        return [
            *self._v2_liquidity(),
            *self._v3_liquidity(),
            *self._v4_liquidity(),
        ]

    @cached_property
    def created(self) -> list[NewPool]:
        """The pools that were created, in order of the versions of their factories."""
        found = []
        for topic, version in ((PAIR_CREATED, 2), (POOL_CREATED, 3), (V4_INITIALIZE, 4)):
            rows = self._rows(topic)
            for row in rows.tolist():
                topics = [self._topic(n, row) for n in (1, 2, 3)]
                if version == 4:
                    pool, pair = topics[0], topics[1:]
                else:
                    data = self.columns.cells("logs")["data"][row]
                    word = 0 if version == 2 else 1
                    pool, pair = data[32 * word + 12 : 32 * word + 32], topics[:2]
                if pool is None or None in pair:
                    continue
                sides = [side[12:] for side in pair if side is not None]
                found.append(NewPool(self.log_tx(row), row, pool, sides[0], sides[1], version))
        return found

    @cached_property
    def syncs(self) -> tuple[Array, Array, list[bytes]]:
        """V2 reserves as announced: row of the log, (rows, 2) reserves, and the pools."""
        rows = self._rows(V2_SYNC)
        return rows, self._unsigned(rows, 2), self._emitters(rows)

    def log_tx(self, row: int) -> int:
        """Row of the transaction of a log."""
        return int(self._log_tx[row])

    # --- swaps

    @cached_property
    def _trades(self) -> tuple[list[bytes], Trades]:
        v2, v3, v4 = (self._rows(topic) for topic in (V2_SWAP, V3_SWAP, V4_SWAP))
        rows = np.concatenate([v2, v3, v4])
        if not len(rows):
            none = np.empty(0, np.int64)
            return [], Trades(none, none, np.empty((0, 2)), none, none)
        parts = []
        if len(v2):
            two = self._unsigned(v2, 4)
            parts.append(two[:, :2] - two[:, 2:])
        if len(v3):
            parts.append(self._signed(v3, 2))
        if len(v4):
            parts.append(-self._signed(v4, 2))  # what the swapper gained; V3 tells the pool's gain
        amounts = np.concatenate(parts)
        keys = np.zeros((len(rows), 32), np.uint8)
        old = len(v2) + len(v3)
        logs = self.columns.batch.logs
        keys[:old, 12:] = fixed_bytes(logs["address"], 20)[rows[:old]]
        keys[old:] = fixed_bytes(logs["topic1"], 32)[v4]
        order = np.argsort(rows, kind="stable")
        rows, amounts = rows[order], amounts[order]
        pool, names = numbered(keys[order].view("V32").reshape(-1))
        tx = self._log_tx[rows]
        trade, pairs = numbered(tx * len(names) + pool)
        total = np.empty((len(pairs), 2))
        for side in (0, 1):
            total[:, side] = np.bincount(trade, amounts[:, side], len(pairs))
        first = np.empty(len(pairs), np.int64)
        first[trade[::-1]] = np.arange(len(trade))[::-1]
        trades = Trades(tx[first], pool[first], total, rows[first], np.bincount(trade))
        return [_pool_name(name) for name in names], trades

    # --- liquidity

    def _v2_liquidity(self) -> list[Liquidity]:
        found = []
        for topic, sign in ((V2_MINT, 1.0), (V2_BURN, -1.0)):
            rows = self._rows(topic)
            if not len(rows):
                continue
            amounts = self._unsigned(rows, 2) * sign
            for row, pool, (zero, one) in zip(
                rows.tolist(), self._emitters(rows), amounts.tolist(), strict=True
            ):
                # A pair's liquidity is the geometric mean of what backs it.
                size = sign * (abs(zero) * abs(one)) ** 0.5
                found.append(Liquidity(self.log_tx(row), row, pool, size, zero, one))
        return found

    def _v3_liquidity(self) -> list[Liquidity]:
        found = []
        for topic, word, sign in ((V3_MINT, 1, 1.0), (V3_BURN, 0, -1.0), (V3_COLLECT, 0, -1.0)):
            rows = self._rows(topic)
            if not len(rows):
                continue
            words = self._unsigned(rows, SHAPES[topic][1])[:, word:] * sign
            for row, pool, values in zip(
                rows.tolist(), self._emitters(rows), words.tolist(), strict=True
            ):
                tx = self.log_tx(row)
                if topic == V3_COLLECT:
                    found.append(Liquidity(tx, row, pool, 0.0, values[1], values[2], True))
                else:
                    found.append(Liquidity(tx, row, pool, values[0], values[1], values[2]))
        return found

    def _v4_liquidity(self) -> list[Liquidity]:
        rows, found = self._rows(V4_MODIFY), list[Liquidity]()
        if not len(rows):
            return found
        deltas = self._signed(rows, 4)[:, 2]
        for row, delta in zip(rows.tolist(), deltas.tolist(), strict=True):
            pool = self._topic(1, row)
            if pool is not None:
                found.append(Liquidity(self.log_tx(row), row, pool, delta, 0.0, 0.0))
        return found

    # --- logs

    @cached_property
    def _log_tx(self) -> Array:
        logs = self.columns.batch.logs
        return self.columns.tx_rows(column(logs, "block_number"), column(logs, "transaction_index"))

    @cached_property
    def _shaped(self) -> tuple[Array, Array]:
        # How long the data is, and how many topics there are.
        logs = self.columns.batch.logs
        topics = np.full(logs.num_rows, 4, np.int8)
        for name in ("topic1", "topic2", "topic3"):
            topics -= nulls(logs[name])
        return self._data[0], topics

    @cached_property
    def _data(self) -> tuple[Array, Array, Array]:
        return variable_bytes(self.columns.batch.logs["data"])

    def _rows(self, topic: bytes) -> Array:
        rows = self.columns.logs_with((topic,))
        if not len(rows):
            return rows
        lengths, topics = self._shaped
        count, words = SHAPES[topic]
        fits = (lengths[rows] == 32 * words) & (topics[rows] == count)
        fits &= self._log_tx[rows] >= 0
        if topic in (V4_SWAP, V4_MODIFY, V4_INITIALIZE):
            fits &= np.array([e in POOL_MANAGERS for e in self._emitters(rows)], np.bool_)
        kept: Array = rows[fits]
        return kept

    def _emitters(self, rows: Array) -> list[bytes]:
        emitters = self.columns.cells("logs")["address"]
        return [emitters[row] for row in rows.tolist()]

    def _topic(self, number: int, row: int) -> bytes | None:
        value: bytes | None = self.columns.cells("logs")[f"topic{number}"][row]
        return value

    def _quads(self, rows: Array, words: int) -> Array:
        # The first words of each log's data as (rows, words, 4) uint64, most significant first.
        _, offsets, data = self._data
        if not len(rows):
            return np.zeros((0, words, 4), np.uint64)
        raw = data[offsets[rows][:, None] + np.arange(32 * words)]
        return np.ascontiguousarray(raw).view(">u8").astype(np.uint64).reshape(-1, words, 4)

    def _unsigned(self, rows: Array, words: int) -> Array:
        return _float(self._quads(rows, words))

    def _signed(self, rows: Array, words: int) -> Array:
        quads = self._quads(rows, words)
        negative = quads[..., 0] >> np.uint64(63) == 1
        magnitude = _float(np.where(negative[..., None], ~quads, quads))
        signed: Array = np.where(negative, -(magnitude + 1.0), magnitude)
        return signed


class PoolCache:
    """The pool events of the batch seen last: rules that share one decode nothing twice."""

    def __init__(self, columns: ColumnCache) -> None:
        self._columns = columns
        self._last: PoolEvents | None = None

    def of(self, scored: ScoredBatch) -> PoolEvents:
        """The pool events of that batch."""
        columns = self._columns.of(scored)
        if self._last is None or self._last.columns is not columns:
            self._last = PoolEvents(columns)
        return self._last


def _float(quads: Array) -> Array:
    out = np.zeros(quads.shape[:-1])
    for place in range(4):
        out = out * 2.0**64 + quads[..., place].astype(np.float64)
    return out


def _pool_name(key: bytes) -> bytes:
    # An address was padded; a V4 id is a hash, which no one can give twelve leading zeros to.
    return key[12:] if not any(key[:12]) else key
