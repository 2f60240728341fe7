"""The command: where the report goes, what it says of it, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from chainwarden.errors import FileFormatError, LedgerLocked, SettingsError
from chainwarden.schema import Chain
from store.ledger import Ledger
from tests.command import run, run_json
from tests.conftest import ROOT
from tests.environment import environment
from tests.report.conftest import Replays


def test_the_report_is_where_it_says(replays: Replays, tmp_path: Path) -> None:
    """By default beside the ledger, else where asked; the counts are the report's."""
    told = run_json(
        "report", replays.labelled, "--against", replays.plain, "--truth",
        replays.written.truth_file, cwd=tmp_path,
    )  # fmt: skip
    path = Path(told["path"])
    assert path == replays.labelled / "report.html"
    assert path.stat().st_size == told["bytes"]
    assert told["alerts"] > told["cases"] > 5
    assert told["difference"]["only_here"] > 0
    assert told["verified_blocks"] == 200
    for form, start in (("markdown", "# Report on"), ("csv", "id,block_number")):
        output = tmp_path / "new" / f"report.{form}"
        words = ("--format", form, "--output", output)
        told = run_json("report", replays.labelled, *words, cwd=tmp_path)
        assert told["path"] == str(output)
        assert output.read_text(encoding="utf-8").startswith(start)
    done = run("report", replays.labelled, cwd=tmp_path)
    assert done.returncode == 0
    assert str(path) in done.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("nowhere",), SettingsError.exit_code, "nowhere holds no ledger"),
        (("OUT", "--format", "pdf"), SettingsError.exit_code, "html, markdown, csv"),
        (("OUT", "--truth", "none.json"), FileFormatError.exit_code, "none.json"),
        (("OUT", "--against", "nowhere"), SettingsError.exit_code, "nowhere holds no ledger"),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    replays: Replays, tmp_path: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    """An exit code by kind, the fix on stderr, and no file is written."""
    output = tmp_path / "report.html"
    given = [str(replays.labelled) if word == "OUT" else word for word in words]
    done = run("report", *given, "--output", output, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not output.exists()


def test_replays_of_two_chains_are_not_compared(replays: Replays, tmp_path: Path) -> None:
    """Alerts of another chain are refused: their ids could never be the same."""
    Ledger.open(tmp_path / "ledger.duckdb", Chain("base", 8453), "replay").close()
    done = run("report", replays.labelled, "--against", tmp_path, cwd=tmp_path)
    assert done.returncode == SettingsError.exit_code
    assert "8453" in done.stderr


def test_a_ledger_in_use_is_refused(replays: Replays, tmp_path: Path) -> None:
    """While another process keeps it, the report says so and writes nothing."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from store.ledger import Ledger\n"
        "from chainwarden.schema import ETHEREUM\n"
        "from chainwarden.server.whereabouts import published\n"
        "path = Path(sys.argv[1])\n"
        "with Ledger.open(path, ETHEREUM, 'replay'), published(path.parent, '127.0.0.1', 1):\n"
        "    print('open', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    path = replays.plain / "ledger.duckdb"
    output = tmp_path / "report.html"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment(),
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        done = run("report", replays.plain, "--output", output, cwd=tmp_path)
        # Its standard input is closed behind this: it gives the ledger back, and ends.
    assert done.returncode == LedgerLocked.exit_code
    assert f"another process (pid {holder.pid})" in done.stderr
    assert not output.exists()


@pytest.mark.data
def test_a_report_on_real_blocks(shared_data: Path, tmp_path: Path) -> None:
    """The run of mainnet blocks has a report; all its blocks are verified."""
    path = shared_data / "blocks" / "run.blocks.jsonl.gz"
    run_json("replay", path, "--out", tmp_path / "out", cwd=tmp_path)
    told = run_json("report", tmp_path / "out", cwd=tmp_path)
    assert told["blocks"] == told["verified_blocks"] == 25
    assert told["alerts"] >= told["cases"] > 0
