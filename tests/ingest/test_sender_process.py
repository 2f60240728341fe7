"""A process that recovers senders changes nothing but the time it takes, whatever happens to it."""

from __future__ import annotations

import copy
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from chainwarden.errors import BadBlock
from ingest.raw import RawBlock
from ingest.sender_process import CHUNK, SenderProcess
from ingest.simulate import Simulation, SimulationConfig
from ingest.verify import Verifier
from tests.ingest.made_blocks import reseal
from tests.ingest.test_heads import until
from tests.ingest.test_workers import blocks, lies
from tests.rigs.children import (
    ends_by_itself,
    ends_with_its_parent,
    is_running,
    left_whole,
    started,
)

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def senders() -> Iterator[SenderProcess]:
    """One that has started, for all tests that leave it whole."""
    with left_whole(SenderProcess) as process:
        yield process


def verdict(raw: RawBlock, process: SenderProcess | None = None) -> bool | tuple[str, object]:
    """What the verifier says, an error in all its parts."""
    try:
        return Verifier(unsigned=True, process=process).verify(raw)
    except BadBlock as error:
        return str(error), vars(error)


def simulated(transactions: float) -> RawBlock:
    """A block of about so many transactions."""
    config = SimulationConfig(blocks=1, transactions_per_block=transactions, campaigns=())
    return next(iter(Simulation(config).blocks()))


def test_it_says_what_is_said_without_it(senders: SenderProcess) -> None:
    """Verdicts are equal in everything: of true blocks, of one lie, and of several in one block."""
    honest = [*blocks(), simulated(1_200.0)]
    once = [*lies(honest), *lies(honest[::-1])]
    every = [*honest, *once, *lies(once)]
    found = [verdict(raw, senders) for raw in every]
    assert found == [verdict(raw) for raw in every]
    assert found[: len(honest)].count(False) == 1  # of a type that nobody knows
    assert sum(isinstance(each, tuple) for each in found) > len(honest)


def test_the_first_of_two_who_did_not_send_is_told(senders: SenderProcess) -> None:
    """Whichever transactions say another's name; before what is wrong behind them, too."""
    honest = simulated(45.0)
    froms = [tx.from_ for tx in honest.block.transactions]
    assert len(froms) > 2 * CHUNK
    for index, (own, other) in enumerate(pairwise(froms)):
        if own == other:
            continue
        raw = copy.deepcopy(honest)
        raw.block.transactions[index].from_ = other
        raw.block.transactions[-1].from_ = "0x" + "11" * 20
        raw.block.gas_used = hex(int(raw.block.gas_used, 16) + 1)
        reseal(raw)
        found = verdict(raw, senders)
        assert isinstance(found, tuple)
        assert f"transaction {index}: from is '{other}', not '{own}'" in found[0]
        assert found == verdict(raw)


def test_what_was_begun_and_not_finished_is_forgotten(senders: SenderProcess) -> None:
    """The answers about a block that could not be decoded are not taken for the next one's."""
    verifier, (one, other) = Verifier(unsigned=True, process=senders), blocks()[:2]
    for left in (simulated(1_200.0), other, one):
        verifier.begin(left)
        assert verifier.verify(one)


def test_nobody_waits_for_it_to_start() -> None:
    """Until it has started, senders are recovered here."""
    raw = simulated(40.0)
    with SenderProcess() as senders:
        assert not senders.begin()
        assert verdict(raw, senders) is True
        assert until(senders.begin, 30)
        assert verdict(raw, senders) is True


@pytest.mark.parametrize("under_way", [True, False])
def test_one_that_dies_costs_no_block(under_way: bool, caplog: pytest.LogCaptureFixture) -> None:
    """What it had, and all that comes after, is recovered here; that is said once."""
    raw = simulated(400.0)
    senders, process = started(SenderProcess)
    assert process.pid is not None
    verifier = Verifier(process=senders)
    os.kill(process.pid, signal.SIGSTOP)  # it answers nothing that it is asked now
    begun = verifier.begin(raw) if under_way else None
    process.kill()
    process.join()
    with caplog.at_level(logging.WARNING):
        assert verifier.finish(begun or verifier.begin(raw))
        assert not senders.begin()
        assert verifier.verify(raw)
    assert caplog.text.count("no process recovers senders any more") == 1


def test_one_that_does_not_answer_is_given_up() -> None:
    """It is waited for once, and leaves no process."""
    raw = simulated(1_200.0)  # more than it may owe
    senders, process = started(SenderProcess)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    verifier = Verifier(process=senders)
    began = time.monotonic()
    assert verifier.verify(raw)
    assert time.monotonic() - began > 4.0
    assert not is_running(process.pid)
    assert verifier.verify(raw)


def test_where_no_process_can_be_started_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no room for another process verifies as before."""

    def refuse(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with SenderProcess() as senders:
        assert verdict(simulated(40.0), senders) is True
        assert not senders.begin()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_are_for_its_parent(number: signal.Signals) -> None:
    """A terminal and a supervisor send them to every process: the parent has work to end."""
    senders, process = started(SenderProcess)
    assert process.pid is not None
    os.kill(process.pid, number)
    with senders:
        assert verdict(simulated(40.0), senders) is True
        assert senders.begin()


_CARELESS = """
from ingest.sender_process import SenderProcess

if __name__ == "__main__":
    senders = SenderProcess()
    while not senders.begin():
        pass
"""


def test_nobody_waits_for_one_that_was_not_closed(tmp_path: Path) -> None:
    """Python ends though it waits for its children, and none of them ends by a signal."""
    assert ends_by_itself(_CARELESS, tmp_path)


def test_closed_it_leaves_no_process() -> None:
    """It ends by itself, and what is verified with it after that is verified here."""
    senders, process = started(SenderProcess)
    senders.close()
    senders.close()
    assert process.exitcode == 0
    assert verdict(simulated(40.0), senders) is True


def test_closed_while_it_is_asked_costs_no_block(caplog: pytest.LogCaptureFixture) -> None:
    """A process that is told to stop does so between any two steps of a block; nothing hangs."""
    raw = simulated(400.0)
    for step in ("begun", "asked", "waiting"):
        senders, process = started(SenderProcess)
        assert process.pid is not None
        verifier = Verifier(process=senders)
        if step == "waiting":
            os.kill(process.pid, signal.SIGSTOP)
            closing = threading.Timer(0.5, senders.close)
            closing.start()
            assert verifier.verify(raw)
            closing.join()
        elif step == "asked":
            begun = verifier.begin(raw)
            senders.close()
            assert verifier.finish(begun)
        else:
            assert senders.begin()
            senders.close()
            assert verifier.verify(raw)
        assert not is_running(process.pid)
    assert caplog.text.count("no process recovers") == 1, "only where it owed an answer"


_PARENT = """
import multiprocessing, sys
from ingest.sender_process import SenderProcess

if __name__ == "__main__":
    senders = SenderProcess()
    while not senders.begin():
        pass
    print(multiprocessing.active_children()[0].pid, flush=True)
    sys.stdin.read()
"""


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Nothing is left running when the process that had it gets SIGKILL."""
    assert ends_with_its_parent(_PARENT, tmp_path)
