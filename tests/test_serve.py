"""The commands beside a process that has the ledger open: ``serve``, and ``run`` with a node."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from chainwarden.schema import ETHEREUM, Cursor, Severity
from store.ledger import Commit, Ledger
from tests.anvil import Anvil
from tests.command import run, run_json, running, wait_for
from tests.store.made import WALLET, alert, position

ADDRESS = "0x" + WALLET.hex()
RECIPIENT = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"  # the second account of a dev node
TOKEN = {"CHAINWARDEN_SERVER_TOKEN": "correct-horse-battery-staple"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder with a ledger of more alerts than one page of the API holds."""
    folder = tmp_path / "out"
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM) as ledger:
        alerts = [alert(n, severity=Severity(n % 5)) for n in range(1, 1204)]
        ledger.commit(Commit(Cursor(position(1203), {}, 1203), alerts))
    return folder


def api_address(log: Path, process: subprocess.Popen[str]) -> str:
    """``http://host:port`` of the API, once it answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8")
        if found := re.search(r"API on (http://[^/]+)/", text):
            return found[1]
        assert process.poll() is None, text
        time.sleep(0.02)
    raise AssertionError("the API did not start")


def answers(out: Path, cwd: Path, env: dict[str, str] | None = None) -> list[Any]:
    """What the commands print about a folder, as JSON and as a table."""
    filters: list[tuple[object, ...]] = [
        ("--limit", 1203), ("--limit", 3), ("--severity", "high", "--rule", "mixer_touch"),
        ("--subject", ADDRESS, "--retracted", "--limit", 1), ("--rule", "nothing"),
    ]  # fmt: skip
    found: list[Any] = []
    for words in filters:
        done = run("alerts", "--out", out, "--json", *words, cwd=cwd, env=env)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    table = run("alerts", "--out", out, "--limit", 5, cwd=cwd, env=env)
    return [*found, table.stdout]


@pytest.mark.timeout(200)
def test_the_commands_say_the_same_beside_the_process_that_serves(
    out: Path, tmp_path: Path
) -> None:
    """Alerts are printed to the byte as from the file; labels set there are in it afterwards."""
    before = answers(out, tmp_path)
    assert len(json.loads(before[0])["alerts"]) == 1203
    one = json.loads(before[1])["alerts"][0]["id"]
    words = (ADDRESS, "Phishing", "--author", "ana", "--note", "seen", "--from-alert", one)
    with running(("serve", "--out", out, "--port", 0), tmp_path) as process:
        api_address(tmp_path / "stderr.log", process)
        assert answers(out, tmp_path) == before
        done = run_json("label", *words, "--out", out, cwd=tmp_path)
        said_so = {"address": ADDRESS, "label": "phishing", "status": "labelled"}
        assert done == said_so | {"verdict": "bad"}
        run_json("label", ADDRESS, "benign", "--out", out, cwd=tmp_path)
        run_json("label", ADDRESS, "benign", "--withdraw", "--out", out, cwd=tmp_path)
        (found,) = run_json("alerts", "--out", out, "--limit", 1, cwd=tmp_path)["alerts"]
        assert found["labels"] == ["phishing"]
        refused = [
            ("label", ADDRESS, "benign", "--withdraw"),
            ("label", ADDRESS, "phishing", "--from-alert", "00" * 16),
            ("label", ADDRESS, "<b>"),
        ]
        said = [run(*line, "--out", out, cwd=tmp_path) for line in refused]
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    assert not (out / "server.json").exists()
    for line, done_there in zip(refused, said, strict=True):
        here = run(*line, "--out", out, cwd=tmp_path)
        assert (here.returncode, here.stderr) == (3, done_there.stderr)
        assert done_there.returncode == 3
    with Ledger.open(out / "ledger.duckdb", ETHEREUM) as ledger:
        (label,) = ledger.labels()
    assert (label.address, label.label, label.author) == (WALLET, "phishing", "ana")
    assert (label.note, label.alert_id, label.source) == ("seen", one, "analyst")


@pytest.mark.timeout(200)
def test_a_process_that_does_not_answer_is_named(out: Path, tmp_path: Path) -> None:
    """A stale or foreign server.json ends in the error that says who has the ledger."""
    with running(("serve", "--out", out, "--port", 0), tmp_path) as process:
        api_address(tmp_path / "stderr.log", process)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=20)
    assert (out / "server.json").exists()  # nobody could take it away
    left = json.loads((out / "server.json").read_text(encoding="utf-8"))
    with Ledger.open(out / "ledger.duckdb", ETHEREUM):
        mine = {**left, "pid": os.getpid()}
        for said in (left, mine):
            (out / "server.json").write_text(json.dumps(said), encoding="utf-8")
            for words in (("alerts",), ("label", ADDRESS, "phishing")):
                done = run(*words, "--out", out, cwd=tmp_path)
                assert done.returncode == 6, done.stderr
                assert f"pid {os.getpid()}" in done.stderr
                assert len(done.stderr.splitlines()) == 1
    assert run_json("alerts", "--out", out, cwd=tmp_path)["total"] == 1203


@pytest.mark.timeout(200)
def test_beyond_loopback_it_wants_a_token(out: Path, tmp_path: Path) -> None:
    """Without one it does not start; with one, the commands need it, and nobody is shown it."""
    words = ("serve", "--out", out, "--host", "0.0.0.0", "--port", 0)
    done = run(*words, cwd=tmp_path)
    assert done.returncode == 3
    assert "server.token" in done.stderr
    with running(words, tmp_path, TOKEN) as process:
        api_address(tmp_path / "stderr.log", process)
        without = run("alerts", "--out", out, cwd=tmp_path)
        assert without.returncode == 3
        assert "CHAINWARDEN_SERVER_TOKEN" in without.stderr
        wrong = {"CHAINWARDEN_SERVER_TOKEN": "x" * 20}
        assert run("alerts", "--out", out, cwd=tmp_path, env=wrong).returncode == 3
        assert run("alerts", "--out", out, cwd=tmp_path, env=TOKEN).returncode == 0
        texts = [(out / "server.json").read_text(encoding="utf-8"), without.stderr]
    texts.append((tmp_path / "stderr.log").read_text(encoding="utf-8"))
    assert not any(TOKEN["CHAINWARDEN_SERVER_TOKEN"] in text for text in texts)


def test_a_port_in_use_is_a_clear_error(out: Path, tmp_path: Path) -> None:
    """The second of two servers on one port says so, and leaves the ledger free; the first one is
    stopped as it says."""
    other = tmp_path / "other"
    shutil.copytree(out, other)
    with running(("serve", "--out", out, "--port", 0), tmp_path) as process:
        address = api_address(tmp_path / "stderr.log", process)
        port = address.rpartition(":")[2]
        done = run("serve", "--out", other, "--port", port, cwd=tmp_path)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    said = (tmp_path / "stderr.log").read_text(encoding="utf-8")
    assert said.endswith("chainwarden: stop with Ctrl-C\n")
    assert done.returncode == 3
    assert re.search(f"{port}.*free port", done.stderr)
    assert run_json("alerts", "--out", other, cwd=tmp_path)["total"] == 1203


@pytest.mark.anvil
@pytest.mark.timeout(500)
def test_beside_a_running_deployment(anvil: Anvil, tmp_path: Path) -> None:
    """The process that follows a node answers for its ledger; a label takes force meanwhile."""
    anvil.mine(3)
    words = ("run", "--rpc", anvil.url, "--start", 0, "--port", 0, "--out", "out")
    with running(words, tmp_path) as process:
        api_address(tmp_path / "stderr.log", process)
        listed = run_json("alerts", "--out", "out", cwd=tmp_path)
        assert listed == {"total": 0, "alerts": []}
        run_json("label", ADDRESS, "exchange", "--out", "out", cwd=tmp_path)
        run_json("label", RECIPIENT, "sanctioned", "--out", "out", cwd=tmp_path)

        def touched() -> list[Any]:
            anvil.pay(10**18)
            anvil.mine()
            words = ("alerts", "--rule", "sanctions_touch", "--out", "out")
            found: list[Any] = run_json(*words, cwd=tmp_path)["alerts"]
            return found

        alert = wait_for("an alert about the label", touched, seconds=200)[0]
        told = run_json("explain", alert["id"][:8], "--out", "out", cwd=tmp_path)
        assert told["alert"]["evidence"]["addresses"] == [RECIPIENT]
        trail = run_json("labels", RECIPIENT, "--out", "out", cwd=tmp_path)["changes"]
        assert trail[0]["in_force_from"] <= alert["block_number"]
        process.terminate()
        process.wait(timeout=120)
        log = (tmp_path / "stderr.log").read_text(encoding="utf-8")
        assert process.returncode == 0, log
        assert "Traceback" not in log
    chain = type(ETHEREUM)("anvil", 31337)
    with Ledger.open(tmp_path / "out" / "ledger.duckdb", chain) as ledger:
        assert [label.label for label in ledger.labels(WALLET)] == ["exchange"]
    assert not (tmp_path / "out" / "server.json").exists()
