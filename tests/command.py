"""Running the ``chainwarden`` command as its users do: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.rigs.canaries import leaked

HASH_KEY = "CHAINWARDEN_DETECT_HASH_KEY"
COMMAND = (sys.executable, "-m", "chainwarden.cli")


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process' environment without any CHAINWARDEN_ variable but a hash key, plus ``extra``.

    Live and replayed states have one digest under one key only; this is the one of replays.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("CHAINWARDEN_")}
    return {**kept, "PYTHONPATH": str(ROOT), HASH_KEY: "00" * 16, **(extra or {})}


def run(
    *words: object, cwd: Path, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """The finished command. What it put out holds none of the suite's secrets."""
    done = subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=cwd,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert leaked(done.stdout + done.stderr) == []
    return done


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
