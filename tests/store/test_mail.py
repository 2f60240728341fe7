"""Alerts by mail, to a real SMTP server: hostile text is text, and a refusal is understood."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope

from chainwarden.errors import DeliveryError
from store.contacts import Contact, sender_of
from store.mail import Mailbox, MailSender
from store.posting import Target
from tests.rigs import hostile
from tests.rigs.receiver import LOOPBACK
from tests.store.made import alert
from tests.store.told import EXPLORER, bodies, harmless, nasty


class Kept:
    """The mails a real SMTP server took."""

    def __init__(self) -> None:
        self.mails: list[tuple[Envelope, EmailMessage]] = []
        self.answer = "250 OK"

    async def take(self, _server: SMTP, _session: object, envelope: Envelope) -> str:
        """Keep one, or answer otherwise."""
        if self.answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            mail = message_from_bytes(content, policy=default)
            assert isinstance(mail, EmailMessage)
            self.mails.append((envelope, mail))
        return self.answer


@pytest.fixture
def post() -> Iterator[tuple[Kept, Controller]]:
    """An SMTP server on loopback."""
    kept = Kept()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(SimpleNamespace(handle_DATA=kept.take), hostname="127.0.0.1", port=port)
    controller.start()
    yield kept, controller
    controller.stop()


def mail_to(controller: Controller, allow: tuple[str, ...] = LOOPBACK) -> MailSender:
    """A sender of mail to that server."""
    mailbox = Mailbox(
        "127.0.0.1", controller.port, "none", "", "", "cw@ours.invalid", ("ops@ours.invalid",)
    )
    return MailSender(Target("post", "", allow, 5.0), mailbox, 60, EXPLORER)


class Shown(HTMLParser):
    """The tags of an HTML part, and where its links go."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one."""
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]


def test_hostile_text_in_a_mail_is_text(tmp_path: Path, post: tuple[Kept, Controller]) -> None:
    """No header of the attacker's, no recipient, no tag, no link; every mail arrives."""
    kept, controller = post
    sender = mail_to(controller)
    told = bodies(tmp_path, *(nasty(n, text) for n, text in enumerate(hostile.CHAT_TEXTS)))
    for number, body in enumerate(told):
        sender.send(f"id-{number}", body, 1_700_000_000.0)
    assert len(kept.mails) == len(told)
    for envelope, mail in kept.mails:
        assert envelope.rcpt_tos == ["ops@ours.invalid"]
        assert "Bcc" not in mail
        harmless(str(mail["Subject"]))
        html, text = mail.get_body(("html",)), mail.get_body(("plain",))
        assert html is not None
        assert text is not None
        page = Shown()
        page.feed(html.get_content())
        assert page.tags <= {"div", "h3", "p", "table", "tr", "th", "td", "a"}
        assert all(link is not None and link.startswith(EXPLORER) for link in page.links)
        harmless(text.get_content().replace("\r", "").replace(EXPLORER, ""))


def test_a_retraction_by_mail_replies_to_its_alert(
    tmp_path: Path, post: tuple[Kept, Controller]
) -> None:
    """Withdrawn in the subject, in the same thread; every attempt has the same id."""
    kept, controller = post
    raised, retracted = bodies(tmp_path, alert(1), retract=True)
    sender = mail_to(controller)
    for message_id, body in ((alert(1).id, raised), (f"{alert(1).id}-retracted-0", retracted)):
        sender.send(message_id, body, 1_700_000_000.0)
    first, second = (mail for _, mail in kept.mails)
    assert second["Subject"].startswith("Withdrawn: HIGH mixer")
    assert second["In-Reply-To"] == first["Message-ID"]
    text = first.get_body(("plain",))
    assert text is not None
    for word in ("to a mixer in block 1", "Wallet: 0x", "to_mixer", EXPLORER):
        assert word in text.get_content()


@pytest.mark.parametrize(
    ("answer", "status"), [("554 no", 422), ("451 later", None), ("421 busy", None)]
)
def test_a_mail_server_that_says_no_is_asked_again(
    tmp_path: Path, post: tuple[Kept, Controller], answer: str, status: int | None
) -> None:
    """Content that is refused is said more plainly; for the rest it is tried again as it is."""
    kept, controller = post
    kept.answer = answer
    (body,) = bodies(tmp_path, alert(1))
    with pytest.raises(DeliveryError) as caught:
        mail_to(controller).send("id", body, 1_700_000_000.0)
    assert (caught.value.status, caught.value.retriable, caught.value.in_doubt) == (
        status, True, False,
    )  # fmt: skip
    kept.answer = "250 OK"
    mail_to(controller).send("id", body, 1_700_000_000.0, plain=True)
    assert not kept.mails[0][1].is_multipart()


def test_mail_goes_to_allowed_addresses_only(tmp_path: Path, post: tuple[Kept, Controller]) -> None:
    """The server's name is a setting like any URL: loopback must be allowed."""
    kept, controller = post
    (body,) = bodies(tmp_path, alert(1))
    with pytest.raises(DeliveryError, match="refused: loopback"):
        mail_to(controller, ()).send("id", body, 1_700_000_000.0)
    assert kept.mails == []


def test_mail_urls_name_server_sender_and_recipients() -> None:
    """STARTTLS or TLS as the URL says; well-known providers by their own servers."""
    sender = sender_of(
        Contact(
            "post", "mailtos://us%40x.invalid:canary@mail.x.invalid/a@b.invalid?from=c@d.invalid"
        )
    )
    assert isinstance(sender, MailSender)
    box = sender._mailbox
    assert (box.host, box.security, box.recipients) == (
        "mail.x.invalid", "starttls", ("a@b.invalid",),
    )  # fmt: skip
    assert "canary" not in repr(box)
