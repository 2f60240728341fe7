"""The pictures of the console in docs/screenshots: ``make screenshots`` takes them anew."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from chainwarden.schema import Alert
from store.ledger import AlertFilter
from tests.chromium import Page
from tests.conftest import ROOT
from tests.console.conftest import Console, sound, visit

KEPT: Final = ROOT / "docs" / "screenshots"
WIDTH: Final = 1280
WINDOW: Final = 800
THEMES: Final = ("light", "dark")
# The parts of a page within their borders, and what of each is in the window: all of it where the
# page is taken whole.
PARTS: Final = """[...document.querySelectorAll('main > *, .card, .money, header.top')]
  .map(part => part.getBoundingClientRect())
  .map(box => [box.x + 4, box.y + 4, box.width - 8, Math.min(box.height, %d - box.y) - 8])
  .filter(([, , width, height]) => width > 1 && height > 1)"""
# What is behind everything, and behind what is written.
GROUNDS: Final = """[document.body, document.querySelector('.card, .alerts')]
  .map(part => getComputedStyle(part).backgroundColor.match(/\\d+/g).map(Number))"""
# Texts that stick out of what they stand in: a wallet's box, the graph's frame, a card, a cell.
CUT: Final = """[...document.querySelectorAll('.money text, main :not(.unseen, svg *)')]
  .filter(e => {
    if (!e.matches('text')) return e.clientWidth && e.scrollWidth > e.clientWidth + 1;
    const [box, around] = [e, e.closest('.node')?.querySelector('rect') ?? e.closest('svg')]
      .map(one => one.getBoundingClientRect());
    return box.left < around.left || box.right > around.right
      || box.top < around.top || box.bottom > around.bottom;
  }).map(e => e.textContent)"""
LOOK: Final = """(async () => {
  const bytes = Uint8Array.from(atob(PICTURE), one => one.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
  const context = new OffscreenCanvas(image.width, image.height).getContext('2d',
    {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  const colours = ([x, y, width, height]) => {
    const counted = new Map();
    for (const pixel of new Uint32Array(context.getImageData(x, y, width, height).data.buffer))
      counted.set(pixel, (counted.get(pixel) ?? 0) + 1);
    return counted;
  };
  const all = [...colours([0, 0, image.width, image.height])].sort((a, b) => b[1] - a[1]);
  const [most, times] = all[0];
  return {width: image.width, height: image.height, share: times / (image.width * image.height),
    ground: [most & 255, most >> 8 & 255, most >> 16 & 255],
    parts: PARTS.map(part => colours(part).size)};
})()"""


@dataclass(frozen=True, slots=True)
class Shot:
    """A page, the texts that are on it when its picture is taken, and whether it is taken whole."""

    name: str
    path: str
    texts: list[str]
    whole: bool = True


def brief(sentence: str) -> str:
    """A sentence as lists have it, its addresses cut to their ends."""
    return re.sub(r"0x[0-9a-f]{40}", lambda hit: f"{hit[0][:10]}…{hit[0][-8:]}", sentence)


def told(alert: Alert) -> list[str]:
    """What a list says of an alert."""
    return [str(alert.rule), alert.severity.name.lower(), brief(alert.sentence)]


def shots(console: Console) -> Iterator[Shot]:
    """List, an alert with its graph, the wallet that it is about."""
    newest = console.ledger.alerts()[:4]
    yield Shot("list", "#/alerts", [text for one in newest for text in told(one)], whole=False)
    alert = console.ledger.alert(console.alert("key_compromise"))
    assert alert is not None
    wallet = "0x" + alert.subject.hex()
    around = ["0x" + one.hex() for one in alert.evidence.addresses]
    about = [alert.id, wallet, *around, *(reason.feature for reason in alert.reasons)]
    yield Shot("alert", f"#/alerts/{alert.id}", [*told(alert), *about, "Before you decide"])
    its = console.ledger.alerts(AlertFilter(subject=alert.subject, status="all"))
    listed = [text for one in its for text in told(one)]
    yield Shot("wallet", f"#/wallets/{wallet}", [wallet, *listed, "Who said what", "Transfers"])


def seen(page: Page, path: Path, parts: list[list[float]]) -> dict[str, Any]:
    """What is in a picture: its size, its commonest colour, how many colours each part has."""
    picture = json.dumps(base64.b64encode(path.read_bytes()).decode())
    look = LOOK.replace("PICTURE", picture).replace("PARTS", json.dumps(parts))
    found: dict[str, Any] = page.result(look)
    return found


@pytest.mark.parametrize("theme", THEMES)
def test_pictures_show_each_page(
    chromium: Page, console: Console, tmp_path: Path, theme: str
) -> None:
    """Each has what the ledger has, no part blank, in its theme; those kept look like it."""
    folder = ROOT / os.environ.get("CHAINWARDEN_SCREENSHOTS", str(tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    dark = theme == "dark"
    for shot in shots(console):
        visit(chromium, console.url + shot.path, WIDTH, dark=dark)
        written = chromium.value("document.querySelector('main').innerText")
        assert [text for text in shot.texts if text not in written] == [], shot.name
        assert chromium.value(CUT) == [], shot.name
        tall = chromium.value("document.documentElement.scrollHeight") if shot.whole else WINDOW
        parts, grounds = chromium.value(PARTS % tall), chromium.value(GROUNDS)
        file = f"{shot.name}-{theme}.png"
        chromium.screenshot(folder / file, whole=shot.whole)
        sound(chromium, console)
        chromium.open("about:blank", WIDTH)  # a page of the console lets in no picture
        taken = seen(chromium, folder / file, parts)
        assert (taken["width"], taken["height"]) == (WIDTH, tall)
        assert min(taken["parts"]) > 8, f"{file}: a part is blank: {taken['parts']}"
        assert taken["ground"] in grounds
        assert all(max(one) < 64 if dark else min(one) > 192 for one in grounds)
        kept = seen(chromium, KEPT / file, [])
        # Fonts differ from machine to machine, and with them lines and heights.
        assert kept["width"] == WIDTH
        assert kept["height"] == pytest.approx(tall, rel=0.15), f"{file}: make screenshots"
        assert kept["ground"] == taken["ground"], f"{file}: make screenshots"
        assert kept["share"] == pytest.approx(taken["share"], abs=0.1), f"{file}: make screenshots"


def test_no_picture_is_left_over() -> None:
    """There is one of each page in each theme, and none of a page that is no more."""
    names = {f"{page}-{theme}.png" for page in ("list", "alert", "wallet") for theme in THEMES}
    assert {path.name for path in KEPT.iterdir()} == names
