"""How often Python looks through all that a process holds for garbage in cycles."""

from __future__ import annotations

import gc
from typing import Final

_YOUNG: Final = 700  # these two are Python's own
_MIDDLE: Final = 10
_FULL: Final = 200


def collect_seldom() -> None:
    """Make full collections twenty times as rare as Python does; for the whole process.

    Libraries and compiled code are half a million objects, which a full collection takes 0.3 s to
    look through, and it finds next to nothing. By default nine come while a process starts and
    works for a quarter of a minute, live one in 370 blocks. What is in no cycle goes at once.
    """
    gc.set_threshold(_YOUNG, _MIDDLE, _FULL)
