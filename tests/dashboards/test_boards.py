"""The boards as they are committed: made by the code, true to the metrics, linked."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from prometheus_client import CollectorRegistry

from chainwarden.metrics import Metrics
from dashboards.boards.board import API_UID, PROMETHEUS_UID
from dashboards.boards.written import written
from tests.conftest import ROOT
from tests.dashboards.boards import (
    FOLDER,
    Asked,
    Selected,
    expressions,
    faults,
    known_series,
    legend_labels,
    load,
    panels,
    paths,
    queries,
)

UNPLOTTED: Final[dict[str, str]] = {}
"""Metrics that are on no board, each with the reason."""

EVERY = {path.stem: load(path) for path in paths()}


def test_the_committed_boards_are_what_the_code_makes() -> None:
    """Made anew, each file is the same to the byte, and there is no other."""
    made = written()
    assert {path.name for path in FOLDER.iterdir()} == set(made)
    for name, text in made.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            f"{name}: run python -m dashboards.boards"
        )


@pytest.mark.parametrize("asked", expressions(), ids=lambda one: one.where)
def test_an_expression_names_metrics_and_labels_that_exist(asked: Asked) -> None:
    """It parses; its metrics, the labels it matches and sums by and shows are those served."""
    assert list(faults(asked.filled_in)) == []
    known = known_series()
    for name in Selected().read(asked.filled_in).labels:
        assert legend_labels(asked.legend) <= known[name]


def test_a_misspelt_expression_is_found() -> None:
    """A metric, a matched and a summed label that do not exist are named; so is bad syntax."""
    expr = 'sum(rate(chainwarden_head_blok{chain="x"}[1m])) / chainwarden_labels{chian="x"}'
    assert list(faults(expr)) == [
        "no metric chainwarden_head_blok",
        "chainwarden_labels has no label chian",
    ]
    assert list(faults("sum by (stag) (chainwarden_lag_blocks)")) == [
        "chainwarden_lag_blocks has no label stag"
    ]
    with pytest.raises(ValueError, match="parenthesis"):
        list(faults("sum by (stage (chainwarden_lag_blocks)"))


def test_every_metric_is_on_a_board_or_is_said_not_to_be() -> None:
    """No metric is forgotten, and none that is plotted is among those that are not."""
    plotted = {name for asked in expressions() for name in Selected().read(asked.filled_in).labels}
    plotted = {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in plotted}
    registry = CollectorRegistry()
    Metrics(registry, "ethereum")
    served = {family.name for family in registry.collect()}
    assert served - plotted == set(UNPLOTTED)
    assert all(UNPLOTTED.values())


@pytest.mark.parametrize("name", EVERY)
def test_a_board_is_well_made(name: str) -> None:
    """Its panels say what they show, in which unit, from which source; none overlap."""
    board = EVERY[name]
    assert board["uid"].startswith("chainwarden-")
    assert {one["name"] for one in board["templating"]["list"]} >= {"prometheus", "api", "chain"}
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24, panel["title"]
        assert not taken & cells, panel["title"]
        taken |= cells
    for panel in panels(board):
        assert panel["description"], panel["title"]
        assert panel["datasource"]["uid"] in ("${prometheus}", "${api}")
        assert panel["targets"], panel["title"]
        if panel["type"] in ("timeseries", "stat") and "expr" in panel["targets"][0]:
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        for target in panel["targets"]:
            assert target["datasource"] == panel["datasource"]


def test_a_step_holds_more_than_one_scrape() -> None:
    """However close one looks, what counts by steps has two scrapes in each: of one it has none."""
    path = ROOT / "dashboards/prometheus/prometheus.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    scrape = int(config["global"]["scrape_interval"].removesuffix("s"))
    steps = {
        f"{name}: {panel['title']}": panel.get("interval", "0s")
        for name, board in EVERY.items()
        for panel in panels(board)
        if any("$__interval" in target.get("expr", "") for target in panel["targets"])
    }
    seconds = {"s": 1, "m": 60}
    assert len(steps) > 10
    assert {
        where: step
        for where, step in steps.items()
        if int(step[:-1]) * seconds[step[-1]] < 2 * scrape
    } == {}


def test_what_happens_once_is_seen() -> None:
    """A value between two that are none, as a quantile of one label's lag, is drawn: as a point."""
    drawn = {
        panel["fieldConfig"]["defaults"]["custom"]["showPoints"]
        for board in EVERY.values()
        for panel in panels(board)
        if any("histogram_quantile" in target.get("expr", "") for target in panel["targets"])
    }
    assert drawn == {"auto"}


def links(node: Any) -> list[str]:
    """Every address that something of a board leads to."""
    if isinstance(node, list):
        return [url for each in node for url in links(each)]
    if not isinstance(node, dict):
        return []
    mine = [node["url"]] if node.get("title") and isinstance(node.get("url"), str) else []
    return mine + [url for value in node.values() for url in links(value)]


def test_links_lead_to_boards_that_take_what_they_bring() -> None:
    """From a panel to alerts, from these to wallets, from all to block explorer and console."""
    by_uid = {board["uid"]: board for board in EVERY.values()}
    led: set[tuple[str, str]] = set()
    console = (ROOT / "dashboards/console/app.js").read_text(encoding="utf-8")
    for name, board in EVERY.items():
        own = {one["name"] for one in board["templating"]["list"]}
        for url in filter(None, links(board["panels"]) + links(board["links"])):
            if url.startswith("${explorer}"):
                assert "explorer" in own, name
                led.add((name, "explorer"))
                continue
            if url.startswith("${console}"):
                assert "console" in own, name
                page = re.search(r"#/\w+/", url)
                assert page, url
                assert page[0] in console, f"{name}: {url}"
                led.add((name, "console"))
                continue
            path = urlsplit(url).path.removeprefix("/d/")
            assert path in by_uid, f"{name}: {url}"
            takes = {one["name"] for one in by_uid[path]["templating"]["list"]}
            brought = {key for key in parse_qs(urlsplit(url).query) if key.startswith("var-")}
            assert {key.removeprefix("var-") for key in brought} <= takes, f"{name}: {url}"
            led.add((name, path.removeprefix("chainwarden-")))
    assert led >= {
        ("fraud", "fraud"), ("fraud", "alert"), ("fraud", "wallet"), ("alert", "wallet"),
        ("wallet", "alert"), ("wallet", "explorer"), ("alert", "explorer"), ("fraud", "explorer"),
        ("fraud", "console"),
    }  # fmt: skip


def test_a_link_names_a_label_that_its_panel_has() -> None:
    """A point that leads to the alerts of its rule knows its rule."""
    named = 0
    for board in EVERY.values():
        for panel in panels(board):
            for url in links(panel.get("fieldConfig")):
                for label in re.findall(r"__field\.labels\.(\w+)", url):
                    named += 1
                    for target in panel["targets"]:
                        assert label in legend_labels(target["legendFormat"]), panel["title"]
    assert named


def test_what_is_provisioned_is_what_the_boards_ask_for() -> None:
    """The sources' uids and plugin, the folder of the boards, and the plugin's pinned version."""
    folder = ROOT / "dashboards/grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/sources.yml").read_text(encoding="utf-8"))
    told = {one["uid"]: one for one in sources["datasources"]}
    assert set(told) == {PROMETHEUS_UID, API_UID}
    for board in EVERY.values():
        for variable in board["templating"]["list"]:
            if variable["type"] == "datasource":
                assert told[variable["current"]["value"]]["type"] == variable["query"]
    (provider,) = yaml.safe_load((folder / "dashboards/boards.yml").read_text(encoding="utf-8"))[
        "providers"
    ]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    grafana = compose["services"]["grafana"]
    mounts = dict(mount.split(":")[:2][::-1] for mount in grafana["volumes"])
    assert ROOT / mounts[provider["options"]["path"]] == FOLDER
    plugin = told[API_UID]["type"]
    pinned = grafana["environment"]["GF_PLUGINS_PREINSTALL_SYNC"]
    assert re.fullmatch(rf"{re.escape(plugin)}@\d+\.\d+\.\d+", pinned)
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (FOLDER / home.removeprefix(provider["options"]["path"] + "/")).exists()
    token = told[API_UID]["secureJsonData"]["bearerToken"].removeprefix("$")
    assert token in grafana["environment"]
    assert {query["datasource"]["type"] for _, query in queries()} == {plugin}
