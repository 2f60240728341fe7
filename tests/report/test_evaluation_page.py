"""The page of ``evaluate``: what it draws is what was measured, and Chromium has no complaint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chainwarden.report.curve_charts import POINTS, thinned
from chainwarden.report.evaluation import EvaluationPage, alert_timeline, histogram, to_html
from detect.evaluate import NEVER, Figures, Record, Window, figures
from tests.chromium import Page
from tests.command import run, run_json
from tests.report.test_page import CUT_OFF, OUTSIDE
from tests.test_evaluation import labels, stream

DAY = 86_400
WINDOW = Window(100 * DAY, 160 * DAY)


def found(*, scored: bool = True, paid: bool = True) -> tuple[Figures, frozenset[bytes]]:
    """Four hundred wallets over two hundred days, a tenth of them phishing and mostly told."""
    rng = np.random.default_rng(3)
    addresses = np.array(sorted(rng.bytes(20) for _ in range(400)), "V20")
    bad = rng.random(400) < 0.1
    born, wallet = rng.integers(0, 200 * DAY, 400), np.arange(4_000) % 400
    at = born[wallet] + rng.integers(0, 20 * DAY, 4_000)
    order = np.argsort(at)
    at, wallet = at[order], wallet[order]
    events = np.stack([rng.integers(0, 20, 4_000), wallet], axis=1)
    risks = np.clip(rng.beta(1, 8, (4_000, 2)) + 0.5 * bad[events], 0, 1)
    risks[rng.random((4_000, 2)) < 0.3] = np.nan
    coins = rng.lognormal(0, 2, 4_000) * 1e18 * paid
    record = Record(addresses, events, at, coins, risks if scored else np.full_like(risks, np.nan))
    phishing = frozenset(addresses[n].tobytes() for n in np.flatnonzero(bad))
    return figures(record, phishing, WINDOW), phishing


def page(figures_: Figures, name: str = "stream", notes: tuple[str, ...] = ()) -> EvaluationPage:
    """A page about figures."""
    return EvaluationPage(name, WINDOW, 30, figures_, figures_.to_dict(), notes)


HOSTILE = "<script>alert(1)</script>\u202e<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A full page, one of hostile texts, one where nothing was scored, one where nobody paid."""
    folder = tmp_path_factory.mktemp("evaluations")
    made = {
        "full": page(found()[0]),
        "hostile": page(found()[0], HOSTILE, (HOSTILE,)),
        "unscored": page(found(scored=False)[0]),
        "unpaid": page(found(paid=False)[0]),
    }
    for name, one in made.items():
        (folder / f"{name}.html").write_text(to_html(one), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in made}


@pytest.mark.parametrize("name", ["full", "hostile", "unscored", "unpaid"])
@pytest.mark.parametrize("width", [1280, 360])
def test_a_page_needs_nothing_but_itself(
    chromium: Page, pages: dict[str, Path], name: str, width: int
) -> None:
    """At both widths, light and dark: no request, no error, nothing cut off, no word outside."""
    url = pages[name].as_uri()
    for dark in (False, True):
        chromium.requests.clear()
        chromium.open(url, width, dark=dark)
        assert chromium.requests == [url]
        assert chromium.errors == []
        assert chromium.value("document.title").endswith("chainwarden evaluation")
        assert chromium.value("document.documentElement.scrollWidth") == width
        assert chromium.value(CUT_OFF) == []
        assert chromium.value(OUTSIDE) == []
        assert chromium.value("document.querySelectorAll('script, img').length") == 0


def test_drawings_have_a_name_and_lie_in_their_frames(
    chromium: Page, pages: dict[str, Path]
) -> None:
    """Every drawing names its title and description; no curve or dot leaves its drawing."""
    chromium.open(pages["full"].as_uri(), 1280)
    named = chromium.value(
        "[...document.querySelectorAll('svg')].map(e => e.getAttribute('aria-labelledby')"
        ".split(' ').map(id => e.querySelector('#' + id)?.textContent.length || 0))"
    )
    assert len(named) == 2 * 7
    assert all(min(lengths) > 0 for lengths in named)
    ids = chromium.value("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert (
        chromium.value(
            """[...document.querySelectorAll('polyline, circle')].filter(e => {
  const a = e.getBoundingClientRect(), b = e.ownerSVGElement.getBoundingClientRect();
  return a.left < b.left || a.right > b.right || a.top < b.top || a.bottom > b.bottom;
}).length"""
        )
        == 0
    )


def test_figures_on_the_page_are_those_of_the_evaluation(pages: dict[str, Path]) -> None:
    """Each figure stands in the table, and the alert threshold in both curves' descriptions."""
    figures_, _ = found()
    text = pages["full"].read_text(encoding="utf-8")
    for value in figures_.to_dict().values():
        assert (f"{value:.4f}" if isinstance(value, float) else f"{value:,}") in text
    assert figures_.alert_precision is not None
    at = f"recall is {figures_.alert_recall:.3f}, precision {figures_.alert_precision:.3f}"
    assert at in text


def test_alerts_over_time_are_first_alerts() -> None:
    """As many as wallets were alerted about, phishing and others apart; none without alerts."""
    detail = found()[0].detail
    timeline = alert_timeline(WINDOW, detail)
    assert timeline is not None
    told = {name: sum(counts) for name, counts in timeline.series}
    alerted = detail.alerts_at != NEVER
    assert told["phishing"] == (alerted & detail.judged.positive).sum() > 0
    assert told["others"] == (alerted & ~detail.judged.positive).sum()
    assert alert_timeline(WINDOW, found(scored=False)[0].detail) is None


def test_a_verdict_that_is_none_is_missing() -> None:
    """A wallet that was never scored is not one with a score of 0."""
    made = histogram(np.array([-np.inf, 0.0, 0.51, 1.0, 1.0]))
    assert (made.missing, made.scored, made.counts[0], made.counts[-1]) == (1, 4, 1, 2)


def test_a_curve_with_many_points_keeps_its_corners() -> None:
    """A thinned curve has the ends and every corner of a long one to within a pixel."""
    x = np.linspace(0, 1, 100_000)
    y = np.where(x < 0.001, 0.0, np.where(x < 0.5, 1.0, 0.2))
    kept_x, kept_y = thinned(x, y)
    assert len(kept_x) <= POINTS
    assert (kept_x[0], kept_x[-1], kept_y[-1]) == (0.0, 1.0, 0.2)
    assert abs(kept_x[kept_y > 0.9].min() - 0.001) < 0.005
    assert abs(kept_x[kept_y > 0.9].max() - 0.5) < 0.005


def small(folder: Path) -> tuple[object, ...]:
    """The words for a small stream in a folder."""
    stream(folder / "s.parquet")
    labels(folder / "l.csv", *(f"0x{n + 16:040x},phishing,0" for n in range(0, 108, 3)))
    return ("s.parquet", "--labels", "l.csv", "--window", "2018-01-01:2019-01-01")


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    """``--html`` writes it whole, says where, and changes no figure."""
    words = small(tmp_path)
    plain: dict[str, Any] = run_json("evaluate", *words, cwd=tmp_path)
    drawn = run_json("evaluate", *words, "--html", "e.html", cwd=tmp_path)
    assert drawn.pop("html") == "e.html"
    assert {k: v for k, v in drawn.items() if k != "seconds"} == {
        k: v for k, v in plain.items() if k != "seconds"
    }
    text = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert re.search(r"<h1>Detection on s\.parquet</h1>", text)
    assert text.rstrip().endswith("</html>")
    assert [path.name for path in tmp_path.glob("*html*")] == ["e.html"]


@pytest.mark.parametrize("target", [".", "nowhere/e.html"])
def test_a_page_that_cannot_be_written_is_said_at_once(tmp_path: Path, target: str) -> None:
    """Before anything is scored, in one line."""
    done = run("evaluate", *small(tmp_path), "--html", target, "--json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--html" in done.stderr
