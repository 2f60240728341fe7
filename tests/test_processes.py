"""Ingest and detect as two processes with a real Kafka broker between them."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from ingest.simulate import SimulationConfig, write_chain
from tests.command import run_json, running

pytestmark = pytest.mark.broker


def detected(tmp_path: Path, chain: str, broker: str, *words: object) -> Any:
    """What ``chainwarden detect`` says after everything on the bus was scored."""
    return run_json(
        "detect", "--bootstrap", broker, "--chain", chain, "--out", tmp_path / "detect",
        "--exit-when-idle", 3, "--port", 0, *words, cwd=tmp_path,
        env={"CHAINWARDEN_CHAIN_ID": "1"},
    )  # fmt: skip


def ingested(tmp_path: Path, chain: str, broker: str, path: Path) -> Any:
    """What ``chainwarden ingest`` says after a file was published."""
    return run_json(
        "ingest", path, "--bootstrap", broker, "--chain", chain, "--out", tmp_path / "ingest",
        cwd=tmp_path, env={"CHAINWARDEN_CHAIN_ID": "1"},
    )  # fmt: skip


@pytest.mark.data
@pytest.mark.timeout(300)
def test_two_processes_over_kafka_equal_a_replay(
    shared_data: Path, kafka_bootstrap: str, tmp_path: Path
) -> None:
    """The run of real blocks through the broker gives a replay's digests."""
    path = shared_data / "blocks" / "run.blocks.jsonl.gz"
    published = ingested(tmp_path, "ethereum", kafka_bootstrap, path)
    assert (published["blocks"], published["verified_blocks"]) == (25, 25)
    over_kafka = detected(tmp_path, "ethereum", kafka_bootstrap)
    replayed = run_json("replay", path, "--out", tmp_path / "replay", cwd=tmp_path)
    for name in ("transactions", "flows", "wallets", "alerts", "state_digest", "alerts_digest"):
        assert over_kafka[name] == replayed[name], name


@pytest.mark.timeout(400)
def test_killed_in_the_middle_it_goes_on_and_equals_a_replay(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    """A detect process killed with SIGKILL, twice, ends with an undisturbed run's results."""
    chain = "simulated-kill"
    written = write_chain(
        SimulationConfig(seed=5, blocks=400, transactions_per_block=10.0), tmp_path / "chain"
    )
    ingested(tmp_path, chain, kafka_bootstrap, written.blocks_file)
    labels = ("--labels", written.labels_file)
    ledger = tmp_path / "detect" / "ledger.duckdb"
    words = (
        "detect", "--bootstrap", kafka_bootstrap, "--chain", chain, "--out", tmp_path / "detect",
        "--port", 0, *labels,
    )  # fmt: skip
    env = {"CHAINWARDEN_CHAIN_ID": "1", "CHAINWARDEN_STORE_SNAPSHOT_MINUTES": "0.01"}
    for _ in range(2):
        with running(words, tmp_path, env) as process:
            before = ledger.stat().st_size if ledger.exists() else 0
            deadline = time.monotonic() + 100
            while time.monotonic() < deadline and process.poll() is None:
                if ledger.exists() and ledger.stat().st_size != before:
                    break
                time.sleep(0.05)
            time.sleep(0.5)
            process.send_signal(signal.SIGKILL)
    result = detected(tmp_path, chain, kafka_bootstrap, *labels)
    replayed = run_json(
        "replay", written.blocks_file, "--out", tmp_path / "replay", "--chain", chain, *labels,
        cwd=tmp_path, env={"CHAINWARDEN_CHAIN_ID": "1"},
    )  # fmt: skip
    assert result["state_digest"] == replayed["state_digest"]
    assert json.dumps(result["alerts"]) == json.dumps(replayed["alerts"])
    assert result["alerts_digest"] == replayed["alerts_digest"]
