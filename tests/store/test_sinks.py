"""What chats, pagers and mail clients are shown of hostile text: all of it, and nothing it does."""

from __future__ import annotations

import logging
import re
import socket
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.errors import DeliveryError, SettingsError
from chainwarden.schema import ETHEREUM, Alert, Cursor, Reason, Retraction
from store.chat import ChatSender
from store.contacts import Contact, sender_of
from store.delivery import Delivery
from store.ledger import Commit, Ledger
from store.mail import Mailbox, MailSender
from store.notice import notice_of, safe_text
from store.payload import body_of
from store.posting import Target
from store.sinks import ENCODERS, Encode, pagerduty
from store.webhook import Sender
from tests.rigs import hostile
from tests.rigs.clock import VirtualClock
from tests.rigs.receiver import LOOPBACK, WebhookReceiver
from tests.store.made import alert

EXPLORER = "https://explorer.invalid"
SINKS: dict[str, Encode] = {**ENCODERS, "pagerduty": pagerduty("canary-key")}
OURS = re.compile(
    r"https://explorer\.invalid/|http://adaptivecards\.io/|application/vnd\.microsoft"
)
# What clients make links of and ring for.
LINK = re.compile(
    r"[a-z][a-z+.-]*://|javascript:|mailto:|www\.|[a-z0-9]\.(?:example|com|gg)\b", re.I
)
MENTION = re.compile(r"@\w|<[!@#]")
BELONGS = {"type", "event_action", "dedup_key", "routing_key", "client", "timestamp", "class"}


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


def bodies(tmp_path: Path, *alerts: Alert, retract: bool = False) -> list[bytes]:
    """The bodies of what a receiver is told of some alerts, and perhaps of their retraction."""
    told = []
    with Ledger.open(tmp_path / "l", ETHEREUM, receivers=["ops"], clock=VirtualClock()) as ledger:

        def drain() -> None:
            while rows := ledger.outbox.due("ops", 1e12, limit=1):
                told.append(body_of(rows[0]))
                ledger.outbox.delivered(rows[0], 1e12)

        ledger.commit(Commit(Cursor(None), alerts))
        drain()
        if retract:
            gone = [Retraction(one.id, one.position) for one in alerts]
            ledger.commit(Commit(Cursor(None), retractions=gone))
            drain()
    return told


def nasty(number: int, text: str) -> Alert:
    """An alert all of whose words are an attacker's."""
    base, word = alert(number), text.encode("utf-8", "replace").decode()  # our rules have names
    return Alert(
        **{name: getattr(base, name) for name in Alert.__slots__}
        | {"sentence": text, "typology": word, "rule": word, "reasons": (Reason(text, 1.0, 1.0),)}
    )


def texts(tree: Any, key: str = "") -> Iterator[str]:
    """Every string that a service would show, keys too."""
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from texts(value, name)
    elif isinstance(tree, list):
        for value in tree:
            yield from texts(value, key)
    elif isinstance(tree, str) and key not in BELONGS and not OURS.match(tree):
        yield tree


def harmless(text: str) -> None:
    """No link, no mention, no control, no character that hides or turns others."""
    assert not LINK.search(text), text
    assert not MENTION.search(text), text
    for char in text:
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs"), repr(text)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("sink", sorted(SINKS))
def test_no_hostile_text_rings_links_or_breaks_anything(
    tmp_path: Path, sink: str, plain: bool
) -> None:
    """In every place where an attacker's words can stand, whatever they are; none is lost."""
    alerts = [nasty(number, text) for number, text in enumerate(hostile.CHAT_TEXTS)]
    told = bodies(tmp_path, *alerts)
    assert len(told) == len(alerts)
    for body in told:
        encoded = msgspec.json.encode(SINKS[sink](notice_of(body, EXPLORER), plain))
        assert len(encoded) < 16_000
        shown = msgspec.json.decode(encoded)
        for text in texts(shown):
            # Markdown's and mrkdwn's escapes are the sink's own; what they stand for counts.
            harmless(re.sub(r"\\(.)", r"\1", text) if sink == "discord" else text)
            if sink == "discord":
                assert not re.search(r"(?<!\\)(?:\\\\)*[\[\]()<>*_`~|]", text), text
        LIMITS[sink](shown)


def slack_limits(body: Any) -> None:
    """What Slack's API takes, and nothing of the attacker's where mrkdwn is read.

    Sizes and counts are those of Slack's reference of blocks and of composition objects.
    """
    assert body["unfurl_links"] is False
    assert not re.search(r"[<>]", body["text"])
    assert 1 <= len(body["text"]) <= 4000
    blocks = body.get("blocks", [])
    assert len(blocks) <= 50
    for block in blocks:
        most = {"header": 150, "section": 3000}.get(block["type"], 2000)
        kinds = {"section": ("text", "fields"), "header": ("text",), "context": ("elements",)}
        if block["type"] == "rich_text":
            rich_limits(block["elements"])
            continue
        if block["type"] == "actions":
            (button,) = block["elements"]
            assert len(button["text"]["text"]) <= 75
            assert len(button["url"]) <= 3000
            continue
        for key in kinds[block["type"]]:
            found = block.get(key, [])
            for one in found if isinstance(found, list) else [found]:
                assert one["type"] == "plain_text"
                assert 1 <= len(one["text"]) <= (2000 if key == "fields" else most)
        assert len(block.get("fields", [])) <= 10
        assert len(block.get("elements", [])) <= 10


def rich_limits(elements: Any) -> None:
    """Sections and lists of literal text, none of it empty, which Slack refuses."""
    assert elements
    for one in elements:
        if one["type"] == "rich_text_list":
            assert one["style"] == "bullet"
            rich_limits(one["elements"])
            continue
        assert one["type"] == "rich_text_section"
        assert one["elements"]
        for text in one["elements"]:
            assert set(text) <= {"type", "text", "style"}
            assert text["type"] == "text"
            assert text["text"]


def test_a_slack_message_fits_a_phone(tmp_path: Path) -> None:
    """Severity seen first, one idea a block, columns only for what fits them, hashes on one line.

    Two columns of a phone hold some 24 characters each, a line of code about 36.
    """
    raised, retracted = bodies(tmp_path, alert(1), retract=True)
    shown = SINKS["slack"](notice_of(raised, EXPLORER), False)
    kinds = [block["type"] for block in shown["blocks"]]
    assert kinds == ["header", "section", "section", "rich_text", "actions", "context"]
    header, sentence, columns, rich, _, context = shown["blocks"]
    assert header["text"]["text"] == "🟠 HIGH mixer (mixer touch)"
    assert sentence["text"]["text"].endswith("sent 1 ETH to a mixer in block 1")
    assert [one["text"].split("\n")[0] for one in columns["fields"]] == ["Score", "Block"]
    for one in columns["fields"]:
        assert max(map(len, one["text"].split("\n"))) <= 24
    lines = ["".join(part["text"] for part in one["elements"]) for one in rich["elements"][:-1]]
    assert lines[0].startswith("Wallet\n0x")
    assert re.fullmatch(r"Evidence\n0x[0-9a-f]{8}…[0-9a-f]{8}", lines[1])
    assert lines[2] == "Reasons"
    reasons = rich["elements"][-1]["elements"]
    assert [one["elements"][0]["text"] for one in reasons] == [
        "to_mixer = 1", "age_seconds = 1e-320",
    ]  # fmt: skip
    assert context["elements"][0]["text"].startswith(alert(1).id)
    gone = SINKS["slack"](notice_of(retracted), False)["blocks"]
    assert gone[0]["text"]["text"] == "⚫ Withdrawn: HIGH mixer (mixer touch)"
    assert "actions" not in [block["type"] for block in gone]


def discord_limits(body: Any) -> None:
    """What Discord's API takes, with every mention switched off."""
    assert body["allowed_mentions"] == {"parse": []}
    for embed in body.get("embeds", []):
        assert len(embed["title"]) <= 256
        assert all(len(f["name"]) <= 256 and len(f["value"]) <= 1024 for f in embed["fields"])
    assert len(body.get("content", "")) <= 2000


def teams_limits(body: Any) -> None:
    """An Adaptive Card in which only text runs, which know no markdown, carry text."""
    (attachment,) = body["attachments"]
    for line in attachment["content"]["body"]:
        assert line["type"] == "RichTextBlock"
        assert {run["type"] for run in line["inlines"]} == {"TextRun"}


def pagerduty_limits(body: Any) -> None:
    """An event as Events API v2 takes it."""
    assert (body["event_action"], body["routing_key"]) == ("trigger", "canary-key")
    assert body["payload"]["severity"] in ("critical", "error", "warning", "info")
    assert 1 <= len(body["payload"]["summary"]) <= 1024
    assert body["payload"]["source"]


LIMITS = {
    "slack": slack_limits,
    "discord": discord_limits,
    "teams": teams_limits,
    "pagerduty": pagerduty_limits,
}


@given(st.text(st.characters(exclude_categories=[]), max_size=200), st.integers(10, 80))
def test_any_text_becomes_harmless_text(text: str, most: int) -> None:
    """Short enough, on one line, and twice is as once."""
    shown = safe_text(text, most)
    assert len(shown) <= most
    assert "@" not in shown
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl") for char in shown)
    assert not re.search(r"[A-Za-z]://", shown)


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
    for word in ("to a mixer in block 1", "Wallet: 0x", "to mixer" and "to_mixer", EXPLORER):
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


def test_a_refused_message_is_said_plainly_and_arrives(tmp_path: Path) -> None:
    """On a 400 the next attempt is the minimal text; through the outbox, with its retraction."""
    clock = VirtualClock()
    with (
        WebhookReceiver() as service,
        Ledger.open(tmp_path / "l", ETHEREUM, receivers=["chat"], clock=clock) as ledger,
    ):
        target = Target("chat", service.url, LOOPBACK, 5.0)
        sender = ChatSender(target, ENCODERS["slack"], 60, EXPLORER)
        delivery = Delivery(ledger.outbox, [sender], clock)
        service.mode, service.retry_after = "400", ""
        ledger.commit(Commit(Cursor(None), [alert(1)]))
        delivery.deliver_due()
        service.mode = "ok"
        clock.advance(5.0)
        delivery.deliver_due()
        ledger.commit(
            Commit(Cursor(None), retractions=[Retraction(alert(1).id, alert(1).position)])
        )
        delivery.deliver_due()
        sender.close()
    first, second, third = (one.message for one in service.received)
    assert "blocks" in first
    assert "blocks" not in second
    assert second["text"].startswith("HIGH mixer (mixer touch)")
    assert third["blocks"][0]["text"]["text"].startswith("⚫ Withdrawn: ")
    assert third["blocks"][-2]["elements"][0]["url"].startswith(f"{EXPLORER}/tx/0x")


def test_a_page_is_resolved_by_its_retraction(tmp_path: Path) -> None:
    """One incident by the alert's id, with its severity; the retraction ends it."""
    raised, retracted = bodies(tmp_path, alert(1), retract=True)
    event = SINKS["pagerduty"](notice_of(raised), False)
    assert (event["event_action"], event["payload"]["severity"]) == ("trigger", "error")
    resolved = SINKS["pagerduty"](notice_of(retracted), False)
    assert resolved == {
        "routing_key": "canary-key", "dedup_key": alert(1).id, "event_action": "resolve",
    }  # fmt: skip
    assert event["dedup_key"] == alert(1).id


URLS = {
    "slack://T1JJ3T3L2/A1BRTD4JD/canarydlnazkcOXrIdevi7FQ": (
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/canarydlnazkcOXrIdevi7FQ"
    ),
    "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/canarydlnazkcOXrIdevi7FQ": (
        "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/canarydlnazkcOXrIdevi7FQ"
    ),
    "https://discord.com/api/webhooks/4174216298/canary-7bk2ZwO5U711o3dV_js": (
        "https://discord.com/api/webhooks/4174216298/canary-7bk2ZwO5U711o3dV_js"
    ),
    "pagerduty://canary0123456789@APIKEY?region=eu": "https://events.eu.pagerduty.com/v2/enqueue",
    "https://prod-12.westeurope.logic.azure.com:443/workflows/643de17f6d9d/triggers/manual/paths/"
    "invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=canary-sig": (
        "https://prod-12.westeurope.logic.azure.com/workflows/643de17f6d9d/triggers/manual/paths/"
        "invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=canary-sig"
    ),
}


@pytest.mark.parametrize("url", URLS)
def test_urls_that_people_have_are_understood(url: str) -> None:
    """Apprise's form, or what the service shows, leads where the service takes messages."""
    sender = sender_of(Contact("chat", url))
    assert isinstance(sender, ChatSender)
    assert str(sender._poster.url) == URLS[url]
    assert "canary" not in repr(sender) + repr(Contact("chat", url))
    sender.close()


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


@pytest.mark.parametrize(
    "url",
    [
        "json://canary.example/x", "file:///canary", "exec://canary", "syslog://canary",
        "slack://canary", "slack://xoxb-1234-1234-canary4ddU/#general", "canary",
        "https://canary.example/hook", "",
    ],
)  # fmt: skip
def test_what_is_no_such_service_is_refused_without_showing_it(url: str) -> None:
    """Only the five kinds, whatever else apprise knows."""
    with pytest.raises(SettingsError, match="chat") as caught:
        sender_of(Contact("chat", url))
    assert "canary" not in str(caught.value) + repr(caught.value.__cause__)


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "0x7f000001", "localhost"])
def test_a_workflow_on_a_private_address_is_not_dialled(tmp_path: Path, host: str) -> None:
    """The one kind whose host the user writes passes the same check as every webhook."""
    sender: Sender = sender_of(Contact("chat", f"workflows://{host}:443/643de17f6d9d/canary-sig"))
    (body,) = bodies(tmp_path, alert(1))
    for attempt in (sender.check_address, lambda: sender.send("id", body, 1_700_000_000.0)):
        with pytest.raises(DeliveryError, match="refused") as caught:
            attempt()
        assert "canary" not in str(caught.value)
    sender.close()


def test_no_url_of_a_chat_is_ever_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not by apprise that reads it, nor in an error of any way in which a service answers."""
    caplog.set_level(logging.DEBUG)
    (body,) = bodies(tmp_path, alert(1))
    shown = []
    for url in (*URLS, "slack://canary", "discord://canary/canary/canary"):
        with suppress(SettingsError):
            sender_of(Contact("chat", url), lambda _host, _port: ["10.0.0.1"]).close()
    with WebhookReceiver() as service:
        url = service.url.replace("/hook", "/canary-path?sig=canary-sig")
        sender = ChatSender(Target("chat", url, LOOPBACK, 1.0), SINKS["pagerduty"], 60)
        for mode in ("ok", "500", "410", "redirect", "lost", "garbage", "silent"):
            service.mode = mode
            try:
                sender.send("id", body, 1_700_000_000.0)
            except DeliveryError as error:
                shown += [str(error), repr(error), repr(error.__cause__), error.hint]
        assert "canary" in service.received[0].path
        sender.close()
    assert len(shown) == 6 * 4
    assert "canary" not in "\n".join(shown) + caplog.text
