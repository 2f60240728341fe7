from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chainwarden.errors import BusError, FileFormatError
from chainwarden.memory_bus import MemoryBus
from chainwarden.schema import Position
from ingest.publish import IngestCursor, Publisher, load_cursor
from tests.bus.blocks import added, finalized, position, reverted
from tests.bus.contracts import drain, told
from tests.conftest import ROOT


def test_the_cursor_is_what_was_published(tmp_path: Path) -> None:
    """After each event the file has the follower's chain and the last finality mark."""
    path = tmp_path / "cursor.json"
    bus = MemoryBus()
    publisher = Publisher(bus, path)
    assert load_cursor(path) is None
    publisher.publish(added(1, 2), [position(0), position(1), position(2)])
    assert load_cursor(path) == IngestCursor((position(0), position(1), position(2)))
    publisher.publish(finalized(1), [position(1), position(2)])
    publisher.publish(reverted(2), [position(1)])
    assert load_cursor(path) == IngestCursor((position(1),), position(1))
    again = Publisher(bus, path)
    again.publish(added(2, fork=1), [position(1), position(2, fork=1)])
    assert load_cursor(path) == IngestCursor((position(1), position(2, fork=1)), position(1))
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
    publisher = Publisher(bus, path)
    publisher.publish(added(1), [position(0), position(1)])
    with pytest.raises(BusError, match="full"):
        publisher.publish(added(2), [position(0), position(1), position(2)])
    assert load_cursor(path) == IngestCursor((position(0), position(1)))


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
    for use in (load_cursor, lambda p: Publisher(MemoryBus(), p)):
        with pytest.raises(FileFormatError, match=r"cursor\.json.*source\.start"):
            use(path)


positions = st.builds(
    Position,
    st.integers(0, 2**60),
    st.one_of(st.just(b""), st.binary(min_size=32, max_size=32)),
)


@settings(deadline=None, max_examples=50)
@given(recent=st.lists(positions, max_size=200))
def test_any_positions_come_back(
    tmp_path_factory: pytest.TempPathFactory, recent: list[Position]
) -> None:
    """Positions survive the file exactly, those without a hash too."""
    path = tmp_path_factory.mktemp("cursor") / "cursor.json"
    Publisher(MemoryBus(), path).publish(finalized(3), recent)
    assert load_cursor(path) == IngestCursor(tuple(recent), position(3))


WRITER = """
import sys
from pathlib import Path
from ingest.publish import Publisher
from tests.bus.blocks import finalized, position

class Bus:
    def publish(self, event): pass
    def close(self): pass

publisher = Publisher(Bus(), Path(sys.argv[1]))
print("ready", flush=True)
for number in range(1, 10**9):
    publisher.publish(finalized(number), [position(n) for n in range(number, number + 65)])
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
        assert len(cursor.recent) == 65
        last = max(last, cursor.finalized.number)
    assert last > 1
