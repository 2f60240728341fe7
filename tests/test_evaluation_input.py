"""``chainwarden evaluate`` with input that cannot be judged: one line each, saying what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import run, run_json
from tests.test_evaluation import labels, stream

YEAR = "2018-01-01:2019-01-01"
PHISHING = tuple(f"0x{n + 16:040x},phishing,0" for n in range(0, 108, 3))


def no_overlap(folder: Path) -> None:
    """Labels of another chain."""
    labels(folder / "l.csv", *(f"0x{n:040x},phishing,0" for n in (1, 2, 3)))


def all_phishing(folder: Path) -> None:
    """Everybody is phishing."""
    labels(folder / "l.csv", *(f"0x{n:040x},phishing,0" for n in range(16, 130)))


def early_phishing(folder: Path) -> None:
    """Only wallets of the stream's first weeks are phishing."""
    labels(folder / "l.csv", f"0x{16:040x},phishing,0")


def no_labels(folder: Path) -> None:
    """No such file."""
    (folder / "l.csv").unlink()


def binary_labels(folder: Path) -> None:
    """The stream in place of the labels."""
    (folder / "s.parquet").rename(folder / "l.csv")
    stream(folder / "s.parquet")


def folder_of_labels(folder: Path) -> None:
    """A folder in place of the labels."""
    (folder / "l.csv").unlink()
    (folder / "l.csv").mkdir()


def wrong_addresses(folder: Path) -> None:
    """No address that is one."""
    labels(folder / "l.csv", "0x12,phishing,0", "phishing,phishing,0")


def no_stream(folder: Path) -> None:
    """No such file."""
    (folder / "s.parquet").unlink()


def torn_stream(folder: Path) -> None:
    """The file ends in the middle."""
    path = folder / "s.parquet"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("spoil", "window", "said"),
    [
        (no_overlap, YEAR, "none of the 3 wallets that the list calls phishing is in the stream"),
        (all_phishing, YEAR, "wallets of the window are phishing"),
        (early_phishing, YEAR, "were first seen from 2017-07-"),
        (no_labels, YEAR, "l.csv"),
        (binary_labels, YEAR, "l.csv"),
        (folder_of_labels, YEAR, "l.csv"),
        (wrong_addresses, YEAR, "no wallet is labelled phishing"),
        (no_stream, YEAR, "s.parquet"),
        (torn_stream, YEAR, "s.parquet"),
        (lambda _: None, "2016-01-01:2016-03-01", "the stream spans 2017-07-14"),
        (lambda _: None, "2026-01-01:2026-03-01", "the stream spans 2017-07-14"),
    ],
)
def test_what_cannot_be_judged_is_one_line(
    tmp_path: Path, spoil: Callable[[Path], None], window: str, said: str
) -> None:
    """The error names the file or what is wrong with it; nothing on stdout, no page."""
    stream(tmp_path / "s.parquet")
    labels(tmp_path / "l.csv", *PHISHING)
    spoil(tmp_path)
    words = ("s.parquet", "--labels", "l.csv", "--window", window, "--html", "e.html", "--json")
    done = run("evaluate", *words, cwd=tmp_path)
    assert done.returncode not in (0, 1), done.stderr
    assert done.stdout == ""
    assert said in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("chainwarden: ")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "e.html").exists()


def test_labels_that_say_different_things_are_counted(tmp_path: Path) -> None:
    """Unknown, contradictory and unusable lines cost nothing but a note each."""
    stream(tmp_path / "s.parquet")
    odd = (f"0x{16:040x},normal,0", f"0x{5:040x},phishing,0", "0x12,phishing,0")
    labels(tmp_path / "l.csv", *PHISHING, *odd)
    words = ("s.parquet", "--labels", "l.csv", "--window", YEAR)
    shown = run("evaluate", *words, cwd=tmp_path).stdout
    for note in (
        "Labelled wallets that are not in the stream: 1.",
        "Wallets called phishing and harmless, judged as phishing: 1.",
        "Lines of the label list that are no labels: 1.",
    ):
        assert note in shown


def test_a_model_that_never_learnt_is_not_one_that_is_wrong(tmp_path: Path) -> None:
    """With labels that come after the end nothing is scored: counted, and told on the page."""
    stream(tmp_path / "s.parquet")
    labels(tmp_path / "l.csv", *PHISHING)
    words = ("s.parquet", "--labels", "l.csv", "--window", YEAR, "--label-delay-days", "3000")
    found = run_json("evaluate", *words, "--html", "e.html", cwd=tmp_path)
    assert found["unscored"] == found["wallets"] > 0
    assert (found["alert_precision"], found["alert_recall"]) == (None, 0.0)
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert "no wallet has a verdict" in page
    assert "There were no alerts" in page
