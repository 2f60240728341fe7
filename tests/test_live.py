"""A running deployment: a real node, the command as a process, a receiver of webhooks."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ingest.simulate.playing import play
from tests.anvil import Anvil
from tests.command import run_json, running, wait_for
from tests.rigs.receiver import SECRET, Received, WebhookReceiver

pytestmark = pytest.mark.anvil

CONFIG = """
[[webhooks]]
name = "ops"
url = "{url}"
secret = "{secret}"
allow_networks = ["127.0.0.0/8"]
"""


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """A receiver that accepts everything."""
    with WebhookReceiver() as receiver:
        yield receiver


@dataclass
class Times:
    """When each block was first seen on the node, and each message at the receiver."""

    mined: dict[int, float] = field(default_factory=dict)
    told: dict[str, float] = field(default_factory=dict)


@contextmanager
def watching(anvil: Anvil, receiver: WebhookReceiver) -> Iterator[Times]:
    """Note the times from a thread of its own, while a campaign is played in this one."""
    times, stop = Times(), threading.Event()

    def watch() -> None:
        last = -1
        while not stop.wait(0.01):
            number, now = int(anvil.call("eth_blockNumber"), 16), time.monotonic()
            times.mined |= dict.fromkeys(range(last + 1, number + 1), now)
            last = max(last, number)
            for message in receiver.accepted():
                times.told.setdefault(message.id, time.monotonic())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield times
    finally:
        stop.set()
        thread.join()


def raised(receiver: WebhookReceiver, rule: str) -> Received | None:
    """The first alert of a rule that the receiver accepted."""
    for one in receiver.accepted():
        if one.message["type"] == "alert.raised" and one.message["data"]["rule"] == rule:
            return one
    return None


def started(log: Path, process: subprocess.Popen[str]) -> str | None:
    """The address of /metrics, once the process follows the node."""
    if process.poll() is not None:
        raise AssertionError(log.read_text(encoding="utf-8"))
    lines = log.read_text(encoding="utf-8").splitlines()
    if not any("following" in line for line in lines):
        return None
    return next(line.split()[-1] for line in lines if "metrics on" in line)


def metric(url: str, name: str) -> float:
    """The sum of a metric's samples."""
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


def wait_for_head(head: int, log: Path, process: subprocess.Popen[str]) -> None:
    """Until the process has scored the block with that number."""
    url = wait_for("the start", lambda: started(log, process), seconds=200)
    name = 'chainwarden_head_block{chain="anvil",stage="detect"'
    wait_for("the head", lambda: metric(url, name) == head, seconds=30)


def ready(url: str) -> bool:
    """Whether /readyz says so."""
    try:
        with urllib.request.urlopen(url.replace("/metrics", "/readyz"), timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return False


@pytest.mark.timeout(300)
def test_an_attack_is_told_within_two_seconds_and_taken_back_when_its_block_goes(
    anvil: Anvil, receiver: WebhookReceiver, tmp_path: Path
) -> None:
    """The alert is in the ledger and at the receiver, signed; a reorg brings the retraction."""
    config = tmp_path / "chainwarden.toml"
    config.write_text(CONFIG.format(url=receiver.url, secret=SECRET), encoding="utf-8")
    anvil.mine(3)
    words = ("run", "--rpc", anvil.url, "--websocket", anvil.ws_url, "--port", 0, "--json")
    with running(words, tmp_path) as process:
        url = wait_for("the start", lambda: started(tmp_path / "stderr.log", process), seconds=200)
        wait_for("readiness", lambda: ready(url), seconds=20)
        anvil.call("evm_setAutomine", True)
        with watching(anvil, receiver) as times:
            play(anvil.url, "native_claim", 1, 0.05)
            anvil.call("evm_setAutomine", False)
            claim = wait_for("the alert", lambda: raised(receiver, "native_claim"), seconds=10)
            wait_for("its time", lambda: claim.id in times.told, seconds=1)
        mined = times.mined[claim.message["data"]["block_number"]]
        assert times.told[claim.id] - mined < 2.0
        assert not receiver.unsigned()
        assert claim.id == claim.message["data"]["id"]
        alert = claim.message["data"]
        assert alert["chain"] == "anvil"
        assert alert["evidence"]["transactions"]
        assert metric(url, "chainwarden_alerts_total") >= 1
        wait_for("no lag", lambda: metric(url, "chainwarden_lag_blocks") == 0, seconds=10)
        assert metric(url, "chainwarden_rpc_requests_total") > 0

        head = int(anvil.call("eth_blockNumber"), 16)
        depth = head - alert["block_number"] + 1
        anvil.call("anvil_reorg", depth, [])
        retraction = wait_for(
            "the retraction",
            lambda: [
                r
                for r in receiver.accepted()
                if r.message["type"] == "alert.retracted" and r.message["data"]["id"] == alert["id"]
            ],
            seconds=15,
        )
        assert retraction[0].signed_with(SECRET)
        assert metric(url, "chainwarden_reverted_blocks_total") == depth
        process.terminate()
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, (tmp_path / "stderr.log").read_text(encoding="utf-8")
    summary = json.loads(out)
    assert summary["retracted"] >= 1
    listed = run_json("alerts", "--out", summary["out"], "--retracted", cwd=tmp_path)
    status = {one["id"]: one["status"] for one in listed["alerts"]}
    assert status[alert["id"]] == "retracted"


@pytest.mark.timeout(400)
def test_a_restart_goes_on_where_the_ledger_is(anvil: Anvil, tmp_path: Path) -> None:
    """Blocks mined, and a fork made, while it was down are made up for; the state is a replay's."""
    words = ("run", "--rpc", anvil.url, "--start", 0, "--port", 0, "--json")
    results: list[dict[str, Any]] = []
    for blocks in (5, 4):
        for _ in range(blocks):
            anvil.pay()
            anvil.mine()
        if results:
            anvil.call("anvil_reorg", 6, [])
        head = int(anvil.call("eth_blockNumber"), 16)
        with running(words, tmp_path) as process:
            wait_for_head(head, tmp_path / "stderr.log", process)
            process.terminate()
            out, _ = process.communicate(timeout=60)
        results.append(json.loads(out))
    fetched = run_json(
        "fetch", "chain", "--rpc", anvil.url, "--from", 0, "--to", head, cwd=tmp_path
    )
    assert fetched["blocks"] == head + 1
    replayed = run_json(
        "replay",
        fetched["blocks_file"],
        "--chain",
        "anvil",
        cwd=tmp_path,
        env={"CHAINWARDEN_CHAIN_ID": "31337"},
    )
    assert results[-1]["state_digest"] == replayed["state_digest"]
