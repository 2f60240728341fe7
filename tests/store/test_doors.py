"""Who gets in: every route with every kind of token, over real sockets."""

from __future__ import annotations

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from starlette.routing import Route

from chainwarden.errors import SettingsError
from chainwarden.schema import ETHEREUM, Cursor
from chainwarden.server import Bind, HttpServer, Role
from chainwarden.server.guard import SECURITY_HEADERS
from chainwarden.server.listen import CONNECTIONS
from chainwarden.server.tokens import DAY, TokenFile
from chainwarden.settings import Secret
from store.ledger import Commit, Ledger
from tests.figures import Tell
from tests.store.asking import (
    ALERTS,
    LABELS,
    MODELS,
    OTHER,
    TOKEN,
    Client,
    fill,
    serving,
    serving_everything,
)
from tests.store.made import position

PROMOTIONS = f"{MODELS}/promotions"
LABEL = {"address": "0x" + OTHER.hex(), "label": "phishing"}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFile:
    """The file of tokens beside it, which is not there yet."""
    return TokenFile(tmp_path / "tokens.json")


def bearer(token: str) -> dict[str, str]:
    """The header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


def routes(server: HttpServer) -> list[tuple[str, str, Role]]:
    """Method, a path and role of every route that there is."""
    return [
        (method, re.sub(r"\{\w+\}", "0x" + "ab" * 20, route.path), route.role)
        for route in server.routes
        for method in sorted(route.methods or ())
    ]


def test_every_route_wants_the_right_token(ledger: Ledger, tokens: TokenFile, tell: Tell) -> None:
    """No token, a malformed, unknown, expired or revoked one: 401. A lower role: 403. Else in."""
    shown = {role: tokens.create(role.text, role, 1) for role in Role}
    tokens.create("gone", Role.ADMIN, None)
    gone = tokens.create("gone-too", Role.ADMIN, None)
    old = TokenFile(tokens.path, lambda: time.time() - 2 * DAY).create("old", Role.ADMIN, 1)
    assert tokens.revoke("gone")
    assert tokens.revoke("gone-too")
    wrong = [
        {}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "},
        {"Authorization": shown[Role.ADMIN]}, {"Authorization": f"Basic {shown[Role.ADMIN]}"},
        bearer("cw_" + "A" * 43), bearer(shown[Role.ADMIN][:-1]), bearer(shown[Role.ADMIN] + "A"),
        bearer(shown[Role.ADMIN].swapcase()), bearer("\xff\xfe"), bearer("x" * 5000),
        bearer(tokens.all()[2].digest), bearer(old), bearer(gone),
    ]  # fmt: skip
    with serving_everything(ledger, tokens.path.parent, host="0.0.0.0") as server:
        client, found = Client(server), routes(server)
        assert len({(method, path) for method, path, _ in found}) >= 21 + 16  # a HEAD for each GET
        for method, path, wanted in found:
            assert wanted > Role.VIEWER or method in ("GET", "HEAD"), (method, path)
            for headers in wrong:
                status, body, answered = client.ask(path, method, headers=headers)
                assert status == 401, (method, path, headers)
                assert answered["WWW-Authenticate"] == "Bearer"
                assert not any(token in json.dumps(str(body)) for token in (*shown.values(), old))
            for role, token in shown.items():
                status, _, _ = client.ask(path, method, headers=bearer(token))
                assert (status == 403) == (role < wanted), (method, path, role, status)
                assert status != 401
    assert not ledger.labels()
    tell(f"{len(found)} routes, {len(wrong)} wrong tokens or none: each refused everywhere")


def test_a_route_without_a_role_is_not_served(ledger: Ledger) -> None:
    """Who adds a route and forgets to say who may ask it is told at the start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "store.api.GuardedRoute",
            lambda path, endpoint, _role, _, methods=("GET",): Route(
                path, endpoint, methods=methods
            ),
        )
        with pytest.raises(TypeError, match="role"), serving(ledger):
            pass


def test_a_running_process_hears_of_tokens(ledger: Ledger, tokens: TokenFile) -> None:
    """Made and revoked beside it, a token opens and closes with the next request; the file being
    damaged, or gone, opens nothing."""
    with serving(ledger, Bind(tokens=tokens.path)) as server:
        client = Client(server)
        assert client.ask("/api/v1/status")[0] == 200  # loopback, and nobody has a token yet
        ana = tokens.create("ana", Role.VIEWER, None)
        assert client.ask("/api/v1/status")[0] == 401
        assert client.ask("/api/v1/status", headers=bearer(ana))[0] == 200
        bob = tokens.create("bob", Role.VIEWER, None)
        assert tokens.revoke("ana")
        assert client.ask("/api/v1/status", headers=bearer(ana))[0] == 401
        assert client.ask("/api/v1/status", headers=bearer(bob))[0] == 200
        content = tokens.path.read_bytes()
        for damage in (b"{", content[:-9], content.replace(b'"viewer"', b'"owner"'), b"\xff", b""):
            tokens.path.write_bytes(damage)
            for headers in ({}, bearer(ana), bearer(bob)):
                assert client.ask("/api/v1/status", headers=headers)[0] in (401, 503), damage
            assert client.ask("/healthz")[0] == 200
        tokens.path.write_bytes(content)
        assert client.ask("/api/v1/status", headers=bearer(bob))[0] == 200
        tokens.path.chmod(0o666)  # anybody could have made himself a token
        assert client.ask("/api/v1/status", headers=bearer(bob))[0] == 503
        tokens.path.unlink()
        assert client.ask("/api/v1/status")[0] == 401
        assert client.ask("/api/v1/status", headers=bearer(bob))[0] == 401


def test_the_settings_token_stays_an_admins(ledger: Ledger, tokens: TokenFile) -> None:
    """It opens everything beside those of the file, and cannot be one of them."""
    ana = tokens.create("ana", Role.VIEWER, None)
    with serving(ledger, Bind("0.0.0.0", 0, Secret(TOKEN), tokens.path)) as server:
        client = Client(server)
        assert client.ask(PROMOTIONS, "POST", {}, bearer(TOKEN))[0] == 409
        assert client.ask(PROMOTIONS, "POST", {}, bearer(ana))[0] == 403
        tokens.path.write_bytes(b"{")
        assert client.ask("/api/v1/status", headers=bearer(TOKEN))[0] == 200
    with pytest.raises(SettingsError, match="no file of tokens"):
        serving(ledger, Bind(tokens=tokens.path)).__enter__()
    tokens.path.unlink()
    ana = tokens.create("ana", Role.VIEWER, None)
    with pytest.raises(SettingsError, match="token ana"):
        serving(ledger, Bind("127.0.0.1", 0, Secret(ana), tokens.path)).__enter__()


def test_only_a_usable_token_lets_it_bind_beyond_loopback(
    ledger: Ledger, tokens: TokenFile
) -> None:
    """One that was revoked or expired is none."""
    bind = Bind("0.0.0.0", tokens=tokens.path)
    TokenFile(tokens.path, lambda: time.time() - 2 * DAY).create("old", Role.ADMIN, 1)
    with pytest.raises(SettingsError, match="open to everybody"):
        serving(ledger, bind).__enter__()
    tokens.create("ana", Role.VIEWER, 1)
    with serving(ledger, bind):
        pass
    tokens.revoke("ana")
    with pytest.raises(SettingsError, match="open to everybody"):
        serving(ledger, bind).__enter__()


def test_who_acted_is_whose_token_it_was(ledger: Ledger, tokens: TokenFile) -> None:
    """Labels, withdrawals and promotions are the token's, whoever the request says it is."""
    ana, eve = (tokens.create(name, Role.ANALYST, 1) for name in ("ana", "eve"))
    root = tokens.create("root@ops", Role.ADMIN, 1)
    challenger = {"configuration": "cafe", "parameters": {}}
    told = {"champion": {"configuration": "beef"}, "challenger": challenger, "comparison": {}}
    ledger.commit(Commit(Cursor(position(12)), models=told))
    with serving(ledger, Bind("0.0.0.0", 0, Secret(TOKEN), tokens.path)) as server:
        client = Client(server)
        forged = {**LABEL, "author": "eve", "note": "n"}
        assert client.ask(LABELS, "POST", forged, bearer(ana))[0] == 201
        target = f"{LABELS}?address={LABEL['address']}&label=phishing&author=ana"
        assert client.ask(target, "DELETE", headers=bearer(eve))[0] == 200
        assert client.ask(LABELS, "POST", {**LABEL, "author": "zoe"}, bearer(TOKEN))[0] == 201
        promoted = client.ask(PROMOTIONS, "POST", {"author": "ana"}, bearer(root))
        assert promoted[0] == 201, promoted
    by = [(change.by, change.withdrawn) for change in ledger.label_changes()]
    assert by == [("ana", False), ("eve", True), ("zoe", False)]
    assert [one.by for one in ledger.promotions()] == ["root@ops"]


# --- how often, how much -----------------------------------------------------------------------


def test_nobody_asks_more_often_than_the_limit(ledger: Ledger, tokens: TokenFile) -> None:
    """Each token and each address has its own count; 429 says when; the open pages go on."""
    ana, bob = (tokens.create(name, Role.VIEWER, 1) for name in ("ana", "bob"))
    with serving(ledger, Bind(tokens=tokens.path), per_minute=5) as server:
        client = Client(server)
        said = [client.ask("/api/v1/status", headers=bearer(ana)) for _ in range(6)]
        assert [status for status, _, _ in said] == [200] * 5 + [429]
        assert 1 <= int(said[-1][2]["Retry-After"]) <= 12
        assert said[-1][2]["X-Content-Type-Options"] == "nosniff"
        assert client.ask("/api/v1/status", headers=bearer(bob))[0] == 200
        guesses = [client.ask(ALERTS, headers=bearer("cw_no"))[0] for _ in range(7)]
        assert guesses == [401] * 5 + [429] * 2
        assert client.ask("/api/v1/status", headers=bearer(bob))[0] == 200
        assert [client.ask("/healthz")[0] for _ in range(6)] == [200] * 5 + [429]
    with serving(ledger, per_minute=5) as server:  # and without tokens
        client = Client(server)
        assert [client.ask("/api/v1/status")[0] for _ in range(6)] == [200] * 5 + [429]


def test_too_many_connections_are_turned_away(ledger: Ledger) -> None:
    """Beyond the bound 503 and no more; when one ends, the next is answered again."""
    with serving(ledger) as server:
        place = (server.host, server.port)
        held = [socket.create_connection(place, timeout=5) for _ in range(CONNECTIONS)]
        try:
            asked = http.client.HTTPConnection(*place, timeout=5)
            asked.request("GET", "/healthz")
            answer = asked.getresponse()
            assert answer.status == 503
            assert answer.headers["Retry-After"] == "1"
            assert_secure(answer.headers)
            asked.close()
            held.pop().close()
            deadline = time.monotonic() + 5
            while Client(server).ask("/healthz")[0] != 200 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert Client(server).ask("/healthz")[0] == 200
        finally:
            for one in held:
                one.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no HTTP\r\n\r\n",
        b"GET /api/v1/status HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ],
)
def test_what_is_no_request_is_refused_with_the_same_headers(ledger: Ledger, sent: bytes) -> None:
    """Not HTTP, two hosts, contradictory lengths: 400, and the connection ends."""
    with serving(ledger) as server:
        with socket.create_connection((server.host, server.port), timeout=5) as connection:
            connection.sendall(sent)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 400
            assert_secure(answer.headers)
            assert answer.headers["Connection"] == "close"
            answer.close()
        assert Client(server).ask("/healthz")[0] == 200


@pytest.mark.parametrize("pause", [0.0, 0.2])
def test_a_head_has_a_bound(ledger: Ledger, pause: float) -> None:
    """Above 16 kB it is refused, whether it comes at once or is still coming."""
    with serving(ledger) as server:
        for size, wanted in ((12_000, {200}), (20_000, {400, 431})):
            head = b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * size
            with socket.create_connection((server.host, server.port), timeout=5) as connection:
                connection.sendall(head)
                time.sleep(pause)
                with suppress(ConnectionError):  # it may have been refused already
                    connection.sendall(b"\r\n\r\n")
                answer = http.client.HTTPResponse(connection)
                answer.begin()
                assert answer.status in wanted
                assert_secure(answer.headers)
                answer.close()
        for target in ("/" + "x" * 20_000, "/api/v1/alerts?rule=" + "x" * 20_000):
            assert Client(server).ask(target)[0] in (400, 431)


def assert_secure(headers: http.client.HTTPMessage) -> None:
    """Every security header, once."""
    for name, value in SECURITY_HEADERS.items():
        assert headers.get_all(name) == [value], name
