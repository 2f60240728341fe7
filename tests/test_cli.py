"""The command as such: help, errors, JSON, exit codes, and what the README shows of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from chainwarden import cli, errors
from chainwarden.cli import app
from chainwarden.commands.demo import demo
from chainwarden.errors import ChainwardenError, SettingsError
from chainwarden.settings import Settings
from ingest.simulate import SimulationConfig, Written, write_chain
from tests.command import run, run_json
from tests.conftest import ROOT
from tests.environment import environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLI: Any = get_command(app)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a small replay."""
    folder = tmp_path_factory.mktemp("replayed")
    config = SimulationConfig(seed=4, blocks=150, transactions_per_block=8.0)
    written: Written = write_chain(config, folder / "chain")
    run_json(
        "replay", written.blocks_file, "--labels", written.labels_file, "--out", folder / "out",
        cwd=folder,
    )  # fmt: skip
    return folder / "out"


def test_help_imports_nothing_heavy() -> None:
    """--help is instant because it loads none of the libraries the commands need."""
    script = (
        "import sys\n"
        "from chainwarden.cli import main\n"
        "sys.argv = ['chainwarden', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'numpy', 'pyarrow', 'duckdb', 'river', 'numba', 'web3', 'kafka', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in CLI.commands:
        assert name in done.stdout


def test_every_command_has_help_and_an_example_that_parses() -> None:
    """Each command says what it does, and its example uses words and flags that it has."""
    for name, command in CLI.commands.items():
        assert command.help, name
        example = command.epilog
        assert example.startswith("Example: chainwarden "), name
        assert_parses(example.removeprefix("Example: "))


def assert_parses(line: str) -> None:
    """The line is a chainwarden command with flags it knows, and with all its arguments."""
    words = shlex.split(line)
    assert words[0].endswith("chainwarden"), line
    if words[1].startswith("--"):
        return
    command = CLI.commands[words[1]]
    command.make_context(words[1], words[2:], parent=None)  # raises UsageError


def test_every_command_in_the_readme_parses() -> None:
    """What the README tells people to type is a command with flags that exist."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    commands = [line for line in lines if "chainwarden " in line and not line.startswith("export")]
    assert len(commands) >= 8
    for line in commands:
        assert_parses(line.partition(" > ")[0])
    targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for line in lines:
        if line.startswith("make "):
            assert line.split()[1] in targets


def test_what_the_readme_names_is_there() -> None:
    """Each test the README calls as a witness exists."""
    named = re.findall(r"`((?:tests|dashboards|benchmarks)/[\w./]*)`", README)
    assert len(named) >= 8
    for path in named:
        assert (ROOT / path).exists(), path


def test_the_readme_lists_every_setting() -> None:
    """The table of settings has each key with its default, and no other key."""
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", README, flags=re.MULTILINE))
    expected: dict[str, str] = {}
    for name, value in ((f, getattr(Settings(), f)) for f in Settings.__struct_fields__):
        if name in ("labels", "webhooks", "receivers"):
            continue
        fields = getattr(value, "__struct_fields__", None)
        for key, default in (
            [(f"{name}.{f}", getattr(value, f)) for f in fields] if fields else [(name, value)]
        ):
            shown = "" if default in (None, []) or str(default) == "Secret(***)" else str(default)
            expected[key] = (
                f"`{shown.lower() if isinstance(default, bool) else shown}`" if shown else ""
            )
    assert {key: rows.get(key, "missing").strip() for key in expected} == expected
    assert set(rows) == set(expected)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("replay", "none.jsonl"), 4, "none.jsonl"),
        (("alerts", "--out", "nowhere"), 3, "nowhere holds no ledger"),
        (("alerts", "--config", "none.toml"), 3, "none.toml"),
        (("run",), 3, "give --rpc"),
        (("run", "--rpc", "http://127.0.0.1:1/", "--webhook", "http://127.0.0.1:2/"), 3, "SECRET"),
        (("run", "--rpc", "ftp://x"), 3, "http://"),
        (
            ("fetch", "x", "--from", "9", "--to", "3", "--rpc", "http://127.0.0.1:1/"),
            3,
            "from 9 to 3",
        ),
        (("simulate",), 3, "--out FOLDER"),
        (
            ("label", "0x" + "ab" * 20, "scam", "--valid-to", "May"),
            3,
            "--valid-to: neither unix seconds nor an ISO date: 'May' (2026-01-31, or unix seconds)",
        ),
        (("replay",), 2, "Missing argument"),
        (("replai",), 2, "No such command"),
    ],
)
def test_errors_are_one_line_that_says_what_to_do(
    tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    """An exit code by kind, the fix on stderr, nothing on stdout, never a traceback."""
    done = run(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


def test_settings_typos_are_named(tmp_path: Path) -> None:
    """A misspelt key in the file or variable in the environment is named with the right one."""
    (tmp_path / "chainwarden.toml").write_text("[store]\nuot = 'x'\n", encoding="utf-8")
    done = run("alerts", cwd=tmp_path)
    assert done.returncode == SettingsError.exit_code
    assert "did you mean out?" in done.stderr
    done = run("alerts", cwd=ROOT, env={"CHAINWARDEN_STORE_UOT": "x"})
    assert "did you mean CHAINWARDEN_STORE_OUT?" in done.stderr


def test_exit_codes_are_documented() -> None:
    """Every exit code of the error tree is in the command's documentation."""
    codes = {
        error.exit_code
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, ChainwardenError)
    }
    text = (cli.__doc__ or "").replace("\n", " ")
    for code in codes:
        assert re.search(rf"\b{code} [a-z]", text), code


def test_alerts_are_listed_filtered_and_labelled(replayed: Path) -> None:
    """A label given to a wallet shows with its alerts, and is gone when withdrawn."""
    listed = run_json("alerts", "--out", replayed, "--limit", 500, cwd=replayed)
    assert listed["total"] == len(listed["alerts"]) > 5
    high = run_json("alerts", "--out", replayed, "--severity", "high", cwd=replayed)
    assert {one["severity"] for one in high["alerts"]} <= {"high", "critical"}
    for one in listed["alerts"]:
        assert one["sentence"]
        assert one["reasons"]
        assert sum(r["contribution"] for r in one["reasons"]) == pytest.approx(one["score"])
    address = one["subject"]
    words = (address, "phishing", "--from-alert", one["id"], "--author", "ana", "--out", replayed)
    assert run_json("label", *words, cwd=replayed)["status"] == "labelled"
    found = run_json("alerts", "--out", replayed, "--subject", address, cwd=replayed)
    assert found["alerts"]
    assert all(alert["labels"] == ["phishing"] for alert in found["alerts"])
    assert run_json("label", *words, "--withdraw", cwd=replayed)["status"] == "withdrawn"
    found = run_json("alerts", "--out", replayed, "--subject", address, cwd=replayed)
    assert all(alert["labels"] == [] for alert in found["alerts"])
    done = run("label", "0x12", "phishing", "--out", replayed, cwd=replayed)
    assert done.returncode == 3
    assert "0x12" in done.stderr


def test_the_table_for_people_has_the_sentence(replayed: Path) -> None:
    """Without --json the same alerts come as a table with what happened."""
    done = run("alerts", "--out", replayed, "--limit", 3, cwd=replayed)
    assert done.returncode == 0
    assert "what happened" in done.stdout
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)


def typed_in(folder: Path, lines: str) -> str:
    """What a shell says to lines that are typed in a folder, and all go well."""
    done = subprocess.run(
        ["sh", "-euc", lines], cwd=folder, env=environment({"PATH": "/usr/bin:/bin"}),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{lines}\n{done.stderr}"
    return done.stdout


@pytest.mark.timeout(300)
def test_what_comes_next_is_said_as_it_is_typed(tmp_path: Path) -> None:
    """From a simulated chain to its replay, and to the alerts of that, blanks in names and all."""
    export = f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    said = typed_in(tmp_path, f"{export}\nchainwarden simulate --blocks 60 --out 'a chain'")
    for more in (" --out 'its results'", ""):
        last = said.splitlines()[-1]
        assert last.startswith("Next: ")
        said = typed_in(tmp_path, f"{export}\n{last.removeprefix('Next: ')}{more}")
    assert "active in all" in said


@pytest.mark.timeout(300)
def test_the_demo_ends_with_where_everything_is(tmp_path: Path) -> None:
    """A small demo: throughput, the table by rule, the ledger, the lake, the next commands.

    Each does as it is printed, in a shell that never heard of chainwarden; the alerts lead to what
    is known of one, and that to a label, which is seen.
    """
    bare = {"PATH": "/usr/bin:/bin"}
    done = run("demo", "--blocks", 320, "--out", "a demo", cwd=tmp_path, env=bare)
    assert done.returncode == 0, done.stderr
    assert "flows/s" in done.stdout
    assert "precision" in done.stdout
    assert "recall" in done.stdout
    assert re.search(r"; on the way forks took \d+ back", done.stdout)
    assert (tmp_path / "a demo" / "results" / "ledger.duckdb").exists()
    export, *following = re.findall(r"^(?:next:|     ) (.+)$", done.stdout, flags=re.MULTILINE)

    def typed(line: str) -> str:
        return typed_in(tmp_path, f"{export}\n{line}")

    table, as_json, report = map(typed, following)
    assert "report.html" in report
    one = json.loads(as_json)["alerts"][0]
    explain = table.splitlines()[-1].removeprefix("All that is known of one: ")
    page = typed(explain.replace("ID", one["id"]))
    assert one["labels"] == []
    typed(page[page.index("IF RIGHT") :].removeprefix("IF RIGHT").partition("IF WRONG")[0])
    labels = {alert["id"]: alert["labels"] for alert in json.loads(typed(following[1]))["alerts"]}
    assert labels[one["id"]] == ["phishing"]
    last = done.stdout.splitlines()[-1]
    serve = re.fullmatch(r"console: (.+), then open http://127\.0\.0\.1:9464/", last)
    assert serve is not None
    assert_parses(serve[1])
    again = run_json("demo", "--blocks", 320, "--out", "a demo", cwd=tmp_path)
    found = {rule["rule"]: rule["recall"] for rule in again["rules"]}
    assert found["native_claim"] == 1.0
    assert again["rejected_blocks"] == 0


def test_the_demo_of_a_command_that_the_shell_finds_says_no_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Then the commands are all that is to be typed."""
    (tmp_path / "chainwarden").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "chainwarden").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    demo(blocks=20, seed=1, out=tmp_path / "demo", json=False)
    said = capsys.readouterr().out
    assert "next: chainwarden alerts" in said
    assert "export" not in said
