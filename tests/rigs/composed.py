"""docker-compose.yml without containers: each service's own entry, command, environment and check.

What a container would have of its own, a name in the network, a port, a folder, has a stand-in on
this machine, and is replaced in every text of the service: nothing else is. Images are not built
here: ``anvil`` and ``chainwarden`` are those of the tests, Kafka's broker too.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.conftest import ROOT

COMPOSE: Final = ROOT / "docker-compose.yml"
CONTAINER: Final = ROOT / "chainwarden" / "container"
_VARIABLE: Final = re.compile(r"\$\$|\$\{(\w+)(?:(:[-+?])([^}]*))?\}")
PATIENCE: Final = 180.0


def interpolated(tree: Any, variables: Mapping[str, str]) -> Any:
    """The tree as Compose reads it with these variables. Raises KeyError for one that must be set.

    >>> interpolated(["${A:-x}", "${B:+y}", "$$C"], {"B": "1"})
    ['x', 'y', '$C']
    """
    if isinstance(tree, dict):
        return {key: interpolated(value, variables) for key, value in tree.items()}
    if isinstance(tree, list):
        return [interpolated(value, variables) for value in tree]
    if not isinstance(tree, str):
        return tree

    def value(hit: re.Match[str]) -> str:
        name, kind, other = hit[1], hit[2], hit[3]
        if name is None:
            return "$"
        given = variables.get(name, "")
        if kind == ":?" and not given:
            raise KeyError(name)
        if kind == ":+":
            return other if given else ""
        return given or (other if kind == ":-" else "")

    return _VARIABLE.sub(value, tree)


def services(variables: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The services as Compose would run them, anchors resolved."""
    loaded = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return dict(interpolated(loaded, variables or {})["services"])


@dataclass
class Composed:
    """Services of the file, run in a folder. ``instead`` has texts, and what stands for them.

    A service's own stand-ins, by its name, come before those of all. ``options`` gives values of
    its command's options that would only make a test long.
    """

    folder: Path
    anvil: Path
    instead: dict[str, dict[str, str]] = field(default_factory=dict)
    options: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        programs = self.folder / "bin"
        programs.mkdir()
        (programs / "anvil").symlink_to(self.anvil)
        (programs / "python").symlink_to(sys.executable)
        program = programs / "chainwarden"
        python = shlex.quote(sys.executable)
        program.write_text(f'#!/bin/sh\nexec {python} -m chainwarden.cli "$@"\n', encoding="utf-8")
        program.chmod(0o755)

    def words(self, name: str) -> list[str]:
        """The entry and the command of a service."""
        service = services(self.variables)[name]
        if service.get("image", "").startswith("chainwarden:"):
            entry = self.folder / f"entry-{name}"
            text = (CONTAINER / "entry").read_text(encoding="utf-8")
            entry.write_text(self.here(name, text), encoding="utf-8")
            return ["sh", str(entry), *self._command(name, service["command"])]
        return [self.here(name, word) for word in service["entrypoint"]]

    def _command(self, name: str, command: list[str]) -> list[str]:
        words = [self.here(name, word) for word in command]
        for option, value in self.options.get(name, {}).items():
            words[words.index(option) + 1] = value
        return words

    def environment(self, name: str) -> dict[str, str]:
        """What a service has set, and nothing else of ours."""
        given = services(self.variables)[name].get("environment", {})
        kept = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
        own = {key: self.here(name, str(value)) for key, value in given.items()}
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "PYTHONPATH": str(ROOT), **own}

    def check(self, name: str) -> list[str]:
        """The health check's command."""
        kind, *words = services(self.variables)[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return [self.here(name, word) for word in words]

    @contextmanager
    def running(self, name: str) -> Iterator[Path]:
        """A service while it runs, from when its health check passes; yields its log."""
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                self.words(name), cwd=self.folder, env=self.environment(name),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        try:
            if not services()[name]["healthcheck"].get("disable"):
                self.wait_until_healthy(name, process)
            yield log
        finally:
            self._stop(name, process)

    def _stop(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Stop it as Docker would. Raises AssertionError where Docker would have to kill it."""
        process.terminate()
        grace = services()[name]["stop_grace_period"]
        try:
            process.wait(float(grace.removesuffix("s")))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{name} does not end within {grace}") from None

    def wait_until_healthy(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Ask as Docker would, until it is well. Raises AssertionError where it ends before."""
        deadline = time.monotonic() + PATIENCE
        log = self.folder / f"{name}.log"
        while not self.healthy(name):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, f"{name} does not become healthy"
            time.sleep(1)  # each question is a process

    def healthy(self, name: str) -> bool:
        """Whether the health check passes now."""
        done = subprocess.run(
            self.check(name), env=self.environment(name), capture_output=True, timeout=30,
            check=False,
        )  # fmt: skip
        return done.returncode == 0

    def here(self, name: str, text: str) -> str:
        """The text with this machine's stand-ins."""
        for there, here in {**self.instead.get(name, {}), **self.instead.get("", {})}.items():
            text = text.replace(there, here)
        return text
