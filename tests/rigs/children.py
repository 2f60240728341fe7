"""Processes that one of ours starts: what their tests ask of each of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol, TypeVar

from tests.ingest.test_heads import until


class Begins(Protocol):
    """Something that has a process, as ``chainwarden.child_process.ChildProcess`` has."""

    def begin(self) -> bool:
        """Whether the process takes something now."""
        ...

    def close(self) -> None:
        """End the process."""
        ...


P = TypeVar("P", bound=Begins)


def started(make: Callable[[], P]) -> tuple[P, BaseProcess]:
    """One that has started, and its process."""
    before = set(multiprocessing.active_children())
    made = make()
    assert until(made.begin, 30)
    (process,) = set(multiprocessing.active_children()) - before
    return made, process


@contextmanager
def left_whole(make: Callable[[], P]) -> Iterator[P]:
    """One that has started, for tests that leave it whole."""
    made, _ = started(make)
    try:
        yield made
        assert made.begin(), "it was given up"
    finally:
        made.close()


def ends_with_its_parent(script: str, folder: Path) -> bool:
    """Whether the process whose number a script prints ends when the script's gets SIGKILL."""
    (folder / "parent.py").write_text(script)
    with subprocess.Popen(
        [sys.executable, str(folder / "parent.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_running(child)
        parent.send_signal(signal.SIGKILL)
    return until(lambda: not is_running(child), 30)


def ends_by_itself(script: str, folder: Path) -> bool:
    """Whether a script comes to its end, and says nothing."""
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, str(folder / "script.py")],
        capture_output=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    return (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
