"""What receivers are told of some alerts, hostile ones too, and what harms nobody in it."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from chainwarden.schema import ETHEREUM, Alert, Cursor, Reason, Retraction
from store.ledger import Commit, Ledger
from store.payload import body_of
from tests.rigs.clock import VirtualClock
from tests.store.made import alert

EXPLORER = "https://explorer.invalid"
# What clients make links of and ring for.
LINK = re.compile(
    r"[a-z][a-z+.-]*://|javascript:|mailto:|www\.|[a-z0-9]\.(?:example|com|gg)\b", re.I
)
MENTION = re.compile(r"@\w|<[!@#]")


def bodies(tmp_path: Path, *alerts: Alert, retract: bool = False) -> list[bytes]:
    """The bodies of what a receiver is told of some alerts, and perhaps of their retraction."""
    told = []
    with Ledger.open(tmp_path / "l", ETHEREUM, receivers=["ops"], clock=VirtualClock()) as ledger:

        def drain() -> None:
            while rows := ledger.outbox.due("ops", 1e12, limit=1):
                told.append(body_of(rows[0]))
                ledger.outbox.delivered(rows[0], 1e12)

        ledger.commit(Commit(Cursor(None), alerts))
        drain()
        if retract:
            gone = [Retraction(one.id, one.position) for one in alerts]
            ledger.commit(Commit(Cursor(None), retractions=gone))
            drain()
    return told


def nasty(number: int, text: str) -> Alert:
    """An alert all of whose words are an attacker's."""
    base, word = alert(number), text.encode("utf-8", "replace").decode()  # our rules have names
    return Alert(
        **{name: getattr(base, name) for name in Alert.__slots__}
        | {"sentence": text, "typology": word, "rule": word, "reasons": (Reason(text, 1.0, 1.0),)}
    )


def harmless(text: str) -> None:
    """No link, no mention, no control, no character that hides or turns others."""
    assert not LINK.search(text), text
    assert not MENTION.search(text), text
    for char in text:
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs"), repr(text)
