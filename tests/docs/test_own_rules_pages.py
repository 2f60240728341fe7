"""docs/rules.md, river.md and tuning.md, done by the letter on one simulated chain."""

from __future__ import annotations

import json
import re
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from chainwarden.errors import SettingsError
from chainwarden.own_rules import own_rules
from chainwarden.schema import ETHEREUM
from chainwarden.settings import load_settings
from detect.labels import LabelBook
from tests.conftest import ROOT
from tests.rigs.pages import Desk, Page

RULES, RIVER, TUNING = (Page(ROOT / "docs" / f"{name}.md") for name in ("rules", "river", "tuning"))
SIMULATE = ".venv/bin/chainwarden simulate --blocks 200 --out chain"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk on which the chain of all three pages is simulated already; a shorter one will do."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    made.type(SIMULATE.replace("200", "110"))
    made.instead[SIMULATE] = ":"
    return made


def alerts(desk: Desk, out: str, *more: str) -> list[dict[str, Any]]:
    """The alerts in a folder."""
    words = " ".join(("alerts --out", out, *more, "--limit 1000 --json"))
    return list(json.loads(desk.type(f".venv/bin/chainwarden {words}"))["alerts"])


@pytest.mark.timeout(600)
def test_the_rules_of_the_pages_fire_and_a_rebuild_says_the_same(desk: Desk) -> None:
    """Both run as they stand there, one of them in 30 lines and about attackers; of a rebuild every
    alert is the same, whichever rule raised it.

    Both pages say the same commands, of their own rule: what one of them says is done with both.
    """
    rule = desk.save(RULES, "collector.py").read_text(encoding="utf-8")
    assert len([line for line in rule.splitlines() if line.strip()]) <= 30
    desk.save(RIVER, "odd_flows.py")
    (exports, simulate, *replayed), rebuilt = (block.splitlines() for block in RULES.blocks("sh"))
    said = RIVER.blocks("sh")[1].replace("odd_flows:OddFlows", "collector:Collector")
    said = said.replace("odd-rebuilt", "rebuilt").replace("odd_flows", "collector")
    assert said.replace(" odd", " collected").splitlines() == [exports, *replayed, *rebuilt]
    both = f"{exports},odd_flows:OddFlows"
    shown = desk.type("\n".join([both, simulate, *replayed]))
    assert "wallets sent 0x" in re.sub(r"\W+", " ", shown)
    desk.type("\n".join([both, *rebuilt]))
    found, again = alerts(desk, "collected"), alerts(desk, "rebuilt")
    assert sorted(found, key=itemgetter("id")) == sorted(again, key=itemgetter("id"))
    rules = {one["rule"] for one in found}
    assert rules > {"collector", "odd_flows", "double_spend"}, "nor what only a fork shows is lost"
    mine = {one["subject"] for one in found if one["rule"] == "collector"}
    truth = json.loads((desk.folder / "chain" / "truth.json").read_bytes())
    attackers = {
        address
        for one in truth
        for role, addresses in one["addresses"].items()
        if role in ("attacker", "collector", "attack_contract")
        for address in addresses
    }
    assert mine & attackers


@pytest.mark.timeout(600)
def test_any_river_model_runs_on_the_rows_of_a_replay(desk: Desk) -> None:
    """The program of the page, as it stands there."""
    desk.save(RIVER, "try_model.py")
    told = re.search(
        r"(\d+) flows of (\d+) features: ROC AUC (0\.\d+)", desk.type(RIVER.blocks("sh")[0])
    )
    assert told is not None
    assert int(told[1]) > 1000
    assert int(told[2]) > 20
    assert 0.3 < float(told[3]) < 1


@pytest.mark.timeout(600)
def test_the_file_of_the_page_makes_it_quieter(desk: Desk) -> None:
    """Its settings are settings; the same blocks give less, and the report says what is gone."""
    settings = load_settings(desk.save(TUNING, "quieter.toml"), {})
    before, after = TUNING.blocks("sh")
    if (desk.folder / "results").exists():  # another page made it of the same blocks
        before = before.splitlines()[-1] + "\n"
    desk.type(before + after)
    loud, quiet = alerts(desk, "results"), alerts(desk, "quieter")
    suppressed = set(settings.alerts.suppress)
    assert suppressed & {one["rule"] for one in loud}
    assert not suppressed & {one["rule"] for one in quiet}
    assert {one["id"] for one in quiet} < {one["id"] for one in loud}
    assert "| rule" in (desk.folder / "loud.md").read_text(encoding="utf-8").lower()
    assert "results" in (desk.folder / "tuned.html").read_text(encoding="utf-8")
    metrics = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for name in re.findall(r"`(chainwarden_\w+)`", TUNING.text):
        assert f"`{name}`" in metrics


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("collector", "'collector' names no rule"),
        ("no.such.module:Rule", "ModuleNotFoundError"),
        ("json:NoSuchRule", "AttributeError"),
        ("collections:namedtuple", "TypeError"),
        ("tests.rigs.clock:START", "not callable"),
        ("operator:eq", "is no rule: it has no id, version, evaluate"),
        ("json:loads", "TypeError"),
    ],
)
def test_what_is_no_rule_is_named(name: str, says: str) -> None:
    """With what is wrong, and how a rule is named."""
    with pytest.raises(SettingsError, match=re.escape(says)) as caught:
        own_rules([name], LabelBook(), ETHEREUM)
    assert "docs/rules.md" in caught.value.hint
    assert Path(ROOT / "docs" / "rules.md").exists()
