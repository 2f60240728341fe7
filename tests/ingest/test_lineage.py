"""What a block's header says beside its parent's: nothing true is refused, nothing false passes."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from chainwarden.errors import BadBlock
from chainwarden.live import accept_blocks, observe_source
from chainwarden.metrics import Metrics
from chainwarden.schema import ETHEREUM, HASH, BlockBatch, Chain
from ingest.chain import ChainFollower
from ingest.decode import decode_blocks
from ingest.lineage import Header, Lineage, broken_rule, header_of
from ingest.live import live
from ingest.raw import RawBlock
from ingest.rpc import RpcSource
from ingest.simulate import Simulation, SimulationConfig
from ingest.verify import Verifier
from tests.ingest.real_blocks import load
from tests.rigs.course import HASTY, QUICK, Told
from tests.rigs.liar import Json, Liar, Recording

BASE = Chain("base", 8453)
ANVIL = Chain("anvil", 31337)


def batches(raws: Sequence[RawBlock]) -> list[BlockBatch]:
    """Each verified and decoded, as a node's blocks are."""
    verifier = Verifier(unsigned=True)
    return [decode_blocks(ETHEREUM, [raw], [verifier.verify(raw)]) for raw in raws]


def alarms(blocks: Sequence[BlockBatch]) -> tuple[int, list[str]]:
    """How many blocks have their parent among these, and what is wrong with them."""
    by_hash = {block.position(0).hash: header_of(block) for block in blocks}
    parents = [block.blocks["parent_hash"][0].as_py() for block in blocks]
    pairs = [
        (header_of(b), by_hash[p]) for b, p in zip(blocks, parents, strict=True) if p in by_hash
    ]
    return len(pairs), list(filter(None, (broken_rule(ETHEREUM, *pair) for pair in pairs)))


# --- nothing true is refused ----------------------------------------------------------------------


def test_no_real_block_breaks_a_rule(shared_data: Path) -> None:
    """Mainnet's blocks, of every fork from Frontier to Prague, follow from their parents."""
    folder = shared_data / "blocks"
    blocks = batches([*load(folder, "run"), *load(folder, "forks")])
    checked, found = alarms(blocks)
    assert found == []
    assert checked >= 30
    proven = [header_of(block) for block in blocks if header_of(block).proven]
    assert len(proven) > 100


@pytest.mark.parametrize("seed", range(3))
def test_no_simulated_block_breaks_a_rule(seed: int) -> None:
    """Simulated blocks, those of losing branches among them, follow from their parents."""
    config = SimulationConfig(seed=seed, blocks=150, transactions_per_block=0.5)
    checked, found = alarms(batches(list(Simulation(config).blocks())))
    assert found == []
    assert checked >= 149


GAS = st.integers(5_000, 10**9)
FEES = st.integers(7, 10**15)


@st.composite
def parents(draw: Any) -> Header:
    """Any header that there can be since Cancun."""
    limit = draw(GAS)
    return Header(
        number=draw(st.integers(0, 2**40)),
        timestamp=draw(st.integers(0, 2**40)),
        gas_limit=limit,
        gas_used=draw(st.integers(0, limit)),
        base_fee=draw(FEES),
        blob_gas_used=draw(st.integers(0, 128)) * 2**17,
        excess_blob_gas=draw(st.integers(0, 10**9)),
        proven=True,
    )


def specified_base_fee(parent: Header) -> int:
    """As the specification in EIP-1559 has it."""
    assert parent.gas_limit is not None
    assert parent.gas_used is not None
    assert parent.base_fee is not None
    target = parent.gas_limit // 2
    if parent.gas_used == target:
        return parent.base_fee
    if parent.gas_used > target:
        delta = parent.gas_used - target
        return parent.base_fee + max(parent.base_fee * delta // target // 8, 1)
    delta = target - parent.gas_used
    return parent.base_fee - parent.base_fee * delta // target // 8


@st.composite
def families(draw: Any) -> tuple[Header, Header]:
    """A child and its parent, as the specifications of EIP-1559, 4844, 7691 and 7918 have it."""
    parent: Header = draw(parents())
    assert parent.gas_limit is not None
    assert parent.blob_gas_used is not None
    assert parent.excess_blob_gas is not None
    step = parent.gas_limit // 1024 - 1
    limit = max(5_000, parent.gas_limit + draw(st.integers(-step, step)))
    target, most = draw(st.sampled_from([(3, 6), (6, 9), (10, 15), (14, 21), (48, 72)]))
    sum_ = parent.excess_blob_gas + parent.blob_gas_used
    excess = max(0, sum_ - target * 2**17)
    if draw(st.booleans()) and sum_ >= target * 2**17:  # EIP-7918: where blobs are too cheap
        excess = parent.excess_blob_gas + parent.blob_gas_used * (most - target) // most
    child = Header(
        number=parent.number + 1,
        timestamp=parent.timestamp + draw(st.integers(1, 10**6)),
        gas_limit=limit,
        gas_used=draw(st.integers(0, limit)),
        base_fee=specified_base_fee(parent),
        blob_gas_used=draw(st.integers(0, most)) * 2**17,
        excess_blob_gas=excess,
        proven=True,
    )
    return child, parent


@given(families())
def test_what_the_specifications_allow_is_allowed(family: tuple[Header, Header]) -> None:
    """Whatever a parent used, and whichever blob schedule holds, its child breaks no rule."""
    assert broken_rule(ETHEREUM, *family) == ""


# --- nothing false passes -------------------------------------------------------------------------

LIES: dict[str, Callable[[Header, Header], dict[str, Any]]] = {
    "number": lambda h, _: {"number": h.number + 1},
    "same number": lambda _, p: {"number": p.number},
    "timestamp": lambda _, p: {"timestamp": p.timestamp},
    "earlier": lambda _, p: {"timestamp": p.timestamp - 1},
    "gas used": lambda h, _: {"gas_used": (h.gas_limit or 0) + 1},
    "gas limit": lambda _, p: {"gas_limit": (p.gas_limit or 0) + (p.gas_limit or 0) // 1024},
    "gas limit down": lambda _, p: {
        "gas_limit": (p.gas_limit or 0) - (p.gas_limit or 0) // 1024,
        "gas_used": 0,
    },
    "base fee": lambda h, _: {"base_fee": (h.base_fee or 0) + 1},
    "base fee down": lambda h, _: {"base_fee": (h.base_fee or 0) - 1},
    "no base fee": lambda _, __: {"base_fee": None},
    "blob gas": lambda _, p: {
        "excess_blob_gas": (p.excess_blob_gas or 0) + (p.blob_gas_used or 0) + 1
    },
}


@pytest.mark.parametrize("name", LIES)
@given(family=families())
def test_what_breaks_a_rule_is_named(family: tuple[Header, Header], name: str) -> None:
    """A header that is wrong by one in one field is refused, and the field is named."""
    child, parent = family
    broken = broken_rule(ETHEREUM, child._replace(**LIES[name](child, parent)), parent)
    words = {"earlier": "timestamp", "gas used": "gas, its limit", "blob gas": "excess blob gas"}
    field = words.get(name, name.removeprefix("same ").removeprefix("no ").removesuffix(" down"))
    assert field in broken


def old(number: int, limit: int, base_fee: int | None, used: int = 0) -> Header:
    """A header from the time around London."""
    return Header(number, 12 * number, limit, used, base_fee, None, None, True)


def test_london_begins_with_a_gwei_and_blocks_twice_as_large() -> None:
    """The first block with a base fee has 1 gwei and a limit around twice its parent's."""
    before, limit = old(12_964_999, 15_029_237, None, 15_026_712), 30_029_122
    assert broken_rule(ETHEREUM, old(12_965_000, limit, 10**9), before) == ""
    assert "base fee" in broken_rule(ETHEREUM, old(12_965_000, limit, 10**9 + 1), before)
    assert "gas limit" in broken_rule(ETHEREUM, old(12_965_000, 15_029_237, 10**9), before)
    assert broken_rule(ETHEREUM, old(12_965_000, 15_029_237, None), before) == ""
    assert "gas limit" in broken_rule(ETHEREUM, old(12_965_000, limit, None), before)


def test_no_gas_limit_is_below_five_thousand() -> None:
    """Frontier began with 5,000 gas in a block, and never may there be less."""
    assert broken_rule(ETHEREUM, old(1, 5_000, None), old(0, 5_000, None)) == ""
    assert "less than 5000" in broken_rule(ETHEREUM, old(1, 4_999, None), old(0, 5_000, None))


@given(families(), st.integers(0, 2**60), st.integers(0, 2**60), st.integers(0, 3))
def test_other_chains_are_held_to_time_alone(
    family: tuple[Header, Header], fee: int, limit: int, seconds: int
) -> None:
    """Other chains have other gas and fees, and several blocks a second; their time never falls."""
    child, parent = family
    other = child._replace(base_fee=fee, gas_limit=limit, timestamp=parent.timestamp + seconds)
    assert broken_rule(BASE, other, parent) == ""
    past = other._replace(timestamp=parent.timestamp - 1)
    assert "timestamp" in broken_rule(BASE, past, parent)
    assert broken_rule(ANVIL, past, parent) == ""  # its user has set the clock back
    assert "number" in broken_rule(ANVIL, past._replace(number=parent.number), parent)


@given(families(), st.sampled_from(["gas used", "gas limit", "base fee", "blob gas"]))
def test_what_a_later_fork_may_change_is_not_held_against_it(
    family: tuple[Header, Header], name: str
) -> None:
    """Where there are fields that nobody knows only the number and the time are judged."""
    child, parent = family
    unknown = child._replace(proven=False)
    assert broken_rule(ETHEREUM, unknown._replace(**LIES[name](child, parent)), parent) == ""
    assert broken_rule(ETHEREUM, unknown._replace(timestamp=parent.timestamp), parent)
    assert broken_rule(ETHEREUM, unknown._replace(number=parent.number), parent)


@given(families(), st.integers(0, 2**60))
def test_nothing_unproven_speaks_against_what_is_proven(
    family: tuple[Header, Header], timestamp: int
) -> None:
    """A parent that was made up cannot make its true child a lie."""
    child, parent = family
    assert broken_rule(ETHEREUM, child, parent._replace(proven=False, timestamp=timestamp)) == ""


# --- whoever remembers ----------------------------------------------------------------------------


def made(count: int) -> list[RawBlock]:
    """Blocks that follow one another."""
    config = SimulationConfig(blocks=count, transactions_per_block=0.5, campaigns=())
    return list(Simulation(config).blocks())


def forged(raw: RawBlock, timestamp: int) -> BlockBatch:
    """The block with another time, and a field that nobody knows to excuse its hash."""
    twin = copy.deepcopy(raw)
    twin.block.timestamp, twin.unknown_fields = hex(timestamp), ("inclusionListRoot",)
    return decode_blocks(ETHEREUM, [twin], [Verifier().verify(twin)])


def test_a_block_is_held_to_a_parent_that_comes_after_it() -> None:
    """On the way down from a head a block is taken, and given up when its parent says otherwise."""
    raws = made(3)
    first, second, third = batches(raws)
    lie, lineage = forged(raws[1], 1), Lineage(ETHEREUM)
    assert lineage.admit(third) is third
    assert lineage.admit(lie) is lie  # nobody knows its parent yet
    lineage.admit(first)
    with pytest.raises(BadBlock, match="its timestamp is 1, its parent's") as told:
        lineage.hold(lie)
    assert (told.value.reason, told.value.number) == ("parent", lie.position(0).number)
    lineage.hold(lie)  # forgotten
    with pytest.raises(BadBlock):
        lineage.admit(lie)
    assert lineage.admit(second) is second
    for block in (first, second, third):
        lineage.hold(block)


def test_what_is_remembered_is_bounded() -> None:
    """After 1,024 more blocks a parent is forgotten, and nothing is held against its child."""
    raw = made(2)
    first, second = batches(raw)
    lie, lineage = forged(raw[1], 1), Lineage(ETHEREUM)
    lineage.admit(first)
    with pytest.raises(BadBlock):
        lineage.admit(lie)
    column = second.blocks.column_names.index("block_hash")
    for number in range(1_024):
        name = pa.array([number.to_bytes(32, "big")], HASH)
        table = second.blocks.set_column(column, second.blocks.schema.field(column), name)
        lineage.admit(BlockBatch.of(ETHEREUM, **{**second.tables, "blocks": table}))
    assert lineage.admit(lie) is lie


# --- nodes that agree on a lie --------------------------------------------------------------------


def lies_of_time(truth: Json, timestamp: int) -> Json:
    """The block at another time, with a field that nobody knows."""
    return {**truth, "inclusionListRoot": "0x" + "09" * 32, "timestamp": hex(timestamp)}


def followed(
    recording: Recording, liars: int, honest: int, lie: Callable[[Json], Json], metrics: Metrics
) -> tuple[Told, RpcSource]:
    """What comes out where the first nodes tell the same lie about every block but the first.

    It ends at the newest block; with liars alone when they were asked three times for the second.
    """
    told, stop, follower = Told(), threading.Event(), ChainFollower(linked=True)
    asked = itertools.count(1)

    def tamper(method: str, params: list[Any], truth: Json) -> Json:
        whole = method in ("eth_getBlockByHash", "eth_getBlockByNumber") and params[1]
        if not whole or not truth or truth["number"] == "0x64":
            return truth
        if truth["number"] == "0x65" and next(asked) == 3 and not honest:
            stop.set()
        return lie(truth)

    with ExitStack() as stack:
        nodes = [stack.enter_context(Liar(recording)) for _ in range(liars + honest)]
        for node in nodes[:liars]:
            node.tamper = tamper
        urls = [node.url for node in nodes]
        source = stack.enter_context(RpcSource(urls, ETHEREUM, QUICK))
        late = threading.Timer(20.0, stop.set)
        late.start()
        accept = accept_blocks(ETHEREUM, metrics)
        for event in live(source, follower, accept, start=100, stop=stop, config=HASTY):
            told.hear(event)
            if follower.head is not None and follower.head.number == recording.numbers[-1]:
                stop.set()
        late.cancel()
        observe_source(metrics, source.stats)
    return told, source


@pytest.fixture(scope="module")
def recording() -> Recording:
    """Sixty blocks, so that the first ones are asked for by number and the last ones by hash."""
    recording = Recording()
    recording.grow(60)
    return recording


@pytest.mark.parametrize("plausible", [False, True])
def test_two_of_three_that_tell_the_same_lie_do_not_outvote_the_third(
    recording: Recording, plausible: bool
) -> None:
    """The honest node's block comes out, whether the others' time breaks a rule or none.

    Where it breaks none it is the hash that tells: the honest block's is of known fields.
    """

    def lie(truth: Json) -> Json:
        return lies_of_time(truth, int(truth["timestamp"], 16) + 3 if plausible else 1)

    metrics = Metrics(CollectorRegistry(), "ethereum")
    told, source = followed(recording, 2, 1, lie, metrics)
    times = [t for each in told.batches for t in each.blocks["block_timestamp"].to_pylist()]
    flags = [flag for each in told.batches for flag in each.blocks["verified"].to_pylist()]
    assert times == [
        int(recording.by_hash[h]["timestamp"], 16) for h in recording.by_number.values()
    ]
    assert flags == [True] * 60
    assert (source.stats.rejected["parent"] > 0) == (not plausible)
    labels = {"chain": "ethereum", "reason": "parent"}
    counted = metrics.registry.get_sample_value("chainwarden_verification_failures_total", labels)
    assert (counted or 0) == source.stats.rejected["parent"]


def test_a_lie_that_every_node_tells_does_not_come_out_either(recording: Recording) -> None:
    """A block of a time before its parent's is none, whoever tells of it: nothing comes of it."""
    metrics = Metrics(CollectorRegistry(), "ethereum")
    told, source = followed(recording, 1, 0, lambda truth: lies_of_time(truth, 1), metrics)
    assert [position.number for position in told.chain] == [100]
    assert source.stats.rejected["parent"] > 0


def test_on_the_way_down_from_a_head_a_lie_is_found_out_when_its_parent_is_there(
    recording: Recording,
) -> None:
    """A lone node lies once about a block whose parent is not known yet: it is asked anew."""
    told, stop, follower = Told(), threading.Event(), ChainFollower(linked=True)
    wanted = recording.by_number[103]
    lied: list[str] = []

    def tamper(method: str, params: list[Any], truth: Json) -> Json:
        if method != "eth_getBlockByHash" or params[0] != wanted or lied:
            return truth
        lied.append(params[0])
        return lies_of_time(truth, 1)

    with Liar(recording) as node, RpcSource([node.url], ETHEREUM, QUICK) as source:
        node.tamper, node.head = tamper, 100
        accept = accept_blocks(ETHEREUM, Metrics(CollectorRegistry(), "ethereum"))
        late = threading.Timer(20.0, stop.set)
        late.start()
        for event in live(source, follower, accept, start=100, stop=stop, config=HASTY):
            told.hear(event)
            node.head = 105
            if follower.head is not None and follower.head.number == 105:
                stop.set()
        late.cancel()
    assert lied == [wanted]
    assert source.stats.rejected == {"parent": 1}
    assert [position.number for position in told.chain] == list(range(100, 106))
    assert all(each.blocks["verified"][0].as_py() for each in told.batches)
