"""What the server gives of the console: files that are open to all, graphs that are not."""

from __future__ import annotations

import http.client
import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from chainwarden.console.forms import MoneyGraph
from chainwarden.explain.money import PARTNERS
from chainwarden.schema import FlowKind, hex_of
from store.lake import Lake
from store.ledger import AlertFilter
from tests.conftest import ROOT
from tests.console.conftest import Console, serving

TOKEN = "correct-horse-battery-staple"
FILES = sorted(path.name for path in (ROOT / "dashboards" / "console").iterdir())


def ask(console: Console, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Status, headers and body of a page."""
    connection = http.client.HTTPConnection(urlsplit(console.url).netloc, timeout=20)
    try:
        connection.request(
            "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def get(console: Console, path: str) -> Any:
    """A page's JSON."""
    status, _, body = ask(console, path)
    assert status == 200, body
    return json.loads(body)


def test_files_are_open_and_nothing_else_is(out: Path) -> None:
    """Every file of the console comes without a token, strictly confined; all else wants one."""
    with serving(out, TOKEN) as console:
        for name in [*FILES, "known.json"]:
            path = "/" if name == "index.html" else f"/console/{name}"
            status, headers, body = ask(console, path)
            assert status == 200, path
            assert body
            policy = headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "require-trusted-types-for 'script'" in policy
            assert "unsafe" not in policy
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert ask(console, path, If_None_Match=headers["ETag"])[::2] == (304, b"")
            assert ask(console, path, If_None_Match='"another"')[0] == 200
        alert = console.alert("ice_phishing")
        closed = [
            "/console/", "/console/index.html", "/console/../tokens.json", "/console/%2e%2e/x",
            "/console/app.js/", "//", "/index.html", f"/api/v1/alerts/{alert}/graph",
            f"/api/v1/wallets/0x{'ab' * 20}/graph",
        ]  # fmt: skip
        for path in closed:
            assert ask(console, path)[0] == 401, path
        assert (
            ask(console, f"/api/v1/alerts/{alert}/graph", Authorization=f"Bearer {TOKEN}")[0] == 200
        )


def test_what_the_page_knows_is_no_secret(out: Path) -> None:
    """The open facts are the chain's name, known tokens, label words, rules and paths; no more."""
    with serving(out, TOKEN) as console:
        known = json.loads(ask(console, "/console/known.json")[2])
        assert set(known) == {
            "paths", "chain", "explorer", "coin", "tokens", "severities", "rules", "bad_labels",
            "good_labels", "false_positive",
        }  # fmt: skip
        assert TOKEN not in json.dumps(known)
        assert "/api/v1/alerts/{id}/graph" in known["paths"]


def test_an_alerts_graph_is_what_the_lake_says(console: Console, out: Path) -> None:
    """Each edge has the exact sums, count and times of all transfers between its two wallets."""
    lake = Lake(out / "lake", console.ledger.chain)
    files = [file for file in console.ledger.files() if file.dataset == "flows"]
    flows = [
        flow
        for flow in lake.read(sorted(files, key=lambda f: f.first.number)).to_pylist()
        if flow["status"] != 0
        and not (flow["kind"] == FlowKind.NATIVE and int.from_bytes(flow["value"], "big") == 0)
    ]
    seen = 0
    for rule in ("ice_phishing", "exchange_drain", "key_compromise", "layering"):
        alert = console.ledger.alerts(AlertFilter(rule=rule))[0]
        graph = get(console, f"/api/v1/alerts/{alert.id}/graph")
        proof = {alert.transaction_hash, *alert.evidence.transactions}
        proof |= {hop.transaction for hop in alert.evidence.path}
        msgspec.convert(graph, MoneyGraph)
        assert graph["centre"] == hex_of(alert.subject)
        assert graph["whole"]
        drawn = {node["address"] for node in graph["nodes"]}
        proven = {
            (hex_of(flow["from_address"]), hex_of(flow["to_address"]))
            for flow in flows
            if flow["transaction_hash"] in proof
            and flow["from_address"] != flow["to_address"]
            and alert.subject in (flow["from_address"], flow["to_address"])
        }
        assert proven <= {(edge["from"], edge["to"]) for edge in graph["edges"]}
        for edge in graph["edges"]:
            assert {edge["from"], edge["to"]} <= drawn
            between = [
                flow
                for flow in flows
                if (hex_of(flow["from_address"]), hex_of(flow["to_address"]))
                == (edge["from"], edge["to"])
            ]
            if graph["centre"] not in (edge["from"], edge["to"]):
                between = [flow for flow in between if flow["transaction_hash"] in proof]
            sums: dict[str | None, int] = defaultdict(int)
            for flow in between:
                sums[hex_of(flow["token_address"])] += int.from_bytes(flow["value"], "big")
            told = {one["token"]: int(one["amount"]) for one in edge["amounts"]}
            assert told.items() <= sums.items()
            assert edge["tokens"] == len(sums)
            assert edge["count"] == len(between)
            assert edge["first_time"] == between[0]["block_timestamp"]
            assert edge["last_time"] == between[-1]["block_timestamp"]
            assert edge["in_evidence"] == any(f["transaction_hash"] in proof for f in between)
            seen += edge["in_evidence"]
    assert seen >= 4


def test_a_wallets_graph_has_its_foremost_partners_and_counts_the_rest(console: Console) -> None:
    """An exchange's many counterparties: as many as are drawn, the number of the others, labels."""
    subject = console.ledger.alerts(AlertFilter(rule="exchange_drain"))[0].subject
    graph = get(console, f"/api/v1/wallets/0x{subject.hex()}/graph")
    assert len(graph["nodes"]) == PARTNERS + 1
    assert graph["others"] > 0
    assert graph["nodes"][0] == {
        "address": hex_of(subject), "labels": ["exchange"], "in_evidence": False,
    }  # fmt: skip
    assert get(console, f"/api/v1/wallets/0x{subject.hex()}/graph") == graph
    assert set(get(console, "/api/v1/openapi.json")["paths"]) >= {
        "/api/v1/alerts/{id}/graph", "/api/v1/wallets/{address}/graph",
    }  # fmt: skip
    nobody = get(console, f"/api/v1/wallets/0x{'ab' * 20}/graph")
    assert (nobody["edges"], len(nobody["nodes"])) == ([], 1)


def test_wrong_questions_are_refused_with_the_reason(console: Console) -> None:
    """No such alert is 404; no address, and a parameter nobody knows, are 422."""
    for path, status in {
        f"/api/v1/alerts/{'0' * 32}/graph": 404,
        "/api/v1/wallets/0x12/graph": 422,
        f"/api/v1/wallets/0x{'ab' * 20}/graph?depth=3": 422,
    }.items():
        found, _, body = ask(console, path)
        assert found == status
        assert json.loads(body)["error"]
