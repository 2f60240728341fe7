"""What every command has in common on a terminal: JSON, completion, progress, errors with a fix."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from chainwarden.cli import app
from chainwarden.commands.report import FORMATS
from chainwarden.errors import ChainwardenError
from chainwarden.schema import ETHEREUM, Severity
from chainwarden.scorecard import RULES
from chainwarden.terminal import progress
from ingest.files import count_blocks
from ingest.simulate import SimulationConfig, write_chain
from store.lake import Lake
from store.ledger import Ledger
from tests.command import running
from tests.conftest import ROOT
from tests.environment import environment
from tests.store.made import blocks

CLI: Any = get_command(app)
WALLET = "0x" + "ab" * 20


def test_every_command_speaks_json() -> None:
    """Walking the whole tree, each command has --json."""
    for name, command in CLI.commands.items():
        assert any("--json" in option.opts for option in command.params), name


def test_serve_says_as_json_where_it_listens(tmp_path: Path) -> None:
    """One object, once the API answers there."""
    Ledger.open(tmp_path / "ledger.duckdb", ETHEREUM).close()
    with running(("serve", "--out", tmp_path, "--port", 0, "--json"), tmp_path) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        told = CLI_JSON.fullmatch(line)
        assert told is not None, line
        assert process.poll() is None


CLI_JSON = re.compile(
    r'\{"address":"127\.0\.0\.1:(\d+)","api":"http://127\.0\.0\.1:\1/api/v1/","out":".*"\}\n'
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command as it is installed, to put before the path."""
    folder = tmp_path_factory.mktemp("bin")
    start = "import sys; sys.argv[0] = 'chainwarden'; from chainwarden.cli import main; main()"
    command = folder / "chainwarden"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{start}" "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return folder


def told(words: list[str], installed: Path, **env: str) -> str:
    """What a command prints that finds the installed one."""
    path = f"{installed}:{os.environ['PATH']}"
    done = subprocess.run(
        words, env=environment({**env, "PATH": path}), cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout


def offered(line: str, installed: Path) -> set[str]:
    """What bash offers at the end of a command line, with the script that it is told to source."""
    script = (
        'eval "$(_CHAINWARDEN_COMPLETE=source_bash chainwarden)"\n'
        "spec=$(complete -p chainwarden); called=${spec#*-F }; called=${called%% *}\n"
        f'line="{line}"; read -ra COMP_WORDS <<<"$line"\n'
        '[[ $line == *" " ]] && COMP_WORDS+=("")\n'
        "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
        '"$called" chainwarden\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    return set(told(["bash", "--norc", "-c", script], installed).split())


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_and_values(installed: Path) -> None:
    """The script for bash, sourced by a real one."""
    assert offered("chainwarden wal", installed) == {"wallet"}
    assert offered("chainwarden alerts --s", installed) >= {"--severity", "--since", "--status"}
    severities = {level.text for level in Severity}
    assert offered("chainwarden alerts --severity ", installed) == severities
    assert offered("chainwarden report OUT --format m", installed) == {"markdown"}
    wanted = {rule for rule in RULES if rule.startswith("wallet")}
    assert offered("chainwarden alerts --rule wallet", installed) == wanted


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_are_answered_as_their_scripts_ask(shell: str, installed: Path) -> None:
    """Each script asks by these variables, and is told the command and what it does."""
    asks = {"_TYPER_COMPLETE_ARGS": "chainwarden wal"}
    if shell == "fish":
        asks["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    script = told(["chainwarden"], installed, _CHAINWARDEN_COMPLETE=f"source_{shell}")
    for name in (*asks, f"_CHAINWARDEN_COMPLETE=complete_{shell}"):
        assert name in script
    answer = told(["chainwarden"], installed, _CHAINWARDEN_COMPLETE=f"complete_{shell}", **asks)
    assert "wallet" in answer
    assert "what is known of a wallet" in answer
    assert "replay" not in answer


class Terminal(io.StringIO):
    """A text file that says it is a terminal."""

    def isatty(self) -> bool:
        """It says so."""
        return True


def test_a_bar_has_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal: how many of how many, how fast, how long still, where the total is known."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    for total, left in ((40, True), (None, False)):
        terminal = Terminal()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal)
            with progress("replay", total, quiet=False) as advance:
                advance(10)
                advance(20, "1,234 flows/s")
                advance(30)
        shown = terminal.getvalue()
        assert f"30/{total or '?'}" in shown
        assert "blocks/s" in shown
        assert (" left" in shown) == left


def test_elsewhere_progress_is_a_line_a_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """In a log there is no bar and no control code; with JSON nothing at all."""
    with progress("replay", 100, quiet=False) as advance:
        for done in range(0, 101, 5):
            advance(done, "9 flows/s")
    with progress("replay", 100, quiet=True) as advance:
        advance(100)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 10
    assert "\x1b" not in printed.err


def test_blocks_are_counted_before(tmp_path: Path) -> None:
    """Of a file of lines and of a lake; unknown where flows are alone, or a file breaks off."""
    written = write_chain(SimulationConfig(seed=3, blocks=30), tmp_path / "chain")
    file = written.blocks_file
    assert count_blocks(file, ETHEREUM) == written.blocks + written.orphaned
    Lake(tmp_path / "lake", ETHEREUM).write(blocks(1, 7))
    assert count_blocks(tmp_path / "lake", ETHEREUM) == 7
    (flows,) = (tmp_path / "lake" / "flows").rglob("*.parquet")
    assert count_blocks(flows, ETHEREUM) is None
    broken = tmp_path / "broken.blocks.jsonl.gz"
    broken.write_bytes(file.read_bytes()[:-20])
    assert count_blocks(broken, ETHEREUM) is None


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        ("alerts --out nowhere", "give --out the folder"),
        ("alerts --severity hgih", "critical"),
        ("alerts --subject 0x12", "40 hex digits"),
        ("alerts --status open", "active, retracted, all"),
        ("alerts --since yesterday", "2026-01-31"),
        ("alerts --follow --out nowhere", "give --out the folder"),
        ("wallet bob", "40 hex digits"),
        ("explain 5f0c --out nowhere", "give --out the folder"),
        ("report nowhere", "give --out the folder"),
        ("report nowhere --format pdf", ", ".join(FORMATS)),
        ("replay none.jsonl", "a file of blocks"),
        ("evaluate x.parquet --labels l.csv --window 2018", "2018-04-01:2018-08-01"),
        (f"label 0x12 phishing --out {ROOT}", "40 hex digits"),
        ("models demote --out nowhere", "show, or promote"),
        ("token create ana", "--role"),
        ("token mint ana", "create, list, revoke"),
        ("fetch x --from 9 --to 3 --rpc http://127.0.0.1:1/", "--from A --to B"),
        ("simulate", "--out FOLDER"),
        ("run", "give --rpc"),
        (f"serve --out {WALLET}", "give --out the folder"),
    ],
)
def test_typical_mistakes_name_the_fix(
    line: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is an error of chainwarden's own, whose hint says what to do."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("CHAINWARDEN_"):
            monkeypatch.delenv(name)
    with pytest.raises(ChainwardenError) as caught:
        CLI.main(line.split(), standalone_mode=False)
    assert fix in caught.value.hint, caught.value
    assert caught.value.exit_code in range(2, 11)
