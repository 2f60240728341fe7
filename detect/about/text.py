"""What an analyst should know of a rule before deciding about one of its alerts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class About:
    """A rule in three lines: what it saw, what else that may be, what to do.

    ``innocent`` are the usual false positives, the commonest first. ``label`` is the word for a
    wallet about which the alert is right; empty where the alert is about no wallet.
    """

    what: str
    innocent: tuple[str, ...]
    check: str
    label: str = ""
