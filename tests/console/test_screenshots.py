"""The pictures of the console in docs/screenshots: ``make screenshots`` takes them anew."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import pytest

from tests.chromium import Page
from tests.conftest import ROOT
from tests.console.conftest import Console, sound, visit

SHOTS = (("list", "#/alerts"), ("alert", "#/alerts/{alert}"), ("wallet", "#/wallets/{wallet}"))


def colours(png: bytes) -> int:
    """How many different bytes a PNG's pixels are made of: an empty page has few."""
    data, at = b"", 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    return len(set(zlib.decompress(data)))


@pytest.mark.parametrize("dark", [False, True])
def test_pictures_are_taken_of_each_page(
    chromium: Page, console: Console, tmp_path: Path, dark: bool
) -> None:
    """List, alert with its graph, and wallet: each picture is full, and one in docs is of it."""
    alert = console.ledger.alert(console.alert("key_compromise"))
    assert alert is not None
    wanted = {"alert": alert.id, "wallet": "0x" + alert.subject.hex()}
    folder = ROOT / os.environ.get("CHAINWARDEN_SCREENSHOTS", str(tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in SHOTS:
        visit(chromium, console.url + path.format(**wanted), dark=dark)
        file = f"{name}-{'dark' if dark else 'light'}.png"
        chromium.screenshot(folder / file, whole=name != "list")
        assert colours((folder / file).read_bytes()) > 100
        kept = ROOT / "docs" / "screenshots" / file
        assert kept.is_file(), "make screenshots"
        assert colours(kept.read_bytes()) > 100
    sound(chromium, console)
