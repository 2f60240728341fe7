from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from chainwarden.schema import ETHEREUM
from store.outbox_rows import RAISED
from store.sample import KINDS, sample_message
from store.verification import Part, key_of, signature_of, verify
from tests.rigs.receiver import SECRET

OTHER = "whsec_" + base64.b64encode(b"another secret of the receiver..").decode()
NOW = 1_790_000_000.0
KEY = key_of(SECRET)


def message(kind: str = RAISED, now: float = NOW) -> tuple[dict[str, str], bytes]:
    """Headers and body of a sample that was sent at ``now``."""
    message_id, body = sample_message(kind, ETHEREUM, now)
    stamp = str(int(now))
    return (
        {
            "webhook-id": message_id,
            "webhook-timestamp": stamp,
            "webhook-signature": signature_of(KEY, message_id, stamp, body),
        },
        body,
    )


def failed(parts: list[Part]) -> dict[str, str]:
    """What does not hold, and why."""
    return {part.name: part.found for part in parts if not part.holds}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_sent_holds(kind: str) -> None:
    """Every type of message, by every part."""
    headers, body = message(kind)
    parts = verify(headers, body, {"old": OTHER, "ops": SECRET}, NOW)
    assert failed(parts) == {}
    assert [part.name for part in parts] == ["headers", "id", "timestamp", "signature", "body"]
    assert parts[3].found == "it holds with the secret of ops"


@given(
    st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature", "body", "nothing"]),
    st.integers(0, 10_000),
    st.text("0123456789abcdefv,.= +/Z", max_size=3),
    st.integers(-400, 400).filter(lambda late: not 280 < abs(late) < 320),
)
def test_what_holds_here_holds_for_the_library_of_standard_webhooks(
    part: str, place: int, instead: str, age: int
) -> None:
    """Whatever is changed, and whenever it was sent; what nobody changed holds for both or none."""
    headers, body = message(now=time.time() - age)
    if part == "body":
        at = place % len(body)
        body = body[:at] + instead.encode() + body[at + 1 :]
    elif part != "nothing":
        at = place % len(headers[part])
        headers[part] = headers[part][:at] + instead + headers[part][at + 1 :]
    broken = failed(verify(headers, body, {"ops": SECRET}, time.time()))
    ours = not broken.keys() & {"headers", "id", "timestamp", "signature"}
    if ours or part == "nothing":
        assert ours == library(headers, body)


def library(headers: dict[str, str], body: bytes) -> bool:
    """Whether the library accepts it now."""
    try:
        Webhook(SECRET).verify(body, headers, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


def signed(content: bytes, key: bytes = KEY) -> str:
    """A signature of anything."""
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


HEADERS, BODY = message()
STEM = f"{HEADERS['webhook-id']}.{HEADERS['webhook-timestamp']}.".encode()
HEXADECIMAL = "v1," + hmac.new(KEY, STEM + BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("changed", "body", "part", "says"),
    [
        ({"webhook-id": ""}, BODY, "headers", "missing: webhook-id"),
        ({"webhook-id": "a.b"}, BODY, "id", "full stop"),
        ({"webhook-timestamp": "soon"}, BODY, "timestamp", "'soon' is no number"),
        ({"webhook-timestamp": "1789999000"}, BODY, "timestamp", "1000 s old, only 300 s"),
        ({"webhook-timestamp": "1790000999"}, BODY, "timestamp", "999 s in the future"),
        ({"webhook-timestamp": "1790000000000"}, BODY, "timestamp", "in milliseconds"),
        ({"webhook-signature": "v1a,x"}, BODY, "signature", "none of version v1"),
        ({"webhook-signature": HEXADECIMAL}, BODY, "signature", "in hexadecimal"),
        ({"webhook-signature": signed(BODY)}, BODY, "signature", "only the body was signed"),
        (
            {"webhook-signature": signed(STEM + BODY, SECRET.encode())},
            BODY, "signature", "signed with the secret's text",
        ),
        (
            {"webhook-signature": signed(STEM + BODY, key_of(OTHER))},
            BODY, "signature", "it is none of ops over this id, timestamp and body",
        ),
        ({}, BODY + b"\n", "signature", "gained a line end"),
        ({}, BODY + b"\r\n", "signature", "gained a line end"),
        ({}, b"  " + BODY, "signature", "gained white space"),
        ({}, b"\xef\xbb\xbf" + BODY, "signature", "gained a byte order mark"),
        ({}, json.dumps(json.loads(BODY)).encode(), "signature", "decoded and written again"),
        (
            {}, json.dumps(json.loads(BODY), indent=1, sort_keys=True).encode(),
            "signature", "decoded and written again",
        ),
        ({}, BODY.replace(b"1.5 ETH", b"9.5 ETH"), "signature", "it is none of ops"),
        ({"webhook-signature": signed(STEM + b"{}")}, b"{}", "body", "no message of chainwarden"),
        (
            {"webhook-signature": signed(STEM + BODY.replace(b'"version":1', b'"version":2'))},
            BODY.replace(b'"version":1', b'"version":2'), "body", "alert.raised, version 2",
        ),
    ],
)  # fmt: skip
def test_it_says_which_part_does_not_hold_and_why(
    changed: dict[str, str], body: bytes, part: str, says: str
) -> None:
    """Each of the ways in which receivers go wrong is told apart."""
    found = failed(verify(HEADERS | changed, body, {"ops": SECRET}, NOW))
    assert says in found[part]
    assert len(found) <= 2  # a changed header is signed, so the signature fails with it
