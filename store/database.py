"""One DuckDB file, one writing process, one transaction at a time.

What DuckDB leaves open is closed here: a second process is turned away with a message that says
what to do, a connection is never shared by threads, and lost rows are noticed. DuckDB drops a torn
tail of its log silently when it opens a file, so two witnesses are kept: the row counts in
``totals``, written by every transaction, and beside the file the number of the last commit that was
acknowledged.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from chainwarden.errors import DiskFull, LeaseLost, LedgerDamaged, LedgerLocked, StoreError
from store.audit_chain import GENESIS, Note, linked
from store.migrations import COUNTED_TABLES, SERIALS, migrate
from store.results import first

log = logging.getLogger(__name__)

_COUNTERS: Final = ("commits", *COUNTED_TABLES, *SERIALS)
_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
    "threads": 2,
    "memory_limit": "2GB",
}
_FULL: Final = ("No space left on device", "Disk quota exceeded", "File too large")
# Rows that are inserted at once: up to so many as values, up to so many as lists.
_AS_VALUES: Final = 2
_AS_LISTS: Final = 64
_AUDIT: Final = pa.schema(
    [
        ("serial", pa.int64()),
        ("kind", pa.string()),
        ("key", pa.string()),
        ("content", pa.binary()),
        ("digest", pa.binary()),
    ]
)
REBUILD: Final = "run `chainwarden rebuild` to make it anew from the lake and the bus"


class Transaction:
    """A transaction in progress: a cursor, and the counters as they will be when it commits.

    ``audit_digest`` is that of the audit chain's last entry.
    """

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, totals: dict[str, int], audit_digest: bytes
    ) -> None:
        self.cursor = cursor
        self.totals = totals
        self.audit_digest = audit_digest
        self._notes: list[Note] = []
        self._then: list[Callable[[], None]] = []

    def serials(self, kind: str, count: int) -> range:
        """``count`` new serials of a kind."""
        first = self.totals[kind] + 1
        self.totals[kind] += count
        return range(first, first + count)

    def insert(self, table: str, schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows of the schema's columns, and count them where the table is counted.

        How is a matter of time: five alerts take 1.7 ms as values, 1.3 ms as a list for each
        column and 2.0 ms as an Arrow table; 256 take 57, 5.7 and 3.6 ms, one takes 0.9, 1.1 and
        1.9 ms.
        """
        if not rows:
            return
        into = f"INSERT INTO ledger.{table} ({', '.join(schema.names)})"
        if len(rows) <= _AS_VALUES:
            marks = f"({', '.join('?' * len(schema))})"
            self.cursor.execute(
                f"{into} VALUES {', '.join([marks] * len(rows))}",
                [value for row in rows for value in row],
            )
        elif len(rows) <= _AS_LISTS:
            self.cursor.execute(
                f"{into} SELECT {', '.join(['unnest(?)'] * len(schema))}",
                [list(column) for column in zip(*rows, strict=True)],
            )
        else:
            with self.arrow(schema, rows):
                self.cursor.execute(f"{into} SELECT {', '.join(schema.names)} FROM incoming")
        if table in self.totals:
            self.totals[table] += len(rows)

    @contextmanager
    def arrow(self, schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> Iterator[None]:
        """The rows as a relation ``incoming`` while the block lasts."""
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        self.cursor.register("incoming", pa.table(columns, schema=schema))
        yield
        self.cursor.unregister("incoming")

    def note(self, *notes: Note) -> None:
        """Have records that were written in the audit chain, in that order."""
        self._notes += notes

    def link_notes(self) -> None:
        """Write the entries of what was noted so far. The end of the transaction does."""
        entries = list(linked(self.audit_digest, self.totals["audit"], self._notes))
        self._notes.clear()
        if entries:
            self.insert("audit", _AUDIT, [[getattr(e, n) for n in _AUDIT.names] for e in entries])
            self.audit_digest = entries[-1].digest

    def then(self, action: Callable[[], None]) -> None:
        """Call ``action`` once the transaction is durable; never, if it fails."""
        self._then.append(action)

    def committed(self) -> None:
        """Do what was to be done after the commit."""
        for action in self._then:
            action()


class Database:
    """An open ledger file. ``cursor`` is safe in any thread, ``transaction`` is one at a time.

    Raises LedgerLocked while another process has the file, LedgerDamaged when its counts disagree.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock_file = _lock(path)
        self._writing = threading.RLock()
        self._cursors: dict[int, duckdb.DuckDBPyConnection] = {}
        self._closed = False
        try:
            self._connection = _attach(path)
            try:
                self.totals = self._checked_totals()
                self._audit_digest = self._last_audit_digest()
            except BaseException:
                self._connection.close()
                raise
        except BaseException:
            os.close(self._lock_file)
            raise

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own cursor; the database is attached to it as ``ledger``."""
        if self._closed:
            raise StoreError("the ledger is closed")
        # By thread identifier: one that is used again belongs to a thread that has ended.
        me = threading.get_ident()
        cursor = self._cursors.get(me)
        if cursor is None:
            cursor = self._cursors[me] = self._connection.cursor()
        return cursor

    @contextmanager
    def reading(self) -> Iterator[None]:
        """What this thread's cursor reads is of one moment, and it can write nothing.

        Raises StoreError for what DuckDB refuses, and when ``interrupt`` ends it.
        """
        cursor = self.cursor()
        try:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield
        except duckdb.Error as error:
            raise translated(error, self.path) from error
        finally:
            _roll_back(cursor)

    def interrupt(self, thread: int) -> None:
        """End the query that a thread (by its identifier) is at; none, if it is at none."""
        cursor = self._cursors.get(thread)
        if cursor is not None:
            cursor.interrupt()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """All of the block's statements durable when it ends, or none of them.

        Raises DiskFull where there is no space, StoreError for what else DuckDB refuses.
        """
        with self._writing:
            cursor = self.cursor()
            tx = Transaction(cursor, dict(self.totals), self._audit_digest)
            self._fence()
            try:
                cursor.execute("BEGIN TRANSACTION")
                yield tx
                tx.link_notes()
                tx.totals["commits"] += 1
                moved = [name for name in _COUNTERS if tx.totals[name] != self.totals[name]]
                cursor.execute(
                    f"UPDATE ledger.totals SET {', '.join(f'{name} = ?' for name in moved)}",
                    [tx.totals[name] for name in moved],
                )
                self._fence()
                cursor.execute("COMMIT")
            except BaseException as error:
                _roll_back(cursor)
                if isinstance(error, (duckdb.Error, OSError)):
                    raise translated(error, self.path) from error
                raise
            self.totals, self._audit_digest = tx.totals, tx.audit_digest
            self._witness(tx.totals["commits"])
            tx.committed()

    @contextmanager
    def still(self) -> Iterator[int]:
        """Nothing is written while the block lasts. Gives how many commits there were."""
        with self._writing:
            self.cursor()  # raises where it is closed
            self._fence()
            yield self.totals["commits"]

    def copy(self, to: Path) -> None:
        """Copy the file with its log, and what stands beside it, as of the last commit.

        Within ``still``. DuckDB's own lock on the file is gone then, ours is not: see ``_lock``.
        """
        shutil.copyfile(self.path, to)
        for beside in (_log_of, witness_of):
            if beside(self.path).exists():  # the log is not, just after a checkpoint
                shutil.copyfile(beside(self.path), beside(to))

    def close(self) -> None:
        """Close the file and let others have it. Closing twice is harmless."""
        with self._writing:
            if self._closed:
                return
            self._closed = True
            for cursor in list(self._cursors.values()):
                with suppress(duckdb.Error):  # a reader in another thread; its query ends here
                    cursor.close()
            try:
                self._connection.execute("DETACH ledger")
            except duckdb.Error as error:
                # The log is still there and is replayed at the next open.
                log.warning("%s: no checkpoint at closing: %s", self.path, error)
            self._connection.close()
            os.close(self._lock_file)

    def _fence(self) -> None:
        """Raise LeaseLost unless the lock file that this process locked is still in its place.

        The kernel takes the lock from nobody who lives; but who deletes the file, or puts back a
        folder, lets another process lock a new one.
        """
        mine = os.fstat(self._lock_file)
        try:
            there = os.stat(_lock_path(self.path))
        except OSError as error:
            raise self._lost() from error
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise self._lost()

    def _lost(self) -> LeaseLost:
        return LeaseLost(
            f"{_lock_path(self.path)} was deleted or replaced: another process may have the ledger",
            hint="nothing was committed; start this process again",
        )

    def _checked_totals(self) -> dict[str, int]:
        cursor = self._connection
        row = first(cursor.execute(f"SELECT {', '.join(_COUNTERS)} FROM ledger.totals"))
        if row is None:
            raise LedgerDamaged(f"{self.path} has no totals", hint=REBUILD)
        totals = dict(zip(_COUNTERS, map(int, row), strict=True))
        for table in COUNTED_TABLES:
            counted = first(cursor.execute(f"SELECT count(*) FROM ledger.{table}"))
            if counted is None or int(counted[0]) != totals[table]:
                raise LedgerDamaged(
                    f"{self.path}: {table} has {counted and counted[0]} rows, "
                    f"not the {totals[table]} that were committed",
                    hint=REBUILD,
                )
        witnessed = self._witnessed()
        if witnessed > totals["commits"]:
            raise LedgerDamaged(
                f"{self.path} ends at commit {totals['commits']}, but commit {witnessed} was "
                "acknowledged: the end of its log is lost",
                hint=f"{REBUILD}, or delete {witness_of(self.path)} to go on from the older one",
            )
        return totals

    def _last_audit_digest(self) -> bytes:
        entries = self.totals["audit"]
        if not entries:
            return GENESIS
        row = first(
            self._connection.execute("SELECT digest FROM ledger.audit WHERE serial = ?", [entries])
        )
        if row is None:
            raise LedgerDamaged(
                f"{self.path}: the audit chain has no entry {entries}", hint=REBUILD
            )
        return bytes(row[0])

    def _witnessed(self) -> int:
        try:
            text = witness_of(self.path).read_text(encoding="ascii").strip()
            return int(text or "0")
        except FileNotFoundError:
            return 0
        except ValueError as error:
            raise LedgerDamaged(
                f"{witness_of(self.path)} is not a number", hint="delete it, then open again"
            ) from error

    def _witness(self, commits: int) -> None:
        # In place and without fsync: it must outlive the process. After a power failure it may be
        # behind the ledger, which is harmless; it is never ahead, as the commit was flushed first.
        try:
            descriptor = os.open(witness_of(self.path), os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(descriptor, b"%020d\n" % commits, 0)
            finally:
                os.close(descriptor)
        except OSError as error:
            log.warning("cannot note commit %d beside the ledger: %s", commits, error)


def translated(error: Exception, path: Path) -> StoreError:
    """The StoreError that says what a DuckDB or operating system error means here."""
    text = str(error)
    if any(phrase in text for phrase in _FULL):
        return DiskFull(
            f"no space left for {path}", hint="free some space; the same commit may be tried again"
        )
    return StoreError(f"{path}: {text}")


def witness_of(path: Path) -> Path:
    """The file beside a ledger that says, without opening it, how many commits it has had."""
    return path.with_name(path.name + ".commits")


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + ".wal")


def _lock_path(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def _lock(path: Path) -> int:
    """Hold ``<path>.lock``. DuckDB's own lock is lost when this process copies the file; not ours.

    A copy is how backups are made, and closing any descriptor of a file drops a POSIX lock on it.
    """
    descriptor = os.open(_lock_path(path), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise LedgerLocked(
            f"{path} is open in another process" + (f" (pid {holder})" if holder else ""),
            pid=int(holder) if holder.isdecimal() else None,
            hint="stop it, or ask its API instead of opening the file",
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _attach(path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(":memory:", config=_CONFIG)
    quoted = str(path).replace("'", "''")
    try:
        # Files that the previous major version can still open: a way back.
        connection.execute(f"ATTACH '{quoted}' AS ledger (STORAGE_VERSION 'v1.5.0')")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        migrate(connection)
    except duckdb.Error as error:
        connection.close()
        text = str(error)
        if "lock" in text.lower() or "already attached" in text:
            raise LedgerLocked(
                f"{path} is open elsewhere", hint="stop that process, or ask its API"
            ) from error
        if any(phrase in text for phrase in _FULL):
            raise translated(error, path) from error
        raise LedgerDamaged(f"{path} cannot be opened: {text}", hint=REBUILD) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _roll_back(cursor: duckdb.DuckDBPyConnection) -> None:
    try:
        cursor.execute("ROLLBACK")
    except duckdb.Error:
        log.debug("nothing to roll back", exc_info=True)
