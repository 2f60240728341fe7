"""The ledger's labels: who said what about which wallet, and whether the detector has learnt it.

A label is there once: the same word about the same wallet by the same source is the same label, and
saying it again with other dates or another note replaces it. Nothing is forgotten: a withdrawn
label stays as a row that ``labels`` does not show.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import duckdb

from chainwarden.schema import Label
from store.alert_table import storable
from store.database import Transaction

_COLUMNS: Final = "address, label, source, valid_from, valid_to, chain, author, note, alert_id"
_SAME: Final = (
    "address = ? AND label = ? AND source = ? AND chain IS NOT DISTINCT FROM ? AND NOT withdrawn"
)


def _key(label: Label) -> list[Any]:
    return [label.address, storable(label.label), storable(label.source), label.chain]


def _label_of(row: Sequence[Any]) -> Label:
    return Label(*row)


def put(tx: Transaction, labels: Iterable[Label], applied_number: int | None) -> int:
    """Add labels, or replace those about the same thing. Returns how many rows are new.

    ``applied_number`` is the block with which the detector learnt them, None while it has not.
    """
    added = 0
    for label in labels:
        same = tx.cursor.execute(
            f"SELECT serial, {_COLUMNS}, applied_number FROM ledger.labels WHERE {_SAME}",
            _key(label),
        ).fetchone()
        if same is None:
            (serial,) = tx.serials("label_serial", 1)
            tx.cursor.execute(
                f"INSERT INTO ledger.labels (serial, {_COLUMNS}, withdrawn, applied_number) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false, ?)",
                [serial, *_values(label), applied_number],
            )
            tx.totals["labels"] += 1
            added += 1
        elif _label_of(same[1:-1]) != label or (same[-1] is None and applied_number is not None):
            # A changed label is to be learnt again, unless that is what happened just now.
            tx.cursor.execute(
                "UPDATE ledger.labels SET valid_from = ?, valid_to = ?, author = ?, note = ?, "
                "alert_id = ?, applied_number = ? WHERE serial = ?",
                [
                    label.valid_from,
                    label.valid_to,
                    storable(label.author),
                    storable(label.note),
                    storable(label.alert_id),
                    applied_number,
                    same[0],
                ],
            )
    return added


def _values(label: Label) -> list[Any]:
    return [
        label.address, storable(label.label), storable(label.source), label.valid_from,
        label.valid_to, label.chain, storable(label.author), storable(label.note),
        storable(label.alert_id),
    ]  # fmt: skip


def withdraw(tx: Transaction, label: Label) -> bool:
    """Withdraw a label. False if there is none about the same thing."""
    rows = tx.cursor.execute(
        f"UPDATE ledger.labels SET withdrawn = true WHERE {_SAME} RETURNING serial", _key(label)
    ).fetchall()
    return bool(rows)


def select(
    cursor: duckdb.DuckDBPyConnection, address: bytes | None, applied: bool | None
) -> list[Label]:
    """Labels in force or not, oldest first; of one address, (not) learnt yet, or all."""
    conditions, values = ["NOT withdrawn"], []
    if address is not None:
        conditions.append("address = ?")
        values.append(address)
    if applied is not None:
        conditions.append(f"applied_number IS {'NOT ' if applied else ''}NULL")
    rows = cursor.execute(
        f"SELECT {_COLUMNS} FROM ledger.labels WHERE {' AND '.join(conditions)} ORDER BY serial",
        values,
    ).fetchall()
    return [_label_of(row) for row in rows]


def page(
    cursor: duckdb.DuckDBPyConnection, limit: int, after: int, address: bytes | None
) -> list[tuple[int, Label]]:
    """At most ``limit`` labels that were not withdrawn, with serials above ``after``, in order."""
    condition = ""
    values: list[Any] = [after]
    if address is not None:
        condition = "AND address = ? "
        values.append(address)
    rows = cursor.execute(
        f"SELECT serial, {_COLUMNS} FROM ledger.labels WHERE NOT withdrawn AND serial > ? "
        f"{condition}ORDER BY serial LIMIT ?",
        [*values, limit],
    ).fetchall()
    return [(int(row[0]), _label_of(row[1:])) for row in rows]


def words(cursor: duckdb.DuckDBPyConnection, addresses: Iterable[bytes]) -> dict[bytes, list[str]]:
    """The words of labels that were not withdrawn, by address, oldest first."""
    found: dict[bytes, list[str]] = {}
    wanted = list(dict.fromkeys(addresses))
    # One pass over the table for many addresses: a query for each takes seconds for a page.
    for start in range(0, len(wanted), 1024):
        part = wanted[start : start + 1024]
        rows = cursor.execute(
            "SELECT address, label FROM ledger.labels WHERE NOT withdrawn "
            f"AND address IN ({', '.join('?' * len(part))}) ORDER BY serial",
            part,
        ).fetchall()
        for address, word in rows:
            found.setdefault(address, []).append(word)
    return found
