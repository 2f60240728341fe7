"""How taint moves with money: haircut for every wallet, FIFO lots beside it, flow by flow.

Two ways of following the same money (Möser, Böhme and Breuker, "Towards Risk Scoring of Bitcoin
Transactions", 2014; Anderson, Shumailov and Ahmed, "Making Bitcoin Legal", 2018). *Haircut*: what
leaves is as tainted as the balance it leaves. *FIFO*: what came first leaves first. Amounts are in
whole coins. Nothing is created or lost: whatever enters is held, absorbed, dropped below the floor,
or given up by eviction, and each is summed.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.table import CANDIDATES, COUNT, HAND, Table, TableUndo, siphash

CLASSES: Final = 2  # of taint: 0 from wallets with a bad label, 1 out of mixers
LOTS: Final = 32

TAINT: Final = np.dtype(
    [
        ("balance", np.float64),  # of a token: what came in since it was first tainted
        ("taint", np.float64, (CLASSES,)),
        ("paid_taint", np.float64),  # to services, since ``paid_since``
        ("paid", np.float64),  # the same, clean money included
        ("paid_since", np.int64),
        ("hop", np.int64),  # that brought most of the taint
        ("source", np.uint32, (5,)),  # where that came from
        ("coin", np.uint32),
    ]
)

QUEUE: Final = np.dtype(
    [
        ("amount", np.float64, (LOTS,)),  # oldest first
        ("taint", np.float64, (LOTS,)),  # of the amount
        ("origin", np.uint32, (LOTS,)),  # 0: clean
        ("lots", np.uint32),
        ("coin", np.uint32),
        ("total", np.float64),  # of the taint
    ]
)

# Flows: what a party is.
SOURCE_BAD: Final = 1
SINK: Final = 2
SOURCE_MIXER: Final = 4
PAYS_SERVICE: Final = 8  # a sink that is worth telling about

# Sums, per method and coin: sourced = held + absorbed + dropped + evicted.
SOURCED: Final = 0
ABSORBED: Final = 1
DROPPED: Final = 2
EVICTED_TAINT: Final = 3
SUMS: Final = 4
HAIRCUT: Final = 0
FIFO: Final = 1


class TaintFlows(NamedTuple):
    """Flows in chain order, and what is known of their parties."""

    coin: Array  # int64
    units: Array  # float64, whole coins
    time: Array  # int64
    block: Array  # int64: rows of the batch's blocks
    sender: Array  # uint32 (n, 5)
    receiver: Array
    sender_held: Array  # float64: the coins it had before the flow, in view
    receiver_held: Array
    sender_is: Array  # uint8
    receiver_is: Array


class TaintState(NamedTuple):
    """What is known of tainted wallets, by wallet and coin."""

    wallets: Table
    queues: Table
    sums: Array  # float64 (2, coins, SUMS)
    scratch: Array  # float64 (LOTS + 2, 2): amounts and taint of lots on their way
    origins: Array  # uint32 (LOTS + 2,)
    carried: Array  # float64 (CLASSES,): what a flow takes with it, by haircut
    key: Array  # uint32 (2, 5): of the sender and the receiver
    source: Array  # uint32 (5,): where the flow's taint comes from


class TaintUndo(NamedTuple):
    """What takes the blocks of a pass back."""

    wallets: TableUndo
    queues: TableUndo
    sums: Array  # float64 (blocks, 2, coins, SUMS)


class TaintLimits(NamedTuple):
    """Per coin: what is dropped below, what is told from. Shares are of an amount."""

    floor: Array
    floor_share: float
    alert: Array
    alert_share: float
    window: int  # seconds over which payments to services add up


class TaintOut(NamedTuple):
    """What a pass gives: the payments to services that are worth an alert, and new hops."""

    flow: Array  # int64
    taint: Array  # float64 (n, CLASSES): of the payment
    fifo: Array  # float64: the same by FIFO, NaN where it is not known
    paid: Array  # float64 (n, 2): tainted and all money paid to services within the window
    hop: Array  # int64: that the payment follows
    newest: Array  # int64: the newest hop then
    source: Array  # uint32 (n, 5)
    hop_flow: Array  # int64: the flows that are hops
    hop_before: Array  # int64
    counts: Array  # int64 (3,): payments, hops, blocks that were opened


PAYMENTS: Final = 0
HOPS: Final = 1
OPENED: Final = 2


@compiled
def keyed(key: Array, secret: Array, party: Array, coin: int) -> np.uint64:
    """Put the key of a wallet and a coin into ``key``; its hash.

    The coin is mixed into the last word: two wallets would have to differ in nothing else.
    """
    copy_words(key, party)
    key[4] ^= np.uint32((coin * 0x9E3779B1) & 0xFFFFFFFF)
    return siphash(secret, key)


@compiled
def copy_words(target: Array, words: Array) -> None:
    """``target[:] = words``, without a loop that allocates."""
    for word in range(5):
        target[word] = words[word]


@compiled
def least_tainted(rows: Array, state: Array, kept: int) -> int:
    """The row to evict, the least tainted of a few and never ``kept``; -1 while there is room."""
    capacity = len(rows) - 1
    if state[COUNT] < capacity:
        return -1
    least, chosen = np.inf, -1
    for step in range(CANDIDATES):
        row = (state[HAND] + step * capacity // CANDIDATES) % capacity
        r = rows[row]
        held = r.taint[0] + r.taint[1]
        if row != kept and (chosen < 0 or held < least):
            least, chosen = held, row
    return chosen


@compiled
def least_queue(rows: Array, state: Array, kept: int) -> int:
    """The same for queues."""
    capacity = len(rows) - 1
    if state[COUNT] < capacity:
        return -1
    least, chosen = np.inf, -1
    for step in range(CANDIDATES):
        row = (state[HAND] + step * capacity // CANDIDATES) % capacity
        if row != kept and (chosen < 0 or rows[row].total < least):
            least, chosen = rows[row].total, row
    return chosen


@compiled
def push_lot(rows: Array, row: int, amount: float, taint: float, origin: int) -> None:
    """Put a lot at the young end of a queue; a full queue merges it with its youngest."""
    q = rows[row]
    if amount <= 0.0:
        return
    q.total += taint
    last = int(q.lots) - 1
    if last >= 0 and (q.origin[last] == origin or q.lots == LOTS):
        if taint > q.taint[last]:
            q.origin[last] = origin
        q.amount[last] += amount
        q.taint[last] += taint
        return
    q.amount[last + 1] = amount
    q.taint[last + 1] = taint
    q.origin[last + 1] = origin
    q.lots += 1


@compiled
def pop_lots(rows: Array, row: int, amount: float, scratch: Array, origins: Array) -> int:
    """Take an amount from the old end of a queue into the scratch; how many lots that is.

    What the queue does not have leaves as a clean lot: it was there before anybody looked.
    """
    q = rows[row]
    lots, gone, left = int(q.lots), 0, amount
    count = 0
    while gone < lots and left > 0.0:
        whole = q.amount[gone] <= left
        part = q.amount[gone] if whole else left
        taint = q.taint[gone] if whole else q.taint[gone] * (part / q.amount[gone])
        scratch[count, 0] = part
        scratch[count, 1] = taint
        origins[count] = q.origin[gone]
        count += 1
        q.total -= taint
        left -= part
        if whole:
            gone += 1
        else:
            q.amount[gone] -= part
            q.taint[gone] -= taint
    for at in range(gone, lots):
        q.amount[at - gone] = q.amount[at]
        q.taint[at - gone] = q.taint[at]
        q.origin[at - gone] = q.origin[at]
    for at in range(lots - gone, lots):
        q.amount[at] = 0.0
        q.taint[at] = 0.0
        q.origin[at] = 0
    q.lots = lots - gone
    if q.lots == 0:
        q.total = 0.0
    if left > 0.0:
        scratch[count, 0] = left
        scratch[count, 1] = 0.0
        origins[count] = 0
        count += 1
    return count
