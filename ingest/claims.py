"""What a source claims beside what was recomputed: equal, or a mismatch that names both values."""

from __future__ import annotations

from ingest.encoding import data_of, quantity_of, shown


class Mismatch(ValueError):
    """A claim that does not hold; ``reason`` is one of ``BadBlock``'s words."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason

    @classmethod
    def at(cls, place: str, error: ValueError) -> Mismatch:
        """The same error with the place where it is; what is no mismatch is malformed."""
        reason = error.reason if isinstance(error, Mismatch) else "malformed"
        return cls(reason, f"{place}: {error}")


def expect_data(
    claim: str | None, truth: bytes, field: str, reason: str = "contradiction", *, why: str = ""
) -> None:
    """Raises Mismatch unless the hex text is exactly these bytes."""
    if data_of(claim, field, len(truth)) != truth:
        raise Mismatch(reason, _differs(field, claim, "0x" + truth.hex(), why))


def expect_quantity(
    claim: str | None, truth: int, field: str, reason: str = "contradiction", *, why: str = ""
) -> None:
    """Raises Mismatch unless the quantity is exactly this number."""
    if quantity_of(claim, field) != truth:
        raise Mismatch(reason, _differs(field, claim, hex(truth), why))


def expect_nothing(claim: object, field: str, *, why: str) -> None:
    """Raises Mismatch unless the value says nothing: absent, false, empty or all zeros."""
    if not claim or (isinstance(claim, str) and claim[:2] == "0x" and not claim[2:].strip("0")):
        return
    raise Mismatch("contradiction", f"{field} is {shown(claim)}, but {why}")


def _differs(field: str, claim: str | None, truth: str, why: str) -> str:
    because = f" ({why})" if why else ""
    return f"{field} is {shown(claim)}, not {shown(truth)}{because}"
