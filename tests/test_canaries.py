"""Secrets are planted in every setting that takes one, every adapter fails in every way it can, and
nothing that comes out holds any of them: output, logs, metrics, answers, files, command lines."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
import traceback
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Any, Final

import pytest

from chainwarden.api_client import ApiClient
from chainwarden.deployment import kafka_config
from chainwarden.errors import ChainwardenError
from chainwarden.logs import OneLine
from chainwarden.receivers import senders_of
from chainwarden.schema import ETHEREUM, Cursor, Severity
from chainwarden.scorecard import RULES
from chainwarden.server import Bind, Role
from chainwarden.server.tokens import TokenFile
from chainwarden.settings import Secret, load_settings
from ingest.endpoint import Endpoint
from ingest.heads import HeadDoorbell
from store.delivery import Delivery
from store.ledger import Commit, Ledger
from tests.command import wait_for
from tests.rigs import canaries
from tests.rigs.canaries import API_TOKEN, BROKER, PASSWORD, QUERY, leaked, leaks_under, rpc_url
from tests.rigs.liar import Answer, Liar, Recording
from tests.rigs.receiver import WebhookReceiver
from tests.rigs.warm import Command, WarmCommands
from tests.store.made import alert

ECHO: Final = f"{canaries.USER}:{PASSWORD} {QUERY} {canaries.PATH}?key={QUERY}".encode()
"""What a node says that repeats all it was told."""
FAILURES: Final[dict[str, Callable[[Liar], Answer | None]]] = {
    "refused": lambda _: Answer(ECHO, 401, {"www-authenticate": ECHO.decode()}),
    "forbidden": lambda _: Answer(b'{"error":{"code":1,"message":"%b"}}' % ECHO, 403),
    "error": lambda _: Answer(
        b'{"jsonrpc":"2.0","id":0,"error":{"code":-32000,"message":"no such key: %b"}}' % ECHO
    ),
    "redirect": lambda liar: Answer(b"", 302, {"location": f"{liar.url}/{ECHO.decode()}"}),
    "garbage": lambda _: Answer(b"<html>" + ECHO),
    "cut": lambda _: Answer(ECHO * 50, cut=300),
    "limited": lambda _: Answer(ECHO, 429, {"retry-after": "1"}),
}


@pytest.fixture(scope="module")
def commands() -> Iterator[WarmCommands]:
    """Commands that start at once."""
    with WarmCommands() as warm:
        yield warm


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Three blocks."""
    made = Recording()
    made.grow(3)
    return made


@pytest.fixture
def closed() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def secrets(rpc: str, hook: int = 9, broker: int = 9, **more: str) -> dict[str, str]:
    """Every secret as a variable of the environment."""
    return {
        "CHAINWARDEN_SOURCE_RPC": rpc,
        "CHAINWARDEN_SOURCE_WEBSOCKET": rpc_url("ws", hook),
        "CHAINWARDEN_BUS_BOOTSTRAP_SERVERS": f"127.0.0.1:{broker}",
        "CHAINWARDEN_BUS_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "CHAINWARDEN_BUS_SASL_MECHANISM": "PLAIN",
        "CHAINWARDEN_BUS_USERNAME": "chainwarden",
        "CHAINWARDEN_BUS_PASSWORD": BROKER,
        "CHAINWARDEN_WEBHOOK_URL": f"http://127.0.0.1:{hook}/{canaries.HOOK_PATH}",
        "CHAINWARDEN_WEBHOOK_SECRET": canaries.HOOK_SECRET,
        "CHAINWARDEN_WEBHOOK_ALLOW_NETWORKS": "127.0.0.0/8",
        "CHAINWARDEN_SERVER_TOKEN": API_TOKEN,
        "CHAINWARDEN_DETECT_HASH_KEY": canaries.HASH_KEY,
        **more,
    }


def stopped(started: Sequence[Command]) -> None:
    """Commands that would try for long yet are asked to stop; who does not soon is made to."""
    for one in started:
        one.send(SIGTERM)
    deadline = time.monotonic() + 3
    while any(one.code is None for one in started) and time.monotonic() < deadline:
        time.sleep(0.02)
    for one in started:
        one.send(SIGKILL)
    for one in started:
        one.wait()


def _failing(fail: Callable[[Liar], Answer | None], liar: Liar) -> Callable[[Any], Answer | None]:
    return lambda _requests: fail(liar)


@pytest.mark.timeout(300)
def test_no_failure_of_a_node_shows_its_url(
    commands: WarmCommands, recording: Recording, closed: int, tmp_path: Path
) -> None:
    """Down, refusing, lying, redirecting, repeating what it was told, no TLS: each of the commands
    that ask a node fails, and says nothing of what its URL holds."""
    liars = {name: Liar(recording) for name in FAILURES}
    for name, liar in liars.items():
        liar.__enter__()
        liar.intercept = _failing(FAILURES[name], liar)
    plain = int(liars["garbage"].url.rpartition(":")[2])
    urls = {name: rpc_url("http", int(liar.url.rpartition(":")[2])) for name, liar in liars.items()}
    urls |= {"down": rpc_url("http", closed), "no-tls": rpc_url("https", plain)}
    started = []
    try:
        for name, url in urls.items():
            for words in (
                ("fetch", "x", "--from", 100, "--to", 101, "--json"),
                ("doctor", "--json") if name in ("error", "down") else ("doctor",),
                ("run", "--port", 0, "--out", f"out-{name}"),
            ):
                if words[0] != "run" or name in ("error", "down", "refused"):
                    env, label = secrets(url, closed, closed), f"{name}-{words[0]}"
                    started.append(commands.start(*words, folder=tmp_path, name=label, env=env))
        # On a machine that is busy so many commands take their time to come to that.
        wait_for("every liar to be asked", lambda: all(one.headers for one in liars.values()), 180)
        for one in started:
            one.wait()
    finally:
        for liar in liars.values():
            liar.__exit__(None, None, None)
    assert any("authorization" in headers for liar in liars.values() for headers in liar.headers)
    fetched = [one for one in started if one.log.name.endswith("fetch.log")]
    assert all(one.code != 0 for one in fetched)
    said = [one.errors() + one.out.read_text(encoding="utf-8") for one in started]
    assert sum(map(bool, said)) >= len(fetched) + 1, "a failure that says nothing"
    assert leaks_under(tmp_path) == {}


@pytest.mark.timeout(200)
def test_no_failure_of_a_broker_shows_its_password(
    commands: WarmCommands, recording: Recording, closed: int, tmp_path: Path
) -> None:
    """Nobody there, something that is no broker, one without TLS: for both sides and the doctor."""
    with Liar(recording) as liar, _Noise() as noise:
        rpc = rpc_url("http", int(liar.url.rpartition(":")[2]))
        started = []
        for name, port, protocol in (
            ("down", closed, "SASL_PLAINTEXT"),
            ("noise", noise.port, "SASL_PLAINTEXT"),
            ("no-tls", noise.port, "SASL_SSL"),
        ):
            more = {"CHAINWARDEN_BUS_SECURITY_PROTOCOL": protocol, "CHAINWARDEN_BUS_KIND": "kafka"}
            for words in (
                ("detect", "--port", 0, "--out", f"detect-{name}"),
                ("ingest", "--port", 0, "--out", f"ingest-{name}"),
                ("doctor", "--json"),
            ):
                env = secrets(rpc, closed, port, **more)
                label = f"{name}-{words[0]}"
                started.append(commands.start(*words, folder=tmp_path, name=label, env=env))
        for doctor in started[2::3]:
            doctor.wait()
        stopped(started)
    found = [json.loads(one.out.read_text(encoding="utf-8")) for one in started[2::3]]
    assert [one["status"] for checks in found for one in checks if one["name"] == "kafka"] == [
        "failed"
    ] * 3
    assert leaks_under(tmp_path) == {}


class _Noise:
    """A listener that answers anything with all it knows."""

    def __enter__(self) -> _Noise:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._answer)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(0.5)
                connection.recv(65_536)
                connection.sendall(BROKER.encode())


@pytest.mark.timeout(300)
def test_a_deployment_that_runs_keeps_its_secrets(
    commands: WarmCommands, recording: Recording, tmp_path: Path
) -> None:
    """Blocks are scored, alerts posted to a receiver that fails; metrics, API, ledger, lake,
    snapshots, reports, logs and command lines hold no secret."""
    out = tmp_path / "out"
    with Ledger.open(out / "ledger.duckdb", ETHEREUM, receivers=["default"]) as ledger:
        ledger.commit(Commit(Cursor(None), alerts=[alert(n) for n in range(1, 4)]))
    tokens = TokenFile(out / "tokens.json")
    other = tokens.create("ana", Role.VIEWER, 1)
    with Liar(recording) as liar, WebhookReceiver((canaries.HOOK_SECRET,)) as receiver:
        liar.finalized = recording.numbers[0]
        receiver.mode = "error"
        port = int(liar.url.rpartition(":")[2])
        env = secrets(rpc_url("http", port), receiver.port)
        words = ("run", "--start", recording.numbers[0], "--port", 0, "--out", "out")
        process = commands.start(*words, folder=tmp_path, name="run", env=env)
        address = wait_for("an address", process.address, 120)
        wait_for("a POST", lambda: receiver.received, 60)
        assert receiver.received[0].signed_with(canaries.HOOK_SECRET)
        assert canaries.HOOK_PATH in receiver.received[0].path
        pages = [
            asked(f"{address}{path}", token)
            for path in (
                "/metrics", "/api/v1/status", "/api/v1/alerts", f"/{API_TOKEN}",
                f"/api/v1/alerts?token={API_TOKEN}", f"/api/v1/alerts/{canaries.PATH}",
            )
            for token in (None, API_TOKEN, other, API_TOKEN[:-1])
        ]  # fmt: skip
        assert {status for status, _ in pages} >= {200, 401, 404, 422}
        # What somebody asks for is repeated to him alone: that is not ours to hide.
        told = [text.replace(API_TOKEN, "").replace(canaries.PATH, "") for _, text in pages]
        assert [text for text in told if leaked(text)] == []
        head = f'detect"}} {float(recording.numbers[-1])}'
        wait_for("the last block", lambda: head in asked(f"{address}/metrics", None)[1], 60)
        page = asked(f"{address}/metrics", None)[1].splitlines()
        series = [line for line in page if line.startswith("chainwarden_")]
        # What there is now, and an alert of every rule at every severity: a stranger adds none.
        assert len(series) + len(RULES) * len(Severity) < 2_000
        assert [line for line in series if re.search(r"0x[0-9a-f]{8}|[^ -~]", line)] == []
        command_line = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.send(SIGTERM)
        assert process.wait() == 0, process.errors()
    report = commands.start("report", "out", folder=tmp_path, name="report", env=env)
    assert report.wait() == 0, report.errors()
    assert (out / "report.html").exists()
    assert list((out / "snapshots").glob("*.bin"))
    assert leaked(command_line) == []
    assert leaks_under(tmp_path) == {}


@pytest.mark.parametrize("mode", ["error", "redirect", "garbage", "lost", "refuse", "gone", "busy"])
def test_no_failure_of_a_receiver_shows_its_url_or_key(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    """However it fails, the log and the ledger say so without them."""
    with WebhookReceiver((canaries.HOOK_SECRET,)) as receiver:
        receiver.mode, receiver.retry_after = mode, QUERY
        settings = load_settings(None, secrets("http://127.0.0.1:9", receiver.port))
        senders = senders_of(settings)
        with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["default"]) as ledger:
            ledger.commit(Commit(Cursor(None), alerts=[alert(1)]))
            Delivery(ledger.outbox, senders, lambda: 2e9).deliver_due()
        for sender in senders:
            sender.close()
        assert receiver.received
    said = "\n".join(OneLine().format(record) for record in caplog.records)
    assert leaked(said + caplog.text) == []
    assert leaks_under(tmp_path) == {}


@pytest.mark.parametrize(
    "text",
    [
        f"[server]\ntoken = {API_TOKEN}\n",
        f"[server]\ntoken = '{API_TOKEN}",
        f"[server]\ntokn = '{API_TOKEN}'\n",
        f"[server]\ntoken = ['{API_TOKEN}']\n",
        f"[server.token]\nvalue = '{API_TOKEN}'\n",
        f"[server]\ntoken = '{API_TOKEN[:15]}'\n",
        f"[source]\nrpc = '{rpc_url('http', 1)}'\n",
        f"[source]\nrpc = ['{rpc_url('ftp', 1)}']\n",
        f"[source]\nrpc = ['{rpc_url('http', 99999)}']\n",
        f"[source]\nrpc = [{{url = '{rpc_url('http', 1)}'}}]\n",
        f"[source]\nwebsocket = '{rpc_url('http', 1)}'\n",
        f"[bus]\npassword = {{x = '{BROKER}'}}\n",
        f"[detect]\nhash_key = '{canaries.HASH_KEY}0'\n",
        f"[[webhooks]]\nname = 'a'\nurl = '{canaries.HOOK_PATH}'\nsecret = 's'\n",
        f"[[webhooks]]\nname = 'a'\nurl = 'http://x'\nsecret = '{canaries.HOOK_SECRET[:9]}'\n",
        f"[[webhooks]]\nname = 'a'\nurl = 'http://x'\nsecrets = '{canaries.HOOK_SECRET}'\n",
        f"webhooks = '{canaries.HOOK_SECRET}'\n",
    ],
)
def test_no_mistake_in_the_settings_shows_a_secret(tmp_path: Path, text: str) -> None:
    """A missing quote, a wrong type, a misspelt key, what does not fit: only the place is said."""
    path = tmp_path / "chainwarden.toml"
    path.write_text(text, encoding="utf-8")
    try:
        settings = load_settings(path)
        senders_of(settings)
        for url in settings.source.rpc:
            Endpoint(url.reveal())
        if settings.source.websocket:
            HeadDoorbell(settings.source.websocket.reveal())
    except ChainwardenError as error:
        said = "".join(traceback.format_exception(error)) + repr(error) + error.hint
        assert leaked(said) == []
        assert "chainwarden" in said
    else:
        pytest.fail("nothing is wrong with it")


def test_nothing_shows_a_secret_when_it_is_printed() -> None:
    """What a traceback with locals, a debugger or a careless log line would show."""
    settings = load_settings(None, secrets(rpc_url("http", 1)))
    kafka = kafka_config(settings, ETHEREUM)
    senders = senders_of(settings)
    endpoint = Endpoint(settings.source.rpc[0].reveal())
    bell = HeadDoorbell(settings.source.websocket.reveal())
    client = ApiClient("127.0.0.1", 1, settings.server.token)
    bind = Bind(token=settings.server.token)
    found = {
        type(one).__name__: leaked(f"{one} {one!r} {[one]}")
        for one in (settings, *senders, endpoint, bell, client, kafka, bind, Secret(API_TOKEN))
    }
    found["Receiver"] = leaked(repr([vars(sender).get("_receiver", "") for sender in senders]))
    assert {name: secrets for name, secrets in found.items() if secrets} == {}
    assert kafka.password == BROKER  # it is there, and not shown
    for sender in senders:
        sender.close()


def asked(url: str, token: str | None) -> tuple[int, str]:
    """Status, headers and text of a page."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=10
        ) as page:
            return page.status, f"{page.headers}\n{page.read().decode()}"
    except urllib.error.HTTPError as error:
        with error:
            return error.code, f"{error.headers}\n{error.read().decode()}"
