"""What receivers are still to be told, kept in the ledger: at least once, and in order.

Rows are written by the commit that changes the alert (see ``store.news``), so an alert and its
notification are durable together. Order holds per receiver and subject. Critical alerts have a lane
of their own, so that none waits behind a lesser one that a receiver refuses; lesser ones that pile
up are told in one digest (see ``store.digests``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from chainwarden.schema import Chain
from store import digests, receiver_table
from store.alert_table import storable
from store.database import Database, Transaction
from store.news import enqueue, reconsider, reconsider_members
from store.outbox_rows import (
    DEAD,
    DIGEST,
    MOVED,
    PENDING,
    RAISED,
    RETRACTED,
    OutboxRow,
    rows_where,
    set_rows,
)
from store.receiver_table import WELL, ReceiverState
from store.results import first

__all__ = [
    "DIGEST", "MOVED", "RAISED", "RETRACTED", "RETRY_AFTER_CAP", "SCHEDULE", "Failure", "Outbox",
    "OutboxRow", "enqueue",
]  # fmt: skip

SCHEDULE: Final = tuple(
    float(seconds) for seconds in (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Seconds before each attempt, counted from the one before: Standard Webhooks' schedule, 75 h."""

RETRY_AFTER_CAP: Final = 3600.0

_ERROR_CHARACTERS: Final = 500


@dataclass(frozen=True, slots=True)
class Failure:
    """How an attempt failed.

    ``gone``: the receiver wants no more of anything (410). ``in_doubt``: it may have arrived all
    the same. ``refused``: the receiver is well, and would not have this message.
    """

    error: str
    retry_after: float | None = None
    gone: bool = False
    in_doubt: bool = False
    refused: bool = False


class Outbox:
    """The queue of notifications in a ledger. Safe in any thread.

    ``clock`` gives seconds since 1970; tests give a virtual one.
    """

    def __init__(self, database: Database, chain: Chain, clock: Callable[[], float]) -> None:
        self._database = database
        self._chain = chain
        self.clock = clock
        self._news = threading.Condition()
        self._states = receiver_table.read(database.cursor(), chain.name)
        self._held = False

    def hold(self) -> None:
        """Give out nothing until ``release``: what waits may be about to be taken back."""
        self._held = True

    def release(self) -> None:
        """Go on giving out what is due."""
        self._held = False
        self.wake()

    # --- what delivery asks ---------------------------------------------------------------------

    def due(
        self, receiver: str, now: float, limit: int = 16, *, lesser: bool = True
    ) -> list[OutboxRow]:
        """Take up to ``limit`` rows to be sent now: critical ones first, then by severity and age.

        Of each subject at most the oldest row is given: what comes after it waits until it is
        settled. Without ``lesser`` only critical ones and digests are given. A row given here
        counts as in doubt until ``delivered`` or ``failed`` says more, so a process that dies while
        sending forgets nothing it may have said. One thread to a receiver: asked again before that,
        the same rows are given. Nothing is given while on hold.
        """
        while serials := self._due(receiver, now, limit, lesser):
            marks = ", ".join("?" * len(serials))
            with self._database.transaction() as tx:
                # A commit may have cancelled some since.
                chosen = rows_where(
                    tx.cursor, f"serial IN ({marks}) AND state = 'pending'", serials
                )
                set_rows(tx, chosen, "in_doubt = true")
            if chosen:
                return sorted(chosen, key=lambda row: serials.index(row.serial))
        return []

    def waiting(self, receiver: str, now: float) -> int:
        """How many lesser rows are due that could be told in a digest."""
        if self._held:
            return 0
        values = [receiver, self._chain.name, now]
        row = first(self._database.cursor().execute(digests.WAITING, values))
        return 0 if row is None else int(row[0])

    def collapse(self, receiver: str, now: float) -> int:
        """Have those told in one digest. Returns how many; 0 while another one is under way."""
        with self._database.transaction() as tx:
            return digests.collapse(tx, self._chain, receiver, now)

    def delivered(self, row: OutboxRow, now: float) -> None:
        """The receiver accepted it."""
        with self._database.transaction() as tx:
            set_rows(
                tx,
                [row],
                "state = 'delivered', in_doubt = false, attempts = attempts + 1, settled_at = ?, "
                "error = ''",
                [now],
            )
            self._put_state(tx, row.receiver, WELL)

    def failed(self, row: OutboxRow, now: float, failure: Failure) -> bool:
        """The receiver did not accept it. Returns whether that was the last attempt.

        It is tried again as ``SCHEDULE`` says, or after ``retry_after`` seconds if that is later
        (at most ``RETRY_AFTER_CAP``). A receiver that is gone, or has failed for days, is disabled
        by that, and what it is owed waits for ``enable``. ``hasten`` leaves a refused row alone.
        """
        attempts = row.attempts + 1
        state = self.state(row.receiver).failed(
            now, storable(failure.error)[:_ERROR_CHARACTERS], failure.gone
        )
        dead = attempts >= len(SCHEDULE) and not state.disabled
        wait = SCHEDULE[min(attempts, len(SCHEDULE) - 1)]
        wait = max(wait, min(failure.retry_after or 0.0, RETRY_AFTER_CAP))
        still_in_doubt = row.in_doubt or failure.in_doubt
        with self._database.transaction() as tx:
            set_rows(
                tx,
                [row],
                "state = ?, in_doubt = ?, refused = ?, attempts = ?, next_at = ?, settled_at = ?, "
                "error = ?",
                [
                    DEAD if dead else PENDING,
                    still_in_doubt,
                    failure.refused,
                    attempts,
                    now + wait,
                    now if dead else None,
                    storable(failure.error)[:_ERROR_CHARACTERS],
                ],
            )
            self._put_state(tx, row.receiver, state)
            if not still_in_doubt and row.kind == DIGEST:
                reconsider_members(tx, self._chain, row.serial)
            elif not still_in_doubt:
                reconsider(tx, self._chain, row)
        return dead

    def next_at(self, receiver: str) -> float | None:
        """When the next row of a receiver is due, or None if there is none."""
        row = first(
            self._database.cursor().execute(
                f"SELECT min(next_at) FROM ({_HEADS}) WHERE place = 1 AND digest IS NULL",
                [receiver, self._chain.name],
            )
        )
        return None if row is None or row[0] is None else float(row[0])

    def hasten(self, receiver: str, now: float) -> None:
        """A receiver is back: what waits for a later attempt is due now."""
        with self._database.transaction() as tx:
            self._hasten(tx, receiver, now)

    def set_back(self, receiver: str, seconds: float, now: float) -> None:
        """The clock was set back by that much, to ``now``: what waits does not wait for it.

        It is dated now at the latest, so that the next start does not notice the same again.
        """
        with self._database.transaction() as tx:
            tx.cursor.execute(
                "UPDATE ledger.outbox "
                "SET next_at = next_at - ?, enqueued_at = least(enqueued_at, ?) "
                "WHERE chain = ? AND receiver = ? AND state = 'pending'",
                [seconds, now, self._chain.name, receiver],
            )

    def newest_at(self, receiver: str) -> float | None:
        """When the newest that waits was committed, in seconds since 1970; None: nothing waits."""
        row = first(
            self._database.cursor().execute(
                "SELECT max(enqueued_at) FROM ledger.outbox "
                "WHERE chain = ? AND receiver = ? AND state = 'pending'",
                [self._chain.name, receiver],
            )
        )
        return None if row is None or row[0] is None else float(row[0])

    # --- what people ask ------------------------------------------------------------------------

    def state(self, receiver: str) -> ReceiverState:
        """How a receiver has been doing."""
        return self._states.get(receiver, WELL)

    def states(self) -> Mapping[str, ReceiverState]:
        """The receivers that are failing or disabled, by name."""
        return MappingProxyType(self._states)

    def pending(self) -> dict[str, int]:
        """How many messages wait, by receiver; a digest is one."""
        return self._count(PENDING)

    def dead(self) -> dict[str, int]:
        """How many messages were given up, by receiver."""
        return self._count(DEAD)

    def dead_letters(self) -> list[OutboxRow]:
        """What was given up, oldest first, with the last error."""
        return rows_where(
            self._database.cursor(),
            "chain = ? AND state = 'dead' AND digest IS NULL ORDER BY serial",
            [self._chain.name],
        )

    def letters(
        self, limit: int, after: int = 0, receiver: str | None = None, state: str | None = None
    ) -> list[OutboxRow]:
        """At most ``limit`` messages that wait or were given up, beyond a serial, oldest first."""
        where, values = "chain = ? AND serial > ? AND digest IS NULL", [self._chain.name, after]
        for name, value in (("receiver", receiver), ("state", state)):
            if value is not None:
                where, values = f"{where} AND {name} = ?", [*values, value]
        if state is None:
            where += " AND state IN ('pending', 'dead')"
        return rows_where(
            self._database.cursor(), f"{where} ORDER BY serial LIMIT ?", [*values, limit]
        )

    def replay(self, key: str | None = None, receiver: str | None = None) -> int:
        """Try messages again from the beginning, now; returns how many there were.

        The one with that serial or message id, given up or not; else the dead letters of a
        receiver, or of all.
        """
        where, values = "state = 'dead'", [self.clock(), self._chain.name]
        if key is not None:
            where = f"{_OPEN} AND (serial IN ({_CALLED}) OR digest IN ({_CALLED}))"
            values += [key] * 4
        if receiver is not None:
            where, values = f"{where} AND receiver = ?", [*values, receiver]
        with self._database.transaction() as tx:
            found = tx.cursor.execute(
                "UPDATE ledger.outbox SET state = 'pending', attempts = 0, next_at = ?, "
                f"settled_at = NULL WHERE chain = ? AND {where} RETURNING digest",
                values,
            ).fetchall()
        self.wake()
        return sum(1 for (digest,) in found if digest is None)

    def enable(self, receiver: str) -> bool:
        """Send to a receiver again, beginning with what waited. False if it was not disabled."""
        if not self.state(receiver).disabled:
            return False
        with self._database.transaction() as tx:
            self._put_state(tx, receiver, WELL)
            self._hasten(tx, receiver, self.clock())
        self.wake()
        return True

    # --- upkeep ---------------------------------------------------------------------------------

    def prune(self, settled_before: float, final: int = 2**62) -> int:
        """Drop rows settled before that time; returns how many. Dead letters stay.

        So does what is about blocks above ``final``, which can still be reverted: a pruned alert
        that is taken back would be taken back in silence.
        """
        with self._database.transaction() as tx:
            gone = tx.cursor.execute(
                "DELETE FROM ledger.outbox WHERE block_number <= ? AND "
                "((state = 'cancelled' AND enqueued_at < ?) "
                "OR (state = 'delivered' AND settled_at < ?)) RETURNING serial",
                [final, settled_before, settled_before],
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

    # --- inside ---------------------------------------------------------------------------------

    def _due(self, receiver: str, now: float, limit: int, lesser: bool) -> list[int]:
        if self._held:
            return []
        only = "" if lesser else f"AND (lane = 1 OR kind = '{DIGEST}') "
        query = (
            f"SELECT serial FROM ({_HEADS}) WHERE place = 1 AND digest IS NULL "
            f"AND next_at <= ? {only}ORDER BY lane DESC, severity DESC, serial LIMIT ?"
        )
        cursor = self._database.cursor()
        values = [receiver, self._chain.name, now, limit]
        return [int(serial) for (serial,) in cursor.execute(query, values).fetchall()]

    def _count(self, state: str) -> dict[str, int]:
        rows = (
            self._database.cursor()
            .execute(
                "SELECT receiver, count(*) FROM ledger.outbox WHERE chain = ? AND state = ? "
                "AND digest IS NULL GROUP BY receiver ORDER BY receiver",
                [self._chain.name, state],
            )
            .fetchall()
        )
        return {str(receiver): int(count) for receiver, count in rows}

    def _hasten(self, tx: Transaction, receiver: str, now: float) -> None:
        tx.cursor.execute(
            "UPDATE ledger.outbox SET next_at = ? "
            "WHERE receiver = ? AND chain = ? AND state = 'pending' AND NOT refused "
            "AND next_at > ?",
            [now, receiver, self._chain.name, now],
        )

    def _put_state(self, tx: Transaction, receiver: str, state: ReceiverState) -> None:
        if state == self.state(receiver):
            return
        receiver_table.write(tx, self._chain.name, receiver, state)

        def keep() -> None:
            self._states = {**self._states, receiver: state}

        tx.then(keep)


_HEADS: Final = (
    "SELECT serial, kind, lane, severity, next_at, digest, "
    "row_number() OVER (PARTITION BY subject, lane ORDER BY serial) AS place "
    "FROM ledger.outbox WHERE receiver = ? AND chain = ? AND state = 'pending'"
)
_OPEN: Final = "state IN ('pending', 'dead')"
_CALLED: Final = (
    f"SELECT serial FROM ledger.outbox WHERE {_OPEN} AND digest IS NULL "
    "AND (serial::VARCHAR = ? OR message_id = ?)"
)
"""The message with a serial, or with a message id."""
