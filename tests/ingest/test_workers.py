"""Worker processes give what one process gives, whatever happens to them."""

from __future__ import annotations

import copy
import multiprocessing
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from chainwarden.errors import BadBlock
from chainwarden.live import accept_blocks, accept_in_workers
from chainwarden.metrics import Metrics
from chainwarden.schema import ETHEREUM, BlockBatch, BlocksAdded
from ingest.chain import ChainFollower
from ingest.live import Crew, LiveConfig, live
from ingest.raw import RawBlock
from ingest.rpc import RpcSource
from ingest.simulate import Simulation, SimulationConfig
from ingest.workers import BlockWorkers, verified_batch
from tests.ingest.made_blocks import made_block, op_stack_block, unknown_type_block
from tests.ingest.test_heads import until
from tests.ingest.test_live import QUICK
from tests.ingest.verdicts import all_sites
from tests.rigs.children import ends_with_its_parent
from tests.rigs.liar import Json, Liar, Recording

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def workers() -> Iterator[BlockWorkers]:
    """Two processes, for all tests that leave them whole."""
    with BlockWorkers(ETHEREUM, 2, unsigned=True) as crew:
        yield crew


def here(raw: RawBlock) -> BlockBatch | BadBlock:
    """What this process makes of a block."""
    try:
        return verified_batch(ETHEREUM, raw, unsigned=True)
    except BadBlock as error:
        return error


def same(one: BlockBatch | BadBlock, other: BlockBatch | BadBlock | BaseException | None) -> bool:
    """Whether tables, or errors, are equal in everything."""
    if isinstance(one, BadBlock):
        return isinstance(other, BadBlock) and (str(one), vars(one)) == (str(other), vars(other))
    return isinstance(other, BlockBatch) and one.chain == other.chain and one.tables == other.tables


def blocks() -> list[RawBlock]:
    """Blocks with every kind of transaction, from a simulation and made by hand."""
    config = SimulationConfig(blocks=12, transactions_per_block=20.0, campaigns=())
    every = [*Simulation(config).blocks(), made_block(), op_stack_block(), unknown_type_block()]
    every[3].where = "blocks.jsonl.gz:4"
    return every


def lies(raws: list[RawBlock]) -> Iterator[RawBlock]:
    """The same blocks, each with one digit changed somewhere."""
    rng = random.Random(5)
    for raw in copy.deepcopy(raws):
        site = rng.choice([each for each in all_sites(raw) if len(each.get()) > 3])
        site.set(site.get()[:-1] + ("1" if site.get()[-1] != "1" else "2"))
        yield raw


def test_workers_say_what_one_process_says(workers: BlockWorkers) -> None:
    """Tables and refusals are equal in everything, in the order in which blocks were given."""
    honest = blocks()
    every = [*honest, *lies(honest)]
    futures = [workers.submit(raw) for raw in every]
    expected = [here(raw) for raw in every]
    for mine, future in zip(expected, futures, strict=True):
        assert same(mine, future.exception(60) or future.result())
    assert sum(isinstance(each, BadBlock) for each in expected) > len(honest) // 2


def test_whoever_submits_has_the_last_word(workers: BlockWorkers) -> None:
    """What a batch is held to afterwards may refuse it, and only then is it done."""

    def refuse(batch: BlockBatch) -> BlockBatch:
        raise BadBlock("too late", where=str(batch.position(0)), reason="parent")

    error = workers.submit(made_block(), refuse).exception(60)
    assert isinstance(error, BadBlock)
    assert error.reason == "parent"


def test_a_worker_that_dies_loses_no_block() -> None:
    """What the dead process had, and all that comes after, is worked on in this process."""
    honest = blocks()
    before = set(multiprocessing.active_children())
    with BlockWorkers(ETHEREUM, 1, unsigned=True) as crew:
        first = crew.submit(honest[0])
        (process,) = set(multiprocessing.active_children()) - before
        futures = [crew.submit(raw) for raw in honest[1:]]
        process.kill()
        futures += [crew.submit(raw) for raw in honest]
        for raw, future in zip([*honest, *honest], [first, *futures], strict=True):
            assert same(here(raw), future.result(60))
        process.join(30)


def test_a_closed_crew_leaves_no_process() -> None:
    """The processes end when they are closed; who submits after that is served here."""
    before = set(multiprocessing.active_children())
    raw = made_block()
    with BlockWorkers(ETHEREUM, 2, unsigned=True) as crew:
        assert same(here(raw), crew.submit(raw).result(60))
        started = set(multiprocessing.active_children()) - before
        assert started
    for process in started:  # the crew's own thread waits for them, too: join may miss the end
        assert until(partial(_ended_well, process), 30)
    assert same(here(raw), crew.submit(raw).result(0))


def _ended_well(process: BaseProcess) -> bool:
    return process.exitcode == 0


_PARENT = """
import multiprocessing, sys
from chainwarden.schema import ETHEREUM
from ingest.workers import BlockWorkers
from tests.ingest.made_blocks import made_block

if __name__ == "__main__":
    crew = BlockWorkers(ETHEREUM, 1, unsigned=True)
    crew.submit(made_block()).result()
    print(multiprocessing.active_children()[0].pid, flush=True)
    sys.stdin.read()
"""


def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Nothing is left running when the process that had them gets SIGKILL."""
    assert ends_with_its_parent(_PARENT, tmp_path)


def test_a_crew_catches_up_as_one_process_does() -> None:
    """Blocks far behind the head, half of them lied about, are the same with a crew, and counted.

    The crew is there for the way to the head only.
    """
    recording = Recording()
    recording.grow(60)
    alone, _ = _caught_up(recording, None)
    metrics = Metrics(CollectorRegistry(), "ethereum")
    begun = set(multiprocessing.active_children())
    together, rejected = _caught_up(recording, partial(accept_in_workers, ETHEREUM, metrics))
    for process in set(multiprocessing.active_children()) - begun:
        process.join(30)
    assert BlockBatch.concat(together).tables == BlockBatch.concat(alone).tables
    counted = {
        outcome: metrics.registry.get_sample_value(
            "chainwarden_blocks_total", {"chain": "ethereum", "outcome": outcome}
        )
        for outcome in ("verified", "rejected")
    }
    assert rejected > 5
    assert counted["rejected"] is not None
    assert 0 < counted["rejected"] <= rejected
    assert counted["verified"] is not None
    assert counted["verified"] >= 50


def _caught_up(recording: Recording, crew: Crew | None) -> tuple[list[BlockBatch], int]:
    """All blocks, followed from the first past a liar, and how many of its answers were refused."""
    chance, stop = random.Random(2), threading.Event()

    def drop(method: str, _: list[Json], result: Json) -> Json:
        if method != "eth_getBlockReceipts" or not result or chance.random() < 0.5:
            return result
        return [{**each, "logs": each["logs"][:-1]} for each in result]

    metrics = Metrics(CollectorRegistry(), "ethereum")
    config = LiveConfig(far_blocks=8, near_blocks=4, batch_blocks=8, crew_blocks=20)
    follower, found = ChainFollower(linked=True), []
    with ExitStack() as stack:
        nodes = [stack.enter_context(Liar(recording)) for _ in range(2)]
        nodes[0].tamper = drop
        source = stack.enter_context(RpcSource([each.url for each in nodes], config=QUICK))
        source.connect()
        accept = accept_blocks(ETHEREUM, metrics)
        for event in live(source, follower, accept, start=100, stop=stop, config=config, crew=crew):
            if isinstance(event, BlocksAdded):
                found.append(event.batch)
            if follower.head is not None and follower.head.number == 159:
                stop.set()
        return found, source.stats.rejected.total()
