"""The benchmarks can be run by name, and their table says what was asked."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import kept
from benchmarks.table import BENCHMARKS, COLUMNS, Result

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_run(name: str) -> None:
    """Every name is that of a module with a ``run``."""
    assert callable(importlib.import_module(f"benchmarks.{name}").run)


def test_a_name_that_there_is_not_is_answered_with_those_there_are() -> None:
    """A misspelt name ends with one line and the names."""
    command = [sys.executable, "-m", "chainwarden.cli", "bench", "half_space_tree"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 3
    assert "no such benchmark: half_space_tree" in done.stderr
    assert "half_space_trees" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_object_for_scripts() -> None:
    """``bench --json`` prints the figures, the ratio and whether it is what was asked for.

    That the two sorts of trees agree to the last bit holds on any machine; how fast they are does
    not, and is not tested.
    """
    command = [sys.executable, "-m", "chainwarden.cli", "bench", "half_space_trees", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (result,) = json.loads(done.stdout)["results"]
    assert result["difference"] == 0.0
    assert result["ratio"] == pytest.approx(result["value"] / result["baseline_value"])
    assert result["met"] is (result["ratio"] >= result["asked_ratio"])


def test_what_is_kept_says_commit_day_and_what_was_missed() -> None:
    """The kept table is Markdown: a row for each figure, those that are missed named so."""
    results = [
        Result("a", "fast | enough", "rows/s", 10.0, "River", 2.0, asked_ratio=4),
        Result("a", "too slow", "s", 10.0, "River", 2.0, less_is_better=True, asked=5.0),
        Result("a", "nobody asked", "s", 10.0),
    ]
    text = kept(results, "abc1234", "2026-01-02")
    assert "Commit abc1234, 2026-01-02" in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(results)
    assert all(line.replace("\\|", "").count("|") == len(COLUMNS) + 1 for line in table)
    assert "5 x | met: 4 x" in table[2]
    assert "0.2 x | MISSED: 5" in table[3]
    assert table[4].count("–") == 5
