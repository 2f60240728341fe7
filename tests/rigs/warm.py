"""``chainwarden`` commands as real processes that start at once: forked from one that is warmed up.

``WarmCommands`` starts ``python -m tests.rigs.warm``, which imports everything and compiles the
kernels, and then forks a child for each command it is told on its standard input. A child is a
process like any other: it has its own output and exit code, and can be frozen and killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest.mock import patch

from tests.conftest import ROOT
from tests.environment import environment

START_SECONDS = 240.0


@dataclass
class Command:
    """A command while it runs, and after it."""

    pid: int
    log: Path
    out: Path
    code: int | None = None
    """Its exit code, minus the signal that ended it, None while it runs."""

    def send(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):  # it ended, and that is not told yet
                os.kill(self.pid, number)

    def wait(self, seconds: float = 120.0) -> int:
        """Its exit code, once it ended."""
        deadline = time.monotonic() + seconds
        while self.code is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.pid} still runs after {seconds} s:\n{self.errors()}")
            time.sleep(0.01)
        return self.code

    def errors(self) -> str:
        """What it said on stderr."""
        return self.log.read_text(encoding="utf-8")

    def result(self) -> Any:
        """The JSON object it printed, once it ended well."""
        assert self.wait() == 0, self.errors()
        return json.loads(self.out.read_text(encoding="utf-8"))

    def address(self) -> str | None:
        """``http://host:port`` of its newest HTTP side, once it is there."""
        assert self.code is None, self.errors()
        lines = [line for line in self.errors().splitlines() if "metrics on http" in line]
        return lines[-1].split()[-1].removesuffix("/metrics") if lines else None


class WarmCommands:
    """The process that forks. Use it as a context: nothing it started outlives it."""

    def __enter__(self) -> Self:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.rigs.warm"],
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._commands: list[Command] = []
        self._answers: list[dict[str, int]] = []
        self._ended: dict[int, int] = {}
        self._one_at_a_time = threading.Lock()
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.close()  # it kills its children, and ends
        self._server.wait(60)
        self._reader.join()
        self._server.stdout.close()

    def start(
        self,
        *words: object,
        folder: Path,
        name: str,
        env: Mapping[str, str] | None = None,
        said: Path | None = None,
    ) -> Command:
        """``chainwarden WORDS`` in a folder; there, or in ``said``, its output is ``NAME.out`` and
        ``NAME.log``."""
        out, log = ((said or folder) / f"{name}.{kind}" for kind in ("out", "log"))
        out.touch()
        log.touch()
        order = {
            "words": [str(word) for word in words],
            "folder": str(folder),
            "env": environment(env),
            "out": str(out),
            "log": str(log),
        }
        assert self._server.stdin is not None
        with self._one_at_a_time, self._news:
            self._server.stdin.write(json.dumps(order).encode() + b"\n")
            self._server.stdin.flush()
            assert self._news.wait_for(lambda: self._answers, START_SECONDS), "it does not start"
            pid = self._answers.pop()["started"]
            command = Command(pid, log, out, self._ended.pop(pid, None))
            self._commands.append(command)
        return command

    def _read(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            answer = json.loads(line)
            with self._news:
                if "started" in answer:
                    self._answers.append(answer)
                else:
                    self._end(answer["ended"], answer["code"])
                self._news.notify_all()

    def _end(self, pid: int, code: int) -> None:
        for command in self._commands:
            if command.pid == pid and command.code is None:
                command.code = code
                self._commands.remove(command)
                return
        self._ended[pid] = code  # it is over before whoever started it has its number


# --- the process itself --------------------------------------------------------------------------


def serve() -> None:
    """Fork a child for each line on stdin; say on stdout which started and how each ended."""
    from chainwarden.deployment import load_kernels
    from chainwarden.settings import Settings

    load_kernels(Settings())
    children: set[int] = set()
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: os.write(waker, b"."))
    pending = b""
    try:
        while True:
            readable, _, _ = select.select([0, wake], [], [])
            if wake in readable:
                os.read(wake, 4096)
                _reap(children)
            if 0 in readable:
                read = os.read(0, 65_536)
                if not read:
                    return
                *lines, pending = (pending + read).split(b"\n")
                for line in lines:
                    children.add(_fork(json.loads(line)))
    finally:
        for pid in children:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _reap(children: set[int]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children.discard(pid)
            _say({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def _say(answer: Mapping[str, int]) -> None:
    os.write(1, json.dumps(answer).encode() + b"\n")


def _fork(order: Mapping[str, Any]) -> int:
    pid = os.fork()
    if pid:
        _say({"started": pid})
        return pid
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _redirect(order["out"], order["log"])
        os.chdir(order["folder"])
        os.environ.clear()
        os.environ.update(order["env"])
        code = _command(order["words"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _redirect(out: str, log: str) -> None:
    for number, path in ((1, out), (2, log)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, number)
        os.close(opened)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def _command(words: Sequence[str]) -> int:
    import chainwarden.cli

    sys.argv = ["chainwarden", *words]
    # What its parent compiled is compiled: the small chain that it takes need not run again.
    compiled = "chainwarden.detecting.compile_kernels", "chainwarden.replay.compile_kernels"
    try:
        with patch(compiled[0]), patch(compiled[1]):
            chainwarden.cli.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        serve()
