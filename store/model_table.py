"""The risk models of a chain: what they are and how good, and who made which the champion.

The figures are one row a chain, written with the blocks that they follow from. Promotions are a
trail: rows are only added, never changed but for the block with which one took force, as with
labels (see ``label_journal``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import msgspec

from store.alert_table import storable
from store.audit_table import note_record
from store.database import Transaction
from store.results import first

_COLUMNS: Final = "serial, said_at, said_by, why, number, configuration, parameters"


@dataclass(frozen=True, slots=True)
class Promotion:
    """A configuration that somebody made the champion.

    ``configuration`` is its digest, ``parameters`` what it is. ``number`` is the first block that
    was scored so, None while it has not taken force; ``said_at`` is wall clock, in seconds since
    1970.
    """

    serial: int
    said_at: float
    by: str
    why: str
    number: int | None
    configuration: str
    parameters: dict[str, Any]


def add(tx: Transaction, chain: str, promotion: Promotion) -> None:
    """Add a row; its serial is given here."""
    (serial,) = tx.serials("change_serial", 1)
    tx.cursor.execute(
        f"INSERT INTO ledger.model_promotions ({_COLUMNS}, chain) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            serial,
            promotion.said_at,
            storable(promotion.by),
            storable(promotion.why),
            promotion.number,
            promotion.configuration,
            _json(promotion.parameters),
            chain,
        ],
    )
    tx.totals["model_promotions"] += 1
    note_record(tx, "promotion", serial)


def in_force(tx: Transaction, chain: str, serials: Iterable[int], number: int) -> None:
    """These promotions took force with the block of that number."""
    for serial in serials:
        tx.cursor.execute(
            "UPDATE ledger.model_promotions SET number = ? WHERE chain = ? AND serial = ?",
            [number, chain, serial],
        )


def reverted(tx: Transaction, chain: str, number: int) -> None:
    """What took force after that block is in force for the one that takes its place."""
    tx.cursor.execute(
        "UPDATE ledger.model_promotions SET number = ? WHERE chain = ? AND number > ?",
        [number, chain, number],
    )


def promotions(cursor: duckdb.DuckDBPyConnection, chain: str) -> list[Promotion]:
    """The promotions in the order in which they were said."""
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM ledger.model_promotions WHERE chain = ? ORDER BY serial", [chain]
    ).fetchall()
    return [_promotion(*row) for row in rows]


def put_figures(tx: Transaction, chain: str, models: dict[str, Any]) -> None:
    """Keep what the models are and how good, in place of what was kept."""
    told = _json(models)
    row = first(
        tx.cursor.execute(
            "UPDATE ledger.model_figures SET models = ? WHERE chain = ? RETURNING chain",
            [told, chain],
        )
    )
    if row is None:
        tx.cursor.execute("INSERT INTO ledger.model_figures VALUES (?, ?)", [chain, told])


def figures(cursor: duckdb.DuckDBPyConnection, chain: str) -> dict[str, Any] | None:
    """What was kept, None before the first."""
    row = first(cursor.execute("SELECT models FROM ledger.model_figures WHERE chain = ?", [chain]))
    return None if row is None else msgspec.json.decode(row[0], type=dict[str, Any])


def _promotion(
    serial: int,
    said_at: float,
    by: str,
    why: str,
    number: int | None,
    configuration: str,
    parameters: str,
) -> Promotion:
    decoded = msgspec.json.decode(parameters, type=dict[str, Any])
    return Promotion(serial, said_at, by, why, number, configuration, decoded)


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value, order="sorted").decode()
