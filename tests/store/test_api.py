"""The API over a real ledger and real sockets."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainwarden.errors import StoreError
from chainwarden.schema import ETHEREUM, Cursor, Label, alert_to_dict
from store.ledger import AlertFilter, Commit, Ledger
from tests.store.asking import ALERTS, LABELS, MODELS, OTHER, Client, fill, serving
from tests.store.made import GENESIS_TIME, alert, position


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger of its own for one test, with a receiver."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def client(ledger: Ledger) -> Iterator[Client]:
    """Asks a server on loopback without a token, over the test's own ledger."""
    with serving(ledger) as server:
        yield Client(server)


# --- what is read, and done --------------------------------------------------------------------


def test_alerts_are_the_ledgers_field_by_field(client: Client, ledger: Ledger) -> None:
    """A page holds the documented form of every alert, newest first, with status and labels."""
    ledger.add_label(Label(OTHER, "exchange", "list"))
    page = client.get(f"{ALERTS}?status=all")
    expected = [
        {
            **alert_to_dict(record.alert),
            "status": record.status,
            "retraction_reason": record.retraction and record.retraction.value,
            "labels": ["exchange"] if record.alert.subject == OTHER else [],
            "acknowledged": None,
            "suppressed_until": None,
        }
        for record in ledger.records(AlertFilter(status="all"))
    ]
    assert page["alerts"] == json.loads(json.dumps(expected))
    assert len(expected) == 12
    assert page["total"] == 11
    assert page["next"] is None
    for one in expected:
        assert client.get(f"{ALERTS}/{one['id']}") == json.loads(json.dumps(one))


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("", [11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("rule=mixer_touch", [11, 9, 7, 5, 3, 1]),
        ("severity=high", [9, 8, 4, 3]),
        ("subject=0x" + OTHER.hex(), [9, 6, 3]),
        ("status=retracted", [12]),
        ("status=all&limit=2", [12, 11]),
        ("first_block=4&last_block=6", [6, 5, 4]),
        (f"since={GENESIS_TIME + 120}", [11, 10]),
        (f"until={GENESIS_TIME + 36}", [2, 1]),
        ("since=2023-11-14T22:15:20Z", [11, 10]),
        ("since=2023-11-14T22:15:20", [11, 10]),
        ("until=2023-11-15T00:13:56%2B02:00", [2, 1]),
        ("rule=mixer_touch&severity=high&subject=0x" + OTHER.hex(), [9, 3]),
        ("rule=nothing", []),
    ],
)
def test_every_filter_narrows(reader: Client, query: str, numbers: list[int]) -> None:
    """Each filter lets through what it says, alone and together."""
    found = reader.get(f"{ALERTS}?{query}")["alerts"]
    assert [one["block_number"] for one in found] == numbers


@pytest.mark.parametrize("limit", [1, 3, 11, 12])
def test_pages_join_to_the_whole(reader: Client, limit: int) -> None:
    """Following ``next`` gives every alert once, in order, and keeps the filter."""
    whole = reader.ids("limit=1000")
    found: list[str] = []
    target: str | None = f"{ALERTS}?limit={limit}&severity=info"
    pages = 0
    while target is not None:
        page = reader.get(target)
        found += [one["id"] for one in page["alerts"]]
        target = page["next"]
        pages += 1
        assert target is None or "severity=info" in target
    assert found == whole
    assert pages == -(-len(whole) // limit)


def test_a_wallet_has_its_alerts_and_labels(client: Client, ledger: Ledger) -> None:
    """Alerts of any status, the labels whole, and a link to the rest."""
    ledger.add_label(Label(OTHER, "exchange", "list", 5, 9, None, "ana", "why", ""))
    found = client.get(f"/api/v1/wallets/0x{OTHER.hex()}?limit=3")
    assert [one["block_number"] for one in found["alerts"]] == [12, 9, 6]
    (label,) = found["labels"]
    assert (label["label"], label["author"], label["valid_to"]) == ("exchange", "ana", 9)
    rest = client.get(found["next"])["alerts"]
    assert [one["block_number"] for one in rest] == [3]
    unknown = client.get("/api/v1/wallets/0x" + "ab" * 20)
    assert (unknown["alerts"], unknown["labels"], unknown["next"]) == ([], [], None)


def test_status_says_where_the_pipeline_stands(reader: Client) -> None:
    """Chain, head, totals, counts by rule, severity and status, and what receivers are owed."""
    found = reader.get("/api/v1/status")
    assert found["chain"] == {"name": "ethereum", "id": 1}
    assert found["head"] == {"number": 11, "hash": "0x" + position(11).hash.hex()}
    assert (found["blocks"], found["transactions"], found["flows"]) == (11, 22, 33)
    assert sum(one["count"] for one in found["alerts"]) == 12
    retracted = [one for one in found["alerts"] if one["status"] == "retracted"]
    assert retracted == [
        {"rule": "ice_phishing", "severity": "medium", "status": "retracted", "count": 1}
    ]
    assert found["outbox_pending"] == {"ops": 11}


def test_the_challenger_is_promoted_once(client: Client, ledger: Ledger) -> None:
    """Models are told as committed; a promotion names author and reason, and waits for its block;
    without a challenger, or for another one, it is refused."""
    assert client.get(MODELS)["champion"] is None
    assert client.ask(f"{MODELS}/promotions", "POST", {})[0] == 409
    challenger = {"configuration": "cafe01", "parameters": {"rate": 0.2}}
    told = {"champion": {"configuration": "beef"}, "challenger": challenger, "comparison": {}}
    ledger.commit(Commit(Cursor(position(9)), models=told))
    found = client.get(MODELS)
    assert (found["block"], found["challenger"], found["promotions"]) == (9, challenger, [])
    body = {"author": "ana", "note": "better", "configuration": "beef"}
    assert client.ask(f"{MODELS}/promotions", "POST", body)[0] == 409
    for wrong in ({"autor": "ana"}, {"author": "x" * 101}, {"note": "\x00"}):
        assert client.ask(f"{MODELS}/promotions", "POST", wrong)[0] == 422
    status, done, _ = client.ask(f"{MODELS}/promotions", "POST", {**body, "configuration": "cafe"})
    assert (status, done) == (201, {"configuration": "cafe01", "status": "promoted"})
    assert client.ask(f"{MODELS}/promotions", "POST", {})[0] == 409
    (one,) = client.get(MODELS)["promotions"]
    assert (one["by"], one["why"], one["in_force_from"]) == ("ana", "better", None)
    assert (one["configuration"], one["parameters"]) == ("cafe01", {"rate": 0.2})


def test_an_alert_is_found_by_the_beginning_of_its_id(client: Client, ledger: Ledger) -> None:
    """Four digits do where they are one alert's; fewer, or two alerts', are refused."""
    one = client.ids("limit=1")[0]
    assert client.get(f"{ALERTS}/{one[:12]}")["id"] == one
    body = {"address": "0x" + OTHER.hex(), "label": "scam", "from_alert": one[:12]}
    assert client.ask(LABELS, "POST", body)[0] == 201
    assert ledger.labels()[0].alert_id == one
    assert client.ask(f"{ALERTS}/{one[:3]}")[0] == 404
    twin = replace(alert(3), id=one[:31] + ("0" if one[31] != "0" else "1"))
    ledger.commit(Commit(Cursor(position(12)), [twin]))
    status, said, _ = client.ask(f"{ALERTS}/{one[:31]}")
    assert status == 422
    assert one in said["hint"]
    assert twin.id in said["hint"]


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"address": "0x12"},
        {"address": "0xDAC17F958D2ee523a2206206994597C13D831ec8"},  # one letter's case is wrong
        {"address": 5},
        {"label": ""},
        {"label": "x" * 65},
        {"label": "<script>"},
        {"label": "a\x00b"},
        {"author": "a" * 101},
        {"note": "\x1b[31m"},
        {"note": "n" * 2001},
        {"from_alert": "00" * 16},
        {"from_alert": "'; DROP TABLE labels"},
        {"source": "ofac"},
    ],
)
def test_a_label_that_cannot_be_kept_is_refused(
    reader: Client, untouched: Ledger, change: dict[str, object]
) -> None:
    """422 with what is wrong, and the ledger has no label afterwards."""
    body = {"address": "0x" + OTHER.hex(), "label": "phishing"} | change
    status, said, _ = reader.ask(LABELS, "POST", body)
    assert status == 422
    assert said["error"]
    assert untouched.labels() == []


@pytest.mark.parametrize(
    ("target", "status", "says"),
    [
        (f"{ALERTS}?severity=bad", 422, "info, low, medium, high, critical"),
        (f"{ALERTS}?status=old", 422, "active, retracted, all"),
        (f"{ALERTS}?subject=0x12", 422, "no address"),
        (f"{ALERTS}?limit=0", 422, "1 to 1000"),
        (f"{ALERTS}?limit=1001", 422, "1 to 1000"),
        (f"{ALERTS}?limit=ten", 422, "no number"),
        (f"{ALERTS}?limit=5&limit=6", 422, "twice"),
        (f"{ALERTS}?first_block=9223372036854775808", 422, "2^63-1"),
        (f"{ALERTS}?first_block=-1", 422, "no number"),
        (f"{ALERTS}?since=yesterday", 422, "no time"),
        (f"{ALERTS}?after=" + "00" * 16, 422, "no alert has the id"),
        (f"{ALERTS}?sevrity=high", 422, "known: acknowledged, after"),
        (f"{ALERTS}/" + "00" * 16, 404, "no alert has the id"),
        (f"{ALERTS}/x", 404, "no alert has the id"),
        ("/api/v1/wallets/0x1", 422, "no address"),
        ("/api/v1/nothing", 404, "status"),
        ("/api/v1/alerts/", 404, "Not Found"),
        ("/", 404, "Not Found"),
    ],
)
def test_what_is_wrong_is_said(reader: Client, target: str, status: int, says: str) -> None:
    """The status that fits, and an error and a hint in JSON that name it."""
    got, body, _ = reader.ask(target)
    assert got == status
    assert set(body) == {"error", "hint"}
    assert says in f"{body['error']} {body['hint']}"


def test_methods_and_types_that_do_not_fit(reader: Client) -> None:
    """405 for another method, 415 for what a foreign web page could post, 413 for too much."""
    assert reader.ask(ALERTS, "POST", {})[0] == 405
    status, _, _ = reader.ask(LABELS, "POST", b"{}", {"Content-Type": "text/plain"})
    assert status == 415
    assert reader.ask(LABELS, "POST", b"x" * 20_000)[0] == 413
    assert reader.ask(LABELS, "POST", b"{")[0] == 422
    assert reader.ask(LABELS, "POST", b"[" * 10_000)[0] == 422
    assert reader.ask(LABELS, "POST", b"\xff\xfe")[0] == 422


def test_a_body_without_a_length_is_bounded_too(reader: Client) -> None:
    """A chunked body ends with 413 when it passes the limit, long before its own end."""
    connection = http.client.HTTPConnection(reader.server.host, reader.server.port, timeout=10)
    connection.putrequest("POST", LABELS)
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "application/json")
    connection.endheaders()
    connection.send(b"4001\r\n" + b" " * 0x4001 + b"\r\n")
    assert connection.getresponse().status == 413
    connection.close()


def test_a_read_can_write_nothing(client: Client, ledger: Ledger) -> None:
    """What a page asks runs where a statement that writes is refused; nothing is changed."""

    def writes(asked: Ledger) -> dict[str, object]:
        asked.outbox._database.cursor().execute("DELETE FROM ledger.alerts")
        return {}

    with pytest.raises(StoreError, match="read-only"), ledger.reading():
        writes(ledger)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("store.api.status_answer", writes)
        status, body, _ = client.ask("/api/v1/status")
    assert status == 503
    assert "read-only" in body["error"]
    assert len(ledger.alerts()) == 11
    ledger.add_label(Label(OTHER, "exchange", "list"))  # and writing goes on
    assert client.get("/api/v1/status")["blocks"] == 11
