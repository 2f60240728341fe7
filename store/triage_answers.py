"""What the ledger says of acknowledgements and suppressions, and how it takes an analyst's word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from chainwarden.errors import RequestRefused
from chainwarden.schema import hex_of
from store.answers import Answer, alert_answer, whole_id
from store.label_answers import checked_text
from store.ledger import AlertFilter, Ledger
from store.suppressions import Suppression
from store.triage import MOST_EVER, MOST_HOLDING

LONGEST_SECONDS: Final = 366 * 86_400
"""How far ahead a suppression may end: what nobody hears of is thought of anew once a year."""

_RULE: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class AcknowledgeWord:
    """Somebody has an alert in hand, or no longer; the id may be how it begins."""

    alert_id: str
    author: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class SuppressWord:
    """Nobody is to be told of alerts of a rule, about a wallet, or both, until a time.

    ``until`` is wall clock, in seconds since 1970.
    """

    rule: str
    subject: bytes | None
    until: float
    author: str = ""
    note: str = ""


def acknowledge(ledger: Ledger, said: AcknowledgeWord) -> Answer:
    """Note who has an alert in hand. Returns the alert."""
    alert_id, author, note = _checked(ledger, said)
    ledger.triage.acknowledge(alert_id, author, note)
    return alert_answer(ledger, alert_id)


def unacknowledge(ledger: Ledger, said: AcknowledgeWord) -> Answer:
    """Note that nobody has it in hand any more. Returns the alert.

    Raises RequestRefused (404) where nobody had.
    """
    alert_id, author, note = _checked(ledger, said)
    if not ledger.triage.unacknowledge(alert_id, author, note):
        raise RequestRefused(f"nobody has acknowledged {alert_id}", 404)
    return alert_answer(ledger, alert_id)


def suppress(ledger: Ledger, said: SuppressWord) -> Answer:
    """Have nobody told of some alerts for a while.

    Returns the suppression, and how many of the active alerts it covers. Raises RequestRefused for
    one that cannot be kept.
    """
    author, note = checked_text("author", said.author), checked_text("note", said.note)
    if not said.rule and said.subject is None:
        raise RequestRefused("say which alerts: a rule, a subject, or both", 422)
    if said.rule and not _RULE.fullmatch(said.rule):
        raise RequestRefused(f"{said.rule[:64]!r} is no rule's name", 422)
    ahead = said.until - ledger.now()
    if not 0 < ahead <= LONGEST_SECONDS:
        raise RequestRefused(
            f"it would end at {said.until:.0f}, in {ahead:.0f} seconds",
            422,
            hint=f"until: seconds since 1970, up to {LONGEST_SECONDS // 86_400} days ahead",
        )
    if len(ledger.triage.holding()) >= MOST_HOLDING:
        raise RequestRefused(
            f"{MOST_HOLDING:,} suppressions hold already", 409, hint="end some of them"
        )
    _expect_room(ledger)
    done = ledger.triage.suppress(said.rule or None, said.subject, said.until, author, note)
    return {**_suppression(ledger, done), "covers": _covered(ledger, done)}


def end_suppression(ledger: Ledger, serial: int, author: str) -> Answer:
    """Have people told again. Raises RequestRefused (404) where no suppression has that id."""
    found = ledger.triage.end(serial, checked_text("author", author))
    if found is None:
        raise RequestRefused(
            f"no suppression {serial} holds", 404, hint="see the list of suppressions"
        )
    return _suppression(ledger, found)


def suppressions_answer(ledger: Ledger, limit: int, before: int | None, holding: bool) -> Answer:
    """``{suppressions, next}``, newest first: those that hold, or a page of all there ever were."""
    if holding:
        held = ledger.triage.holding()[::-1]
        rows = [one for one in held if before is None or one.serial < before][: limit + 1]
    else:
        rows = ledger.triage.suppressions(limit + 1, before)
    return {
        "suppressions": [_suppression(ledger, one) for one in rows[:limit]],
        "next": rows[limit - 1].serial if len(rows) > limit else None,
    }


def _checked(ledger: Ledger, said: AcknowledgeWord) -> tuple[str, str, str]:
    author, note = checked_text("author", said.author), checked_text("note", said.note)
    _expect_room(ledger)
    return whole_id(ledger, said.alert_id), author, note


def _expect_room(ledger: Ledger) -> None:
    if ledger.triage.full():
        raise RequestRefused(f"the ledger has {MOST_EVER:,} of these: no more are kept", 507)


def _covered(ledger: Ledger, one: Suppression) -> int:
    if one.subject is None:
        counts = ledger.alert_counts().items()
        return sum(n for (rule, _, status), n in counts if (rule, status) == (one.rule, "active"))
    return len(ledger.records(AlertFilter(rule=one.rule, subject=one.subject, limit=1000)))


def _suppression(ledger: Ledger, one: Suppression) -> Answer:
    return {
        "id": one.serial,
        "rule": one.rule,
        "subject": hex_of(one.subject),
        "until": one.until,
        "said_at": one.said_at,
        "by": one.by,
        "note": one.why,
        "ended_at": one.ended_at,
        "ended_by": one.ended_by,
        "holds": one.holds(ledger.now()),
    }
