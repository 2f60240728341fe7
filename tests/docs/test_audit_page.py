"""docs/audit.md, done by the letter."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import duckdb
from eth_account import Account
from eth_account.messages import encode_defunct

from chainwarden.schema import ETHEREUM
from store.audit_table import TRAILS
from store.ledger import Ledger
from tests.conftest import ROOT
from tests.rigs.pages import Desk, Page
from tests.store.asking import fill
from tests.store.test_audit import say_everything

PAGE = Page(ROOT / "docs" / "audit.md")


def test_what_the_page_types_seals_and_verifies(tmp_path: Path) -> None:
    """And the signer comes out of the text that the page shows, filled in from the seal."""
    desk = Desk(tmp_path)
    with Ledger.open(tmp_path / "demo-out" / "ledger.duckdb", ETHEREUM) as ledger:
        fill(ledger)
    (typed,) = PAGE.blocks("sh")
    shown = desk.type(typed)
    assert shown.endswith("Every record is as it was written.\n")
    seal = json.loads((tmp_path / "today.seal.json").read_text(encoding="utf-8"))
    (text,) = PAGE.blocks("")
    for name in ("ledger", "chain", "entries", "digest"):
        text = re.sub(rf"^{name}: .*$", f"{name}: {seal[name]}", text, flags=re.MULTILINE)
    with duckdb.connect() as clock:
        when = clock.execute(
            "SELECT strftime(to_timestamp(?) AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%SZ')",
            [seal["sealed_at"]],
        ).fetchall()[0][0]
    text = re.sub(r"^at: .*$", f"at: {when}", text, flags=re.MULTILINE).rstrip("\n")
    signed = encode_defunct(text=text)
    assert Account.recover_message(signed, signature=seal["signature"]) == seal["signer"]


def test_the_chain_is_computed_as_the_page_says(tmp_path: Path) -> None:
    """Every digest, with a JSON library and SHA-256."""
    path = tmp_path / "ledger.duckdb"
    with Ledger.open(path, ETHEREUM) as ledger:
        say_everything(ledger)
        end = ledger.audit_head()
    with duckdb.connect(str(path), read_only=True) as connection:
        entries = connection.execute("SELECT * FROM audit ORDER BY serial").fetchall()
        last: dict[tuple[str, str], bytes] = {}
        previous = bytes(32)
        for number, (serial, kind, key, content, digest) in enumerate(entries, 1):
            assert serial == number
            assert digest_of([previous, serial, kind, key, content]) == digest
            last[kind, key], previous = content, digest
        assert end is not None
        assert previous == end.digest
        for kind, trail in TRAILS.items():
            columns = ", ".join(trail.columns)
            query = f"SELECT {trail.key}, {columns} FROM {trail.table}"
            for key, *values in connection.execute(query).fetchall():
                name = key.hex if trail.key == "id" else str(key)
                assert digest_of(values) == last.pop((kind, name))
    assert not last


def digest_of(values: list[object]) -> bytes:
    """The SHA-256 of JSON without blanks, bytes in Base64."""
    text = json.dumps(values, separators=(",", ":"), ensure_ascii=False, default=_text)
    return hashlib.sha256(text.encode()).digest()


def _text(value: object) -> str:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
