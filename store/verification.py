"""Whether a webhook's signature holds, part by part, and what is wrong where it does not.

It is what a receiver does (https://www.standardwebhooks.com), with the mistakes that receivers make
recognised: a body that was decoded and written again, a secret that was used as text, a signature
over something else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from store.message import VERSION, Message

TOLERANCE_SECONDS: Final = 300
"""How old or new a message may be: what the libraries of Standard Webhooks allow."""
HEADERS: Final = ("webhook-id", "webhook-timestamp", "webhook-signature")
PREFIX: Final = "whsec_"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a message and whether it holds; ``hint`` is what to do where it does not."""

    name: str
    holds: bool
    found: str
    hint: str = ""


def verify(
    headers: Mapping[str, str], body: bytes, secrets: Mapping[str, str], now: float
) -> list[Part]:
    """The parts of a message: headers, id, timestamp, signature, body, in this order.

    ``headers`` by lower-case name; ``secrets`` are ``whsec_…`` keys by the name they are told by;
    ``now`` is in seconds since 1970. Without the headers nothing else can be said of a signature.
    """
    missing = [name for name in HEADERS if not headers.get(name)]
    if missing:
        hint = "give all that came with the request; a proxy may have dropped them"
        return [Part("headers", False, f"missing: {', '.join(missing)}", hint), _body(body)]
    message_id, stamp, signature = (headers[name].strip() for name in HEADERS)
    return [
        Part("headers", True, "all three are there"),
        _id(message_id),
        _timestamp(stamp, now),
        _signature((message_id, stamp, body), signature, secrets),
        _body(body),
    ]


def key_of(secret: str) -> bytes:
    """The bytes that a ``whsec_…`` secret stands for. Raises ValueError where it is none."""
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("the secret is not whsec_ and base64") from error


def signature_of(key: bytes, message_id: str, stamp: str, body: bytes) -> str:
    """``v1,`` and the HMAC-SHA256 of ``id.timestamp.body`` in base64."""
    signed = b".".join((message_id.encode(), stamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def _id(message_id: str) -> Part:
    if "." in message_id:
        return Part("id", False, "it holds a full stop, which separates what is signed")
    return Part("id", True, message_id)


def _timestamp(stamp: str, now: float) -> Part:
    if not (stamp.isascii() and stamp.isdigit()):
        return Part("timestamp", False, f"{stamp!r} is no number of seconds since 1970")
    age = now - int(stamp[:18])
    if abs(age) <= TOLERANCE_SECONDS:
        return Part("timestamp", True, f"{_ago(age)}, {TOLERANCE_SECONDS} s are allowed")
    if abs(now * 1000 - int(stamp[:18])) <= TOLERANCE_SECONDS * 1000:
        return Part("timestamp", False, "it is in milliseconds", "seconds since 1970 are meant")
    hint = "set the clock; of a message that was kept, give the time it came with --at"
    return Part("timestamp", False, f"{_ago(age)}, only {TOLERANCE_SECONDS} s are allowed", hint)


def _ago(age: float) -> str:
    return f"{age:.0f} s old" if age >= 0 else f"{-age:.0f} s in the future"


Signed = tuple[str, str, bytes]
"""Id, timestamp and body, as they came."""


def _signature(signed: Signed, header: str, secrets: Mapping[str, str]) -> Part:
    offered = [one for one in header.split() if one.startswith("v1,")]
    if not offered:
        hint = "it has v1, and 44 characters of base64, several with spaces between them"
        return Part("signature", False, "there is none of version v1", hint)
    if not secrets:
        return Part("signature", False, "there is no secret to verify with", "name a receiver")
    for name, secret in secrets.items():
        if _matches(offered, signature_of(key_of(secret), *signed)):
            return Part("signature", True, f"it holds with the secret of {name}")
    for name, secret in secrets.items():
        for found, hint, expected in _mistakes(signed, secret):
            if _matches(offered, expected):
                return Part("signature", False, f"with the secret of {name}: {found}", hint)
    return Part(
        "signature",
        False,
        f"it is none of {', '.join(secrets)} over this id, timestamp and body",
        "either the secret is another, or a proxy changed what was signed",
    )


def _matches(offered: Sequence[str], expected: str) -> bool:
    return any(hmac.compare_digest(expected.encode(), one.encode()) for one in offered)


def _mistakes(signed: Signed, secret: str) -> Iterator[tuple[str, str, str]]:
    """What is wrong, what to do, and the signature that would be right if it were so."""
    message_id, stamp, body = signed
    key = key_of(secret)
    for found, changed in _bodies(body):
        hint = "verify the bytes that came, before anything decodes or stores them"
        yield found, hint, signature_of(key, message_id, stamp, changed)
    text = "the key is what follows whsec_, base64-decoded"
    for raw in (secret, secret.removeprefix(PREFIX)):
        yield (
            "it was signed with the secret's text", text,
            signature_of(raw.encode(), message_id, stamp, body),
        )  # fmt: skip
    order = "what is signed is id.timestamp.body, with full stops"
    bare = hmac.new(key, body, hashlib.sha256).digest()
    yield "only the body was signed", order, "v1," + base64.b64encode(bare).decode()
    digest = base64.b64decode(signature_of(key, *signed)[3:])
    yield "it is in hexadecimal", "base64 is meant", "v1," + digest.hex()


def _bodies(body: bytes) -> Iterator[tuple[str, bytes]]:
    """Bodies that this one may have been when it was signed, and what became of it since."""
    yield "the body has gained a line end", body.removesuffix(b"\n").removesuffix(b"\r")
    yield "the body has gained white space around it", body.strip()
    yield "the body's line ends were changed", body.replace(b"\r\n", b"\n")
    yield "the body has gained a byte order mark", body.removeprefix(b"\xef\xbb\xbf")
    try:
        tree = json.loads(body)
    except (ValueError, RecursionError):
        return
    written = "the body was decoded and written again"
    yield written, msgspec.json.encode(tree)
    yield written, msgspec.json.encode(_as_sent(body))


def _as_sent(body: bytes) -> object:
    """The message with its fields in the order they are sent in."""
    try:
        return msgspec.json.decode(body, type=Message)
    except msgspec.DecodeError:
        return None


def _body(body: bytes) -> Part:
    """Whether it is a message of ours; a signature may hold over anything."""
    try:
        message = msgspec.json.decode(body, type=Message)
    except msgspec.DecodeError as error:
        return Part("body", False, f"no message of chainwarden: {error}")
    kind = type(message).__struct_config__.tag
    if message.version != VERSION:
        hint = f"this chainwarden knows version {VERSION}"
        return Part("body", False, f"{kind}, version {message.version}", hint)
    return Part("body", True, f"{kind}, version {VERSION}, {len(body)} bytes")
