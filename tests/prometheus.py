"""A real Prometheus for tests: it scrapes one address on loopback, and is ended by its own pid."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.conftest import ROOT

HERE: Final = Path(__file__).resolve().parent
PATIENCE: Final = 120.0
SCRAPES: Final = 3  # a rate wants two

_CONFIG: Final = """
global: {{scrape_interval: 2s, scrape_timeout: 2s}}
scrape_configs:
  - job_name: detect
    static_configs: [{{targets: ["{target}"]}}]
"""


def command(name: str) -> str:
    """Where ``prometheus``, ``promtool``, ``prometheus-alertmanager`` or ``amtool`` is.

    Skips the test where it is not.
    """
    told = [str(HERE / "fetch_prometheus.sh"), "--folder"]
    folder = subprocess.run(told, capture_output=True, text=True, check=True).stdout.strip()
    # What is installed may be older or newer than what was fetched: that comes first.
    found = shutil.which(name, path=folder) or shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (tests/fetch_prometheus.sh, or Debian's package)")
    return found


@dataclass(frozen=True, slots=True)
class Prometheus:
    """One that runs. It is asked about one moment: when it had just scraped."""

    url: str
    moment: float

    def query(self, expr: str) -> list[dict[str, Any]]:
        """What an expression gives. Raises AssertionError for one that is refused."""
        return asked(self.url, expr, time=self.moment)


def asked(url: str, expr: str, **more: float) -> list[dict[str, Any]]:
    """What a Prometheus says to an expression. Raises AssertionError where it refuses."""
    query = urllib.parse.urlencode({"query": expr, **more})
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=PATIENCE) as answer:
            found = json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{expr}: {error.read().decode()}") from error
    assert found["resultType"] == "vector", f"{expr}: {found['resultType']}"
    return list(found["result"])


@contextmanager
def scraping(target: str, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus that has scraped ``host:port`` a few times; gone afterwards."""
    config, log = folder / "prometheus.yml", folder / "prometheus.log"
    config.write_text(_CONFIG.format(target=target), encoding="utf-8")
    address = f"127.0.0.1:{_free_port()}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [command("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={address}", "--log.level=warn"],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT,
        )  # fmt: skip
    try:
        url, deadline = f"http://{address}", time.monotonic() + PATIENCE
        while (moment := _scraped(url)) is None:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, "it scraped nothing"
            time.sleep(0.1)
        yield Prometheus(url, moment)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _scraped(url: str) -> float | None:
    """When the newest scrape was, once there were a few."""
    try:
        with urllib.request.urlopen(f"{url}/-/ready", timeout=PATIENCE):
            pass
    except OSError:  # it does not listen, or is not ready
        return None
    found = asked(url, f"timestamp(up == 1) and sum_over_time(up[1m]) >= {SCRAPES}")
    return float(found[0]["value"][1]) if found else None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
