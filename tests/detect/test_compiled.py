"""The cache of compiled code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import detect
from detect import compiled
from detect.compiled import cache_is_whole, note_whole_cache, sources_stamp
from detect.kernels.table import siphash

ROOT = Path(detect.__file__).parent


def test_compiled_code_is_cached_under_the_stamp_of_all_its_sources() -> None:
    """The stamp of a cached function is not its own file's alone."""
    dispatcher: Any = siphash
    assert dispatcher._cache._cache_file._source_stamp == sources_stamp(ROOT)


@pytest.mark.parametrize(
    ("changed", "recompiled"),
    [("kernels/scaling.py", True), ("features.py", True), ("scored.py", True), ("drift.py", False)],
)
def test_a_change_in_what_kernels_read_compiles_them_afresh(
    tmp_path: Path, changed: str, recompiled: bool
) -> None:
    """Another constant, another order of features: another stamp. Other sources do not matter."""
    copied = tmp_path / "detect"
    shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns("__pycache__"))
    assert sources_stamp(copied) == sources_stamp(ROOT)
    other = tmp_path / "other"
    shutil.copytree(copied, other)
    (other / changed).write_text((other / changed).read_text() + "\n# changed\n")
    assert (sources_stamp(other) != sources_stamp(ROOT)) == recompiled


def test_a_whole_cache_is_one_of_these_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is whole once that was noted, until a source changes; without a folder it never is."""
    monkeypatch.setattr(compiled, "_caches", {tmp_path})
    assert not cache_is_whole()
    note_whole_cache()
    assert cache_is_whole()
    monkeypatch.setattr(compiled, "sources_stamp", lambda: "another")
    assert not cache_is_whole()
    monkeypatch.setattr(compiled, "_caches", set())
    note_whole_cache()
    assert not cache_is_whole()
