"""Results of queries, read to their end."""

from __future__ import annotations

from typing import Any

import duckdb


def first(result: duckdb.DuckDBPyConnection) -> tuple[Any, ...] | None:
    """The first row of a result, None of an empty one.

    Everything is fetched: a result that is left half read keeps its transaction open, and while one
    is open DuckDB does not clear its log, which then grows without bound.
    """
    rows: list[tuple[Any, ...]] = result.fetchall()
    return rows[0] if rows else None
