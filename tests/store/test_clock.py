"""A wall clock that is set to another time while alerts are on their way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.clock import DAY, HOUR
from tests.rigs.deliveries import Rig, Tuning
from tests.store.made import alert

A_WHILE = 2 * HOUR


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """One receiver."""
    made = Rig(tmp_path / "ledger.duckdb")
    yield made
    made.end()


@pytest.mark.parametrize("jump", [-DAY, -HOUR, DAY])
@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_jumps_delays_and_loses_nothing(rig: Rig, jump: float, restart: bool) -> None:
    """What waits to be tried again, and what comes after, is told as soon as without the jump."""
    first, second = (alert(n, subject=n.to_bytes(20, "big")) for n in (1, 2))
    receiver = rig.receivers["ops"]
    receiver.mode = "error"
    rig.raise_(first)
    rig.run(400.0)
    attempts = len(receiver.received)
    if restart:
        rig.close()
        rig.clock.jump(jump)
        rig.open()
    else:
        rig.clock.jump(jump)
    rig.raise_(second)
    rig.run(30.0)
    receiver.mode = "ok"
    rig.run(A_WHILE)
    assert sorted(rig.told()) == sorted([("alert.raised", first.id), ("alert.raised", second.id)])
    assert len(receiver.received) - attempts <= 8, "a jump is no reason to hammer"


def test_a_clock_that_was_set_back_while_nothing_ran_is_noticed(rig: Rig) -> None:
    """What waits is told a while after the start, though no other alert comes to remind of it."""
    receiver, one = rig.receivers["ops"], alert(1)
    receiver.mode = "error"
    rig.raise_(one)
    rig.run(400.0)
    rig.close()
    rig.clock.jump(-DAY)
    attempts = len(receiver.received)
    for _ in range(5):  # it is noticed once, and not again with every start
        rig.open()
        rig.run(1.0)
        rig.close()
    assert len(receiver.received) <= attempts + 1
    rig.open()
    receiver.mode = "ok"
    rig.run(A_WHILE)
    assert rig.told() == [("alert.raised", one.id)]


def test_the_pace_survives_a_clock_that_is_set_back(tmp_path: Path) -> None:
    """A minute after the jump the receiver is spoken to again, and not more often than it wants."""
    rig = Rig(tmp_path / "ledger.duckdb", tuning=Tuning(rate=4))
    try:
        rig.raise_(*(alert(n, subject=n.to_bytes(20, "big")) for n in range(1, 4)))
        rig.run(1.0)
        rig.clock.jump(-DAY)
        rig.raise_(alert(9, subject=b"\x09" * 20))
        rig.run(120.0)
        assert len(rig.told()) == 4
    finally:
        rig.end()
