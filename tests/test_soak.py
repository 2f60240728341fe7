"""The soak itself: its chain is sound, its verdict sees what it is there for, and it passes."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from chainwarden.schema import ETHEREUM, Cursor, Retraction
from ingest.decode import decode_blocks
from ingest.jsonl import JsonlSource
from ingest.lineage import Header, broken_rule, header_of
from ingest.raw import RawBlock, RpcBlock, RpcReceipt
from ingest.verify import Verifier
from store.alert_table import AlertRecord
from store.lake import Lake
from store.ledger import AlertFilter, Commit, Ledger
from tests.conftest import ROOT
from tests.kafka_broker import BrokerMissing, class_path
from tests.rigs.receiver import Received, WebhookReceiver
from tests.soak.chain import GrowingChain, random_depth
from tests.soak.verdict import Verdict, compare_receiver, compare_stores
from tests.store.made import alert, blocks, features, position


def test_every_block_of_the_chain_and_its_forks_is_sound(tmp_path: Path) -> None:
    """Each block that nodes show is one that could be, by itself and beside its parent, so that
    it is followed; and the file holds one linked chain.
    """
    rng = random.Random(3)
    with GrowingChain(3, tmp_path) as chain:
        depths = []
        for number in range(120):
            chain.extend()
            if number % 4 == 3:
                depths.append(chain.fork(random_depth(rng)))
        shown = chain.recording
        verifier, headers = Verifier(), dict[str, Header]()
        for hash_, block in shown.by_hash.items():
            receipts = msgspec.convert(shown.receipts[hash_], list[RpcReceipt])
            raw = RawBlock(msgspec.convert(block, RpcBlock), receipts)
            headers[hash_] = header_of(decode_blocks(ETHEREUM, [raw], [verifier.verify(raw)]))
        for hash_, header in headers.items():
            if below := headers.get(shown.by_hash[hash_]["parentHash"]):
                assert broken_rule(ETHEREUM, header, below) == ""
        assert len(shown.by_hash) >= 121 + sum(depths)
        chain.extend()
    assert max(depths) > 5
    written = list(JsonlSource(chain.blocks_file, ETHEREUM).blocks())
    assert len(written) == 122
    for parent, child in itertools.pairwise(written):
        assert isinstance(parent, RawBlock)
        assert isinstance(child, RawBlock)
        assert child.block.parent_hash == parent.block.hash


def _store(folder: Path, numbers: list[int], gone: list[int]) -> list[AlertRecord]:
    """A ledger and lake with an alert in each of these blocks, some of them taken back."""
    with Ledger.open(folder / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        lake = Lake(folder / "lake", ETHEREUM)
        batch = blocks(1, 4)
        ledger.commit(
            Commit(
                Cursor(position(4)),
                alerts=[alert(number) for number in (*numbers, *gone)],
                files_added=lake.write(batch, features(batch)),
            )
        )
        ledger.commit(
            Commit(
                Cursor(position(4)),
                retractions=[Retraction(alert(number).id, position(number)) for number in gone],
            )
        )
        return list(ledger.records(AlertFilter(status="all", oldest_first=True)))


def test_the_verdict_sees_what_a_store_lacks_or_has_too_much(tmp_path: Path) -> None:
    """Equal stores have no problems; one alert less is lost, one more a problem."""
    _store(tmp_path / "replay", [1, 2], [])
    for name, numbers, lost, problems in (
        ("equal", [1, 2], 0, 0),
        ("less", [1], 1, 0),
        ("more", [1, 2, 3], 0, 1),
    ):
        _store(tmp_path / name, numbers, [4])
        verdict = Verdict(name)
        compare_stores(verdict, tmp_path / name, tmp_path / "replay")
        assert (verdict.lost, len(verdict.problems), verdict.retracted) == (lost, problems, 1)


def test_the_verdict_knows_how_deep_a_fork_was_followed(tmp_path: Path) -> None:
    """It is the longest branch among the orphans of the lake, whatever files they are in."""
    _store(tmp_path, [1], [])
    with Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM, "replay") as ledger:
        lake = Lake(tmp_path / "lake", ETHEREUM)
        files = (*lake.write_orphans(blocks(2, 1)), *lake.write_orphans(blocks(3, 2)))
        ledger.commit(Commit(Cursor(position(4)), files_added=files))
    verdict = Verdict("ops")
    compare_stores(verdict, tmp_path, tmp_path)
    assert verdict.deepest == 3


def _told(number: int, kind: str, suffix: str = "") -> Received:
    body = {"type": kind, "data": {"id": alert(number).id}}
    headers = {"webhook-id": alert(number).id + suffix}
    return Received("/hook", headers, json.dumps(body).encode(), accepted=True)


class Told(WebhookReceiver):
    """A receiver that has been told something; who signed it is not the matter here."""

    def unsigned(self) -> list[Received]:
        """Nothing is."""
        return []


def test_the_verdict_sees_what_a_receiver_was_not_told_or_told_twice(tmp_path: Path) -> None:
    """Repeats under one id are harmless; an alert under two ids is a duplicate."""
    records = _store(tmp_path, [1, 2], [3])
    told = [_told(1, "alert.raised"), _told(2, "alert.raised")]
    taken_back = [_told(3, "alert.raised"), _told(3, "alert.retracted", "-retracted-0")]
    for received, lost, duplicated, problems in (
        (told, 0, 0, 0),
        ([*told, *taken_back], 0, 0, 0),
        ([*told, told[0]], 0, 0, 0),
        (told[:1], 1, 0, 0),
        ([*told, replace(_told(1, "alert.raised", "x"))], 0, 1, 0),
        ([*told, taken_back[0]], 0, 0, 1),
        ([*told, _told(9, "alert.raised")], 0, 0, 1),
    ):
        receiver = Told()
        receiver.received = received
        verdict = Verdict("ops")
        compare_receiver(verdict, receiver, records)
        assert (verdict.lost, verdict.duplicated, len(verdict.problems)) == (
            lost,
            duplicated,
            problems,
        )


@pytest.mark.broker
@pytest.mark.timeout(1000)
def test_a_short_soak_ends_equal() -> None:
    """Half a minute of everything at once: nothing lost, nothing twice, states equal."""
    try:
        class_path()
    except BrokerMissing as why:
        pytest.skip(f"no Kafka broker: {why}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--minutes", "0.5", "--seed", "5"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=950,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count("equal to a replay") == 2
