"""What a receiver is to be told of a changed alert, given what it knows.

===================  =================  ======================
it knows             the alert is now   it is told
===================  =================  ======================
nothing              active             ``alert.raised``
nothing              retracted          nothing
active               retracted          ``alert.retracted``
retracted            active             ``alert.moved``
active in a block    in another block   ``alert.moved``
===================  =================  ======================

A receiver knows what it accepted, and perhaps what was sent without an answer: such a row is *in
doubt*, is sent until it is accepted, and what comes after it assumes that it arrived. A row that
never reached the receiver is cancelled when the chain takes the alert back, and nobody hears of it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from chainwarden.schema import Alert, Chain, Severity, alert_to_dict
from store.alert_table import AlertRecord, storable
from store.database import Transaction
from store.digests import refresh
from store.outbox_rows import (
    MOVED,
    PENDING,
    RAISED,
    RETRACTED,
    OutboxRow,
    append_rows,
    rows_where,
)


def enqueue(
    tx: Transaction,
    chain: Chain,
    records: Iterable[AlertRecord],
    receivers: Mapping[str, Severity],
    now: float,
    suppressed: Callable[[Alert], bool],
) -> int:
    """Write what the receivers are to be told of these changed alerts. Returns how many rows.

    ``receivers`` gives by name from which severity on one is told; nobody is told of what is
    ``suppressed``. What one was told of is told the rest of, however mild it became, or suppressed.
    """
    added: list[OutboxRow] = []
    digests: set[int] = set()
    for record in records:
        told_before = record.instance > 0 or record.retraction is not None
        rows = (
            rows_where(
                tx.cursor,
                "chain = ? AND alert_id = ? AND state <> 'cancelled' ORDER BY serial",
                [chain.name, uuid.UUID(record.alert.id)],
            )
            if told_before  # the first telling of an alert has none, and need not look
            else []
        )
        silent = suppressed(record.alert)
        for receiver, least in receivers.items():
            mine = [row for row in rows if row.receiver == receiver]
            news = _news(mine, _wanted(record, receiver, now))
            digests |= _cancel(tx, [row for row in mine if row.open])
            told = record.alert.severity >= least and not silent
            if news is not None and (news.kind != RAISED or told):
                added.append(news)
    append_rows(tx, chain, added)
    for digest in sorted(digests):
        refresh(tx, digest)
    return len(added)


def cancel_raised(tx: Transaction, chain: Chain, rule: str | None, subject: bytes | None) -> None:
    """Cancel what waits to be told of alerts of a rule, about a wallet, or both.

    What a receiver knows of, or may, it is told the rest of.
    """
    where = "chain = ? AND kind = ? AND state = 'pending'"
    values: list[str | bytes] = [chain.name, RAISED]
    for name, value in (("rule", rule), ("subject", subject)):
        if value is not None:
            where, values = f"{where} AND {name} = ?", [*values, value]
    rows = rows_where(tx.cursor, where, values)
    for digest in sorted(_cancel(tx, [row for row in rows if row.open])):
        refresh(tx, digest)


def reconsider(tx: Transaction, chain: Chain, row: OutboxRow) -> None:
    """A row that came after one that was on its way may be needless now: it did not arrive."""
    rows = rows_where(
        tx.cursor,
        "chain = ? AND alert_id = ? AND receiver = ? AND state <> 'cancelled' ORDER BY serial",
        [chain.name, uuid.UUID(row.alert_id), row.receiver],
    )
    last = rows[-1] if rows else row
    if last.serial == row.serial or not last.open:
        return
    wanted = replace(last, kind=RETRACTED if last.kind == RETRACTED else RAISED)
    news = _news(rows, wanted)
    digests = _cancel(tx, [one for one in rows if one.open])
    if news is not None:
        again = replace(news, state=PENDING, attempts=0, next_at=0.0, digest=None, refused=False)
        append_rows(tx, chain, [again])
    for digest in sorted(digests):
        refresh(tx, digest)


def reconsider_members(tx: Transaction, chain: Chain, digest: int) -> None:
    """The same for every member of a digest that did not arrive."""
    members = rows_where(
        tx.cursor,
        "digest = ? AND state <> 'cancelled' AND EXISTS (SELECT 1 FROM ledger.outbox later "
        "WHERE later.alert_id = outbox.alert_id AND later.receiver = outbox.receiver "
        "AND later.chain = outbox.chain AND later.serial > outbox.serial "
        "AND later.state = 'pending') ORDER BY serial",
        [digest],
    )
    for member in members:
        reconsider(tx, chain, member)


def _wanted(record: AlertRecord, receiver: str, now: float) -> OutboxRow:
    """The row that would bring a receiver up to date, whatever it knows; ``_news`` names it."""
    alert = record.alert
    data = alert_to_dict(alert) | {
        "status": record.status,
        "retraction_reason": None if record.retraction is None else record.retraction.value,
    }
    return OutboxRow(
        serial=0,
        receiver=receiver,
        subject=alert.subject,
        lane=int(alert.severity == Severity.CRITICAL),
        alert_id=alert.id,
        kind=RAISED if record.retraction is None else RETRACTED,
        message_id=alert.id,
        position=alert.position,
        block_timestamp=alert.block_timestamp,
        instance=record.instance,
        data=storable(msgspec.json.encode(_clean(data)).decode()),
        state=PENDING,
        in_doubt=False,
        attempts=0,
        next_at=now,
        enqueued_at=now,
        settled_at=None,
        error="",
        refused=False,
        rule=storable(alert.rule),
        severity=int(alert.severity),
        digest=None,
    )


def _clean(tree: Any) -> Any:
    """The tree with storable text, as JSON is written only from text that UTF-8 can hold."""
    if isinstance(tree, str):
        return storable(tree)
    if isinstance(tree, dict):
        return {key: _clean(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_clean(value) for value in tree]
    return tree


def _news(rows: Sequence[OutboxRow], wanted: OutboxRow) -> OutboxRow | None:
    """What a receiver with these rows is to be told, so that it knows what ``wanted`` says."""
    known = next((row for row in reversed(rows) if row.told), None)
    retracted = wanted.kind == RETRACTED
    if known is None:
        return None if retracted else replace(wanted, kind=RAISED, message_id=wanted.alert_id)
    # Once told in one lane, always in that lane: an alert and its retraction never swap places.
    wanted = replace(wanted, lane=known.lane)
    if retracted:
        if known.kind == RETRACTED:
            return None
        return replace(
            wanted, kind=RETRACTED, message_id=f"{wanted.alert_id}-retracted-{wanted.instance}"
        )
    if known.kind != RETRACTED and known.position == wanted.position:
        return None
    return replace(wanted, kind=MOVED, message_id=f"{wanted.alert_id}-moved-{wanted.instance}")


def _cancel(tx: Transaction, rows: Sequence[OutboxRow]) -> set[int]:
    """Cancel rows; the digests they leave are to be brought in line."""
    for row in rows:
        tx.cursor.execute(
            "UPDATE ledger.outbox SET state = 'cancelled' WHERE serial = ?", [row.serial]
        )
    return {row.digest for row in rows if row.digest is not None}
