"""The ledger: alerts, labels, the lake's manifest, the outbox and the cursor in one DuckDB file.

A commit is one transaction, so the file always says one thing: everything that follows from the
blocks up to the cursor, and nothing of the block after it. Killed at any instant, a commit is there
whole or not at all, and one that was acknowledged is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

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
from store import (
    alert_counts,
    alert_table,
    audit_table,
    cursor_table,
    label_journal,
    label_table,
    manifest,
    model_table,
    outbox,
)
from store.alert_table import AlertRecord, CountKey
from store.audit import Audit, verify
from store.audit_table import Head
from store.database import Database, Transaction
from store.label_journal import LabelChange, ListNote
from store.model_table import Promotion
from store.outbox import Outbox
from store.queries import AlertFilter, ids_with_prefix, key_of, select_alerts
from store.results import first
from store.triage import Triage

__all__ = [
    "AlertFilter", "AlertRecord", "Commit", "InForce", "LabelChange", "Ledger", "ListNote", "Mode",
    "Promotion", "Receivers", "SnapshotRecord",
]  # fmt: skip

Mode = Literal["live", "replay"]
Receivers = Sequence[str] | Mapping[str, Severity]
_ALL: Final = Severity.INFO


@dataclass(frozen=True, slots=True)
class InForce:
    """What took force with block ``number``: labels and promotions by serial, and lists."""

    number: int
    changes: Sequence[int] = ()
    lists: Sequence[ListNote] = ()
    promotions: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """What one batch of chain events changes.

    ``cursor`` is where the pipeline stands after it. ``labels`` is what took force with its blocks,
    ``models`` what the risk models are then (None: as they were). ``reverted`` is the number of a
    block that was taken back. ``files_added`` are published already, ``files_coming`` when it
    returns them: it is called when all else is written but not committed, and what it raises undoes
    the commit. ``files_removed`` still exist, and may be deleted once the commit returned.
    """

    cursor: Cursor
    alerts: Sequence[Alert] = ()
    retractions: Sequence[Retraction] = ()
    labels: Sequence[InForce] = ()
    models: dict[str, Any] | None = None
    reverted: int | None = None
    files_added: Sequence[LakeFile] = ()
    files_removed: Sequence[LakeFile] = ()
    files_coming: Callable[[], Sequence[LakeFile]] = tuple


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """A detector snapshot that was saved: where it is, and the cursor it includes."""

    path: str
    cursor: Cursor
    size_bytes: int


class Ledger:
    """The one writer of a ledger file. Every method is safe in any thread.

    In mode ``replay`` nothing ever enters the outbox. ``receivers`` are the names of those who are
    told of alerts from now on; with severities, of those at least so severe.
    """

    def __init__(
        self,
        database: Database,
        chain: Chain,
        mode: Mode,
        receivers: Receivers,
        clock: Callable[[], float],
    ) -> None:
        self.chain = chain
        self.mode: Mode = mode
        told = receivers if isinstance(receivers, Mapping) else dict.fromkeys(receivers, _ALL)
        self.receivers = dict(told) if mode == "live" else {}
        self.outbox = Outbox(database, chain, clock)
        self._database = database
        self._clock = clock
        self.label_news = 0
        """Goes up with every label that is given or withdrawn, and with every promotion."""
        self._watchers: list[Callable[[], None]] = []
        self.triage = Triage(database, chain, clock, self._changed)
        self.identity = cursor_table.identity(database.cursor())
        """Eight hex digits that another ledger does not have, be it made of the same blocks."""
        audit_table.adopt(database)
        self._claim_chain()
        self._cursor = cursor_table.read(database.cursor(), chain.name)
        self._counts = alert_counts.read(database.cursor(), chain.name)
        self._models: dict[str, Any] | None = None  # as this process wrote them last

    @classmethod
    def open(
        cls,
        path: Path,
        chain: Chain,
        mode: Mode = "live",
        receivers: Receivers = (),
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

    @property
    def path(self) -> Path:
        """The file."""
        return self._database.path

    def still(self) -> AbstractContextManager[int]:
        """Nothing is written while the block lasts: see ``Database.still``."""
        return self._database.still()

    def copy(self, to: Path) -> None:
        """Copy the file, within ``still``."""
        self._database.copy(to)

    def commit(self, commit: Commit) -> None:
        """Make one batch durable, whole or not at all. It is on disk when this returns.

        Repeating the last commit changes nothing. Raises DiskFull or StoreError, and then nothing
        of it is there.
        """
        with self._database.transaction() as tx:
            changed, counts = alert_table.apply(tx, self.chain, commit.retractions, commit.alerts)
            news = 0
            if self.receivers and changed:
                suppressed = self.triage.suppressed
                now = self._clock()
                news = outbox.enqueue(tx, self.chain, changed, self.receivers, now, suppressed)
            self._write_labels(tx, commit)
            if commit.models is not None and commit.models != self._models:
                model_table.put_figures(tx, self.chain.name, commit.models)
            counts = alert_counts.write(tx, self.chain.name, self._counts, counts)
            cursor_table.write(tx, self.chain.name, commit.cursor)
            tx.link_notes()
            # All that needs no file is written by now: the files had that long to reach the disk.
            added = (*commit.files_added, *commit.files_coming())
            manifest.write(tx, self.chain.name, self._head_number, added, commit.files_removed)
            tx.then(lambda: self._keep(commit, counts))
        if news:
            self.outbox.wake()
        if changed:
            self._changed()

    def watch(self, watcher: Callable[[], None]) -> Callable[[], None]:
        """Have a function called after each change of alerts, in the thread of that.

        Returns what ends it.
        """
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def now(self) -> float:
        """Wall clock, in seconds since 1970."""
        return self._clock()

    def add_label(self, label: Label) -> bool:
        """Keep a label, to take force with the next block. False if one like it was replaced."""
        return bool(self.add_labels([label]))

    def add_labels(self, labels: Sequence[Label]) -> int:
        """Keep many labels at once, whole or not at all. Returns how many are new."""
        with self._database.transaction() as tx:
            added = label_table.put(tx, self.chain.name, labels, self._clock())
            tx.then(self._heard)
        return added

    def withdraw_label(self, label: Label, by: str = "", why: str = "") -> bool:
        """Withdraw the label about the same address, word, source and chain. False if none is."""
        with self._database.transaction() as tx:
            found = label_table.withdraw(tx, self.chain.name, label, self._clock(), by, why)
            tx.then(self._heard)
        return found

    def promote(
        self, configuration: str, parameters: dict[str, Any], by: str = "", why: str = ""
    ) -> None:
        """Note that a configuration shall be the champion from the next block on."""
        said = Promotion(0, self._clock(), by, why, None, configuration, parameters)
        with self._database.transaction() as tx:
            model_table.add(tx, self.chain.name, said)
            tx.then(self._heard)

    def take_over(self, other: Ledger) -> None:
        """Have what people said in another ledger of this chain, with its history.

        Labels, promotions, acknowledgements and suppressions. Where its audit chain ended is in
        this one's.
        """
        with self._database.transaction() as tx:
            audit_table.note_taken_over(tx, other.identity, other.audit_head())
            for change in other.label_changes():
                label_table.repeat(tx, self.chain.name, change)
            label_journal.note_lists(tx, self.chain.name, other.label_lists())
            for promotion in other.promotions():
                model_table.add(tx, self.chain.name, promotion)
            self.triage.take_over(tx, other.triage)

    def add_snapshot(self, path: str, cursor: Cursor, size_bytes: int) -> None:
        """Note a saved snapshot in the index."""
        with self._database.transaction() as tx:
            (serial,) = tx.serials("snapshot_serial", 1)
            tx.cursor.execute(
                "INSERT INTO ledger.snapshots "
                f"(serial, chain, path, {cursor_table.COLUMNS}, size_bytes) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [serial, self.chain.name, path, *cursor_table.values_of(cursor), size_bytes],
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

    def active_from(self, number: int) -> list[tuple[str, Position]]:
        """The active alerts of blocks from that number on: their ids, and where they are."""
        return alert_table.active_from(self._database.cursor(), self.chain, number)

    def alert_changes(self, after: int, limit: int) -> list[AlertRecord]:
        """At most ``limit`` alerts that changed after a change, in the order of their last ones."""
        return alert_table.changed_after(self._database.cursor(), self.chain, after, limit)

    @property
    def last_change(self) -> int:
        """The number of the last change of an alert."""
        return self._database.totals["alert_change_serial"]

    def alert_ids(self, prefix: str, limit: int) -> list[str]:
        """The ids that begin with some hex digits, at most ``limit``."""
        return ids_with_prefix(self._database.cursor(), self.chain, prefix, limit)

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

    def label_changes(
        self,
        *,
        pending: bool | None = None,
        address: bytes | None = None,
        limit: int | None = None,
    ) -> list[LabelChange]:
        """The audit trail of labels, oldest first; of a limit the newest.

        ``pending``: those that have (not) taken force.
        """
        cursor = self._database.cursor()
        return label_journal.changes(
            cursor, self.chain.name, pending=pending, address=address, limit=limit
        )

    def label_lists(self) -> list[ListNote]:
        """Every version of every label list that took force, in that order."""
        return label_journal.lists(self._database.cursor(), self.chain.name)

    def label_page(
        self, limit: int, after: int = 0, address: bytes | None = None
    ) -> list[tuple[int, Label, int | None]]:
        """At most ``limit`` labels beyond serial ``after``, oldest first.

        Each with its serial and the block with which it took force, None while it has not.
        """
        return label_table.page(self._database.cursor(), limit, after, address)

    def label_count(self) -> int:
        """How many labels were ever kept; kept, not counted."""
        return self._database.totals["labels"]

    def promotions(self) -> list[Promotion]:
        """Who made which configuration of the risk model the champion, oldest first."""
        return model_table.promotions(self._database.cursor(), self.chain.name)

    def model_figures(self) -> dict[str, Any] | None:
        """What the risk models are and how good, as of the last commit. None where none is."""
        return model_table.figures(self._database.cursor(), self.chain.name)

    def files(self, dataset: str | None = None) -> list[LakeFile]:
        """The manifest: the lake files that are good, by dataset, in the order of their blocks."""
        return manifest.select(self._database.cursor(), self.chain.name, dataset)

    def snapshots(self) -> list[SnapshotRecord]:
        """The snapshots that were noted, oldest first."""
        rows = (
            self._database.cursor()
            .execute(
                f"SELECT path, {cursor_table.COLUMNS}, size_bytes FROM ledger.snapshots "
                "WHERE chain = ? ORDER BY serial",
                [self.chain.name],
            )
            .fetchall()
        )
        return [SnapshotRecord(row[0], cursor_table.cursor_of(row[1:7]), row[7]) for row in rows]

    def audit_head(self, entries: int | None = None) -> Head | None:
        """The audit chain as it is, or was with so many entries; None where it never had."""
        return audit_table.head_of(self._database.cursor(), entries)

    def verify(self) -> Audit:
        """Whether alerts and people's words still are what was written; see ``store.audit``.

        Within ``reading``, or while nobody writes.
        """
        return verify(self._database.cursor())

    # --- inside --------------------------------------------------------------------------------

    def _heard(self) -> None:
        self.label_news += 1

    def _changed(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    def _write_labels(self, tx: Transaction, commit: Commit) -> None:
        for news in commit.labels:
            if news.changes:
                label_journal.in_force(tx, self.chain.name, news.changes, news.number)
                label_table.in_force(tx, self.chain.name, news.number)
            label_journal.note_lists(tx, self.chain.name, news.lists)
            model_table.in_force(tx, self.chain.name, news.promotions, news.number)
        if commit.reverted is not None:
            label_journal.reverted(tx, self.chain.name, commit.reverted)
            model_table.reverted(tx, self.chain.name, commit.reverted)

    def _claim_chain(self) -> None:
        row = first(
            self._database.cursor().execute(
                "SELECT id FROM ledger.chains WHERE name = ?", [self.chain.name]
            )
        )
        if row is None:
            with self._database.transaction() as tx:
                tx.cursor.execute(
                    "INSERT INTO ledger.chains VALUES (?, ?)", [self.chain.name, self.chain.id]
                )
                cursor_table.begin(tx, self.chain.name)
        elif int(row[0]) != self.chain.id:
            raise SettingsError(
                f"the ledger knows {self.chain.name} by chain id {row[0]}, not {self.chain.id}",
                hint="give the other chain another name, or another ledger",
            )

    @property
    def _head_number(self) -> int:
        """The last block that was committed, -1 before the first."""
        head = self._cursor.head if self._cursor else None
        return -1 if head is None else head.number

    def _keep(self, commit: Commit, counts: dict[CountKey, int]) -> None:
        self._cursor, self._counts = commit.cursor, counts
        if commit.models is not None:
            self._models = commit.models
