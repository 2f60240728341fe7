"""What the transactions of a block add up to, and what they usually do."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np

from detect.compiled import Array
from detect.kernels.tallies import MOST, SLOTS, top_of_blocks
from detect.rules.arrow_arrays import nullable, nulls
from detect.rules.columns import Columns

TOP: Final = 4  # contracts and selectors of a block that are remembered
LEAST: Final = 3  # calls in a block, below which a selector is not remembered
NO_SELECTOR: Final = 0
DECAY: Final = 0.97  # an hour; half of what is usual is from the last day
ROWS: Final = 4
CELLS: Final = 4_096
_SALTS: Final = np.array([0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F], np.uint32)


class Habits(msgspec.Struct, frozen=True, array_like=True):
    """Decayed counts of blocks, calls and failures, and of calls by selector in a count-min sketch.

    Never changed in place. An estimate of a selector is too high by at most e / 4,096 of all calls,
    but once in fifty (Cormode and Muthukrishnan, 2005).
    """

    blocks: float = 0.0
    calls: float = 0.0
    failed: float = 0.0
    cells: bytes = b""  # none yet

    @property
    def failed_share(self) -> float:
        """Which share of the transactions usually fails."""
        return self.failed / self.calls if self.calls else 0.0

    def calls_of(self, selector: int) -> float:
        """How often a selector is usually called in a block."""
        if not self.cells:
            return 0.0
        cells = np.frombuffer(self.cells).reshape(ROWS, CELLS)
        places = _places(np.array([selector], np.uint32))[:, 0]
        return float(cells[np.arange(ROWS), places].min()) / self.blocks

    def after(self, rows: Array) -> Habits:
        """The habits when these blocks are a part of them; what is older weighs less."""
        cells = np.zeros((ROWS, CELLS))
        if self.cells:
            cells = np.frombuffer(self.cells).reshape(ROWS, CELLS) * DECAY
        selectors, counts = rows["selectors"].reshape(-1), rows["selector_calls"].reshape(-1)
        places = _places(selectors.astype(np.uint32))
        for row in range(ROWS):
            np.add.at(cells[row], places[row], counts)
        return Habits(
            DECAY * self.blocks + len(rows),
            DECAY * self.calls + float(rows["calls"].sum()),
            DECAY * self.failed + float(rows["failed"].sum()),
            cells.tobytes(),
        )


def tallies(columns: Columns, kind: np.dtype[Any]) -> Array:
    """What the transactions of each block add up to, as records of ``kind``.

    Blocks whose transactions have no receipts are left out: nothing is known of their gas.
    """
    used = columns.batch.transactions["gas_used"]
    count = len(columns.block_numbers)
    blocks = columns.block_row(columns.tx_block)
    calls = np.bincount(blocks, minlength=count)
    if used.null_count == len(used) and calls.all():
        return np.zeros(0, kind)
    rows = np.zeros(count, kind)
    for name in columns.headers.dtype.names or ():
        rows[name] = columns.headers[name]
    if len(blocks):
        _add_up(columns, rows, blocks, calls)
    given = np.bincount(blocks[~nulls(used)], minlength=count)
    return np.asarray(rows[(given > 0) | (calls == 0)])


def _add_up(columns: Columns, rows: Array, blocks: Array, calls: Array) -> None:
    count = len(rows)
    rows["calls"] = calls
    rows["failed"] = np.bincount(blocks[columns.tx_status == 0], minlength=count)
    gas = np.maximum(nullable(columns.batch.transactions["gas_used"], 0), 0)
    rows["gas"] = np.bincount(blocks, gas, count)
    starts = np.append(np.searchsorted(columns.tx_block, columns.block_numbers), len(blocks))
    senders = columns.tx_from[:, 0].astype(np.uint64) << np.uint64(32) | columns.tx_from[:, 1]
    if gas.any():
        _top(rows, starts, columns.tx_to_key, senders, gas, "hog", 1)
    ones = np.ones(len(blocks), np.int64)
    _top(rows, starts, columns.selectors.astype(np.uint64), senders, ones, "selector", LEAST)


def _top(
    rows: Array, starts: Array, keys: Array, senders: Array, weights: Array, name: str, least: int
) -> None:
    """The keys of each block with the most weight, and how often and by how many they were used."""
    count = len(rows)
    top_keys, top_bits = np.zeros((count, TOP), np.uint64), np.zeros((count, TOP), np.uint64)
    top_sums = np.zeros((count, TOP, 2), np.uint64)
    scratch, touched = np.zeros((SLOTS, 4), np.uint64), np.zeros(MOST, np.int64)
    top_of_blocks(
        starts, keys, senders, weights, least, scratch, touched, top_keys, top_sums, top_bits
    )
    rows[f"{name}s"] = top_keys
    if name == "hog":
        rows["hog_gas"] = top_sums[:, :, 0]
    rows[f"{name}_calls"] = top_sums[:, :, 1]
    # Linear counting (Whang and others, 1990): so many senders leave so many of 64 bits unset.
    unset = np.maximum(64 - np.bitwise_count(top_bits).astype(np.int64), 1)
    rows[f"{name}_senders"] = np.rint(64 * np.log(64 / unset))


def _places(selectors: Array) -> Array:
    # Where a selector's counts are in each row of the sketch.
    mixed = selectors[None, :] * _SALTS[:, None]
    mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x2C1B3C6D)
    return np.asarray((mixed >> np.uint32(20)).astype(np.int64))
