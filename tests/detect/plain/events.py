"""Blocks as histories: what their tables mean, told event by event in chain order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from chainwarden.schema import BlockBatch, FlowKind
from tests.detect.chains import Approval, Creation, Event, Flow, Mark

LAST: Final = 2**30  # withdrawals come after all transactions

Row = dict[str, Any]
Keyed = tuple[tuple[int, int], list[Event]]


@dataclass(frozen=True)
class Told:
    """A block: its number, its time, its events."""

    number: int
    time: int
    events: list[Event]


def told(batch: BlockBatch) -> list[Told]:
    """The blocks of a batch."""
    tables: dict[str, dict[int, list[Row]]] = {}
    for name in ("transactions", "flows", "approvals", "creations", "logs"):
        rows = tables[name] = defaultdict(list)
        for row in getattr(batch, name).to_pylist():
            rows[row["block_number"]].append(row)
    blocks = []
    for block in batch.blocks.select(["block_number", "block_timestamp"]).to_pylist():
        number, time = block["block_number"], block["block_timestamp"]
        of = {name: rows[number] for name, rows in tables.items()}
        blocks.append(Told(number, time, list(_events(of, time))))
    return blocks


def _events(tables: dict[str, list[Row]], time: int) -> Iterator[Event]:
    """Before a flow come its transaction's creations, then approvals, then logs before it."""
    signed = {row["transaction_index"]: row for row in tables["transactions"]}
    waiting: list[list[Keyed]] = [
        # A transaction's creations come before all else of it.
        [((r["transaction_index"], -1), _creation(r, time)) for r in tables["creations"]],
        [(_place(r), _approval(r, time)) for r in tables["approvals"]],
        [(_place(r), [Mark(time, r["address"])]) for r in tables["logs"]],
    ]
    for row in tables["flows"]:
        index = LAST if row["transaction_index"] is None else row["transaction_index"]
        yield from _before(waiting, (index, max(0, row["ordinal"])))
        own = row["ordinal"] == 0 and row["kind"] == FlowKind.NATIVE
        yield from _flow(row, signed.get(index) if own else None, time)
    yield from _before(waiting, (LAST + 1, 0))


def _before(waiting: list[list[Keyed]], place: tuple[int, int]) -> Iterator[Event]:
    for queue in waiting:
        while queue and queue[0][0] < place:
            yield from queue.pop(0)[1]


def _place(row: Row) -> tuple[int, int]:
    return row["transaction_index"], row["ordinal"]


def _creation(row: Row, time: int) -> list[Event]:
    return [Creation(time, row["creator"], row["contract_address"])]


def _approval(row: Row, time: int) -> list[Event]:
    return [Approval(time, row["owner"], row["spender"]), Mark(time, row["token_address"])]


def _flow(row: Row, transaction: Row | None, time: int) -> Iterator[Event]:
    """A flow, with what its transaction gives it if it is the transaction's own."""
    token, failed = row["token_address"], row["status"] == 0
    between = (time, row["from_address"], row["to_address"], row["value_f64"], token, failed)
    if transaction is None:
        yield Flow(*between)
    else:
        t = transaction
        paid = t["gas_price"] if t["effective_gas_price"] is None else t["effective_gas_price"]
        share = None
        if t["gas_used"] is not None and t["gas"] is not None:
            share = t["gas_used"] / max(t["gas"], 1.0)
        yield Flow(*between, True, t["nonce"], bool(t["input"]), paid, share)
        if t["log_count"]:
            yield Mark(time, row["to_address"])
    if token is not None:
        yield Mark(time, token)
