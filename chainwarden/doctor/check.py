"""What a check finds, and how one is run so that it always finds something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from chainwarden.errors import ChainwardenError

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it is, what was found, and what to do about it.

    ``skipped`` is a check that cannot be made; ``found`` then says why.
    """

    name: str
    status: Status
    found: str
    hint: str = ""

    def to_dict(self) -> dict[str, str]:
        """The documented JSON form."""
        return {"name": self.name, "status": self.status, "found": self.found, "hint": self.hint}


def ok(name: str, found: str) -> Check:
    """As it should be."""
    return Check(name, "ok", found)


def warning(name: str, found: str, hint: str) -> Check:
    """It works, and somebody should know."""
    return Check(name, "warning", found, hint)


def failed(name: str, found: str, hint: str) -> Check:
    """It does not work."""
    return Check(name, "failed", found, hint)


def skipped(name: str, why: str) -> Check:
    """It cannot be checked."""
    return Check(name, "skipped", why)


def checked(name: str, look: Callable[[], Check]) -> Check:
    """What ``look`` finds; an error that it raises on purpose, or the system's, is a failure."""
    try:
        return look()
    except ChainwardenError as error:
        return failed(name, error.message, error.hint)
    except OSError as error:
        return failed(name, error.strerror or type(error).__name__, "")
