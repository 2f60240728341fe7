"""Log lines: one event, one line, whatever is in it.

What is logged may hold what a stranger wrote. A line break would forge a second event, an escape
sequence would drive the terminal of who reads it, a mark for right-to-left text would show another
order than there is: each is written as its escape, and a traceback goes on one line, too.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Final, TextIO

LONGEST: Final = 16_000
"""So many characters of an event are written."""


class OneLine(logging.Formatter):
    """``2026-01-31T12:00:00Z WARNING store.outbox: what happened``."""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """The event as a line."""
        when = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = escaped(super().format(record))
        if len(text) > LONGEST:  # the end of a traceback says what it was
            text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
        return f"{when} {text}"


def log_to(stream: TextIO | None = None, level: int = logging.WARNING) -> None:
    """Write every logger's events from ``level`` up to a stream, standard error by default."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)


def escaped(text: str) -> str:
    """The text on one line; what cannot be printed as its escape.

    >>> escaped("a" + chr(27) + "[31mb" + chr(10) + chr(0x202e) + "c")
    'a\\\\x1b[31mb\\\\n\\\\u202ec'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
