"""Mail over TLS: from the first byte or by STARTTLS, to the named host, and never in the clear."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from chainwarden.errors import DeliveryError
from chainwarden.schema import ETHEREUM, Cursor
from store.ledger import Commit, Ledger
from store.mail import Mailbox, MailSender
from store.payload import body_of
from store.posting import Target
from tests.rigs.clock import VirtualClock
from tests.rigs.receiver import LOOPBACK
from tests.store.made import alert

HOST = "mail.example"
USER, PASSWORD = "warden", "canary of the mailbox"


class PostOffice:
    """What a real SMTP server took, who logged in to it, and over what."""

    def __init__(self) -> None:
        self.subjects: list[str] = []
        self.encrypted: list[bool] = []
        self.logins: list[tuple[bytes, bytes, bool]] = []
        self.named: list[str | None] = []

    async def take(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep one."""
        content = envelope.content
        assert isinstance(content, bytes)
        self.subjects.append(str(message_from_bytes(content)["Subject"]))
        self.encrypted.append(_is_encrypted(server))
        return "250 OK"

    def login(
        self, server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: LoginPassword
    ) -> AuthResult:
        """Let in who knows the password; note in any case who tried."""
        self.logins.append((data.login, data.password, _is_encrypted(server)))
        return AuthResult(success=data.password == PASSWORD.encode())


def _is_encrypted(server: SMTP) -> bool:
    assert server.transport is not None
    return server.transport.get_extra_info("ssl_object") is not None


class Encrypted(Controller):
    """A server that speaks TLS from the first byte; the library's own greeting to it cannot."""

    def _trigger_server(self) -> None:
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection((self.hostname, self.port), 5.0) as raw,
            blind.wrap_socket(raw) as wrapped,
        ):
            wrapped.recv(1_024)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the host, made for this run; its key is beside it."""
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-keyout", str(path.with_name("key.pem")),
         "-out", str(path), "-addext", f"subjectAltName=DNS:{HOST}"],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


@contextmanager
def serving(security: str, certificate: Path) -> Iterator[tuple[PostOffice, int]]:
    """A server on loopback that offers a login, and its port. ``none``: it knows no TLS."""
    office = PostOffice()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    context.sni_callback = lambda _socket, name, _context: office.named.append(name)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    kind = Encrypted if security == "tls" else Controller
    ways: dict[str, dict[str, Any]] = {
        "tls": {"ssl_context": context},
        "starttls": {"tls_context": context, "require_starttls": True},
        "none": {},
    }
    controller = kind(
        SimpleNamespace(handle_DATA=office.take),
        hostname="127.0.0.1",
        port=port,
        authenticator=office.login,
        auth_require_tls=security == "starttls",
        **ways[security],
    )
    controller.start()
    office.named.clear()  # the greeting's
    try:
        yield office, port
    finally:
        controller.stop()


def sender_to(port: int, security: str, trusted: Path | None, host: str = HOST) -> MailSender:
    """A sender of mail that finds the host on this machine."""
    mailbox = Mailbox(
        host, port, security, USER, PASSWORD, "cw@ours.invalid", ("ops@ours.invalid",)
    )
    target = Target("post", "", LOOPBACK, 5.0, trusted)
    return MailSender(target, mailbox, 60, resolver=lambda _host, _port: ["127.0.0.1"])


@pytest.fixture(scope="module")
def body(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a receiver is told of an alert."""
    path = tmp_path_factory.mktemp("ledger") / "l"
    with Ledger.open(path, ETHEREUM, receivers=["ops"], clock=VirtualClock()) as ledger:
        ledger.commit(Commit(Cursor(None), (alert(1),)))
        return body_of(ledger.outbox.due("ops", 1e12, limit=1)[0])


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_mail_goes_over_tls_to_the_host_it_names(
    certificate: Path, body: bytes, security: str
) -> None:
    """The handshake names the host, login and mail come after it, and the server has the mail."""
    with serving(security, certificate) as (office, port):
        sender_to(port, security, certificate).send("msg-1", body, time.time())
    assert office.named == [HOST]
    assert office.encrypted == [True]
    assert office.logins == [(USER.encode(), PASSWORD.encode(), True)]
    assert len(office.subjects) == 1


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("stranger", ["another name", "not trusted"])
def test_a_stranger_learns_neither_the_mail_nor_the_password(
    certificate: Path, body: bytes, security: str, stranger: str
) -> None:
    """With a certificate of another host, or of nobody who is trusted, the mail waits, untold."""
    host = "other.example" if stranger == "another name" else HOST
    trusted = certificate if stranger == "another name" else None
    with (
        serving(security, certificate) as (office, port),
        pytest.raises(DeliveryError) as refused,
    ):
        sender_to(port, security, trusted, host).send("msg-1", body, time.time())
    assert (refused.value.retriable, refused.value.in_doubt) == (True, False)
    assert (office.subjects, office.logins) == ([], [])
    assert host not in str(refused.value)


def test_without_starttls_nothing_is_sent_in_the_clear(certificate: Path, body: bytes) -> None:
    """A server, or somebody between, that offers no STARTTLS gets neither login nor mail."""
    with (
        serving("none", certificate) as (office, port),
        pytest.raises(DeliveryError, match="SMTPNotSupportedError") as refused,
    ):
        sender_to(port, "starttls", certificate).send("msg-1", body, time.time())
    assert (refused.value.retriable, refused.value.in_doubt) == (True, False)
    assert (office.subjects, office.logins) == ([], [])
