"""Slack: Block Kit, with every word that is not ours in a ``plain_text`` object."""

from __future__ import annotations

from typing import Any

from store.notice import Notice


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
    fields = [_plain(f"{name}\n{text}") for name, text in notice.fields]
    body["blocks"] = [
        {"type": "header", "text": _plain(notice.title)},
        {"type": "section", "text": _plain(notice.sentence)},
        *({"type": "section", "fields": fields[at : at + 10]} for at in range(0, len(fields), 10)),
    ]
    if notice.link:
        button = {"type": "button", "text": _plain("Open in explorer"), "url": notice.link}
        body["blocks"].append({"type": "actions", "elements": [button]})
    return body


def _plain(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text, "emoji": False}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
