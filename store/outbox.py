"""What receivers are still to be told, kept in the ledger: at least once, and in order.

Rows are written by the commit that changes the alert, so an alert and its notification are durable
together. What a receiver is told follows from what it knows:

===================  =================  ======================
it knows             the alert is now   it is told
===================  =================  ======================
nothing              active             ``alert.raised``
nothing              retracted          nothing
active               retracted          ``alert.retracted``
retracted            active             ``alert.moved``
active in a block    in another block   ``alert.moved``
===================  =================  ======================

A receiver knows what it accepted, and perhaps what was sent without an answer: such a row is *in
doubt*, is sent until it is accepted, and what comes after it assumes that it arrived. A row that
never reached the receiver is cancelled when the chain takes the alert back, and nobody hears of it.

Order holds per receiver and subject. Critical alerts have a lane of their own, so that none waits
behind a lesser one that a receiver refuses.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import duckdb
import msgspec
import pyarrow as pa

from chainwarden.schema import Chain, Position, Severity, alert_to_dict
from store.alert_table import AlertRecord, storable
from store.database import Database, Transaction

SCHEDULE: Final = tuple(
    float(seconds) for seconds in (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Seconds before each attempt, counted from the one before: Standard Webhooks' schedule, 75 h."""

RETRY_AFTER_CAP: Final = 3600.0
RAISED: Final = "alert.raised"
RETRACTED: Final = "alert.retracted"
MOVED: Final = "alert.moved"

_PENDING: Final = "pending"
_DELIVERED: Final = "delivered"
_DEAD: Final = "dead"
_CANCELLED: Final = "cancelled"


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One thing a receiver is to be told. ``message_id`` is the same in every attempt."""

    serial: int
    receiver: str
    subject: bytes
    lane: int
    alert_id: str
    kind: str
    message_id: str
    position: Position
    block_timestamp: int
    instance: int
    data: str
    state: str
    in_doubt: bool
    attempts: int
    next_at: float
    enqueued_at: float
    settled_at: float | None
    error: str

    @property
    def open(self) -> bool:
        """Whether the receiver certainly has not got it, and it is still to come."""
        return self.state in (_PENDING, _DEAD) and not self.in_doubt

    @property
    def told(self) -> bool:
        """Whether the receiver knows it, or may."""
        return self.state == _DELIVERED or (self.state in (_PENDING, _DEAD) and self.in_doubt)


_SCHEMA: Final = pa.schema(
    [
        ("serial", pa.int64()),
        ("receiver", pa.string()),
        ("subject", pa.binary()),
        ("lane", pa.int8()),
        ("alert_id", pa.string()),
        ("kind", pa.string()),
        ("message_id", pa.string()),
        ("block_number", pa.int64()),
        ("block_hash", pa.binary()),
        ("block_timestamp", pa.int64()),
        ("instance", pa.int32()),
        ("data", pa.string()),
        ("state", pa.string()),
        ("in_doubt", pa.bool_()),
        ("attempts", pa.int32()),
        ("next_at", pa.float64()),
        ("enqueued_at", pa.float64()),
        ("settled_at", pa.float64()),
        ("error", pa.string()),
        ("chain", pa.string()),
        ("refused", pa.bool_()),
    ]
)
_COLUMNS: Final = ", ".join(_SCHEMA.names[:-2])
"""What ``OutboxRow`` holds."""


def _row_of(row: Sequence[Any]) -> OutboxRow:
    head, (number, hash_), rest = row[:7], row[7:9], row[9:]
    serial, receiver, subject, lane, alert_id, kind, message_id = head
    return OutboxRow(
        serial, receiver, subject, lane, alert_id.hex, kind, message_id,
        Position(number, hash_), *rest,
    )  # fmt: skip


def _rows(cursor: duckdb.DuckDBPyConnection, where: str, values: Sequence[Any]) -> list[OutboxRow]:
    query = f"SELECT {_COLUMNS} FROM ledger.outbox WHERE {where}"
    return [_row_of(row) for row in cursor.execute(query, list(values)).fetchall()]


# --- what a commit adds ------------------------------------------------------------------------


def enqueue(
    tx: Transaction,
    chain: Chain,
    records: Iterable[AlertRecord],
    receivers: Sequence[str],
    now: float,
) -> int:
    """Write what the receivers are to be told of these changed alerts. Returns how many rows."""
    added: list[OutboxRow] = []
    for record in records:
        told_before = record.instance > 0 or record.retraction is not None
        rows = (
            _rows(
                tx.cursor,
                "chain = ? AND alert_id = ? AND state <> 'cancelled' ORDER BY serial",
                [chain.name, uuid.UUID(record.alert.id)],
            )
            if told_before  # the first telling of an alert has none, and need not look
            else []
        )
        for receiver in receivers:
            mine = [row for row in rows if row.receiver == receiver]
            news = _news(mine, _wanted(record, receiver, now))
            _cancel(tx, [row for row in mine if row.open])
            if news is not None:
                added.append(news)
    _append(tx, chain, added)
    return len(added)


def _wanted(record: AlertRecord, receiver: str, now: float) -> OutboxRow:
    """The row that would bring a receiver up to date, whatever it knows; ``_news`` names it."""
    alert = record.alert
    data = alert_to_dict(alert) | {
        "status": record.status,
        "retraction_reason": None if record.retraction is None else record.retraction.value,
    }
    return OutboxRow(
        serial=0,
        receiver=receiver,
        subject=alert.subject,
        lane=int(alert.severity == Severity.CRITICAL),
        alert_id=alert.id,
        kind=RAISED if record.retraction is None else RETRACTED,
        message_id=alert.id,
        position=alert.position,
        block_timestamp=alert.block_timestamp,
        instance=record.instance,
        data=storable(msgspec.json.encode(_clean(data)).decode()),
        state=_PENDING,
        in_doubt=False,
        attempts=0,
        next_at=now,
        enqueued_at=now,
        settled_at=None,
        error="",
    )


def _clean(tree: Any) -> Any:
    """The tree with storable text, as JSON is written only from text that UTF-8 can hold."""
    if isinstance(tree, str):
        return storable(tree)
    if isinstance(tree, dict):
        return {key: _clean(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_clean(value) for value in tree]
    return tree


def _news(rows: Sequence[OutboxRow], wanted: OutboxRow) -> OutboxRow | None:
    """What a receiver with these rows is to be told, so that it knows what ``wanted`` says."""
    known = next((row for row in reversed(rows) if row.told), None)
    retracted = wanted.kind == RETRACTED
    if known is None:
        return None if retracted else replace(wanted, kind=RAISED, message_id=wanted.alert_id)
    # Once told in one lane, always in that lane: an alert and its retraction never swap places.
    wanted = replace(wanted, lane=known.lane)
    if retracted:
        if known.kind == RETRACTED:
            return None
        return replace(
            wanted, kind=RETRACTED, message_id=f"{wanted.alert_id}-retracted-{wanted.instance}"
        )
    if known.kind != RETRACTED and known.position == wanted.position:
        return None
    return replace(wanted, kind=MOVED, message_id=f"{wanted.alert_id}-moved-{wanted.instance}")


def _cancel(tx: Transaction, rows: Sequence[OutboxRow]) -> None:
    for row in rows:
        tx.cursor.execute(
            "UPDATE ledger.outbox SET state = 'cancelled' WHERE serial = ?", [row.serial]
        )


def _append(tx: Transaction, chain: Chain, rows: Sequence[OutboxRow]) -> None:
    serials = tx.serials("outbox_serial", len(rows))
    tx.insert(
        "outbox",
        _SCHEMA,
        [
            (
                serial, row.receiver, row.subject, row.lane, row.alert_id, row.kind,
                row.message_id, row.position.number, row.position.hash, row.block_timestamp,
                row.instance, row.data, row.state, row.in_doubt, row.attempts, row.next_at,
                row.enqueued_at, row.settled_at, row.error, chain.name, False,
            )
            for row, serial in zip(rows, serials, strict=True)
        ],
    )  # fmt: skip


# --- what delivery asks ------------------------------------------------------------------------


class Outbox:
    """The queue of notifications in a ledger. Safe in any thread.

    ``clock`` gives seconds since 1970; tests give a virtual one.
    """

    def __init__(self, database: Database, chain: Chain, clock: Callable[[], float]) -> None:
        self._database = database
        self._chain = chain
        self.clock = clock
        self._news = threading.Condition()

    def due(self, receiver: str, now: float, limit: int = 16) -> list[OutboxRow]:
        """Take up to ``limit`` rows to be sent now, critical ones first.

        Of each subject at most the oldest row is given: what comes after it waits until it is
        settled. A row given here counts as in doubt until ``delivered`` or ``failed`` says more, so
        a process that dies while sending forgets nothing it may have said. One thread to a
        receiver: asked again before that, the same rows are given.
        """
        chosen = self._due(receiver, now, limit)
        if not chosen:
            return []
        with self._database.transaction() as tx:
            # Chosen again inside: a commit may have cancelled some since.
            chosen = self._due(receiver, now, limit)
            self._set(tx, [row.serial for row in chosen], "in_doubt = true")
        return chosen

    def delivered(self, row: OutboxRow, now: float) -> None:
        """The receiver accepted it."""
        with self._database.transaction() as tx:
            self._set(
                tx,
                [row.serial],
                "state = 'delivered', in_doubt = false, attempts = attempts + 1, settled_at = ?, "
                "error = ''",
                [now],
            )

    def failed(
        self,
        row: OutboxRow,
        now: float,
        error: str,
        *,
        retry_after: float | None = None,
        final: bool = False,
        in_doubt: bool = False,
        refused: bool = False,
    ) -> bool:
        """The receiver did not accept it. Returns whether that was the last attempt.

        It is tried again as ``SCHEDULE`` says, or after ``retry_after`` seconds if that is later
        (at most ``RETRY_AFTER_CAP``). ``final``: the receiver wants no more of it (410).
        ``in_doubt``: it may have arrived all the same. ``refused``: the receiver is well, and would
        not have this message; ``hasten`` leaves it alone.
        """
        attempts = row.attempts + 1
        dead = final or attempts >= len(SCHEDULE)
        wait = SCHEDULE[min(attempts, len(SCHEDULE) - 1)]
        wait = max(wait, min(retry_after or 0.0, RETRY_AFTER_CAP))
        still_in_doubt = row.in_doubt or in_doubt
        with self._database.transaction() as tx:
            self._set(
                tx,
                [row.serial],
                "state = ?, in_doubt = ?, refused = ?, attempts = ?, next_at = ?, settled_at = ?, "
                "error = ?",
                [
                    _DEAD if dead else _PENDING,
                    still_in_doubt,
                    refused,
                    attempts,
                    now + wait,
                    now if dead else None,
                    storable(error)[:500],
                ],
            )
            if not still_in_doubt:
                self._reconsider(tx, row)
        return dead

    def next_at(self, receiver: str) -> float | None:
        """When the next row of a receiver is due, or None if there is none."""
        row = (
            self._database.cursor()
            .execute(
                f"SELECT min(next_at) FROM ({_HEADS}) WHERE place = 1",
                [receiver, self._chain.name],
            )
            .fetchone()
        )
        return None if row is None or row[0] is None else float(row[0])

    def hasten(self, receiver: str, now: float) -> None:
        """A receiver is back: what waits for a later attempt is due now."""
        with self._database.transaction() as tx:
            tx.cursor.execute(
                "UPDATE ledger.outbox SET next_at = ? "
                "WHERE receiver = ? AND chain = ? AND state = 'pending' AND NOT refused "
                "AND next_at > ?",
                [now, receiver, self._chain.name, now],
            )

    def pending(self) -> dict[str, int]:
        """How many rows wait, by receiver."""
        rows = (
            self._database.cursor()
            .execute(
                "SELECT receiver, count(*) FROM ledger.outbox "
                "WHERE chain = ? AND state = 'pending' GROUP BY receiver ORDER BY receiver",
                [self._chain.name],
            )
            .fetchall()
        )
        return {str(receiver): int(count) for receiver, count in rows}

    def dead_letters(self) -> list[OutboxRow]:
        """What was given up, oldest first, with the last error."""
        return _rows(
            self._database.cursor(),
            "chain = ? AND state = 'dead' ORDER BY serial",
            [self._chain.name],
        )

    def replay(self, serial: int) -> bool:
        """Try a dead letter again from the beginning. False if there is none with that serial."""
        with self._database.transaction() as tx:
            dead = _rows(tx.cursor, "serial = ? AND state = 'dead'", [serial])
            self._set(
                tx,
                [row.serial for row in dead],
                "state = 'pending', attempts = 0, next_at = ?, settled_at = NULL",
                [self.clock()],
            )
        self.wake()
        return bool(dead)

    def prune(self, settled_before: float) -> int:
        """Drop rows settled before that time; returns how many. Dead letters stay.

        Keep at least what can still be reverted: a pruned alert that is taken back is taken back
        in silence.
        """
        with self._database.transaction() as tx:
            gone = tx.cursor.execute(
                "DELETE FROM ledger.outbox WHERE (state = 'cancelled' AND enqueued_at < ?) "
                "OR (state = 'delivered' AND settled_at < ?) RETURNING serial",
                [settled_before, settled_before],
            ).fetchall()
            tx.totals["outbox"] -= len(gone)
        return len(gone)

    def wake(self) -> None:
        """Say that there may be something to deliver."""
        with self._news:
            self._news.notify_all()

    def wait(self, timeout_seconds: float) -> None:
        """Sleep until there may be something to deliver, at most that long."""
        with self._news:
            self._news.wait(timeout_seconds)

    def _due(self, receiver: str, now: float, limit: int) -> list[OutboxRow]:
        query = (
            f"SELECT {_COLUMNS} FROM ({_HEADS}) WHERE place = 1 AND next_at <= ? "
            "ORDER BY lane DESC, serial LIMIT ?"
        )
        cursor = self._database.cursor()
        values = [receiver, self._chain.name, now, limit]
        return [_row_of(row) for row in cursor.execute(query, values).fetchall()]

    def _set(
        self,
        tx: Transaction,
        serials: Sequence[int],
        assignments: str,
        values: Sequence[Any] = (),
    ) -> None:
        for serial in serials:
            tx.cursor.execute(
                f"UPDATE ledger.outbox SET {assignments} WHERE serial = ?", [*values, serial]
            )

    def _reconsider(self, tx: Transaction, row: OutboxRow) -> None:
        """A row that came after one that was on its way may be needless now: it did not arrive."""
        rows = _rows(
            tx.cursor,
            "chain = ? AND alert_id = ? AND receiver = ? AND state <> 'cancelled' ORDER BY serial",
            [self._chain.name, uuid.UUID(row.alert_id), row.receiver],
        )
        last = rows[-1] if rows else row
        if last.serial == row.serial or not last.open:
            return
        wanted = replace(last, kind=RETRACTED if last.kind == RETRACTED else RAISED)
        news = _news(rows, wanted)
        _cancel(tx, [one for one in rows if one.open])
        if news is not None:
            _append(tx, self._chain, [replace(news, state=_PENDING, attempts=0, next_at=0.0)])


_HEADS: Final = (
    f"SELECT {_COLUMNS}, row_number() OVER (PARTITION BY subject, lane ORDER BY serial) AS place "
    "FROM ledger.outbox WHERE receiver = ? AND chain = ? AND state = 'pending'"
)
