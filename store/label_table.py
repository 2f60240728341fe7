"""The ledger's labels as they stand: who says what about which wallet, and whether it is in force.

A label is there once: the same word about the same wallet by the same source is the same label, and
saying it again with other dates or another note replaces it. A withdrawn label stays as a row that
``labels`` does not show. How it came to this is in ``label_journal``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import duckdb

from chainwarden.schema import Label
from store import label_journal
from store.alert_table import storable
from store.audit_table import note_record
from store.database import Transaction
from store.label_journal import LabelChange, note_change
from store.results import first

_COLUMNS: Final = "address, label, source, valid_from, valid_to, chain, author, note, alert_id"
_SAME: Final = (
    "address = ? AND label = ? AND source = ? AND chain IS NOT DISTINCT FROM ? AND NOT withdrawn"
)


def _key(label: Label) -> list[Any]:
    return [label.address, storable(label.label), storable(label.source), label.chain]


def _label_of(row: Sequence[Any]) -> Label:
    return Label(*row)


def put(tx: Transaction, chain: str, labels: Iterable[Label], said_at: float) -> int:
    """Add labels, or replace those about the same thing. Returns how many rows are new.

    What changes something is in the journal, too. Saying the same again changes nothing.
    """
    added = 0
    for label in labels:
        same = first(
            tx.cursor.execute(
                f"SELECT serial, {_COLUMNS} FROM ledger.labels WHERE {_SAME}", _key(label)
            )
        )
        if same is None:
            (serial,) = tx.serials("label_serial", 1)
            tx.cursor.execute(
                f"INSERT INTO ledger.labels (serial, {_COLUMNS}, withdrawn, applied_number) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, false, NULL)",
                [serial, *_values(label)],
            )
            tx.totals["labels"] += 1
            added += 1
        elif _label_of(same[1:]) == label:
            continue
        else:
            serial = same[0]
            tx.cursor.execute(
                "UPDATE ledger.labels SET valid_from = ?, valid_to = ?, author = ?, note = ?, "
                "alert_id = ?, applied_number = NULL WHERE serial = ?",
                [
                    label.valid_from,
                    label.valid_to,
                    storable(label.author),
                    storable(label.note),
                    storable(label.alert_id),
                    serial,
                ],
            )
        note_record(tx, "label", serial)
        note_change(tx, chain, label, said_at, withdrawn=False, by=label.author, why=label.note)
    return added


def repeat(tx: Transaction, chain: str, change: LabelChange) -> None:
    """Do again what another ledger noted, with the block with which it took force there."""
    label = change.label
    if change.withdrawn:
        withdraw(tx, chain, label, change.said_at, change.by, change.why)
    else:
        put(tx, chain, [label], change.said_at)
    if change.number is not None:
        label_journal.in_force(tx, chain, [tx.totals["change_serial"]], change.number)
        in_force(tx, chain, change.number)


def in_force(tx: Transaction, chain: str, number: int) -> None:
    """Labels whose changes all took force did so with the block of that number."""
    tx.cursor.execute(
        "UPDATE ledger.labels SET applied_number = ? WHERE applied_number IS NULL "
        "AND NOT EXISTS (SELECT 1 FROM ledger.label_changes c WHERE c.chain = ? "
        "AND c.number IS NULL AND c.address = labels.address AND c.label = labels.label "
        "AND c.source = labels.source AND c.label_chain IS NOT DISTINCT FROM labels.chain)",
        [number, chain],
    )


def _values(label: Label) -> list[Any]:
    return [
        label.address, storable(label.label), storable(label.source), label.valid_from,
        label.valid_to, label.chain, storable(label.author), storable(label.note),
        storable(label.alert_id),
    ]  # fmt: skip


def withdraw(
    tx: Transaction, chain: str, label: Label, said_at: float, by: str = "", why: str = ""
) -> bool:
    """Withdraw a label. False if there is none about the same thing."""
    row = first(
        tx.cursor.execute(
            f"UPDATE ledger.labels SET withdrawn = true WHERE {_SAME} RETURNING serial, {_COLUMNS}",
            _key(label),
        )
    )
    if row is not None:
        serial, *values = row
        note_record(tx, "label", serial)
        note_change(tx, chain, _label_of(values), said_at, withdrawn=True, by=by, why=why)
    return row is not None


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
) -> list[tuple[int, Label, int | None]]:
    """At most ``limit`` labels that were not withdrawn, with serials above ``after``, in order.

    Each with the block with which it took force, None while it has not.
    """
    condition = ""
    values: list[Any] = [after]
    if address is not None:
        condition = "AND address = ? "
        values.append(address)
    rows = cursor.execute(
        f"SELECT serial, applied_number, {_COLUMNS} FROM ledger.labels "
        f"WHERE NOT withdrawn AND serial > ? {condition}ORDER BY serial LIMIT ?",
        [*values, limit],
    ).fetchall()
    return [(int(row[0]), _label_of(row[2:]), row[1]) for row in rows]


def words(cursor: duckdb.DuckDBPyConnection, addresses: Iterable[bytes]) -> dict[bytes, list[str]]:
    """The words of labels that were not withdrawn, by address, each once, oldest first."""
    found: dict[bytes, dict[str, None]] = {}
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
            found.setdefault(address, {})[word] = None  # several sources may give one word
    return {address: list(words) for address, words in found.items()}
