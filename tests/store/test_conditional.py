"""Answers that a client has already, and whether the process works, over real sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from chainwarden.schema import ETHEREUM, Cursor
from chainwarden.server import Bind, HttpServer, Ready, Role
from chainwarden.server.guard import SECURITY_HEADERS
from detect.label_lists import parse_address
from store.api import Api
from store.ledger import Commit, Ledger
from tests.store.asking import ALERTS, LABELS, NOW, OTHER, Client, fill, serving, serving_everything
from tests.store.made import alert, position


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own, whose clock stands still."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM, receivers=["ops"], clock=lambda: NOW + 30.0) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Client]:
    """Asks a server over it."""
    with serving(ledger) as server:
        yield Client(server)


@pytest.fixture
def everything(ledger: Ledger, tmp_path: Path) -> Iterator[Client]:
    """Asks a server that has every route."""
    with serving_everything(ledger, tmp_path) as server:
        yield Client(server)


def test_every_read_has_a_tag_that_spares_the_body(everything: Client) -> None:
    """200 with a tag; with that tag 304, empty, with the same tag and the headers of any answer."""
    client = everything
    wallet, one = "0x" + OTHER.hex(), client.ids("limit=1")[0]
    document = client.get("/api/v1/openapi.json")
    read = 0
    for path, methods in document["paths"].items():
        if "304" not in methods.get("get", {}).get("responses", {}):
            continue
        target = path.replace("{id}", one).replace("{address}", wallet)
        status, _, headers = client.ask(target)
        assert status == 200, path
        tag = headers["ETag"]
        assert re.fullmatch('"[0-9a-f]{32}"', tag), path
        for said in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            status, body, again = client.ask(target, headers={"If-None-Match": said})
            assert (status, body, again["ETag"]) == (304, b"", tag), (path, said)
            assert again["X-Content-Type-Options"] == SECURITY_HEADERS["X-Content-Type-Options"]
            assert again["Cache-Control"] == headers["Cache-Control"]
        for said in ('"x"', tag[1:-1], ""):
            assert client.ask(target, headers={"If-None-Match": said})[0] == 200, (path, said)
        assert client.ask(target, "HEAD")[2]["ETag"] == tag
        read += 1
    assert read >= 15


def test_what_changed_has_another_tag(client: Client, ledger: Ledger) -> None:
    """An alert more, and the tag of before says nothing any more."""
    _, _, headers = client.ask(ALERTS)
    ledger.commit(Commit(Cursor(position(13), {}, 13), [alert(13)]))
    status, body, after = client.ask(ALERTS, headers={"If-None-Match": headers["ETag"]})
    assert status == 200
    assert body["alerts"][0]["block_number"] == 13
    assert after["ETag"] != headers["ETag"]


def test_writes_and_refusals_have_no_tag(client: Client) -> None:
    """Nothing that was done, or not found, is answered with 304."""
    label = {"address": "0x" + OTHER.hex(), "label": "scam"}
    status, _, headers = client.ask(LABELS, "POST", label, {"If-None-Match": "*"})
    assert (status, headers["ETag"]) == (201, None)
    status, _, headers = client.ask(f"{ALERTS}/0000", headers={"If-None-Match": "*"})
    assert (status, headers["ETag"]) == (404, None)


def test_nothing_that_is_told_of_the_ledger_is_stored(client: Client) -> None:
    """``no-store`` on every page but the document, which says nothing of anybody."""
    for target in (ALERTS, LABELS, "/api/v1/health", f"{ALERTS}/0000", "/api/v1/nothing"):
        assert client.ask(target)[2].get_all("Cache-Control") == ["no-store"], target
    assert client.ask("/api/v1/openapi.json")[2].get_all("Cache-Control") == ["no-cache"]


@pytest.mark.parametrize(
    ("said", "status", "reason"),
    [
        ("", "ready", ""),
        ("no block for 60 s", "not_ready", "no block for 60 s"),
        (Ready("standby"), "ready", "standby"),
    ],
)
def test_health_says_whether_the_process_works(
    ledger: Ledger, said: str, status: str, reason: str
) -> None:
    """What /readyz says, with the head, how far behind it is, and what waits; always 200."""
    api = Api(ledger, parse_address, lambda: NOW + 0.5, ready=lambda: said)
    server = HttpServer(Bind(), CollectorRegistry(), lambda: said, api.routes)
    try:
        found = Client(server).get("/api/v1/health")
    finally:
        server.close()
        api.close()
    assert (found["status"], found["reason"]) == (status, reason)
    assert found["head"]["number"] == 11
    assert (found["head_timestamp"], found["behind_seconds"]) == (NOW, 30.0)
    assert (found["outbox_pending"], found["receivers_disabled"]) == ({"ops": 11}, [])
    assert (found["ledger"], found["listeners"]) == (ledger.identity, 0)
    assert next(one for one in api.routes if one.path.endswith("health")).role == Role.VIEWER


def test_health_of_an_empty_ledger(tmp_path: Path) -> None:
    """No head, and nothing to be behind of."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger, serving(ledger) as server:
        found = Client(server).get("/api/v1/health")
    assert (found["head"], found["head_timestamp"], found["behind_seconds"]) == (None, None, None)
