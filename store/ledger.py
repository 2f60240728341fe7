"""The ledger: alerts, labels, the lake's manifest, the outbox and the cursor in one DuckDB file.

A commit is one transaction, so the file always says one thing: everything that follows from the
blocks up to the cursor, and nothing of the block after it. Killed at any instant, a commit is there
whole or not at all, and one that was acknowledged is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import msgspec
import pyarrow as pa

from chainwarden.errors import SettingsError
from chainwarden.schema import (
    Alert,
    Chain,
    Cursor,
    Label,
    LakeFile,
    Position,
    Retraction,
    Severity,
)
from store import alert_table, label_table, outbox
from store.alert_table import AlertRecord, CountKey
from store.database import Database, Transaction
from store.outbox import Outbox
from store.queries import AlertFilter, key_of, select_alerts

__all__ = ["AlertFilter", "AlertRecord", "Commit", "Ledger", "Mode", "SnapshotRecord"]

Mode = Literal["live", "replay"]

_FILES: Final = pa.schema(
    [
        ("path", pa.string()),
        ("dataset", pa.string()),
        ("first_number", pa.int64()),
        ("first_hash", pa.binary()),
        ("last_number", pa.int64()),
        ("last_hash", pa.binary()),
        ("rows", pa.int64()),
        ("size_bytes", pa.int64()),
        ("chain", pa.string()),
    ]
)
_FILE_COLUMNS: Final = ", ".join(_FILES.names[:-1])
_CURSOR_COLUMNS: Final = "head_number, head_hash, offsets, blocks, transactions, flows"


@dataclass(frozen=True, slots=True)
class Commit:
    """What one batch of chain events changes.

    ``cursor`` is where the pipeline stands after it. ``labels`` are those the detector learnt with
    it. ``files_added`` are published already; ``files_removed`` still exist, and may be deleted
    once the commit returned.
    """

    cursor: Cursor
    alerts: Sequence[Alert] = ()
    retractions: Sequence[Retraction] = ()
    labels: Sequence[Label] = ()
    files_added: Sequence[LakeFile] = ()
    files_removed: Sequence[LakeFile] = ()


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A detector snapshot that was saved: where it is, and the cursor it includes."""

    path: str
    cursor: Cursor
    size_bytes: int


class Ledger:
    """The one writer of a ledger file. Every method is safe in any thread.

    In mode ``replay`` nothing ever enters the outbox. ``receivers`` are the names of those who are
    told of alerts from now on.
    """

    def __init__(
        self,
        database: Database,
        chain: Chain,
        mode: Mode,
        receivers: Sequence[str],
        clock: Callable[[], float],
    ) -> None:
        self.chain = chain
        self.mode: Mode = mode
        self.receivers = tuple(dict.fromkeys(receivers)) if mode == "live" else ()
        self.outbox = Outbox(database, chain, clock)
        self._database = database
        self._clock = clock
        self._claim_chain()
        self._cursor = self._read_cursor()
        self._counts = self._read_counts()

    @classmethod
    def open(
        cls,
        path: Path,
        chain: Chain,
        mode: Mode = "live",
        receivers: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> Ledger:
        """Open a ledger file, made if it is not there, and check its counts.

        Raises LedgerLocked while another process has it, LedgerDamaged when rows are missing,
        SettingsError where the file knows the chain by another id.
        """
        if mode not in ("live", "replay"):
            raise SettingsError(f"no such mode: {mode}", hint="live or replay")
        database = Database(path)
        try:
            return cls(database, chain, mode, receivers, clock)
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; another process may open it then."""
        self._database.close()

    # --- writing -------------------------------------------------------------------------------

    def commit(self, commit: Commit) -> None:
        """Make one batch durable, whole or not at all. It is on disk when this returns.

        Repeating the last commit changes nothing. Raises DiskFull or StoreError, and then nothing
        of it is there.
        """
        with self._database.transaction() as tx:
            changed, counts = alert_table.apply(tx, self.chain, commit.retractions, commit.alerts)
            news = 0
            if self.receivers and changed:
                news = outbox.enqueue(tx, self.chain, changed, self.receivers, self._clock())
            if commit.labels:
                head = commit.cursor.head
                label_table.put(tx, commit.labels, head.number if head else 0)
            self._write_files(tx, commit.files_added, commit.files_removed)
            self._write_counts(tx, counts)
            self._write_cursor(tx, commit.cursor)
        if news:
            self.outbox.wake()

    def add_label(self, label: Label) -> bool:
        """Keep a label, to be learnt with the next block. False if one like it was replaced."""
        with self._database.transaction() as tx:
            return bool(label_table.put(tx, [label], None))

    def add_labels(self, labels: Sequence[Label]) -> int:
        """Keep many labels at once, whole or not at all. Returns how many are new."""
        with self._database.transaction() as tx:
            return label_table.put(tx, labels, None)

    def withdraw_label(self, label: Label) -> bool:
        """Withdraw the label about the same address, word, source and chain. False if none is."""
        with self._database.transaction() as tx:
            return label_table.withdraw(tx, label)

    def add_snapshot(self, path: str, cursor: Cursor, size_bytes: int) -> None:
        """Note a saved snapshot in the index."""
        with self._database.transaction() as tx:
            (serial,) = tx.serials("snapshot_serial", 1)
            tx.cursor.execute(
                f"INSERT INTO ledger.snapshots (serial, chain, path, {_CURSOR_COLUMNS}, size_bytes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [serial, self.chain.name, path, *_cursor_values(cursor), size_bytes],
            )
            tx.totals["snapshots"] += 1

    # --- reading -------------------------------------------------------------------------------

    def reading(self) -> AbstractContextManager[None]:
        """What this thread reads while it lasts is of one moment, and nothing can be written.

        For those who answer others: see ``interrupt``.
        """
        return self._database.reading()

    def interrupt(self, thread: int) -> None:
        """End what a thread is asking; StoreError is raised there."""
        self._database.interrupt(thread)

    def cursor(self) -> Cursor | None:
        """Where the last commit left the pipeline, None before the first."""
        return self._cursor

    def alerts(self, wanted: AlertFilter | None = None) -> list[Alert]:
        """The alerts a filter lets through, newest arrivals first; active ones, unless it says so.

        They equal the alerts that were committed, field by field.
        """
        return [record.alert for record in self.records(wanted)]

    def records(self, wanted: AlertFilter | None = None) -> list[AlertRecord]:
        """Like ``alerts``, with status, reason of the retraction and order of arrival."""
        return select_alerts(self._database.cursor(), self.chain, wanted or AlertFilter())

    def alert(self, alert_id: str) -> Alert | None:
        """The alert with that id, retracted or not."""
        record = self.record(alert_id)
        return None if record is None else record.alert

    def record(self, alert_id: str) -> AlertRecord | None:
        """Like ``alert``, with status, reason of the retraction and order of arrival."""
        if key_of(alert_id) is None:
            return None
        found = alert_table.find(self._database.cursor(), self.chain, [alert_id])
        return next(iter(found.values()), None)

    def alert_counts(self) -> dict[tuple[str, Severity, str], int]:
        """How many alerts there are by rule, severity and status; kept, not counted."""
        return {
            (rule, Severity(severity), status): count
            for (rule, severity, status), count in sorted(self._counts.items())
            if count
        }

    def labels(self, address: bytes | None = None, applied: bool | None = None) -> list[Label]:
        """The labels that were not withdrawn, oldest first.

        ``applied`` False: those the detector has not learnt yet.
        """
        return label_table.select(self._database.cursor(), address, applied)

    def label_words(self, addresses: Sequence[bytes]) -> dict[bytes, list[str]]:
        """The words of the labels that hold about some addresses, oldest first."""
        return label_table.words(self._database.cursor(), addresses)

    def label_page(
        self, limit: int, after: int = 0, address: bytes | None = None
    ) -> list[tuple[int, Label]]:
        """At most ``limit`` labels beyond serial ``after``, oldest first, each with its serial."""
        return label_table.page(self._database.cursor(), limit, after, address)

    def label_count(self) -> int:
        """How many labels were ever kept; kept, not counted."""
        return self._database.totals["labels"]

    def files(self, dataset: str | None = None) -> list[LakeFile]:
        """The manifest: the lake files that are good, by dataset, in the order of their blocks."""
        conditions, values = "chain = ?", [self.chain.name]
        if dataset is not None:
            conditions += " AND dataset = ?"
            values.append(dataset)
        rows = (
            self._database.cursor()
            .execute(
                f"SELECT {_FILE_COLUMNS} FROM ledger.lake_files WHERE {conditions} "
                "ORDER BY dataset, first_number, path",
                values,
            )
            .fetchall()
        )
        return [_file_of(row) for row in rows]

    def snapshots(self) -> list[SnapshotRecord]:
        """The snapshots that were noted, oldest first."""
        rows = (
            self._database.cursor()
            .execute(
                f"SELECT path, {_CURSOR_COLUMNS}, size_bytes FROM ledger.snapshots "
                "WHERE chain = ? ORDER BY serial",
                [self.chain.name],
            )
            .fetchall()
        )
        return [SnapshotRecord(row[0], _cursor_of(row[1:7]), row[7]) for row in rows]

    # --- inside --------------------------------------------------------------------------------

    def _claim_chain(self) -> None:
        row = (
            self._database.cursor()
            .execute("SELECT id FROM ledger.chains WHERE name = ?", [self.chain.name])
            .fetchone()
        )
        if row is None:
            with self._database.transaction() as tx:
                tx.cursor.execute(
                    "INSERT INTO ledger.chains VALUES (?, ?)", [self.chain.name, self.chain.id]
                )
                tx.cursor.execute(
                    f"INSERT INTO ledger.cursors (chain, {_CURSOR_COLUMNS}) "
                    "VALUES (?, NULL, NULL, '', 0, 0, 0)",
                    [self.chain.name],
                )
        elif int(row[0]) != self.chain.id:
            raise SettingsError(
                f"the ledger knows {self.chain.name} by chain id {row[0]}, not {self.chain.id}",
                hint="give the other chain another name, or another ledger",
            )

    def _read_cursor(self) -> Cursor | None:
        row = (
            self._database.cursor()
            .execute(
                f"SELECT {_CURSOR_COLUMNS}, finalized_number, finalized_hash FROM ledger.cursors "
                "WHERE chain = ?",
                [self.chain.name],
            )
            .fetchone()
        )
        # Without offsets text nothing was ever committed; "{}" is a cursor without a bus.
        if row is None or not row[2]:
            return None
        number, hash_ = row[6:]
        final = None if number is None else Position(number, hash_)
        return replace(_cursor_of(row[:6]), finalized=final)

    def _write_cursor(self, tx: Transaction, cursor: Cursor) -> None:
        tx.cursor.execute(
            "UPDATE ledger.cursors SET head_number = ?, head_hash = ?, offsets = ?, blocks = ?, "
            "transactions = ?, flows = ?, finalized_number = ?, finalized_hash = ? "
            "WHERE chain = ?",
            [*_cursor_values(cursor), *_finalized_values(cursor), self.chain.name],
        )

        def keep() -> None:
            self._cursor = cursor

        tx.then(keep)

    def _read_counts(self) -> dict[CountKey, int]:
        rows = (
            self._database.cursor()
            .execute(
                "SELECT rule, severity, status, alerts FROM ledger.alert_counts WHERE chain = ?",
                [self.chain.name],
            )
            .fetchall()
        )
        return {
            (str(rule), int(severity), str(status)): int(n) for rule, severity, status, n in rows
        }

    def _write_counts(self, tx: Transaction, changes: dict[CountKey, int]) -> None:
        counts = dict(self._counts)
        for key, change in changes.items():
            known = key in counts
            counts[key] = counts.get(key, 0) + change
            where = [self.chain.name, *key]
            if known:
                tx.cursor.execute(
                    "UPDATE ledger.alert_counts SET alerts = ? "
                    "WHERE chain = ? AND rule = ? AND severity = ? AND status = ?",
                    [counts[key], *where],
                )
            else:
                tx.cursor.execute(
                    "INSERT INTO ledger.alert_counts (alerts, chain, rule, severity, status) "
                    "VALUES (?, ?, ?, ?, ?)",
                    [counts[key], *where],
                )

        def keep() -> None:
            self._counts = counts

        tx.then(keep)

    def _write_files(
        self, tx: Transaction, added: Sequence[LakeFile], removed: Sequence[LakeFile]
    ) -> None:
        # A file that is written again has the same name: its old row goes first.
        gone = [file.path for file in removed] + [file.path for file in added]
        for start in range(0, len(gone), 256):
            part = gone[start : start + 256]
            deleted = tx.cursor.execute(
                "DELETE FROM ledger.lake_files WHERE chain = ? "
                f"AND path IN ({', '.join('?' * len(part))}) RETURNING path",
                [self.chain.name, *part],
            ).fetchall()
            tx.totals["lake_files"] -= len(deleted)
        tx.insert("lake_files", _FILES, [(*_file_values(file), self.chain.name) for file in added])


def _cursor_values(cursor: Cursor) -> list[Any]:
    head = cursor.head
    return [
        None if head is None else head.number,
        None if head is None else head.hash,
        msgspec.json.encode(cursor.offsets, order="sorted").decode(),
        cursor.blocks,
        cursor.transactions,
        cursor.flows,
    ]


def _finalized_values(cursor: Cursor) -> list[Any]:
    final = cursor.finalized
    return [None, None] if final is None else [final.number, final.hash]


def _cursor_of(row: Sequence[Any]) -> Cursor:
    number, hash_, offsets, blocks, transactions, flows = row
    head = None if number is None else Position(number, hash_)
    return Cursor(
        head, msgspec.json.decode(offsets, type=dict[str, int]), blocks, transactions, flows
    )


def _file_values(file: LakeFile) -> tuple[Any, ...]:
    return (
        file.path, file.dataset, file.first.number, file.first.hash, file.last.number,
        file.last.hash, file.rows, file.size_bytes,
    )  # fmt: skip


def _file_of(row: Sequence[Any]) -> LakeFile:
    path, dataset, first_number, first_hash, last_number, last_hash, rows, size = row
    first, last = Position(first_number, first_hash), Position(last_number, last_hash)
    return LakeFile(path, dataset, first, last, rows, size)
