"""HTML, Markdown and CSV: nothing from a chain is ever markup, and every fact is there."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from chainwarden.report.charts import timeline_chart
from chainwarden.report.facts import Report, Summary, Timeline
from chainwarden.report.gather import Wanted
from chainwarden.report.html import to_html
from chainwarden.report.markdown import escaped, to_markdown
from chainwarden.report.rows import COLUMNS, defused, to_csv
from chainwarden.report.words import plain
from chainwarden.scorecard import read_truth
from tests.report.conftest import Replays
from tests.report.test_gather import alerts_of, gathered
from tests.rigs import hostile

GOLDEN = Path(__file__).parent / "golden.md"
FORBIDDEN = {"script", "img", "iframe", "object", "embed", "form", "base", "b", "i"}


class Seen(HTMLParser):
    """What a parser finds in a page: its tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


def hostile_report(folder: Path) -> Report:
    """A report in which every text is hostile."""
    hostile.write(folder / "<img src=x>")
    there = [hostile.alert(9, sentence=hostile.SENTENCE)]
    wanted = Wanted(against=(hostile.WORD, there), truth=())
    return gathered(folder / "<img src=x>", wanted, hostile.CHAIN)


def test_hostile_text_stays_text_in_html(tmp_path: Path) -> None:
    """No tag, no handler, no address comes out of a sentence, a label or a name."""
    page = to_html(hostile_report(tmp_path))
    seen = Seen(page)
    assert not (seen.tags & FORBIDDEN - {"i"})
    assert not [name for name, _ in seen.attributes if name.startswith("on")]
    links = [value for name, value in seen.attributes if name in ("href", "src", "xlink:href")]
    assert all(value.startswith(("#", "data:,")) for value in links)
    for text in (hostile.SENTENCE, hostile.WORD, hostile.FORMULA):
        assert text in seen.text
    assert "49" not in seen.text.split("{{ 7*7 }}")[0][-20:]
    assert "\u202e" not in page
    assert "\x00" not in page


def test_the_page_asks_for_nothing(replays: Replays) -> None:
    """No address of another host and no script is in the page; its policy forbids both."""
    page = to_html(gathered(replays.labelled))
    assert "://" not in page
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_markdown_golden(replays: Replays, tmp_path: Path) -> None:
    """The Markdown of a small simulated chain is, byte for byte, what was looked at and kept."""
    truth = read_truth(replays.written.truth_file)
    wanted = Wanted(cases=4, truth=truth, against=("plain", alerts_of(replays.plain)))
    report = gathered(replays.labelled, wanted)
    assert report.summary.seconds
    untimed = dataclasses.replace(report.summary, seconds=None)
    text = to_markdown(dataclasses.replace(report, summary=untimed))
    actual = tmp_path / "actual.md"
    actual.write_text(text, encoding="utf-8")
    expected = GOLDEN.read_text(encoding="utf-8") if GOLDEN.exists() else ""
    assert text == expected, f"if the change is meant: cp {actual} {GOLDEN}"


def test_the_same_results_give_the_same_bytes(replays: Replays) -> None:
    """Written twice, every format is the same."""
    for write in (to_html, to_markdown, to_csv):
        assert write(gathered(replays.labelled)) == write(gathered(replays.labelled))


@settings(deadline=None, max_examples=300)
@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("`*_[]()<>!|~#&\\:@-+ax1. $"))
def test_escaped_markdown_shows_the_text(text: str) -> None:
    """A CommonMark parser with tables finds the text in a cell, and no markup in it."""
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = parser.parse(f"| x | a |\n|---|---|\n| y | {escaped(text)} |")
    cell = [token for token in tokens if token.type == "inline"][3]
    assert {child.type for child in cell.children or ()} <= {"text", "text_special"}
    shown = "".join(child.content for child in cell.children or ())
    assert shown.split() == plain(text).split()


def test_hostile_markdown_has_no_links(tmp_path: Path) -> None:
    """Parsed, the whole report has only its own headings, lists, tables and emphasis."""
    text = to_markdown(hostile_report(tmp_path))
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    kinds = set()
    for token in parser.parse(text):
        kinds |= {token.type, *(child.type for child in token.children or ())}
    assert not kinds & {"link_open", "image", "html_inline", "html_block", "code_inline", "em_open"}
    # What GitHub would link or mention by itself.
    assert not re.search(r"https?://|www\.|(?<!\w)@\w", text)


def test_every_format_has_the_path_of_funds(tmp_path: Path) -> None:
    """Each hop of the worst alert is in the page, the Markdown and the CSV, in order."""
    report = hostile_report(tmp_path)
    path = report.cases[0].lead.evidence.path
    assert len(path) == 2
    page, text, table = to_html(report), to_markdown(report), to_csv(report)
    assert "Path of funds: 2 hops" in page
    for hop in path:
        assert hop.sender.hex() in page.split("Path of funds", 1)[1]
        assert f"| 0x{hop.sender.hex()} | 0x{hop.receiver.hex()} |" in text
    assert (
        f"0x{path[0].sender.hex()} > 0x{path[0].receiver.hex()} 3 ETH; 0x{path[1].sender.hex()}"
    ) in table


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """A spreadsheet takes no cell for a formula, and every alert has its row."""
    table = list(csv.reader(io.StringIO(to_csv(hostile_report(tmp_path)))))
    assert tuple(table[0]) == COLUMNS
    assert len(table) == 1 + 4 + 1
    for row in table:
        assert len(row) == len(COLUMNS)
        assert not [cell for cell in row if cell.lstrip().startswith(("=", "+", "-", "@"))]
    texts = [cell for row in table for cell in row]
    assert f"'{hostile.FORMULA}" in texts
    assert any(str(2**256 - 1)[:40] in cell for cell in texts)
    by_id = {row[0]: row[COLUMNS.index("difference")] for row in table[1:]}
    assert by_id[f"{1:032x}"] == "only here"
    assert by_id[f"{9:032x}"] == "only there"


@settings(deadline=None)
@given(st.text() | st.text(" \t\u00a0=+-@x"))
def test_a_defused_cell_starts_no_formula(text: str) -> None:
    """Whatever the text, the cell starts with no sign of a formula, and loses nothing."""
    cell = defused(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@"))
    assert cell.endswith(text)


@cache
def empty_report(sentence: str) -> Report:
    """A report with one alert that says the sentence."""
    summary = Summary(hostile.CHAIN, 0, 0, 0, 1, 0)
    return Report(
        name=sentence, summary=summary, rules=(), timeline=None, flow_scores=None,
        wallet_scores=None, accuracy=None, judged=None, risk=None, cases=(), case_count=0,
        difference=None, alerts=(), notes=(sentence,),
    )  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1))
def test_any_text_is_text_in_html(text: str) -> None:
    """A parser reads back what was put in, for any text at all."""
    assert plain(text) in Seen(to_html(empty_report(text))).text


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**34), st.integers(0, 2**31),
    st.lists(st.lists(st.integers(0, 9), min_size=96, max_size=96), min_size=1, max_size=12),
)  # fmt: skip
def test_bars_add_up_to_the_alerts(first: int, span: int, counts: list[list[int]]) -> None:
    """Whatever the span of time, a chart's bars hold all alerts, and none leaves the drawing."""
    series = tuple((f"rule {row}", tuple(bins)) for row, bins in enumerate(counts))
    chart = str(timeline_chart(Timeline(first, first + span, series), "key", 980.0, 48, 9))
    tips = re.findall(r": ([\d,]+) alerts from \d{4,5}-", chart)
    told = sum(int(tip.replace(",", "")) for tip in tips)
    total = sum(map(sum, counts))
    assert told in (total, 2 * total)  # the description begins like a tip where one rule is alone
    for x, width in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', chart):
        assert float(x) >= 44.0
        assert float(x) + float(width) <= 972.1
    for x in re.findall(r'<text x="([\d.-]+)"', chart):
        assert 0.0 <= float(x) <= 980.0
