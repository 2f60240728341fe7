"""Compiled sums of a block's transactions by what they call."""

from __future__ import annotations

from typing import Final

import numpy as np

from detect.compiled import Array, compiled

SLOTS: Final = 8_192
MOST: Final = 6_000  # different keys of a block that are counted: more fit no block of 126 M gas
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_SLOT_SHIFT: Final = np.uint64(64 - 13)
_BIT_SHIFT: Final = np.uint64(64 - 6)
_ONE: Final = np.uint64(1)


@compiled
def top_of_blocks(
    starts: Array,
    keys: Array,
    senders: Array,
    weights: Array,
    least: int,
    scratch: Array,
    touched: Array,
    top_keys: Array,
    top_sums: Array,
    top_bits: Array,
) -> None:
    """The keys with the most weight in each block, heaviest first, equal ones by key.

    Transactions ``starts[b]`` to ``starts[b + 1]`` are block ``b``'s; key 0 is none. ``scratch``
    is (``SLOTS``, 4) uint64 zeros, and is again afterwards; ``touched`` has room for ``MOST``. Of
    the keys with at least ``least`` transactions ``top_keys[b]`` are the first, ``top_sums[b]``
    their (weight, transactions), and ``top_bits[b]`` have a bit set for each of 64 classes of
    senders that one of theirs is in.
    """
    used = top_keys.shape[1]
    for block in range(len(starts) - 1):
        distinct = 0
        for row in range(starts[block], starts[block + 1]):
            key = keys[row]
            if key == 0:
                continue
            slot = np.int64((key * _MIX) >> _SLOT_SHIFT)
            while scratch[slot, 0] != 0 and scratch[slot, 0] != key:
                slot = (slot + 1) % SLOTS
            if scratch[slot, 0] == 0:
                if distinct == MOST:
                    continue
                touched[distinct] = slot
                distinct += 1
                scratch[slot, 0] = key
            scratch[slot, 1] += np.uint64(weights[row])
            scratch[slot, 2] += _ONE
            scratch[slot, 3] |= _ONE << ((senders[row] * _MIX) >> _BIT_SHIFT)
        for n in range(distinct):
            slot = touched[n]
            key, weight, count = scratch[slot, 0], scratch[slot, 1], scratch[slot, 2]
            if count >= np.uint64(least) and weight > 0:
                place = used
                while place > 0 and (
                    weight > top_sums[block, place - 1, 0]
                    or (
                        weight == top_sums[block, place - 1, 0] and key < top_keys[block, place - 1]
                    )
                ):
                    if place < used:
                        top_keys[block, place] = top_keys[block, place - 1]
                        top_sums[block, place, 0] = top_sums[block, place - 1, 0]
                        top_sums[block, place, 1] = top_sums[block, place - 1, 1]
                        top_bits[block, place] = top_bits[block, place - 1]
                    place -= 1
                if place < used:
                    top_keys[block, place] = key
                    top_sums[block, place, 0] = weight
                    top_sums[block, place, 1] = count
                    top_bits[block, place] = scratch[slot, 3]
            scratch[slot, 0] = 0
            scratch[slot, 1] = 0
            scratch[slot, 2] = 0
            scratch[slot, 3] = 0
