"""Processes of chainwarden that are killed, frozen and started again, and what they report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.command import COMMAND
from tests.environment import environment

START_SECONDS: Final = 900.0  # on a fresh clone everything is compiled first
STOP_SECONDS: Final = 120.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Service:
    """A command that is kept running, as a supervisor would: started again when it ended.

    ``memory`` is what ``measure`` found in this life of it: (seconds, bytes resident). ``ended``
    are the exit codes of lives that ended by themselves. Its output goes to ``log``.
    """

    name: str
    words: Sequence[object]
    folder: Path
    port: int
    memory: list[tuple[float, int]] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    frozen: bool = False
    _process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        """Standard error of all lives."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int | None:
        """The process, if it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def keep_up(self) -> None:
        """Start it where it does not run."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._process.communicate()
            self._process = None
            if code >= 0:
                self.ended.append(code)
        if self._process is None:
            self._start()

    def _start(self) -> None:
        with self.log.open("a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *map(str, self.words), "--port", str(self.port), "--json"],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.memory.clear()

    def measure(self) -> None:
        """Note how much memory it has."""
        try:
            resident = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except OSError:  # it does not run
            return
        self.memory.append((time.monotonic(), resident * _PAGE))

    def send(self, number: signal.Signals) -> bool:
        """A signal; whether there was a process to get it. SIGKILL waits for the end."""
        pid = self.pid
        if pid is None or self._process is None:
            return False
        os.kill(pid, number)
        self.frozen = number == signal.SIGSTOP or (self.frozen and number != signal.SIGCONT)
        if number == signal.SIGKILL:
            self.frozen = False
            self._process.wait()
        return True

    def metric(self, name: str) -> float | None:
        """The sum of a metric's samples; None where nobody answers, or has it yet."""
        url = f"http://127.0.0.1:{self.port}/metrics"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                lines = answer.read().decode().splitlines()
        except (OSError, urllib.error.URLError):
            return None
        found = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)]
        return sum(found) if found else None

    def head(self, stage: str) -> float | None:
        """The number of the newest block of a stage; None where it is not known."""
        return self.metric(f'chainwarden_head_block{{chain="ethereum",stage="{stage}"')

    def stop(self) -> Any:
        """Ask it to end; the object that it prints then. Raises RuntimeError where it fails."""
        process = self._process
        if process is None:
            raise RuntimeError(f"{self.name} does not run: see {self.log}")
        self.send(signal.SIGTERM)
        try:
            out, _ = process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise RuntimeError(f"{self.name} did not stop in {STOP_SECONDS:g} s") from None
        self._process = None
        if process.returncode:
            raise RuntimeError(f"{self.name} ended with {process.returncode}: see {self.log}")
        return json.loads(out)

    def end(self) -> None:
        """Kill it where it still runs."""
        if self._process is not None:
            if self._process.poll() is None:
                self.send(signal.SIGKILL)
            self._process.communicate()
            self._process = None
