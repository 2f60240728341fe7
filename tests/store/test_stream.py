"""What listeners are told of alerts, over real sockets, while a real ledger changes."""

from __future__ import annotations

import asyncio
import http.client
import logging
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from chainwarden.schema import ETHEREUM, Alert, Cursor, Retraction, Severity
from chainwarden.server import Bind, EventStream, GuardedRoute, HttpServer, Role
from chainwarden.server import listen as listening_module
from chainwarden.server.tokens import TokenFile
from store.alert_stream import MAX_LISTENERS, PAGE
from store.api_pages import STREAM as STREAM_PAGE
from store.ledger import AlertFilter, Commit, Ledger
from tests.store.asking import ALERTS, OTHER, Client, serving
from tests.store.ledgers import first_schema
from tests.store.listening import Heard, listening
from tests.store.made import WALLET, alert, position

STREAM = f"{ALERTS}/stream"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as opened:
        yield opened


def commit(ledger: Ledger, raised: list[int], taken: list[tuple[int, str]], branch: str) -> None:
    """Raise alerts of some blocks of a branch, after others were retracted."""
    ledger.commit(
        Commit(
            Cursor(position(99)),
            [alert(number, branch) for number in raised],
            [Retraction(alert(n).id, position(n, was)) for n, was in taken],
        )
    )


def test_every_change_is_told_as_it_is_committed(ledger: Ledger) -> None:
    """Raised, retracted and moved, each with the alert as the API has it, in order."""
    with serving(ledger) as server, listening(server, STREAM) as listener:
        commit(ledger, [1, 2], [], "a")
        heard = listener.heard(2)  # first: of an alert that changed twice only the last is told
        commit(ledger, [], [(1, "a")], "a")
        commit(ledger, [2], [(2, "a")], "b")
        heard += listener.heard(2)
        names = [one.name for one in heard]
        assert names == ["alert.raised", "alert.raised", "alert.retracted", "alert.moved"]
        assert [one.data["id"] for one in heard] == [alert(n).id for n in (1, 2, 1, 2)]
        client = Client(server)
        for last in heard[2:]:
            assert last.data == {
                **client.get(f"{ALERTS}/{last.data['id']}"),
                "change": int(last.id.split("-")[1]),
            }
        assert heard[2].data["status"] == "retracted"
        assert heard[3].data["block_hash"] == "0x" + position(2, "b").hash.hex()
        assert listener.retry == "3000"


def test_a_listener_is_told_nothing_from_before_it_came(ledger: Ledger) -> None:
    """Without an id it begins with the next change, and knows its place before that comes."""
    commit(ledger, [1, 2, 3], [], "a")
    with serving(ledger) as server, listening(server, STREAM) as listener:
        assert listener.last_id == f"{ledger.identity}-3"
        commit(ledger, [4], [], "a")
        (heard,) = listener.heard(1)
        assert (heard.data["block_number"], heard.id) == (4, f"{ledger.identity}-4")


changes = st.lists(
    st.tuples(
        st.lists(st.integers(1, 6), max_size=4, unique=True),  # raised
        st.lists(st.tuples(st.integers(1, 6), st.sampled_from("ab")), max_size=3, unique=True),
        st.sampled_from("ab"),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(steps=changes, cuts=st.lists(st.integers(0, 5), max_size=3), restart=st.booleans())
def test_whoever_comes_back_misses_nothing_and_hears_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[Any],
    cuts: list[int],
    restart: bool,
) -> None:
    """However often a listener is cut off, and the process restarted: what he heard last of each
    alert is what the ledger has, and no number comes twice or out of order."""
    path = tmp_path_factory.mktemp("cut") / "ledger.duckdb"
    last_id, heard = "", list[Heard]()
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(path, ETHEREUM))
        server = stack.enter_context(serving(ledger))
        for number, (raised, taken, branch) in enumerate(steps):
            target = f"{STREAM}?last_event_id={last_id}" if last_id else STREAM
            with listening(server, target) as listener:
                last_id = listener.last_id
                if number in cuts:
                    continue  # gone before this is committed
            commit(ledger, raised, taken, branch)
            headers = {"Last-Event-ID": last_id}
            with listening(server, STREAM, headers) as listener:
                due = len(ledger.alert_changes(int(last_id.split("-")[1]), 100))
                heard += listener.heard(due)
                last_id = listener.last_id
            if restart:
                stack.close()
                ledger = stack.enter_context(Ledger.open(path, ETHEREUM))
                server = stack.enter_context(serving(ledger))
        numbers = [int(one.id.split("-")[1]) for one in heard]
        assert numbers == sorted(set(numbers))
        known = {one.data["id"]: (one.data["status"], one.data["block_hash"]) for one in heard}
        records = ledger.records(AlertFilter(status="all"))
        assert known == {
            r.alert.id: (r.status, "0x" + r.alert.position.hash.hex()) for r in records
        }


def test_what_was_missed_comes_in_pages(ledger: Ledger) -> None:
    """More than a page of changes comes whole and in order, and then what is new."""
    many = 2 * PAGE + 7
    commit(ledger, list(range(1, many + 1)), [], "a")
    start = f"{STREAM}?last_event_id={ledger.identity}-0"
    with serving(ledger) as server, listening(server, start) as listener:
        heard = listener.heard(many)
        commit(ledger, [many + 1], [], "a")
        heard += listener.heard(1)
    assert [one.data["block_number"] for one in heard] == list(range(1, many + 2))


def test_filters_narrow_what_is_told_and_places_go_on(ledger: Ledger) -> None:
    """Rule, severity and subject together; what is not told moves the place of who comes back."""
    target = f"{STREAM}?rule=mixer_touch&severity=high&subject=0x{OTHER.hex()}"

    def one(number: int, rule: str = "mixer_touch", by: bytes = OTHER, severity: int = 4) -> Alert:
        return alert(number, rule=rule, subject=by, severity=Severity(severity))

    with serving(ledger) as server, listening(server, target) as listener:
        for made in (one(1, by=WALLET), one(2, severity=1), one(3, rule="taint"), one(7)):
            ledger.commit(Commit(Cursor(position(9)), [made]))
        (heard,) = listener.heard(1)
        assert heard.data["block_number"] == 7
        ledger.commit(Commit(Cursor(position(9)), [one(8, by=WALLET)]))
        lines = []
        while (line := listener.line()) != f"id: {ledger.identity}-5\n":
            lines.append(line)
        assert not any(line.startswith(("event", "data")) for line in lines)


def test_places_of_another_ledger_begin_anew(ledger: Ledger) -> None:
    """A place that this ledger never gave: told to load all anew, and then what is new."""
    commit(ledger, [1], [], "a")
    for place in ("00000000-1", f"{ledger.identity}-2"):
        with serving(ledger) as server:
            connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
            connection.request("GET", STREAM, headers={"Last-Event-ID": place})
            answer = connection.getresponse()
            lines = [answer.readline().decode().rstrip() for _ in range(5)]
            assert lines[2:] == [f"id: {ledger.identity}-1", "event: reset", "data: {}"]
            connection.close()
            for odd in ("x", "1", f"{ledger.identity}-", f"{ledger.identity}-٣", "'; DROP TABLE"):
                headers = {"Last-Event-ID": odd.encode().decode("latin-1")}
                assert Client(server).ask(STREAM, headers=headers)[0] == 422


def test_no_more_listeners_than_the_bound(ledger: Ledger) -> None:
    """Beyond it 503 and when to come back; the place of one that went is another's."""
    with serving(ledger) as server, ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        first.enter_context(listening(server, STREAM))
        for _ in range(MAX_LISTENERS - 1):
            stack.enter_context(listening(server, STREAM))
        status, body, headers = Client(server).ask(STREAM)
        assert (status, headers["Retry-After"]) == (503, "30")
        assert str(MAX_LISTENERS) in body["error"]
        assert Client(server).ask(f"{ALERTS}?limit=1")[0] == 200  # others are answered
        first.close()
        gone = threading.Event()
        while True:  # until the server has seen that it went
            if Client(server).ask(STREAM, "HEAD")[0] == 200:
                break
            gone.wait(0.01)
        with listening(server, STREAM):
            pass


def test_it_ends_cleanly_when_the_server_does(ledger: Ledger) -> None:
    """Listeners get the end of the answer, not a broken one, and the server waits for nobody."""
    with ExitStack() as stack:
        serve = stack.enter_context(ExitStack())
        server = serve.enter_context(serving(ledger))
        listeners = [stack.enter_context(listening(server, STREAM)) for _ in range(3)]
        serve.close()
        for listener in listeners:
            assert listener.next() is None
            assert listener.answer.read() == b""  # raises IncompleteRead where it broke off


# --- the stream itself -------------------------------------------------------------------------


class Scripted:
    """A feed of which the test says when there is something."""

    def __init__(self, body: bytes = b"", *, endless: bool = False) -> None:
        self.body = body
        self.endless = endless
        self.closed = threading.Event()

    async def read(self) -> bytes:
        """What it was made with, once; without an end, again and again."""
        body = self.body
        if not self.endless:
            self.body = b""
        return body

    async def changed(self) -> None:
        """Never."""
        await asyncio.Event().wait()


@contextmanager
def telling(
    feed: Scripted, bind: Bind | None = None, heartbeat: float = 0.05, patience: float = 20.0
) -> Iterator[HttpServer]:
    """A server with one stream."""

    async def page(_: Request) -> Response:
        return EventStream(feed, feed.closed.set, heartbeat, patience)

    routes = [GuardedRoute("/events", page, Role.VIEWER, STREAM_PAGE)]
    server = HttpServer(bind or Bind(), CollectorRegistry(), lambda: "", routes)
    try:
        yield server
    finally:
        server.close()


def test_something_is_sent_where_nothing_happens() -> None:
    """A comment at every heartbeat, which listeners pass over."""
    feed = Scripted(b"id: a-1\n\n")
    with telling(feed) as server, listening(server, "/events") as listener:
        assert listener.answer.readline() == b"\n"
        assert [listener.answer.readline() for _ in range(4)] == [b": nothing new\n", b"\n"] * 2
        assert listener.answer.headers["Cache-Control"] == "no-store"
        assert listener.answer.headers["X-Accel-Buffering"] == "no"


def test_who_goes_is_noticed() -> None:
    """The feed is closed once the listener has gone, long before anything is to be told."""
    feed = Scripted(b"id: a-1\n\n")
    with telling(feed, heartbeat=600) as server:
        with listening(server, "/events"):
            assert not feed.closed.is_set()
        assert feed.closed.wait(30)


def is_reset(server: HttpServer, target: str, closed: threading.Event | None = None) -> bool:
    """Whether the connection of somebody who asks, and does not read, is reset."""
    with socket.create_connection((server.host, server.port), timeout=30) as lazy:
        lazy.sendall(
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        if closed is not None:
            assert closed.wait(30)
        watch = select.poll()
        watch.register(lazy, 0)  # errors only: there is a lot to read
        return bool(watch.poll(30_000)[0][1] & select.POLLERR)


def test_who_does_not_read_is_cut_off(caplog: pytest.LogCaptureFixture) -> None:
    """What he was sent fills his window and the server's, then the connection is reset; that is no
    error of the server's."""
    feed = Scripted(b"data: " + b"x" * 60_000 + b"\n\n", endless=True)
    with telling(feed, patience=4.0) as server:  # none is so slow that reads
        assert is_reset(server, "/events", feed.closed)
        assert Client(server).ask("/healthz")[0] == 200
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING] == []


def test_who_does_not_read_to_the_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is sent already, of which nobody takes the rest, holds no connection."""
    monkeypatch.setattr(listening_module, "HEAD_SECONDS", 4.0)

    async def page(_: Request) -> Response:
        return Response(b"x" * 20_000_000)

    routes = [GuardedRoute("/much", page, Role.VIEWER, STREAM_PAGE)]
    server = HttpServer(Bind(), CollectorRegistry(), lambda: "", routes)
    try:
        assert is_reset(server, "/much")
    finally:
        server.close()


def test_who_loses_the_right_to_listen_is_told_no_more(tmp_path: Path) -> None:
    """A token that is revoked while it listens: the answer ends at the next heartbeat."""
    tokens = TokenFile(tmp_path / "tokens.json")
    shown = tokens.create("ana", Role.VIEWER, 1)
    feed = Scripted(b"id: a-1\n\n")
    headers = {"Authorization": f"Bearer {shown}"}
    with (
        telling(feed, Bind("0.0.0.0", tokens=tokens.path)) as server,
        listening(server, "/events", headers) as listener,
    ):
        assert listener.answer.readline() == b"\n"
        assert listener.answer.readline() == b": nothing new\n"  # still there at a heartbeat
        tokens.revoke("ana")
        assert listener.next() is None
        assert feed.closed.wait(30)


def test_who_loses_the_right_to_listen_is_told_no_more_however_much_there_is(
    tmp_path: Path,
) -> None:
    """A stream that is never silent for as long as a heartbeat ends like any other."""
    tokens = TokenFile(tmp_path / "tokens.json")
    headers = {"Authorization": f"Bearer {tokens.create('ana', Role.VIEWER, 1)}"}
    feed = Scripted(b'id: a-1\ndata: "' + b"x" * 60_000 + b'"\n\n', endless=True)
    with (
        telling(feed, Bind("0.0.0.0", tokens=tokens.path), heartbeat=60.0) as server,
        listening(server, "/events", headers) as listener,
    ):
        listener.heard(3)
        tokens.revoke("ana")
        most = 1_000  # what is on its way already fits into the windows
        assert any(listener.next() is None for _ in range(most))
        assert feed.closed.wait(30)


def test_a_ledger_from_before_is_told_from_its_beginning(tmp_path: Path) -> None:
    """Alerts of a ledger of the first schema have changed in the order in which they came."""
    path = tmp_path / "ledger.duckdb"
    row = (
        "(?, ?, 'ethereum', 'taint', 1, 'taint', 2, 0.7, ?, 'attacker', 5, ?, 9, NULL, 0, 'words', "
        """'[]', '{"transactions":[],"addresses":[],"amounts":[]}', 'active', NULL, 0)"""
    )
    ids = [alert(number).id for number in (1, 2, 3)]
    with first_schema(path) as connection:
        connection.execute(
            "INSERT INTO ledger.cursors VALUES ('ethereum', NULL, NULL, '', 0, 0, 0)"
        )
        for serial, one in enumerate(ids, 1):
            connection.execute(
                f"INSERT INTO ledger.alerts VALUES {row}", [one, serial, WALLET, position(5).hash]
            )
        connection.execute("UPDATE ledger.totals SET alerts = 3, alert_serial = 3")
    with Ledger.open(path, ETHEREUM) as ledger:
        assert [r.alert.id for r in ledger.alert_changes(0, 10)] == ids
        commit(ledger, [4], [], "a")
        assert [r.changed for r in ledger.alert_changes(1, 10)] == [2, 3, 4]
        assert ledger.last_change == 4
        identity = ledger.identity
    with Ledger.open(path, ETHEREUM) as ledger:
        assert (ledger.identity, ledger.last_change) == (identity, 4)
