"""A process that writes a block's files changes nothing but the time it takes, whatever happens."""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chainwarden import detecting as wiring
from chainwarden.errors import DiskFull, StoreError
from chainwarden.schema import ETHEREUM, LakeFile
from chainwarden.settings import ServerSettings, Settings, StoreSettings
from store import encoding_process, lake_writer
from store.encoding_process import EncodingProcess
from store.lake import Lake
from tests.ingest.test_heads import until
from tests.rigs.children import (
    ends_by_itself,
    ends_with_its_parent,
    is_running,
    left_whole,
    started,
)
from tests.store.made import blocks, features
from tests.store.test_lake import paths

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def encoder() -> Iterator[EncodingProcess]:
    """One that has started, for all tests that leave it whole."""
    with left_whole(EncodingProcess) as process:
        yield process


def lake_in(folder: Path, encoder: EncodingProcess | None = None) -> Lake:
    """A new lake."""
    lake = Lake(folder, ETHEREUM)
    lake.encoder = encoder
    return lake


def written(lake: Lake, number: int = 100, count: int = 1, flows: int = 4) -> tuple[LakeFile, ...]:
    """Blocks as they are written at the head."""
    batch = blocks(number, count, flows)
    writer = lake.writer()
    writer.conclude(batch)
    writer.conclude_features(features(batch))
    return writer.finish()


def content(lake: Lake, files: tuple[LakeFile, ...]) -> dict[str, bytes]:
    """The files byte for byte, of a lake that has them and no other."""
    assert lake.verify(files) == ()
    assert paths(lake) == {file.path for file in files}
    return {file.path: (lake.folder / file.path).read_bytes() for file in files}


@pytest.fixture
def usual(tmp_path: Path) -> dict[str, bytes]:
    """What ``written`` writes by threads."""
    lake = lake_in(tmp_path / "usual")
    return content(lake, written(lake))


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread of this process encodes anything."""

    def refuse(_: object) -> None:
        raise AssertionError("it was to be written elsewhere")

    monkeypatch.setattr(lake_writer, "_grow", refuse)


@pytest.mark.parametrize(("count", "flows"), [(1, 4), (1, 0), (7, 3), (1, 2_000)])
def test_files_are_the_same_byte_for_byte(
    count: int,
    flows: int,
    encoder: EncodingProcess,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Of one block and of several, with and without rows in a table; names and sizes as well."""
    threads = lake_in(tmp_path / "threads")
    expected = written(threads, 100, count, flows)
    request.getfixturevalue("elsewhere")
    lake = lake_in(tmp_path / "elsewhere", encoder)
    for _ in range(2):  # the same again replaces it
        files = written(lake, 100, count, flows)
        assert files == expected
        assert content(lake, files) == content(threads, expected)


@pytest.mark.usefixtures("elsewhere")
def test_nothing_has_a_name_before_the_end(encoder: EncodingProcess, tmp_path: Path) -> None:
    """The process writes unfinished files only; what is discarded leaves none of them."""
    lake, batch = lake_in(tmp_path, encoder), blocks(100, 1)
    writer = lake.writer()
    writer.conclude(batch)
    assert until(lambda: len(paths(lake)) == 5)
    assert all(path.endswith(".tmp") for path in paths(lake))
    writer.conclude_features(features(batch))
    writer.discard()
    assert paths(lake) == set()
    content(lake, written(lake))


def test_nobody_waits_for_it_to_start(tmp_path: Path, usual: dict[str, bytes]) -> None:
    """Until it has started, threads write the files."""
    with EncodingProcess() as encoder:
        lake = lake_in(tmp_path / "lake", encoder)
        assert content(lake, written(lake)) == usual
        assert until(encoder.begin, 30)


@pytest.mark.parametrize("dies", ["before", "between", "behind"])
def test_one_that_dies_costs_no_block(
    dies: str, tmp_path: Path, usual: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    """What it had, and all that comes after, threads write; that is said once."""
    encoder, process = started(EncodingProcess)
    assert process.pid is not None
    lake, batch = lake_in(tmp_path / "lake", encoder), blocks(100, 1)

    def die(when: str) -> None:
        if when == dies:
            process.kill()
            process.join()

    os.kill(process.pid, signal.SIGSTOP)
    with caplog.at_level(logging.WARNING):
        writer = lake.writer()
        die("before")
        writer.conclude(batch)
        die("between")
        writer.conclude_features(features(batch))
        die("behind")
        assert content(lake, writer.finish()) == usual
        assert not encoder.begin()
        assert content(lake, written(lake)) == usual
    assert caplog.text.count("no process writes the files of a block any more") == 1


def test_one_that_is_killed_at_any_time_costs_no_block(
    tmp_path: Path, usual: dict[str, bytes]
) -> None:
    """While it writes, too: no piece of its files is left, and none is in the lake."""
    for trial in range(6):
        encoder, process = started(EncodingProcess)
        lake = lake_in(tmp_path / f"lake{trial}", encoder)
        killer = threading.Timer(0.001 * trial, process.kill)
        killer.start()
        assert content(lake, written(lake)) == usual
        killer.join()
        encoder.close()


def test_one_that_does_not_answer_is_given_up(tmp_path: Path, usual: dict[str, bytes]) -> None:
    """It is waited for once, and leaves no process."""
    encoder, process = started(EncodingProcess)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)
    lake = lake_in(tmp_path / "lake", encoder)
    began = time.monotonic()
    assert content(lake, written(lake)) == usual
    assert 4.0 < time.monotonic() - began < 10.0
    assert not is_running(process.pid)
    assert content(lake, written(lake)) == usual


def test_where_no_process_can_be_started_it_goes_on(
    tmp_path: Path, usual: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that has no room for another process writes as before."""

    def refuse(*_: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with EncodingProcess() as encoder:
        lake = lake_in(tmp_path / "lake", encoder)
        assert content(lake, written(lake)) == usual
        assert not encoder.begin()


@pytest.mark.parametrize(("room", "beside"), [(64, 6), (10_500, 1)])
def test_tables_that_do_not_fit_are_written_here(
    room: int, beside: int, tmp_path: Path, usual: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them, or some; the others are written elsewhere."""
    monkeypatch.setattr(encoding_process, "_MEMORY_BYTES", room)
    here: list[str] = []
    grow = lake_writer._grow

    def noted(parts: list[lake_writer._Part]) -> None:
        here.extend(growing.temporary.name.partition("__")[0] for growing, _ in parts)
        grow(parts)

    monkeypatch.setattr(lake_writer, "_grow", noted)
    encoder, _ = started(EncodingProcess)
    with encoder:
        lake = lake_in(tmp_path / "lake", encoder)
        assert content(lake, written(lake)) == usual
        assert encoder.begin()
    assert len(here) == beside


def test_what_it_is_refused_is_tried_here(tmp_path: Path, usual: dict[str, bytes]) -> None:
    """Where only the process may write no more, nothing is lost; it is asked again next time."""
    encoder, process = started(EncodingProcess)
    assert process.pid is not None
    with encoder:
        lake = lake_in(tmp_path / "lake", encoder)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
        assert content(lake, written(lake)) == usual
        assert encoder.begin()


def test_a_full_disk_is_told_and_leaves_no_piece(
    encoder: EncodingProcess, tmp_path: Path, usual: dict[str, bytes]
) -> None:
    """As without the process, and the next commit that there is room for goes well."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        lake = lake_in(small / "lake", encoder)
        with pytest.raises(DiskFull):
            written(lake, flows=3_000)
        assert paths(lake) == set()
        assert content(lake, written(lake)) == usual
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_place_that_cannot_be_written_is_told(encoder: EncodingProcess, tmp_path: Path) -> None:
    """A file where the folder should be is the same error as without."""
    told = []
    for folder, process in ((tmp_path / "one", None), (tmp_path / "two", encoder)):
        folder.mkdir()
        (folder / "flows").write_text("in the way")
        with pytest.raises(StoreError, match="cannot be written") as raised:
            written(lake_in(folder, process))
        told.append(str(raised.value).replace(str(folder), ""))
        assert [path for path in folder.rglob("*") if path.is_file()] == [folder / "flows"]
    assert told[0] == told[1]


@pytest.mark.usefixtures("elsewhere")
def test_it_heeds_no_signal_to_stop(tmp_path: Path) -> None:
    """Sent to all processes of a service, they are for the one that has a block to commit yet."""
    encoder, process = started(EncodingProcess)
    assert process.pid is not None
    with encoder:
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(process.pid, number)
            written(lake_in(tmp_path / number.name, encoder))


def test_closed_it_leaves_no_process(tmp_path: Path, usual: dict[str, bytes]) -> None:
    """It ends by itself, and what is written after that is written here."""
    encoder, process = started(EncodingProcess)
    encoder.close()
    encoder.close()
    assert process.exitcode == 0
    lake = lake_in(tmp_path / "lake", encoder)
    assert content(lake, written(lake)) == usual


@pytest.mark.parametrize("hangs", [False, True])
def test_closed_while_it_is_asked_costs_no_block(
    hangs: bool, tmp_path: Path, usual: dict[str, bytes]
) -> None:
    """A process that is told to stop does so between any two steps of a block; nothing hangs."""
    encoder, process = started(EncodingProcess)
    assert process.pid is not None
    lake, batch = lake_in(tmp_path / "lake", encoder), blocks(100, 1)
    writer = lake.writer()
    if hangs:
        os.kill(process.pid, signal.SIGSTOP)
    writer.conclude(batch)
    closing = threading.Timer(0.5 if hangs else 0.0, encoder.close)
    closing.start()
    writer.conclude_features(features(batch))
    assert content(lake, writer.finish()) == usual
    closing.join()
    assert not is_running(process.pid)


@pytest.mark.parametrize("cores", [1, 2])
def test_live_there_is_one_where_there_is_a_core_for_it(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is closed with all else."""
    monkeypatch.setattr(wiring, "cores", lambda: cores)
    settings = Settings(store=StoreSettings(out=str(tmp_path)), server=ServerSettings(port=0))
    with wiring.detecting(settings, ETHEREUM, threading.Event()) as behind:
        encoder = behind.stores.lake.encoder
        assert (encoder is not None) == (cores > 1)
        assert encoder is None or until(encoder.begin, 30)
    assert encoder is None or not encoder.begin()


_UNCLOSED = """
from store.encoding_process import EncodingProcess

if __name__ == "__main__":
    encoder = EncodingProcess()
    while not encoder.begin():
        pass
"""

_PARENT = f"""{_UNCLOSED}
    import multiprocessing, sys
    print(multiprocessing.active_children()[0].pid, flush=True)
    sys.stdin.read()
"""


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Nothing is left running when the process that had it gets SIGKILL."""
    assert ends_with_its_parent(_PARENT, tmp_path)


def test_a_parent_that_does_not_close_it_can_end(tmp_path: Path) -> None:
    """Python, which asks its processes to end and waits for them, waits for nothing here."""
    assert ends_by_itself(_UNCLOSED, tmp_path)
