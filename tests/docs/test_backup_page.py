"""docs/backup.md, done by the letter."""

from __future__ import annotations

import json
from pathlib import Path

from chainwarden.schema import ETHEREUM
from store.ledger import Ledger
from tests.conftest import ROOT
from tests.rigs.pages import Desk, Page
from tests.store.asking import fill, serving_everything

PAGE = Page(ROOT / "docs" / "backup.md")


def test_what_the_page_types_makes_asks_and_puts_back(tmp_path: Path) -> None:
    """A backup of a process at work, questions to it, and the folder as it was by it."""
    desk, out = Desk(tmp_path), tmp_path / "demo-out"
    make, ask, put_back = PAGE.blocks("sh")
    with Ledger.open(out / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
        with serving_everything(ledger, out):
            assert "up to block 11." in desk.type(make)
            ledger.triage.acknowledge(ledger.alerts()[0].id, "ana", "after it")
            asked = desk.type(ask)
    assert "Every record is as it was written." in asked
    assert (tmp_path / "incident.html").stat().st_size > 10_000
    told = json.loads((out / "backups" / "before-upgrade" / "backup.json").read_text())
    desk.type(put_back)
    with Ledger.open(out / "ledger.duckdb", ETHEREUM) as ledger:
        assert ledger.identity == told["ledger"]
        assert len(ledger.alerts()) == 11
        assert ledger.triage.acknowledgements() == []
