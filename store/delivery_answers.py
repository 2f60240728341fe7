"""What the ledger says of deliveries when it is asked, and how letters are sent again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from chainwarden.errors import RequestRefused
from chainwarden.schema import Severity, hex_of
from store.answers import Answer
from store.ledger import Ledger
from store.outbox import DIGEST, OutboxRow
from store.outbox_rows import DEAD, PENDING

STATES: Final = (PENDING, DEAD)


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are asked for: of one receiver, in one state, beyond one id."""

    receiver: str | None = None
    state: str | None = None
    after: int = 0
    limit: int = 100


class ReplayWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which letters are to be tried again: one of the three is given, as it is posted.

    ``id`` is a letter's id or its ``webhook-id``; the other two are about dead letters only.
    """

    id: str = ""
    receiver: str = ""
    everything: bool = False


class EnableWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which receiver is to be sent to again, as it is posted."""

    receiver: str


def deliveries_answer(ledger: Ledger, wanted: LetterFilter) -> Answer:
    """``{receivers, letters, next}``: who is owed what, and a page of it, oldest first.

    A letter is ``parked`` while its receiver is disabled. ``next`` is the id after which the next
    page begins, None on the last one. Times are seconds since 1970.
    """
    outbox = ledger.outbox
    if wanted.state is not None and wanted.state not in STATES:
        raise RequestRefused(f"no such state: {wanted.state[:64]}", 422, hint=" or ".join(STATES))
    rows = outbox.letters(wanted.limit + 1, wanted.after, wanted.receiver, wanted.state)
    page, more = rows[: wanted.limit], len(rows) > wanted.limit
    return {
        "receivers": [_receiver(ledger, name) for name in _known(ledger)],
        "letters": [_letter(ledger, row) for row in page],
        "next": page[-1].serial if more else None,
    }


def replay(ledger: Ledger, said: ReplayWord) -> Answer:
    """Try letters again, from the beginning of the schedule. Returns how many, and who is disabled.

    Raises RequestRefused where nothing like it waits or was given up.
    """
    if sum((bool(said.id), bool(said.receiver), said.everything)) != 1:
        raise RequestRefused("say which: an id, a receiver, or everything", 422)
    if said.receiver:
        _expect(ledger, said.receiver)
    found = ledger.outbox.replay(said.id or None, said.receiver or None)
    if said.id and not found:
        raise RequestRefused(
            f"no letter {said.id[:80]} waits or was given up", 404, hint="see the list"
        )
    disabled = sorted(name for name, state in ledger.outbox.states().items() if state.disabled)
    return {"replayed": found, "disabled": disabled}


def enable(ledger: Ledger, said: EnableWord) -> Answer:
    """Send to a disabled receiver again, beginning with what waited for it.

    Raises RequestRefused for a receiver that is not known, or not disabled.
    """
    _expect(ledger, said.receiver)
    if not ledger.outbox.enable(said.receiver):
        raise RequestRefused(f"{said.receiver[:64]} is not disabled", 409)
    waiting = ledger.outbox.pending().get(said.receiver, 0)
    return {"receiver": said.receiver, "status": "enabled", "waiting": waiting}


def _known(ledger: Ledger) -> list[str]:
    outbox = ledger.outbox
    return sorted({*ledger.receivers, *outbox.states(), *outbox.pending(), *outbox.dead()})


def _expect(ledger: Ledger, receiver: str) -> None:
    known = _known(ledger)
    if receiver not in known:
        hint = f"known: {', '.join(known) or 'none'}"
        raise RequestRefused(f"no receiver {receiver[:64]}", 404, hint=hint)


def _receiver(ledger: Ledger, name: str) -> Answer:
    outbox, state = ledger.outbox, ledger.outbox.state(name)
    return {
        "name": name,
        "pending": outbox.pending().get(name, 0),
        "dead": outbox.dead().get(name, 0),
        "disabled": state.disabled,
        "disabled_at": state.disabled_at,
        "reason": state.reason,
        "failing_since": state.failing_since,
        "next_attempt": None if state.disabled else outbox.next_at(name),
    }


def _letter(ledger: Ledger, row: OutboxRow) -> Answer:
    parked = row.state == PENDING and ledger.outbox.state(row.receiver).disabled
    told = msgspec.json.decode(row.data)["total"] if row.kind == DIGEST else 1
    return {
        "id": row.serial,
        "receiver": row.receiver,
        "state": "parked" if parked else row.state,
        "type": row.kind,
        "message_id": row.message_id,
        "alert": None if row.kind == DIGEST else row.alert_id,
        "alerts": told,
        "rule": row.rule or None,
        "severity": Severity(row.severity).text,
        "subject": hex_of(row.subject) if row.subject else None,
        "block": row.position.number,
        "attempts": row.attempts,
        "next_attempt": row.next_at if row.state == PENDING and not parked else None,
        "enqueued_at": row.enqueued_at,
        "given_up_at": row.settled_at,
        "in_doubt": row.in_doubt,
        "reason": row.error or None,
    }
