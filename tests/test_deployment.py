"""What is shipped for deployment agrees with the code."""

from __future__ import annotations

import re
import shlex
from typing import Any

import compose_spec
import pytest
import yaml
from prometheus_client import CollectorRegistry
from typer.main import get_command

from chainwarden.cli import app
from chainwarden.metrics import Metrics
from chainwarden.settings import load_settings
from tests.conftest import ROOT

COMPOSE = ROOT / "docker-compose.yml"


def services() -> dict[str, Any]:
    """The services of the compose file, as YAML has them."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return dict(loaded["services"])


def test_the_compose_file_is_valid() -> None:
    """A strict parser of the Compose specification takes the file, its anchors resolved."""
    resolved = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(resolved)).validate()
    resolved["services"]["kafka"]["mem_limits"] = "1g"
    with pytest.raises(ValueError, match="mem_limits"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(resolved))


def test_every_service_has_what_a_deployment_needs() -> None:
    """Pinned images, memory limits, restart policies; ports on loopback only."""
    for name, service in services().items():
        image = service.get("image", "")
        assert re.search(r":v?\d+\.\d+", image), f"{name}: {image} is not pinned"
        assert service["restart"] == "unless-stopped", name
        assert "mem_limit" in service, name
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} publishes {port}"


def test_settings_in_the_compose_file_are_settings() -> None:
    """The variables of each chainwarden service load; a misspelt one would raise."""
    for name in ("ingest", "detect"):
        variables = {
            key: "http://node:8545"
            if "RPC_URL" in value
            else re.sub(r"\$\{\w+:-(.*?)\}", r"\1", value)
            for key, value in services()[name]["environment"].items()
        }
        settings = load_settings(None, variables)
        assert settings.bus.kind == "kafka"
        assert settings.server.port == 9464


def test_every_metric_in_the_alerting_rules_exists() -> None:
    """Each chainwarden_ name in the Prometheus rules is one that the registry serves."""
    registry = CollectorRegistry()
    Metrics(registry, "ethereum")
    known = set()
    for family in registry.collect():
        known |= {family.name, f"{family.name}_total", f"{family.name}_bucket"}
    rules = (ROOT / "dashboards/prometheus/rules.yml").read_text(encoding="utf-8")
    names = set(re.findall(r"chainwarden_\w+", rules))
    assert names
    assert names <= known


def test_compose_commands_are_commands() -> None:
    """What the containers run is a command that chainwarden has, with flags it knows."""
    known: Any = get_command(app)
    for name in ("ingest", "detect"):
        words = services()[name]["command"]
        words = shlex.split(words) if isinstance(words, str) else words
        command = known.commands[words[0]]
        flags = {flag for parameter in command.params for flag in parameter.opts}
        assert {w for w in words[1:] if w.startswith("--")} <= flags
