"""The evidence for an alert as one file: whole, the same every time, no larger than its bound."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chainwarden.explain import Explainer
from chainwarden.schema import ETHEREUM, Cursor, Evidence, Retraction, hex_of
from detect.labels import LabelBook
from store import evidence, lake_rows
from store.lake import Lake
from store.ledger import Commit, Ledger
from tests.store.asking import ALERTS, Client, serving
from tests.store.made import alert, blocks, hash_of, position

LOST = b"\x05" * 32
NUMBER = 7
"""The block of the alert that is asked for; its evidence is in an earlier one, too."""


@pytest.fixture
def results(tmp_path: Path) -> Iterator[tuple[Ledger, Lake]]:
    """Nine blocks in six files, the last of them orphaned, and two alerts."""
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM) as ledger:
        lake = Lake(tmp_path / "lake", ETHEREUM)
        told = alert(NUMBER)
        seen = (hash_of("tx", NUMBER, 0), hash_of("tx", 3, 1), LOST)
        told = replace(told, evidence=replace(told.evidence, transactions=seen))
        for first, count in ((1, 2), (3, 1), (4, 3), (7, 1), (8, 1)):
            files = lake.write(blocks(first, count))
            last = first + count - 1
            ledger.commit(Commit(Cursor(position(last), {}, last), files_added=files))
        orphan = blocks(9, 1)
        ledger.commit(
            Commit(
                Cursor(position(8), {}, 8),
                [told, alert(9)],
                [Retraction(alert(9).id, position(9))],
                files_added=lake.write_orphans(orphan),
            )
        )
        yield ledger, lake


@pytest.fixture
def client(results: tuple[Ledger, Lake]) -> Iterator[Client]:
    """Asks a server that explains."""
    ledger, lake = results
    with serving(ledger, explainer=Explainer(ledger, lake, LabelBook())) as server:
        yield Client(server)


def opened(content: bytes) -> dict[str, bytes]:
    """The files of a bundle, each as large as it says and with the checksum that is kept of it."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    pairs = [line.split("  ") for line in files["SHA256SUMS"].decode().splitlines()]
    sums = {name: digest for digest, name in pairs}
    assert sums.keys() == files.keys() - {"SHA256SUMS"}
    for name, expected in sums.items():
        assert hashlib.sha256(files[name]).hexdigest() == expected, name
    manifest = json.loads(files["manifest.json"])
    for name, said in manifest["files"].items():
        digest = hashlib.sha256(files[name]).hexdigest()
        assert said == {"bytes": len(files[name]), "sha256": digest}
    assert manifest["files"].keys() == files.keys() - {"SHA256SUMS", "manifest.json"}
    return files


def lines(files: dict[str, bytes], table: str) -> list[dict[str, Any]]:
    """The rows of a table."""
    return [json.loads(line) for line in files[f"rows/{table}.jsonl"].splitlines()]


def test_the_bundle_holds_all_that_the_alert_names(
    client: Client, results: tuple[Ledger, Lake]
) -> None:
    """The alert and its explanation as the API tells them, the labels' trail, and from every table
    each row of its transactions, exactly; what the lake does not have is named."""
    ledger, lake = results
    target = f"{ALERTS}/{alert(NUMBER).id[:8]}/evidence"
    status, content, headers = client.ask(target)
    assert status == 200
    assert headers["Content-Type"] == "application/zip"
    assert f'"evidence-{alert(NUMBER).id}.zip"' in headers["Content-Disposition"]
    assert headers["Cache-Control"] == "no-store"
    files = opened(content)
    one = f"{ALERTS}/{alert(NUMBER).id}"
    assert json.loads(files["alert.json"]) == client.get(one)
    assert json.loads(files["explanation.json"]) == client.get(f"{one}/explanation")
    assert json.loads(files["labels.json"]) == {"changes": [], "lists": []}
    manifest = json.loads(files["manifest.json"])
    assert manifest["alert"] == alert(NUMBER).id
    assert manifest["ledger"] == ledger.identity
    assert manifest["head"] == {"number": 8, "hash": hex_of(position(8).hash)}
    assert manifest["transactions_not_found"] == [hex_of(LOST)]
    assert manifest["rows_left_out"] == {}
    wanted = {hash_of("tx", NUMBER, 0), hash_of("tx", 3, 1)}
    for table in ("transactions", "flows", "creations", "logs"):
        expected = [
            row
            for row in lake.read([f for f in ledger.files() if f.dataset == table]).to_pylist()
            if row["transaction_hash"] in wanted
        ]
        assert expected
        found = lines(files, table)
        assert [row["transaction_hash"] for row in found] == [
            hex_of(row["transaction_hash"]) for row in expected
        ]
        for told, row in zip(found, expected, strict=True):
            assert told.keys() == row.keys()
            if "value" in row:
                assert told["value"] == str(int.from_bytes(row["value"], "big"))
    assert [row["block_hash"] for row in lines(files, "blocks")] == [
        hex_of(position(number).hash) for number in (3, NUMBER)
    ]


def test_an_orphaned_alert_has_the_rows_of_its_orphaned_block(client: Client) -> None:
    """What the losing branch said is in it, though the chain has no such block."""
    status, content, _ = client.ask(f"{ALERTS}/{alert(9).id}/evidence")
    assert status == 200
    files = opened(content)
    assert json.loads(files["alert.json"])["status"] == "retracted"
    (block,) = lines(files, "orphaned_blocks")
    assert block["block_hash"] == hex_of(position(9).hash)
    (transaction,) = lines(files, "orphaned_transactions")
    assert transaction["transaction_hash"] == hex_of(hash_of("tx", 9, 0))
    assert json.loads(files["manifest.json"])["transactions_not_found"] == []


def test_equal_evidence_is_equal_to_the_byte(client: Client, results: tuple[Ledger, Lake]) -> None:
    """Asked twice, and after the lake's files were merged: the same bytes, and 304 by their tag."""
    ledger, lake = results
    target = f"{ALERTS}/{alert(NUMBER).id}/evidence"
    _, first, headers = client.ask(target)
    assert client.ask(target)[1] == first
    assert client.ask(target, headers={"If-None-Match": headers["ETag"]})[0] == 304
    added, removed = lake.compact([f for f in ledger.files() if not f.dataset.startswith("orph")])
    assert added
    ledger.commit(Commit(Cursor(position(8), {}, 8), files_added=added, files_removed=removed))
    lake.remove(removed)
    assert client.ask(target)[1] == first


def test_evidence_is_bounded(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows beyond the bounds are left out and counted, and the rest is whole."""
    target = f"{ALERTS}/{alert(NUMBER).id}/evidence"
    whole = opened(client.ask(target)[1])
    flows = lines(whole, "flows")
    assert len(flows) > 2
    with monkeypatch.context() as patch:
        patch.setattr(lake_rows, "MOST_ROWS", 2)
        files = opened(client.ask(target)[1])
        assert lines(files, "flows") == flows[:2]
        manifest = json.loads(files["manifest.json"])
        assert manifest["rows_left_out"] == {"flows": len(flows) - 2}
    told = sum(len(whole[name]) for name in ("alert.json", "explanation.json", "labels.json"))
    first = len(whole["rows/blocks.jsonl"].splitlines(keepends=True)[0])
    monkeypatch.setattr(evidence, "MAX_BYTES", told + first)
    files = opened(client.ask(target)[1])
    kept = {name: len(lines(files, name)) for name in ("blocks", "flows", "transactions", "logs")}
    assert kept == {"blocks": 1, "flows": 0, "transactions": 0, "logs": 0}
    left_out = json.loads(files["manifest.json"])["rows_left_out"]
    assert left_out["blocks"] == 1
    assert left_out["flows"] == len(flows)


def test_ids_that_are_none_have_no_evidence(client: Client, results: tuple[Ledger, Lake]) -> None:
    """404, as for the alert itself; and without anybody who explains."""
    assert client.ask(f"{ALERTS}/{'0' * 32}/evidence")[0] == 404
    with serving(results[0]) as server:
        assert Client(server).ask(f"{ALERTS}/{alert(NUMBER).id}/evidence")[0] == 404


def test_an_alert_without_transactions_has_its_block(results: tuple[Ledger, Lake]) -> None:
    """One about the chain itself: the rows of its block, and nothing is missing."""
    ledger, lake = results
    bare = replace(alert(8), transaction_hash=None, evidence=Evidence())
    ledger.commit(Commit(Cursor(position(8), {}, 8), [bare]))
    alert_id, content = Explainer(ledger, lake, LabelBook()).evidence(bare.id)
    files = opened(content)
    assert alert_id == bare.id
    assert [row["block_number"] for row in lines(files, "blocks")] == [8]
    assert json.loads(files["manifest.json"])["transactions_not_found"] == []
