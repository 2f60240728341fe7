"""Slack: Block Kit that a phone shows well, in which no word that is not ours is read as markup.

A phone shows the header, then the sentence, then short facts in two columns; what is longer than a
column stands under its name in the full width, in text elements of ``rich_text``, which know bold
and code by style and read nothing in the text. The alert's id is last and small.
"""

from __future__ import annotations

import re
from typing import Any, Final

from store.notice import Notice

_DOTS: Final = {"critical": "🔴", "high": "🟠", "medium": "🟡", "low": "🔵", "info": "⚪"}
_WITHDRAWN: Final = "⚫"
_HEADER_CHARACTERS: Final = 150
_COLUMN_CHARACTERS: Final = 24
_FIELDS: Final = 10
_HASH: Final = re.compile(r"0x[0-9a-f]{64}")


def slack(notice: Notice, plain: bool) -> dict[str, Any]:
    """The body of an incoming webhook. ``text`` is what a notification on a phone shows.

    ``text`` is read as mrkdwn, where the three escapes that Slack names are enough; in
    ``plain_text`` nothing is read at all.
    """
    text = notice.plain() if plain else f"{notice.title}: {notice.sentence}"
    quiet = {"unfurl_links": False, "unfurl_media": False, "link_names": False, "parse": "none"}
    body: dict[str, Any] = {"text": _escaped(text), "mrkdwn": False, **quiet}
    if plain:
        return body
    dot = _WITHDRAWN if notice.withdrawn else _DOTS[notice.severity]
    body["blocks"] = [
        {"type": "header", "text": _plain(f"{dot} {notice.title}"[:_HEADER_CHARACTERS])},
        {"type": "section", "text": _plain(notice.sentence)},
        *_facts(notice),
    ]
    if notice.link:
        button = {"type": "button", "text": _plain("Open in explorer"), "url": notice.link}
        body["blocks"].append({"type": "actions", "elements": [button]})
    body["blocks"].append({"type": "context", "elements": [_plain(_origin(notice))]})
    return body


def _facts(notice: Notice) -> list[dict[str, Any]]:
    """The fields: short ones side by side, the others one below the other."""
    shown = [
        (name, text) for name, text in notice.fields if name not in ("Alert", "Reasons")
    ]  # the context and the list below have them
    short = [one for one in shown if max(map(len, one)) <= _COLUMN_CHARACTERS]
    pairs = [_plain(f"{name}\n{text}") for name, text in short]
    blocks: list[dict[str, Any]] = [
        {"type": "section", "fields": pairs[at : at + _FIELDS]}
        for at in range(0, len(pairs), _FIELDS)
    ]
    elements: list[dict[str, Any]] = []
    for name, text in shown:
        if (name, text) not in short:
            elements.append(_section(_bold(name), *_words(f"\n{text}")))
    if notice.reasons:
        items = [_section(*_words(reason)) for reason in notice.reasons]
        elements.append(_section(_bold("Reasons")))
        elements.append({"type": "rich_text_list", "style": "bullet", "elements": items})
    if elements:
        blocks.append({"type": "rich_text", "elements": elements})
    return blocks


def _words(text: str) -> list[dict[str, Any]]:
    """The text with hashes cut to what a line of a phone holds, as code; addresses stay whole."""
    found: list[dict[str, Any]] = []
    at = 0
    for hit in _HASH.finditer(text):
        if hit.start() > at:
            found.append({"type": "text", "text": text[at : hit.start()]})
        short = f"{hit[0][:10]}…{hit[0][-8:]}"
        found.append({"type": "text", "text": short, "style": {"code": True}})
        at = hit.end()
    if at < len(text):
        found.append({"type": "text", "text": text[at:]})
    return found


def _section(*elements: dict[str, Any]) -> dict[str, Any]:
    return {"type": "rich_text_section", "elements": list(elements)}


def _bold(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text, "style": {"bold": True}}


def _origin(notice: Notice) -> str:
    """Whom to ask for more, and by which id."""
    moment = notice.timestamp.replace("T", " ").removesuffix("Z")
    return f"{notice.key} · {moment} UTC"


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
