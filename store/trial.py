"""A receiver is tried: what it is sent, what came back, and what is to be mended."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from chainwarden.errors import DeliveryError
from store.verification import PREFIX, TOLERANCE_SECONDS
from store.webhook import Receiver, Sender, WebhookSender

_STALE_SECONDS: Final = 2 * TOLERANCE_SECONDS
_MEND: Final[dict[int, str]] = {
    400: "it would not have this body: parse docs/webhook.v1.schema.json, pass over what is new",
    401: "if it verifies the signature, its secret is another; else it wants credentials",
    403: "if it verifies the signature, its secret is another; else a proxy forbids",
    404: "the path is wrong, or nothing is deployed there",
    405: "it must take POST on this path",
    408: "it must answer within 15 s: take the message, work on it later",
    410: "it says that it is gone for good: deliveries to it would be disabled",
    411: "it must take Content-Length from HTTP/1.1 requests",
    413: "it must take bodies of 20 kB",
    415: "it must take Content-Type: application/json",
    422: "it would not have this body: parse docs/webhook.v1.schema.json, pass over what is new",
    429: "it is asked too often: set rate_per_minute to what it takes",
    502: "the proxy before it got no good answer from it",
    503: "it is not up yet, or too busy",
    504: "it must answer within 15 s: take the message, work on it later",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message. ``well``: it is what a good receiver does."""

    sent: str
    well: bool
    answer: str
    mend: str = ""
    seconds: float = 0.0


def try_once(sender: Sender, sent: str, message_id: str, body: bytes, at: float) -> Outcome:
    """Send one message, signed for ``at``, that is to be accepted."""
    began = time.monotonic()
    try:
        sender.send(message_id, body, at)
    except DeliveryError as error:
        return Outcome(sent, False, error.message, mend(error), time.monotonic() - began)
    return Outcome(sent, True, "accepted", seconds=time.monotonic() - began)


def try_hard(receiver: Receiver, message_id: str, body: bytes, at: float) -> Iterator[Outcome]:
    """Send what must be accepted, the same again, and what must be refused: forged and stale.

    A receiver that takes a forged message tells its people whatever anybody posts to it.
    """
    sender = WebhookSender(receiver)
    forged = PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
    forger = WebhookSender(replace(receiver, secrets=(forged,)))
    try:
        first = try_once(sender, "signed", message_id, body, at)
        yield first
        if not first.well:
            return
        yield try_once(sender, "the same again", message_id, body, at)
        yield _refused(
            try_once(forger, "signed with another secret", f"{message_id}-forged", body, at),
            "verify the signature, and answer 401 where it does not hold",
        )
        yield _refused(
            try_once(sender, "signed ten minutes ago", message_id, body, at - _STALE_SECONDS),
            f"refuse what is more than {TOLERANCE_SECONDS} s old: it may be somebody's recording",
        )
    finally:
        sender.close()
        forger.close()


def _refused(outcome: Outcome, why: str) -> Outcome:
    if outcome.well:
        return replace(outcome, well=False, mend=why)
    if ": answered 4" in outcome.answer:
        return replace(outcome, well=True, mend="")
    return replace(outcome, mend=f"answer it with 401; {outcome.mend}".rstrip("; "))


def mend(error: DeliveryError) -> str:
    """What whoever runs the receiver can do about it."""
    if error.hint:
        return error.hint
    status = error.status
    if status is None:
        if error.in_doubt:
            return "it must answer within 15 s, in HTTP/1.1, and not hang up before"
        return "see that it listens, and that this machine may reach it"
    if 300 <= status < 400:
        return "redirects are not followed: give the address that it redirects to"
    return _MEND.get(status, "see its own log" if status >= 500 else "only 2xx is success")
