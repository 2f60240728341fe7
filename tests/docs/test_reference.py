"""The generated pages are what the code says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.reference import PAGES


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path: Path) -> None:
    """What is committed is what ``make docs`` writes."""
    assert path.read_text(encoding="utf-8") == PAGES[path](), "run make docs"
