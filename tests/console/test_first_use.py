"""What a new user does after ``make demo``, with nothing but what the screen says."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from tests.chromium import Page
from tests.command import run_json, running, wait_for
from tests.console.conftest import visit


def test_an_alert_is_followed_to_its_money_and_labelled(
    chromium: Page, out: Path, tmp_path: Path
) -> None:
    """serve says where; the first alert leads to the money, and its label is in the command's."""
    log = tmp_path / "stderr.log"
    with running(("serve", "--out", out, "--port", 0), tmp_path) as process:
        said = wait_for(
            "the console",
            lambda: re.search(r"console on (http://\S+)", log.read_text(encoding="utf-8")),
            120,
        )
        before = run_json("alerts", "--out", out, "--rule", "key_compromise", cwd=tmp_path)
        visit(chromium, f"{said[1]}#/alerts?rule=key_compromise")
        chromium.press("j", "Enter")
        chromium.wait("document.querySelector('.money .node.hot')")
        alert_id = chromium.value("location.hash").removeprefix("#/alerts/")
        drawn = chromium.value("document.querySelectorAll('.money .node').length")
        chromium.click(".money .node.hot")
        chromium.wait(f"document.querySelectorAll('.money .node').length > {drawn}")
        chromium.press("l")
        chromium.wait("document.querySelector('#label-word')")
        word = chromium.value("document.querySelector('#label-word').value")
        chromium.press("Enter")
        chromium.wait(f"document.querySelector('.head .tag')?.textContent == '{word}'")
        after = run_json("alerts", "--out", out, "--rule", "key_compromise", cwd=tmp_path)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    labels = {one["id"]: one["labels"] for one in after["alerts"]}
    assert labels[alert_id] == [word] != []
    assert {one["id"]: one["labels"] for one in before["alerts"]}[alert_id] == []
    assert chromium.errors == []
