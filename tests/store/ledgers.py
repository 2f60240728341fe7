"""What ledgers are filled with: cursors, a label list, and the tables of the first release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from chainwarden.schema import Cursor
from store.ledger import ListNote
from store.migrations import MIGRATIONS
from tests.store.made import position

NOTE = ListNote("l.csv", "", "MIT", None, 0, None, "d1", "ofac", 3, 1, 3, 0, 5.0, 1, 0)


def at(number: int) -> Cursor:
    """The cursor after block ``number``."""
    return Cursor(position(number), {"t/0": number + 1, "t/1": 7}, number, 2 * number, 3 * number)


@contextmanager
def first_schema(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A ledger file as the first release made it, of Ethereum, to be filled."""
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"ATTACH '{path}' AS ledger (STORAGE_VERSION 'v1.5.0')")
        connection.execute(
            "CREATE TABLE ledger.migrations (version INTEGER NOT NULL, name VARCHAR)"
        )
        for statement in MIGRATIONS[0].statements:
            connection.execute(statement)
        connection.execute("INSERT INTO ledger.migrations VALUES (1, 'the ledger')")
        connection.execute("INSERT INTO ledger.chains VALUES ('ethereum', 1)")
        yield connection
