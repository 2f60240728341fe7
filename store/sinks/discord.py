"""Discord: an embed, its markdown escaped, and no mention allowed whatever the text says."""

from __future__ import annotations

import re
from typing import Any, Final

from store.notice import Notice

_COLOURS: Final = {
    "critical": 0xB00020, "high": 0xE65100, "medium": 0xF9A825, "low": 0x1565C0, "info": 0x757575,
}  # fmt: skip
_WITHDRAWN: Final = 0x9E9E9E
_MARKUP: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~:>&])")
_CONTENT_CHARACTERS: Final = 1900


def discord(notice: Notice, plain: bool) -> dict[str, Any]:
    """The body of a webhook."""
    body: dict[str, Any] = {"allowed_mentions": {"parse": []}}
    if plain:
        return body | {"content": _escaped(notice.plain())[:_CONTENT_CHARACTERS], "flags": 4}
    embed: dict[str, Any] = {
        "title": _escaped(notice.title)[:256],
        "description": _escaped(notice.sentence)[:4000],
        "color": _WITHDRAWN if notice.withdrawn else _COLOURS[notice.severity],
        "timestamp": notice.timestamp,
        "fields": [
            {"name": _escaped(name)[:256], "value": _escaped(text)[:1024], "inline": False}
            for name, text in notice.fields
        ],
    }
    if notice.link:
        embed["url"] = notice.link
    return body | {"embeds": [embed]}


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", text)
