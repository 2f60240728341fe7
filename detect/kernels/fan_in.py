"""Wallets that strangers pay one after the other, and how much of it they have passed on."""

from __future__ import annotations

from typing import Final

import numpy as np

from detect.compiled import Array, compiled
from detect.kernels.flows import Flows, signed
from detect.kernels.rows import Record, open_blocks, row_for, row_of
from detect.kernels.table import Table, TableUndo

STRANGERS: Final = 16

# Places of ``limits``.
LEAST_STRANGERS: Final = 0
WINDOW: Final = 1  # seconds in which they come
RECEIVER_FLOWS: Final = 2
SENDER_FLOWS: Final = 3
TRUSTED_NONCE: Final = 4
TRUSTED_SECONDS: Final = 5

COLLECTOR: Final = np.dtype(
    [
        ("income", np.float64, (2,)),  # ether and dollars, since the last quiet spell
        ("strange", np.float64, (2,)),  # … of which strangers paid
        ("times", np.uint32, (STRANGERS,)),  # of the last strangers' first payments
        ("at", np.uint32),
        ("since", np.uint32),  # the first income of this spell
        ("strangers", np.uint32),
        ("unused", np.uint32),
    ],
    align=True,
)


@compiled
def recent(c: Record, since: int) -> int:
    """How many strangers first paid since then, at most 16."""
    count = 0
    for place in range(16):
        count += c.times[place] >= since and c.times[place] != 0
    return count


@compiled
def _is_stranger(f: Record, limits: Array) -> bool:
    # Whether an EOA that is not busy pays somebody it has not dealt with.
    return bool(
        f.pair_events == 0
        and not f.from_is_contract
        and f.from_events < limits[3]
        and f.from_nonce < limits[3]
    )


@compiled
def _is_unknown(f: Record, now: int, nonce: int, limits: Array) -> bool:
    # Whether an EOA that pays out has no reputation. So many transactions that are not in view
    # were signed before the view began.
    if f.from_is_contract or f.from_events >= limits[2] or f.from_received < limits[0]:
        return False
    aged = now - f.from_first_seen >= limits[5] and nonce >= limits[4]
    return not aged and nonce - f.from_sent < limits[4]


@compiled
def scan_fan_in(
    flows: Flows, money: Array, least: Array, withdrawn: Array, share: float, most: float,
    first_serial: int, limits: Array, table: Table, undo: TableUndo, hits: Array, incomes: Array,
) -> int:  # fmt: skip
    """One pass over the flows; how many hits there are.

    ``money``: by coin, 0 ether, 1 dollars, -1 neither; ``least``: by money, what is no dust.
    ``withdrawn``: the sender is an exchange. A hit is (flow, strangers of the window): somebody
    whom enough strangers have paid, and nobody else much, pays out between ``share`` and ``most``
    of the income; ``incomes`` has what had come in of that money.
    """
    found, opened = 0, 0
    for i in range(len(flows.times)):
        open_blocks(table, undo, opened, flows.blocks[i] + 1)
        opened = max(opened, flows.blocks[i] + 1)
        kind, tx = money[flows.coin[i]], flows.tx[i]
        if not flows.moved[i] or kind < 0 or tx < 0 or not flows.units[i] >= least[kind]:
            continue
        f, now, value = flows.facts[i], flows.times[i], flows.units[i]
        since = max(1, now - limits[1])
        by_itself = signed(flows.senders, flows.receivers, flows.signers, i, tx)
        if by_itself and _is_unknown(f, now, flows.nonces[tx], limits):
            row = row_of(table, flows.senders[i])
            if row >= 0:
                c = table.rows[row]
                count = recent(c, since)
                income = c.income[kind]
                enough = count >= limits[0] and 2.0 * c.strange[kind] >= income
                if enough and share * income <= value <= most * income:
                    hits[found, 0], hits[found, 1] = i, count
                    incomes[found] = income
                    found += 1
        if f.to_is_contract or f.to_events >= limits[2]:
            continue
        # A payment, or a token's transfer; who calls something is ``native_claim``'s case, and what
        # an exchange pays out is its customers' own.
        plain = flows.lengths[tx] <= (0 if flows.coin[i] == 0 else 68)
        stranger = by_itself and plain and not withdrawn[i] and _is_stranger(f, limits)
        row = row_of(table, flows.receivers[i])
        if row < 0 and not stranger:
            continue
        row = row_for(table, undo, first_serial + opened, flows.receivers[i])
        _take(table.rows[row], value, kind, now, since, stranger)
    open_blocks(table, undo, opened, len(undo.marks))
    return found


@compiled
def _take(c: Record, value: float, kind: int, now: int, since: int, stranger: bool) -> None:
    # Income of a collector; after a quiet spell everything begins anew.
    if c.at < since:
        c.since = now
        c.income[0] = 0.0
        c.income[1] = 0.0
        c.strange[0] = 0.0
        c.strange[1] = 0.0
        c.strangers = 0
    c.income[kind] += value
    c.at = now
    if stranger:
        c.strange[kind] += value
        c.times[c.strangers % 16] = now
        c.strangers += 1
