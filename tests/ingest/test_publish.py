from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BusError, FileFormatError
from chainwarden.memory_bus import MemoryBus
from chainwarden.schema import (
    ETHEREUM,
    TABLES,
    BlockBatch,
    BlockFinalized,
    BlocksAdded,
    ChainEvent,
    Position,
)
from ingest.chain import ChainFollower
from ingest.publish import IngestCursor, Publisher, load_cursor
from tests.bus.blocks import added, finalized, plain_batch, position, reverted
from tests.bus.contracts import drain, told
from tests.conftest import ROOT
from tests.ingest.published import Published
from tests.ingest.test_chain import Node, batch
from tests.test_backfill import heads

WINDOW = 16


def test_the_cursor_is_what_was_published(tmp_path: Path) -> None:
    """After each event the file has the chain so far, the last finality mark, the bus's offset."""
    path = tmp_path / "cursor.json"
    bus = MemoryBus()
    publisher = Publisher(bus, path, WINDOW)
    assert load_cursor(path) == IngestCursor(offset=0)
    publisher.publish(added(1, 2))
    chain = (position(0), position(1), position(2))
    assert load_cursor(path) == publisher.cursor == IngestCursor(chain, offset=2)
    publisher.publish(finalized(1))
    publisher.publish(reverted(2))
    assert load_cursor(path) == IngestCursor((position(1),), position(1), 4)
    again = Publisher(bus, path, WINDOW)
    again.publish(added(2))
    assert load_cursor(path) == again.cursor
    assert again.cursor == IngestCursor((position(1), position(2)), position(1), 5)
    assert [(kind, number) for kind, number, _ in told(drain(bus, 5))] == [
        ("added", 1),
        ("added", 2),
        ("finalized", 1),
        ("reverted", 2),
        ("added", 2),
    ]
    assert [one.name for one in tmp_path.iterdir()] == ["cursor.json"]


def test_a_bus_that_refuses_leaves_the_cursor(tmp_path: Path) -> None:
    """What the bus did not take is not in the cursor."""
    path = tmp_path / "cursor.json"
    bus = MemoryBus(capacity_events=1, timeout_seconds=0.05)
    publisher = Publisher(bus, path, WINDOW)
    publisher.publish(added(1))
    for _ in range(2):
        with pytest.raises(BusError, match="full"):
            publisher.publish(added(2))
        assert load_cursor(path) == IngestCursor((position(0), position(1)), offset=1)


def test_no_more_is_kept_than_can_be_reverted(tmp_path: Path) -> None:
    """The window without finality; down to the final block with it, as far as that may stall."""
    publisher = Publisher(MemoryBus(1000), tmp_path / "cursor.json", 3, unfinal=6)
    publisher.publish(added(*range(1, 11)))
    assert publisher.cursor.recent == tuple(map(position, range(7, 11)))
    publisher.publish(finalized(8))
    publisher.publish(added(*range(11, 14)))
    assert publisher.cursor.recent == tuple(map(position, range(8, 14)))
    publisher.publish(added(14, 15))
    assert publisher.cursor.recent == tuple(map(position, range(9, 16)))
    publisher.publish(finalized(15))
    assert publisher.cursor.recent == (position(15),)


@settings(max_examples=50, deadline=None)
@given(nodes=heads(), data=st.data())
def test_a_kill_between_the_bus_and_the_cursor_forks_nothing(
    tmp_path_factory: pytest.TempPathFactory, nodes: list[Node], data: st.DataObject
) -> None:
    """Killed behind any event, before its cursor is written, or in the middle of a fork's reverts.

    The next one starts when the chain is elsewhere, and reads much or little of what is before its
    cursor. Who reads the bus sees one chain throughout.
    """
    every = {node.hash: node for node in nodes}
    path = tmp_path_factory.mktemp("cursor") / "cursor.json"
    bus, seen = MemoryBus(10_000), Published()
    bus.seek({})
    done, killed = 0, data.draw(st.sets(st.integers(0, 60)), label="killed behind")
    back = data.draw(st.sampled_from((0, 1, 2, 4, 8, 1024)), label="looks back")
    publisher, follower = started(bus, path, back)
    for node in [*nodes, nodes[-1]]:  # the last once more: that one is not killed
        for event in moves(follower, node, every):
            before = path.read_bytes()
            publisher.publish(event)
            done += 1
            if done - 1 in killed and node is not nodes[-1]:
                if data.draw(st.booleans(), label="cursor not written"):
                    path.write_bytes(before)
                publisher, follower = started(bus, path, back)
                break
    seen.apply([one.event for one in drain(bus, 0, 10_000)])
    assert seen.chain[-1] == nodes[-1].position
    assert seen.gaps == 0


@settings(max_examples=50, deadline=None)
@given(nodes=heads(), data=st.data())
def test_a_bus_that_lost_its_end_gets_it_again(
    tmp_path_factory: pytest.TempPathFactory, nodes: list[Node], data: st.DataObject
) -> None:
    """What the bus took last is gone, blocks or reverts, and the cursor says it was published.

    Who reads what is left and what comes behind it sees one chain throughout.
    """
    every = {node.hash: node for node in nodes}
    path = tmp_path_factory.mktemp("cursor") / "cursor.json"
    split = data.draw(st.integers(1, len(nodes)), label="lost behind head")
    events: list[ChainEvent] = []
    publisher, follower = started(MemoryBus(10_000), path)
    for node in nodes[:split]:
        for event in moves(follower, node, every):
            publisher.publish(event)
            events.append(event)
    left = data.draw(st.integers(1, len(events)), label="events left")
    bus, seen = MemoryBus(10_000), Published()
    bus.seek({})
    for event in events[:left]:
        bus.publish(event)
    publisher, follower = started(bus, path)
    for node in [*nodes[split - 1 :], nodes[-1]]:
        for event in moves(follower, node, every):
            publisher.publish(event)
    seen.apply([one.event for one in drain(bus, 0, 10_000)])
    assert seen.chain[-1] == nodes[-1].position
    assert seen.gaps == 0


def test_what_the_bus_lost_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And a bus that was made anew goes on from the cursor: what it had is elsewhere by now."""
    path = tmp_path / "cursor.json"
    Publisher(MemoryBus(), path, WINDOW).publish(added(*range(1, 9)))
    bus = MemoryBus()
    bus.publish(added(*range(1, 6)))
    assert Publisher(bus, path, WINDOW).cursor.recent == tuple(map(position, range(6)))
    assert f"lost blocks {position(6)} to {position(8)}" in caplog.text
    anew = Publisher(MemoryBus(), path, WINDOW).cursor
    assert anew.recent == tuple(map(position, range(9)))


def started(bus: MemoryBus, path: Path, back: int = 1024) -> tuple[Publisher, ChainFollower]:
    """What an ``ingest`` begins with, that reads so many offsets before its cursor."""
    with patch("ingest.publish._LOOK_BACK", back):
        publisher = Publisher(bus, path, WINDOW)
    cursor = publisher.cursor
    resume, final = cursor.recent, cursor.finalized
    return publisher, ChainFollower(WINDOW, linked=True, resume=resume, finalized=final)


def moves(follower: ChainFollower, head: Node, every: dict[bytes, Node]) -> list[ChainEvent]:
    """The events that make a block the head, its ancestors first as far as they are unknown."""
    way, at = [head], head
    while follower.head is not None and not follower.reaches(at.parent) and at.parent in every:
        way.append(at := every[at.parent])
    return [event for one in reversed(way) for event in follower.add(batch(one))]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b'{"version":2,"recent":[]}',
        b'{"version":1,"recent":[{"number":1,"hash":"0xcafe"}]}',
        b'{"version":1,"recent":[{"number":"1","hash":"0x"}]}',
        b'{"version":1,"recent":[{"number":1,"hash":"0x' + b"z" * 64 + b'"}]}',
        b'{"version":1}',
        b"\xff\xfe\x00",
    ],
)
def test_a_damaged_cursor_is_never_guessed_at(tmp_path: Path, data: bytes) -> None:
    """A file that is no cursor is an error that names it and says what to do."""
    path = tmp_path / "cursor.json"
    path.write_bytes(data)
    for use in (load_cursor, lambda p: Publisher(MemoryBus(), p, WINDOW)):
        with pytest.raises(FileFormatError, match=r"cursor\.json.*source\.start"):
            use(path)


@settings(deadline=None, max_examples=50)
@given(
    number=st.integers(0, 2**60),
    hashes=st.lists(st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)), max_size=9),
)
def test_any_positions_come_back(
    tmp_path_factory: pytest.TempPathFactory, number: int, hashes: list[bytes]
) -> None:
    """Positions survive the file exactly, those without a hash too."""
    path = tmp_path_factory.mktemp("cursor") / "cursor.json"
    publisher = Publisher(MemoryBus(), path, WINDOW)
    for at, hash_ in enumerate(hashes):
        publisher.publish(BlockFinalized(Position(number + at, hash_)))
    for at, hash_ in enumerate(hashes, len(hashes)):
        blocks = plain_batch([at], transactions=0).blocks.to_pylist()
        blocks[0] |= {"block_number": number + at, "block_hash": hash_ or None}
        table = pa.Table.from_pylist(blocks, schema=TABLES["blocks"])
        publisher.publish(BlocksAdded(BlockBatch.of(ETHEREUM, blocks=table), gap=True))
    assert load_cursor(path) == publisher.cursor


WRITER = """
import sys
from pathlib import Path
from ingest.publish import Publisher
from tests.bus.blocks import added, finalized

class Bus:
    end = 0
    def publish(self, event): pass
    def since(self, offset): return []
    def close(self): pass

publisher = Publisher(Bus(), Path(sys.argv[1]), 100)
if not publisher.cursor.recent:
    publisher.publish(added(*range(1, 65)))
    publisher.publish(finalized(1))
print("ready", flush=True)
for number in range(publisher.cursor.recent[-1].number + 1, 10**9):
    publisher.publish(added(number))
    publisher.publish(finalized(number - 63))
"""


def test_a_kill_never_tears_the_cursor(tmp_path: Path) -> None:
    """Whenever the process is killed, the cursor is a whole one."""
    path = tmp_path / "cursor.json"
    last = 0
    for _ in range(5):
        child: subprocess.Popen[Any] = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(timeout=0.15)
            child.send_signal(signal.SIGKILL)
            child.wait(timeout=10)
        cursor = load_cursor(path)
        assert cursor is not None
        assert cursor.finalized is not None
        assert cursor.finalized == cursor.recent[0]
        assert len(cursor.recent) in (64, 65)
        last = max(last, cursor.finalized.number)
    assert last > 1
