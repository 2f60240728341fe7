"""What the committed boards ask: expressions, API queries, links."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import promql_parser
from prometheus_client import CollectorRegistry

from chainwarden.metrics import Metrics
from tests.conftest import ROOT

FOLDER: Final = ROOT / "dashboards" / "grafana" / "boards"
# What Grafana puts in place of its own variables, for the time of one run.
VARIABLES: Final = {
    "$__rate_interval": "1m",
    "$__interval": "1m",
    "$__range": "1h",
    "$chain": "ethereum",
}
_OF_SCRAPES: Final = frozenset({"job", "instance", "le"})


def load(path: Path) -> dict[str, Any]:
    """A board as Grafana reads it."""
    loaded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def paths() -> list[Path]:
    """The committed boards."""
    return sorted(FOLDER.glob("*.json"))


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels of a board, rows left out."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


@dataclass(frozen=True, slots=True)
class Asked:
    """An expression, and where it stands."""

    where: str
    expr: str
    legend: str = ""

    @property
    def filled_in(self) -> str:
        """The expression as Grafana sends it."""
        expr = self.expr
        for name, value in VARIABLES.items():
            expr = expr.replace(name, value)
        assert "$" not in expr, f"{self.where}: {expr}"
        return expr


def expressions() -> list[Asked]:
    """Every PromQL expression of every board: of panels and of annotations."""
    found = []
    for path in paths():
        board = load(path)
        found += [
            Asked(f"{path.stem}: {panel['title']}", target["expr"], target["legendFormat"])
            for panel in panels(board)
            for target in panel["targets"]
            if "expr" in target
        ]
        found += [
            Asked(f"{path.stem}: {one['name']}", one["expr"], one["textFormat"])
            for one in board["annotations"].get("list", [])
        ]
    return found


def alike(query: Callable[[str], list[dict[str, Any]]], chain: str) -> list[tuple[str, str]]:
    """Where two series of one panel are called the same, and what, by what a Prometheus has."""
    found: Counter[tuple[str, str]] = Counter()
    for asked in expressions():
        if asked.legend == "__auto":
            continue  # a table, which shows all labels
        for one in query(asked.filled_in.replace(VARIABLES["$chain"], chain)):
            name = asked.legend
            for label in legend_labels(name):
                name = name.replace(f"{{{{{label}}}}}", one["metric"].get(label, ""))
            found[asked.where, name] += 1
    return [one for one, times in found.items() if times > 1]


def queries() -> list[tuple[str, dict[str, Any]]]:
    """Every query of the API, with where it stands."""
    return [
        (f"{path.stem}: {panel['title']}", target)
        for path in paths()
        for panel in panels(load(path))
        for target in panel["targets"]
        if "url" in target
    ]


@dataclass
class Selected:
    """What an expression selects: metrics, and the labels that it asks of each."""

    labels: dict[str, set[str]] = field(default_factory=dict)

    def read(self, expr: str) -> Selected:
        """Take in an expression. Raises ValueError for one that does not parse."""
        self._walk(promql_parser.parse(expr), frozenset())
        return self

    def _walk(self, node: Any, by: frozenset[str]) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            asked = {one.name for one in node.matchers.matchers}
            self.labels.setdefault(node.name or "", set()).update(asked | by)
            return
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            by |= set(node.modifier.labels)
        for name in ("lhs", "rhs", "expr", "vector_selector"):
            if (child := getattr(node, name, None)) is not None:
                self._walk(child, by)
        for child in getattr(node, "args", None) or ():
            self._walk(child, by)


def known_series() -> dict[str, set[str]]:
    """The label names of every series that chainwarden's registry can serve, by its name."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, "ethereum")
    found: dict[str, set[str]] = {}
    for name, labels in declared(metrics).items():
        for suffix in ("", "_total", "_bucket", "_count", "_sum"):
            found[f"{name}{suffix}"] = labels | _OF_SCRAPES
    served = {family.name for family in registry.collect()}
    assert served == set(declared(metrics))
    return found


def declared(metrics: Metrics) -> dict[str, set[str]]:
    """The label names of each metric that is defined, by its family's name."""
    found = {}
    for value in vars(metrics).values():
        if name := getattr(value, "_name", None):
            found[name] = set(getattr(value, "_labelnames", ("chain",)))
    found["chainwarden_build_info"] = {"version"}
    return found


def faults(expr: str) -> Iterator[str]:
    """What is wrong with the names of an expression."""
    known = known_series()
    for name, labels in Selected().read(expr).labels.items():
        if name not in known:
            yield f"no metric {name}"
        elif unknown := labels - known[name]:
            yield f"{name} has no label {', '.join(sorted(unknown))}"


def legend_labels(legend: str) -> set[str]:
    """The labels that a legend names."""
    return set(re.findall(r"{{(\w+)}}", legend))
