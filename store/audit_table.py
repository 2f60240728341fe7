"""The audit chain in the ledger: what it covers, and how it is written and read.

Covered is what the detector and people said: alerts, labels, lists, promotions, acknowledgements,
suppressions. What follows from the chain's blocks alone (the cursor, the lake's manifest) is not,
nor what changes by itself: the outbox, an alert's number of changes, the block with which a label
took force.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import duckdb

from store.audit_chain import GENESIS, Entry, Note, content_of
from store.database import Database, Transaction
from store.results import first

log = logging.getLogger(__name__)

_BATCH: Final = 10_000


@dataclass(frozen=True, slots=True)
class Trail:
    """The records of a table that are in the chain, as ``columns``; ``key`` says which is which.

    Entries hold for the columns that there were: one that comes later needs a kind of its own.
    """

    table: str
    key: str
    columns: tuple[str, ...]

    @property
    def select(self) -> str:
        """SQL for the key, as entries have it, and the columns."""
        key = f"replace({self.key}::VARCHAR, '-', '')"  # a UUID's hex digits, or a serial
        return f"SELECT {key} AS key, {', '.join(self.columns)} FROM ledger.{self.table}"


TRAILS: Final = {
    "alert": Trail(
        "alerts",
        "id",
        (
            "serial", "chain", "rule", "rule_version", "typology", "severity", "score",
            "subject", "role", "block_number", "block_hash", "block_timestamp", "transaction_hash",
            "ordinal", "sentence", "reasons", "evidence", "status", "retraction", "instance",
        ),
    ),
    "label": Trail(
        "labels",
        "serial",
        (
            "serial", "address", "label", "source", "valid_from", "valid_to", "chain", "author",
            "note", "alert_id", "withdrawn",
        ),
    ),
    "label change": Trail(
        "label_changes",
        "serial",
        (
            "serial", "chain", "said_at", "withdrawn", "said_by", "why", "address", "label",
            "source", "valid_from", "valid_to", "label_chain", "author", "note", "alert_id",
        ),
    ),
    "label list": Trail(
        "label_lists",
        "serial",
        (
            "serial", "chain", "said_at", "path", "source", "licence", "list_chain", "valid_from",
            "valid_to", "digest", "format", "loaded", "refused", "added", "removed",
        ),
    ),
    "promotion": Trail(
        "model_promotions",
        "serial",
        ("serial", "chain", "said_at", "said_by", "why", "configuration", "parameters"),
    ),
    "acknowledgement": Trail(
        "acknowledgements",
        "serial",
        ("serial", "chain", "alert_id", "said_at", "said_by", "why", "withdrawn"),
    ),
    "suppression": Trail(
        "suppressions",
        "serial",
        (
            "serial", "chain", "rule", "subject", "until", "said_at", "said_by", "why", "ended_at",
            "ended_by",
        ),
    ),
}  # fmt: skip
"""By the kind of their entries."""

TAKEN_OVER: Final = "taken over"
"""Kind of the entry of a ledger that was made anew: its key is the identity of the old one."""


@dataclass(frozen=True, slots=True)
class Head:
    """How many entries there are, and the digest of the last."""

    entries: int
    digest: bytes


def note_record(tx: Transaction, kind: str, serial: int) -> None:
    """Put a record that was just written into the chain, as it is in its table now."""
    trail = TRAILS[kind]
    query = f"SELECT {', '.join(trail.columns)} FROM ledger.{trail.table} WHERE serial = ?"
    row = first(tx.cursor.execute(query, [serial]))
    assert row is not None, f"{kind} {serial} was not written"
    tx.note(Note(kind, str(serial), content_of(row)))


def note_taken_over(tx: Transaction, identity: str, head: Head | None) -> None:
    """Put where another ledger's chain ended into this one's."""
    ended = [None, None] if head is None else [head.entries, head.digest]
    tx.note(Note(TAKEN_OVER, identity, content_of([identity, *ended])))


def adopt(database: Database) -> None:
    """Begin the chain of a ledger from before there was one: with all that it holds."""
    if database.totals["audit"] or not any(database.totals[t.table] for t in TRAILS.values()):
        return
    with database.transaction() as tx, closing(tx.cursor.cursor()) as reader:
        for kind, trail in TRAILS.items():
            rows = fetched(reader.execute(f"{trail.select} ORDER BY serial"))
            while batch := list(islice(rows, _BATCH)):
                tx.note(*(Note(kind, key, content_of(values)) for key, *values in batch))
                tx.link_notes()
    log.info("the audit chain begins with %d records that were there", database.totals["audit"])


def head_of(cursor: duckdb.DuckDBPyConnection, entries: int | None) -> Head | None:
    """The chain as it is, or was when it had so many entries. None where it never had."""
    if entries is None:
        row = first(cursor.execute("SELECT audit FROM ledger.totals"))
        entries = 0 if row is None else int(row[0])
    if entries == 0:
        return Head(0, GENESIS)
    row = first(cursor.execute("SELECT digest FROM ledger.audit WHERE serial = ?", [entries]))
    return None if row is None else Head(entries, row[0])


def entries_of(cursor: duckdb.DuckDBPyConnection) -> Iterator[Entry]:
    """The chain from its begin. Read it to its end before the cursor is used again."""
    query = "SELECT serial, kind, key, content, digest FROM ledger.audit ORDER BY serial"
    return (Entry(*row) for row in fetched(cursor.execute(query)))


def fetched(answer: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    """The rows of an answer, without all of them in memory at once."""
    while rows := answer.fetchmany(_BATCH):
        yield from rows
