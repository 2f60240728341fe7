"""Historical blocks replayed: what is counted, what is rejected, and what never changes."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from chainwarden.commands.rebuild import rebuild as rebuild_command
from chainwarden.deployment import HASH_KEY, keyed, open_stores
from chainwarden.errors import (
    BadBlock,
    FileFormatError,
    LabelError,
    LedgerDamaged,
    LedgerLocked,
    SettingsError,
    StoreError,
)
from chainwarden.replay import ReplayResult, every_alert, prepare_folder, rebuild, replay
from chainwarden.schema import ETHEREUM
from chainwarden.settings import DetectSettings, Secret, Settings
from detect.alerts import DIGEST_RULE, FORK_RULES
from ingest.simulate import SimulationConfig, Written, write_chain
from store.ledger import Ledger
from tests.command import run, run_json
from tests.conftest import ROOT


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """A simulated chain with every campaign, forks included."""
    folder = tmp_path_factory.mktemp("simulated")
    return write_chain(SimulationConfig(seed=3, blocks=320, transactions_per_block=12.0), folder)


def labelled(written: Written) -> Settings:
    """Settings that load the labels of a simulated chain."""
    return Settings(detect=DetectSettings(labels=[str(written.labels_file)]))


def digests(result: ReplayResult) -> tuple[str, str]:
    """What must not depend on how the blocks came."""
    return result.state_digest, result.alerts_digest


def test_batching_changes_nothing(simulated: Written, tmp_path: Path) -> None:
    """One block at a time or a hundred: same state, same alerts, same retractions."""
    results = [
        replay(simulated.blocks_file, tmp_path / str(n), labelled(simulated), batch_blocks=n)
        for n in (1, 7, 100)
    ]
    assert results[0].alerts > 20
    assert results[0].retracted >= 0
    assert len({digests(result) for result in results}) == 1
    assert len({(r.retracted, r.flows, r.wallets) for r in results}) == 1


def test_every_attack_with_a_rule_is_found(simulated: Written, tmp_path: Path) -> None:
    """On a simulated chain rules find their campaigns, and exact ones hit nothing else."""
    from chainwarden.scorecard import RULES, read_truth, score_rules

    replay(simulated.blocks_file, tmp_path / "out", labelled(simulated), batch_blocks=64)
    with Ledger.open(tmp_path / "out/ledger.duckdb", ETHEREUM, "replay") as ledger:
        alerts = every_alert(ledger)
    assert {alert.rule for alert in alerts} <= {*RULES, DIGEST_RULE}
    scores = {score.rule: score for score in score_rules(alerts, read_truth(simulated.truth_file))}
    for rule in (
        "double_spend",
        "flash_loan",
        "ice_phishing",
        "issuer_freeze",
        "mixer_touch",
        "native_claim",
        "poisoning_payoff",
        "ponzi",
        "rug_pull",
        "safe_delegatecall",
        "sanctions_touch",
        "sandwich",
    ):
        assert scores[rule].recall == 1.0, rule
    for rule in (
        "double_spend",
        "flash_loan",
        "issuer_freeze",
        "native_claim",
        "ponzi",
        "rug_pull",
        "safe_delegatecall",
        "sandwich",
    ):
        assert scores[rule].precision == 1.0, rule


def test_the_lake_gives_the_ledger_again(simulated: Written, tmp_path: Path) -> None:
    """A rebuild from the lake has every alert again, those that only a fork shows as well.

    So has a rebuild of what was rebuilt.
    """
    first = replay(simulated.blocks_file, tmp_path / "first", labelled(simulated), batch_blocks=50)
    with Ledger.open(tmp_path / "first/ledger.duckdb", ETHEREUM, "replay") as ledger:
        result = rebuild(ledger, tmp_path / "first/lake", tmp_path / "again", labelled(simulated))
        assert {"double_spend", "reorg_depth"} <= {rule for rule, _, _ in ledger.alert_counts()}
    assert (result["missing"], result["new"]) == (0, 0)
    assert (result["state_digest"], result["alerts_digest"]) == digests(first)
    with Ledger.open(tmp_path / "again/ledger.duckdb", ETHEREUM, "replay") as ledger:
        third = rebuild(ledger, tmp_path / "again/lake", tmp_path / "third", labelled(simulated))
    assert {**third, "out": ""} == {**result, "out": ""}


def test_a_ledger_that_cannot_be_opened_is_made_anew_from_the_lake(
    simulated: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the command, which then needs no ledger: the same alerts, but for those that
    only an orphaned block shows."""
    replay(simulated.blocks_file, tmp_path / "out", labelled(simulated), batch_blocks=100)
    path = tmp_path / "out/ledger.duckdb"
    with Ledger.open(path, ETHEREUM, "replay") as ledger:
        before = {alert.id for alert in every_alert(ledger) if alert.rule not in FORK_RULES}
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(LedgerDamaged, match="chainwarden rebuild"):
        Ledger.open(path, ETHEREUM, "replay")
    flags = {"store.out": str(tmp_path / "out"), "detect.labels": [str(simulated.labels_file)]}
    rebuild_command(config=None, flags=flags, to=tmp_path / "again", json=True)
    said = capsys.readouterr()
    assert "cannot be opened" in said.err
    assert json.loads(said.out)["blocks"] == 320
    with Ledger.open(tmp_path / "again/ledger.duckdb", ETHEREUM, "replay") as ledger:
        after = {alert.id for alert in every_alert(ledger) if alert.rule not in FORK_RULES}
    assert after == before


def test_a_hash_key_changes_where_wallets_lie_and_nothing_else(
    simulated: Written, tmp_path: Path
) -> None:
    """Under an installation's own key the alerts are the same to the bit; its state has another
    digest, which a rebuild reaches with the key that it takes along, and nobody else."""
    settings, live = labelled(simulated), tmp_path / "live"
    plain = replay(simulated.blocks_file, tmp_path / "plain", settings, batch_blocks=100)
    live.mkdir()
    own = keyed(settings, live)
    (tmp_path / "key").write_bytes((live / HASH_KEY).read_bytes())
    (live / HASH_KEY).unlink()
    result = replay(simulated.blocks_file, live, own, batch_blocks=100)
    assert result.alerts_digest == plain.alerts_digest
    assert result.state_digest != plain.state_digest
    (live / HASH_KEY).write_bytes((tmp_path / "key").read_bytes())
    with Ledger.open(live / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        again = rebuild(ledger, live / "lake", tmp_path / "again", settings)
    assert (again["state_digest"], again["alerts_digest"]) == digests(result)
    assert (tmp_path / "again" / HASH_KEY).read_bytes() == (live / HASH_KEY).read_bytes()


def test_an_installation_has_one_hash_key(tmp_path: Path) -> None:
    """Random, made once, only for its owner; one of the settings is the stronger; a damaged file
    is said to be one."""
    settings, other = Settings(), tmp_path / "other"
    other.mkdir()
    first = keyed(settings, tmp_path).detect.hash_key.reveal()
    assert keyed(settings, tmp_path).detect.hash_key.reveal() == first
    assert keyed(settings, other).detect.hash_key.reveal() != first
    assert bytes.fromhex(first) == (tmp_path / HASH_KEY).read_bytes()
    assert (tmp_path / HASH_KEY).stat().st_mode & 0o777 == 0o600
    given = Settings(detect=DetectSettings(hash_key=Secret("ab" * 16)))
    assert keyed(given, tmp_path) is given
    (tmp_path / HASH_KEY).write_bytes(b"short")
    with pytest.raises(StoreError, match=r"hash\.key has 5 bytes"):
        keyed(settings, tmp_path)


@pytest.mark.data
def test_real_mainnet_blocks(shared_data: Path, tmp_path: Path) -> None:
    """The command verifies the run of real blocks; no digest depends on batches or hash seeds."""
    path = shared_data / "blocks" / "run.blocks.jsonl.gz"
    outcomes = [
        run_json("replay", path, "--out", tmp_path / name, *words, cwd=tmp_path, env=env)
        for name, words, env in (
            ("plain", (), {}),
            ("single", ("--batch-blocks", 1), {}),
            ("hundred", ("--batch-blocks", 100), {}),
            ("seeded", (), {"PYTHONHASHSEED": "1"}),
        )
    ]
    first = outcomes[0]
    assert set(first) == {
        "blocks", "verified_blocks", "unverified_blocks", "rejected_blocks", "transactions",
        "flows", "wallets", "alerts", "retracted", "seconds", "flows_per_second", "state_digest",
        "alerts_digest", "out",
    }  # fmt: skip
    counted = ("blocks", "verified_blocks", "transactions", "rejected_blocks")
    assert [first[name] for name in counted] == [25, 25, 4857, 0]
    assert len({(o["state_digest"], o["alerts_digest"]) for o in outcomes}) == 1
    listed = run_json("alerts", "--out", tmp_path / "plain", "--severity", "high", cwd=tmp_path)
    assert listed["alerts"] == []


@pytest.mark.data
def test_scattered_real_blocks(shared_data: Path, tmp_path: Path) -> None:
    """Blocks of every fork's shape, out of order and with siblings, are all verified."""
    path = shared_data / "blocks" / "forks.blocks.jsonl.gz"
    results = [replay(path, tmp_path / str(n), Settings(), batch_blocks=n) for n in (1, 100)]
    assert (results[0].blocks, results[0].verified_blocks, results[0].rejected_blocks) == (
        113,
        113,
        0,
    )
    assert digests(results[0]) == digests(results[1])


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "transactions", "flows"),
    [
        ("blocks/etl-2015-11.transactions.parquet", 28_426, 28_426),
        ("labelled/stream.parquet", 309_548, 320_881),
    ],
)
def test_tables(
    shared_data: Path, tmp_path: Path, name: str, transactions: int, flows: int
) -> None:
    """Public tables replay to the end; batching changes nothing."""
    results = [
        replay(shared_data / name, tmp_path / str(n), Settings(), batch_blocks=n)
        for n in (1_000, 8_192)
    ]
    assert (results[0].transactions, results[0].flows) == (transactions, flows)
    assert results[0].unverified_blocks == results[0].blocks
    assert digests(results[0]) == digests(results[1])


# --- bad input -----------------------------------------------------------------------------------


def changed_lines(path: Path, seed: int) -> Iterator[tuple[list[bytes], str]]:
    """The lines of a block file with one digit of one field changed, and the hash of the block."""
    with gzip.open(path) as file:
        lines = file.readlines()
    rng = random.Random(seed)
    for field in ("stateRoot", "gasUsed", "timestamp", "value", "input", "from", "r"):
        row = rng.randrange(len(lines))
        block = json.loads(lines[row])
        holder = block if field in block else rng.choice(block["transactions"])
        digits = holder[field]
        place = len(digits) - 1
        holder[field] = digits[:place] + ("0" if digits[place] != "0" else "1")
        if holder[field] == digits or len(digits) < 3:
            continue
        changed = [*lines]
        changed[row] = json.dumps(block).encode() + b"\n"
        yield changed, block["hash"]


def test_a_changed_digit_rejects_its_block_and_no_other(simulated: Written, tmp_path: Path) -> None:
    """The block is named, counted and left out; the rest goes on."""
    receipts = simulated.receipts_file.read_bytes()
    checked = 0
    for number, (lines, block_hash) in enumerate(changed_lines(simulated.blocks_file, 1)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "bad.blocks.jsonl.gz"
        path.write_bytes(gzip.compress(b"".join(lines[:120]), 1))
        (folder / "bad.receipts.jsonl.gz").write_bytes(receipts)
        rejected: list[BadBlock] = []
        result = replay(
            path, folder / "out", Settings(), batch_blocks=64, on_rejected=rejected.append
        )
        named = [error for error in rejected if block_hash in str(error)]
        if block_hash.encode() not in b"".join(lines[:120]):
            assert not rejected
            continue
        assert len(rejected) == result.rejected_blocks == len(named) == 1, [
            str(e) for e in rejected
        ]
        assert result.verified_blocks == 119
        checked += 1
    assert checked >= 2


def test_a_truncated_file_is_scored_as_far_as_it_goes(simulated: Written, tmp_path: Path) -> None:
    """A gzip that ends in the middle: what was read is committed, and the command says where."""
    whole = simulated.blocks_file.read_bytes()
    path = tmp_path / "cut.blocks.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    done = run("replay", path, "--out", tmp_path / "out", "--json", cwd=tmp_path)
    assert done.returncode == FileFormatError.exit_code
    outcome = json.loads(done.stdout)
    assert 50 < outcome["blocks"] < 320
    assert "cut.blocks.jsonl.gz" in outcome["failure"]
    assert "cut.blocks.jsonl.gz" in done.stderr
    assert run_json("alerts", "--out", tmp_path / "out", cwd=tmp_path)["total"] == outcome["alerts"]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02", b"{}\n", b"hello\n", b"[1,2"])
def test_a_file_that_is_no_block_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file, the outcome is an error that names it or a rejected line."""
    path = tmp_path / "odd.jsonl"
    path.write_bytes(content)
    errors: list[Exception] = []
    try:
        result = replay(
            path, tmp_path / "out", Settings(), batch_blocks=8, on_rejected=errors.append
        )
        errors += [result.failure] if result.failure else []
    except FileFormatError as error:
        errors.append(error)
    assert errors
    assert all("odd.jsonl" in str(error) for error in errors)
    assert not (tmp_path / "out" / "lake" / "blocks").exists()


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    """One line on stderr, an exit code, no traceback."""
    done = run("replay", tmp_path / "none.jsonl", cwd=tmp_path)
    assert done.returncode == FileFormatError.exit_code
    assert "none.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_list_with_bad_addresses_loses_only_those(
    simulated: Written, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bad lines of a label list are logged by line; a file that is no list is an error."""
    labels = tmp_path / "labels.csv"
    text = simulated.labels_file.read_text(encoding="utf-8")
    labels.write_text(text + "0x1234,sanctioned,me,0,,,,\n", encoding="utf-8")
    settings = Settings(detect=DetectSettings(labels=[str(labels)]))
    result = replay(simulated.blocks_file, tmp_path / "a", settings, batch_blocks=64)
    good = replay(simulated.blocks_file, tmp_path / "b", labelled(simulated), batch_blocks=64)
    assert digests(result) == digests(good)
    assert any("0x1234" in record.getMessage() for record in caplog.records)
    labels.write_text("not a list", encoding="utf-8")
    with pytest.raises(LabelError, match=r"labels\.csv"):
        replay(simulated.blocks_file, tmp_path / "c", settings, batch_blocks=64)


def test_a_folder_in_use_is_left_alone(simulated: Written, tmp_path: Path) -> None:
    """While another process has the ledger, nothing is replayed into its folder."""
    out = tmp_path / "out"
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from store.ledger import Ledger\n"
        "from chainwarden.schema import ETHEREUM\n"
        "Ledger.open(Path(sys.argv[1]) / 'ledger.duckdb', ETHEREUM, 'replay')\n"
        "print('open', flush=True)\n"
        "time.sleep(60)\n"
    )
    out.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", script, str(out)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=dict(os.environ),
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "open\n"
            with pytest.raises(LedgerLocked):
                prepare_folder(out, ETHEREUM, overwrite=True)
            done = run("replay", simulated.blocks_file, "--out", out, "--overwrite", cwd=tmp_path)
            assert done.returncode == LedgerLocked.exit_code
            assert "another process" in done.stderr
            assert (out / "ledger.duckdb").exists()
        finally:
            holder.kill()


def test_results_are_not_overwritten_unasked(tmp_path: Path) -> None:
    """A folder with results, or with other things, is refused; --overwrite allows the former."""
    out = tmp_path / "out"
    open_stores(out, ETHEREUM, "replay").ledger.close()
    with pytest.raises(SettingsError, match="holds results already"):
        prepare_folder(out, ETHEREUM, overwrite=False)
    prepare_folder(out, ETHEREUM, overwrite=True)
    assert not out.exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match="holds other things"):
        prepare_folder(other, ETHEREUM, overwrite=True)
    assert (other / "thesis.txt").exists()


def test_the_lake_joins_what_others_publish(simulated: Written, tmp_path: Path) -> None:
    """Rows in the lake are those of the blocks: counts, exact values, no orphans."""
    result: Any = replay(simulated.blocks_file, tmp_path / "out", Settings(), batch_blocks=64)
    with Ledger.open(tmp_path / "out/ledger.duckdb", ETHEREUM, "replay") as ledger:
        files = ledger.files()
    lake = tmp_path / "out" / "lake"
    rows = {
        name: sum(pq.read_metadata(lake / f.path).num_rows for f in files if f.dataset == name)
        for name in ("blocks", "transactions", "flows", "features")
    }
    assert rows["blocks"] == 320
    assert rows["flows"] == rows["features"] > 0
    assert rows["flows"] <= result.flows
