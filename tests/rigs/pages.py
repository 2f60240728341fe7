"""A page of the documentation as its reader uses it: commands typed, files saved, programs run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import ROOT
from tests.environment import environment
from tests.rigs.canaries import leaked


@dataclass(frozen=True)
class Page:
    """A Markdown file, and the fenced blocks in it."""

    path: Path

    @property
    def text(self) -> str:
        """The whole of it."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self, language: str) -> list[str]:
        """The blocks of one language, in order; ``""`` is what a command answers."""
        return [text for kind, text in self._fenced() if kind == language]

    def commands(self) -> list[str]:
        """What it tells people to type, a line each."""
        lines = [line for block in self.blocks("sh") for line in block.splitlines()]
        bare = [line.split("#")[0].strip() for line in lines]
        return [line for line in bare if line]

    def file(self, name: str) -> str:
        """The block that its first line, a comment, names."""
        for _, block in self._fenced():
            if re.match(rf"(#|//) {re.escape(name)}\n", block):
                return block
        raise AssertionError(f"{self.path.name} has no file {name}")

    def _fenced(self) -> list[tuple[str, str]]:
        return re.findall(r"^```(\w*)\n(.*?)^```$", self.text, re.DOTALL | re.MULTILINE)


class Desk:
    """A folder in which a reader works: ``.venv/bin`` has chainwarden and its python.

    ``instead`` are texts that stand for something on the reader's side, an address for one, and
    what is there on this machine.
    """

    def __init__(self, folder: Path, instead: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.instead = dict(instead or {})
        bin_folder = folder / ".venv" / "bin"
        bin_folder.mkdir(parents=True)
        python = shlex.quote(sys.executable)
        for name, words in (("python", ""), ("chainwarden", "-m chainwarden.cli ")):
            program = bin_folder / name
            program.write_text(f'#!/bin/sh\nexec {python} {words}"$@"\n', encoding="utf-8")
            program.chmod(0o755)

    def save(self, page: Page, name: str) -> Path:
        """Save a file of the page under its name."""
        path = self.folder / name
        path.write_text(self.here(page.file(name)), encoding="utf-8")
        return path

    def type(self, script: str, env: Mapping[str, str] | None = None, timeout: float = 300) -> str:
        """Run lines as a shell would, to the first that fails. Returns what they printed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.here(script)],
            cwd=self.folder,
            env=environment({**self._path(), **(env or {})}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert leaked(done.stdout + done.stderr) == []
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def running(
        self, command: list[str], env: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[str]]:
        """A program of the page while it runs."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment({**self._path(), **(env or {})}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()

    def here(self, text: str) -> str:
        """The text with what is there on this machine."""
        for there, here in self.instead.items():
            text = text.replace(there, here)
        return text

    def _path(self) -> dict[str, str]:
        """``python3`` is the one that runs the tests."""
        programs = self.folder / "programs"
        programs.mkdir(exist_ok=True)
        if not (programs / "python3").exists():
            (programs / "python3").symlink_to(sys.executable)
        return {"PATH": f"{programs}:{os.environ['PATH']}"}


PAGES = [Page(path) for path in sorted((ROOT / "docs").glob("*.md"))]
"""Every page in docs."""
