"""docs/live.md and replay.md, done by the letter, on a real dev node."""

from __future__ import annotations

import json
import re
import shutil
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from chainwarden.settings import load_settings
from tests.anvil import Anvil
from tests.command import wait_for
from tests.conftest import ROOT
from tests.ingest.parquet_tables import aws, chain_rows, cryo, etl
from tests.kafka_broker import free_ports
from tests.rigs.composed import services
from tests.rigs.pages import Desk, Page

LIVE, REPLAY = Page(ROOT / "docs" / "live.md"), Page(ROOT / "docs" / "replay.md")


@pytest.mark.anvil
@pytest.mark.timeout(600)
def test_the_page_gets_from_a_node_to_an_alert(anvil: Anvil, tmp_path: Path) -> None:
    """Doctor, run, an attack that is played, and the commands of the other terminal."""
    if shutil.which("curl") is None:
        pytest.skip("needs curl, which the page uses")
    anvil.call("evm_setAutomine", True)
    (port,) = free_ports(1)
    desk = Desk(
        tmp_path, {"http://127.0.0.1:8545": anvil.url, "127.0.0.1:9464": f"127.0.0.1:{port}"}
    )
    env = {"CHAINWARDEN_SERVER_PORT": str(port)}
    doctor, run, terminal, play, lasting = LIVE.blocks("sh")
    assert " 0 failed" in desk.type(doctor, env)
    with desk.running(["sh", "-c", f"exec {desk.here(run)}"], env):
        wait_for("readyz", lambda: ready(port), seconds=240)
        desk.type(play, env)
        found = wait_for("the alert", lambda: told(desk, env), seconds=120)
        assert {one["rule"] for one in found} >= {"native_claim"}
        shown = desk.type(terminal, env)
    assert "what happened" in shown
    desk.save(LIVE, "chainwarden.toml")
    *prepare, again, _ = lasting.splitlines()
    script = "\n".join([*prepare, f"{again} || true"])
    failures = re.findall(r"^(?:failed|warning) +(.*)$", desk.type(script, env), re.MULTILINE)
    # Where the tests run, Slack's name may resolve or not.
    unresolved = "receiver desk: desk: its name cannot be resolved"
    assert set(failures) <= {unresolved}
    settings = load_settings(tmp_path / "chainwarden.toml", {})
    assert (settings.source.start, settings.receivers[0].name) == (0, "desk")


def ready(port: int) -> bool:
    """Whether it answers that it is."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=30):
            return True
    except OSError:
        return False


def told(desk: Desk, env: dict[str, str]) -> list[dict[str, Any]]:
    """The alerts so far."""
    shown = desk.type(".venv/bin/chainwarden alerts --json", env)
    return list(json.loads(shown)["alerts"])


def test_the_page_names_the_addresses_that_containers_publish() -> None:
    """The table has each published port, and each variable that the file reads is spoken of."""
    for name, service in services().items():
        for port in service.get("ports", []):
            assert f"http://127.0.0.1:{port.split(':')[1]}`" in LIVE.text, name
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    for name in ("RPC_URL", "CHAIN", "CHAIN_ID", "API_TOKEN", "WALLETS", "GRAFANA_PASSWORD"):
        assert f"${{{name}:-" in text
        assert f"`{name}" in LIVE.text


@pytest.mark.anvil
@pytest.mark.timeout(600)
def test_blocks_of_a_node_are_fetched_and_replayed(anvil: Anvil, tmp_path: Path) -> None:
    """The first recipe."""
    for _ in range(40):
        anvil.pay()
        anvil.mine()
    desk = Desk(tmp_path, {"http://127.0.0.1:8545": anvil.url})
    desk.type(REPLAY.blocks("sh")[0])
    status = told_by(desk, "node-results")
    assert status["blocks"] == status["verified_blocks"] == 40


MADE: dict[str, Callable[[Sequence[dict[str, Any]]], dict[str, pa.Table]]] = {
    "aws": aws, "cryo": cryo,
}  # fmt: skip


@pytest.mark.timeout(600)
def test_what_other_tools_write_is_replayed(tmp_path: Path) -> None:
    """The other recipes, on files with the columns and types that those tools write."""
    desk, rows = Desk(tmp_path), chain_rows()
    for name, made in MADE.items():
        for path, table in made(rows).items():
            file = tmp_path / name / f"{path}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table, file)
    (tmp_path / "etl").mkdir()
    written = etl(rows)["transactions"]
    pyarrow.csv.write_csv(written, tmp_path / "etl" / "transactions.csv")
    desk.save(REPLAY, "to_parquet.py")
    _, from_aws, from_etl, from_cryo, once_more = REPLAY.blocks("sh")
    desk.type(from_aws + from_etl + from_cryo)
    result = json.loads(desk.type(once_more))
    assert (result["transactions"], result["blocks"]) == (len(rows), 2)
    for folder in ("aws-results", "etl-results", "cryo-results"):
        assert told_by(desk, folder)["transactions"] == len(rows)
    values = pq.read_table(tmp_path / "etl" / "transactions.parquet")["value"].to_pylist()
    assert values == [str(row["value"]) for row in rows]


def told_by(desk: Desk, out: str) -> dict[str, Any]:
    """The counts of a replay's report."""
    shown = desk.type(f".venv/bin/chainwarden report {out} --json")
    return dict(json.loads(shown))
