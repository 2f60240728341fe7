"""``acknowledge``, ``suppress``, ``suppressions``: on a free ledger, and on a running process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from chainwarden.metrics import Metrics
from chainwarden.schema import ETHEREUM
from chainwarden.serving import serve_ledger
from chainwarden.settings import ServerSettings, Settings, StoreSettings
from detect.labels import LabelBook
from store.ledger import AlertFilter, Ledger
from tests.command import run, run_json
from tests.store.asking import OTHER, fill

WALLET = "0x" + OTHER.hex()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with twelve alerts, of which nobody says anything."""
    folder = tmp_path_factory.mktemp("filled")
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
    return folder


@pytest.fixture(params=["free", "running"])
def out(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with twelve alerts, which nobody has open, or a process that answers."""
    with ExitStack() as stack:
        ledger = stack.enter_context(Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM))
        fill(ledger)
        if request.param == "free":
            stack.close()
        else:
            settings = Settings(
                store=StoreSettings(out=str(tmp_path)), server=ServerSettings(port=0)
            )
            metrics = Metrics(CollectorRegistry(), ETHEREUM.name)
            serve_ledger(settings, ledger, LabelBook(), metrics, lambda: "", stack)
        yield tmp_path


def ask(out: Path, *words: object) -> Any:
    """What a command answers."""
    return run_json(*map(str, words), "--out", out, cwd=out)


def test_an_alert_is_taken_in_hand_by_command(out: Path) -> None:
    """Its first digits do; the lists show who has it, and tell apart; giving back ends it."""
    alerts = ask(out, "alerts")["alerts"]
    one = alerts[2]["id"]
    done = ask(out, "acknowledge", one[:6], "--author", "ana", "--note", "asked the exchange")
    assert (done["id"], done["acknowledged"]["by"]) == (one, "ana")
    assert [a["id"] for a in ask(out, "alerts", "--acknowledged", "yes")["alerts"]] == [one]
    free = ask(out, "alerts", "--acknowledged", "no")["alerts"]
    assert free == [alert for alert in alerts if alert["id"] != one]
    assert run("alerts", "--out", out, cwd=out).stdout.count("in hand: ana") == 1
    said = run("acknowledge", one, "--author", "bob", "--out", out, cwd=out)
    assert said.stdout == f"{one[:8]}: bob has it in hand\n"
    assert ask(out, "acknowledge", one, "--withdraw")["acknowledged"] is None
    again = run("acknowledge", one, "--withdraw", "--out", out, cwd=out)
    assert (again.returncode, "nobody has acknowledged" in again.stderr) == (3, True)


def test_alerts_are_suppressed_by_command(out: Path) -> None:
    """It says until when, how many there are, and how to end it; that does."""
    shown = run("suppress", "--subject", WALLET, "--hours", "2", "--out", out, cwd=out)
    assert shown.returncode == 0, shown.stderr
    for word in (
        WALLET,
        " UTC nobody is told",
        "3 active alerts",
        f"chainwarden suppressions end 1 --out {out}",
    ):
        assert word in shown.stdout
    (held,) = ask(out, "suppressions")["suppressions"]
    assert abs(held["until"] - time.time() - 7200) < 120
    quiet = [a for a in ask(out, "alerts")["alerts"] if a["suppressed_until"] is not None]
    assert {alert["subject"] for alert in quiet} == {WALLET}
    assert run("alerts", "--out", out, cwd=out).stdout.count("[suppressed]") == len(quiet) == 3
    made = ask(out, "suppress", "--rule", "mixer_touch", "--author", "ana", "--note", "known")
    assert made["covers"] == 6
    assert ask(out, "suppressions", "end", 1, "--author", "bob")["ended_by"] == "bob"
    assert [one["id"] for one in ask(out, "suppressions")["suppressions"]] == [2]
    listed = run("suppressions", "--all", "--out", out, cwd=out).stdout
    assert "2 suppressions" in listed
    assert "bob" in listed


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("acknowledge", "0000"), 3, "no alert has the id 0000"),
        (("suppress",), 3, "--rule, --subject, or both"),
        (("suppress", "--rule", "Drop Table"), 3, "no rule's name"),
        (("suppressions", "end"), 3, "list, or end ID"),
        (("suppressions", "end", "9"), 3, "no suppression 9 holds"),
        (("alerts", "--acknowledged", "no", "--follow"), 3, "nobody has yet"),
    ],
)
def test_what_cannot_be_done_says_what_can(
    filled: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    """One line and an exit code, and nothing kept."""
    done = run(*words, "--out", filled, cwd=filled)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    with Ledger.open(filled / "ledger.duckdb", ETHEREUM) as ledger:
        assert ledger.triage.suppressions(9) == []
        assert ledger.alerts(AlertFilter(acknowledged=True)) == []
