"""Running the ``chainwarden`` command as its users do: a process, its output, its exit code."""

from __future__ import annotations

import atexit
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from tests.environment import environment
from tests.rigs.canaries import leaked
from tests.rigs.warm import WarmCommands

COMMAND = (sys.executable, "-m", "chainwarden.cli")


def run(
    *words: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """The finished command, forked from a process that has imported and compiled everything.

    What it put out holds none of the suite's secrets.
    """
    with tempfile.TemporaryDirectory() as said:
        command = warm_commands().start(
            *words, folder=cwd, name="command", env=env, said=Path(said)
        )
        try:
            code = command.wait(timeout)
        finally:
            command.send(signal.SIGKILL)
        out, errors = command.out.read_text(encoding="utf-8"), command.errors()
    assert leaked(out + errors) == []
    return subprocess.CompletedProcess([*COMMAND, *map(str, words)], code, out, errors)


@cache
def warm_commands() -> WarmCommands:
    """The process that this process' commands are forked from; it ends when this one does."""
    started = WarmCommands().__enter__()
    atexit.register(started.__exit__, None, None, None)
    return started


def run_json(*words: object, cwd: Path, env: Mapping[str, str] | None = None) -> Any:
    """The one JSON object that a successful command prints."""
    done = run(*words, "--json", cwd=cwd, env=env)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout
    return json.loads(lines[0])


def wait_for(what: str, met: Callable[[], Any], seconds: float) -> Any:
    """What ``met`` returns once it is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := met():
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


@contextmanager
def running(
    words: Sequence[object], cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A command while it runs; asked to stop at the end, and waited for. Its log has no secrets."""
    with (cwd / "stderr.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [*COMMAND, *map(str, words)],
            cwd=cwd,
            env=environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
    assert leaked((cwd / "stderr.log").read_bytes()) == []
