"""The boards on a real run: each expression in a real Prometheus, each table from the real API."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import pytest

from dashboards.boards.wallet import NOBODY
from tests.dashboards.boards import Selected, expressions, load, paths, queries
from tests.prometheus import Prometheus, command, scraping
from tests.rigs.busy import Busy, busy

QUIET: Final = {
    "chainwarden_bus_away_seconds": "only Kafka can be away",
    "chainwarden_node_calls_total": "rules ask no node here",
    "chainwarden_risk_reference_timestamp_seconds": "the reference is copied after half a year",
}
"""Metrics that such a run has no series of, each with the reason."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    """A deployment that has seen all."""
    with busy(tmp_path_factory.mktemp("busy")) as made:
        yield made


@pytest.fixture(scope="module")
def prometheus(running: Busy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that scrapes it."""
    command("prometheus")
    with scraping(running.address, tmp_path_factory.mktemp("prometheus")) as made:
        yield made


def test_every_expression_runs_and_gives_something(prometheus: Prometheus) -> None:
    """Those over metrics of which there is nothing here run too, and give nothing."""
    asked = expressions()
    assert len(asked) > 60
    for one in asked:
        prometheus.query(one.filled_in)
        found = prometheus.query(one.filled_in.removesuffix(" > 0"))  # a mark, were it to come
        names = set(Selected().read(one.filled_in).labels)
        quiet = names <= set(QUIET)
        assert bool(found) != quiet, f"{one.where}: {one.filled_in} gives {found}"
    assert prometheus.query('chainwarden_head_blok{chain="ethereum"}') == []


def test_the_page_of_metrics_is_as_prometheus_wants_it(running: Busy) -> None:
    """promtool finds no fault in names, help texts and types."""
    import urllib.request

    with urllib.request.urlopen(f"http://{running.address}/metrics", timeout=30) as answer:
        page = answer.read()
    done = subprocess.run(
        [command("promtool"), "check", "metrics"], input=page, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")


# --- tables --------------------------------------------------------------------------------------


class Nowhere(LookupError):
    """A path leads below a null."""


def picked(node: Any, path: str) -> Any:
    """What gjson picks of a decoded answer by a dotted path. Raises LookupError where nothing is.

    Below a null nothing is: Nowhere is raised.
    """
    for part in filter(None, path.split(".")):
        if node is None:
            raise Nowhere(path)
        node = node[int(part)] if isinstance(node, list) else node[part]
    return node


def rows_of(answer: Any, root: str) -> list[Any]:
    """The rows that Infinity makes of an answer. Raises LookupError where it shows an error."""
    if hit := re.fullmatch(r"\[([\w.]+)\]\|@flatten", root):
        try:
            return list(picked(answer, hit[1]))
        except Nowhere:
            return []
    found = picked(answer, root)
    return found if isinstance(found, list) else [] if found is None else [found]


def cell(row: Any, selector: str) -> Any:
    """What a row has in a column: nothing where a part of it is null."""
    try:
        return picked(row, selector)
    except Nowhere:
        return None


FITS: Final[dict[str, tuple[type, ...]]] = {
    "string": (str, list),
    "number": (int, float),
    "boolean": (bool,),
    "timestamp_epoch_s": (int, float),
}


def filled_in(path: str, values: dict[str, str]) -> str:
    """A path as Grafana asks it, with the board's variables in place."""
    return re.sub(r"\$\{([^}]+)\}", lambda found: values[found[1]], path)


def values_of(running: Busy) -> dict[str, str]:
    """What a person has chosen: a wallet with labels, and an alert with all that one may have."""
    page = running.get("/api/v1/alerts?limit=1000")["alerts"]
    labelled = next(one["subject"] for one in page if "phishing" in one["labels"])
    paths = [one["id"] for one in page if one["evidence"]["path"] and one["evidence"]["amounts"]]
    explained = [running.get(f"/api/v1/alerts/{one}/explanation") for one in paths[:20]]
    told = next(
        one["alert"]["id"] for one in explained if one["related"] and one["subject"]["history"]
    )
    return {
        "severity": "info",
        "rule": "&status=all",
        "__from:date:seconds": "0",
        "__to:date:seconds": "4102444800",
        "address": labelled,
        "alert": told,
    }


def test_every_table_gets_its_columns(running: Busy) -> None:
    """Each query of the API is answered; its rows are where it says, with each column, typed."""
    values = values_of(running)
    asked = queries()
    assert len(asked) > 15
    for where, query in asked:
        rows = rows_of(running.get(filled_in(query["url"], values)), query["root_selector"])
        assert rows, f"{where}: no rows"
        for column in query["columns"]:
            cells = [cell(row, column["selector"]) for row in rows]
            fits = FITS[column["type"]]
            assert all(cell is None or isinstance(cell, fits) for cell in cells), (
                f"{where}: {column['selector']} is {cells[:3]}"
            )


def test_what_is_not_known_has_no_rows_and_is_no_error(running: Busy) -> None:
    """Of a wallet that nobody saw and an alert about no wallet every table is there, some empty."""
    chains = running.get(f"/api/v1/alerts?status=all&subject={NOBODY}")["alerts"]
    values = {**values_of(running), "address": "0x" + "ab" * 20, "alert": chains[0]["id"]}
    found = {
        where: rows_of(running.get(filled_in(query["url"], values)), query["root_selector"])
        for where, query in queries()
        if where.startswith(("wallet:", "alert:"))
    }
    empty = {where for where, rows in found.items() if not rows}
    assert empty >= {"wallet: Features", "alert: The wallet", "alert: Its counterparties"}
    assert not empty & {"wallet: Standing", "alert: Alert", "alert: About the rule"}


def test_the_choices_of_a_board_are_taken(running: Busy) -> None:
    """Each severity and each rule that can be chosen is one that the API knows, and narrows."""
    values = values_of(running)
    (board,) = [load(path) for path in paths() if path.stem == "fraud"]
    choices = {one["name"]: one["query"] for one in board["templating"]["list"]}
    (url,) = {query["url"] for where, query in queries() if where == "fraud: Alerts"}
    rules = [choice.split(" : ")[1] for choice in choices["rule"].split(",")]
    every = running.get(filled_in(url, values))["alerts"]
    apart = [
        one["id"]
        for rule in rules[1:]
        for one in running.get(filled_in(url, {**values, "rule": rule}))["alerts"]
    ]
    assert rules[0] == values["rule"]
    assert sorted(apart) == sorted(one["id"] for one in every)
    for severity in choices["severity"].split(","):
        found = running.get(filled_in(url, {**values, "severity": severity}))["alerts"]
        assert len(found) <= len(every)
