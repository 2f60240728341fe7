"""Microsoft Teams, through a workflow: an Adaptive Card of text runs, which know no markdown."""

from __future__ import annotations

from typing import Any, Final

from store.notice import Notice

_COLOURS: Final = {
    "critical": "Attention", "high": "Attention", "medium": "Warning", "low": "Accent",
    "info": "Default",
}  # fmt: skip


def teams(notice: Notice, plain: bool) -> dict[str, Any]:
    """The body that the workflow "post to a channel when a webhook request is received" takes.

    A TextBlock or a fact would be read as markdown; a TextRun is not.
    """
    if plain:
        lines = [_line(_run(notice.plain()))]
    else:
        colour = "Default" if notice.withdrawn else _COLOURS[notice.severity]
        title = _run(notice.title, weight="Bolder", size="Large", color=colour)
        lines = [_line(title), _line(_run(notice.sentence))]
        lines += [
            _line(_run(f"{name}: ", weight="Bolder"), _run(text)) for name, text in notice.fields
        ]
    card: dict[str, Any] = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "msteams": {"width": "Full"},
        "body": lines,
    }
    if notice.link and not plain:
        opening = {"type": "Action.OpenUrl", "title": "Open in explorer", "url": notice.link}
        card["actions"] = [opening]
    kind = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}


def _line(*runs: dict[str, Any]) -> dict[str, Any]:
    return {"type": "RichTextBlock", "inlines": list(runs)}


def _run(text: str, **look: str) -> dict[str, Any]:
    return {"type": "TextRun", "text": text, **look}
