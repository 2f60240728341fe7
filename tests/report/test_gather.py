"""What a report says, against the ledger and the lake asked another way."""

from __future__ import annotations

import dataclasses
import shutil
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chainwarden.replay import every_alert, read_result
from chainwarden.report.compare import compare
from chainwarden.report.facts import Report
from chainwarden.report.figures import curve_over, groups_of, precision_at, risk_rows
from chainwarden.report.gather import NO_ALERTS, NO_FEATURES, NO_LAKE, Wanted, gather
from chainwarden.report.lake_facts import read_flows
from chainwarden.report.neighbours import neighbourhood
from chainwarden.schema import (
    ETHEREUM,
    FLOWS,
    ZERO_ADDRESS,
    Alert,
    Chain,
    Label,
    LakeFile,
    Position,
    Role,
    Severity,
)
from chainwarden.scorecard import read_truth, score_rules
from store.lake import Lake
from store.ledger import Commit, Ledger
from tests.report.conftest import Replays
from tests.rigs import hostile


def gathered(out: Path, wanted: Wanted | None = None, chain: Chain = ETHEREUM) -> Report:
    """The facts about a folder."""
    with Ledger.open(out / "ledger.duckdb", chain, "replay") as ledger:
        return gather(out.name, ledger, out / "lake", wanted or Wanted())


def alerts_of(out: Path) -> list[Alert]:
    """All alerts of a folder."""
    with Ledger.open(out / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        return every_alert(ledger)


def rows(out: Path, dataset: str) -> pa.Table:
    """All rows of a dataset that the manifest names."""
    with Ledger.open(out / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        files = ledger.files(dataset)
    return pa.concat_tables(
        [pq.read_table(out / "lake" / file.path, partitioning=None) for file in files]
    )


def test_the_summary_is_what_the_lake_and_the_ledger_say(replays: Replays) -> None:
    """Blocks, times, wallets and verified blocks are those of the lake's rows."""
    summary = gathered(replays.labelled).summary
    blocks, flows = rows(replays.labelled, "blocks"), rows(replays.labelled, "flows")
    wallets = {*flows["from_address"].to_pylist(), *flows["to_address"].to_pylist()}
    times = blocks["block_timestamp"].to_pylist()
    assert summary.kept_blocks == summary.verified_blocks == blocks.num_rows == 200
    assert summary.blocks > summary.kept_blocks  # orphaned ones were scored too
    assert (summary.first_time, summary.last_time) == (min(times), max(times))
    assert summary.last_block is not None
    assert summary.first_block is not None
    assert summary.last_block - summary.first_block == 199
    assert summary.wallets == len(wallets)
    assert summary.alerts == len(alerts_of(replays.labelled)) > 10


def test_every_alert_is_counted_once(replays: Replays) -> None:
    """Rules, the timeline and the cases each add up to all the alerts."""
    report = gathered(replays.labelled, Wanted(cases=10_000))
    total = report.summary.alerts
    assert sum(rule.total for rule in report.rules) == total
    assert report.timeline is not None
    assert sum(sum(bins) for _, bins in report.timeline.series) == total
    assert sum(len(case.alerts) for case in report.cases) == total
    assert len(report.cases) == report.case_count
    for case in report.cases:
        assert {alert.subject for alert in case.alerts} == {case.subject or ZERO_ADDRESS}
        assert case.lead.severity == max(alert.severity for alert in case.alerts)
    worst = [(case.lead.severity, case.lead.score) for case in report.cases]
    assert worst == sorted(worst, reverse=True)
    assert len(gathered(replays.labelled, Wanted(cases=3)).cases) == 3


def test_scores_are_those_of_the_features(replays: Replays) -> None:
    """Flows are counted one by one, a wallet once with its highest score, warm-up apart."""
    report = gathered(replays.labelled)
    flows, features = rows(replays.labelled, "flows"), rows(replays.labelled, "features")
    scores = features["flow_score"].to_pylist()
    assert report.flow_scores is not None
    assert report.wallet_scores is not None
    assert report.flow_scores.missing == scores.count(None) > 0
    assert report.flow_scores.counts[15] == sum(
        0.75 <= score < 0.8 for score in scores if score is not None
    )
    best: dict[bytes, float] = {}
    for side in ("from", "to"):
        pairs = zip(
            flows[f"{side}_address"].to_pylist(),
            features[f"{side}_score"].to_pylist(),
            strict=True,
        )
        for wallet, score in pairs:
            best[wallet] = max(best.get(wallet, -1.0), -1.0 if score is None else score)
    expected = [0] * 20
    for score in best.values():
        if score >= 0:
            expected[min(int(score * 20), 19)] += 1
    assert report.wallet_scores.counts == tuple(expected)
    assert report.wallet_scores.missing == len(best) - sum(expected)


def test_a_case_shows_exact_sums_of_what_moved(replays: Replays) -> None:
    """Each edge is the sum over the subject's flows; failed ones and plain calls do not count."""
    report = gathered(replays.labelled, Wanted(cases=100))
    flows = rows(replays.labelled, "flows").to_pylist()
    checked = 0
    for case in report.cases:
        if case.subject is None:
            continue
        sums: dict[tuple[str, bytes, bytes | None], int] = defaultdict(int)
        count: dict[tuple[str, bytes], int] = defaultdict(int)
        for flow in flows:
            ends = (flow["from_address"], flow["to_address"])
            value = int.from_bytes(flow["value"], "big")
            if case.subject not in ends or ends[0] == ends[1] or flow["status"] == 0:
                continue
            if flow["kind"] == 0 and not value:
                continue
            way, other = ("in", ends[0]) if ends[1] == case.subject else ("out", ends[1])
            sums[way, other, flow["token_address"]] += value
            count[way, other] += 1
        wallets = {other for _, other in count}
        if not wallets:
            assert case.neighbourhood is None
            continue
        near = case.neighbourhood
        assert near is not None
        assert len(near.counterparties) == min(8, len(wallets))
        assert near.others == len(wallets) - len(near.counterparties)
        for one in near.counterparties:
            for way, moved in (("in", one.to_subject), ("out", one.from_subject)):
                assert (moved.count if moved else 0) == count[way, one.address]
                for token, amount in moved.amounts if moved else ():
                    assert amount == sums[way, one.address, token]
                    checked += 1
    assert checked > 30


def test_what_the_evidence_moved_is_told(replays: Replays) -> None:
    """Every transfer of the worst alert's transactions, in order, also between others."""
    report = gathered(replays.labelled, Wanted(cases=100))
    flows = [
        flow
        for flow in rows(replays.labelled, "flows").to_pylist()
        if flow["status"] != 0 and (flow["kind"] or any(flow["value"]))
    ]
    others = 0
    for case in report.cases:
        wanted = set(case.lead.evidence.transactions)
        expected = [
            (f["transaction_hash"], f["from_address"], f["to_address"], f["token_address"])
            for f in flows
            if f["transaction_hash"] in wanted
        ]
        told = [(m.transaction, m.sender, m.receiver, m.amount[0]) for m in case.moves]
        assert told == expected
        others += sum(case.subject not in (m.sender, m.receiver) for m in case.moves)
    assert others > 0


def test_the_truth_is_scored_as_the_scorecard_does(replays: Replays) -> None:
    """With a truth file every rule has its precision and recall."""
    campaigns = read_truth(replays.written.truth_file)
    report = gathered(replays.labelled, Wanted(truth=campaigns))
    assert report.accuracy is not None
    scores = {score.rule: score for score in report.accuracy}
    assert scores["sanctions_touch"].recall == 1.0
    assert scores["sanctions_touch"].alerts == sum(
        alert.rule == "sanctions_touch" for alert in report.alerts
    )
    assert gathered(replays.labelled).accuracy is None


def test_two_replays_differ_by_what_only_one_has(replays: Replays) -> None:
    """Without labels, what hangs on them is gone; the rest is the same or of other severity."""
    there = alerts_of(replays.plain)
    difference = gathered(replays.labelled, Wanted(against=("plain", there))).difference
    assert difference is not None
    here = alerts_of(replays.labelled)
    assert {a.id for a in difference.only_here} == {a.id for a in here} - {a.id for a in there}
    assert {a.id for a in difference.only_there} == {a.id for a in there} - {a.id for a in here}
    rules = {alert.rule for alert in difference.only_here}
    assert "sanctions_touch" in rules
    # The others need to know the bad from whom money comes, the exchanges where it goes, or what
    # is watched.
    known = {"sanctions_touch", "taint", "phishing_wallet", "exchange_drain", "contract_takeover"}
    assert rules <= known
    assert difference.same + len(difference.changed) + len(difference.only_here) == len(here)


def test_another_severity_is_a_change() -> None:
    """The same id with another severity is neither new nor the same."""
    one, two = hostile.alert(1), hostile.alert(2)
    milder = dataclasses.replace(one, severity=Severity.LOW)
    difference = compare("there", [milder, two], [one, two])
    assert difference.changed == ((one, milder),)
    assert (difference.same, difference.only_here, difference.only_there) == (1, (), ())


def test_what_the_lake_cannot_say_is_said(replays: Replays, tmp_path: Path) -> None:
    """No lake, no features, a lost file: the rest is there, and a note says what is not."""
    whole = gathered(replays.labelled)
    assert whole.notes == ()
    bare = tmp_path / "bare"
    bare.mkdir()
    for path in replays.labelled.glob("ledger.duckdb*"):
        shutil.copy(path, bare)
    report = gathered(bare)
    assert report.notes == (NO_LAKE,)
    assert report.alerts == whole.alerts
    assert report.summary.wallets is None
    assert not (bare / "lake").exists()
    shutil.copytree(replays.labelled / "lake", bare / "lake")
    for path in (bare / "lake").glob("features/**/*.parquet"):
        path.unlink()
    report = gathered(bare)
    assert report.notes == (NO_FEATURES,)
    assert report.flow_scores is report.wallet_scores is None
    assert report.cases == whole.cases
    next((bare / "lake").glob("flows/**/*.parquet")).unlink()
    (note,) = gathered(bare).notes
    assert "could not be read" in note
    hostile.write(tmp_path / "hostile", with_features=False)
    assert gathered(tmp_path / "hostile", chain=hostile.CHAIN).notes == (NO_FEATURES,)


def test_an_empty_ledger_has_a_report(tmp_path: Path) -> None:
    """Nothing replayed, nothing found: both are said."""
    report = gathered(tmp_path)
    assert report.notes == (NO_ALERTS, NO_LAKE)
    assert report.timeline is None
    assert report.cases == ()
    assert report.rules == ()


def test_a_failed_flow_moved_nothing(tmp_path: Path) -> None:
    """Flows of failed transactions and plain calls are drawn nowhere; others are."""
    row = {
        "block_number": [100] * 4,
        "ordinal": [0, 1, 2, 3],
        "batch_index": [0] * 4,
        "kind": [0, 0, 0, 1],
        "transaction_hash": [bytes([7]) * 32] * 4,
        "token_address": [None] * 4,
        "from_address": [hostile.THIEF] * 4,
        "to_address": [bytes([n]) * 20 for n in range(4)],
        "value": [bytes(31) + bytes([n]) for n in (5, 5, 0, 0)],
        "value_f64": [5.0, 5.0, 0.0, 0.0],
        "status": [0, 1, 1, None],
    }
    path = tmp_path / "flows.parquet"
    schema = pa.schema([FLOWS.field(name) for name in row])
    pq.write_table(pa.table(row, schema), path)
    file = LakeFile(path.name, "flows", Position(100, b""), Position(100, b""), 4, 0)
    facts = read_flows(Lake(tmp_path, ETHEREUM), [file], [hostile.THIEF], [bytes([7]) * 32])
    assert facts.wallets == 5
    near = neighbourhood(facts.flows, hostile.THIEF, set(), lambda _: ())
    assert near is not None
    assert {one.address[0] for one in near.counterparties} == {1, 3}
    assert facts.moves["to_address"].to_pylist() == [bytes([1]) * 20, bytes([3]) * 20]


@pytest.mark.parametrize("shown", [0, 1])
def test_cases_can_be_left_out(replays: Replays, shown: int) -> None:
    """As many cases as asked for, even none."""
    assert len(gathered(replays.labelled, Wanted(cases=shown)).cases) == shown


def test_the_time_is_that_of_the_replay_that_made_the_ledger(
    replays: Replays, tmp_path: Path
) -> None:
    """It is told where the replay is this one, and not where its file tells of another."""
    told = read_result(replays.labelled)
    assert told is not None
    summary = gathered(replays.labelled).summary
    assert summary.seconds == told["seconds"]
    assert told["flows"] == summary.flows
    shutil.copytree(replays.labelled, tmp_path / "out")
    for text in ('{"flows": 1, "seconds": 2.0}', "nonsense"):
        (tmp_path / "out" / "replay.json").write_text(text, encoding="utf-8")
        assert gathered(tmp_path / "out").summary.seconds is None


def test_alerts_are_judged_by_the_truth(replays: Replays) -> None:
    """As many are right as the rules have hits; precision at full recall is their share; the groups
    hold every judged alert once."""
    truth, alerts = read_truth(replays.written.truth_file), alerts_of(replays.labelled)
    judged = gathered(replays.labelled, Wanted(truth=truth)).judged
    scores = score_rules(alerts, truth)
    assert judged is not None
    assert sum(judged.right) == sum(score.hits for score in scores) > 10
    assert len(judged.right) == sum(score.alerts for score in scores)
    assert len(judged.right) + judged.unjudged == len(alerts)
    share = sum(judged.right) / len(judged.right)
    assert precision_at(curve_over(judged), 1.0) >= share
    groups = groups_of(judged)
    assert sum(group.size for group in groups) == len(judged.right)
    mean = sum(group.size * group.was for group in groups) / len(judged.right)
    assert mean == pytest.approx(share)


def test_without_a_truth_labels_judge(replays: Replays, tmp_path: Path) -> None:
    """An accused wallet that is labelled bad makes its alerts right, a good one wrong; a victim's
    alerts and those about others are not judged; a handful says nothing."""
    shutil.copytree(replays.plain, tmp_path / "out")
    accused = [one for one in alerts_of(replays.plain) if one.role == Role.ATTACKER]
    wallets = sorted({one.subject for one in accused} - {ZERO_ADDRESS})
    assert len(wallets) > 12
    assert gathered(tmp_path / "out").judged is None
    words = {wallet: "phishing" if n % 3 else "benign" for n, wallet in enumerate(wallets)}
    with Ledger.open(tmp_path / "out" / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        ledger.add_labels([Label(wallet, word, "analyst") for wallet, word in words.items()])
    judged = gathered(tmp_path / "out").judged
    assert judged is not None
    expected = [words[one.subject] == "phishing" for one in accused if one.subject in words]
    assert list(judged.right) == expected
    assert judged.by == "labels"


def test_the_risk_models_figures_are_those_of_the_ledger(replays: Replays, tmp_path: Path) -> None:
    """They are told once it has judged a row, and left out before."""
    shutil.copytree(replays.plain, tmp_path / "out")
    with Ledger.open(tmp_path / "out" / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        models, cursor = ledger.model_figures(), ledger.cursor()
        assert models is not None
        assert cursor is not None
        assert gather("out", ledger, tmp_path / "out" / "lake", Wanted()).risk is None
        models["champion"]["figures"]["all"] |= {"rows": 1234, "brier": 0.125}
        ledger.commit(Commit(cursor, models=models))
        report = gather("out", ledger, tmp_path / "out" / "lake", Wanted())
    told = dict(risk_rows(report) or ())
    assert (told["Rows judged"], told["Brier score"], told["AUROC"]) == ("1,234", "0.125", "–")
