"""docs/webhooks.md, done by the letter."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.rigs.pages import Desk, Page
from tests.rigs.receiver import SECRET

PAGE = Page(ROOT / "docs" / "webhooks.md")
RECEIVERS = {"receiver.py": sys.executable, "receiver.mjs": "node"}


@pytest.mark.parametrize("name", RECEIVERS)
def test_a_receiver_of_the_page_takes_what_is_signed_and_nothing_else(
    tmp_path: Path, name: str
) -> None:
    """It is saved and started, then passes the strict trial that the page runs, word for word."""
    program = shutil.which(RECEIVERS[name])
    assert program, f"{RECEIVERS[name]} is not installed"
    desk = Desk(tmp_path)
    desk.save(PAGE, name)
    secret = {"CHAINWARDEN_WEBHOOK_SECRET": SECRET}
    with desk.running([program, name], {**secret, "PORT": "0"}) as process:
        assert process.stdout is not None
        where = process.stdout.readline().split()[-1]
        desk.instead["http://127.0.0.1:8000/hook"] = where
        _, trial = PAGE.blocks("sh")[:2]
        shown = desk.type(trial, secret)
        told = process.stdout.readline()
    promised = PAGE.blocks("")[0]
    assert without_figures(shown) == without_figures(promised)
    assert told.startswith("alert.raised A sample, nothing happened: ")


def test_a_forgetful_receiver_is_told_what_to_mend(tmp_path: Path) -> None:
    """The page's own receiver without its check of the time, and without any check."""
    desk = Desk(tmp_path)
    path = desk.save(PAGE, "receiver.py")
    whole = path.read_text(encoding="utf-8")
    for line, instead, mend in (
        ("abs(time.time() - int(stamp)) > 300", "False", "refuse what is more than 300 s old"),
        ("return any(", "return True or any(", "verify the signature"),
    ):
        assert line in whole
        path.write_text(whole.replace(line, instead), encoding="utf-8")
        secret = {"CHAINWARDEN_WEBHOOK_SECRET": SECRET}
        with desk.running([sys.executable, "receiver.py"], {**secret, "PORT": "0"}) as process:
            assert process.stdout is not None
            where = process.stdout.readline().split()[-1]
            desk.instead["http://127.0.0.1:8000/hook"] = where
            trial = PAGE.blocks("sh")[1].rstrip()
            shown = desk.type(f"{trial} || echo exit code $?", secret)
        assert re.search(rf"^failed .*: accepted in \d+ ms \({mend}", shown, re.MULTILINE)
        assert "exit code 9" in shown


def test_the_other_commands_of_the_page_do_what_it_says(tmp_path: Path) -> None:
    """A secret is made, a kept request verified in both forms, the schema printed."""
    desk = Desk(tmp_path)
    made, _, _, kept, apart, schema = PAGE.blocks("sh")
    shown = desk.type(f"{made}{kept}")
    assert without_figures(shown) == without_figures(PAGE.blocks("")[1])
    parts = json.loads(desk.type(apart, {"CHAINWARDEN_WEBHOOK_SECRET": SECRET}))
    assert [part["name"] for part in parts if part["holds"]] == [
        "headers", "id", "timestamp", "signature", "body",
    ]  # fmt: skip
    desk.type(schema)
    printed = (tmp_path / "webhook.v1.schema.json").read_bytes()
    assert printed == (ROOT / "docs" / "webhook.v1.schema.json").read_bytes()
    assert json.loads((tmp_path / "digest.json").read_bytes())["type"] == "alert.digest"


def without_figures(text: str) -> str:
    """The text without what another day's run has otherwise."""
    return re.sub(r"[0-9a-f]{32}|\b\d+ (?=ms|bytes|s old)", "", text).strip()


def test_the_page_speaks_of_every_type_of_message() -> None:
    """The table of types has each of the schema's."""
    schema = json.loads((ROOT / "docs" / "webhook.v1.schema.json").read_bytes())
    types = {
        struct["properties"]["type"]["enum"][0]
        for name, struct in schema["$defs"].items()
        if "type" in struct["properties"]
    }
    assert set(re.findall(r"^\| `(alert\.\w+)`", PAGE.text, re.MULTILINE)) == types
