"""No value is ever SQL: a corpus in every parameter of every route, and what a reader can do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pytest

from chainwarden.errors import StoreError
from chainwarden.schema import ETHEREUM, Label
from detect.label_lists import parse_address
from store.api import Api
from store.api_pages import NewAcknowledgement, NewLabel, NewSuppression
from store.delivery_answers import EnableWord, ReplayWord
from store.ledger import AlertFilter, Commit, Ledger
from store.model_answers import PromotionWord
from tests.store.asking import ALERTS, OTHER, Client, fill, serving

# What sqlmap tries, by its five ways (boolean, error, union, stacked, time), for this dialect.
INJECTIONS: Final = (
    "' OR 1=1 --", "' OR '1'='1", '" OR ""="', "1) OR (1=1", "') OR ('a'='a", "1 OR 1=1",
    "' AND 1=2 --",
    "' AND 1=CAST((SELECT version()) AS INT) --", "' || (SELECT 1/0) || '", "'||(SELECT 1)||'",
    "' UNION SELECT * FROM ledger.labels --", "' UNION ALL SELECT NULL,NULL,NULL --",
    "x' UNION SELECT * FROM read_csv('/etc/passwd') --", "1 UNION SELECT * FROM duckdb_settings()",
    "'; DELETE FROM ledger.alerts; --", "'; DROP TABLE ledger.labels; --",
    "1; UPDATE ledger.totals SET commits=0",
    "'; ATTACH '/tmp/x' AS y; --", "'; COPY ledger.alerts TO '/tmp/x'; --", "'; INSTALL httpfs; --",
    "'; PRAGMA database_list; --", "'; SET enable_external_access=true; --", "'; CHECKPOINT; --",
    "' AND (SELECT count(*) FROM range(10000000000)) > 0 --", "'; SELECT sleep(10); --",
    "0x27204f5220313d31", "%27%20OR%201=1", "\\'; --", "\\", "%00", "?", "$1", ":1", "{0}", "%s",
    "''", "`",
    "mixer_touch\x00", "/**/", "--", "\ud7ff", "𝒳' --", "ʼ OR 1=1", "＇ OR 1=1", "NULL", "a" * 4000,
)  # fmt: skip
BODIES: Final[dict[str, type[msgspec.Struct]]] = {
    "/api/v1/labels": NewLabel,
    "/api/v1/alerts/{id}/acknowledgement": NewAcknowledgement,
    "/api/v1/suppressions": NewSuppression,
    "/api/v1/models/promotions": PromotionWord,
    "/api/v1/deliveries/replay": ReplayWord,
    "/api/v1/deliveries/enable": EnableWord,
}
"""What each POST takes; a new one is missed by the test below."""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own, with a challenger and a label."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        fill(opened)
        told = {"champion": {"configuration": "beef"}, "comparison": {}}
        challenger: dict[str, Any] = {"configuration": "cafe", "parameters": {}}
        cursor = opened.cursor()
        assert cursor is not None
        opened.commit(Commit(cursor, models={**told, "challenger": challenger}))
        opened.add_label(Label(OTHER, "exchange", "list"))
        yield opened


def everything(ledger: Ledger) -> str:
    """Every row of every table, as text, and what files there are."""
    cursor = ledger.outbox._database.cursor()
    tables = cursor.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'ledger' ORDER BY 1"
    ).fetchall()
    assert len(tables) > 8
    folder = ledger.outbox._database.path.parent
    # A withdrawal that finds nothing is a commit all the same: their count says nothing.
    columns = {"totals": "* EXCLUDE (commits)"}
    rows = [
        str(cursor.execute(f"SELECT {columns.get(name, '*')} FROM ledger.{name}").fetchall())
        for (name,) in tables
    ]
    return "\n".join([*rows, *sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))])


def parameters(client: Client, path: str, method: str) -> list[str]:
    """The query's parameters that a route knows, as it says itself."""
    target = f"{path}?no-such-parameter=1"
    method = "GET" if method == "HEAD" else method
    status, said, _ = client.ask(target, method, b"{}" if method == "POST" else None)
    assert status == 422, (path, method, said)
    known = said["hint"].removeprefix("known: ")
    return [] if known == "none" else known.split(", ")


def attempts(client: Client, ledger: Ledger) -> Iterator[tuple[str, str, bytes | None]]:
    """Method, target and body of every way to put every text into every route."""
    api = Api(ledger, parse_address)
    api.close()
    wallet = f"0x{OTHER.hex()}"
    for route in api.routes:
        endless = route.path.endswith("/stream")  # the head of such an answer is enough
        (method,) = (route.methods or set()) - {"GET" if endless else "HEAD"}
        sound = re.sub(r"\{\w+\}", wallet, route.path)
        names = parameters(client, sound, method)
        needed = {"address": wallet, "label": "x"} if method == "DELETE" else {}
        rest = {name: value for name, value in needed.items() if name in names}
        fields = BODIES[route.path].__struct_fields__ if method == "POST" else ()
        filled = {"address": wallet, "label": "<", "configuration": "<", "rule": "<", "until": 4e9}
        fits = {name: filled[name] for name in fields if name in filled}
        for text in INJECTIONS:
            value = quote(text, safe="")
            if sound != route.path:
                yield method, re.sub(r"\{\w+\}", value, route.path), None
            for name in names:
                query = "&".join(f"{k}={v}" for k, v in {**rest, name: value}.items())
                yield method, f"{sound}?{query}", None
            for field in fields:
                said = f"{text}'" if field == "label" else text  # some are words, and could be kept
                yield method, sound, json.dumps({**fits, field: said}).encode()


@pytest.mark.timeout(120)
def test_no_value_is_ever_sql(ledger: Ledger) -> None:
    """In every path, query and body: never an error of the server's, never a row changed, and
    never a row found that is not what was asked for."""
    before, asked = everything(ledger), 0
    with serving(ledger) as server:
        client = Client(server)
        for method, target, body in attempts(client, ledger):
            status, said, _ = client.ask(target, method, body)
            assert 200 <= status < 500, (method, target, body, said)
            if method in ("GET", "HEAD") and status == 200:
                names = ("alerts", "labels", "changes", "letters", "suppressions")
                rows = [row for name in names for row in (said or {}).get(name) or ()]
                assert not rows, (method, target)
            else:
                assert status >= 400, (method, target, body)
            asked += 1
    assert asked > 1000
    assert everything(ledger) == before


def test_what_an_analyst_writes_is_kept_as_it_is(ledger: Ledger) -> None:
    """Author and note are stored to the letter, or refused; nothing else happens."""
    kept = 0
    with serving(ledger) as server:
        client = Client(server)
        for text in INJECTIONS:
            body = {"address": f"0x{OTHER.hex()}", "label": "scam", "author": text, "note": text}
            status, said, _ = client.ask("/api/v1/labels", "POST", json.dumps(body).encode())
            assert status in (200, 201, 422), said
            if status != 422:
                kept += 1
                newest = ledger.label_changes()[-1]
                assert (newest.by, newest.why) == (text, text)
                word = json.dumps({"author": text, "note": text}).encode()
                page = f"{ALERTS}/{ledger.alerts()[0].id}/acknowledgement"
                assert client.ask(page, "POST", word)[0] == 200
                in_hand = ledger.triage.acknowledgements()[-1]
                assert (in_hand.by, in_hand.why) == (text, text)
                quiet = {"rule": "x", "until": time.time() + 60, "author": text, "note": text}
                assert client.ask("/api/v1/suppressions", "POST", quiet)[0] == 201
                suppressed = ledger.triage.suppressions(1)[0]
                assert (suppressed.by, suppressed.why) == (text, text)
    assert kept > 30
    assert [label.label for label in ledger.labels()] == ["exchange", "scam"]
    assert len(ledger.alerts(AlertFilter(status="all"))) == 12


STATEMENTS: Final = (
    "DELETE FROM ledger.alerts",
    "INSERT INTO ledger.chains VALUES ('x', 1)",
    "CREATE TABLE ledger.x (a INT)",
    "CREATE TEMP TABLE x AS SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/*')",
    "COPY ledger.alerts TO '{tmp}/stolen.csv'",
    "EXPORT DATABASE '{tmp}/stolen'",
    "ATTACH '{tmp}/other.db' AS other",
    "SELECT * FROM read_parquet('https://example.org/x')",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET memory_limit = '100GB'",
    "SET autoload_known_extensions = true",
    "RESET memory_limit",
    "SET lock_configuration = false",
    "SET temp_directory = '{tmp}/spill'",
)


def test_a_statement_that_reads_reaches_nothing_else(ledger: Ledger, tmp_path: Path) -> None:
    """Even where somebody's text became SQL it could write nothing, open no file, load nothing
    and set nothing."""
    before = everything(ledger)
    for statement in STATEMENTS:
        with pytest.raises(StoreError), ledger.reading():
            ledger.outbox._database.cursor().execute(statement.format(tmp=tmp_path))
        assert everything(ledger) == before, statement
    assert len(ledger.alerts(AlertFilter(status="all"))) == 12
