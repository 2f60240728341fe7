"""The alerting rules: what each fires on, what the runbook says, where Alertmanager sends it."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from typer.main import get_command

from chainwarden.cli import app
from tests.conftest import ROOT
from tests.dashboards.boards import faults, load, panels, paths
from tests.dashboards.rule_cases import CASES, CHAIN, Case
from tests.prometheus import command

RULES: Final = ROOT / "dashboards/prometheus/rules.yml"
RUNBOOK: Final = ROOT / "docs/runbook.md"
ALERTMANAGER: Final = ROOT / "dashboards/alertmanager/alertmanager.yml"


def rules() -> list[dict[str, Any]]:
    """Every alerting rule."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def sections() -> dict[str, str]:
    """The runbook's sections, by the alert they are about."""
    parts = re.split(r"^## (.+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def tool(*words: object) -> subprocess.CompletedProcess[str]:
    """What promtool or amtool says."""
    name, *rest = map(str, words)
    return subprocess.run(
        [command(name), *rest], capture_output=True, text=True, check=False, timeout=60
    )


def test_every_expression_names_what_is_served() -> None:
    """Metrics, matched and summed labels of the rules exist; ``up`` is Prometheus' own."""
    for rule in rules():
        if rule["alert"] != "ChainwardenDown":
            assert list(faults(rule["expr"])) == [], rule["alert"]


def test_the_runbook_has_a_section_for_each_alert() -> None:
    """In the order of the rules, each linked, with what it means, what to look at, what to do."""
    names = [rule["alert"] for rule in rules()]
    assert list(sections()) == names
    for rule in rules():
        link = rule["annotations"]["runbook_url"]
        assert link == f"docs/runbook.md#{rule['alert'].lower()}"
        said = sections()[rule["alert"]]
        assert re.findall(r"^\*\*(.+?)\.\*\*", said, re.MULTILINE) == ["Means", "Look at", "Do"]


def test_the_runbook_names_what_is_there() -> None:
    """Its commands and flags, boards and panels, and the sections that it sends on to."""
    text = RUNBOOK.read_text(encoding="utf-8")
    known: Any = get_command(app)
    commands = re.findall(r"`chainwarden ([a-z]+)([^`]*)`", text)
    assert len(commands) > 10
    for name, rest in commands:
        flags = {flag for one in known.commands[name].params for flag in one.opts}
        assert {word for word in rest.split() if word.startswith("--")} <= flags, name
    titles: dict[str, set[str]] = {}
    for board in map(load, paths()):
        titles[board["title"].partition(" · ")[2]] = {panel["title"] for panel in panels(board)}
    for sentence in re.findall(r"\*(?!\*)([A-Z][a-z ]+)\*,([^.;:]*)", text.replace("\n", " ")):
        assert sentence[0] in titles
        for panel in re.findall(r'"([^"]+)"', sentence[1]):
            assert panel in titles[sentence[0]], f"{sentence[0]} has no {panel}"
    assert set(re.findall(r"see (Chainwarden\w+)", text)) <= set(sections())


def written(cases: tuple[Case, ...]) -> dict[str, Any]:
    """A unit test of promtool: each case ill, and well."""
    tests = []
    for case in cases:
        labels = CHAIN | dict(case.labels)
        text = ", ".join(f'{name}="{value}"' for name, value in labels.items())
        fired = {
            "exp_labels": dict(case.fires_with or labels) | {"severity": case.severity},
            "exp_annotations": {
                "summary": case.summary,
                "runbook_url": f"docs/runbook.md#{case.alert.lower()}",
            },
        }
        tests += [
            {
                "interval": "1m",
                "input_series": [{"series": f"{case.metric}{{{text}}}", "values": values}],
                "alert_rule_test": [
                    {
                        "eval_time": f"{case.minutes}m",
                        "alertname": case.alert,
                        "exp_alerts": expected,
                    }
                ],
            }
            for values, expected in ((case.ill, [fired]), (case.well, []))
        ]
    return {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}


def test_each_rule_fires_when_it_should_and_then_only(tmp_path: Path) -> None:
    """promtool runs every rule on series that are ill, and on others that are nearly so."""
    assert {case.alert for case in CASES} == {rule["alert"] for rule in rules()}
    file = tmp_path / "rules_test.yml"
    file.write_text(yaml.safe_dump(written(CASES)), encoding="utf-8")
    done = tool("promtool", "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_rule_that_is_wrong_is_found(tmp_path: Path) -> None:
    """With ill and well exchanged, promtool refuses every case."""
    turned = tuple(replace(case, ill=case.well, well=case.ill) for case in CASES)
    file = tmp_path / "rules_test.yml"
    file.write_text(yaml.safe_dump(written(turned)), encoding="utf-8")
    done = tool("promtool", "test", "rules", file)
    assert done.returncode != 0
    assert (done.stdout + done.stderr).count("alertname:") == 2 * len(CASES)


def test_the_configurations_are_valid() -> None:
    """promtool takes Prometheus' with its rules, amtool Alertmanager's."""
    done = tool("promtool", "check", "config", ROOT / "dashboards/prometheus/prometheus.yml")
    assert done.returncode == 0, done.stderr
    done = tool("amtool", "check-config", ALERTMANAGER)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("severity", "receiver"),
    [("critical", "operators"), ("warning", "operators"), ("info", "nobody")],
)
def test_alertmanager_sends_to_operators_what_they_can_act_on(severity: str, receiver: str) -> None:
    """Each severity that a rule has is routed; information stays on the boards."""
    assert severity in {rule["labels"]["severity"] for rule in rules()}
    words = ("config", "routes", "test", f"--config.file={ALERTMANAGER}")
    done = tool("amtool", *words, f"severity={severity}", "alertname=ChainwardenDown")
    assert done.stdout.strip() == receiver, done.stderr


def test_what_is_inhibited_are_alerts() -> None:
    """Every alert that Alertmanager's rules name is one of ours."""
    names = set(re.findall(r"Chainwarden\w+", ALERTMANAGER.read_text(encoding="utf-8")))
    assert len(names) > 5
    assert names <= {rule["alert"] for rule in rules()}
