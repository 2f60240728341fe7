"""A server over a ledger of a dozen alerts, and somebody who asks it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from chainwarden.deployment import new_metrics
from chainwarden.schema import Cursor, Retraction, Severity
from chainwarden.server import Bind, HttpServer, Limits
from chainwarden.serving import serve_ledger
from chainwarden.settings import ServerSettings, Settings, StoreSettings
from detect.label_lists import parse_address
from detect.labels import LabelBook
from store.api import Api, Explaining, Wallets
from store.ledger import Commit, Ledger
from tests.store.made import WALLET, alert, position

OTHER = b"\x07" * 20
TOKEN = "correct-horse-battery-staple"
ALERTS = "/api/v1/alerts"
LABELS = "/api/v1/labels"
MODELS = "/api/v1/models"
NOW = 1_700_500_000
OFTEN = 1_000_000  # requests a minute, where how many is not what is tested


@dataclass
class Client:
    """Asks one server."""

    server: HttpServer
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        target: str,
        method: str = "GET",
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """Status, decoded body, headers."""
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=10)
        sent = {**self.headers, **(headers or {})}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, target, data, sent)
            answer = connection.getresponse()
            endless = answer.headers.get_content_type() == "text/event-stream"
            content = b"" if endless else answer.read()
        finally:
            connection.close()
        is_json = content and answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(content) if is_json else content, answer.headers

    def get(self, target: str) -> Any:
        """The body of a page that is there."""
        status, body, _ = self.ask(target)
        assert status == 200, body
        return body

    def ids(self, query: str) -> list[str]:
        """The ids on a page of alerts."""
        return [one["id"] for one in self.get(f"{ALERTS}?{query}")["alerts"]]


def fill(ledger: Ledger) -> None:
    """Twelve alerts about two wallets by two rules, one of them taken back."""
    for number in range(1, 13):
        one = alert(
            number,
            subject=WALLET if number % 3 else OTHER,
            severity=Severity(number % 5),
            rule="mixer_touch" if number % 2 else "ice_phishing",
        )
        ledger.commit(Commit(Cursor(position(number), {}, number, 2 * number, 3 * number), [one]))
    ledger.commit(
        Commit(Cursor(position(11), {}, 11, 22, 33), retractions=[Retraction(one.id, one.position)])
    )


@contextmanager
def serving(
    ledger: Ledger,
    bind: Bind | None = None,
    seconds: float = 10.0,
    per_minute: int = OFTEN,
    wallets: Wallets | None = None,
    explainer: Explaining | None = None,
) -> Iterator[HttpServer]:
    """A server over the ledger, closed in the order the product closes it."""
    api = Api(ledger, parse_address, lambda: NOW + 0.5, explainer, wallets)
    try:
        limits = Limits(seconds=seconds, per_minute=per_minute)
        server = HttpServer(bind or Bind(), CollectorRegistry(), lambda: "", api.routes, limits)
        try:
            yield server
        finally:
            server.close()
    finally:
        api.close()


@contextmanager
def serving_everything(
    ledger: Ledger, out: Path, labels: LabelBook | None = None, host: str = "127.0.0.1"
) -> Iterator[HttpServer]:
    """The server of a folder as the product puts it together, with every route that it has."""
    server = ServerSettings(host=host, port=0, requests_per_minute=OFTEN)
    settings = Settings(store=StoreSettings(out=str(out)), server=server)
    metrics = new_metrics(ledger.chain)
    with ExitStack() as stack:
        yield serve_ledger(settings, ledger, labels or LabelBook(), metrics, lambda: "", stack)
