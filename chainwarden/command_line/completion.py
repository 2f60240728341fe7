"""What a shell offers for the values of options."""

from __future__ import annotations

from collections.abc import Iterable


def severities(incomplete: str) -> list[str]:
    """Severities that begin so."""
    return _begun(incomplete, ("info", "low", "medium", "high", "critical"))


def statuses(incomplete: str) -> list[str]:
    """Statuses of alerts that begin so."""
    return _begun(incomplete, ("active", "retracted", "all"))


def formats(incomplete: str) -> list[str]:
    """Formats of reports that begin so."""
    return _begun(incomplete, ("html", "markdown", "csv"))


def rules(incomplete: str) -> list[str]:
    """Rules that begin so."""
    from chainwarden.scorecard import RULES

    return _begun(incomplete, sorted(RULES))


def _begun(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
