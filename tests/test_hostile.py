"""What strangers write, in every sink: nothing acts, an event is a line, no row is lost."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from chainwarden.commands.alerts import AlertWords
from chainwarden.commands.alerts import alerts as list_alerts
from chainwarden.commands.explain import explain
from chainwarden.commands.label import labels as list_labels
from chainwarden.commands.report import report
from chainwarden.errors import SettingsError
from chainwarden.logs import LONGEST, OneLine
from chainwarden.schema import ETHEREUM, Cursor, Label, Position
from chainwarden.terminal import print_error
from store.ledger import Commit, Ledger
from store.payload import MAX_BYTES, body_of
from tests.rigs.hostile import TEXTS, alert
from tests.store.asking import ALERTS, Client, serving

COUNT = len(TEXTS)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with an alert and a label for each text, to be told to a receiver."""
    folder = tmp_path_factory.mktemp("hostile") / "out"
    alerts = [
        alert(number, chain=ETHEREUM, sentence=text, rule="mixer_touch")
        for number, text in enumerate(TEXTS.values(), 1)
    ]
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as ledger:
        ledger.commit(Commit(Cursor(Position(100 + COUNT, b"")), alerts=alerts))
        for number, text in enumerate(TEXTS.values()):
            known = text[:500].encode("utf-8", "replace").decode()
            ledger.add_label(Label(bytes([number]) * 20, known, "list", note=known, author=known))
    return folder


@pytest.fixture
def ledger(out: Path) -> Iterator[Ledger]:
    """It, open."""
    with Ledger.open(out / "ledger.duckdb", ETHEREUM, receivers=["ops"]) as opened:
        yield opened


def flags(out: Path) -> dict[str, object]:
    """Where the commands look."""
    return {"store.out": str(out)}


def shown_safely(text: str) -> None:
    """A terminal that gets this text prints it, and does nothing else."""
    bad = [line for line in text.split("\n") if not line.isprintable()]
    assert bad == []


def test_a_table_has_a_row_for_each_alert(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every alert is in the table, and nothing drives the terminal."""
    list_alerts(
        AlertWords(status="all", limit=100), following=False, config=None, flags=flags(out),
        json=False,
    )  # fmt: skip
    printed = capsys.readouterr().out
    shown_safely(printed)
    for number in range(1, COUNT + 1):
        assert f"│ {100 + number} " in printed
    assert "[bold]x :smile:" in printed
    list_labels(None, limit=100, config=None, flags=flags(out), json=False)
    printed = capsys.readouterr().out
    shown_safely(printed)
    assert printed.count("labelled") == COUNT


def test_json_is_one_line_and_whole(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Parsed it is what the chain said, but for lone surrogates; printed it is harmless."""
    list_alerts(
        AlertWords(status="all", limit=100), following=False, config=None, flags=flags(out),
        json=True,
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert printed.endswith("\n")
    assert printed[:-1].isprintable()
    found = [one["sentence"] for one in json.loads(printed)["alerts"]]
    assert found[::-1] == [text.encode("utf-8", "replace").decode() for text in TEXTS.values()]


def test_an_explanation_is_a_screen(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each alert's explanation is printable, and bounded whatever its length."""
    for number in range(1, COUNT + 1):
        explain(f"{number:032x}", config=None, flags=flags(out), json=False)
        printed = capsys.readouterr().out
        shown_safely(printed)
        assert len(printed) < 10_000


class Page(HTMLParser):
    """What a page would do: elements, handlers, addresses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.acts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what acts or fetches."""
        if tag in ("script", "iframe", "object", "embed", "img", "link", "base", "form"):
            self.acts.append(tag)
        for name, value in attrs:
            if name.startswith("on") or re.match(r"\s*(javascript|data|https?):", value or ""):
                self.acts.append(f"{tag} {name}={value}")


@pytest.mark.parametrize("form", ["html", "markdown", "csv"])
def test_a_report_acts_on_nothing(out: Path, tmp_path: Path, form: str) -> None:
    """No element, link or formula of a stranger's; every alert is there."""
    path = tmp_path / "report"
    report(
        out, config=None, flags={}, truth=None, against=None, cases=COUNT, form=form, output=path,
        json=True,
    )  # fmt: skip
    text = path.read_text(encoding="utf-8")
    unseen = [c for c in text if not c.isprintable() and c not in "\n\xa0"]
    assert unseen == []
    if form == "csv":
        rows = list(csv.reader(io.StringIO(text)))
        assert len(rows) == 1 + COUNT
        cells = [cell for row in rows for cell in row]
        assert [cell for cell in cells if re.match(r"\s*[=+@\t\r-]", cell)] == []
        return
    page = Page(text if form == "html" else MarkdownIt("commonmark").render(text))
    own = [
        "link",
        "link href=data:,",
        "svg xmlns=http://www.w3.org/2000/svg",
    ]  # no icon is asked for
    assert [act for act in page.acts if act not in own] == []
    assert page.acts.count("link") == (form == "html")


def test_the_api_answers_with_all_of_them(ledger: Ledger) -> None:
    """As JSON that nobody takes for a page; each text comes back as it went in."""
    with serving(ledger) as server:
        status, body, headers = Client(server).ask(f"{ALERTS}?limit=100")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert [one["sentence"] for one in body["alerts"]][::-1] == [
        text.encode("utf-8", "replace").decode() for text in TEXTS.values()
    ]


def test_a_webhook_is_small_json_whatever_is_in_it(ledger: Ledger) -> None:
    """One message an alert, under 20 kB, in order."""
    sent = []
    while rows := ledger.outbox.due("ops", 4e9, limit=100):
        for row in rows:
            sent.append(json.loads(body_of(row))["data"]["id"])
            assert len(body_of(row)) < MAX_BYTES
            ledger.outbox.delivered(row, 4e9)
    assert sent == [f"{number:032x}" for number in range(1, COUNT + 1)]


def test_an_event_is_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was logged, with a traceback or without; and an error of a command is one, too."""
    formatter = OneLine()
    for text in TEXTS.values():
        try:
            raise ValueError(text)
        except ValueError as error:
            told: Any = (ValueError, error, error.__traceback__)
        for information in (None, told):
            record = logging.LogRecord("x", 40, "p", 1, "told: %s", (text,), information)
            line = formatter.format(record)
            assert line.isprintable()
            assert len(line) < LONGEST + 100
        print_error(SettingsError(text.encode("utf-8", "replace").decode(), hint="x"))
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        shown_safely(said)
