"""Whether a ledger still says what was written to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import duckdb

from store.audit_chain import GENESIS, Note, content_of, digest_of
from store.audit_table import TRAILS, Head, Trail, entries_of, fetched

MOST_FAULTS: Final = 1000
"""How many faults are told."""

ENTRY: Final = "entry"
"""Kind of a fault that is in the chain itself."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What does not hold: a record of a kind by its key, or an entry of the chain by its serial."""

    kind: str
    key: str
    what: str


@dataclass(frozen=True, slots=True)
class Audit:
    """How far the chain holds, and what does not: MOST_FAULTS at most; ``more`` beyond them."""

    head: Head
    faults: tuple[Fault, ...]
    more: bool


def verify(cursor: duckdb.DuckDBPyConnection) -> Audit:
    """Compute the chain anew, and hold every record against the last entry about it.

    It reads all of them: use a cursor that sees one moment.
    """
    head, broken = _follow(cursor)
    faults = [*broken, *islice(_compare(cursor), MOST_FAULTS + 1)]
    return Audit(head, tuple(faults[:MOST_FAULTS]), len(faults) > MOST_FAULTS)


def _follow(cursor: duckdb.DuckDBPyConnection) -> tuple[Head, list[Fault]]:
    """The chain as far as each entry follows from the one before, and the first that does not."""
    head = Head(0, GENESIS)
    for entry in entries_of(cursor):
        serial = head.entries + 1
        digest = digest_of(head.digest, serial, Note(entry.kind, entry.key, entry.content))
        if entry.serial != serial or entry.digest != digest:
            what = "does not follow from the entries before it: changed, left out or put in"
            return head, [Fault(ENTRY, str(serial), what)]
        head = Head(serial, digest)
    return head, []


def _compare(cursor: duckdb.DuckDBPyConnection) -> Iterator[Fault]:
    for kind, trail in TRAILS.items():
        for key, noted, there, *values in fetched(cursor.execute(_records(trail), [kind])):
            if not there:
                yield Fault(kind, key, "is gone")
            elif noted is None:
                yield Fault(kind, key, "was never written by chainwarden")
            elif content_of(values) != noted:
                yield Fault(kind, key, "is not as it was written")


def _records(trail: Trail) -> str:
    """SQL for each key of entries or records: what was noted last, whether it is there, columns."""
    columns = ", ".join(f"record.{name}" for name in trail.columns)
    return (
        f"SELECT key, entry.content, record.serial IS NOT NULL, {columns} "
        "FROM (SELECT key, arg_max(content, serial) AS content FROM ledger.audit "
        f"WHERE kind = ? GROUP BY key) AS entry FULL JOIN ({trail.select}) AS record USING (key) "
        "ORDER BY record.serial, key"
    )
