"""``chainwarden explain`` and ``wallet``: an alert, or a wallet, on one screen, from a file and
from a running process."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from chainwarden.api_client import ApiClient
from chainwarden.commands.explain import options_of
from chainwarden.explain import WalletPages, page, wallet_page
from chainwarden.explain.history import history_of
from chainwarden.explain.lines import WIDTH
from chainwarden.explain.page import MOST_LINES
from chainwarden.replay import replay
from chainwarden.schema import ETHEREUM, FlowKind, hex_of
from chainwarden.server.whereabouts import find
from chainwarden.settings import DetectSettings, Secret, Settings, StoreSettings
from detect.about import ABOUT
from detect.known.tokens import USDT
from detect.labels import LabelBook
from ingest.simulate import SimulationConfig, write_chain
from store.lake import Lake
from store.ledger import Ledger
from tests.command import run, run_json, running, wait_for


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a replay of a simulated chain with every attack."""
    folder = tmp_path_factory.mktemp("explain")
    written = write_chain(SimulationConfig(seed=5, blocks=320), folder / "chain")
    settings = Settings(detect=DetectSettings(labels=[str(written.labels_file)]))
    replay(written.blocks_file, folder / "out", settings, batch_blocks=64)
    return folder / "out"


@pytest.fixture(scope="module")
def alerts(results: Path) -> list[dict[str, Any]]:
    """Every alert of that replay."""
    found = run_json("alerts", "--out", results, "--limit", 5000, cwd=results)
    assert len(found["alerts"]) == found["total"] > 10
    listed: list[dict[str, Any]] = found["alerts"]
    return listed


def by_rule(alerts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """One alert of each rule that spoke."""
    return {alert["rule"]: alert for alert in alerts}


def check_page(lines: list[str], alert: dict[str, Any]) -> None:
    """What every page holds."""
    text = "\n".join(lines)
    assert len(lines) <= MOST_LINES
    assert all(len(line) <= WIDTH for line in lines if "--out" not in line), text
    assert alert["id"] in text
    assert alert["severity"].upper() in lines[0]
    assert alert["sentence"][:120] in " ".join(text.split())
    if (about := ABOUT.get(alert["rule"])) is not None:  # test_about says who has none
        assert about.check in text
        assert about.innocent[0] in text
    for reason in sorted(alert["reasons"], key=lambda r: -r["contribution"])[:5]:
        assert reason["feature"] in text
    for hashed in alert["evidence"]["transactions"][:3]:
        assert hashed in text


def test_every_alert_has_reasons_that_sum_to_its_score(alerts: list[dict[str, Any]]) -> None:
    """Contributions are the score, to 1e-9, for every alert of every rule."""
    assert len(by_rule(alerts)) >= 12
    for alert in alerts:
        assert alert["reasons"], alert["rule"]
        total = sum(reason["contribution"] for reason in alert["reasons"])
        assert abs(total - alert["score"]) < 1e-9, alert["rule"]


@pytest.mark.timeout(600)
def test_every_rule_that_spoke_is_explained(results: Path, alerts: list[dict[str, Any]]) -> None:
    """From the file: one screen that holds the sentence, reasons, evidence, and what to do."""
    for alert in by_rule(alerts).values():
        found = run_json("explain", alert["id"][:10], "--out", results, cwd=results)
        assert found["alert"]["id"] == alert["id"]
        check_page(page(found), alert)
        if alert["evidence"]["path"]:
            assert "PATH" in "\n".join(page(found))
    assert any(alert["evidence"]["path"] for alert in by_rule(alerts).values())
    done = run("explain", alerts[0]["id"], "--out", results, cwd=results)
    assert done.returncode == 0, done.stderr
    check_page(done.stdout.splitlines(), alerts[0])


def test_shown_commands_name_the_folder_and_the_chain() -> None:
    """As a shell wants it; neither where there is only the usual one."""
    assert options_of(Settings()) == ""
    settings = Settings(chain="base", store=StoreSettings(out="my results"))
    assert options_of(settings) == " --out 'my results' --chain base"


def test_the_history_is_that_of_the_lake(results: Path, alerts: list[dict[str, Any]]) -> None:
    """Flows, sums and counterparties of a subject agree with a plain count over every flow."""
    subject = bytes.fromhex(by_rule(alerts)["native_claim"]["subject"][2:])
    with Ledger.open(results / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        lake, manifest = Lake(results / "lake", ETHEREUM), ledger.files()
    history = history_of(lake, manifest, subject, frozenset(), lambda _: ())
    assert history is not None
    files = [file for file in manifest if file.dataset == "flows"]
    rows = [
        row
        for row in lake.read(files).to_pylist()
        if subject in (row["from_address"], row["to_address"])
        and row["status"] != 0
        and (row["kind"] != FlowKind.NATIVE or row["value_f64"] > 0)
    ]
    assert (history.whole, history.flows) == (True, len(rows))
    assert history.first_block == min(row["block_number"] for row in rows)
    paid = sum(
        int.from_bytes(row["value"], "big")
        for row in rows
        if row["to_address"] == subject and row["token_address"] is None
    )
    assert dict(history.received)[None] == paid > 0
    others = {row[side] for row in rows for side in ("from_address", "to_address")} - {subject}
    assert len(history.partners) + history.others == len(others)
    part = history_of(lake, manifest, subject, frozenset(), lambda _: (), most_rows=1)
    assert part is None or not part.whole


def test_ids_that_are_none_or_two_are_refused(results: Path, alerts: list[dict[str, Any]]) -> None:
    """An unknown id, a short one and no id at all end with one line that says what to do."""
    unknown = "0" * 32
    for word in (unknown, alerts[0]["id"][:3], "nonsense"):
        done = run("explain", word, "--out", results, cwd=results)
        assert done.returncode == 3
        assert f"no alert has the id {word}" in done.stderr
        assert "4 digits" in done.stderr
        assert not done.stdout


@pytest.mark.timeout(600)
def test_a_running_process_explains_and_takes_the_answer(
    results: Path, alerts: list[dict[str, Any]], tmp_path: Path
) -> None:
    """The same explanation over the API; the command that the page shows labels the wallet."""
    alert = by_rule(alerts)["native_claim"]
    before = run_json("explain", alert["id"], "--out", results, cwd=tmp_path)
    wallet = run_json("wallet", alert["subject"], "--out", results, cwd=tmp_path)
    with running(("serve", "--out", results, "--port", 0), tmp_path) as process:
        wait_for("the API", lambda: (results / "server.json").exists(), seconds=60)
        for one in by_rule(alerts).values():
            check_page(page(run_json("explain", one["id"], "--out", results, cwd=tmp_path)), one)
        assert run_json("explain", alert["id"], "--out", results, cwd=tmp_path) == before
        check_wallet(results, before)
        assert run_json("wallet", alert["subject"], "--out", results, cwd=tmp_path) == wallet
        shown = run("explain", alert["id"], "--out", results, cwd=tmp_path).stdout.splitlines()
        place = next(i for i, line in enumerate(shown) if line.startswith("IF RIGHT"))
        command = shown[place].removeprefix("IF RIGHT").rstrip("\\") + shown[place + 1]
        words = shlex.split(command)
        assert words[:2] == ["chainwarden", "label"]
        done = run_json(*words[1:], cwd=tmp_path)
        assert (done["status"], done["verdict"]) == ("labelled", "bad")
        said = run_json("labels", alert["subject"], "--out", results, cwd=tmp_path)["changes"]
        assert [(c["label"], c["alert_id"]) for c in said] == [("phishing", alert["id"])]
        refused = run("explain", "ffff0000", "--out", results, cwd=tmp_path)
        assert refused.returncode == 3
        assert "no alert has the id ffff0000" in refused.stderr
        assert process.poll() is None
    after = run_json("explain", alert["id"], "--out", results, cwd=tmp_path)
    assert [label["label"] for label in after["subject"]["labels"]] == ["phishing"]
    assert "phishing (" in "\n".join(page(after))


def check_wallet(results: Path, explained: dict[str, Any]) -> None:
    """What the process tells of an alert's wallet is what the explanation of the alert tells."""
    place = find(results)
    assert place is not None
    client = ApiClient(*place.reachable, Secret(""))
    page = f"/api/v1/wallets/{explained['subject']['address']}"
    wallet, flows = client.get(page), client.get(f"{page}/flows", {"limit": 1000})
    history = explained["subject"]["history"]
    names = ("flows", "first_block", "last_block", "received", "sent", "counterparties")
    assert [wallet["history"][name] for name in names] == [history[name] for name in names]
    assert len(flows["flows"]) == history["flows"]
    received = [f for f in flows["flows"] if f["direction"] == "in" and f["token"] is None]
    coin = next(one["amount"] for one in history["received"] if one["token"] is None)
    assert str(sum(int(flow["amount"]) for flow in received)) == coin
    assert wallet["features"]["transaction"] == flows["flows"][0]["transaction"]
    assert all(isinstance(one["value"], float) for one in wallet["features"]["values"])


def worst() -> dict[str, Any]:
    """More of everything than a screen holds, and hostile text."""
    address = hex_of(b"\xab" * 20)
    amount = {"token": hex_of(USDT), "amount": str(2**256 - 1)}
    hop = {"transaction": "0x" + "cd" * 32, "from": address, "to": address, **amount}
    related = {
        "id": "e" * 32, "rule": "taint", "severity": "critical", "block_number": 10**9,
        "status": "retracted", "same_subject": True, "sentence": "x" * 500,
    }  # fmt: skip
    transfers = {"count": 10**9, "amounts": [amount] * 9}
    label = {
        "label": "a\x1b[31m", "source": "s" * 99, "author": "", "valid_from": 5, "valid_to": 10**9,
    }  # fmt: skip
    return {
        "alert": {
            "id": "f" * 32, "rule": "taint", "severity": "critical", "score": 1.0, "chain": "x",
            "role": "unknown", "status": "retracted", "block_number": 10**9,
            "block_timestamp": 1_700_000_000, "sentence": "Line\nfeed \u202e " + "word " * 200,
            "reasons": [
                {"feature": "f" * 80, "value": v, "contribution": 0.01, "threshold": v}
                for v in (1e300, "nan", "inf", 0.0, -1.0, 2.0, 3.0, 4.0, 5.0)
            ],
            "evidence": {
                "transactions": ["0x" + "cd" * 32] * 50, "addresses": [address] * 50,
                "amounts": [amount] * 50, "path": [hop] * 16,
            },
        },
        "subject": {
            "address": address, "verdict_then": "bad", "labels": [label] * 50, "history_error": "",
            "history": {
                "whole": False, "since_block": 1, "first_block": 1, "first_time": 1,
                "last_block": 2, "flows": 10**9, "counterparties": 10**9, "received": [amount] * 9,
                "sent": [amount] * 9,
                "partners": [
                    {
                        "address": address, "labels": ["exchange"] * 9, "in_evidence": True,
                        "to_subject": transfers, "from_subject": transfers,
                    }
                ] * 3,
            },
        },
        "related": [related] * 20,
        "about": {"what": "What.", "innocent": ["because"] * 9, "check": "Check."},
        "suspect": address,
        "bad_label": "launderer",
    }  # fmt: skip


def test_the_worst_alert_is_one_screen() -> None:
    """Too much of everything is counted, the commands stay whole, no control code gets through."""
    lines = page(worst(), " --out here")
    assert len(lines) <= MOST_LINES
    assert all(len(line) <= WIDTH for line in lines)
    assert all(line.isprintable() for line in lines)
    text = "\n".join(lines)
    for told in (
        "4 more",
        "and 47 more",
        "13 more hops",
        "and 18 more",
        "--from-alert ffffffffffff",
    ):
        assert told in text, told
    assert text.count("0x" + "ab" * 20) == 3


def test_an_alert_about_the_chain_labels_nobody() -> None:
    """Without a wallet there is no history and no command."""
    bare = worst() | {"subject": None, "suspect": None, "related": [], "about": None}
    bare["alert"]["evidence"] = {"transactions": [], "addresses": [], "amounts": [], "path": []}
    text = "\n".join(page(bare))
    assert "the chain itself" in text
    assert "nothing to label" in text
    assert "chainwarden label" not in text


def plain_profile(results: Path, subject: bytes) -> dict[str, Any]:
    """What a count over every flow and every row of features says of a wallet."""
    with Ledger.open(results / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        lake, manifest = Lake(results / "lake", ETHEREUM), ledger.files()
        tables = [
            lake.read([file for file in manifest if file.dataset == name]).to_pylist()
            for name in ("flows", "features")
        ]
    moved = [
        (flow, scores)
        for flow, scores in zip(*tables, strict=True)
        if subject in (flow["from_address"], flow["to_address"])
        and flow["status"] != 0
        and (flow["kind"] != FlowKind.NATIVE or flow["value_f64"] > 0)
    ]
    sides = [("from" if flow["from_address"] == subject else "to", row) for flow, row in moved]
    own = [(row["block_number"], row[f"{side}_score"]) for side, row in sides]
    own = [(block, score) for block, score in own if score is not None]
    everyone = [
        row[f"{side}_score"]
        for row in tables[1]
        for side in ("from", "to")
        if row[f"{side}_score"] is not None
    ]
    below = sum(score < own[-1][1] for score in everyone) / len(everyone) if own else None
    return {
        "score": (own[-1][1], own[-1][0], below) if own else None,
        "flows_in": sum(flow["to_address"] == subject for flow, _ in moved),
        "flows_out": sum(flow["from_address"] == subject for flow, _ in moved),
        "first": (moved[0][0]["block_number"], moved[0][0]["block_timestamp"]),
        "last": (moved[-1][0]["block_number"], moved[-1][0]["block_timestamp"]),
    }


def test_a_wallets_profile_is_that_of_the_lake(results: Path, alerts: list[dict[str, Any]]) -> None:
    """The score and how many are below it, counts, first and last block of wallets agree with a
    count over every flow; their alerts are those that the ledger lists."""
    scored = 0
    for rule in ("native_claim", "wallet_anomaly"):
        subject = by_rule(alerts)[rule]["subject"]
        found = run_json("wallet", subject, "--limit", 2, "--out", results, cwd=results)
        plain, history = plain_profile(results, bytes.fromhex(subject[2:])), found["history"]
        if plain["score"] is not None:
            score = found["score"]
            assert (score["value"], score["block_number"]) == plain["score"][:2]
            assert score["below"] == pytest.approx(plain["score"][2], abs=1e-12)
            scored += 1
        assert (found["score"] is None) == (plain["score"] is None)
        for name in ("flows_in", "flows_out"):
            assert history[name] == plain[name], name
        for end in ("first", "last"):
            assert (history[f"{end}_block"], history[f"{end}_time"]) == plain[end], end
        about = [one["id"] for one in alerts if one["subject"] == subject]
        assert [one["id"] for one in found["alerts"]] == about[:2]
        assert found["more"] == (len(about) > 2)
        lines = wallet_page(found)
        check_wallet_page(lines, found)
        done = run("wallet", subject, "--limit", 2, "--out", results, cwd=results)
        assert done.stdout.splitlines()[: len(lines) - 3] == lines[:-3]
    assert scored


def check_wallet_page(lines: list[str], profile: dict[str, Any]) -> None:
    """What every page about a wallet that was seen holds, on one screen."""
    text = "\n".join(lines)
    assert len(lines) <= MOST_LINES, text
    assert all(len(line) <= WIDTH and line.isprintable() for line in lines), text
    assert profile["address"] in lines[0]
    for head in ("RISK", "ANOMALY", "SEEN", "  in ", "  out ", "WITH", "ALERTS", "WHY", "LABEL"):
        assert sum(line.startswith(head) for line in lines) == 1, head
    for one in profile["history"]["partners"]:
        assert one["address"] in text
    for one in profile["alerts"][:4]:
        assert one["id"][:8] in text


def test_risk_has_the_words_of_its_levels(
    results: Path, alerts: list[dict[str, Any]], tmp_path: Path
) -> None:
    """Below the champion's alert level it is low, from there on so called, from its grave one on
    grave; a wallet that receives has the receiver's risk."""
    subject = bytes.fromhex(by_rule(alerts)["native_claim"]["subject"][2:])
    shutil.copytree(results, tmp_path / "out")
    with Ledger.open(tmp_path / "out" / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        lake = Lake(tmp_path / "out" / "lake", ETHEREUM)
        pages = WalletPages(ledger, lake, LabelBook())
        files = {(file.dataset, file.first): file for file in ledger.files()}
        for risk, word in ((0.49, "low"), (0.5, "alert"), (0.95, "grave")):
            for (dataset, first), file in files.items():
                if dataset == "features":
                    sides = lake.read([files["flows", first]], ["from_address", "to_address"])
                    give_risk(lake.folder / file.path, sides, subject, risk)
            found = pages.about(subject)
            assert (found["risk"]["value"], found["risk"]["word"]) == (risk, word)
            assert found["risk"]["levels"] == {"alert": 0.5, "grave": 0.9}
            (line,) = [one for one in wallet_page(empty() | found) if one.startswith("RISK")]
            assert f"{risk:.2f}, {'at the alert level' if word == 'alert' else word}" in line


def empty() -> dict[str, Any]:
    """A wallet that nobody labelled and no alert is about."""
    return {"address": "0x" + "ab" * 20, "alerts": [], "more": False}


def give_risk(path: Path, sides: pa.Table, subject: bytes, risk: float) -> None:
    """Write a risk for a wallet, and one of 0.1 for all others, into a file of features."""
    table = pq.read_table(path, partitioning=None)
    for side in ("from", "to"):
        risks = pc.if_else(pc.equal(sides[f"{side}_address"], subject), risk, 0.1)
        place = table.schema.get_field_index(f"{side}_risk")
        table = table.set_column(place, table.schema.field(place), risks)
    pq.write_table(table, path)


def test_wallets_that_nobody_saw_and_words_that_are_none(results: Path) -> None:
    """A wallet without flows, alerts and labels has a page that says so; no address is an error
    that shows what was typed."""
    found = run_json("wallet", "0x" + "ab" * 20, "--out", results, cwd=results)
    assert (found["history"], found["score"], found["risk"]) == (None, None, None)
    assert (found["alerts"], found["known_labels"], found["verdict"]) == ([], [], "unknown")
    text = "\n".join(wallet_page(found))
    for told in ("nobody labelled it", "nothing in the lake", "none about it"):
        assert told in text
    assert "explain" not in text
    done = run("wallet", "0x12", "--out", results, cwd=results)
    assert (done.returncode, done.stdout) == (3, "")
    assert "'0x12' is no address" in done.stderr


def test_the_worst_wallet_is_one_screen() -> None:
    """Too much of everything is counted, and no control code gets through."""
    subject, alert = worst()["subject"], worst()["alert"]
    score = {"value": 1.0, "block_number": 10**9}
    history = subject["history"] | {
        "first_time": 1, "last_time": 10**9, "flows_in": 10**9, "flows_out": 10**9,
        "partners": (subject["history"]["partners"] * 3)[:8],
    }  # fmt: skip
    profile = {
        "address": subject["address"], "verdict": "bad",
        "known_labels": [label | {"holds": False} for label in subject["labels"]],
        "score": score | {"below": 1.0, "word": "rare"},
        "risk": score | {"word": "grave", "levels": {"alert": 0.5, "grave": 0.9}},
        "history": history, "alerts": [alert] * 50, "more": True,
    }  # fmt: skip
    lines = wallet_page(profile)
    check_wallet_page(lines, profile)
    text = "\n".join(lines)
    for told in ("46 more: chainwarden labels", "50 and more", "45 more: chainwarden alerts"):
        assert told in text, told
