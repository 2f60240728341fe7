"""What chats and pagers are shown of hostile text: all of it, and nothing it does."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chainwarden.errors import DeliveryError, SettingsError
from chainwarden.schema import ETHEREUM, Cursor, Retraction
from store.chat import ChatSender
from store.contacts import Contact, sender_of
from store.delivery import Delivery
from store.ledger import Commit, Ledger
from store.notice import notice_of, safe_text
from store.posting import Target
from store.sinks import ENCODERS, Encode, pagerduty
from store.webhook import Sender
from tests.rigs import hostile
from tests.rigs.clock import VirtualClock
from tests.rigs.receiver import LOOPBACK, WebhookReceiver
from tests.store.made import alert
from tests.store.told import EXPLORER, bodies, harmless, nasty

SINKS: dict[str, Encode] = {**ENCODERS, "pagerduty": pagerduty("canary-key")}
OURS = re.compile(
    r"https://explorer\.invalid/|http://adaptivecards\.io/|application/vnd\.microsoft"
)
BELONGS = {"type", "event_action", "dedup_key", "routing_key", "client", "timestamp", "class"}


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
