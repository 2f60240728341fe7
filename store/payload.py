"""The body of a notification: small enough for every receiver, and honest about what was cut."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from store.outbox_rows import DIGEST, OutboxRow

MAX_BYTES: Final = 20_000
"""Standard Webhooks asks for less than 20 kB."""

_LISTS: Final = ("transactions", "addresses", "amounts", "path")
_SENTENCE_CHARACTERS: Final = 2_000
_TEXT_CHARACTERS: Final = 200


def body_of(row: OutboxRow) -> bytes:
    """``{"type", "timestamp", "data"}`` as JSON, the same bytes in every attempt.

    ``timestamp`` is the block's time, ``data`` the alert as ``alert_to_dict`` writes it, with
    ``status`` and ``retraction_reason``. Where it would reach 20 kB, evidence is cut and
    ``evidence.truncated`` gives, for each list, how many there were. The ``data`` of a digest is
    ``total`` and ``counts`` of what it tells, by type, rule and severity; it is always small.
    """
    data: dict[str, Any] = msgspec.json.decode(row.data)
    body = _encode(row, data)
    if len(body) < MAX_BYTES or row.kind == DIGEST:
        return body
    evidence = data["evidence"]
    data["evidence"] = evidence = {
        **{name: list(evidence[name]) for name in _LISTS},
        "truncated": {name: len(evidence[name]) for name in _LISTS},
    }
    data["sentence"] = data["sentence"][:_SENTENCE_CHARACTERS]
    for keep in (64, 16, 4, 0):
        for name in _LISTS:
            del evidence[name][keep:]
        body = _encode(row, data)
        if len(body) < MAX_BYTES:
            return body
    # Not the evidence, then: reasons without bound, or long words in them.
    evidence["truncated"]["reasons"] = len(data["reasons"])
    data["reasons"] = [
        reason | {"feature": reason["feature"][:_TEXT_CHARACTERS]}
        for reason in data["reasons"][:16]
    ]
    return _encode(row, data)


def _encode(row: OutboxRow, data: dict[str, Any]) -> bytes:
    moment = datetime.fromtimestamp(row.block_timestamp, UTC)
    return msgspec.json.encode(
        {
            "type": row.kind,
            "timestamp": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "data": data,
        }
    )
