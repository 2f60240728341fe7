"""What is shipped for deployment agrees with the code."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry

from chainwarden.metrics import Metrics
from tests.conftest import ROOT


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
