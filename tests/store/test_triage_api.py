"""Acknowledging and suppressing over the API, by whom, and who hears of it; over real sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chainwarden.schema import ETHEREUM, Cursor, Retraction
from chainwarden.server import Bind, Role
from chainwarden.server.tokens import TokenFile
from store.ledger import AlertFilter, Commit, Ledger
from tests.store.asking import ALERTS, OTHER, Client, fill, serving
from tests.store.listening import listening
from tests.store.made import position

SUPPRESSIONS = "/api/v1/suppressions"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Twelve alerts about two wallets."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Client]:
    """Asks a server on loopback without a token."""
    with serving(ledger) as server:
        yield Client(server)


def say(client: Client, path: str, method: str, body: object = None) -> Any:
    """The answer to what must be taken."""
    status, answer, _ = client.ask(path, method, body)
    assert status in (200, 201), answer
    return answer


def test_an_alert_is_taken_in_hand_and_given_back(client: Client, ledger: Ledger) -> None:
    """Every page tells who has it; asked for with yes and no, the alerts are parted; pages with a
    tag are new. Giving back what nobody has is refused."""
    one = ledger.alerts()[0].id
    page = f"{ALERTS}/{one}/acknowledgement"
    tag = client.ask(ALERTS)[2]["ETag"]
    before = time.time()
    answer = say(client, f"{ALERTS}/{one[:6]}/acknowledgement", "POST", {"author": "ana"})
    assert answer["acknowledged"].pop("at") >= before
    assert answer["acknowledged"] == {"by": "ana", "note": ""}
    assert client.ask(ALERTS, headers={"If-None-Match": tag})[0] == 200
    assert client.get(f"{ALERTS}/{one}")["acknowledged"]["by"] == "ana"
    wallet = client.get(f"/api/v1/wallets/{answer['subject']}")
    assert [a["id"] for a in wallet["alerts"] if a["acknowledged"]] == [one]
    assert client.ids("acknowledged=yes") == [one]
    assert client.ids("acknowledged=no") == [a.id for a in ledger.alerts()[1:]]
    assert client.ids("acknowledged=no&limit=3") == [a.id for a in ledger.alerts()[1:4]]
    say(client, page, "POST", {"author": "bob", "note": "I do"})
    assert client.get(f"{ALERTS}/{one}")["acknowledged"]["note"] == "I do"
    assert say(client, f"{page}?author=bob&note=done", "DELETE")["acknowledged"] is None
    assert client.ask(page, "DELETE")[0] == 404
    assert [(a.by, a.why, a.withdrawn) for a in ledger.triage.acknowledgements()] == [
        ("ana", "", False), ("bob", "I do", False), ("bob", "done", True),
    ]  # fmt: skip


def test_listeners_hear_who_took_an_alert(client: Client, ledger: Ledger) -> None:
    """Each word is an event with the alert as it is; what the chain does next has its own name."""
    one = ledger.alerts()[0]
    page = f"{ALERTS}/{one.id}/acknowledgement"
    with listening(client.server, f"{ALERTS}/stream?rule={one.rule}") as listener:
        say(client, page, "POST", {"author": "ana"})
        (first,) = listener.heard(1)
        assert (first.name, first.data["acknowledged"]["by"]) == ("alert.acknowledged", "ana")
        say(client, page, "DELETE")
        (second,) = listener.heard(1)
        assert (second.name, second.data["acknowledged"]) == ("alert.unacknowledged", None)
        say(client, page, "POST", {"author": "ana"})
        listener.heard(1)
        taken = Retraction(one.id, one.position)
        ledger.commit(Commit(Cursor(position(13)), retractions=[taken]))
        (fourth,) = listener.heard(1)
        assert (fourth.name, fourth.data["acknowledged"]["by"]) == ("alert.retracted", "ana")


def test_alerts_are_suppressed_and_told_again(client: Client, ledger: Ledger) -> None:
    """Of a wallet: its alerts say until when; the list has it until it is ended, all of them for
    ever, page by page."""
    until = int(time.time()) + 3600
    wallet = "0x" + OTHER.hex()
    body = {"subject": wallet, "until": until, "author": "ana", "note": "our own"}
    made = say(client, SUPPRESSIONS, "POST", body)
    assert (made["rule"], made["subject"], made["until"], made["by"], made["note"]) == (
        None, wallet, until, "ana", "our own",
    )  # fmt: skip
    assert (made["covers"], made["holds"], made["ended_at"]) == (3, True, None)
    quiet = [a["id"] for a in client.get(ALERTS)["alerts"] if a["suppressed_until"] == until]
    assert quiet == client.ids(f"subject={wallet}")
    by_rule = say(client, SUPPRESSIONS, "POST", {"rule": "mixer_touch", "until": until})
    assert by_rule["covers"] == len(ledger.alerts(AlertFilter(rule="mixer_touch")))
    page = client.get(f"{SUPPRESSIONS}?limit=1")
    assert [one["id"] for one in page["suppressions"]] == [by_rule["id"]]
    assert client.get(page["next"])["suppressions"] == [
        {name: value for name, value in made.items() if name != "covers"}
    ]
    ended = say(client, f"{SUPPRESSIONS}/{made['id']}?author=bob", "DELETE")
    assert (ended["holds"], ended["ended_by"]) == (False, "bob")
    assert client.ask(f"{SUPPRESSIONS}/{made['id']}", "DELETE")[0] == 404
    assert [one["id"] for one in client.get(SUPPRESSIONS)["suppressions"]] == [by_rule["id"]]
    ever = client.get(f"{SUPPRESSIONS}?status=all&limit=1")
    assert client.get(ever["next"])["suppressions"] == [ended]


@pytest.mark.parametrize(
    ("path", "method", "body", "status"),
    [
        (f"{ALERTS}/{'0' * 32}/acknowledgement", "POST", {}, 404),
        (f"{ALERTS}/{'0' * 32}/acknowledgement", "DELETE", None, 404),
        (f"{ALERTS}/nothing/acknowledgement", "POST", {}, 404),
        (SUPPRESSIONS, "POST", {"until": 4e9}, 422),
        (SUPPRESSIONS, "POST", {"rule": "dusting"}, 422),
        (SUPPRESSIONS, "POST", {"rule": "dusting", "until": 1}, 422),
        (SUPPRESSIONS, "POST", {"rule": "dusting", "until": "soon"}, 422),
        (SUPPRESSIONS, "POST", b'{"rule": "dusting", "until": 1e999}', 422),
        (SUPPRESSIONS, "POST", {"subject": "0x12", "until": 4e9}, 422),
        (SUPPRESSIONS, "POST", {"rule": "dusting", "until": 4e9, "severity": "low"}, 422),
        (f"{SUPPRESSIONS}/7", "DELETE", None, 404),
        (f"{SUPPRESSIONS}/seven", "DELETE", None, 422),
        (f"{SUPPRESSIONS}?status=over", "GET", None, 422),
        (f"{ALERTS}?acknowledged=perhaps", "GET", None, 422),
    ],
)
def test_what_cannot_be_is_refused(
    client: Client, ledger: Ledger, path: str, method: str, body: object, status: int
) -> None:
    """With what is wrong, and nothing kept."""
    found, answer, _ = client.ask(path, method, body)
    assert (found, bool(answer["error"])) == (status, True)
    assert ledger.triage.suppressions(9) == []
    assert ledger.triage.acknowledgements() == []


def test_who_acts_is_who_shows_the_token(ledger: Ledger, tmp_path: Path) -> None:
    """Whatever name is sent; a viewer may look and no more."""
    tokens = TokenFile(tmp_path / "tokens.json")
    ana = {"Authorization": f"Bearer {tokens.create('ana', Role.ANALYST, 1)}"}
    eve = {"Authorization": f"Bearer {tokens.create('eve', Role.VIEWER, 1)}"}
    one = ledger.alerts()[0].id
    with serving(ledger, Bind(tokens=tokens.path)) as server:
        client = Client(server, ana)
        say(client, f"{ALERTS}/{one}/acknowledgement", "POST", {"author": "eve"})
        until = time.time() + 60
        made = say(client, SUPPRESSIONS, "POST", {"rule": "x", "until": until, "author": "eve"})
        ended = say(client, f"{SUPPRESSIONS}/{made['id']}?author=eve", "DELETE")
        assert (made["by"], ended["ended_by"]) == ("ana", "ana")
        assert client.get(f"{ALERTS}/{one}")["acknowledged"]["by"] == "ana"
        client = Client(server, eve)
        assert client.ask(SUPPRESSIONS, "POST", {"rule": "x", "until": until})[0] == 403
        assert client.ask(f"{ALERTS}/{one}/acknowledgement", "DELETE")[0] == 403
        assert client.get(SUPPRESSIONS)["suppressions"] == []
