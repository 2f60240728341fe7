"""A real Ethereum dev node for tests: the fixture ``anvil``, loaded as a pytest plugin.

``CHAINWARDEN_TEST_ANVIL`` may name a binary; otherwise the one that ``tests/fetch_anvil.py`` puts
into ``.cache`` is run. Each test gets a node of its own on a free loopback port.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.fetch_anvil import fetch

START_SECONDS = 20.0


@dataclass
class Anvil:
    """A running node. ``call`` raises RuntimeError for an error object."""

    port: int
    process: subprocess.Popen[bytes]
    _ids: count[int] = field(default_factory=count)

    @property
    def url(self) -> str:
        """For HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """For WebSocket; anvil has both on one port."""
        return f"ws://127.0.0.1:{self.port}"

    def call(self, method: str, *params: Any) -> Any:
        """The result of one call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/", json.dumps(body), headers)
            answer = json.load(connection.getresponse())
        finally:
            connection.close()
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def mine(self, blocks: int = 1) -> None:
        """Mine so many blocks, a second apart in block time."""
        self.call("anvil_mine", hex(blocks), "0x1")

    def pay(self, value: int = 1, sender: int = 0, recipient: int = 1) -> str:
        """Send ether from one dev account to another; the transaction's hash. Mine it yourself."""
        accounts = self.call("eth_accounts")
        payment = {"from": accounts[sender], "to": accounts[recipient], "value": hex(value)}
        return str(self.call("eth_sendTransaction", payment))

    def stop(self) -> None:
        """End the node, and wait until it is gone."""
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=5)


def start_anvil(binary: Path, *options: str, port: int = 0) -> Anvil:
    """A node that answers, mining only on demand. Raises RuntimeError when it does not start."""
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = [str(binary), "--port", str(port), "--no-mining", "--silent", *options]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    node = Anvil(port, process)
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            node.call("eth_chainId")
        except OSError:
            time.sleep(0.05)
        else:
            return node
    node.stop()
    raise RuntimeError(f"anvil did not start (exit code {process.returncode})")


@pytest.fixture(scope="session")
def anvil_binary() -> Path:
    """Where anvil is; the test is skipped where it cannot be had."""
    if named := os.environ.get("CHAINWARDEN_TEST_ANVIL"):
        return Path(named)
    try:
        return fetch()
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"needs anvil: {error}")


@pytest.fixture
def anvil(anvil_binary: Path) -> Iterator[Anvil]:
    """A fresh node at block 0, chain id 31337, that mines when told to."""
    node = start_anvil(anvil_binary)
    try:
        yield node
    finally:
        node.stop()
