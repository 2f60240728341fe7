"""The page in a real Chromium: nothing asked for, nothing complained about, nothing cut off."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chainwarden.replay import replay
from chainwarden.report.gather import Wanted
from chainwarden.report.html import to_html
from chainwarden.scorecard import read_truth
from chainwarden.settings import Settings
from tests.chromium import Page, dump_dom
from tests.report.conftest import Replays
from tests.report.test_formats import hostile_report
from tests.report.test_gather import alerts_of, gathered

# Elements whose right end is beyond the window though nothing around them scrolls.
CUT_OFF = """[...document.querySelectorAll('body *')].filter(
  e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll')
).map(e => e.outerHTML.slice(0, 120))"""
# Words of a drawing that reach over its edge.
OUTSIDE = """[...document.querySelectorAll('svg text')].filter(e => {
  const a = e.getBoundingClientRect(), b = e.ownerSVGElement.getBoundingClientRect();
  return a.width && (a.left < b.left - 1 || a.right > b.right + 1 || a.top < b.top - 1
    || a.bottom > b.bottom + 1);
}).map(e => e.textContent)"""


@pytest.fixture(scope="session")
def pages(replays: Replays, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A full report, one of hostile texts, and one of an empty ledger."""
    folder = tmp_path_factory.mktemp("pages")
    truth = read_truth(replays.written.truth_file)
    against = ("plain", alerts_of(replays.plain))
    reports = {
        "full": gathered(replays.labelled, Wanted(truth=truth, against=against)),
        "hostile": hostile_report(folder),
        "empty": gathered(folder),
    }
    for name, report in reports.items():
        (folder / f"{name}.html").write_text(to_html(report), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in reports}


@pytest.mark.parametrize("name", ["full", "hostile", "empty"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_page_needs_nothing_but_itself(
    chromium: Page, pages: dict[str, Path], name: str, width: int
) -> None:
    """At both widths, light and dark: no request, no error, and nothing is cut off."""
    check_page(chromium, pages[name].as_uri(), width)


@pytest.mark.data
def test_the_page_of_real_blocks_needs_nothing_but_itself(
    chromium: Page, shared_data: Path, tmp_path: Path
) -> None:
    """Neither does the report of a run of mainnet blocks, with its large tokens and odd names."""
    blocks = shared_data / "blocks" / "run.blocks.jsonl.gz"
    replay(blocks, tmp_path / "out", Settings(), batch_blocks=64)
    page = tmp_path / "report.html"
    page.write_text(to_html(gathered(tmp_path / "out")), encoding="utf-8")
    for width in (1280, 360):
        check_page(chromium, page.as_uri(), width)
    assert "flows/s" in chromium.value("document.querySelector('#replayed').innerText")


def check_page(chromium: Page, url: str, width: int) -> None:
    """The page, light and dark."""
    colours = set()
    for dark in (False, True):
        chromium.requests.clear()
        chromium.open(url, width, dark=dark)
        assert chromium.requests == [url]
        assert chromium.errors == []
        assert chromium.value("document.title").endswith("chainwarden report")
        assert chromium.value("document.documentElement.scrollWidth") == width
        assert chromium.value(CUT_OFF) == []
        assert chromium.value(OUTSIDE) == []
        colours.add(chromium.value("getComputedStyle(document.body).backgroundColor"))
    assert len(colours) == 2


def test_drawings_have_a_name_and_a_description(chromium: Page, pages: dict[str, Path]) -> None:
    """Every drawing names its own title and description, and each graph has a table too."""
    chromium.open(pages["full"].as_uri(), 1280)
    named = chromium.value(
        "[...document.querySelectorAll('svg')].map(e => e.getAttribute('aria-labelledby')"
        ".split(' ').map(id => e.querySelector('#' + id)?.textContent.length || 0))"
    )
    assert len(named) > 10
    assert all(min(lengths) > 0 for lengths in named)
    ids = chromium.value("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    graphs = chromium.value("document.querySelectorAll('svg[aria-labelledby^=graph]').length")
    tables = chromium.value(
        "[...document.querySelectorAll('summary')]"
        ".filter(e => /as a table/.test(e.innerText)).length"
    )
    assert graphs == 2 * tables > 0


def test_the_document_is_whole(chromium: Page, pages: dict[str, Path]) -> None:
    """Chromium's own document has each section, and no element that a hostile text made."""
    del chromium
    full = dump_dom(pages["full"].as_uri(), 1280)
    for key in (
        "replayed",
        "alerts",
        "scores",
        "accuracy",
        "quality",
        "difference",
        "cases",
        "case-1",
    ):
        assert f'id="{key}"' in full
    assert full.rstrip().endswith("</html>")
    assert "<script" not in dump_dom(pages["hostile"].as_uri(), 1280)


class Nothing(http.server.BaseHTTPRequestHandler):
    """Answers every request with an error, and says nothing of it."""

    def log_message(self, *_: object) -> None:
        """No log."""


@contextmanager
def web_server() -> Iterator[str]:
    """A server on the loopback interface that has nothing."""
    server = http.server.HTTPServer(("127.0.0.1", 0), Nothing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/x.png"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_page_that_does_ask_is_caught(chromium: Page, tmp_path: Path) -> None:
    """A page with a picture elsewhere and an error in its script shows as both."""
    with web_server() as elsewhere:
        page = tmp_path / "bad.html"
        page.write_text(
            f"<img src='{elsewhere}'><script>console.error('no')</script>", encoding="utf-8"
        )
        chromium.open(page.as_uri(), 360)
    assert elsewhere in chromium.requests
    assert any("no" in error for error in chromium.errors)
