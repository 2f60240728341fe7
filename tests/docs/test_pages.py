"""What every page of docs/ shows is there: commands, files, links; and every page is run."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ROOT
from tests.rigs.pages import PAGES, Page
from tests.test_cli import README, assert_parses


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)
def test_every_command_of_a_page_parses(page: Page) -> None:
    """Each is one that chainwarden has, with flags that exist, or a target of make."""
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in page.commands():
        assert not re.search(r"(?<!bin/)\bchainwarden [a-z]", line), (
            f"{line}: .venv/bin/ is missing"
        )
        for words in re.findall(r"\.venv/bin/chainwarden ([^|>)&;]*)", line):
            assert_parses(f"chainwarden {words}")
        for target in re.findall(r"^make (\w+)", line):
            assert target in targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.name)
def test_every_link_of_a_page_leads_somewhere(page: Page) -> None:
    """To a file of the repository, and in a page to a heading; what is elsewhere is https."""
    for target in re.findall(r"\]\(([^)]+)\)", page.text):
        if target.startswith("https://"):
            continue
        path, _, heading = target.partition("#")
        there = page.path.parent / path if path else page.path
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {
                re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings
            }


def test_the_readme_links_to_every_page() -> None:
    """It is the entry: nothing in docs is to be found only by chance."""
    linked = set(re.findall(r"\]\(docs/([\w.-]+\.md)", README))
    linked |= {
        name
        for page in PAGES
        if page.path.name in linked
        for name in re.findall(r"\]\(([\w.-]+\.md)", page.text)
    }
    assert {page.path.name for page in PAGES} <= linked
