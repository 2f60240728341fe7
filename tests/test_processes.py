"""Ingest and detect as two processes with a real Kafka broker between them."""

from __future__ import annotations

import json
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ingest.simulate import SimulationConfig, write_chain
from tests.command import run_json, running, wait_for

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


def scored_blocks(lake: Path) -> int:
    """How many blocks are in a lake, whatever its manifest says."""
    return sum(pq.read_metadata(path).num_rows for path in lake.glob("blocks/*/*/*.parquet"))


def more_than(count: int, lake: Path) -> bool:
    """Whether more blocks than that are in the lake."""
    return scored_blocks(lake) > count


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
        SimulationConfig(seed=5, blocks=800, transactions_per_block=10.0), tmp_path / "chain"
    )
    ingested(tmp_path, chain, kafka_bootstrap, written.blocks_file)
    labels = ("--labels", written.labels_file)
    lake = tmp_path / "detect" / "lake"
    words = (
        "detect", "--bootstrap", kafka_bootstrap, "--chain", chain, "--out", tmp_path / "detect",
        "--port", 0, *labels,
    )  # fmt: skip
    env = {"CHAINWARDEN_CHAIN_ID": "1", "CHAINWARDEN_STORE_SNAPSHOT_MINUTES": "0.01"}
    for _ in range(2):
        with running(words, tmp_path, env) as process:
            before = scored_blocks(lake)
            wait_for("a commit", partial(more_than, before, lake), seconds=100)
            assert process.poll() is None
            process.send_signal(signal.SIGKILL)
    assert 0 < scored_blocks(lake) < 800
    result = detected(tmp_path, chain, kafka_bootstrap, *labels)
    replayed = run_json(
        "replay", written.blocks_file, "--out", tmp_path / "replay", "--chain", chain, *labels,
        cwd=tmp_path, env={"CHAINWARDEN_CHAIN_ID": "1"},
    )  # fmt: skip
    assert result["state_digest"] == replayed["state_digest"]
    assert json.dumps(result["alerts"]) == json.dumps(replayed["alerts"])
    assert result["alerts_digest"] == replayed["alerts_digest"]
