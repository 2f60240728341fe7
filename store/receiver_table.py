"""How each receiver has been doing, and which ones nothing is sent to any more.

A receiver that says it is gone (410), or that failed at every attempt for ``FAILING_SECONDS``, is
disabled: what it is owed is kept, and goes out once somebody enables it. A time without attempts
longer than ``LONGEST_GAP`` is not counted as failing: nobody asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import duckdb

from store.database import Transaction

FAILING_SECONDS: Final = 5 * 86_400.0
LONGEST_GAP: Final = 25 * 3600.0
"""The schedule's longest wait, and an hour."""


@dataclass(frozen=True, slots=True)
class ReceiverState:
    """When a receiver began to fail and failed last, and when and why it was disabled."""

    failing_since: float | None = None
    failed_at: float | None = None
    disabled_at: float | None = None
    reason: str = ""

    @property
    def disabled(self) -> bool:
        """Whether nothing is sent to it."""
        return self.disabled_at is not None

    def failed(self, now: float, error: str, gone: bool) -> ReceiverState:
        """What it is after one more failed attempt."""
        since = self.failing_since
        if since is None or self.failed_at is None or now - self.failed_at > LONGEST_GAP:
            since = now
        if self.disabled or not (gone or now - since >= FAILING_SECONDS):
            return ReceiverState(since, now, self.disabled_at, self.reason)
        days = f"failed at every attempt for {(now - since) / 86_400:.1f} days, at last: "
        return ReceiverState(since, now, now, error if gone else days + error)


WELL: Final = ReceiverState()


def read(cursor: duckdb.DuckDBPyConnection, chain: str) -> dict[str, ReceiverState]:
    """The receivers that are not simply well."""
    rows = cursor.execute(
        "SELECT receiver, failing_since, failed_at, disabled_at, reason FROM ledger.receivers "
        "WHERE chain = ?",
        [chain],
    ).fetchall()
    return {str(name): ReceiverState(*rest) for name, *rest in rows}


def write(tx: Transaction, chain: str, receiver: str, state: ReceiverState) -> None:
    """Keep how a receiver is doing."""
    tx.cursor.execute(
        "DELETE FROM ledger.receivers WHERE chain = ? AND receiver = ?", [chain, receiver]
    )
    if state != WELL:
        tx.cursor.execute(
            "INSERT INTO ledger.receivers "
            "(chain, receiver, failing_since, failed_at, disabled_at, reason) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            [
                chain, receiver, state.failing_since, state.failed_at, state.disabled_at,
                state.reason,
            ],
        )  # fmt: skip
