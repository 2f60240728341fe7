"""The API's OpenAPI document: whole, true of every answer, and a source of requests to fuzz it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import jsonschema
import pyarrow as pa
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chainwarden.schema import ETHEREUM, FLOWS, Label
from chainwarden.server import Role
from chainwarden.server.openapi import REFUSALS
from detect.labels import LabelBook
from store.label_journal import ListNote
from store.lake import Lake
from store.ledger import Commit, InForce, Ledger
from tests.store.asking import (
    ALERTS,
    LABELS,
    MODELS,
    OTHER,
    Client,
    fill,
    serving,
    serving_everything,
)
from tests.store.listening import listening
from tests.store.made import WALLET, alert, blocks
from tests.store.test_flows import MINE, features_of, flows_of

EXAMPLES: Final = 12
"""Requests for each operation and each of the two ways to make them up."""

STREAM: Final = f"{ALERTS}/stream"
EVIDENCE: Final = f"{ALERTS}/{{id}}/evidence"
WALLETS: Final = "/api/v1/wallets/{address}"


@dataclass(frozen=True, slots=True)
class Served:
    """A server with something behind every route, and its document."""

    client: Client
    ledger: Ledger
    document: dict[str, Any]

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.client.server.address}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Alerts of every status, labels, a list, models, letters, and a lake with the flows."""
    folder = tmp_path_factory.mktemp("openapi")
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as ledger:
        lake = Lake(folder / "lake", ETHEREUM)
        fill(ledger)
        cursor = ledger.cursor()
        assert cursor is not None
        ledger.add_label(Label(OTHER, "exchange", "list", 5, 9, None, "ana", "why", ""))
        note = ListNote("l.csv", "", "MIT", None, 0, None, "d1", "ofac", 3, 1, 3, 0, 5.0, 7)
        model = {"configuration": "beef", "parameters": {"alert": 0.5, "grave": 0.9}}
        models = {"champion": model, "challenger": {**model, "configuration": "cafe"}}
        rows = [row for number in range(1, 13) for row in flows_of(number)]
        flows = pa.Table.from_pylist(rows, schema=FLOWS)
        files = lake.write(replace(blocks(1, 12, flows=0), flows=flows), features_of(flows))
        ledger.commit(
            Commit(
                cursor,
                labels=[InForce(7, [1], [note])],
                models={**models, "comparison": None},
                files_added=files,
            )
        )
        ledger.triage.acknowledge(ledger.alerts()[0].id, "ana", "asked the exchange")
        ledger.triage.suppress(None, OTHER, 4e9, "ana", "known")
        ledger.triage.end(ledger.triage.suppress("dusting", None, 4e9).serial, "bob")
        book = LabelBook([Label(WALLET, "scam", "list"), Label(MINE, "exchange", "list")])
        with serving_everything(ledger, folder, book) as server:
            client = Client(server)
            yield Served(client, ledger, client.get("/api/v1/openapi.json"))


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation of all there are."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def holds(served: Served, path: str, method: str, status: int, body: Any) -> None:
    """The body is what the document says that this operation answers with this status."""
    responses = served.document["paths"][path][method.lower()]["responses"]
    content = responses[str(status)]["content"]["application/json"]
    schema = {**content["schema"], "components": served.document["components"]}
    jsonschema.Draft202012Validator(schema).validate(body)


def test_the_document_is_openapi_and_names_every_route(served: Served) -> None:
    """Each route has an operation with a sentence, its role, each parameter with a sentence and a
    schema, each status with what it means; schemas are of the dialect, no reference is loose."""
    assert served.document["openapi"] == "3.1.0"
    routes = served.client.server.routes
    wanted = {(route.path, next(iter((route.methods or set()) - {"HEAD"}))) for route in routes}
    found = {(path, method) for path, method, _ in operations(served.document)}
    assert found == wanted
    assert len(found) == len(routes)
    assert {(f"{ALERTS}/{{id}}/graph", "GET"), (f"{WALLETS}/graph", "GET")} < found
    roles = {role.text for role in Role}
    for path, method, operation in operations(served.document):
        assert operation["summary"].endswith("."), path
        assert operation["x-role"] in roles
        assert f"role {operation['x-role']}" in operation["description"]
        placed = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert placed == set(re.findall(r"\{(\w+)\}", path))
        for parameter in operation["parameters"]:
            assert parameter["description"].endswith("."), (path, parameter)
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])
        assert ("requestBody" in operation) == (method == "POST")
        assert {"401", "403", "422", "429", "503"} <= set(operation["responses"])
        assert all(response["description"] for response in operation["responses"].values())
    components = served.document["components"]["schemas"]
    for schema in components.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(served.document)))
    assert references == set(components)
    ids = [operation["operationId"] for _, _, operation in operations(served.document)]
    assert len(set(ids)) == len(ids)


def test_parameters_of_the_document_are_those_that_are_known(served: Served) -> None:
    """A route knows the parameters that it documents, and no other."""
    for path, method, operation in operations(served.document):
        sound = re.sub(r"\{\w+\}", "0x" + OTHER.hex(), path)
        body = b"{}" if method == "POST" else None
        _, said, _ = served.client.ask(f"{sound}?no-such-parameter=1", method, body)
        known = sorted(one["name"] for one in operation["parameters"] if one["in"] == "query")
        assert said["hint"] == f"known: {', '.join(known) or 'none'}", (path, method)


def test_every_read_answers_what_its_form_says(served: Served) -> None:
    """With something in every list: field by field, and no field that the form does not have."""
    one = served.client.ids("limit=1")[0]
    full: dict[str, str] = {}
    for path, method, _ in operations(served.document):
        if method != "GET" or path in (STREAM, EVIDENCE):
            continue
        for target in (
            path.replace("{id}", one).replace("{address}", "0x" + OTHER.hex()),
            path.replace("{id}", one).replace("{address}", "0x" + MINE.hex()),
        ):
            for query in ("", "?limit=2", "?status=all"):
                status, body, _ = served.client.ask(target + query)
                holds(served, path, method, status, body)
                full[path] = full.get(path, "") + json.dumps(body)
    for name in ("known_labels", "below", "levels", "features", "meaning", "partners"):
        assert f'"{name}": ' in full[WALLETS], name
    assert '"counterparty_score": ' in full[f"{WALLETS}/flows"]
    assert '"first_block": ' in full[f"{WALLETS}/graph"]  # an edge
    assert '"in_evidence": ' in full[f"{ALERTS}/{{id}}/graph"]
    for path in (ALERTS, LABELS, f"{LABELS}/history", "/api/v1/deliveries"):
        assert "0x" in full[path], path


def test_events_have_the_form_of_alerts(served: Served) -> None:
    """The data of an event is an alert, and the number of its change."""
    with listening(
        served.client.server, f"{STREAM}?last_event_id={served.ledger.identity}-0"
    ) as on:
        for heard in on.heard(12):
            data = dict(heard.data)
            assert data.pop("change") == int(heard.id.split("-")[1])
            holds(served, f"{ALERTS}/{{id}}", "GET", 200, data)


def test_every_write_answers_what_its_form_says(tmp_path: Path, served: Served) -> None:
    """Done, done again, and refused."""
    wallet = "0x" + WALLET.hex()
    label = {"address": wallet, "label": "mixer", "from_alert": alert(11).id}
    deliveries = "/api/v1/deliveries"
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as ledger:
        fill(ledger)
        cursor = ledger.cursor()
        assert cursor is not None
        challenger = {"configuration": "cafe", "parameters": {}}
        told = {"champion": challenger, "challenger": challenger, "comparison": None}
        ledger.commit(Commit(cursor, models=told))
        steps: list[tuple[str, str, str, Any, int]] = [
            ("POST", LABELS, "", label, 201),
            ("POST", LABELS, "", label, 200),
            ("DELETE", LABELS, f"?address={wallet}&label=mixer&note=no", None, 200),
            ("DELETE", LABELS, f"?address={wallet}&label=mixer", None, 404),
            ("POST", f"{MODELS}/promotions", "", {"note": "better"}, 201),
            ("POST", f"{MODELS}/promotions", "", {}, 409),
            ("POST", f"{deliveries}/replay", "", {"everything": True}, 200),
            ("POST", f"{deliveries}/replay", "", {}, 422),
            ("POST", f"{deliveries}/enable", "", {"receiver": "ops"}, 409),
            ("POST", f"{deliveries}/enable", "", {"receiver": "x"}, 404),
        ]
        with serving(ledger) as server:
            for method, path, query, body, expected in steps:
                status, answer, _ = Client(server).ask(path + query, method, body)
                assert status == expected, (path, answer)
                holds(served, path, method, status, answer)


def test_what_is_refused_has_the_form_of_a_refusal(served: Served) -> None:
    """404, 405, 413, 415 and 422: error and hint, as documented."""
    asked: list[tuple[str, str, str, bytes | None, str, int]] = [
        (f"{ALERTS}/{{id}}", f"{ALERTS}/{'0' * 32}", "GET", None, "", 404),
        (ALERTS, f"{ALERTS}?limit=0", "GET", None, "", 422),
        (LABELS, LABELS, "POST", b"{}", "text/plain", 415),
        (LABELS, LABELS, "POST", b" " * 20_000, "application/json", 413),
        (LABELS, LABELS, "PUT", None, "", 405),
    ]
    for path, target, method, body, kind, expected in asked:
        headers = {"Content-Type": kind} if kind else {}
        status, answer, _ = served.client.ask(target, method, body, headers)
        assert status == expected
        holds(served, path, "POST" if method == "PUT" else method, status, answer)
    assert set(REFUSALS) >= {404, 405, 413, 415, 422}


CASES: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_request_that_the_document_allows_or_forbids_breaks_it(
    served: Served, mode: GenerationMode
) -> None:
    """Requests made up from the document, right and wrong ones: never an error of the server's, and
    every answer has a status, a type and a body that the document names."""
    schema = schemathesis.openapi.from_dict(served.document).exclude(path=STREAM)
    checks = [
        not_a_server_error, status_code_conformance, content_type_conformance,
        response_schema_conformance,
    ]  # fmt: skip
    statuses: dict[int, int] = {}
    for found in schema.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()

        @CASES
        @given(case=operation.as_strategy(generation_mode=mode))
        def attempt(case: schemathesis.Case[Any]) -> None:
            response = case.call(base_url=served.url, timeout=30)
            statuses[response.status_code] = statuses.get(response.status_code, 0) + 1
            case.validate_response(response, checks=checks)

        attempt()
    assert statuses.get(200, 0) > 20, statuses
    assert sum(statuses.values()) > 100, statuses
