"""PagerDuty: Events API v2. One alert is one incident, which its retraction resolves."""

from __future__ import annotations

from typing import Any, Final

from store.notice import Notice
from store.outbox_rows import DIGEST
from store.sinks.encode import Encode

_SEVERITIES: Final = {
    "critical": "critical", "high": "error", "medium": "warning", "low": "info", "info": "info",
}  # fmt: skip
_SUMMARY_CHARACTERS: Final = 1024


def pagerduty(routing_key: str) -> Encode:
    """The encoder of one integration.

    ``dedup_key`` is the alert's id: a repeat and a move are the same incident, and what it resolves
    is that.
    """

    def encode(notice: Notice, plain: bool) -> dict[str, Any]:
        event: dict[str, Any] = {"routing_key": routing_key, "dedup_key": notice.key}
        if notice.withdrawn:
            return event | {"event_action": "resolve"}
        summary = notice.plain() if plain else f"{notice.title}: {notice.sentence}"
        wallet = dict(notice.fields).get("Wallet", "chainwarden")
        payload: dict[str, Any] = {
            "summary": summary[:_SUMMARY_CHARACTERS],
            "source": wallet,
            "severity": _SEVERITIES[notice.severity],
        }
        event |= {"event_action": "trigger", "client": "chainwarden", "payload": payload}
        if plain:
            return event
        payload |= {"timestamp": notice.timestamp, "custom_details": dict(notice.fields)}
        payload["class"] = "digest" if notice.kind == DIGEST else "alert"
        if notice.link:
            event["links"] = [{"href": notice.link, "text": "Open in explorer"}]
        return event

    return encode
