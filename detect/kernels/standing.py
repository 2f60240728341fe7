"""Which of many addresses a book of labels knows: one lookup a flow side, compiled."""

from __future__ import annotations

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.table import find, siphash


@compiled
def enter_all(keys: Array, slots: Array, secret: Array) -> None:
    """Index all keys; of equal ones the first."""
    mask = np.uint64(len(slots) - 1)
    for row in range(len(keys)):
        hashed = siphash(secret, keys[row])
        if find(keys, slots, keys[row], hashed) >= 0:
            continue
        place = hashed & mask
        while slots[place] != 0:
            place = (place + np.uint64(1)) & mask
        slots[place] = row + 1


@compiled
def look_up(keys: Array, slots: Array, secret: Array, parties: Array, out: Array) -> None:
    """``out[i]``: the row in ``keys`` of party ``i``, or -1."""
    for i in range(len(parties)):
        out[i] = find(keys, slots, parties[i], siphash(secret, parties[i]))
