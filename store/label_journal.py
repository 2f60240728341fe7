"""The audit trail of labels: who said what about which wallet, when, and from which block it held.

Rows are only added, never changed but for one thing: the block with which a row took force, unknown
while it has not. A fork can lower that: the blocks of the new branch were scored with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from chainwarden.schema import Label
from store.alert_table import storable
from store.audit_table import note_record
from store.database import Transaction

_LABEL: Final = "address, label, source, valid_from, valid_to, label_chain, author, note, alert_id"
_CHANGE: Final = f"serial, said_at, withdrawn, said_by, why, number, {_LABEL}"
_LIST: Final = (
    "serial, said_at, path, source, licence, list_chain, valid_from, valid_to, digest, format, "
    "loaded, refused, added, removed, number"
)


@dataclass(frozen=True, slots=True)
class LabelChange:
    """A label that was given, or withdrawn. ``by`` and ``why`` are whose act it was, and the note.

    ``number`` is the first block that was scored with it, None while it has not taken force;
    ``said_at`` is wall clock, in seconds since 1970.
    """

    serial: int
    said_at: float
    withdrawn: bool
    by: str
    why: str
    number: int | None
    label: Label


@dataclass(frozen=True, slots=True)
class ListNote:
    """A version of a label list that took force with block ``number``.

    ``digest`` is that of its content (see ``detect.label_files``), empty where the list was taken
    out of the settings; the other texts and times are those of the settings.
    """

    path: str
    source: str
    licence: str
    chain: str | None
    valid_from: int
    valid_to: int | None
    digest: str
    format: str
    loaded: int
    refused: int
    added: int
    removed: int
    said_at: float
    number: int
    serial: int = 0


def note_change(
    tx: Transaction, chain: str, label: Label, said_at: float, *, withdrawn: bool, by: str, why: str
) -> None:
    """Add a row that has not taken force yet."""
    (serial,) = tx.serials("change_serial", 1)
    tx.cursor.execute(
        f"INSERT INTO ledger.label_changes ({_CHANGE}, chain) "
        f"VALUES ({', '.join('?' * 16)})",
        [
            serial, said_at, withdrawn, storable(by), storable(why), None, label.address,
            storable(label.label), storable(label.source), label.valid_from, label.valid_to,
            label.chain, storable(label.author), storable(label.note), storable(label.alert_id),
            chain,
        ],
    )  # fmt: skip
    tx.totals["label_changes"] += 1
    note_record(tx, "label change", serial)


def in_force(tx: Transaction, chain: str, serials: Iterable[int], number: int) -> None:
    """These changes took force with the block of that number."""
    for serial in serials:
        tx.cursor.execute(
            "UPDATE ledger.label_changes SET number = ? WHERE chain = ? AND serial = ?",
            [number, chain, serial],
        )


def note_lists(tx: Transaction, chain: str, notes: Sequence[ListNote]) -> None:
    """Add rows for lists that took force."""
    for note in notes:
        (serial,) = tx.serials("change_serial", 1)
        tx.cursor.execute(
            f"INSERT INTO ledger.label_lists ({_LIST}, chain) VALUES ({', '.join('?' * 16)})",
            [
                serial, note.said_at, storable(note.path), storable(note.source),
                storable(note.licence), note.chain, note.valid_from, note.valid_to, note.digest,
                note.format, note.loaded, note.refused, note.added, note.removed, note.number,
                chain,
            ],
        )  # fmt: skip
        tx.totals["label_lists"] += 1
        note_record(tx, "label list", serial)


def reverted(tx: Transaction, chain: str, number: int) -> None:
    """What took force after that block will have been known to the one that takes its place."""
    for table in ("label_changes", "label_lists"):
        tx.cursor.execute(
            f"UPDATE ledger.{table} SET number = ? WHERE chain = ? AND number > ?",
            [number, chain, number],
        )


def changes(
    cursor: duckdb.DuckDBPyConnection,
    chain: str,
    *,
    pending: bool | None = None,
    address: bytes | None = None,
    limit: int | None = None,
) -> list[LabelChange]:
    """The changes in the order in which they were said; of a limit the newest.

    ``pending``: those that have (not) taken force.
    """
    conditions, values = ["chain = ?"], [chain] if address is None else [chain, address]
    if address is not None:
        conditions.append("address = ?")
    if pending is not None:
        conditions.append(f"number IS {'' if pending else 'NOT '}NULL")
    rows = cursor.execute(
        f"SELECT {_CHANGE} FROM ledger.label_changes WHERE {' AND '.join(conditions)} "
        f"ORDER BY serial DESC {'' if limit is None else 'LIMIT ?'}",
        values if limit is None else [*values, limit],
    ).fetchall()
    return [_change(row) for row in reversed(rows)]


def lists(cursor: duckdb.DuckDBPyConnection, chain: str) -> list[ListNote]:
    """Every version of every list that took force, in that order."""
    rows = cursor.execute(
        f"SELECT {_LIST} FROM ledger.label_lists WHERE chain = ? ORDER BY serial", [chain]
    ).fetchall()
    return [_list(row) for row in rows]


def _change(row: Sequence[Any]) -> LabelChange:
    serial, said_at, withdrawn, by, why, number, *label = row
    return LabelChange(serial, said_at, withdrawn, by, why, number, Label(*label))


def _list(row: Sequence[Any]) -> ListNote:
    serial, said_at, *texts, number = row
    known = dict(zip(ListNote.__slots__, texts, strict=False))
    return ListNote(**known, said_at=said_at, number=number, serial=serial)
