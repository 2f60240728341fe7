"""The page about the API in the docs: its commands, run as they stand."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden.schema import ETHEREUM
from chainwarden.server import HttpServer
from store.ledger import Ledger
from tests.conftest import ROOT
from tests.store.asking import fill, serving

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"```sh\n(.*?)\n```", PAGE, re.DOTALL)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[HttpServer]:
    """A server over a dozen alerts."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
        with serving(ledger) as serves:
            yield serves


def asked(command: str, server: HttpServer) -> subprocess.CompletedProcess[str]:
    """A command of the page, asking this server instead of the usual place."""
    assert "127.0.0.1:9464" in command
    line = command.replace("127.0.0.1:9464", server.address)
    return subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60)


def test_its_commands_do_what_it_says(server: HttpServer) -> None:
    """The document, the newest alerts, a stream that says where it begins, a suppression."""
    document, alerts, stream, suppress = COMMANDS
    described = json.loads(asked(document, server).stdout)
    assert described["openapi"] == "3.1.0"
    page = json.loads(asked(alerts, server).stdout)
    severities = {one["severity"] for one in page["alerts"]}
    assert severities == {"high", "critical"}
    heard = asked(stream, server)
    assert heard.returncode == 28, heard.stderr  # curl's for: as long as it was told to
    assert re.fullmatch(r"retry: \d+\n\nid: [0-9a-f]{8}-\d+\n\n", heard.stdout)
    quiet = json.loads(asked(suppress, server).stdout)
    assert (quiet["rule"], quiet["note"], quiet["holds"]) == ("dusting", "known", True)
    assert 3000 < quiet["until"] - quiet["said_at"] < 3601
    for path in re.findall(r"`([a-z]+/[A-Za-z/]+)`", PAGE):
        assert (
            f"/api/v1/{path}".replace("ADDRESS", "{address}").replace("ID", "{id}")
            in (described["paths"])
        )
