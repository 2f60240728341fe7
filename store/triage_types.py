"""The forms of the API's answers about suppressions; see ``store.answer_types``."""

from __future__ import annotations

from store.answer_types import Address, Clock, Count, Form, Next


class SuppressionForm(Form):
    """Of which alerts nobody is told, by whose word, until when. Null does not narrow."""

    id: Count
    rule: str | None
    subject: Address | None
    until: Clock
    said_at: Clock
    by: str
    note: str
    ended_at: Clock | None
    ended_by: str
    holds: bool


class Suppressed(SuppressionForm):
    """A suppression that was made, and how many of the active alerts it covers, up to 1,000 of
    a wallet."""

    covers: Count


class SuppressionsPage(Form):
    """Suppressions, the newest first."""

    suppressions: list[SuppressionForm]
    next: Next
