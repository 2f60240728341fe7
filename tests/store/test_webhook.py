from __future__ import annotations

import base64
import logging
import os
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from chainwarden.addresses import resolve
from chainwarden.errors import DeliveryError, SettingsError
from store.webhook import Receiver, WebhookSender
from tests.rigs.receiver import LOOPBACK, SECRET, WebhookReceiver

OTHER_SECRET = "whsec_" + base64.b64encode(b"another secret of the receiver..").decode()
BODY = b'{"type":"alert.raised","data":{"name":"\xc3\xa9"}}'


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A receiver that listens."""
    with WebhookReceiver() as listening:
        yield listening


def sender_to(
    url: str, *, secrets: tuple[str, ...] = (SECRET,), timeout: float = 5
) -> WebhookSender:
    """A sender to a receiver on this machine."""
    return WebhookSender(Receiver("ops", url, secrets, LOOPBACK, timeout))


def test_a_receiver_can_verify_what_it_gets(receiver: WebhookReceiver) -> None:
    """By the library of Standard Webhooks and by HMAC written from its specification."""
    sender = sender_to(receiver.url)
    sender.send("msg-1", BODY, time.time())
    sender.close()
    (got,) = receiver.received
    assert got.body == BODY
    assert got.headers["content-type"] == "application/json"
    assert Webhook(SECRET).verify(got.body, got.headers)["type"] == "alert.raised"
    assert got.signed_with(SECRET)
    assert not got.signed_with(OTHER_SECRET)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body.replace(b"raised", b"closed"), got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(got.body, got.headers | {"webhook-id": "msg-2"})


@pytest.mark.parametrize("knows", [SECRET, OTHER_SECRET])
@pytest.mark.parametrize(
    ("seconds", "accepted"), [(-310, False), (-290, True), (290, True), (310, False)]
)
def test_a_signature_holds_for_five_minutes_whichever_secret_verifies_it(
    receiver: WebhookReceiver, knows: str, seconds: int, accepted: bool
) -> None:
    """In the midst of a rotation both signatures are of the time of sending, and of it alone.

    The library of Standard Webhooks refuses what is older or newer than 300 s with either secret: a
    message that was overheard cannot be repeated later by way of the other key.
    """
    sender = sender_to(receiver.url, secrets=(OTHER_SECRET, SECRET))
    sender.send("msg-1", BODY, time.time() + seconds)
    sender.close()
    (got,) = receiver.received
    assert got.signed_with(SECRET)
    assert got.signed_with(OTHER_SECRET)
    if accepted:
        assert Webhook(knows).verify(got.body, got.headers)["type"] == "alert.raised"
        return
    with pytest.raises(WebhookVerificationError, match=r"timestamp too (old|new)"):
        Webhook(knows).verify(got.body, got.headers)


def test_every_secret_signs_while_secrets_are_rotated(receiver: WebhookReceiver) -> None:
    """Receivers with the old and with the new secret both accept."""
    sender = sender_to(receiver.url, secrets=(OTHER_SECRET, SECRET))
    sender.send("msg-1", BODY, time.time())
    sender.close()
    (got,) = receiver.received
    for secret in (SECRET, OTHER_SECRET):
        assert got.signed_with(secret)
        Webhook(secret).verify(got.body, got.headers)


def test_a_published_signature_is_reproduced() -> None:
    """The example of the Standard Webhooks documentation, byte for byte."""
    sender = sender_to("http://127.0.0.1:9/", secrets=("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",))
    signature = sender._signatures(
        "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}', 1_614_265_330
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("mode", "status", "retriable", "in_doubt"),
    [
        ("error", 500, True, False),
        ("refuse", 400, True, False),
        ("gone", 410, False, False),
        ("busy", 429, True, False),
        ("gateway", 502, True, True),
        ("redirect", 302, True, False),
        ("lost", None, True, True),
        ("garbage", None, True, True),
    ],
)
def test_only_2xx_is_success(
    receiver: WebhookReceiver, mode: str, status: int | None, retriable: bool, in_doubt: bool
) -> None:
    """Everything else says whether to try again, and whether it may have arrived."""
    receiver.mode = mode
    sender = sender_to(receiver.url)
    with pytest.raises(DeliveryError) as caught:
        sender.send("msg-1", BODY, time.time())
    sender.close()
    error = caught.value
    assert (error.status, error.retriable, error.in_doubt) == (status, retriable, in_doubt)
    assert len(receiver.received) == 1, "a redirect is not followed, nothing is tried twice"


def test_nobody_there_is_certainly_not_delivered(receiver: WebhookReceiver) -> None:
    """A refused connection leaves no doubt."""
    url = receiver.url
    receiver.stop()
    with pytest.raises(DeliveryError) as caught:
        sender_to(url).send("msg-1", BODY, time.time())
    assert (caught.value.retriable, caught.value.in_doubt) == (True, False)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("soon", None),
        ("-5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read(receiver: WebhookReceiver, header: str, seconds: float | None) -> None:
    """As seconds or as a date; nonsense is no wish."""
    receiver.mode, receiver.retry_after = "busy", header
    sender = sender_to(receiver.url)
    with pytest.raises(DeliveryError) as caught:
        sender.send("msg-1", BODY, time.time())
    sender.close()
    assert caught.value.retry_after_seconds == seconds


@pytest.mark.parametrize("mode", ["silent", "drip"])
def test_an_attempt_ends_at_its_deadline(receiver: WebhookReceiver, mode: str) -> None:
    """However the receiver spins it out: a byte a second resets no timer."""
    receiver.mode = mode
    sender = sender_to(receiver.url, timeout=1.5)
    began = time.monotonic()
    with pytest.raises(DeliveryError) as caught:
        sender.send("msg-1", BODY, time.time())
    took = time.monotonic() - began
    sender.close()
    assert 1.4 < took < 2.5
    assert caught.value.in_doubt


@pytest.mark.parametrize("mode", ["endless", "bomb"])
def test_an_answer_is_read_to_64_kb_and_never_unpacked(
    receiver: WebhookReceiver, mode: str
) -> None:
    """The status counts, and what follows it costs next to nothing."""
    receiver.mode = mode
    sender = sender_to(receiver.url)
    began = time.monotonic()
    sender.send("msg-1", BODY, time.time())
    assert time.monotonic() - began < 2
    receiver.mode = "ok"
    sender.send("msg-2", BODY, time.time())
    sender.close()
    assert [one.id for one in receiver.accepted()] == ["msg-1", "msg-2"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "localhost",
    ],
)
def test_a_receiver_on_this_machine_must_be_allowed(receiver: WebhookReceiver, host: str) -> None:
    """Without the explicit network nothing is sent, however the URL spells it."""
    url = receiver.url.replace("127.0.0.1", host)
    sender = WebhookSender(Receiver("ops", url, (SECRET,)))
    with pytest.raises(DeliveryError, match="refused") as caught:
        sender.send("msg-1", BODY, time.time())
    sender.close()
    assert receiver.received == []
    assert (caught.value.retriable, caught.value.in_doubt) == (True, False)


def test_a_proxy_of_the_environment_is_not_asked(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy would resolve the name itself, unchecked."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:1")
    sender = sender_to(receiver.url)
    sender.send("msg-1", BODY, time.time())
    sender.close()
    assert len(receiver.received) == 1


def test_tls_names_and_verifies_the_host_not_the_address(tmp_path: Path) -> None:
    """The connection goes to a checked address, the handshake names the host, a stranger fails."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=hooks.example", "-keyout", str(key), "-out",
         str(certificate), "-addext", "subjectAltName=DNS:hooks.example"],
        check=True, capture_output=True,
    )  # fmt: skip
    named: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    server.sni_callback = lambda _socket, name, _context: named.append(name)

    def here(_host: str, _port: int) -> list[str]:
        return ["127.0.0.1"]

    with WebhookReceiver(tls=server) as receiver:
        for host, trusted, why in (
            ("hooks.example", certificate, ""),
            ("other.example", certificate, "its certificate is another host's"),
            ("hooks.example", None, "its certificate is signed by itself"),
        ):
            url = f"https://{host}:{receiver.port}/hook"
            sender = WebhookSender(
                Receiver("ops", url, (SECRET,), LOOPBACK, 5, ca_file=trusted), here
            )
            if not why:
                sender.send("msg-1", BODY, time.time())
            else:
                with pytest.raises(DeliveryError) as caught:
                    sender.send("msg-2", BODY, time.time())
                assert not caught.value.in_doubt
                assert str(caught.value) == f"ops: no connection ({why})"
            sender.close()
        assert [one.id for one in receiver.received] == ["msg-1"]
    assert named == ["hooks.example", "other.example", "hooks.example"]


@pytest.mark.parametrize(
    "receiver",
    [
        Receiver("ops", "ftp://hooks.example/canary-url", (SECRET,)),
        Receiver("ops", "canary-url", (SECRET,)),
        Receiver("ops", "http://", (SECRET,)),
        Receiver("ops", "https://hooks.example/", ()),
        Receiver("ops", "https://hooks.example/", ("whsec_canary-secret",)),
        Receiver(
            "ops", "https://hooks.example/", ("whsec_" + base64.b64encode(b"short").decode(),)
        ),
        Receiver("ops", "https://hooks.example/", (SECRET,), ("10.0.0.0/99",)),
        Receiver("ops", "https://hooks.example/", (SECRET,), ca_file=Path("/nowhere.pem")),
    ],
)
def test_a_receiver_that_can_never_be_told_is_refused_at_once(receiver: Receiver) -> None:
    """Bad URL, secret or network: said by name, without showing what is secret."""
    with pytest.raises(SettingsError, match="ops") as caught:
        WebhookSender(receiver)
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)


def test_no_url_and_no_secret_is_ever_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Not in errors, their causes, representations, or logs of any library at any level."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    with WebhookReceiver() as receiver:
        address = receiver.url.removeprefix("http://").removesuffix("/hook")
        url = f"http://canary-user:canary-pass@{address}/canary-path?token=canary-query"
        target = Receiver("ops", url, (SECRET,), LOOPBACK, 1)
        shown.append(repr(target))
        sender = WebhookSender(target)
        shown.append(repr(sender))
        for mode in ("ok", "error", "gone", "redirect", "lost", "garbage", "silent"):
            receiver.mode = mode
            try:
                sender.send("msg-1", BODY, time.time())
            except DeliveryError as error:
                shown += [str(error), repr(error), repr(error.__cause__), error.hint]
                shown.append(repr(error.__context__) if not error.__suppress_context__ else "")
        assert receiver.received[0].path == "/canary-path?token=canary-query"
        authorization = receiver.received[0].headers["authorization"]
        assert base64.b64decode(authorization.removeprefix("Basic ")) == b"canary-user:canary-pass"
        sender.close()
    everything = "\n".join(shown) + caplog.text
    assert "canary" not in everything
    assert SECRET.removeprefix("whsec_") not in everything
    assert resolve("127.0.0.1", 80) == ["127.0.0.1"]
