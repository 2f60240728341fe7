"""What the ledger says about labels when it is asked, and how it takes an analyst's word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chainwarden.errors import RequestRefused
from chainwarden.schema import ANALYST, Label, hex_of
from store.answers import Answer, label_to_dict, whole_id
from store.ledger import LabelChange, Ledger

MAX_LABELS: Final = 1_000_000
_WORD: Final = re.compile(r"[a-z0-9][a-z0-9 _.:-]{0,63}")
_MOST: Final[Mapping[str, int]] = {"author": 100, "note": 2000}
_LATEST: Final = 2**40


@dataclass(frozen=True, slots=True)
class AnalystWord:
    """What an analyst says of a wallet, or takes back.

    ``alert_id`` is the alert it follows from, or how that id begins. Without ``valid_from`` it
    holds from that alert's block on, without an alert from the newest block on. It is about the
    ledger's chain, unless about every one.
    """

    address: bytes
    word: str
    author: str = ""
    note: str = ""
    alert_id: str = ""
    valid_from: int | None = None
    valid_to: int | None = None
    every_chain: bool = False


def set_label(ledger: Ledger, said: AnalystWord, now: int) -> Answer:
    """Keep an analyst's label; ``now`` is the newest block's time.

    Raises RequestRefused for one that cannot be kept.
    """
    word = _checked_word(said)
    alert_id = whole_id(ledger, said.alert_id, 422) if said.alert_id else ""
    since = said.valid_from
    if since is None:
        alert = ledger.alert(alert_id) if alert_id else None
        since = now if alert is None else alert.block_timestamp
    if said.valid_to is not None and said.valid_to < since:
        raise RequestRefused(
            f"it would end at {said.valid_to}, before it begins at {since}", 422,
            hint="give valid_from, too",
        )  # fmt: skip
    if ledger.label_count() >= MAX_LABELS:
        raise RequestRefused(f"the ledger has {MAX_LABELS:,} labels: no more are kept", 507)
    chain = None if said.every_chain else ledger.chain.name
    label = Label(
        said.address, word, ANALYST, since, said.valid_to, chain, said.author, said.note, alert_id
    )
    new = ledger.add_label(label)
    return {**_said(said.address, word, "labelled"), "new": new, "valid_from": since}


def withdraw_label(ledger: Ledger, said: AnalystWord) -> Answer:
    """Take an analyst's label back; author and note say whose act that is, and why.

    Raises RequestRefused (404) where there is none.
    """
    word = _checked_word(said)
    found = [
        ledger.withdraw_label(
            Label(said.address, word, ANALYST, chain=chain), said.author, said.note
        )
        for chain in (ledger.chain.name, None)
    ]
    if not any(found):
        raise RequestRefused(f"{hex_of(said.address)} has no label {word!r} of an analyst", 404)
    return _said(said.address, word, "withdrawn")


def labels_answer(ledger: Ledger, limit: int, after: int, address: bytes | None) -> Answer:
    """``{labels, next}``: a page of labels, oldest first, and the serial it ends with, if any."""
    rows = ledger.label_page(limit + 1, after, address)
    return {
        "labels": [label_to_dict(label, number) for _, label, number in rows[:limit]],
        "next": rows[limit - 1][0] if len(rows) > limit else None,
    }


def label_history_answer(ledger: Ledger, limit: int, address: bytes | None) -> Answer:
    """``{changes, lists}``: who gave and withdrew labels when, the newest ``limit``, oldest first.

    ``lists`` are the versions of label lists that took force; none with an address.
    """
    lists = ledger.label_lists() if address is None else []
    return {
        "changes": [_change(one) for one in ledger.label_changes(address=address, limit=limit)],
        "lists": [
            {name: getattr(one, name) for name in one.__slots__ if name != "serial"}
            for one in lists[-limit:]
        ],
    }


def checked_text(name: str, text: str) -> str:
    """An author's name, or a note. Raises RequestRefused for one that cannot be kept."""
    most = _MOST[name]
    if len(text) > most or not text.replace("\n", " ").isprintable():
        raise RequestRefused(
            f"the {name} is above {most} characters, or some cannot be printed", 422
        )
    return text


def _said(address: bytes, word: str, status: str) -> Answer:
    return {"address": hex_of(address), "label": word, "status": status}


def _change(change: LabelChange) -> Answer:
    return {
        "said_at": change.said_at,
        "act": "withdrawn" if change.withdrawn else "labelled",
        "by": change.by,
        "why": change.why,
        **label_to_dict(change.label, change.number),
    }


def _checked_word(said: AnalystWord) -> str:
    word = said.word.strip().lower()
    if not _WORD.fullmatch(word):
        raise RequestRefused(
            f"{word[:64]!r} is no label",
            422,
            hint="a lower-case word of letters, digits, and - _ . : up to 64 characters",
        )
    for name in _MOST:
        checked_text(name, getattr(said, name))
    for time in (said.valid_from, said.valid_to):
        if time is not None and not 0 <= time <= _LATEST:
            raise RequestRefused(f"{time} is no time in seconds since 1970", 422)
    return word
