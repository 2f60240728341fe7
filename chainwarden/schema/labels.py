"""Labels: what people and lists say about wallets, and when it holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ANALYST: Final = "analyst"
"""The source of labels that a person gives."""


@dataclass(frozen=True, slots=True)
class Label:
    """Somebody's word about a wallet, with who said so and when it holds.

    ``label`` is a lower-case word (``phishing``, ``sanctioned``, ``exchange``, ``mixer`` …). Times
    are seconds since 1970; ``valid_to`` None means it still holds. ``chain`` None: on every chain.
    """

    address: bytes
    label: str
    source: str
    valid_from: int = 0
    valid_to: int | None = None
    chain: str | None = None
    author: str = ""
    note: str = ""
    alert_id: str = ""

    def holds_at(self, timestamp: int) -> bool:
        """Whether the label is in force at that block time."""
        return self.valid_from <= timestamp and (self.valid_to is None or timestamp < self.valid_to)
