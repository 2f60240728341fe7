"""The body of a notification: small enough for every receiver, and honest about what was cut."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec
from msgspec.structs import replace

from chainwarden.errors import DeliveryError
from store.message import (
    VERSION,
    AlertPart,
    Digest,
    DigestPart,
    Message,
    Moved,
    Raised,
    Retracted,
)
from store.outbox_rows import DIGEST, MOVED, RAISED, RETRACTED, OutboxRow

MAX_BYTES: Final = 20_000
"""Standard Webhooks asks for less than 20 kB."""

_SENTENCE_CHARACTERS: Final = 2_000
_TEXT_CHARACTERS: Final = 200
_REASONS: Final = 16
_UNREADABLE: Final = 422
_TYPES: Final[dict[str, type[Raised | Retracted | Moved]]] = {
    RAISED: Raised, RETRACTED: Retracted, MOVED: Moved,
}  # fmt: skip


def body_of(row: OutboxRow) -> bytes:
    """The message that a row stands for, as JSON, the same bytes in every attempt.

    See ``message_body``. Raises DeliveryError for a row that the ledger no longer has whole; only
    that one waits then, as one that a receiver refuses.
    """
    try:
        return message_body(row.kind, row.block_timestamp, row.data.encode())
    except (msgspec.DecodeError, KeyError) as error:
        raise DeliveryError(
            f"{row.receiver}: {row.message_id} cannot be read from the ledger",
            retriable=True,
            status=_UNREADABLE,
            hint="chainwarden rebuild makes the ledger anew",
        ) from error


def message_body(kind: str, block_timestamp: int, data: bytes) -> bytes:
    """``{"type", "version", "timestamp", "data"}`` as JSON.

    ``timestamp`` is the block's time, ``data`` the alert as ``alert_to_dict`` writes it, with
    ``status`` and ``retraction_reason``. Where it would reach 20 kB, evidence is cut and
    ``evidence.truncated`` gives, for each list, how many there were. The ``data`` of a digest is
    ``total`` and ``counts`` of what it tells, by type, rule and severity; it is always small.
    """
    moment = datetime.fromtimestamp(block_timestamp, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind == DIGEST:
        return _encode(Digest(VERSION, moment, msgspec.json.decode(data, type=DigestPart)))
    message, alert = _TYPES[kind], msgspec.json.decode(data, type=AlertPart)
    body = _encode(message(VERSION, moment, alert))
    if len(body) < MAX_BYTES:
        return body
    for keep in (64, 16, 4, 0):
        body = _encode(message(VERSION, moment, _cut(alert, keep)))
        if len(body) < MAX_BYTES:
            return body
    # Not the evidence, then: reasons without bound, or long words in them.
    return _encode(message(VERSION, moment, _without_words(_cut(alert, 0))))


def _cut(alert: AlertPart, keep: int) -> AlertPart:
    """The alert with at most so many entries in each list of its evidence."""
    whole = alert.evidence
    evidence = replace(
        whole,
        transactions=whole.transactions[:keep],
        addresses=whole.addresses[:keep],
        amounts=whole.amounts[:keep],
        path=whole.path[:keep],
        truncated={
            "transactions": len(whole.transactions),
            "addresses": len(whole.addresses),
            "amounts": len(whole.amounts),
            "path": len(whole.path),
        },
    )
    return replace(alert, evidence=evidence, sentence=alert.sentence[:_SENTENCE_CHARACTERS])


def _without_words(alert: AlertPart) -> AlertPart:
    truncated = alert.evidence.truncated or {}
    reasons = [
        replace(reason, feature=reason.feature[:_TEXT_CHARACTERS])
        for reason in alert.reasons[:_REASONS]
    ]
    truncated = {**truncated, "reasons": len(alert.reasons)}
    return replace(alert, reasons=reasons, evidence=replace(alert.evidence, truncated=truncated))


def _encode(message: Message) -> bytes:
    return msgspec.json.encode(message)
