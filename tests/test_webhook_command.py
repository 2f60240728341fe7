"""``chainwarden webhook``: what it sends, what it says, and the doors it goes through."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwarden.commands.webhook import Act, webhook
from chainwarden.errors import SettingsError
from tests.rigs.receiver import SECRET, WebhookReceiver

SETTINGS = """
[[webhooks]]
name = "ops"
url = "{url}"
secret = "{secret}"
allow_networks = ["127.0.0.0/8"]

[[receivers]]
name = "desk"
url = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/canarydlnazkcOXrIdevi7FQ"
"""


@pytest.fixture
def receiver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookReceiver]:
    """A receiver that the settings of the current folder know as ops."""
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "SECRET", "ALLOW_NETWORKS"):
        monkeypatch.delenv(f"CHAINWARDEN_WEBHOOK_{name}", raising=False)
    with WebhookReceiver() as listening:
        text = SETTINGS.format(url=listening.url, secret=SECRET)
        (tmp_path / "chainwarden.toml").write_text(text, encoding="utf-8")
        yield listening


def do(act: Act, code: int = 0) -> None:
    """Do it in this process, to an exit code."""
    if not code:
        webhook(act, config=None, json=True)
        return
    with pytest.raises(SystemExit) as ended:
        webhook(act, config=None, json=True)
    assert ended.value.code == code


def test_a_sample_goes_out_signed_like_an_alert(
    receiver: WebhookReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """To a receiver of the settings by its name, of the type that is asked for."""
    do(Act("test", "ops", kind="retracted"))
    (got,) = receiver.received
    assert got.signed_with(SECRET)
    assert got.message["type"] == "alert.retracted"
    assert got.id == f"{got.message['data']['id']}-retracted-0"
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["well"], told["answer"], told["mend"]) == (True, "accepted", "")


@pytest.mark.parametrize(
    ("mode", "says", "mend"),
    [
        ("404", "answered 404", "the path is wrong"),
        ("401", "answered 401", "its secret is another"),
        ("415", "answered 415", "Content-Type"),
        ("error", "answered 500", "its own log"),
        ("gone", "answered 410", "would be disabled"),
        ("busy", "answered 429", "rate_per_minute"),
        ("redirect", "answered 302", "redirects are not followed"),
        ("lost", "no answer", "not hang up before"),
        ("garbage", "no answer", "HTTP/1.1"),
        ("418", "answered 418", "only 2xx is success"),
    ],
)
def test_what_came_back_is_said_with_what_to_mend(
    receiver: WebhookReceiver, capsys: pytest.CaptureFixture[str], mode: str, says: str, mend: str
) -> None:
    """Each way in which a receiver fails, and the exit code of deliveries."""
    receiver.mode = mode
    do(Act("test", "ops"), code=9)
    (told,) = json.loads(capsys.readouterr().out)
    assert not told["well"]
    assert says in told["answer"]
    assert mend in told["mend"]
    assert len(receiver.received) == 1


def test_the_strict_trial_finds_whoever_believes_anybody(
    receiver: WebhookReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """A receiver that says yes to everything fails for the forged and for the stale message."""
    do(Act("test", "ops", strict=True), code=9)
    told = json.loads(capsys.readouterr().out)
    assert [one["well"] for one in told] == [True, True, False, False]
    first, again, forged, stale = receiver.received
    assert first.id == again.id == stale.id != forged.id
    assert not forged.signed_with(SECRET)
    assert stale.signed_with(SECRET)
    age = int(first.headers["webhook-timestamp"]) - int(stale.headers["webhook-timestamp"])
    assert age == 600


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::ffff:127.0.0.1]"])
def test_a_trial_goes_through_the_doors_of_deliveries(
    receiver: WebhookReceiver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    host: str,
) -> None:
    """A URL on this machine is refused unless its network is allowed, however it is spelt."""
    monkeypatch.setenv("CHAINWARDEN_WEBHOOK_SECRET", SECRET)
    url = receiver.url.replace("127.0.0.1", host)
    do(Act("test", url), code=9)
    (told,) = json.loads(capsys.readouterr().out)
    assert "an address that is refused" in told["answer"]
    assert "allow its network" in told["mend"]
    assert receiver.received == []


def test_a_closed_port_is_called_so(
    receiver: WebhookReceiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody there: in words, with neither host nor port."""
    receiver.stop()
    do(Act("test", "ops"), code=9)
    (told,) = json.loads(capsys.readouterr().out)
    assert told["answer"] == "ops: no connection (nobody listens on its port)"


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (Act("test"), "which receiver"),
        (Act("test", "nobody"), "there are ops, desk"),
        (Act("test", "desk", strict=True), "desk verifies no signature"),
        (Act("test", "ops", kind="other"), "alert.raised, alert.retracted"),
        (Act("test", "http://127.0.0.1:1/"), "CHAINWARDEN_WEBHOOK_SECRET"),
        (Act("sample", "ops"), "sample sends nothing"),
        (Act("verify", "none.http"), "none.http"),
        (Act("verify", "body.json"), "no empty line"),
        (Act("send", "ops"), "test URL or NAME"),
    ],
)
def test_what_it_cannot_do_it_says(receiver: WebhookReceiver, act: Act, says: str) -> None:
    """Nothing is sent, and the hint has what can be done."""
    Path("body.json").write_bytes(b'{"type": "alert.raised"}')
    with pytest.raises(SettingsError) as caught:
        webhook(act, config=None, json=True)
    assert says in str(caught.value)
    assert receiver.received == []


def test_a_kept_request_is_verified_by_when_it_came(
    receiver: WebhookReceiver, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Headers as lines, with CRLF and a request line, or as JSON; the moment by --at."""
    do(Act("test", "ops"))
    (got,) = receiver.received
    capsys.readouterr()
    lines = "".join(f"{name.title()}: {value}\r\n" for name, value in got.headers.items())
    whole = b"POST /hook HTTP/1.1\r\n" + lines.encode() + b"\r\n" + got.body
    (tmp_path / "whole.http").write_bytes(whole)
    (tmp_path / "body").write_bytes(got.body)
    (tmp_path / "headers.json").write_text(json.dumps(got.headers), encoding="utf-8")
    do(Act("verify", "whole.http"))
    do(Act("verify", "body", headers=Path("headers.json")))
    do(Act("verify", "whole.http", at="2020-01-01"), code=9)
    with pytest.raises(SettingsError, match=r"--at: .*'noon' \(2026-01-31, or unix seconds\)"):
        do(Act("verify", "whole.http", at="noon"))
    said: list[Any] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [[part["name"] for part in parts if not part["holds"]] for parts in said] == [
        [], [], ["timestamp"],
    ]  # fmt: skip
    assert said[0][3]["found"] == "it holds with the secret of ops"
