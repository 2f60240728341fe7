from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chainwarden.deployment import new_metrics
from chainwarden.ledgers import open_ledger
from chainwarden.recorded_labels import recorded_book
from chainwarden.replay import replay
from chainwarden.serving import serve_ledger
from chainwarden.settings import DetectSettings, Secret, ServerSettings, Settings, StoreSettings
from ingest.simulate import SimulationConfig, write_chain
from store.label_archive import LabelArchive
from store.ledger import AlertFilter, Ledger
from tests.chromium import Page, browser

OFTEN = 1_000_000  # requests a minute: a test asks faster than a person


@dataclass
class Console:
    """A console that is served by the product's own server, and its ledger."""

    url: str
    ledger: Ledger

    def alert(self, rule: str) -> str:
        """The id of the newest alert of a rule."""
        return self.ledger.alerts(AlertFilter(rule=rule))[0].id


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A replay of a small chain, forks and every campaign included."""
    folder = tmp_path_factory.mktemp("console")
    config = SimulationConfig(seed=4, blocks=200, transactions_per_block=8.0)
    written = write_chain(config, folder / "chain")
    settings = Settings(detect=DetectSettings(labels=[str(written.labels_file)]))
    replay(written.blocks_file, folder / "results", settings, batch_blocks=64)
    return folder / "results"


@contextmanager
def serving(out: Path, token: str = "") -> Iterator[Console]:
    """Serve a folder as ``chainwarden serve`` does."""
    server = ServerSettings(port=0, token=Secret(token), requests_per_minute=OFTEN)
    settings = Settings(store=StoreSettings(out=str(out)), server=server)
    with ExitStack() as stack:
        ledger = stack.enter_context(open_ledger(out, settings))
        labels = recorded_book(ledger, LabelArchive(out / "label-lists"))
        metrics = new_metrics(ledger.chain)
        running = serve_ledger(settings, ledger, labels, metrics, lambda: "", stack)
        yield Console(f"http://{running.address}/", ledger)


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    """A tab for all tests of a module: each console is another origin, so they share nothing."""
    if shutil.which("chromium") is None:
        pytest.skip("needs chromium (tests/fetch_chromium.sh, or Debian's package)")
    with browser() as page:
        yield page


@pytest.fixture
def chromium(tab: Page) -> Page:
    """The tab, with nothing in it."""
    tab.open("about:blank", 1280)
    tab.errors.clear()
    tab.requests.clear()
    return tab


@pytest.fixture
def out(replayed: Path, tmp_path: Path) -> Path:
    """A copy of the replay's folder, for one test."""
    return Path(shutil.copytree(replayed, tmp_path / "results"))


@pytest.fixture
def console(out: Path) -> Iterator[Console]:
    """A console of its own."""
    with serving(out) as served:
        yield served


LOADED = """document.querySelector('main h1')
  && !/Loading …/.test(document.querySelector('main').textContent)"""


def visit(page: Page, url: str, width: int = 1280, *, dark: bool = False) -> None:
    """Open a page of the console, and wait until all of it is there."""
    page.open("about:blank", width)  # another hash alone would load nothing
    page.open(url, width, dark=dark)
    page.wait(LOADED)


def sound(page: Page, console: Console) -> None:
    """The page complained of nothing, and asked nobody but its own server."""
    assert page.errors == []
    foreign = [
        url
        for url in page.requests
        if not url.startswith((console.url, "data:")) and url != "about:blank"
    ]
    assert foreign == []  # data: is the browser's own calendar button
