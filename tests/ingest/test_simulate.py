"""The simulated chain: valid to the last root, realistic, labelled, and the same for a seed."""

from __future__ import annotations

import csv
import gzip
import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import SettingsError
from ingest.raw import RawBlock, RpcBlock, RpcLog
from ingest.record import ReceiptsLine
from ingest.senders import recover_authority
from ingest.simulate import CAMPAIGNS, Simulation, SimulationConfig, write_chain
from ingest.simulate.contracts import ETHER, At, Event
from ingest.simulate.draft import Keyring
from ingest.simulate.forks import draw_fate
from ingest.simulate.labels import COLUMNS
from ingest.simulate.pools import Pool
from ingest.simulate.simulation import FIRST_BLOCK, USUAL_BASE_FEE
from ingest.simulate.tokens import WETH, Token
from ingest.simulate.traffic import Traffic
from ingest.simulate.world import Moment, World
from ingest.source import BlockSource
from ingest.verify import Verifier
from tests.ingest.simulated import Run, run, text

SHORT = SimulationConfig(seed=3, blocks=150, transactions_per_block=20)
WATCHED_VICTIMS = {"exchange_drain", "contract_takeover"}


@pytest.fixture(scope="module")
def chain() -> Run:
    """Three hours, with one of every attack."""
    return run(SimulationConfig(seed=5, blocks=900, transactions_per_block=36))


def test_every_block_verifies_with_every_sender() -> None:
    """Hashes, roots, blooms, positions, prices and all signatures of a run are right."""
    verifier = Verifier()
    checked = 0
    for raw in Simulation(SimulationConfig(seed=11, blocks=300)).blocks():
        assert verifier.verify(raw) is True
        checked += len(raw.block.transactions)
    assert checked > 8_000
    assert not verifier.unverified


def _logs(raw: RawBlock) -> list[RpcLog]:
    return [log for receipt in raw.receipts or [] for log in receipt.logs]


def test_an_altered_log_no_longer_verifies() -> None:
    """The roots commit to what the receipts say."""
    found = ((raw, log) for raw in Simulation(SHORT).blocks() for log in _logs(raw))
    raw, log = next((raw, log) for raw, log in found if log.data != "0x")
    log.data = log.data[:-1] + ("1" if log.data[-1] == "0" else "0")
    with pytest.raises(Exception, match="receiptsRoot"):
        Verifier().verify(raw)


def test_blocks_arrive_as_a_node_would_call_them_head(chain: Run) -> None:
    """Every parent came before; the winning chain is whole; a losing branch comes first."""
    seen = {chain.blocks[0].block.parent_hash}
    winners = {raw.block.hash for raw in chain.canonical}
    for raw in chain.blocks:
        assert raw.block.parent_hash in seen
        seen.add(raw.block.hash)
    numbers = [int(raw.block.number, 16) for raw in chain.canonical]
    assert numbers == list(range(FIRST_BLOCK, FIRST_BLOCK + chain.config.blocks))
    losers = [raw for raw in chain.blocks if raw.block.hash not in winners]
    assert losers
    arrival = {raw.block.hash: place for place, raw in enumerate(chain.blocks)}
    rival = {raw.block.number: raw for raw in chain.canonical}
    for raw in losers:
        assert arrival[raw.block.hash] < arrival[rival[raw.block.number].block.hash]


def test_reorgs_are_one_to_three_blocks_deep_and_lose_nothing_but_double_spends(chain: Run) -> None:
    """What was orphaned is included again, unless the same nonce was spent elsewhere."""
    depths = Counter[int]()
    for previous, raw in pairwise(chain.blocks):
        back = int(previous.block.number, 16) - int(raw.block.number, 16) + 1
        if back > 0:
            depths[back] += 1
    assert set(depths) == {1, 2, 3}
    replaced = {c.transactions[0] for c in chain.campaigns("double_spend")}
    assert replaced
    assert {h for h in chain.orphaned if h not in chain.mined} == replaced
    moved = [
        h
        for h, m in chain.orphaned.items()
        if h in chain.mined and chain.mined[h].number != m.number
    ]
    assert moved


def test_base_fees_follow_eip_1559(chain: Run) -> None:
    """Every base fee of the winning chain follows from the block before."""
    for parent, child in pairwise(raw.block for raw in chain.canonical):
        target = int(parent.gas_limit, 16) // 2
        used, fee = int(parent.gas_used, 16), int(parent.base_fee_per_gas or "", 16)
        delta = fee * abs(used - target) // target // 8
        expected = fee + max(1, delta) if used > target else fee - delta
        assert int(child.base_fee_per_gas or "", 16) == expected
        assert used <= 2 * target


def test_blocks_come_in_slots_of_twelve_seconds(chain: Run) -> None:
    """Times are those of slots; outside the staged outage few slots are missed."""
    times = [int(raw.block.timestamp, 16) for raw in chain.canonical]
    assert {(time - 1_606_824_023) % 12 for time in times} == {0}
    (outage,) = chain.campaigns("consensus")
    calm = [
        (after - before) // 12 - 1
        for number, (before, after) in enumerate(pairwise(times), FIRST_BLOCK + 1)
        if not outage.start_block <= number <= outage.end_block
    ]
    assert min(calm) == 0
    assert 0 < sum(calm) / len(calm) < 0.04


def test_all_transaction_types_occur_as_on_mainnet(chain: Run) -> None:
    """Types 0 to 4, most of them type 2; a few per cent fail; authorizations recover."""
    types = Counter(m.transaction.type for m in chain.mined.values())
    assert set(types) == {"0x0", "0x1", "0x2", "0x3", "0x4"}
    assert types["0x2"] / types.total() > 0.7
    failed = sum(not m.succeeded for m in chain.mined.values()) / len(chain.mined)
    assert 0.005 < failed < 0.05
    for mined in chain.mined.values():
        for entry in mined.transaction.authorization_list or []:
            assert recover_authority(entry) is not None


def test_nonces_of_a_sender_count_up_without_holes(chain: Run) -> None:
    """On the winning chain every sender's nonces follow one another, in chain order."""
    last: dict[str, int] = {}
    for raw in chain.canonical:
        for transaction in raw.block.transactions:
            nonce = int(transaction.nonce, 16)
            if transaction.from_ in last:
                assert nonce == last[transaction.from_] + 1
            last[transaction.from_] = nonce
            for entry in transaction.authorization_list or []:
                authority, granted = text(recover_authority(entry) or b""), int(entry.nonce, 16)
                assert granted == last.get(authority, granted - 1) + 1
                last[authority] = granted


def test_activity_is_heavy_tailed(chain: Run) -> None:
    """One sender in a hundred makes three tenths of the traffic, and most make one or two."""
    counts = sorted(Counter(m.sender for m in chain.mined.values()).values(), reverse=True)
    top = sum(counts[: len(counts) // 100])
    assert top > 0.3 * len(chain.mined)
    assert statistics.median(counts) <= 2
    values = sorted(m.value for m in chain.mined.values() if m.value)
    assert values[-len(values) // 100] > 30 * values[len(values) // 2]


def test_traffic_follows_the_hour() -> None:
    """Afternoons (UTC) are busier than nights."""
    world = World(1, users=500)
    traffic = Traffic(world, 100.0)

    def mean(hour: int) -> float:
        world.now = Moment(1, 86_400 * 20_000 + hour * 3_600, USUAL_BASE_FEE)
        return statistics.mean(traffic.demand(USUAL_BASE_FEE) for _ in range(500))

    assert mean(15) > 1.4 * mean(3)


def test_flows_and_logs_are_as_many_as_a_detector_expects(chain: Run) -> None:
    """There are about two movements of value to a transaction."""
    moves = sum(
        1 + sum(log.topics[0] == text(Event.TRANSFER) for log in m.logs)
        for m in chain.mined.values()
    )
    assert 1.7 < moves / len(chain.mined) < 2.6


def test_attacks_are_rare(chain: Run) -> None:
    """Campaigns are at most three per cent of the transactions, and every kind is there."""
    attacks = sum(len(c.transactions) for c in chain.truth.campaigns)
    assert 0 < attacks <= 0.03 * len(chain.mined)
    assert {c.typology for c in chain.truth.campaigns} == set(CAMPAIGNS)


def test_the_truth_names_transactions_that_exist(chain: Run) -> None:
    """Hashes are on the chain between the blocks named, addresses are lower-case text."""
    ids = [c.id for c in chain.truth.campaigns]
    assert len(set(ids)) == len(ids)
    for campaign in chain.truth.campaigns:
        assert FIRST_BLOCK <= campaign.start_block <= campaign.end_block
        assert "cut off" not in campaign.note
        for digest in campaign.transactions:
            mined = chain.mined.get(digest) or chain.orphaned[digest]
            assert campaign.start_block <= mined.number <= campaign.end_block
        for members in campaign.addresses.values():
            assert members
            assert all(len(a) == 42 and a == a.lower() for a in members)


def test_the_truth_is_known_only_at_the_end() -> None:
    """Asking before the last block raises, and a second run gives the same again."""
    simulation = Simulation(SHORT)
    source: BlockSource = simulation
    assert source.chain == SHORT.chain
    with pytest.raises(RuntimeError):
        simulation.truth()
    first = [raw.block.hash for raw in simulation.blocks()]
    truth = simulation.truth()
    assert [raw.block.hash for raw in simulation.blocks()] == first
    assert simulation.truth() == truth


def test_without_campaigns_the_chain_is_a_plain_one() -> None:
    """No campaign, no fork: only the innocent."""
    plain = run(SimulationConfig(seed=2, blocks=120, transactions_per_block=20, campaigns=()))
    assert plain.truth.campaigns == ()
    assert len(plain.blocks) == len(plain.canonical) == 120


def test_a_run_of_any_length_has_a_fate() -> None:
    """What befalls a chain lies within it, and a run too short for it is spared."""
    for blocks in (*range(1, 260), *range(590, 610)):
        for seed in range(3):
            fate = draw_fate(seed, blocks, FIRST_BLOCK, CAMPAIGNS)
            assert all(0 <= index < blocks for index in (*fate.forks, *fate.missed))
    short = run(SimulationConfig(seed=3, blocks=120, transactions_per_block=1))
    assert len(short.canonical) == 120


@pytest.mark.parametrize(
    "wrong",
    [
        {"campaigns": ("ice_fishing",)},
        {"blocks": 0},
        {"transactions_per_block": 0},
        {"start_time": 1},
    ],
)
def test_what_cannot_be_simulated_is_refused(wrong: dict[str, Any]) -> None:
    """A misspelt campaign, an empty run or a time before the beacon chain raise SettingsError."""
    with pytest.raises(SettingsError):
        SimulationConfig(**wrong)


# --- files -------------------------------------------------------------------------------------

WRITE = """
import sys
from pathlib import Path
from ingest.simulate import SimulationConfig, write_chain
config = SimulationConfig(seed=int(sys.argv[2]), blocks=150, transactions_per_block=20)
write_chain(config, Path(sys.argv[1]))
"""


def _write(folder: Path, seed: int, hash_seed: str) -> dict[str, bytes]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", WRITE, str(folder), str(seed)]
    subprocess.run(command, check=True, env=environment, timeout=120)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """Whatever the hash seed of the process; another seed gives another chain."""
    first = _write(tmp_path / "a", 3, "0")
    assert _write(tmp_path / "b", 3, "12345") == first
    other = _write(tmp_path / "c", 4, "0")
    assert all(other[name] != first[name] for name in first)


def test_written_files_read_back_as_the_blocks(tmp_path: Path) -> None:
    """Blocks, receipts, truth and labels on disk are those of the simulation."""
    steps: list[tuple[int, int]] = []
    written = write_chain(
        SHORT, tmp_path / "chain", lambda done, total: steps.append((done, total))
    )
    simulation = Simulation(SHORT)
    expected = list(simulation.blocks())
    with gzip.open(written.blocks_file) as file:
        blocks = [msgspec.json.decode(line, type=RpcBlock) for line in file]
    assert blocks == [raw.block for raw in expected]
    with gzip.open(written.receipts_file) as file:
        lines = [msgspec.json.decode(line, type=ReceiptsLine) for line in file]
    assert [line.receipts for line in lines] == [raw.receipts for raw in expected]
    assert [line.block_hash for line in lines] == [block.hash for block in blocks]
    truth = json.loads(written.truth_file.read_text())
    assert truth == list(msgspec.to_builtins(simulation.truth().campaigns))
    assert written.blocks == len(blocks) == SHORT.blocks + written.orphaned
    assert written.transactions == sum(len(block.transactions) for block in blocks)
    assert written.logs == sum(len(r.logs) for line in lines for r in line.receipts)
    assert written.campaigns == len(truth)
    assert steps[-1] == (SHORT.blocks, SHORT.blocks)
    assert steps == sorted(steps)
    assert len(list(written.folder.iterdir())) == 4


def test_a_broken_off_write_leaves_nothing(tmp_path: Path) -> None:
    """Files appear whole or not at all."""

    def stop(done: int, _total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chain(SHORT, tmp_path, stop)
    assert list(tmp_path.iterdir()) == []


def test_labels_name_services_and_the_sanctioned_but_no_attacker(chain: Run) -> None:
    """An analyst's list, all but three rows from before the run: it gives no answer away."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in Simulation(chain.config).labels()]
    by_address = {row["address"]: row for row in rows}
    assert len(by_address) == len(rows)
    labels = Counter(row["label"] for row in rows)
    assert {"exchange", "router", "bridge", "mixer", "sanctioned", "service"} <= set(labels)
    innocent = {"sanctioned", "merchant", "mixer", "relayer", "thief"}
    for campaign in chain.truth.campaigns:
        for role, members in campaign.addresses.items():
            labelled = by_address.keys() & set(members)
            robbed = role == "victim" and campaign.typology in WATCHED_VICTIMS
            assert role in innocent or robbed or not labelled
    sanctioned = [row for row in rows if row["label"] == "sanctioned"]
    expired = [row for row in sanctioned if row["valid_to"]]
    assert len(expired) == 1
    assert int(expired[0]["valid_to"]) < chain.config.start_time
    assert any(m.sender == expired[0]["address"] for m in chain.benign())
    contracts = [row for row in rows if row["note"] == "simulated attack contract"]
    begins = {int(row["valid_from"]) - chain.config.start_time for row in contracts}
    assert len(contracts) == 3
    assert begins == {300}
    thieves = [row for row in rows if row["label"] == "exploit" and row not in contracts]
    assert [row["valid_to"] != "" for row in thieves] == [False, False, False, True]
    assert int(thieves[-1]["valid_to"]) < chain.config.start_time


def test_the_label_list_is_a_csv_with_its_columns(tmp_path: Path) -> None:
    """Every row has all columns, addresses of 20 bytes and whole seconds."""
    written = write_chain(SimulationConfig(blocks=3, campaigns=()), tmp_path)
    with written.labels_file.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    for row in rows:
        assert len(bytes.fromhex(row["address"][2:])) == 20
        assert int(row["valid_from"]) >= 0
        assert row["label"].islower()


# --- pools -------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("bsar"), st.integers(1, 10**18)), max_size=30))
def test_a_pool_is_what_its_logs_say(steps: list[tuple[str, int]]) -> None:
    """Transfers in and out add up to the reserves, the last Sync states them, and k never falls."""
    owner = Keyring(1).wallet(10**30)
    token = Token(bytes.fromhex("11" * 20), 18, 1.0)
    pair = Pool(bytes.fromhex("22" * 20), token)
    owner.tokens[token.address] = 10**30
    drafts = [pair.add(owner, 50 * ETHER, 9_000 * ETHER, 0)]
    for action, amount in steps:
        before = pair.ether * pair.tokens
        if action == "b":
            drafts.append(pair.buy(owner, amount, 0))
        elif action == "s":
            drafts.append(pair.sell(owner, amount, 0))
        elif action == "a":
            drafts.append(pair.add(owner, amount, pair.tokens * amount // pair.ether, 0))
        else:
            drafts.append(pair.remove(owner, amount / 10**19, 0))
        assert action == "r" or pair.ether * pair.tokens >= before
    held = Counter[bytes]()
    logs = [log for draft in drafts for log in draft.logs]
    for log in logs:
        if log.topics[0] == Event.TRANSFER and log.address in (token.address, WETH.address):
            amount = int.from_bytes(log.data, "big")
            held[log.address] += amount * (log.topics[2][12:] == pair.address)
            held[log.address] -= amount * (log.topics[1][12:] == pair.address)
    assert (held[token.address], held[At.WETH]) == (pair.tokens, pair.ether)
    last = next(log for log in reversed(logs) if log.topics[0] == Event.V2_SYNC)
    assert last.data == pair.tokens.to_bytes(32, "big") + pair.ether.to_bytes(32, "big")


@pytest.mark.data
def test_contracts_are_the_deployed_ones(shared_data: Path) -> None:
    """Addresses and topics agree with the list that was checked against mainnet."""
    known = json.loads((shared_data.parent / "constants.json").read_text())
    addresses = {address.lower() for address in known["address"].values()}
    ours = {text(v) for k, v in vars(At).items() if k.isupper()}
    # The locker of liquidity, a release of the Safe and Aave's event are in no list of ours;
    # checksum and hash are right.
    assert ours - {text(At.LOCKER), text(At.SAFE_1_1_1)} <= addresses
    topics = {text(v) for k, v in vars(Event).items() if k.isupper()}
    assert topics - {text(Event.LIQUIDATION)} <= set(known["topic0"])
