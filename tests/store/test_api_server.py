"""The server under the API: who may ask it, for how long, and what is left when it ends."""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from chainwarden.errors import SettingsError
from chainwarden.schema import ETHEREUM, Cursor
from chainwarden.server import Bind
from chainwarden.server import listen as listening
from chainwarden.settings import Secret
from store.ledger import Commit, Ledger
from tests.command import wait_for
from tests.store.asking import ALERTS, LABELS, OTHER, TOKEN, Client, fill, serving
from tests.store.made import alert, position


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own for one test, with a receiver."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        fill(opened)
        yield opened


@pytest.fixture(scope="module")
def guarded(untouched: Ledger) -> Iterator[Client]:
    """Asks a server that wants a token, without sending one."""
    with serving(untouched, Bind("0.0.0.0", 0, Secret(TOKEN))) as server:
        yield Client(server)


# --- who may ask -------------------------------------------------------------------------------

ROUTES = [
    ("GET", ALERTS), ("GET", f"{ALERTS}/x"), ("GET", f"/api/v1/wallets/0x{OTHER.hex()}"),
    ("GET", LABELS), ("POST", LABELS), ("DELETE", LABELS), ("GET", "/api/v1/status"),
    ("GET", "/nothing"), ("GET", "/metrics/"), ("GET", "//metrics"), ("GET", "/healthz/../api"),
]  # fmt: skip


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}",
     TOKEN, "Bearer \xff\xfe", f"Bearer {TOKEN.upper()}"],
)  # fmt: skip
def test_without_the_token_only_the_open_pages_answer(guarded: Client, header: str) -> None:
    """Every route answers 401 without the right token; metrics and health answer anybody."""
    sent = {"Authorization": header} if header else {}
    for method, target in ROUTES:
        status, body, headers = guarded.ask(target, method, headers=sent)
        assert status == 401, (method, target)
        assert headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN not in json.dumps(body)
    for page in ("/metrics", "/healthz", "/readyz"):
        assert guarded.ask(page, headers=sent)[0] == 200


def test_with_the_token_everything_answers(guarded: Client) -> None:
    """The scheme's case does not matter; any Host header is fine, as the token proves enough."""
    for scheme in ("Bearer", "bearer"):
        headers = {"Authorization": f"{scheme} {TOKEN}", "Host": "chainwarden.example"}
        assert guarded.ask("/api/v1/status", headers=headers)[0] == 200


def test_no_token_no_open_api(ledger: Ledger) -> None:
    """Routes on an address that others reach are refused without a token; loopback needs none."""
    with pytest.raises(SettingsError, match=r"server\.token"):
        serving(ledger, Bind("0.0.0.0")).__enter__()
    with serving(ledger, Bind("localhost")) as server:
        assert server.host in ("127.0.0.1", "::1")


def test_a_web_page_cannot_reach_loopback_by_its_own_name(reader: Client) -> None:
    """Without a token the Host header must name this machine (DNS rebinding)."""
    for host in ("evil.example", "127.0.0.1.evil.example", "10.0.0.1", "", "0.0.0.0"):
        assert reader.ask("/api/v1/status", headers={"Host": host})[0] == 403, host
    for host in ("localhost:1", "127.0.0.9", "[::1]:80", "LOCALHOST"):
        assert reader.ask("/api/v1/status", headers={"Host": host})[0] == 200, host


def test_every_answer_has_the_security_headers(reader: Client, guarded: Client) -> None:
    """Also errors: nothing is sniffed, framed, cached, or says which server this is."""
    for asked, target in ((reader, "/api/v1/status"), (reader, "/x"), (guarded, ALERTS)):
        _, _, headers = asked.ask(target)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Frame-Options"] == "DENY"
        assert "Server" not in headers
        assert "Access-Control-Allow-Origin" not in headers


# --- time, and the end -------------------------------------------------------------------------


def test_a_question_that_takes_too_long_ends_in_the_database_too(ledger: Ledger) -> None:
    """503 after the limit; the query is interrupted, so the API's threads are free again."""
    begun, ended = threading.Event(), threading.Event()
    slow = "SELECT count(*) FROM range(100000) a, range(100000) b, range(1000) c"

    def never(_: Ledger) -> dict[str, object]:
        begun.set()
        try:
            ledger.outbox._database.cursor().execute(slow).fetchall()
        finally:
            ended.set()
        return {}

    def is_cut_off() -> bool:
        status, body, _ = client.ask("/api/v1/status")
        assert status == 503
        assert "longer" in body["error"]
        if not begun.is_set():  # the machine is so busy that the time was over before
            return False
        assert ended.wait(30)
        begun.clear()
        ended.clear()
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("store.api.status_answer", never)
        with serving(ledger, seconds=1.0) as server:
            client = Client(server)
            for _ in range(3):  # the API has two threads
                wait_for("a question to begin", is_cut_off, 60)
            wait_for("an answer", lambda: client.ask(ALERTS)[0] == 200, 30)


def test_a_connection_that_sends_no_request_is_closed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silent and dripping connections end after a while; one that asks goes on."""
    monkeypatch.setattr(listening, "HEAD_SECONDS", 3.0)  # none is so slow that asks
    with ExitStack() as stack:
        server = stack.enter_context(serving(ledger))
        asking = http.client.HTTPConnection(server.host, server.port, timeout=30)
        stack.callback(asking.close)

        def is_answered() -> bool:
            asking.request("GET", "/healthz")
            return asking.getresponse().read() == b"ok\n"

        assert is_answered()
        others = [socket.create_connection((server.host, server.port), 30) for _ in range(2)]
        for one in others:
            stack.enter_context(one)
        others[1].sendall(b"GET /healthz HT")
        for _ in range(300):  # of a tenth of a second at most
            for one in select.select(others, [], [], 0.1)[0]:
                with suppress(ConnectionResetError):
                    assert one.recv(1) == b""
                others.remove(one)
            assert is_answered()
            if not others:
                break
        assert others == []


def test_closing_frees_the_port_and_the_threads(ledger: Ledger) -> None:
    """After close nobody listens there, no thread is left, and the ledger still works."""
    before = set(threading.enumerate())
    with serving(ledger) as server:
        host, port = server.host, server.port
        assert Client(server).ask("/healthz")[0] == 200
    assert set(threading.enumerate()) == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=2)
    with serving(ledger, Bind(port=port)) as again:
        assert again.port == port
    assert len(ledger.alerts()) == 11


def test_readers_and_the_writer_do_not_disturb_one_another(ledger: Ledger) -> None:
    """Pages asked while commits go on are each of one moment, and no commit fails."""
    failures: list[object] = []
    stop = threading.Event()

    def asking(client: Client) -> None:
        while not stop.is_set():
            page = client.get(f"{ALERTS}?limit=1000")
            blocks = [one["block_number"] for one in page["alerts"]]
            if blocks != list(range(blocks[0], 0, -1)):
                failures.append(blocks)
            client.ask(LABELS, "POST", {"address": "0x" + OTHER.hex(), "label": "benign"})

    with serving(ledger) as server:
        threads = [threading.Thread(target=asking, args=(Client(server),)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for number in range(12, 60):
            ledger.commit(
                Commit(Cursor(position(number), {}, number), [alert(number, rule="reorg_depth")])
            )
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert len(ledger.alerts()) == 59
    assert len(ledger.labels()) == 1
