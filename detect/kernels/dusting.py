"""How many different wallets somebody has sprinkled with worthless things within a day.

A HyperLogLog of 256 registers a sender (Flajolet et al., 2007): within 6.5 %, and by linear
counting much closer below a few hundred.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.rows import Record, open_blocks, row_for
from detect.kernels.table import Table, TableUndo, siphash

REGISTERS: Final = 256

SPRINKLER: Final = np.dtype(
    [
        ("power", np.float64),  # sum of 2^-register: exact, all terms are powers of two
        ("at", np.uint32),
        ("since", np.uint32),
        ("zeros", np.uint32),  # registers that are still zero
        ("pieces", np.uint32),
        ("told", np.uint32),
        ("unused", np.uint32),
        ("registers", np.uint8, (REGISTERS,)),
    ],
    align=True,
)

_INDEX = np.uint64(255)
_S8 = np.uint64(8)
_ONE = np.uint64(1)


@compiled
def estimate(s: Record) -> float:
    """About how many different wallets the registers have seen."""
    raw = float(0.7182725932495458 * 256.0 * 256.0 / s.power)
    if raw <= 640.0 and s.zeros > 0:
        return 256.0 * math.log(256.0 / float(s.zeros))
    return raw


@compiled
def _see(s: Record, hashed: np.uint64) -> bool:
    # Whether a register rises.
    register = hashed & _INDEX
    rest = hashed >> _S8
    rank = 1
    while rank < 57 and (rest & _ONE) == np.uint64(0):
        rank += 1
        rest >>= _ONE
    old = s.registers[register]
    if rank <= old:
        return False
    s.registers[register] = rank
    s.zeros -= old == 0
    s.power += 0.5**rank - 0.5 ** int(old)
    return True


@compiled
def scan_dust(
    senders: Array, receivers: Array, times: Array, blocks: Array, first_serial: int,
    window: int, levels: Array, table: Table, undo: TableUndo, hits: Array,
) -> int:  # fmt: skip
    """One pass over worthless pieces, in chain order; how many hits there are.

    A hit is (piece, wallets, pieces, since): the one with which the next of ``levels`` wallets was
    reached within ``window`` seconds of the first.
    """
    found, opened = 0, 0
    for i in range(len(times)):
        open_blocks(table, undo, opened, blocks[i] + 1)
        opened = max(opened, blocks[i] + 1)
        row = row_for(table, undo, first_serial + 1 + blocks[i], senders[i])
        s = table.rows[row]
        if s.pieces == 0 or times[i] - s.since > window:
            s.since = times[i]
            s.pieces = 0
            s.told = 0
            s.zeros = 256
            s.power = 256.0
            for register in range(256):
                s.registers[register] = 0
        s.pieces += 1
        s.at = times[i]
        if not _see(s, np.uint64(siphash(table.secret, receivers[i]))):
            continue
        if s.told < len(levels):
            wallets = estimate(s)
            if wallets >= levels[s.told]:
                hits[found, 0], hits[found, 1] = i, int(wallets)
                hits[found, 2], hits[found, 3] = s.pieces, s.since
                found += 1
                s.told += 1
    open_blocks(table, undo, opened, len(undo.marks))
    return found
